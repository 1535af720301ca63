"""Sinkhorn divergences on a device: all problems of a batch advance together until the last one stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointmetrics._backends.protocol import Array

from .kernel_source import kernel_of, specialised

if TYPE_CHECKING:
    from .backend import CudaBackend

_TILE = 128  # rows a block
_LOOK = 8  # iterations between two looks at whether all have converged: each look waits for the device


def divergences(
    backend: CudaBackend,
    x: Array,
    x_offsets: np.ndarray,
    y: Array,
    y_offsets: np.ndarray,
    epsilon: float,
    squared: bool,
    tol: float,
    max_iter: int,
) -> Array:
    """See :meth:`pointmetrics._backends.protocol.Backend.sinkhorn`."""
    device, xp, d, b = backend.device, backend.xp, x.shape[1], len(x_offsets) - 1
    sides = backend.constant(x_offsets), backend.constant(y_offsets)
    clouds = (x, sides[0], y, sides[1])
    largest = max(int(np.diff(x_offsets).max()), int(np.diff(y_offsets).max()))
    tiles = -(-largest // _TILE)
    sizes = (len(x), len(y), len(x), len(y))  # of the potentials: x to y, y to x, x to x, y to y
    potentials = [xp.zeros(size) for size in sizes]
    fresh = [xp.empty(size) for size in sizes]
    now, done = xp.empty(3 * b), xp.zeros(3 * b, np.uint8)

    def launch(entry: str, blocks: int, threads: int, *args: Any) -> None:
        device.launch(kernel_of("sinkhorn", entry, x.dtype, specialised(d)), (blocks,), (threads,), args)

    form, goal = (np.int32(d), np.int32(squared)), (np.float64(epsilon), np.float64(tol))
    launch("first_epsilons", 3 * b, 256, *clouds, *form, goal[0], now)
    for iteration in range(max_iter + 200):
        if iteration % _LOOK == 0 and not device.is_capturing and bool(backend.download(done).all()):
            break
        launch("soft_minima", 4 * b * tiles, _TILE, *clouds, np.int32(tiles), *form, now, done, *potentials, *fresh)
        launch("advance_potentials", 3 * b, 256, *sides, *goal, now, done, *potentials, *fresh)
    value = xp.empty(b)
    launch("divergences", b, 256, *sides, *potentials, value)
    return value
