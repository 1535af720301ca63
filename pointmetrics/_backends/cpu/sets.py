"""Every cloud's nearest cloud on the CPU, without a matrix of all distances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pointmetrics import _core
from pointmetrics._backends.conventions import Convention, put_together

_AT_ONCE = 20_000  # pairs whose distances are kept until their minima are found


def nearest_clouds(
    x: np.ndarray,
    x_offsets: np.ndarray,
    y: np.ndarray,
    y_offsets: np.ndarray,
    within: bool,
    definition: Convention,
    n_threads: int,
    report: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """See :meth:`pointmetrics._backends.protocol.Backend.nearest_clouds`."""
    x_counts, y_counts = np.diff(x_offsets), np.diff(y_offsets)
    a, b = len(x_counts), len(y_counts)
    x_least = _nobody(a)
    y_least = x_least if within else _nobody(b)
    total, done = a * (a - 1) // 2 if within else a * b, 0
    rows = max(1, _AT_ONCE // b)
    for first in range(0, a, rows):
        last = min(first + rows, a)
        wanted = np.arange(first, last)[:, None] < np.arange(b) if within else np.ones((last - first, b), dtype=bool)
        pairs = np.ascontiguousarray(np.argwhere(wanted))
        pairs[:, 0] += first
        i, j = pairs.T
        forth, back = _core.pairwise(x, x_offsets, y, y_offsets, pairs, definition.power, n_threads)
        distances = np.full((last - first, b), np.inf)
        distances[i - first, j] = put_together(definition, forth, back, x_counts[i], y_counts[j])
        # Columns first: within one set, what they bring has lower numbers than a cloud's own row does.
        _improve(y_least, slice(None), distances.T, first)
        _improve(x_least, slice(first, last), distances, 0)
        done += len(pairs)
        if report is not None and len(pairs):
            report(done, total)
    return *x_least, *y_least


def _nobody(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(n, np.inf), np.full(n, -1, dtype=np.int64)


def _improve(least: tuple[np.ndarray, np.ndarray], at: slice, distances: np.ndarray, first: int) -> None:
    """Learn of distances ``(clouds, others)``; the others' numbers begin at ``first``, and have not come before."""
    nearest = distances.argmin(axis=1)
    found = np.take_along_axis(distances, nearest[:, None], axis=1)[:, 0]
    nearer = found < least[0][at]  # of equally near ones the first stays, which has the lower number
    least[0][at][nearer] = found[nearer]
    least[1][at][nearer] = nearest[nearer] + first
