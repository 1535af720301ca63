"""What a number is, and what a missing one: one rule for every way into a forest.

- **Numbers** are ``bool``, ``int``, ``float``, ``fractions.Fraction`` and ``decimal.Decimal``, NumPy's scalars of
  booleans, integers and floats, and arrays or tensors of one such value without axes. They are rounded to the
  forest's precision.
- **Missing** are None, NaN of any of these types, ``pandas.NA``, a masked entry, a null of a table's column, and a key
  that is left out.
- **Infinite** values, and numbers too large for a float, are a ValueError.
- **Everything else is a TypeError that names the field or the column**: text and bytes (also where they spell a
  number), dates, times and durations (also missing ones, NaT: what unit would they be in?), complex numbers,
  categories (also of numbers: they are names), lists, dicts, arrays with axes.

In a table it is the column's type that decides; the values of a column of objects are looked at one by one.
"""

from __future__ import annotations

import math
import numbers
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np

from imondrian._core import row_of as row_of  # points of the usual types, quickly; None for all others

_PLAIN = "biuf"  # kinds of NumPy types that are real numbers
_KINDS = {
    "M": "dates",
    "m": "durations",
    "c": "complex numbers",
    "U": "text",
    "T": "text",
    "S": "bytes",
    "V": "records",
}


def number(value: Any) -> float:
    """Return a value as a float, NaN where it is missing.

    TypeError for what is no number, ValueError for what is infinite as a float.
    """
    if value is None or value is np.ma.masked or _is_na(value):
        return math.nan
    if isinstance(value, (np.ndarray, np.generic)):
        if value.ndim or value.dtype.kind not in _PLAIN:
            raise TypeError
        value = value.item() if value.dtype.itemsize <= 8 else float(value)
    elif not isinstance(value, (numbers.Real, Decimal)):
        # Tensors and other libraries' scalars.
        if getattr(value, "ndim", None) != 0 or getattr(value, "shape", None) != () or not hasattr(value, "item"):
            raise TypeError
        value = value.item()
        if not isinstance(value, numbers.Real):
            raise TypeError
    if isinstance(value, Decimal) and value.is_nan():
        return math.nan
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if math.isinf(found):
        raise ValueError
    return found


def _is_na(value: Any) -> bool:
    pandas = sys.modules.get("pandas")  # what was never imported is nobody's
    return pandas is not None and value is pandas.NA


def shown(value: Any) -> str:
    """Return a value as messages show it: short, and without the digits of huge ones."""
    kind = type(value).__name__
    if isinstance(value, int) and value.bit_length() > 256:
        return f"{kind} of {value.bit_length():,} bits"
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        return kind
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({kind})"


# -- one point -------------------------------------------------------------------------------------


def record(x: Any) -> dict[Any, Any]:
    """Return a point as a dict, and no subclass: of a mapping, a pandas Series, or a record of NumPy."""
    if type(x) is dict:
        return x
    if isinstance(x, Mapping):
        return dict(x.items())
    if isinstance(x, np.void) and x.dtype.names:
        return {name: x[name] for name in x.dtype.names}
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(x, pandas.Series):
        if not x.index.is_unique:
            raise ValueError(f"x must have distinct keys, got {x.index[x.index.duplicated()][0]!r} more than once")
        return dict(x.items())
    advice = "; tables go to the methods whose names end in _many" if getattr(x, "ndim", 0) == 2 else ""
    if getattr(x, "ndim", 0) == 1 or isinstance(x, (list, tuple)):
        advice = "; dict(enumerate(x)) makes one"
    raise TypeError(f"x must be a dict of numbers by feature, got {type(x).__name__}{advice}")


def values_of(x: dict[Any, Any]) -> dict[Any, float]:
    """Return the values of a point as floats."""
    return {key: _named(value, f"x[{key!r}]") for key, value in x.items()}


def _named(value: Any, name: str) -> float:
    try:
        return number(value)
    except TypeError:
        raise TypeError(f"{name} must be a number, got {shown(value)}") from None
    except ValueError:
        raise ValueError(f"{name} must be finite, got {shown(value)}") from None


# -- tables ----------------------------------------------------------------------------------------


def table(X: Any) -> tuple[list[Any], np.ndarray]:
    """Return the names and the values (n, len(names)), float64, of the columns of a table or array."""
    if isinstance(X, np.ndarray):
        keys, values = _array(X)
    else:
        _refuse_no_table(X)
        keys, columns = _columns(X)
        values = _stacked(columns, len(X))
    if len(set(keys)) != len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise ValueError(f"X must have distinct columns, got {twice!r} more than once")
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(f"X must be finite, got {values[row, column]} in row {row}, column {keys[column]!r}")
    return keys, values


def _stacked(columns: Sequence[np.ndarray], n: int) -> np.ndarray:
    values = np.empty((n, len(columns)))
    for j, column in enumerate(columns):
        values[:, j] = column
    return values


def _array(X: np.ndarray) -> tuple[list[Any], np.ndarray]:
    if X.dtype.names and X.ndim == 1:
        names = list(X.dtype.names)
        return names, _stacked([_floats(X[name], name) for name in names], len(X))
    if X.ndim != 2:
        raise ValueError(f"X must have shape (n, n_features), got {X.shape}")
    keys = list(range(X.shape[1]))
    if X.dtype.kind == "O":
        return keys, _stacked([_floats(X[:, j], j) for j in keys], len(X))
    return keys, _floats(X, None)


def _floats(values: Any, name: Any) -> np.ndarray:
    """Return numbers as float64; ``name`` is that of their column, None for a whole array."""
    kind = values.dtype.kind
    if kind == "O":
        where = f"X[{name!r}]"
        return np.array([_named(value, f"{where}, row {i},") for i, value in enumerate(values)], np.float64)
    if kind not in _PLAIN:
        column = "" if name is None else f" in column {name!r}"
        raise TypeError(f"X must be numbers, got {_KINDS.get(kind, 'others')} ({values.dtype}){column}")
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


def _columns(X: Any) -> tuple[list[Any], list[np.ndarray]]:
    """Return the names and the values of a dataframe's columns."""
    library = type(X).__module__.partition(".")[0]
    if library == "pandas":
        return list(X.columns), _each(_of_pandas, X.columns, [X.iloc[:, j] for j in range(len(X.columns))])
    if library == "polars":
        return list(X.columns), _each(_of_polars, X.columns, X.get_columns())
    if library == "pyarrow":
        return list(X.column_names), _each(_of_arrow, X.column_names, X.columns)
    try:
        import pyarrow
    except ImportError:
        pyarrow = None
    if pyarrow is None or not hasattr(X, "__arrow_c_stream__"):
        raise TypeError(
            f"X must be a dataframe of pandas, polars or pyarrow, or an array, got {type(X).__name__} of {library}"
        )
    return _columns(pyarrow.table(X))


class _StrangeColumnError(Exception):
    pass


def _strange(name: Any, dtype: Any) -> NoReturn:
    raise _StrangeColumnError(f"X[{name!r}]", str(dtype))


def _each(read: Callable[[Any, Any], np.ndarray], names: Sequence[Any], columns: Sequence[Any]) -> list[np.ndarray]:
    """Return the values of all columns; TypeError that names those which hold no numbers."""
    found: list[np.ndarray] = []
    strange: list[tuple[str, str]] = []
    for name, column in zip(names, columns, strict=True):
        try:
            found.append(read(column, name))
        except _StrangeColumnError as error:
            strange.append(error.args)
    if strange:
        places, kinds = (", ".join(words) for words in zip(*strange[:10], strict=True))
        more = f" and {len(strange) - 10} columns more" if len(strange) > 10 else ""
        raise TypeError(f"{places}{more} must be numbers, got {kinds}: leave such columns out, or convert them")
    return found


def _of_pandas(column: Any, name: Any) -> np.ndarray:
    from pandas.api import types

    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind not in _PLAIN + "O":
            _strange(name, dtype)
        return _floats(column.to_numpy(), name)
    if (
        not (types.is_numeric_dtype(dtype) or types.is_bool_dtype(dtype))
        or types.is_complex_dtype(dtype)
        or isinstance(dtype, types.CategoricalDtype)
    ):
        _strange(name, dtype)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _of_polars(column: Any, name: Any) -> np.ndarray:
    import polars

    dtype = column.dtype
    if dtype == polars.Object:
        return _floats(np.array(column.to_list(), object), name)
    if not (dtype.is_numeric() or dtype in (polars.Boolean, polars.Null)):
        _strange(name, dtype)
    return column.cast(polars.Float64).to_numpy()


def _of_arrow(column: Any, name: Any) -> np.ndarray:
    from pyarrow import types

    kind = column.type
    if types.is_boolean(kind) or types.is_float16(kind) or types.is_decimal(kind):
        found = column.to_pylist()
        return np.array([math.nan if value is None else float(value) for value in found], np.float64)
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind)):
        _strange(name, kind)
    return np.array(column.cast("float64", safe=False), np.float64)


# -- what scikit-learn's validation lets pass ------------------------------------------------------


def refuse_others(X: Any) -> Any:
    """Return X for scikit-learn's validation, which converts text, dates and durations to numbers: TypeError for them.

    Its own contract stands: complex numbers are a ValueError there. Masked entries are missing.
    """
    if isinstance(X, np.ma.MaskedArray):
        floats: Any = X.astype(np.result_type(X.dtype, np.float32)) if X.dtype.kind in _PLAIN else X.astype(object)
        return refuse_others(floats.filled(np.nan))
    if isinstance(X, np.ndarray):
        if X.dtype.kind in _KINDS and X.dtype.kind != "c" and X.ndim == 2:
            _floats(X, None)
        return _checked_objects(X) if X.dtype.kind == "O" and X.ndim == 2 else X
    if isinstance(X, (list, tuple)):
        if len(X) > 0 and isinstance(X[0], Mapping):
            raise TypeError(
                "X must be a table, got a sequence of dicts: pass pandas.DataFrame(X); points as dicts are what "
                "imondrian.river takes, one at a time"
            )
        return _checked_list(X)
    # Sparse matrices by keys are dicts, too, and have scikit-learn's own words.
    if isinstance(X, (str, bytes, os.PathLike, Mapping)) and not hasattr(X, "toarray"):
        advice = "pandas.DataFrame(X) makes one" if isinstance(X, Mapping) else "read the file, as by pandas.read_csv"
        got = "a dict" if isinstance(X, Mapping) else f"the {type(X).__name__} {X!r}"
        raise TypeError(f"X must be a table of shape (n, n_features), got {got}: {advice}")
    library = type(X).__module__.partition(".")[0]
    if library in ("pandas", "polars", "pyarrow") and len(getattr(X, "shape", ())) == 2:
        return _checked_frame(X, library)
    return X


def first_infinity(X: Any) -> str:
    """Return where the first infinite value of a table is, in words; "" where that cannot be told."""
    try:
        rows = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError):
        return ""
    if rows.ndim != 2 or not np.isinf(rows).any():
        return ""
    found = np.argwhere(np.isinf(rows))
    row, column = found[0].tolist()
    names = list(X.columns) if hasattr(X, "columns") and not hasattr(X, "column_names") else None
    place = f"X[{names[column]!r}], row {row}," if names is not None else f"X[{row}, {column}]"
    return f" The first is {place} {rows[row, column]}: make it NaN where it means a missing value."


def _checked_frame(X: Any, library: str) -> Any:
    """Return a frame whose columns are numbers; one with columns of objects, with their floats."""
    if library == "pandas":
        if all(isinstance(dtype, np.dtype) and dtype.kind in _PLAIN + "c" for dtype in X.dtypes):
            return X
        floats = _columns(X)[1]
        replaced = [j for j, dtype in enumerate(X.dtypes) if dtype == np.dtype(object)]
        if replaced:
            X = X.copy(deep=False)
            for j in replaced:
                X.isetitem(j, floats[j])
        return X
    _columns(X)
    return X


def _checked_objects(X: np.ndarray) -> np.ndarray:
    """Return an array of objects; those that are numbers, or missing, as floats."""
    found = X.copy()
    for place, value in np.ndenumerate(X):
        if isinstance(value, dict):
            continue  # scikit-learn's own words
        found[place] = _named(value, f"X[{place[0]}, {place[1]}]")
    return found


def _checked_list(X: Sequence[Any]) -> Any:
    try:
        array = np.asarray(X)
    except ValueError:
        return X  # ragged: scikit-learn's own words
    if array.dtype.kind in _PLAIN:
        return array
    if array.ndim == 2 and array.dtype.kind != "c":
        array = np.array(X, dtype=object)
        return _checked_objects(array) if array.ndim == 2 else X
    return X
