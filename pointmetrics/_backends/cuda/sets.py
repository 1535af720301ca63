"""Many pairs of clouds on a CUDA device: Chamfer sums of listed pairs, and every cloud's nearest."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pointmetrics._backends.conventions import Convention
from pointmetrics._backends.protocol import Array

from .kernel_source import kernel_of, specialised
from .nearest import BLOCKS_AT_ONCE, WARPS, queries_of, query_bytes, tile_size

if TYPE_CHECKING:
    from .backend import CudaBackend

_RESIDENT = 25 * 1024  # bytes of a tile of which a multiprocessor holds eight
_MOST_PAIRS = 1 << 20  # of one launch, whose distances are kept until their minima are found: 8 MB
_MOST_WORK = 1 << 33  # pairs of points a multiprocessor in one launch: half a second at most


def sums_of_pairs(
    backend: CudaBackend,
    x: Array,
    x_offsets: np.ndarray,
    y: Array,
    y_offsets: np.ndarray,
    pairs: np.ndarray,
    power: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of distance^power, x to y and y to x, of pairs of clouds ``(p, 2)``."""
    run = _Launcher(backend, x, x_offsets, y, y_offsets)
    work = np.diff(x_offsets)[pairs[:, 0]] * np.diff(y_offsets)[pairs[:, 1]]
    largest_first = np.argsort(-work, kind="stable")
    sums = backend.xp.empty(2 * len(pairs), dtype=np.float64)
    ordered = backend.upload(np.ascontiguousarray(pairs[largest_first]))
    for first, last in _shares(2 * work[largest_first], run.most_work):
        run.persistent(
            "sums_of_pairs",
            2 * (last - first),
            x,
            run.x_offsets,
            y,
            run.y_offsets,
            ordered[first:last],
            np.int64(last - first),
            *run.sizes,
            np.int32(power),
            run.counter(0),
            sums[2 * first : 2 * last],
        )
    both = np.empty((len(pairs), 2))
    both[largest_first] = backend.download(sums).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _shares(work: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Cut consecutive items into launches of about ``most`` work, one item at least."""
    before = np.concatenate([[0.0], np.cumsum(work, dtype=np.float64)])
    ends = [0]
    while ends[-1] < len(work):
        last = int(np.searchsorted(before, before[ends[-1]] + most, side="right")) - 1
        ends.append(max(last, ends[-1] + 1))
    return list(pairwise(ends))


def nearest_clouds(
    backend: CudaBackend,
    x: Array,
    x_offsets: np.ndarray,
    y: Array,
    y_offsets: np.ndarray,
    within: bool,
    definition: Convention,
    report: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """See :meth:`pointmetrics._backends.protocol.Backend.nearest_clouds`.

    Launches alternate: distances of some pairs with each cloud's least, whose order does not matter; then who
    is at it. What is kept is the distances of one launch, and three numbers a cloud.
    """
    run = _Launcher(backend, x, x_offsets, y, y_offsets)
    x_side = _Least(backend, x_offsets)
    y_side = x_side if within else _Least(backend, y_offsets)
    sizes = np.int64(len(x_side)), np.int64(len(y_side)), np.int32(within)
    total = len(x_side) * (len(x_side) - 1) // 2 if within else len(x_side) * len(y_side)
    work = int(np.diff(x_offsets).max()) * int(np.diff(y_offsets).max())
    at_once = max(1, min(_MOST_PAIRS, max(run.most_work // work, 8 * run.n_blocks), total))
    distances = backend.xp.empty(at_once, dtype=np.float64)
    formula = np.int32(definition.power), np.int32(definition.reduction == "mean"), np.float64(definition.factor)
    clouds = x, run.x_offsets, x_side.rank, y, run.y_offsets, y_side.rank
    least = x_side.least, y_side.least
    for first in range(0, total, at_once):
        n = min(at_once, total - first)
        span = np.int64(first), np.int64(first + n)
        run.persistent(
            "distances_of_clouds",
            n,
            *clouds,
            *sizes,
            *run.sizes,
            *formula,
            *span,
            run.counter(first),
            distances,
            *least,
        )
        for side in (x_side,) if within else (x_side, y_side):
            run.flat("forget_farther", len(side), np.int64(len(side)), side.least, side.before, side.ids)
        run.flat("claim_nearest", n, x_side.rank, y_side.rank, *sizes, *span, distances, *least, x_side.ids, y_side.ids)
        if report is not None:
            backend.device.synchronize()
            report(first + n, total)
    return *x_side.found(), *y_side.found()


class _Least:
    """What is known of the nearest of every cloud of one side."""

    _NOBODY = np.iinfo(np.int32).max
    _FAR = np.array(np.inf).view(np.uint64)

    def __init__(self, backend: CudaBackend, offsets: np.ndarray) -> None:
        n = len(offsets) - 1
        self._backend = backend
        self.rank = backend.constant(np.argsort(-np.diff(offsets), kind="stable").astype(np.int64))
        self.least, self.before = (backend.upload(np.full(n, self._FAR)) for _ in range(2))
        self.ids = backend.upload(np.full(n, self._NOBODY, dtype=np.int32))

    def __len__(self) -> int:
        return len(self.ids)

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """Return distances, and int64 numbers that are -1 where there is nobody."""
        ids = self._backend.download(self.ids).astype(np.int64)
        return self._backend.download(self.least).view(np.float64), np.where(ids == self._NOBODY, -1, ids)


class _Launcher:
    """Launches the kernels of one pair of sets."""

    def __init__(self, backend: CudaBackend, x: Array, x_offsets: np.ndarray, y: Array, y_offsets: np.ndarray) -> None:
        self._device, self._upload = backend.device, backend.upload
        self._dtype, d = x.dtype, x.shape[1]
        self.x_offsets, self.y_offsets = backend.constant(x_offsets), backend.constant(y_offsets)
        size = x.dtype.itemsize
        queries = queries_of(size)
        most = int(max(np.diff(x_offsets).max(), np.diff(y_offsets).max()))
        # All targets of clouds up to 2,048 points, if eight blocks then still fit onto a multiprocessor.
        tile = min(-(-most // 32) * 32, max(tile_size(d, size, queries), (_RESIDENT // (d * size) - 12) // 32 * 32))
        self._dim = specialised(d)
        self._shared = (tile + 48 // size) * d * size + WARPS * queries * size + query_bytes(d, size, queries)
        self.n_blocks = BLOCKS_AT_ONCE * 4 // size * backend.device.n_multiprocessors
        self.sizes = np.int32(d), np.int32(tile)
        # A device that draws a screen ends what runs for seconds, and coordinates beyond three cost as much each.
        self.most_work = _MOST_WORK * backend.device.n_multiprocessors * 3 // max(3, d)

    def counter(self, first: int) -> Any:
        """Return what the blocks of a persistent grid take their items from."""
        return self._upload(np.array([first], dtype=np.uint64))

    def persistent(self, entry: str, n_items: int, *args: Any) -> None:
        """Launch as many blocks as run at a time, or one an item."""
        self._device.launch(
            kernel_of("pairwise", entry, self._dtype, self._dim),
            (min(n_items, self.n_blocks),),
            (32 * WARPS,),
            args,
            shared=self._shared,
        )

    def flat(self, entry: str, n: int, *args: Any) -> None:
        """Launch a thread an item."""
        self._device.launch(kernel_of("pairwise", entry, self._dtype, self._dim), (-(-n // 256),), (256,), args)
