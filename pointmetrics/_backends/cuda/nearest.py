"""Nearest neighbours and their gradients on a CUDA device: sizes, tables and launches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from imondrian._kit.device_memory import otherwise
from pointmetrics._backends.protocol import Array

from .kernel_source import kernel_of, specialised

if TYPE_CHECKING:
    from .backend import CudaBackend

Side = tuple[Array, np.ndarray, Array, "Array | None"]  # points, offsets, neighbours, coefficients

WARPS = 4
_TILE = 512
_SHARED = 48 * 1024  # a block gets as much without asking
BLOCKS_AT_ONCE = 8  # a multiprocessor
_LEAST_SPLIT = 256  # targets, below which a part is not worth a block
# Up to so many pairs of points the gradient looks through all of them, beyond it sorts.
_SCAN_LIMIT = 1 << 28


def nearest(
    backend: CudaBackend, x: Array, x_offsets: np.ndarray, y: Array, y_offsets: np.ndarray
) -> tuple[Array, Array, Array, Array]:
    """Find nearest neighbours both ways by comparing all pairs, in one launch."""
    xp = backend.xp
    n_pairs, d, size = len(x_offsets) - 1, x.shape[1], x.dtype.itemsize
    plan = _plan(x_offsets.tobytes(), y_offsets.tobytes(), d, size, backend.device.n_multiprocessors)
    n_splits = plan.n_splits
    parts = [xp.empty(n_splits * len(side), dtype=dtype) for side in (x, y) for dtype in (x.dtype, np.int32)]
    backend.device.launch(
        kernel_of("nearest", "nearest", x.dtype, specialised(d)),
        (plan.n_blocks * n_splits,),
        (32 * WARPS,),
        (
            x,
            backend.constant(x_offsets),
            y,
            backend.constant(y_offsets),
            backend.constant(plan.first_block),
            np.int32(n_pairs),
            np.int32(2 * n_pairs),
            np.int32(d),
            np.int32(plan.tile),
            np.int32(n_splits),
            *parts,
        ),
        shared=plan.shared,
    )
    sq_x, id_x, sq_y, id_y = parts
    if n_splits == 1:
        return sq_x, id_x, sq_y, id_y
    return *_join(backend, sq_x, id_x, n_splits), *_join(backend, sq_y, id_y, n_splits)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How pairs of given sizes are compared."""

    first_block: np.ndarray
    n_blocks: int
    n_splits: int
    tile: int
    shared: int


@lru_cache(maxsize=256)
def _plan(x_offsets: bytes, y_offsets: bytes, d: int, size: int, n_multiprocessors: int) -> _Plan:
    """Plan a launch; batches of equal sizes come one after another, and numpy takes longer than the device."""
    counts = np.concatenate([np.diff(np.frombuffer(offsets, np.int64)) for offsets in (x_offsets, y_offsets)])
    queries = queries_of(size)
    first_block, n_blocks = _block_table(counts, queries)
    at_once = BLOCKS_AT_ONCE * n_multiprocessors
    n_splits = max(1, min(at_once // n_blocks, -(-int(counts.max()) // _LEAST_SPLIT)))
    tile = tile_size(d, size, queries)
    return _Plan(first_block, n_blocks, n_splits, tile, shared_bytes(d, size, queries, tile))


def queries_of(size: int) -> int:
    """Return the queries of a block, as tiles.cuh has them."""
    return 128 if size == 4 else 64


def _block_table(counts: np.ndarray, a_block: int) -> tuple[np.ndarray, int]:
    """Return the first block of each cloud's points, at ``a_block`` points a block, and the number of blocks."""
    last = np.cumsum(-(-counts // a_block))
    return np.concatenate([[0], last[:-1]]).astype(np.int32), int(last[-1])


def tile_size(d: int, size: int, queries: int) -> int:
    """Return how many targets a block holds in shared memory: a multiple of what its warps take at a time."""
    free = _SHARED - query_bytes(d, size, queries)
    return max(32, min(_TILE, (free // (d * size) - 48 // size) // 32 * 32))


def shared_bytes(d: int, size: int, queries: int, tile: int) -> int:
    """Return the shared memory of a block, which holds a tile of targets, and later the warps' results."""
    return max((tile + 48 // size) * d * size + query_bytes(d, size, queries), WARPS * queries * (size + 4))


def query_bytes(d: int, size: int, queries: int) -> int:
    return 0 if specialised(d) else queries * d * size


def _join(backend: CudaBackend, sq_parts: Array, id_parts: Array, n_splits: int) -> tuple[Array, Array]:
    n = len(sq_parts) // n_splits
    sq, ids = backend.xp.empty(n, dtype=sq_parts.dtype), backend.xp.empty(n, dtype=np.int32)
    backend.device.launch(
        kernel_of("nearest", "join_splits", sq_parts.dtype),
        (-(-n // 256),),
        (256,),
        (sq_parts, id_parts, np.int64(n), np.int32(n_splits), sq, ids),
    )
    return sq, ids


def pull(backend: CudaBackend, own: Side, other: Side) -> Array:
    """Return the gradient with respect to the own points of ``sum coef * sq_dist`` over both sides."""
    counts = np.diff(own[1]), np.diff(other[1])
    if (counts[0] * counts[1]).max() <= _SCAN_LIMIT:
        return pull_scan(backend, own, other)
    xp = backend.xp
    grads = []
    for i in range(len(counts[0])):
        pair = []
        for points, offsets, ids, coef in (own, other):
            at = slice(int(offsets[i]), int(offsets[i + 1]))
            pair.append((points[at], np.array([0, at.stop - at.start]), ids[at], None if coef is None else coef[at]))
        # The scan looks longer, and needs no memory.
        grads.append(
            otherwise(backend.device, partial(pull_sorted, backend, *pair), partial(pull_scan, backend, *pair))
        )
    return grads[0] if len(grads) == 1 else xp.concatenate(grads)


def pull_scan(backend: CudaBackend, own: Side, other: Side) -> Array:
    """As :func:`pull`; every point looks through all ids of the other side."""
    points, offsets, ids, coef = own
    grad = backend.xp.empty(points.shape, dtype=points.dtype)
    first_block, n_blocks = _block_table(np.diff(offsets), 128)
    backend.device.launch(
        kernel_of("nearest_grad", "pull_scan", points.dtype, specialised(points.shape[1])),
        (n_blocks,),
        (128,),
        (
            points,
            backend.constant(offsets),
            other[0],
            backend.constant(other[1]),
            backend.constant(first_block),
            np.int32(len(offsets) - 1),
            np.int32(points.shape[1]),
            *_direction(backend, ids, coef),
            *_direction(backend, other[2], other[3]),
            grad,
        ),
    )
    return grad


def pull_sorted(backend: CudaBackend, own: Side, other: Side) -> Array:
    """As :func:`pull` for one pair of clouds; the ids of the other side are sorted."""
    xp = backend.xp
    points, _, ids, coef = own
    grad = xp.empty(points.shape, dtype=points.dtype)
    has_other, other_ids, other_coef = _direction(backend, other[2], other[3])
    order = xp.argsort(other_ids, kind="stable").astype(np.int64, copy=False)
    starts = xp.searchsorted(other_ids[order], xp.arange(len(points) + 1, dtype=np.int32)).astype(np.int64, copy=False)
    backend.device.launch(
        kernel_of("nearest_grad", "pull_sorted", points.dtype, specialised(points.shape[1])),
        (-(-len(points) // 128),),
        (128,),
        (
            points,
            np.int64(len(points)),
            other[0],
            np.int32(points.shape[1]),
            *_direction(backend, ids, coef),
            has_other,
            order,
            starts,
            other_coef,
            grad,
        ),
    )
    return grad


def _direction(backend: CudaBackend, ids: Array, coef: Array | None) -> tuple[np.int32, Array, Array]:
    """Return whether a direction takes part, its ids and its coefficients; a stand-in where it does not."""
    if coef is None:
        return np.int32(0), ids, backend.constant(np.zeros(1))
    return np.int32(1), ids, coef
