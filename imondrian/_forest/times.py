"""When points came: time stamps, and ages such as "2h".

A stamp is a number of seconds, a text by ISO 8601, or a datetime of Python, NumPy or pandas; without a time zone it is
UTC. Numbers may count from anywhere: only differences matter.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from .numbers import record, shown
from .tables import table

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_SHORTEST, _LONGEST = 1e-6, 1e12  # seconds, of an age
_LARGEST = 1e15  # seconds, of a stamp: thirty million years
_WANTED = "a number of seconds, a time by ISO 8601 or a datetime"


def age_seconds(text: str) -> float:
    """Return an age such as "90s", "15m", "2h" or "1d" in seconds; ValueError for what is none."""
    found = _AGE.fullmatch(text)
    length = float(found[1]) * UNITS[found[2]] if found is not None else math.nan
    if not _SHORTEST <= length <= _LONGEST:
        raise ValueError(f"an age must be such as 90s, 15m, 2h or 1d, got {text!r}")
    return length


def seconds(value: Any) -> float:
    """Return a stamp in seconds; ValueError for what is none, missing ones included."""
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            return seconds(datetime.fromisoformat(value.strip()))
    elif isinstance(value, datetime):
        found = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, np.datetime64):
        found = float(_of_datetimes(np.array([value]))[0])
    elif isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_, np.timedelta64)):
        found = float(value)
    else:
        raise ValueError(_WANTED)
    if not abs(found) <= _LARGEST:
        raise ValueError(_WANTED)
    return found


def without_time(x: Any, key: Any) -> dict[Any, Any]:
    """Return a point as a dict, without its time."""
    x = record(x)
    return {name: value for name, value in x.items() if name != key} if key in x else x


def time_of(x: Mapping[Any, Any], key: Any) -> float:
    """Return when a point was, in seconds; ValueError where it does not say."""
    if key not in x:
        raise ValueError(f"x must say when it was, under the key {key!r}: the horizon is an age")
    return _named(x[key], f"x[{key!r}]")


def _named(value: Any, name: str) -> float:
    try:
        return seconds(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} must be {_WANTED}, got {shown(value)}") from None


Split = tuple[list[Any], np.ndarray, np.ndarray, np.ndarray | None]


def timed_table(X: Any, key: Any) -> Split:
    """Return what ``split_table`` does; ValueError where the rows should say when they were, and do not."""
    found = split_table(X, key)
    if key is not None and found[3] is None:
        raise ValueError(f"X must say when its rows were, in a column {key!r}: the horizon is an age")
    return found


def split_table(X: Any, key: Any) -> Split:
    """Return names, values and kinds of a table's columns without that of ``key``, and its values in seconds.

    None where there is no such column, or no key. ValueError tells of a stamp that is none.
    """
    if key is None:
        return *table(X), None
    X = X if isinstance(X, np.ndarray) else _with_columns(X)
    if isinstance(X, np.ndarray):
        if X.dtype.names:
            if key not in X.dtype.names:
                return *table(X), None
            rest = X[[name for name in X.dtype.names if name != key]]
            return *table(rest), _stamps(X[key], key)
        fields, values, nominal = table(X)
        if key not in fields:
            return fields, values, nominal, None
        place = fields.index(key)
        times = _stamps(values[:, place], key)
        others = [name for name in fields if name != key]
        return others, np.delete(values, place, axis=1), np.delete(nominal, place), times
    if key not in list(getattr(X, "column_names", X.columns)):
        return *table(X), None
    column = X[key]
    rest = (
        X.drop_columns([key]) if hasattr(X, "drop_columns") else X.drop(columns=key) if _is_pandas(X) else X.drop(key)
    )
    return *table(rest), _stamps(column, key)


def _with_columns(X: Any) -> Any:
    """Return a table of pandas, polars or pyarrow; what is none is left to :func:`numbers.table`, which says so."""
    if (
        hasattr(X, "columns")
        and hasattr(X, "__arrow_c_stream__")
        and not (_is_pandas(X) or type(X).__module__.partition(".")[0] in ("polars", "pyarrow"))
    ):
        import pyarrow

        return pyarrow.table(X)
    return X if hasattr(X, "columns") else np.asarray(table(X)[1])


def _is_pandas(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "pandas"


def _stamps(column: Any, key: Any) -> np.ndarray:
    """Return a column of stamps in seconds."""
    kind = getattr(column, "dtype", None)
    if isinstance(kind, np.dtype) and kind.kind in "iufM":
        values = np.asarray(column)
        found = _of_datetimes(values) if kind.kind == "M" else values.astype(np.float64)
        bad = np.flatnonzero(~(np.abs(found) <= _LARGEST))
        if len(bad):
            raise ValueError(f"X[{key!r}], row {bad[0]}, must be {_WANTED}, got {shown(values[bad[0]])}")
        return np.ascontiguousarray(found)
    values = (
        column.to_pylist()
        if hasattr(column, "to_pylist")
        else column.tolist()
        if isinstance(column, np.ndarray)
        else column.to_list()
    )
    return np.array([_named(value, f"X[{key!r}], row {i},") for i, value in enumerate(values)], np.float64)


def _of_datetimes(values: np.ndarray) -> np.ndarray:
    """Return datetimes as seconds since 1970, NaN where there is none."""
    days = values.astype("M8[D]")
    # In two steps: nanoseconds since 1970 of a far year do not fit in 64 bits.
    rest = (values - days) / np.timedelta64(1, "s")
    found = days.astype(np.int64) * 86400.0 + rest
    return np.where(np.isnat(values), np.nan, found)
