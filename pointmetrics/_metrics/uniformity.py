"""How evenly a cloud covers its surface: the uniformity of the upsampling papers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._clouds.arrays import check_number, read_clouds, thread_count
from pointmetrics._clouds.libraries import on_callers_device

from .sampling import check_count, sq_distances

PERCENTAGES = (0.004, 0.006, 0.008, 0.010, 0.012)
_CONVENTIONS = ("pu-gan", "pu-gan-paper")
_FEWEST = 5  # points of a disk that the authors' code takes into account
_NEIGHBORS = 9  # looked up once a point, itself included
_SEEDS_AT_A_TIME = 64


@on_callers_device
def uniformity(
    x: Any,
    *,
    percentages: Any = PERCENTAGES,
    area: Any = None,
    n_seeds: int = 1000,
    convention: str = "pu-gan",
    lengths: Any = None,
    n_threads: int | None = None,
) -> Any:
    """Compute how unevenly points are spread, at several scales: 0 is a perfect hexagonal pattern.

    Parameters
    ----------
    x : array (n, 3) or (b, n, 3), or list of (n_i, 3) arrays
        One cloud or several.
    percentages : sequence of float, default=(0.004, 0.006, 0.008, 0.010, 0.012)
        Areas of the disks as shares p of the surface; papers print these five (0.4 % to 1.2 %) or their mean.
    area : float or sequence of b floats, default=None
        Area A of the surface that the clouds sample, of the mesh say: disks have radius sqrt(p A / pi). ``None``
        stands for pi, the area that the paper gives to a cloud normalised to the unit sphere: radius sqrt(p).
    n_seeds : int, default=1000
        Disks, around the first so many of :func:`farthest_points` (all points where there are fewer).
    convention : {"pu-gan", "pu-gan-paper"}, default="pu-gan"
        "pu-gan" is the authors' evaluation code: the clutter is averaged over the points of a disk, disks of
        fewer than 5 points are left out, and 1.732 stands for the root of 3. "pu-gan-paper" is equation 6 as
        printed: clutter is summed, and disks of 2 points or more count.
    lengths : (b,) integers, default=None
        Points in use of each cloud of a batch.
    n_threads : int, default=None
        Threads; ``None`` uses all. Results do not depend on it.

    Returns
    -------
    float64 array (p,) or (b, p)
        One value for each percentage, in the unit of the coordinates. Papers multiply by 1e3.

    Raises
    ------
    ValueError
        Also where at some percentage no disk has enough points.

    Notes
    -----
    A disk S holds the points within its radius r of its seed, s of them. With n = p N points expected,
    d_k the distance of point k to its nearest in S, and e = sqrt(2 pi r^2 / (s sqrt(3))) that of a hexagonal
    pattern, imbalance is (s - n)^2 / n, clutter (d_k - e)^2 / e, and the value the mean over all disks of imbalance
    times clutter.

    The authors' program draws its seeds at random on the mesh and takes geodesic disks; this takes farthest points
    of the cloud and Euclidean balls, as their paper does in its loss. Compare values within one program only.

    Distances within disks come from scipy's ``cKDTree`` in float64. O(n_seeds p n) time, O(n) memory.
    Clouds on a CUDA device are copied to the host.

    References
    ----------
    Li et al., "PU-GAN: a Point Cloud Upsampling Adversarial Network", ICCV 2019, equations 4 to 6 and section 4.2.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> grid = np.stack(np.meshgrid(*[np.arange(60) / 60.0] * 2, [0.0]), -1).reshape(-1, 3)
    >>> random = np.random.default_rng(0).random((3600, 3)) * [1, 1, 0]
    >>> even, uneven = (pm.uniformity(cloud, area=1.0).mean() for cloud in (grid, random))
    >>> bool(even < uneven / 2)
    True
    """
    if convention not in _CONVENTIONS:
        raise ValueError(f"convention must be one of {', '.join(_CONVENTIONS)}; got {convention!r}")
    clouds, library = read_clouds(x, "x", lengths=lengths)
    if clouds.points.shape[1] != 3:
        raise ValueError(f"x must have points of 3 coordinates, got {clouds.points.shape[1]}")
    shares = [check_number(p, "each of percentages", 1e-9, 1) for p in percentages]
    if not shares:
        raise ValueError("percentages must hold at least one, got none")
    areas = _read_areas(area, len(clouds))
    n_seeds = check_count(n_seeds, "n_seeds", 1, 2**31 - 2)
    threads, points = thread_count(n_threads), clouds.backend.download(clouds.points)
    values = np.array(
        [
            _of_cloud(points[a:b], np.array(shares), areas[i], n_seeds, convention, threads)
            for i, (a, b) in enumerate(zip(clouds.offsets[:-1], clouds.offsets[1:], strict=True))
        ]
    )
    return library.wrap(clouds.backend.upload(values[0] if clouds.kind == "single" else values))


def _read_areas(area: Any, b: int) -> list[float]:
    given: list[Any] = [math.pi if area is None else area] * b if area is None or np.isscalar(area) else list(area)
    if len(given) != b:
        raise ValueError(f"area must be one number or {b}, one a cloud, got {len(given)}")
    areas = [check_number(value, "area", 0) for value in given]
    if 0 in areas:
        raise ValueError("area must be above 0, got 0")
    return areas


@dataclass(frozen=True, slots=True)
class _Disks:
    """Points of some disks, an entry each: which disk (of ``n``), which point, how far from the seed."""

    n: int
    seeds: np.ndarray
    disk: np.ndarray
    point: np.ndarray
    sq_dist: np.ndarray

    def within(self, radius: float) -> _Disks:
        inside = self.sq_dist.astype(np.float64) <= radius**2
        return _Disks(self.n, self.seeds, self.disk[inside], self.point[inside], self.sq_dist[inside])


def _of_cloud(
    points: np.ndarray, shares: np.ndarray, area: float, n_seeds: int, convention: str, n_threads: int
) -> np.ndarray:
    from scipy.spatial import cKDTree

    n = len(points)
    seeds = CPU.farthest(points, np.array([0, n]), min(n_seeds, n), 0, n_threads)[0]
    radii = np.sqrt(shares * area / math.pi)
    _, nearest = cKDTree(points).query(points, k=np.arange(1, min(_NEIGHBORS, n) + 1), workers=n_threads)
    totals, counted = np.zeros(len(shares)), np.zeros(len(shares), dtype=np.int64)
    for first in range(0, len(seeds), _SEEDS_AT_A_TIME):
        centres = seeds[first : first + _SEEDS_AT_A_TIME]
        index, offsets = CPU.balls(points, points[centres], np.full(len(centres), radii.max() ** 2), n_threads)
        disk = np.repeat(np.arange(len(centres)), np.diff(offsets))
        widest = _Disks(len(centres), centres, disk, index, sq_distances(points, points, index, centres[disk]))
        for at, radius in enumerate(radii.tolist()):
            products = _products(points, nearest, widest.within(radius), radius, shares[at] * n, convention)
            totals[at] += products.sum()
            counted[at] += len(products)
    if not counted.all():
        at = int(np.flatnonzero(counted == 0)[0])
        raise ValueError(
            f"x has no disk with {_fewest(convention)} points or more at percentage {shares[at]:g}, of "
            f"radius {radii[at]:.4g}: {n:,} points are too few, or area does not go with their scale"
        )
    return totals / counted


def _fewest(convention: str) -> int:
    return _FEWEST if convention == "pu-gan" else 2


def _products(
    points: np.ndarray, nearest: np.ndarray, disks: _Disks, radius: float, expected: float, convention: str
) -> np.ndarray:
    """Return imbalance times clutter of the disks that have enough points."""
    sizes = np.bincount(disks.disk, minlength=disks.n)
    used = sizes >= _fewest(convention)
    kept = used[disks.disk]
    disks = _Disks(disks.n, disks.seeds, disks.disk[kept], disks.point[kept], disks.sq_dist[kept])
    root_three = 1.732 if convention == "pu-gan" else math.sqrt(3)
    hexagonal = np.sqrt(2 * math.pi * radius**2 / (np.maximum(sizes, 1) * root_three))
    apart = _apart(points, nearest, disks, radius)
    ideal = hexagonal[disks.disk]
    shares = np.maximum(sizes, 1) if convention == "pu-gan" else 1
    clutter = np.bincount(disks.disk, (apart - ideal) ** 2 / ideal, minlength=disks.n) / shares
    return ((sizes - expected) ** 2 / expected * clutter)[used]


def _apart(points: np.ndarray, nearest: np.ndarray, disks: _Disks, radius: float) -> np.ndarray:
    """Return each entry's distance to its nearest in the same disk, which has two points or more.

    Mostly that is the nearest in the cloud, or the next; where none of the few that were looked up is in the
    disk, all of the disk's points are gone through.
    """
    wide = points.astype(np.float64, copy=False)
    apart = np.full(len(disks.point), np.nan)
    left = np.arange(len(disks.point))
    for column in range(nearest.shape[1]):
        neighbor = nearest[disks.point[left], column]
        sq_dist = sq_distances(points, points, neighbor, disks.seeds[disks.disk[left]])
        hit = (sq_dist.astype(np.float64) <= radius**2) & (neighbor != disks.point[left])
        done = left[hit]
        apart[done] = np.sqrt(sq_distances(wide, wide, disks.point[done], neighbor[hit]))
        left = left[~hit]
    starts = np.searchsorted(disks.disk, np.arange(disks.n + 1))  # entries come disk by disk
    for entry in left.tolist():
        own = disks.disk[entry]
        others = np.arange(starts[own], starts[own + 1])
        others = disks.point[others[others != entry]]
        apart[entry] = math.sqrt(sq_distances(wide, wide, others, np.full(len(others), disks.point[entry])).min())
    return apart
