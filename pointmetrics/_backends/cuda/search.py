"""Large clouds on a CUDA device: sorted along a curve, with boxes over tiles, searched by warps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imondrian._kit.device_memory import in_parts, otherwise
from pointmetrics._backends.protocol import Array

from .kernel_source import kernel_of, specialised

if TYPE_CHECKING:
    from .backend import CudaBackend

MAX_DIM = 8
# Pairs of points from which sorting both clouds is quicker than comparing all.
LEAST_PAIRS = 1 << 30
_WARPS = 4


@dataclass(frozen=True, slots=True)
class Tree:
    """One cloud, sorted: 32 points a tile, 32 tiles a node, 32 nodes a top node; the last point fills up.

    ``points`` (tiles, d, 32), ``ids`` (tiles, 32) ascending within a tile, ``boxes`` (tiles + nodes +
    tops, 2, d) with ``min_ids``, ``first_keys`` (tiles,), ``frame`` (d + 1,) of the curve.
    """

    n: int
    n_top: int
    points: Array
    ids: Array
    boxes: Array
    min_ids: Array
    first_keys: Array
    frame: Array


class Index:
    """A prepared cloud: sorted when first searched, which small clouds never are."""

    def __init__(self, backend: CudaBackend, points: Array) -> None:
        self._backend, self._points = backend, points
        self._tree: Tree | None = None

    @property
    def tree(self) -> Tree:
        """The sorted cloud."""
        if self._tree is None:
            self._tree = build(self._backend, self._points)
        return self._tree


def pays(n: int, m: int, d: int) -> bool:
    """Tell whether clouds of n and m points are better searched than compared point by point."""
    return d <= MAX_DIM and n * m >= LEAST_PAIRS


def nearest(backend: CudaBackend, x: Array, y: Array, index: Index | None) -> tuple[Array, Array, Array, Array]:
    """Find nearest neighbours of one pair of clouds both ways; ``index`` is y's, where there is one."""

    def both_sorted() -> tuple[Array, Array, Array, Array]:
        x_tree = build(backend, x)
        y_tree = build(backend, y) if index is None else index.tree
        return *search(backend, x_tree, y_tree), *search(backend, y_tree, x_tree)

    def one_sorted() -> tuple[Array, Array, Array, Array]:
        return *search_in_parts(backend, x, y), *search_in_parts(backend, y, x)

    # What was prepared is kept, and so nothing would be won by sorting it in parts.
    return both_sorted() if index is not None else otherwise(backend.device, both_sorted, one_sorted)


def search_in_parts(backend: CudaBackend, queries: Array, targets: Array) -> tuple[Array, Array]:
    """As :func:`search`, of clouds; of the queries no more are sorted at a time than there is memory for."""
    tree = build(backend, targets)
    found = in_parts(backend.device, len(queries),
                     lambda first, last: search(backend, build(backend, queries[first:last]), tree))
    sq, ids = (backend.xp.concatenate(part) for part in zip(*found, strict=True))
    return sq, ids


def build(backend: CudaBackend, points: Array) -> Tree:
    """Sort a cloud ``(n, d)`` and bound its tiles."""
    xp = backend.xp
    n, d = points.shape
    frame = _frame(xp, points)
    keys = xp.empty(n, dtype=np.uint64)
    kernel = kernel_of("search", "curve_keys", points.dtype, specialised(d))
    backend.device.launch(kernel, (-(-n // 256),), (256,), (points, np.int64(n), np.int32(d), frame, keys))
    order = xp.argsort(keys)
    n_top = -(-n // 32**3)
    order = xp.concatenate([order, xp.repeat(order[-1:], n_top * 32**3 - n)])
    first_keys = keys[order[::32]]
    # Ascending ids: the first of equally near points in a tile is then the one of lowest id.
    ids = xp.sort(order.astype(np.int32).reshape(-1, 32), axis=1)
    tiles = xp.ascontiguousarray(points[ids].transpose(0, 2, 1))
    low, high, least = [tiles.min(axis=2)], [tiles.max(axis=2)], [ids[:, 0]]
    for _ in range(2):
        low.append(low[-1].reshape(-1, 32, d).min(axis=1))
        high.append(high[-1].reshape(-1, 32, d).max(axis=1))
        least.append(least[-1].reshape(-1, 32).min(axis=1))
    boxes = xp.stack([xp.concatenate(low), xp.concatenate(high)], axis=1)
    return Tree(n, n_top, tiles, ids, boxes, xp.concatenate(least), first_keys, frame)


def _frame(xp: Any, points: Array) -> Array:
    low, high = points.min(axis=0), points.max(axis=0)
    bits = {2: 31, 3: 21}.get(points.shape[1], 7)
    side = xp.maximum((high - low).max(), float(np.sqrt(np.finfo(points.dtype).tiny)))
    return xp.concatenate([low, (2.0**bits / side).reshape(1)]).astype(points.dtype)


def search(backend: CudaBackend, queries: Tree, targets: Tree) -> tuple[Array, Array]:
    """Return squared distance and id of the nearest target of every query, in the queries' own order."""
    xp, d, dtype = backend.xp, queries.points.shape[1], queries.points.dtype
    sq, ids = xp.empty(queries.n, dtype=dtype), xp.empty(queries.n, dtype=np.int32)
    backend.device.launch(
        kernel_of("search", "nearest_pruned", dtype, specialised(d)), (-(-queries.n // (32 * _WARPS)),), (32 * _WARPS,),
        (queries.points, queries.ids, np.int64(queries.n), targets.points, targets.ids, targets.boxes,
         targets.min_ids, targets.first_keys, targets.frame, np.int32(targets.n_top), np.int32(d), sq, ids),
        shared=_WARPS * 64 * d * dtype.itemsize,
    )
    return sq, ids
