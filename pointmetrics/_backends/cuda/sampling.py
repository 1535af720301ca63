"""Farthest points, and what lies in balls, by operations on whole arrays: exact, O(n k) and O(n m)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from pointmetrics._backends.protocol import Array

_ENTRIES = 1 << 25  # of a matrix of distances at a time


def farthest(xp: Any, points: Array, offsets: np.ndarray, k: int, start: int) -> Array:
    """See :meth:`pointmetrics._backends.protocol.Backend.farthest`; the device is never waited for."""
    sizes = np.diff(offsets)
    if (sizes == sizes[0]).all():
        return _of_batch(xp, points.reshape(len(sizes), int(sizes[0]), -1), k, start)
    return xp.concatenate([_of_batch(xp, points[None, a:b], k, start) for a, b in pairwise(offsets.tolist())])


def _of_batch(xp: Any, points: Array, k: int, start: int) -> Array:
    b, n, _ = points.shape
    rows = xp.arange(b)
    sq_dist = xp.full((b, n), np.inf, dtype=points.dtype)
    chosen = xp.empty((b, k), dtype=np.int64)
    at = xp.full(b, start, dtype=np.int64)
    for i in range(k):
        chosen[:, i] = at
        if i + 1 < k:
            sq_dist = xp.minimum(sq_dist, _sq_dist(points, points[rows, at][:, None]))
            sq_dist[rows, at] = -1
            at = sq_dist.argmax(axis=1)
    return chosen


def balls(xp: Any, points: Array, centres: Array, sq_radii: Array) -> tuple[Array, np.ndarray]:
    """See :meth:`pointmetrics._backends.protocol.Backend.balls`."""
    ids, counts = [], []
    step = max(1, _ENTRIES // len(points))
    for first in range(0, len(centres), step):
        sq_dist = _sq_dist(points[None], centres[first : first + step, None])
        inside = sq_dist.astype(np.float64) <= sq_radii[first : first + step, None]
        counts.append(xp.asnumpy(inside.sum(axis=1)))
        ids.append(xp.nonzero(inside)[1])
    return xp.concatenate(ids), np.concatenate([[0], np.cumsum(np.concatenate(counts))])


def _sq_dist(x: Array, y: Array) -> Array:
    """Sum squared differences in the order of the axes: the bits of the CPU, as no operation is fused."""
    total = None
    for axis in range(x.shape[-1]):
        gap = x[..., axis] - y[..., axis]
        total = gap * gap if total is None else total + gap * gap
    return total
