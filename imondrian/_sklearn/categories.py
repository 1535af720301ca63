"""Which columns of a table are categories, and their values as words: before scikit-learn's validation, and after it.

Validation sees zeros in the place of categories. Their words are put there when the precision is known.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from imondrian._forest.checked_tables import replaced
from imondrian._forest.forest import Forest
from imondrian._forest.levels import narrowed, numbers_of_truths
from imondrian._forest.tables import NOMINAL, NUMBER, Column, columns_of, library_of, numpy_column, parts_of

_WORDS = "categorical_features must be 'auto', None, or the names, the indices or a mask of columns"


class Categories:
    """The columns of X that are categories.

    Attributes
    ----------
    X : frame or array
        As it came, with zeros for categories.
    nominal : ndarray (n_features,), bool, or None
        None: there are none.
    """

    def __init__(self, X: Any, words: dict[int, np.ndarray], n_features: int, single: bool) -> None:
        self.nominal: np.ndarray | None = None
        self._words = words
        if words:
            self.nominal = np.zeros(n_features, bool)
            self.nominal[list(words)] = True
            X = replaced(X, {j: np.zeros(len(column), np.float32 if single else float) for j, column in words.items()})
        self.X = X

    def put_into(self, rows: np.ndarray) -> np.ndarray:
        """Return validated rows with the words of the categories."""
        if self._words:
            rows = np.array(rows, order="C") if not rows.flags.writeable else rows
            for j, words in self._words.items():
                rows[:, j] = narrowed(words, rows.dtype)
        return rows


def read_categories(X: Any, asked: Any, forest: Forest | None = None, names: Any = None) -> Categories:
    """Return the categories of X.

    Parameters
    ----------
    X : whatever ``fit`` takes
    asked : categorical_features
    forest : Forest, optional
        The one that is fitted: it says which columns are. None finds out.
    names : sequence, optional
        What messages call the columns, where X does not.

    Raises
    ------
    TypeError, ValueError
        ``asked`` names what is not there; a value is no category; a column is of another kind than it was.
    """
    check_asked(asked)
    known = None if forest is None else forest.nominal
    if asked is None and (known is None or not known.any()):
        return Categories(X, {}, 0, False)
    library = library_of(X)
    if library is not None:
        return _of_frame(X, asked, known)
    if hasattr(X, "toarray") and not isinstance(asked, str | None) and _names_none(asked):
        return Categories(X, {}, 0, False)
    if hasattr(X, "toarray") and ((known is not None and known.any()) or not isinstance(asked, str | None)):
        raise TypeError(f"X must be dense where columns are categories, got {type(X).__name__}: pass X.toarray()")
    if known is None and not isinstance(asked, str):
        rows = _as_array(X)
        if rows is None or rows.ndim != 2:
            return Categories(X, {}, 0, False)  # scikit-learn's own words
        known = mask_of(asked, list(range(rows.shape[1])), named=False)
    elif known is None or not known.any():
        return Categories(X, {}, 0, False)
    single = forest is not None and forest.dtype == np.float32
    return _of_array(X, known, isinstance(asked, str), list(range(len(known))) if names is None else names, single)


def check_asked(asked: Any) -> None:
    """Raise TypeError or ValueError for what ``categorical_features`` cannot be."""
    if asked is None or (isinstance(asked, str) and asked == "auto"):
        return
    if isinstance(asked, str):
        raise ValueError(f"{_WORDS}, got {asked!r}")
    if not isinstance(asked, (Sequence, np.ndarray)) and not hasattr(asked, "__array__"):
        raise TypeError(f"{_WORDS}, got {asked!r}")


def mask_of(asked: Any, names: list[Any], named: bool) -> np.ndarray:
    """Return which columns are asked for, (n_features,); ``named`` says whether they have names."""
    found = np.asarray(asked, object if isinstance(asked, (list, tuple)) else None)
    if found.ndim != 1:
        raise ValueError(f"{_WORDS}, got an array of shape {found.shape}")
    values = found.tolist()
    if values and all(isinstance(value, (bool, np.bool_)) for value in values):
        if len(values) != len(names):
            raise ValueError(f"categorical_features as a mask must have shape ({len(names)},), got {found.shape}")
        return np.array(values, bool)
    mask = np.zeros(len(names), bool)
    for value in values:
        if isinstance(value, str):
            if not named:
                raise ValueError(f"categorical_features names {value!r}, but X has no names: pass a frame, or indices")
            if value not in names:
                raise ValueError(f"categorical_features names {value!r}, which X lacks; it has {_listed(names)}")
            mask[names.index(value)] = True
        elif isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_)):
            if not 0 <= int(value) < len(names):
                raise ValueError(f"categorical_features must be indices from 0 to {len(names) - 1}, got {value}")
            mask[int(value)] = True
        else:
            raise TypeError(f"{_WORDS}, got {value!r} among them")
    return mask


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _of_frame(X: Any, asked: Any, known: np.ndarray | None) -> Categories:
    _, names, columns = parts_of(X)
    by_type = isinstance(asked, str)
    if known is not None and len(known) != len(names):
        return Categories(X, {}, 0, False)  # scikit-learn's own words
    if known is None and not by_type:
        known = mask_of(asked, names, named=True)
    if by_type and all(map(_is_plain, columns)) and (known is None or not known.any()):
        return Categories(X, {}, 0, False)
    wanted = None if by_type or known is None else [NOMINAL if is_nominal else NUMBER for is_nominal in known]
    found = columns_of(X, wanted)[1]
    if known is not None:
        _check_kinds(found, known, names)
        found = [(values, bool(is_nominal)) for (values, _), is_nominal in zip(found, known, strict=True)]
    words = {j: values for j, (values, is_nominal) in enumerate(found) if is_nominal}
    others = [column for j, column in enumerate(columns) if j not in words]
    return Categories(X, words, len(names), bool(others) and all(map(_is_single, others)))


def _of_array(X: Any, known: np.ndarray, by_type: bool, names: Sequence[Any], single: bool) -> Categories:
    rows = _as_array(X)
    if rows is None or rows.ndim != 2 or rows.shape[1] != len(known):
        return Categories(X, {}, 0, False)  # scikit-learn's own words
    words = {}
    for j in np.flatnonzero(known).tolist():
        values = rows[:, j].astype(np.float32) if single and rows.dtype.kind == "f" else rows[:, j]
        column = numpy_column(values, names[j], None if by_type and rows.dtype.kind != "b" else NOMINAL)
        _check_kinds([column], known[j : j + 1], names[j : j + 1])
        words[j] = column[0]
    if rows.dtype.kind in "UST":
        rows = rows.astype(object)
    return Categories(rows, words, len(known), rows.dtype == np.float32)


def levels_told(X: Any, nominal: np.ndarray) -> list[dict[int, Any]]:
    """Return the categories of each row as they came, by column."""
    library = library_of(X)
    columns: Any = parts_of(X)[2] if library is not None else np.transpose(_as_array(X))  # type: ignore[arg-type]
    values = {"pyarrow": "to_pylist", "polars": "to_list"}.get(library or "", "tolist")
    told = {j: getattr(columns[j], values)() for j in np.flatnonzero(nominal).tolist()}
    return [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)]


def _check_kinds(found: Sequence[Column], known: np.ndarray, names: Sequence[Any]) -> None:
    """Raise TypeError where a column with values is of another kind than the forest's; truth values may be numbers."""
    for (values, is_nominal), was_nominal, name in zip(found, known.tolist(), names, strict=True):
        is_other = is_nominal != was_nominal and not np.isnan(values).all()
        if is_other and not (is_nominal and numbers_of_truths(values) is not None):
            kinds = ("numbers", "categories")
            raise TypeError(
                f"X[{name!r}] must be {kinds[was_nominal]}, got {kinds[is_nominal]}: the forest was fitted to "
                f"{kinds[was_nominal]}"
            )


def _as_array(X: Any) -> np.ndarray | None:
    """Return an array, or a list of rows, as an array whose values are as they came."""
    if isinstance(X, np.ndarray):
        return X
    if not isinstance(X, (list, tuple)):
        return None
    try:
        found = np.asarray(X)
        return found if found.dtype.kind in "biuf" else np.array(X, object)
    except ValueError:
        return None  # ragged


def _is_plain(column: Any) -> bool:
    """Return whether a column is of numbers by its type alone."""
    dtype = getattr(column, "dtype", None)
    return isinstance(dtype, np.dtype) and dtype.kind in "iuf"


def _is_single(column: Any) -> bool:
    """Return whether a column is of 32-bit floats."""
    return str(getattr(column, "dtype", getattr(column, "type", None))).lower() in ("float32", "float")


def _names_none(asked: Any) -> bool:
    """Return whether a list of columns is empty, or a mask of none."""
    return len(asked) == 0 or all(isinstance(each, (bool, np.bool_)) and not each for each in asked)
