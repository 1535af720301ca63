"""When records were: a field of time stamps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from .records import Report, Rows, Table


def seconds(value: Any) -> float:
    """Return a time stamp in seconds: a number as it is, a text of ISO 8601 since 1970; ValueError for what is none.

    A text without a time zone is taken for UTC.
    """
    if type(value) in (int, float):
        found = float(value)
    elif type(value) is str:
        try:
            found = float(value)
        except ValueError:
            stamp = datetime.fromisoformat(value.strip())
            found = (stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)).timestamp()
    else:
        raise ValueError
    if not math.isfinite(found):
        raise ValueError
    return found


def with_times(table: Table, place: int, name: str, rows: Rows, report: Report) -> Table:
    """Return the records with their times; those whose field, the ``place``-th kept one, holds none are bad lines."""
    assert table.kept is not None
    times, good = [], []
    for i, values in enumerate(table.kept):
        try:
            times.append(seconds(values[place]))
            good.append(i)
        except (ValueError, OverflowError):
            what = (
                f"lacks the time field {name!r}"
                if values[place] is None
                else f"the time field {name!r} must be a number of seconds or a time by ISO 8601, "
                f"got {values[place]!r:.60}"
            )
            report(rows.lines[_place(rows.records, table.records[i])], what)
    if len(good) < len(table.records):
        table = table.only(np.array(good, np.intp))
    return table._replace(times=times)


def _place(records: Sequence[int], number: int) -> int:
    return int(np.searchsorted(np.asarray(records), number))
