"""Farthest-point sampling, and the points within balls."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pointmetrics import _core
from pointmetrics._clouds.arrays import read_clouds, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number, thread_count

_LISTED_AT_A_TIME = 1 << 21  # points that balls hold: 16 MB


class Balls(NamedTuple):
    """The points within each ball: those of ball i are ``index[offsets[i]:offsets[i + 1]]``, in rising order.

    ``distance`` is theirs from the centre. ``offsets`` is a numpy array on the host.
    """

    index: Any
    distance: Any
    offsets: np.ndarray


def check_count(value: Any, name: str, low: int, high: int) -> int:
    """Return ``value`` as an int if it is one within bounds."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low:,} and {high:,}, got {value:,}")
    return int(value)


@on_callers_device
def farthest_points(x: Any, k: int, *, start: int = 0, lengths: Any = None, n_threads: int | None = None) -> Any:
    """Sample points by always taking the one farthest from all taken before it.

    Parameters
    ----------
    x : array (n, d) or (b, n, d), or list of (n_i, d) arrays
        One cloud or several.
    k : int
        Points to take of each cloud, from 1 to the size of the smallest.
    start : int, default=0
        Index of the first. Implementations that start at a random point give other samples every time.
    lengths : (b,) integers, default=None
        Points in use of each cloud of a batch.
    n_threads : int, default=None
        Threads; ``None`` uses all. They share the clouds of a batch between them.

    Returns
    -------
    int64 array (k,) or (b, k)
        Indices in the order in which they were taken.

    Notes
    -----
    Exact: the greedy algorithm of Gonzalez, squared distances in the dtype of the clouds, of equally far
    points the one of lowest index. No index is taken twice; of coinciding points the others come last, where
    PointNet++ and its descendants repeat one. A new point only visits the boxes that it is nearer to than the
    points taken before: about O(n log k) time for clouds that fill space evenly, and O(n) memory. On a CUDA
    device O(n k), by passes over whole arrays.

    References
    ----------
    Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985. Eldar et al., "The farthest
    point strategy for progressive image sampling", 1997.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.farthest_points([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [2.0, 0.0]], 3)
    array([0, 2, 3])
    """
    clouds, library = read_clouds(x, "x", lengths=lengths)
    k = check_count(k, "k", 1, int(clouds.counts.min()))
    start = check_count(start, "start", 0, int(clouds.counts.min()) - 1)
    chosen = clouds.backend.farthest(clouds.points, clouds.offsets, k, start, thread_count(n_threads))
    return library.wrap(chosen[0] if clouds.kind == "single" else chosen)


@on_callers_device
def ball_query(x: Any, centres: Any, radius: float, *, lengths: Any = None, n_threads: int | None = None) -> Any:
    """Find all points within a radius of each centre.

    Parameters
    ----------
    x, centres : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds, and the centres of the balls.
    radius : float
        In the unit of the coordinates; points at just this distance are inside.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch: one array for both, or ``(for x, for centres)``.
    n_threads : int, default=None
        Threads; ``None`` uses all. Results do not depend on it.

    Returns
    -------
    Balls or list of Balls
        All points, not the first few as in PointNet++, packed: ``index``, ``distance`` and ``offsets``. A
        list, one a pair, for a batch.

    Notes
    -----
    Exact: squared distances in the dtype of the clouds against the square of the radius in float64. Time and
    memory go with the number of points found; on a CUDA device time is O(n m).

    Examples
    --------
    >>> import pointmetrics as pm
    >>> balls = pm.ball_query([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0]], [[0.0, 0.0], [9.0, 9.0]], 5.0)
    >>> balls.index, balls.distance, balls.offsets
    (array([0, 1, 2]), array([0., 5., 1.]), array([0, 3, 3]))
    """
    radius = check_number(radius, "radius", 0)
    pair = read_pair(x, centres, lengths=lengths, names=("x", "centres"))
    threads, xp, wrap = thread_count(n_threads), pair.backend.xp, pair.library.wrap
    found = []
    for i in range(len(pair)):
        points, middles = pair.x[i], pair.y[i]
        index, offsets = pair.backend.balls(points, middles, xp.full(len(middles), radius * radius), threads)
        owner = pair.backend.upload(np.repeat(np.arange(len(middles)), np.diff(offsets)))
        found.append(Balls(wrap(index), wrap(xp.sqrt(sq_distances(points, middles, index, owner))), offsets))
    return found[0] if pair.x.kind == "single" else found


def some_balls(
    points: np.ndarray, centres: np.ndarray, sq_radii: np.ndarray, n_threads: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """List what the balls of the first centres hold, packed: of as many as fit in little memory, at least one.

    Returns how many these are, the indices of the points, and the balls' offsets within them. For clouds on the host.
    """
    ends = np.cumsum(_core.balls(points, centres, sq_radii, n_threads))
    taken = max(1, int(np.searchsorted(ends, _LISTED_AT_A_TIME, side="right")))
    offsets = np.concatenate([[0], ends[:taken]])
    return taken, _core.balls(points, centres[:taken], sq_radii[:taken], n_threads, offsets), offsets


def sq_distances(x: Any, y: Any, rows_x: Any, rows_y: Any) -> Any:
    """Return squared distances between rows of x and rows of y, with the bits that searches have them in."""
    total = None
    for axis in range(x.shape[1]):
        gap = x[rows_x, axis] - y[rows_y, axis]
        total = gap * gap if total is None else total + gap * gap
    return total
