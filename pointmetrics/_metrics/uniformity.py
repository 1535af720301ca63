"""How evenly a cloud covers its surface: the uniformity of the upsampling papers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmetrics import _core
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._clouds.arrays import read_clouds
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number, check_numbers, thread_count

from .sampling import check_count
from .tree import query

PERCENTAGES = (0.004, 0.006, 0.008, 0.010, 0.012)
_CONVENTIONS = ("pu-gan", "pu-gan-paper")
_FEWEST = 5  # points of a disk that the authors' code takes into account
_NEIGHBORS = 5  # looked up once a point, itself included


@dataclass(frozen=True, slots=True)
class _Options:
    n_seeds: int
    paper: bool
    with_grad: bool
    n_threads: int


@on_callers_device
def uniformity(
    x: Any,
    *,
    percentages: Any = PERCENTAGES,
    area: Any = None,
    n_seeds: int = 1000,
    convention: str = "pu-gan",
    lengths: Any = None,
    return_grad: bool = False,
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
    return_grad : bool, default=False
        Return ``values, grad``: grad is (p, n, 3), (b, p, n, 3) or a list of (p, n_i, 3).
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

    The authors' program draws its 1,000 seeds at random on the mesh, moves the cloud's points to their nearest on it,
    and takes geodesic disks; this takes farthest points of the cloud and Euclidean balls, as their paper does in its
    loss. Compare values within one program only. PU-GCN evaluates with the same code, at 0.8 % and 1.2 %.

    As a loss the imbalance, which has no derivative, weights the clutter: disks and nearest neighbours count as
    fixed in the gradient, and points that coincide have none. The authors' own training loss is a simpler one,
    without disks' sizes (``get_uniform_loss``).

    Distances within disks are in float64. O(n_seeds p n) time, O(n) memory, with gradients what the disks hold.
    Clouds on a CUDA device are copied to the host.

    References
    ----------
    Li et al., "PU-GAN: a Point Cloud Upsampling Adversarial Network", ICCV 2019, equations 4 to 6 and section 4.2;
    ``analyze_uniform`` in ``evaluate.py`` of its code (github.com/liruihui/PU-GAN) and of PU-GCN's.

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
    shares = check_numbers(percentages, "percentages", 1e-9, 1)
    if not shares:
        raise ValueError("percentages must hold at least one, got none")
    areas = _read_areas(area, len(clouds))
    n_seeds = check_count(n_seeds, "n_seeds", 1, 2**31 - 2)
    options = _Options(n_seeds, convention == "pu-gan-paper", return_grad, thread_count(n_threads))
    points = clouds.backend.download(clouds.points)
    found = [
        _of_cloud(points[a:b], np.array(shares), areas[i], options)
        for i, (a, b) in enumerate(zip(clouds.offsets[:-1], clouds.offsets[1:], strict=True))
    ]

    def give(array: np.ndarray) -> Any:
        return library.wrap(clouds.backend.upload(array))

    values = give(found[0][0] if clouds.kind == "single" else np.array([value for value, _ in found]))
    if not return_grad:
        return values
    grads = [grad.astype(points.dtype) for _, grad in found]
    if clouds.kind == "single":
        return values, give(grads[0])
    if clouds.kind == "list":
        return values, [give(grad) for grad in grads]
    whole = np.zeros((len(grads), len(shares), clouds.max_n, 3), dtype=points.dtype)
    for to, grad in zip(whole, grads, strict=True):
        to[:, : grad.shape[1]] = grad
    return values, give(whole)


def _read_areas(area: Any, b: int) -> list[float]:
    if area is None or np.ndim(area) == 0:
        areas = [math.pi if area is None else check_number(area, "area", 0)] * b
    else:
        areas = check_numbers(area, "area", 0)
    if len(areas) != b:
        raise ValueError(f"area must be one number or {b}, one a cloud, got {len(areas)}")
    if 0 in areas:
        raise ValueError("area must be above 0, got 0")
    return areas


def _of_cloud(points: np.ndarray, shares: np.ndarray, area: float, options: _Options) -> tuple[np.ndarray, Any]:
    """Return a value for each share and, where asked for, its gradient ``(p, n, 3)``."""
    from scipy.spatial import cKDTree

    n, paper = len(points), options.paper
    seeds = CPU.farthest(points, np.array([0, n]), min(options.n_seeds, n), 0, options.n_threads)[0]
    radii = np.sqrt(shares * area / math.pi)
    _, near = query(cKDTree(points), points, np.arange(1, min(_NEIGHBORS, n) + 1), options.n_threads)
    ideal = 2 * math.pi / (math.sqrt(3) if paper else 1.732)
    task = points, near, seeds, radii, ideal, options.n_threads
    sizes, clutter = _core.disks(*task)
    used = sizes >= _fewest(paper)
    if not used.any(axis=0).all():
        at = int(np.flatnonzero(~used.any(axis=0))[0])
        raise ValueError(
            f"x has no disk with {_fewest(paper)} points or more at percentage {shares[at]:g}, of "
            f"radius {radii[at]:.4g}: {n:,} points are too few, or area does not go with their scale"
        )
    # What a disk's sum over its points counts for: imbalance, the mean over its points, and that over the disks.
    weights = np.where(used, (sizes - shares * n) ** 2 / (shares * n), 0.0) / used.sum(axis=0)
    if not paper:
        weights /= np.maximum(sizes, 1)
    values = np.where(used, weights * clutter, 0.0).sum(axis=0)
    return values, _gradient(task, sizes, weights) if options.with_grad else None


def _gradient(task: Any, sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the derivatives of the weighted sums of clutter by the points; disks and nearest count as fixed."""
    points, near, seeds, radii, ideal, threads = task
    offsets = np.concatenate([[0], np.cumsum(sizes.reshape(-1))])
    _, _, point, nearest, distance = _core.disks(points, near, seeds, radii, ideal, threads, offsets)
    expected = np.sqrt(ideal * radii**2 / np.maximum(sizes, 1)).reshape(-1)
    disk = np.repeat(np.arange(sizes.size), sizes.reshape(-1))
    pull = 2 * weights.reshape(-1)[disk] * (distance / expected[disk] - 1)
    pull = np.divide(pull, distance, out=np.zeros_like(pull), where=distance > 0)
    flow = (points[point].astype(np.float64) - points[nearest]) * pull[:, None]
    share, n = disk % len(radii), len(points)
    grad = np.empty((len(radii) * n, 3))
    for axis in range(3):
        grad[:, axis] = np.bincount(share * n + point, flow[:, axis], len(grad))
        grad[:, axis] -= np.bincount(share * n + nearest, flow[:, axis], len(grad))
    return grad.reshape(len(radii), n, 3)


def _fewest(paper: bool) -> int:
    return 2 if paper else _FEWEST
