"""Scans of one scene: a region of interest, depths along rays, and change between epochs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pointmetrics import _core
from pointmetrics._backends.conventions import ConventionName
from pointmetrics._clouds.arrays import read_clouds, read_pair
from pointmetrics._clouds.libraries import check_cpu, on_callers_device
from pointmetrics._clouds.numbers import check_number, check_numbers, thread_count, to_unit
from pointmetrics._clouds.per_point import read_vectors

from . import normals as _normals
from .chamfer import chamfer_distance
from .neighbors import find

_95_PERCENT = 1.96


class RayErrors(NamedTuple):
    """Errors of depth: mean and median of the absolute error (lengths), and of the error in units of the true depth."""

    l1: float
    l1_median: float
    abs_rel: float
    abs_rel_median: float


class M3C2(NamedTuple):
    """Change at each core point: NaN, or 0 points, where a cylinder holds none of an epoch.

    ``distance`` is signed along the normal, from x to y; changes within ``level_of_detection`` (95 %) are not
    significant. ``spread_x`` and ``spread_y`` are standard deviations along the normal, ``n_x`` and ``n_y`` counts.
    """

    distance: Any
    level_of_detection: Any
    spread_x: Any
    spread_y: Any
    n_x: Any
    n_y: Any
    normals: Any


@on_callers_device
def near_field_chamfer_distance(
    x: Any, y: Any, low: Any, high: Any, *, convention: ConventionName = "occnet-l2", n_threads: int | None = None
) -> Any:
    """Compute the Chamfer distance of the parts of two clouds within a box, as occupancy forecasting reports it.

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        Forecast and scan.
    low, high : sequence of d float
        Corners of the region of interest; points on its faces are inside. (-70, -70, -4.5) and (70, 70, 4.5) metres
        in the paper.
    convention : str, default="occnet-l2"
        A key of :func:`conventions`. The default, (mean a^2 + mean b^2) / 2, is that of the authors' code.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar
        In the unit of the convention.

    Raises
    ------
    ValueError
        Also where a cloud has no point in the box; the authors' code then counts 0, which rewards it.

    References
    ----------
    Khurana, Hu, Held, Ramanan, "Point Cloud Forecasting as a Proxy for 4D Occupancy Forecasting", CVPR 2023.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> x, y = [[0.0, 0.0], [99.0, 0.0]], [[0.0, 2.0], [0.0, 50.0]]
    >>> float(pm.near_field_chamfer_distance(x, y, [-5, -5], [5, 5]))
    4.0
    """
    parts = []
    for name, cloud in (("x", x), ("y", y)):
        clouds, library = read_clouds(cloud, name)
        if clouds.kind != "single":
            raise ValueError(f"{name} must be one cloud of shape (n, d), got a {clouds.kind} of {len(clouds)}")
        points, xp = clouds.points, clouds.backend.xp
        box = [_read_corner(corner, side, points.shape[1]) for corner, side in ((low, "low"), (high, "high"))]
        if (box[0] > box[1]).any():
            raise ValueError(f"low must not be above high, got {box[0].tolist()} and {box[1].tolist()}")
        inside = xp.ones(len(points), dtype=bool)
        for axis in range(points.shape[1]):
            inside &= (points[:, axis] >= float(box[0][axis])) & (points[:, axis] <= float(box[1][axis]))
        if not bool(inside.any()):
            raise ValueError(f"{name} has no point between low and high")
        parts.append(library.wrap(points[inside]))
    return chamfer_distance(*parts, convention=convention, n_threads=n_threads)


def _read_corner(corner: Any, name: str, d: int) -> np.ndarray:
    values = check_numbers(corner, name, -np.inf)
    if len(values) != d:
        raise ValueError(f"{name} must hold {d} numbers, one an axis, got {len(values)}")
    return np.array(values)


@on_callers_device
def ray_depth_errors(
    x: Any, y: Any, *, origin: Any = None, paired: bool = False, n_threads: int | None = None
) -> RayErrors:
    """Compare the depths that two scans have along the rays of one sensor.

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        Forecast and scan, from one origin.
    origin : sequence of d float, default=None
        Place of the sensor; ``None`` is the origin of the coordinates.
    paired : bool, default=False
        Whether point i of x lies on the ray of point i of y. Otherwise each ray of y is compared with the ray of x
        whose direction is nearest to its own (of equally near ones the first).
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    RayErrors
        ``l1``, ``l1_median``, ``abs_rel``, ``abs_rel_median``: over the rays of y.

    Raises
    ------
    ValueError
        Also where a point is at the origin.

    References
    ----------
    Khurana, Hu, Held, Ramanan, "Point Cloud Forecasting as a Proxy for 4D Occupancy Forecasting", CVPR 2023.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.ray_depth_errors([[3.0, 0.0], [0.0, 5.0]], [[0.0, 4.0], [2.0, 0.0]]).l1
    1.0
    """
    pair = read_pair(x, y)
    if pair.x.kind != "single":
        raise ValueError(f"x and y must be single clouds, got batches of {len(pair)}")
    d = pair.x.points.shape[1]
    at = np.zeros(d) if origin is None else _read_corner(origin, "origin", d)
    rays = []
    for name, side in (("x", pair.x), ("y", pair.y)):
        way = pair.backend.download(side.points).astype(np.float64) - at
        depth = np.sqrt((way**2).sum(axis=1))
        if (depth == 0).any():
            raise ValueError(f"{name} has a point at origin, which lies on no ray: index {int(depth.argmin())}")
        rays.append((way / depth[:, None], depth))
    (x_ways, x_depth), (y_ways, y_depth) = rays
    if paired:
        if len(x_depth) != len(y_depth):
            raise ValueError(
                f"x and y must hold equally many points where paired, got {len(x_depth)} and {len(y_depth)}"
            )
    else:
        x_depth = x_depth[find(read_pair(x_ways, y_ways), n_threads).id_y]
    error = np.abs(x_depth - y_depth)
    relative = error / y_depth
    return RayErrors(float(error.mean()), float(np.median(error)), float(relative.mean()), float(np.median(relative)))


@on_callers_device
def cloud_to_cloud(x: Any, y: Any, *, lengths: Any = None, n_threads: int | None = None) -> Any:
    """Compute the distance of every point of x to its nearest in y: "C2C" of CloudCompare.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Compared and reference clouds.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    array (n,) or (b, n), or list of (n_i,) arrays
        Lengths, unsigned. Padding holds 0. The summaries that CloudCompare prints are their mean and deviation.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.cloud_to_cloud([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]])
    array([0., 5.])
    """
    pair = read_pair(x, y, lengths=lengths)
    return pair.per_point(pair.x, pair.backend.xp.sqrt(find(pair, n_threads).sq_x))


def m3c2(
    x: Any,
    y: Any,
    *,
    radius: float,
    max_distance: float,
    cores: Any = None,
    normals: Any = None,
    normal_radius: float | None = None,
    orientation: Any = (0.0, 0.0, 1.0),
    registration_error: float = 0.0,
    n_threads: int | None = None,
) -> M3C2:
    """Compute change between two scans along local normals, and how much of it is significant (M3C2).

    Parameters
    ----------
    x, y : array (n, 3) and (m, 3)
        Earlier and later scan.
    radius : float
        Of the cylinders around each normal, within which a scan's points are averaged: half the "projection
        scale" d of the paper.
    max_distance : float
        Half the length of the cylinders: how far to look along the normal, either way.
    cores : array (c, 3), default=None
        Points at which change is computed; ``None`` takes all of x.
    normals : array (c, 3), default=None
        At the cores, of any length and as they are to be signed. ``None`` estimates them.
    normal_radius : float, default=None
        Normals are fitted to the points of x this near to a core: half the "normal scale" D of the paper. Needed
        where ``normals`` is None.
    orientation : sequence of 3 float, default=(0, 0, 1)
        Estimated normals are turned to this side.
    registration_error : float, default=0.0
        Length that is added to the level of detection before its factor.
    n_threads : int, default=None
        Threads; ``None`` uses all. Results do not depend on it.

    Returns
    -------
    M3C2
        Arrays (c,) of float64, counts of int64, and the normals (c, 3).

    Notes
    -----
    With mean position m and standard deviation s (of n - 1) along the normal of the n points of a scan within a
    core's cylinder, distance is m_y - m_x and the level of detection 1.96 (sqrt(s_x^2 / n_x + s_y^2 / n_y) +
    registration_error): for 95 %, with a normal law, as CloudCompare and py4dgeo have it. It is NaN where a scan has
    one point only. Cylinders are looked up in a tree of boxes: O(n) memory.

    References
    ----------
    Lague, Brodu, Leroux, "Accurate 3D comparison of complex topography with terrestrial laser scanner", ISPRS
    Journal of Photogrammetry and Remote Sensing, 2013.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> ground = np.random.default_rng(0).random((2000, 3)) * [10, 10, 0]
    >>> change = pm.m3c2(ground, ground + [0.0, 0.0, 0.5], radius=1.0, max_distance=2.0, normal_radius=1.0)
    >>> bool(np.allclose(change.distance, 0.5)), bool((change.level_of_detection < 0.5).all())
    (True, True)
    """
    radius, max_distance = _length(radius, "radius"), _length(max_distance, "max_distance")
    registration_error = check_number(registration_error, "registration_error", 0)
    threads = thread_count(n_threads)
    before, after = _epoch(x, "x"), _epoch(y, "y")
    at = before if cores is None else _epoch(cores, "cores")
    axes = _read_axes(before, at, cores if cores is not None else x, normals, normal_radius, orientation, threads)
    known = ~np.isnan(axes[:, 0])
    sides = []
    for scan in (before, after):
        count, mean, sq_dev = np.zeros(len(at), dtype=np.int64), np.full(len(at), np.nan), np.full(len(at), np.nan)
        count[known], mean[known], sq_dev[known] = _core.cylinders(
            scan, np.ascontiguousarray(at[known]), np.ascontiguousarray(axes[known]), radius, max_distance, threads
        )
        mean[count == 0] = np.nan
        spread = np.sqrt(np.divide(sq_dev, count - 1, out=np.full(len(at), np.nan), where=count > 1))
        sides.append((count, mean, spread))
    (n_x, mean_x, spread_x), (n_y, mean_y, spread_y) = sides
    noise = np.sqrt(spread_x**2 / np.maximum(n_x, 1) + spread_y**2 / np.maximum(n_y, 1))
    return M3C2(mean_y - mean_x, _95_PERCENT * (noise + registration_error), spread_x, spread_y, n_x, n_y, axes)


def _read_axes(
    scan: np.ndarray,
    at: np.ndarray,
    cores: Any,
    normals: Any,
    normal_radius: float | None,
    orientation: Any,
    n_threads: int,
) -> np.ndarray:
    """Return unit vectors (c, 3); NaN where a core has too few neighbours for one."""
    if normals is not None:
        axes = read_vectors(normals, read_clouds(cores, "cores")[0], "normals")
        missing = ~axes.any(axis=1)
        if missing.any():
            raise ValueError(f"normals must not be 0, got one at index {int(missing.argmax())}")
        return to_unit(axes)
    if normal_radius is None:
        raise ValueError("normal_radius must be given where normals are not")
    up = _read_corner(orientation, "orientation", 3)
    if not up.any():
        raise ValueError("orientation must not be 0: it says to which side normals are turned")
    axes = _normals.of_radius(scan, at, _length(normal_radius, "normal_radius"), n_threads)
    return np.where(((axes * up).sum(axis=1) < 0)[:, None], -axes, axes)


def _length(value: Any, name: str) -> float:
    number = check_number(value, name, 0)
    if number == 0:
        raise ValueError(f"{name} must be above 0, got 0")
    return number


def _epoch(x: Any, name: str) -> np.ndarray:
    clouds, library = read_clouds(x, name)
    check_cpu(library, name)
    if clouds.kind != "single" or clouds.points.shape[1] != 3:
        raise ValueError(
            f"{name} must be one cloud of shape (n, 3), got a {clouds.kind} of {len(clouds)} in dimension "
            f"{clouds.points.shape[1]}"
        )
    return clouds.points.astype(np.float64, copy=False)
