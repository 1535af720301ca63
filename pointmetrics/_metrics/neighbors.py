"""Nearest neighbours between clouds, and the gradients that flow through them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import Pair, Prepared, read_clouds, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import thread_count


class Neighbor(NamedTuple):
    """Distance to, and index of, each point's nearest neighbour in the other cloud."""

    distance: Any
    index: Any


class Neighbors(NamedTuple):
    """Nearest neighbours in both senses."""

    x_to_y: Neighbor
    y_to_x: Neighbor


@dataclass(frozen=True, slots=True)
class Found:
    """Packed squared distances and neighbour ids (within the other cloud of the pair)."""

    sq_x: Array
    id_x: Array
    sq_y: Array
    id_y: Array


def find(pair: Pair, n_threads: int | None = None) -> Found:
    """Find every point's nearest neighbour in the other cloud, in both senses."""
    x, y = pair.x, pair.y
    threads = thread_count(n_threads)
    nearest = pair.backend.nearest
    if pair.prepared == "x":
        found = nearest(y.points, y.offsets, x.points, x.offsets, threads, pair.index)
        return Found(found[2], found[3], found[0], found[1])
    return Found(*nearest(x.points, x.offsets, y.points, y.offsets, threads, pair.index))


def pull(pair: Pair, found: Found, coef_x: Array | None, coef_y: Array | None) -> tuple[Array, Array]:
    """Return the gradients of ``sum coef_x * sq_x + sum coef_y * sq_y`` with respect to both clouds.

    Neighbours count as fixed. Sums run in index order in float64, so the result has the same bits on
    every call. ``None`` leaves a direction out.
    """
    x, y = pair.x, pair.y
    return pair.backend.nearest_grad(x.points, x.offsets, y.points, y.offsets, found.id_x, coef_x, found.id_y, coef_y)


def rows_found(pair: Pair, found: Found) -> tuple[Array, Array]:
    """Return each point's neighbour as a row of the other side's packed points, for x and for y."""
    sides = ((pair.x, pair.y, found.id_x), (pair.y, pair.x, found.id_y))
    forth, back = (ids + source.spread(target.offsets[:-1]) for source, target, ids in sides)
    return forth, back


def root_coef(sq_dist: Array, coef: Array, xp: Any = np) -> Array:
    """Turn coefficients of distances into coefficients of their squares: 0 where the points coincide.

    The distance has no derivative there; 0 is a subgradient, and keeps training finite.
    """
    distance = xp.sqrt(sq_dist.astype(np.float64, copy=False))
    apart = distance > 0
    return xp.where(apart, coef / (2 * xp.where(apart, distance, 1.0)), 0.0)


def give_grads(pair: Pair, grads: tuple[Array, Array]) -> tuple[Any, Any]:
    """Give packed gradients back in the shapes and library of the caller's clouds."""
    return pair.per_point(pair.x, grads[0]), pair.per_point(pair.y, grads[1])


@on_callers_device
def nearest_neighbors(x: Any, y: Any, *, lengths: Any = None, n_threads: int | None = None) -> Neighbors:
    """Find every point's nearest neighbour in the other cloud.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds; float32 and float64 are kept, integers become float64. ``y`` may be a
        :class:`PreparedCloud`.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch: one array for both, or ``(for x, for y)``.
    n_threads : int, default=None
        Threads; ``None`` uses all that the process may run on. Results do not depend on it.

    Returns
    -------
    Neighbors
        ``x_to_y`` and ``y_to_x``, each ``(distance, index)`` with one entry a point: Euclidean
        distance in the unit of the coordinates, and int64 index into the other cloud. Padding holds
        distance 0 and index -1.

    Raises
    ------
    TypeError, ValueError
        Where the clouds cannot be compared; the message names the argument and what came.

    Notes
    -----
    Exact: squared distances are sums of squared differences in the clouds' dtype, and of equally near
    points the one with the lowest index is taken. Small clouds are scanned, large ones indexed by a
    hierarchy of boxes along a Hilbert curve: O((n + m) log(n + m)) time for clouds that fill space
    evenly and O(n + m) memory.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> forth, back = pm.nearest_neighbors([[0.0, 0.0], [1.0, 0.0]], [[0.0, 3.0], [1.0, 1.0], [5.0, 0.0]])
    >>> forth.index, back.distance.round(3)
    (array([1, 1]), array([3., 1., 4.]))
    """
    pair = read_pair(x, y, lengths=lengths)
    found = find(pair, n_threads)
    sides = ((pair.x, found.sq_x, found.id_x), (pair.y, found.sq_y, found.id_y))
    return Neighbors(
        *(
            Neighbor(
                pair.per_point(side, pair.backend.xp.sqrt(sq_dist)), pair.per_point(side, ids.astype(np.int64), fill=-1)
            )
            for side, sq_dist, ids in sides
        )
    )


class PreparedCloud(Prepared):
    """Index a fixed cloud once, to compare many others with it.

    Pass it in the place of the cloud to any function of this package that looks for nearest
    neighbours. Compared with a batch it stands for every cloud of its side.

    Parameters
    ----------
    points : array (n, d)
        One cloud. It is copied: changing the array later does not change the prepared cloud.

    Notes
    -----
    Takes about twice the memory of the points. Values are bit-equal to those without preparation.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> rng = np.random.default_rng(0)
    >>> reference = pm.PreparedCloud(rng.random((1000, 3)))
    >>> scans = [rng.random((500, 3)) for _ in range(3)]
    >>> [round(float(pm.chamfer_distance(scan, reference)), 4) for scan in scans]
    [0.0102, 0.0098, 0.0097]
    """

    @on_callers_device
    def __init__(self, points: Any) -> None:
        clouds, self._library = read_clouds(points, "points")
        if clouds.kind != "single":
            raise ValueError(f"points must be one cloud of shape (n, d), got a {clouds.kind} of {len(clouds)}")
        self._clouds = replace(clouds, points=clouds.points.copy())
        self._indices = {clouds.points.dtype: clouds.backend.prepare(self._clouds.points)}

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, d)``."""
        return self._clouds.points.shape

    def __len__(self) -> int:
        return len(self._clouds.points)

    def __repr__(self) -> str:
        return f"PreparedCloud(shape={self.shape}, dtype={self._clouds.points.dtype.name})"

    def index(self, dtype: np.dtype) -> Any:
        """Return the backend's index for points of ``dtype``; a wider dtype is indexed when first asked."""
        if dtype not in self._indices:
            self._indices[dtype] = self._clouds.backend.prepare(self._clouds.points.astype(dtype))
        return self._indices[dtype]
