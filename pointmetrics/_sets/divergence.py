"""Where two sets have their points: the Jensen-Shannon divergence on a grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._clouds.arrays import Clouds
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._metrics.neighbors import PreparedCloud, nearest_neighbors

from .matrix import read_set


@on_callers_device
def jensen_shannon_divergence(samples: Any, references: Any, *, resolution: int = 28) -> float:
    """Compare where two sets have their points, pooled over clouds, on a grid in the unit ball.

    Parameters
    ----------
    samples, references : array (k, n, d) or list of (n_i, d) arrays
        Sets of clouds within the cube [-0.5, 0.5]^d.
    resolution : int, default=28
        Grid cells a side.

    Returns
    -------
    float
        Between 0 and 1 (base 2).

    Raises
    ------
    ValueError
        Where a point lies outside the cube.

    Notes
    -----
    Cell centres are i / (resolution - 1) - 0.5 along each axis, those within radius 0.5; each point
    counts for its nearest centre, of lowest index where several are.

    References
    ----------
    Achlioptas, Diamanti, Mitliagkas, Guibas, "Learning Representations and Generative Models for 3D
    Point Clouds", ICML 2018, section 3; grid as in PointFlow's evaluation.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> clouds = np.random.default_rng(0).random((3, 50, 3)) - 0.5
    >>> pm.sets.jensen_shannon_divergence(clouds, clouds)
    0.0
    """
    sets = tuple(_read_on_host(*named) for named in ((samples, "samples"), (references, "references")))
    d = sets[0].points.shape[1]
    for name, clouds in zip(("samples", "references"), sets, strict=True):
        reach = np.abs(clouds.points).max()
        if reach > 0.5:
            raise ValueError(f"{name} must lie within [-0.5, 0.5] along every axis, got a coordinate of size {reach:g}")
    axis = np.arange(resolution) / (resolution - 1) - 0.5
    centres = np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d)
    grid = PreparedCloud(centres[np.linalg.norm(centres, axis=1) <= 0.5])
    shares = []
    for clouds in sets:
        cells = nearest_neighbors(clouds.points, grid).x_to_y.index
        shares.append(np.bincount(cells, minlength=len(grid)) / len(cells))
    p, q = shares
    return max(0.0, float(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2))


def _read_on_host(clouds: Any, name: str) -> Clouds:
    read, _ = read_set(clouds, name)
    return replace(read, points=read.backend.download(read.points), backend=CPU)


def _entropy(p: np.ndarray) -> float:
    used = p[p > 0]
    return float(-(used * np.log2(used)).sum())
