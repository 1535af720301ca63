"""What scikit-learn's validation lets pass: it converts text, dates and durations to numbers, which is refused here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .numbers import PLAIN, named_number
from .tables import KINDS, NUMBER, columns_of, floats, library_of


def refuse_others(X: Any) -> Any:
    """Return X for scikit-learn's validation, which converts text, dates and durations to numbers: TypeError for them.

    Its own contract stands: complex numbers are a ValueError there. Masked entries are missing.
    """
    if isinstance(X, np.ma.MaskedArray):
        found: Any = X.astype(np.result_type(X.dtype, np.float32)) if X.dtype.kind in PLAIN else X.astype(object)
        return refuse_others(found.filled(np.nan))
    if isinstance(X, np.ndarray):
        if X.dtype.kind in KINDS and X.dtype.kind != "c" and X.ndim == 2:
            floats(X, None)
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
    library = library_of(X)
    return X if library is None else _checked_frame(X, library)


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
        if all(isinstance(dtype, np.dtype) and dtype.kind in PLAIN + "c" for dtype in X.dtypes):
            return X
        columns = columns_of(X, NUMBER)[1]
        return replaced(X, {j: columns[j][0] for j, dtype in enumerate(X.dtypes) if dtype == np.dtype(object)})
    columns_of(X, NUMBER)
    return X


def replaced(X: Any, columns: dict[int, np.ndarray]) -> Any:
    """Return a frame, or an array of objects, with other values in some columns; X stays as it is."""
    library = library_of(X)
    if not columns:
        return X
    if library == "pandas":
        X = X.copy(deep=False)
        for j, values in columns.items():
            X.isetitem(j, values)
    elif library == "polars":
        import polars

        X = X.with_columns([polars.Series(X.columns[j], values) for j, values in columns.items()])
    elif library == "pyarrow":
        import pyarrow

        if isinstance(X, pyarrow.RecordBatch):
            X = pyarrow.Table.from_batches([X])
        for j, values in columns.items():
            X = X.set_column(j, X.column_names[j], pyarrow.array(values))
    else:
        X = X.copy()
        for j, values in columns.items():
            X[:, j] = values
    return X


def _checked_objects(X: np.ndarray) -> np.ndarray:
    """Return an array of objects; those that are numbers, or missing, as floats."""
    found = X.copy()
    for place, value in np.ndenumerate(X):
        if isinstance(value, dict):
            continue  # scikit-learn's own words
        found[place] = named_number(value, f"X[{place[0]}, {place[1]}]")
    return found


def _checked_list(X: Sequence[Any]) -> Any:
    try:
        array = np.asarray(X)
    except ValueError:
        return X  # ragged: scikit-learn's own words
    if array.dtype.kind in PLAIN:
        return array
    if array.ndim == 2 and array.dtype.kind != "c":
        array = np.array(X, dtype=object)
        return _checked_objects(array) if array.ndim == 2 else X
    return X
