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
_WARPS_OF_BUILD = 8


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
    found = in_parts(
        backend.device, len(queries), lambda first, last: search(backend, build(backend, queries[first:last]), tree)
    )
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
    n_top = -(-n // 32**3)
    n_tiles, n_nodes = n_top * 1024, n_top * 32
    tiles, ids = xp.empty((n_tiles, d, 32), points.dtype), xp.empty((n_tiles, 32), np.int32)
    boxes = xp.empty((n_tiles + n_nodes + n_top, 2, d), points.dtype)
    min_ids, first_keys = xp.empty(len(boxes), np.int32), xp.empty(n_tiles, np.uint64)
    backend.device.launch(
        kernel_of("search", "make_tiles", points.dtype, specialised(d)),
        (-(-n_tiles // _WARPS_OF_BUILD),),
        (32 * _WARPS_OF_BUILD,),
        (
            points,
            np.int64(n),
            np.int32(d),
            xp.argsort(keys),
            keys,
            np.int64(n_tiles),
            tiles,
            ids,
            boxes,
            min_ids,
            first_keys,
        ),
    )
    for child, node, count in ((0, n_tiles, n_nodes), (n_tiles, n_tiles + n_nodes, n_top)):
        backend.device.launch(
            kernel_of("search", "make_nodes", points.dtype, specialised(d)),
            (-(-count // _WARPS_OF_BUILD),),
            (32 * _WARPS_OF_BUILD,),
            (np.int64(child), np.int64(node), np.int64(count), np.int32(d), boxes, min_ids),
        )
    return Tree(n, n_top, tiles, ids, boxes, min_ids, first_keys, frame)


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
        kernel_of("search", "nearest_pruned", dtype, specialised(d)),
        (-(-queries.n // (32 * _WARPS)),),
        (32 * _WARPS,),
        (
            queries.points,
            queries.ids,
            np.int64(queries.n),
            targets.points,
            targets.ids,
            targets.boxes,
            targets.min_ids,
            targets.first_keys,
            targets.frame,
            np.int32(targets.n_top),
            np.int32(d),
            sq,
            ids,
        ),
        shared=_WARPS * 64 * d * dtype.itemsize,
    )
    return sq, ids
