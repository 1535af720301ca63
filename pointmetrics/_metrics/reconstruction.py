"""Reconstructions against scans: thinning, accuracy and completeness, and F-score as benchmarks take them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pointmetrics._clouds.arrays import read_clouds, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number, thread_count

from .f_score import FScore, f_score
from .neighbors import find
from .sampling import some_balls

_FEWEST_AT_A_TIME, _MOST_AT_A_TIME = 1 << 12, 1 << 17  # balls
_STATISTICS = ("mean", "median")


class Reconstruction(NamedTuple):
    """Accuracy (of the reconstruction's points), completeness (of the reference's), and the mean of both."""

    accuracy: Any
    completeness: Any
    overall: Any


@on_callers_device
def voxel_downsample(x: Any, size: float) -> Any:
    """Replace the points of every voxel by their mean, as Open3D does.

    Parameters
    ----------
    x : array (n, d)
        One cloud.
    size : float
        Edge of the voxels, a length.

    Returns
    -------
    array (m, d)
        In the dtype of x, in the order of the voxels along the axes.

    Notes
    -----
    The grid begins half a voxel below the least coordinates of x. Clouds on a CUDA device are copied to the host.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.voxel_downsample([[0.0, 0.0], [0.2, 0.0], [5.0, 0.0]], 1.0)
    array([[0.1, 0. ],
           [5. , 0. ]])
    """
    points, give = _one(x)
    return give(_voxel_means(points, _above_zero(size, "size"), "size", "x"))


def _voxel_means(points: np.ndarray, size: float, of_size: str, name: str) -> np.ndarray:
    """Return the means of voxels; ``of_size`` is the argument that ``size`` comes from."""
    low = points.min(axis=0).astype(np.float64) - size / 2
    cells = (points - low) / size
    if cells.max() >= 2**62:
        raise ValueError(
            f"{of_size} must be larger for the extent of {name}: there would be {cells.max():.3g} voxels of {size:g} "
            "along an axis"
        )
    _, voxel, counts = np.unique(np.floor(cells).astype(np.int64), axis=0, return_inverse=True, return_counts=True)
    voxel = voxel.reshape(-1)
    sums = [np.bincount(voxel, points[:, axis] - low[axis], len(counts)) for axis in range(points.shape[1])]
    return (np.stack(sums, axis=1) / counts[:, None] + low).astype(points.dtype)


@on_callers_device
def thin_points(x: Any, spacing: float, *, seed: int | None = None, n_threads: int | None = None) -> Any:
    """Leave points out until no two are within a distance of each other, as the evaluation of DTU does.

    Parameters
    ----------
    x : array (n, d)
        One cloud.
    spacing : float
        A length; of points at just this distance one is left out, too.
    seed : int, default=None
        Go through the points in a random order of this seed, as the original does; ``None`` takes them as they come.
    n_threads : int, default=None
        Threads; ``None`` uses all. Results do not depend on it.

    Returns
    -------
    int64 array (m,)
        Indices of the points that are left, rising.

    Notes
    -----
    Each point in its turn stays if none that stayed is within ``spacing``: all points left out have one that stayed.
    O(n) memory, also where many points are within ``spacing`` of each other.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.thin_points([[0.0], [0.5], [1.0], [1.5]], 0.7)
    array([0, 2])
    """
    spacing = _above_zero(spacing, "spacing")
    points, give = _one(x)
    threads = thread_count(n_threads)
    turn = np.arange(len(points)) if seed is None else np.random.default_rng(seed).permutation(len(points))
    points = np.ascontiguousarray(points[turn])
    stayed: list[int] = []
    waiting, width = np.arange(len(points)), _FEWEST_AT_A_TIME
    while len(waiting):
        rest = points[waiting]
        centres = rest[:width]
        taken, index, offsets = some_balls(rest, centres, np.full(len(centres), spacing**2), threads)
        left_out, bounds = np.zeros(len(rest), dtype=bool), offsets.tolist()
        for at, row in enumerate(waiting[:taken].tolist()):
            if not left_out[at]:
                stayed.append(row)
                left_out[index[bounds[at] : bounds[at + 1]]] = True  # itself, too
        waiting, width = waiting[~left_out], min(2 * taken, _MOST_AT_A_TIME)
    return give(np.sort(turn[np.array(stayed)]))


@on_callers_device
def accuracy_completeness(
    x: Any,
    y: Any,
    *,
    max_distance: float | None = None,
    spacing: float | None = None,
    statistic: str = "mean",
    seed: int | None = None,
    n_threads: int | None = None,
) -> Reconstruction:
    """Compute accuracy and completeness of a reconstruction, as the evaluation of DTU does.

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        Reconstruction and reference scan.
    max_distance : float, default=None
        Leave distances of this or more out as outliers; ``None`` keeps all. DTU: 20 (mm). In Python's evaluation of
        DTU they are left out of both directions, as here.
    spacing : float, default=None
        First thin the reconstruction to this spacing (:func:`thin_points`); ``None`` takes it as it is. DTU: 0.2 (mm).
    statistic : {"mean", "median"}, default="mean"
        Of the distances. Tables of DTU have the mean.
    seed : int, default=None
        Of the order in which points are thinned.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    Reconstruction
        ``accuracy``: statistic of the distances of x to y; ``completeness``: of y to x; ``overall``: their mean.
        Lengths, lower is better.

    Raises
    ------
    ValueError
        Also where all distances of a direction are outliers.

    Notes
    -----
    DTU's masks (what the scanner saw, what lies above the table) are files of that data set: apply them before. The
    60 mm in its code are the margin around the observed box within which points are kept, no bound of distances.

    References
    ----------
    Aanaes, Jensen, Vogiatzis, Tola, Dahl, "Large-Scale Data for Multiple-View Stereopsis", IJCV 2016;
    ``eval.py`` of github.com/jzhangbs/DTUeval-python: ``max_dist`` 20, ``downsample_density`` 0.2.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.accuracy_completeness([[0.0, 0.0], [0.0, 30.0]], [[0.0, 1.0]], max_distance=20.0).accuracy
    1.0
    """
    if statistic not in _STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(_STATISTICS)}; got {statistic!r}")
    if max_distance is not None:
        max_distance = _above_zero(max_distance, "max_distance")
    if spacing is not None:
        points, give = _one(x)
        x = give(points[thin_points(points, spacing, seed=seed, n_threads=n_threads)])
    pair = read_pair(x, y)
    if pair.x.kind != "single":
        raise ValueError(f"x and y must be single clouds, got batches of {len(pair)}")
    found = find(pair, n_threads)
    values = []
    for name, sq_dist in (("x to y", found.sq_x), ("y to x", found.sq_y)):
        distance = np.sqrt(pair.backend.download(sq_dist).astype(np.float64))
        if max_distance is not None:
            distance = distance[distance < max_distance]
        if len(distance) == 0:
            raise ValueError(f"max_distance leaves no distance from {name}: all are {max_distance:g} or more")
        values.append(float(np.mean(distance) if statistic == "mean" else np.median(distance)))
    return Reconstruction(values[0], values[1], sum(values) / 2)


@on_callers_device
def tanks_and_temples(
    x: Any, y: Any, threshold: float, *, voxel: float | None = None, n_threads: int | None = None
) -> FScore:
    """Compute F-score, precision and recall as the evaluation of Tanks and Temples does.

    Parameters
    ----------
    x, y : array (n, 3) and (m, 3)
        Reconstruction, aligned and cropped, and reference scan.
    threshold : float
        Distance of the scene, in metres: 0.003 to 0.025 in the training set.
    voxel : float, default=None
        Edge of the voxels that both clouds are first reduced to (:func:`voxel_downsample`); ``None`` is half of
        ``threshold``, as in the original.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    FScore
        ``f_score``, ``precision``, ``recall``, in [0, 1]. Tables multiply by 100.

    Notes
    -----
    The original also aligns the reconstruction by camera poses and crops it with a polygon of the scene: do so
    before.

    References
    ----------
    Knapitsch, Park, Zhou, Koltun, "Tanks and Temples: Benchmarking Large-Scale Scene Reconstruction", TOG 2017;
    ``EvaluateHisto`` in ``python_toolbox/evaluation/evaluation.py`` of its code, with voxels of ``dTau / 2``.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> result = pm.tanks_and_temples([[0.0, 0, 0], [9.0, 0, 0]], [[0.0, 0, 0.001]], 0.01)
    >>> float(result.precision), float(result.recall)
    (0.5, 1.0)
    """
    threshold = _above_zero(threshold, "threshold")
    of_size = "threshold" if voxel is None else "voxel"
    size = threshold / 2 if voxel is None else _above_zero(voxel, "voxel")
    sides = []
    for name, cloud in (("x", x), ("y", y)):
        points, give = _one(cloud, name)
        sides.append(give(_voxel_means(points, size, of_size, name)))
    return f_score(sides[0], sides[1], threshold=threshold, return_details=True, n_threads=n_threads)


def _above_zero(value: Any, name: str) -> float:
    number = check_number(value, name, 0)
    if number == 0:
        raise ValueError(f"{name} must be above 0, got 0")
    return number


def _one(x: Any, name: str = "x") -> tuple[np.ndarray, Any]:
    """Return a single cloud on the host, and how to give an array back in the caller's library."""
    clouds, library = read_clouds(x, name)
    if clouds.kind != "single":
        raise ValueError(f"{name} must be one cloud of shape (n, d), got a {clouds.kind} of {len(clouds)}")
    return clouds.backend.download(clouds.points), lambda values: library.wrap(clouds.backend.upload(values))
