"""How alarms serve the person who gets them: events caught against false incidents.

Alarms less than ``GAP`` rows apart are one incident. An event (a labelled stretch) is caught if an incident *starts*
in it or in the ``LEAD`` rows before it; an incident that starts elsewhere is false. The first ``FIRST`` rows do not
count: detectors are still filling up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

GAP, LEAD, FIRST = 50, 50, 512
READ_AT = (2.0, 5.0, 10.0, 20.0)  # false incidents per 10,000 rows
BUDGETS = (0.0005, 0.0007, 0.001, 0.0014, 0.002, 0.0028, 0.004, 0.0056, 0.008)  # shares of the rows


class Counts(NamedTuple):
    """What alarms of one stream come to; sums of them are those of several streams."""

    rows: int
    alarms: int
    events: int
    caught: int
    false: int
    delays: tuple[int, ...]  # rows from an event's begin to the first incident in it; a missed event's length

    def __add__(self, other: Counts) -> Counts:  # type: ignore[override]
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def false_rate(self) -> float:
        """False incidents per 10,000 rows."""
        return 1e4 * self.false / self.rows


NOTHING = Counts(0, 0, 0, 0, 0, ())


def windows(y: np.ndarray) -> np.ndarray:
    """Return begin and end (exclusive) of each stretch of ones, (n, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], y, [0]))))
    return edges.reshape(-1, 2)


def incidents(alarms: np.ndarray, gap: int = GAP) -> np.ndarray:
    """Return the rows where incidents start: alarms with none in the ``gap`` - 1 rows before."""
    places = np.flatnonzero(alarms)
    return places[np.diff(places, prepend=-gap) >= gap]


def counted(alarms: np.ndarray, y: np.ndarray) -> Counts:
    """Return what alarms (n,) come to on a stream with labels y (n,)."""
    alarms = np.asarray(alarms, bool).copy()
    alarms[:FIRST] = False
    starts = incidents(alarms)
    events = windows(y)
    events = events[events[:, 1] > FIRST]
    hit = (starts[:, None] >= events[:, 0] - LEAD) & (starts[:, None] < events[:, 1])
    caught = hit.any(axis=0)
    first = starts[hit.argmax(axis=0)] if len(starts) else np.zeros(len(events), np.int64)
    begin = np.maximum(events[:, 0], FIRST)
    delays = np.where(caught, np.maximum(first - begin, 0), events[:, 1] - begin)
    return Counts(
        max(len(y) - FIRST, 0),
        int(alarms.sum()),
        len(events),
        int(caught.sum()),
        int((~hit.any(axis=1)).sum()),
        tuple(delays.tolist()),
    )


def read(curve: Sequence[Counts], at: Iterable[float] = READ_AT) -> np.ndarray:
    """Return the share of events caught at given rates of false incidents, by straight lines between budgets.

    Below the least budget the line comes from (0, 0), beyond the largest it stays level.
    """
    points = sorted((counts.false_rate, counts.caught / max(counts.events, 1)) for counts in curve)
    rate, share = np.array([(0.0, 0.0), *points]).T
    return np.interp(list(at), rate, np.maximum.accumulate(share))


def interval(curves: Sequence[Sequence[Counts]], n_draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Return a 95 % bootstrap interval, over streams, of the mean reading; ``curves[stream][budget]``."""
    rng = np.random.default_rng(seed)
    # Sums are linear in how often a stream is drawn: no need to add up Counts.
    table = np.array([[(c.rows, c.events, c.caught, c.false) for c in curve] for curve in curves], np.float64)
    means = []
    for _ in range(n_draws):
        weight = np.bincount(rng.integers(len(curves), size=len(curves)), minlength=len(curves))
        total = np.einsum("s,sbk->bk", weight, table)
        means.append(read([Counts(int(r), 0, int(e), int(c), int(f), ()) for r, e, c, f in total]).mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def pooled(curves: Sequence[Sequence[Counts]]) -> list[Counts]:
    """Return the curve of several streams together."""
    return [sum(same, NOTHING) for same in zip(*curves, strict=True)]
