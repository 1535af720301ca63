"""The assignment of equal clouds on a device: an auction, its proof, and shortest paths for what is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imondrian._kit.kernel_source import Kernel
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.protocol import Array

from .kernel_source import kernel_of, specialised

if TYPE_CHECKING:
    from .backend import CudaBackend

_SEARCH_THREADS = 768  # most threads of a block of kernels/emd_augment.cu
_TILE = 256  # rows a block of the row-wise kernels
_KEPT = 64  # columns a row's list holds
_EXACT_START = 1e-4  # relative gap from which shortest paths are the faster way on
_MAX_BIDS = 1024  # a row, on average; ordinary clouds take 30 to 150
_MAX_STEPS = 128  # of all searches, a row, on average; ordinary clouds take 1 to 20
_LAUNCH_LOOKS = 1 << 25  # of these steps, one a column: half a second of a card without fast float64


@dataclass(frozen=True, slots=True)
class Work:
    """What was done for each pair, int64 ``(b,)`` on the device, in units that do not depend on its speed."""

    rounds: Array  # of bids at fixed prices
    bids: Array
    scans: Array  # of all columns for one row in the auction
    phases: Array  # of the auction, one an epsilon
    searches: Array  # for shortest paths
    steps: Array  # of these: scans of all columns for one row


@dataclass(frozen=True, slots=True)
class Assigned:
    """Optimal partners with their proof, on the device.

    ``upper``, ``lower`` (float64) and ``converged`` (bool) have one entry a pair, ``assignment`` (int32,
    places within the pair's y) and ``prices`` (float64, of the points of y) one a packed point.
    """

    upper: Array
    lower: Array
    converged: Array
    assignment: Array
    prices: Array
    work: Work
    n_on_host: int  # pairs that were left to the CPU


def assign(
    backend: CudaBackend,
    x: Array,
    y: Array,
    offsets: np.ndarray,
    squared: bool,
    tol: float,
    n_threads: int = 1,
    *,
    block: int | None = None,
    max_bids: int = _MAX_BIDS,
    max_steps: int = _MAX_STEPS,
) -> Assigned:
    """Match the points of each pair's x with those of its y at the least mean cost.

    Parameters
    ----------
    backend : CudaBackend
    x, y : device array (total, d)
        Packed clouds, float32 or float64; ``offsets`` (host, int64) are those of both.
    squared : bool
        Whether the cost is the squared distance.
    tol : float
        Relative gap at which to stop; 0 for exact.
    n_threads : int, default=1
        Host threads for the pairs that are left to the CPU.
    block : int, default=None
        Threads a pair. Results do not depend on it.
    max_bids, max_steps : int
        Bids of the auction, and steps of the path searches, a pair may take a row. What they leave open
        is solved on the CPU.

    Notes
    -----
    Two rounds of path searches: rounding may leave a row off its best after the first. Memory is about
    400 bytes a point.
    """
    xp, total, b = backend.xp, len(x), len(offsets) - 1
    run = _Launcher(backend, x, y, offsets, squared, block)
    column_of, prices = xp.empty(total, np.int32), xp.empty(total, np.float64)
    auction_work = xp.zeros((b, 4), np.int64)
    run.auction(max(0.9 * tol, 1e-6) if tol > 0 else _EXACT_START, max_bids, column_of, prices, auction_work)
    upper, lower, converged = xp.empty(b, np.float64), xp.empty(b, np.float64), xp.zeros(b, np.uint8)
    minima = xp.empty(total, np.float64)
    path_work = xp.zeros((b, 2), np.int64)
    scratch = [
        xp.empty(total, np.float64),
        *(xp.empty(total, np.int32) for _ in range(4)),
        xp.empty(b, np.float64),
        xp.empty(2 * b, np.int64),
    ]
    for attempt in range(3):
        if attempt > 0:
            run.augment(max_steps, converged, *scratch, column_of, prices, path_work)
        run.prove(tol, prices, minima, column_of, upper, lower, converged)
    work = Work(*auction_work.T, *path_work.T)
    found = upper, lower, converged, column_of, prices
    n_on_host = (
        0 if backend.device.is_capturing else _finish_on_host(backend, x, y, offsets, squared, tol, n_threads, found)
    )
    return Assigned(upper, lower, converged.astype(np.bool_), column_of, prices, work, n_on_host)


class _Launcher:
    """Launches the kernels of one batch, with the arguments that all of them begin with."""

    def __init__(
        self, backend: CudaBackend, x: Array, y: Array, offsets: np.ndarray, squared: bool, block: int | None = None
    ) -> None:
        self.device, self.xp = backend.device, backend.xp
        self.x, self.y, self.offsets = x, y, backend.constant(offsets)
        self.squared = np.int32(squared)
        self.total, self.d = x.shape
        self.b, self.largest = len(offsets) - 1, int(np.diff(offsets).max())
        # Two columns a thread: more threads have more to say to each other than to compute. Where pairs wait for a
        # multiprocessor, several small blocks on each hide one another's barriers.
        most = 256 if self.b > self.device.n_multiprocessors else 1024
        self.block = block or min(most, max(64, -(-self.largest // 64) * 32))

    def kernel(self, file: str, entry: str, dtype: Any = None) -> Kernel:
        return kernel_of(file, entry, dtype or self.x.dtype, specialised(self.d))

    def pairs(self, file: str, entry: str, block: int, *args: Any) -> None:
        """One block a pair."""
        self.device.launch(
            self.kernel(file, entry),
            (self.b,),
            (block,),
            (self.x, self.y, self.offsets, np.int32(self.d), self.squared, *args),
        )

    def tiles(self, file: str, entry: str, *args: Any) -> None:
        """One block for some rows of a pair."""
        tiles = -(-self.largest // _TILE)
        self.device.launch(
            self.kernel(file, entry),
            (self.b * tiles,),
            (_TILE,),
            (self.x, self.y, self.offsets, np.int32(tiles), np.int32(self.d), self.squared, *args),
        )

    def augment(self, max_steps: int, *args: Any) -> None:
        """Match what is left open along shortest paths, in launches that each end soon."""
        steps = max(1, _LAUNCH_LOOKS // self.largest)
        for launch in range(max(1, -(-max_steps * self.largest // steps))):
            self.pairs(
                "emd_augment",
                "augment",
                min(self.block, _SEARCH_THREADS),
                np.int32(max_steps),
                np.int64(steps),
                np.int32(launch > 0),
                *args,
            )

    def prove(
        self, tol: float, prices: Array, minima: Array, column_of: Array, upper: Array, lower: Array, converged: Array
    ) -> None:
        """Bound the pairs that have not converged yet, by an assignment and by prices."""
        self.tiles("emd_bounds", "row_minima", converged, prices, minima)
        self.pairs("emd_bounds", "bounds", _TILE, np.float64(tol), prices, minima, column_of, upper, lower, converged)

    def auction(self, tolerance: float, max_bids: int, column_of: Any, prices: Any, work: Any) -> None:
        """Match rows and columns roughly, on coordinates brought to [-1, 1]."""
        xp, total, d = self.xp, self.total, self.d
        unit_x, unit_y, scales = self.normalised()
        shared = (4 * (d + 1) + 8) * (-(-self.largest // 32) * 32)
        in_shared, outside_it = (
            kernel_of("emd_auction", "auction", np.float32, specialised(d), (("IN_SHARED", at),)) for at in (1, 0)
        )
        fits = shared <= self.device.shared_bytes and shared <= self.device.dynamic_shared_bytes(in_shared)
        kernel = in_shared if fits else outside_it
        threads = 512 if not fits else 1024 if specialised(d) else 768  # as kernels/emd_auction.cu is compiled for
        outside = 1 if fits else total + 32 * self.b
        scratch = (
            xp.empty((outside, d + 1), np.float32),
            xp.empty(outside, np.uint64),
            xp.empty((total, _KEPT), np.int32),
            xp.empty(2 * total, np.float32),
            xp.empty(4 * total, np.int32),
        )
        clouds = unit_x, unit_y, self.offsets, scales, np.int32(d), self.squared
        args = *clouds, np.float32(tolerance), np.int32(max_bids), *scratch, column_of, prices, work
        self.device.launch(kernel, (self.b,), (min(self.block, threads),), args, shared if fits else 0)

    def normalised(self) -> tuple[Array, Array, Array]:
        """Return x and y in float32 and in [-1, 1], and what a unit of theirs is, one a pair."""
        unit_x, unit_y = (self.xp.empty((self.total, self.d), np.float32) for _ in range(2))
        scales = self.xp.empty(self.b, np.float64)
        args = self.x, self.y, self.offsets, np.int32(self.d), unit_x, unit_y, scales
        self.device.launch(self.kernel("emd_normalise", "normalise"), (self.b,), (_TILE,), args)
        return unit_x, unit_y, scales


def _finish_on_host(
    backend: CudaBackend,
    x: Array,
    y: Array,
    offsets: np.ndarray,
    squared: bool,
    tol: float,
    n_threads: int,
    found: tuple[Array, ...],
) -> int:
    """Solve on the CPU the pairs whose proof is missing; return how many they were."""
    left = np.flatnonzero(backend.download(found[2]) == 0)
    for i in left.tolist():
        cloud = slice(int(offsets[i]), int(offsets[i + 1]))
        ends = np.array([0, cloud.stop - cloud.start], dtype=np.int64)
        solved = CPU.assign(backend.download(x[cloud]), backend.download(y[cloud]), ends, squared, tol, n_threads)
        for to, values, at in zip(found, solved, (*(slice(i, i + 1),) * 3, cloud, cloud), strict=True):
            to[at] = backend.upload(values.astype(to.dtype))
    return len(left)


def assign_grad(
    backend: CudaBackend, x: Array, y: Array, offsets: np.ndarray, squared: bool, assignment: Array
) -> tuple[Array, Array]:
    """See :meth:`pointmetrics._backends.protocol.Backend.assign_grad`."""
    # While a graph is recorded nothing is finished on the CPU: what has no partner then has no gradient.
    grads = backend.xp.full(x.shape, np.nan, x.dtype), backend.xp.full(x.shape, np.nan, x.dtype)
    _Launcher(backend, x, y, offsets, squared).tiles("emd_bounds", "gradients", assignment, *grads)
    return grads
