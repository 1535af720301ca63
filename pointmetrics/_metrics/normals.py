"""Normals of clouds that came without."""

from __future__ import annotations

from typing import Any

import numpy as np

from pointmetrics import _core
from pointmetrics._clouds.arrays import read_clouds
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import thread_count

from .sampling import check_count
from .tree import query

_NEIGHBORS_AT_A_TIME = 1 << 20


@on_callers_device
def estimate_normals(x: Any, *, k: int = 16, lengths: Any = None, n_threads: int | None = None) -> Any:
    """Estimate the normal of the surface at every point, from its nearest neighbours.

    Parameters
    ----------
    x : array (n, 3) or (b, n, 3), or list of (n_i, 3) arrays
        One cloud or several, of 3 points or more.
    k : int, default=16
        Neighbours that a plane is fitted to, the point included (all points, where there are fewer).
    lengths : (b,) integers, default=None
        Points in use of each cloud of a batch.
    n_threads : int, default=None
        Threads of the search; ``None`` uses all.

    Returns
    -------
    array shaped like x
        Unit normals in the dtype of x; their sign says nothing, and is such that the coordinate of largest
        magnitude is positive. Padding holds 0.

    Notes
    -----
    The direction of least variance of the neighbours, found in float64 with scipy's ``cKDTree``. Where
    they lie on a line or in one point any direction across is a normal. Clouds on a CUDA device are copied to the
    host.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> plane = np.random.default_rng(0).random((50, 3)) * [1, 1, 0]
    >>> bool(np.allclose(pm.estimate_normals(plane), [0, 0, 1]))
    True
    """
    clouds, library = read_clouds(x, "x", lengths=lengths)
    if clouds.points.shape[1] != 3:
        raise ValueError(f"x must have points of 3 coordinates, got {clouds.points.shape[1]}")
    if clouds.counts.min() < 3:
        raise ValueError(f"x must have 3 points or more for normals, got {clouds.counts.min()}")
    k = check_count(k, "k", 3, 2**31 - 2)
    points, threads = clouds.backend.download(clouds.points), thread_count(n_threads)
    normals = np.concatenate(
        [of_cloud(points[a:b], k, threads) for a, b in zip(clouds.offsets[:-1], clouds.offsets[1:], strict=True)]
    )
    unpacked = clouds.unpack(clouds.backend.upload(normals.astype(points.dtype)))
    return [library.wrap(part) for part in unpacked] if isinstance(unpacked, list) else library.wrap(unpacked)


def of_cloud(points: np.ndarray, k: int, n_threads: int) -> np.ndarray:
    """Return unit normals ``(n, 3)`` in float64 of one numpy cloud."""
    from scipy.spatial import cKDTree

    wide = np.ascontiguousarray(points, dtype=np.float64)
    tree, normals = cKDTree(wide), np.empty(points.shape)
    k = min(k, len(points))
    step = max(1, _NEIGHBORS_AT_A_TIME // k)
    for first in range(0, len(points), step):
        part = slice(first, first + step)
        _, near = query(tree, wide[part], np.arange(1, k + 1), n_threads)
        gaps = wide[near] - wide[part, None]
        gaps -= gaps.mean(axis=1, keepdims=True)
        normals[part] = np.linalg.eigh(gaps.transpose(0, 2, 1) @ gaps)[1][:, :, 0]
    largest = np.take_along_axis(normals, np.abs(normals).argmax(axis=1)[:, None], axis=1)
    return normals * np.where(largest < 0, -1.0, 1.0)


def of_radius(points: np.ndarray, cores: np.ndarray, radius: float, n_threads: int) -> np.ndarray:
    """Return unit normals ``(m, 3)`` of the points within ``radius`` of each core; NaN where they are fewer than 3."""
    counts, sums = _core.ball_moments(points, cores, radius, n_threads)
    means = sums[:, :3] / np.maximum(counts, 1)[:, None]
    spread = sums[:, [3, 4, 5, 4, 6, 7, 5, 7, 8]].reshape(-1, 3, 3)
    spread -= means[:, :, None] * sums[:, None, :3]
    normals = np.full(cores.shape, np.nan)
    enough = counts >= 3
    normals[enough] = np.linalg.eigh(spread[enough])[1][:, :, 0]
    return normals
