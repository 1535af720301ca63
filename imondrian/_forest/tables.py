"""Tables as rows of numbers and words: frames of pandas, polars and pyarrow, arrays and records of NumPy.

A column's type decides whether it is nominal; the values of a column of objects are looked at one by one, and must be
all categories or all numbers. Types of text, bytes, truth values and categories are nominal (the latter by the values
of their categories, not by codes). An array of booleans is one of numbers, as everywhere in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from .levels import FALSE, TRUE, is_level, word, word_of, words_of, words_of_codes, words_of_numbers
from .numbers import PLAIN, named_number, number, shown

NUMBER, NOMINAL = "number", "nominal"  # what a column shall be; None: what its type says
FRAMES = ("pandas", "polars", "pyarrow")
KINDS = {
    "M": "dates",
    "m": "durations",
    "c": "complex numbers",
    "U": "text",
    "T": "text",
    "S": "bytes",
    "V": "records",
}

Column = tuple[np.ndarray, bool]  # float64, NaN where missing; whether they are words


class Columns(NamedTuple):
    """The columns of a table."""

    names: list[Any]
    values: np.ndarray  # (n, len(names)), float64: numbers, words, NaN where missing
    nominal: np.ndarray  # (len(names),), bool: which are words


def table(X: Any) -> Columns:
    """Return the columns of a table or array."""
    if isinstance(X, np.ndarray):
        found = _array(X)
    else:
        _refuse_no_table(X)
        found = _stacked(*columns_of(X), len(X))
    keys, values, _ = found
    if len(set(keys)) != len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise ValueError(f"X must have distinct columns, got {twice!r} more than once")
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(f"X must be finite, got {values[row, column]} in row {row}, column {keys[column]!r}")
    return found


def _stacked(names: list[Any], columns: Sequence[Column], n: int) -> Columns:
    values = np.empty((n, len(columns)))
    for j, (column, _) in enumerate(columns):
        values[:, j] = column
    return Columns(names, values, np.array([is_nominal for _, is_nominal in columns], bool))


def _array(X: np.ndarray) -> Columns:
    if X.dtype.names and X.ndim == 1:
        names = list(X.dtype.names)
        return _stacked(names, _each(numpy_column, names, [X[name] for name in names]), len(X))
    if X.ndim != 2:
        raise ValueError(f"X must have shape (n, n_features), got {X.shape}")
    keys = list(range(X.shape[1]))
    if X.dtype.kind in "OUST":
        return _stacked(keys, [numpy_column(X[:, j], j) for j in keys], len(X))
    return Columns(keys, floats(X, None), np.zeros(len(keys), bool))


def floats(values: Any, name: Any) -> np.ndarray:
    """Return numbers as float64; ``name`` is that of their column, None for a whole array."""
    kind = values.dtype.kind
    if kind == "O":
        return _objects(values, name, NUMBER)[0]
    if kind not in PLAIN:
        column = "" if name is None else f" in column {name!r}"
        raise TypeError(f"X must be numbers, got {KINDS.get(kind, 'others')} ({values.dtype}){column}")
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    with np.errstate(over="ignore"):  # a wider float: found infinite by whoever asked
        return np.asarray(values, dtype=np.float64)


def _refuse_no_table(X: Any) -> None:
    """Raise TypeError for what is no table in memory."""
    kind = type(X).__name__
    if hasattr(X, "collect") or hasattr(X, "compute"):
        how = "collect()" if hasattr(X, "collect") else "compute()"
        raise TypeError(f"X must be a table in memory, got {kind}: pass X.{how}")
    if not hasattr(X, "columns") or not hasattr(X, "shape") or len(X.shape) != 2:
        advice = ""
        if hasattr(X, "to_frame"):
            advice = ": pass X.to_frame() for a column; a point goes to the methods whose names end in _one"
        elif hasattr(X, "toarray"):
            advice = ": pass X.toarray()"
        elif hasattr(X, "__array__") or isinstance(X, (list, tuple)):
            advice = ": pass numpy.asarray(X)"
        raise TypeError(f"X must be a dataframe or an array of shape (n, n_features), got {kind}{advice}")


# -- frames ----------------------------------------------------------------------------------------


def library_of(X: Any) -> str | None:
    """Return which library a frame is of; None where it is none."""
    library = type(X).__module__.partition(".")[0]
    return library if library in FRAMES and len(getattr(X, "shape", ())) == 2 else None


def parts_of(X: Any) -> tuple[str, list[Any], list[Any]]:
    """Return the library, the names and the columns of a frame."""
    library = type(X).__module__.partition(".")[0]
    if library == "pandas":
        return library, list(X.columns), [X.iloc[:, j] for j in range(len(X.columns))]
    if library == "polars":
        return library, list(X.columns), X.get_columns()
    if library == "pyarrow":
        return library, list(X.column_names), X.columns
    try:
        import pyarrow
    except ImportError:
        pyarrow = None
    if pyarrow is None or not hasattr(X, "__arrow_c_stream__"):
        raise TypeError(
            f"X must be a dataframe of pandas, polars or pyarrow, or an array, got {type(X).__name__} of {library}"
        )
    return parts_of(pyarrow.table(X))


def columns_of(X: Any, wanted: Sequence[str | None] | str | None = None) -> tuple[list[Any], list[Column]]:
    """Return the names and the columns of a dataframe; ``wanted`` is what each, or all, shall be."""
    library, names, columns = parts_of(X)
    return names, _each(_READERS[library], names, columns, wanted)


class _StrangeColumnError(Exception):
    pass


def _strange(name: Any, dtype: Any) -> NoReturn:
    raise _StrangeColumnError(f"X[{name!r}]", str(dtype))


def _each(
    read: Callable[[Any, Any, str | None], Column],
    names: Sequence[Any],
    columns: Sequence[Any],
    wanted: Sequence[str | None] | str | None = None,
) -> list[Column]:
    """Return all columns; TypeError that names those which hold neither numbers nor categories."""
    found: list[Column] = []
    strange: list[tuple[str, str]] = []
    each = [wanted] * len(names) if wanted is None or isinstance(wanted, str) else wanted
    for name, column, want in zip(names, columns, each, strict=True):
        try:
            found.append(read(column, name, want))
        except _StrangeColumnError as error:
            strange.append(error.args)
    if strange:
        places, kinds = (", ".join(words) for words in zip(*strange[:10], strict=True))
        more = f" and {len(strange) - 10} columns more" if len(strange) > 10 else ""
        raise TypeError(f"{places}{more} must be numbers, got {kinds}: leave such columns out, or convert them")
    return found


def numpy_column(values: Any, name: Any, want: str | None = None) -> Column:
    """Return a column of an array."""
    kind = values.dtype.kind
    if kind == "O":
        return _objects(values, name, want)
    if kind in "UST" and want != NUMBER:
        return words_of(values.tolist()), True  # masked entries are None there
    if kind == "b":
        return _truths(floats(values, name), want)
    return _numbers(floats(values, name), name, want)


def _of_pandas(column: Any, name: Any, want: str | None) -> Column:
    from pandas.api import types

    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind not in PLAIN + "O":
            _strange(name, dtype)
        return numpy_column(column.to_numpy(), name, want)
    if isinstance(dtype, types.CategoricalDtype):
        return _categories(column.cat.codes.to_numpy(), dtype.categories.tolist(), name, want)
    if types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype):
        found = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return _truths(found, want) if types.is_bool_dtype(dtype) else _numbers(found, name, want)
    if types.is_bool_dtype(dtype):
        return _truths(column.to_numpy(dtype=np.float64, na_value=np.nan), want)
    if types.is_string_dtype(dtype):
        codes, levels = column.factorize()
        return _categories(codes, levels.tolist(), name, want, dtype)
    if hasattr(column.array, "__arrow_array__") and type(dtype).__name__ == "ArrowDtype":
        return _of_arrow(column.array.__arrow_array__(), name, want)
    _strange(name, dtype)


def _of_polars(column: Any, name: Any, want: str | None) -> Column:
    import polars

    dtype = column.dtype
    if dtype == polars.Object:
        return _objects(np.array(column.to_list(), object), name, want)
    if dtype == polars.Boolean:
        return _truths(column.cast(polars.Float64).to_numpy(), want)
    if dtype.is_numeric() or dtype == polars.Null:
        return _numbers(column.cast(polars.Float64).to_numpy(), name, want)
    if dtype in (polars.String, polars.Categorical, polars.Enum, polars.Binary) and want != NUMBER:
        return words_of(column.to_list()), True
    _strange(name, dtype)


def _of_arrow(column: Any, name: Any, want: str | None) -> Column:
    import pyarrow.compute
    from pyarrow import types

    kind = column.type
    if types.is_boolean(kind) or types.is_float16(kind) or types.is_decimal(kind):
        found = np.array([math.nan if value is None else float(value) for value in column.to_pylist()], np.float64)
        return _truths(found, want) if types.is_boolean(kind) else _numbers(found, name, want)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind):
        return _numbers(np.array(column.cast("float64", safe=False), np.float64), name, want)
    if types.is_dictionary(kind):
        values = column.combine_chunks() if hasattr(column, "combine_chunks") else column
        if hasattr(values, "chunks"):  # without any
            return np.empty(0), True
        codes = np.array(pyarrow.compute.fill_null(values.indices.cast("int64"), -1))
        return _categories(codes, values.dictionary.to_pylist(), name, want, kind)
    if _is_text(types, kind) and want != NUMBER:
        return words_of(column.to_pylist()), True
    _strange(name, kind)


def _is_text(types: Any, kind: Any) -> bool:
    names = ("string", "large_string", "string_view", "binary", "large_binary", "fixed_size_binary", "binary_view")
    return any(getattr(types, f"is_{name}")(kind) for name in names)


_READERS: dict[str, Callable[[Any, Any, str | None], Column]] = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "pyarrow": _of_arrow,
}


# -- what values mean ------------------------------------------------------------------------------


def _numbers(values: np.ndarray, name: Any, want: str | None) -> Column:
    if want != NOMINAL:
        return values, False
    infinite = np.isinf(values)
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(f"X[{name!r}], row {row}, must be finite, got {values[row]}")
    return words_of_numbers(values), True


def _truths(values: np.ndarray, want: str | None) -> Column:
    """Return truth values, which come as 1 and 0."""
    if want == NUMBER:
        return values, False
    return np.where(np.isnan(values), np.nan, np.where(values != 0.0, TRUE, FALSE)), True


def _categories(codes: np.ndarray, levels: list[Any], name: Any, want: str | None, dtype: Any = None) -> Column:
    """Return levels by their codes; those that no row has are not looked at."""
    if want == NUMBER:
        _strange(name, "category" if dtype is None else dtype)
    used = np.unique(codes)
    used = used[used >= 0]
    places = np.full(len(levels) + 1, -1)  # the last is that of code -1
    places[used] = np.arange(len(used))
    try:
        return words_of_codes(places[codes], [levels[code] for code in used.tolist()]), True
    except TypeError:
        _strange(name, f"categories that are {type(levels[0]).__name__}s")
    except ValueError:
        _strange(name, "categories that are no finite numbers")


def _objects(values: np.ndarray, name: Any, want: str | None) -> Column:
    """Return the values of a column of objects, which must be all numbers or all categories."""
    found = np.empty(len(values))
    first: dict[bool, int] = {}  # where categories begin, and numbers
    for i, value in enumerate(values):
        level = want == NOMINAL or (want is None and is_level(value))
        place = f"X[{name!r}], row {i},"
        found[i] = _level(value, place) if level else named_number(value, place)
        if found[i] == found[i]:
            first.setdefault(level, i)
        if len(first) == 2:
            raise TypeError(
                f"X[{name!r}], row {first[True]}, must be a number, got {shown(values[first[True]])}: the value in row "
                f"{first[False]} is one, and a column holds numbers or categories"
            )
    return found, want == NOMINAL or True in first


def _level(value: Any, place: str) -> float:
    if is_level(value):
        return word(value)
    try:
        return math.nan if math.isnan(number(value)) else word_of(value)
    except TypeError:
        raise TypeError(f"{place} must be a category or a number, got {shown(value)}") from None
    except ValueError:
        raise ValueError(f"{place} must be finite, got {shown(value)}") from None
