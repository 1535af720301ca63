"""When records were: a field of time stamps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imondrian._forest.times import seconds

from .records import Report, Rows, Table


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
