"""The CPU's backend: numpy and the native core."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from pointmetrics import _core
from pointmetrics._backends.conventions import Convention

from . import sets as _cpu_sets
from . import sinkhorn


class CpuBackend:
    """See :class:`pointmetrics._backends.protocol.Backend`."""

    xp: Any = np

    def __reduce__(self) -> str:
        return "CPU"  # clouds are compared by whether their backend is the same one

    def upload(self, array: Any) -> np.ndarray:
        return array

    def constant(self, array: Any) -> np.ndarray:
        return array

    def download(self, array: Any) -> np.ndarray:
        return array

    def max_magnitudes(self, arrays: list[np.ndarray]) -> list[float]:
        return [_core.max_magnitude(values) for values in arrays]

    def sums(self, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        n_clouds = len(offsets) - 1
        if n_clouds == 1:
            # Pairwise summation; reduceat is sequential and would lose digits on a million points.
            return np.add.reduce(values, dtype=np.float64, keepdims=True)
        if len(values) == n_clouds * offsets[1] and (np.diff(offsets) == offsets[1]).all():
            return values.reshape(n_clouds, -1).sum(axis=1, dtype=np.float64)
        return np.array([values[a:b].sum(dtype=np.float64) for a, b in pairwise(offsets.tolist())])

    def sum_both_ways(
        self,
        sq_x: np.ndarray,
        x_offsets: np.ndarray,
        sq_y: np.ndarray,
        y_offsets: np.ndarray,
        root: bool,
        mean: bool,
        factor: float,
    ) -> np.ndarray:
        forth, back = (
            self.sums(np.sqrt(sq) if root else sq, offsets) / (np.diff(offsets) if mean else 1)
            for sq, offsets in ((sq_x, x_offsets), (sq_y, y_offsets))
        )
        return factor * (forth + back)

    def counts(self, rows: np.ndarray, size: int) -> np.ndarray:
        return np.bincount(rows, minlength=size)

    def nearest(
        self,
        x: np.ndarray,
        x_offsets: np.ndarray,
        y: np.ndarray,
        y_offsets: np.ndarray,
        n_threads: int,
        index: Any = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return _core.nearest(x, x_offsets, y, y_offsets, True, n_threads, index)

    def prepare(self, points: np.ndarray) -> Any:
        return _core.prepare(points)

    def nearest_grad(
        self,
        x: np.ndarray,
        x_offsets: np.ndarray,
        y: np.ndarray,
        y_offsets: np.ndarray,
        id_x: np.ndarray,
        coef_x: np.ndarray | None,
        id_y: np.ndarray,
        coef_y: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        grad_x, grad_y = np.zeros(x.shape), np.zeros(y.shape)
        if coef_x is not None:
            _pull(x, x_offsets, y, y_offsets, id_x, coef_x, grad_x, grad_y)
        if coef_y is not None:
            _pull(y, y_offsets, x, x_offsets, id_y, coef_y, grad_y, grad_x)
        return grad_x.astype(x.dtype, copy=False), grad_y.astype(y.dtype, copy=False)

    def farthest(self, points: np.ndarray, offsets: np.ndarray, k: int, start: int, n_threads: int) -> np.ndarray:
        return _core.farthest(points, offsets, k, start, n_threads)

    def balls(
        self, points: np.ndarray, centres: np.ndarray, sq_radii: np.ndarray, n_threads: int
    ) -> tuple[np.ndarray, np.ndarray]:
        offsets = np.concatenate([[0], np.cumsum(_core.balls(points, centres, sq_radii, n_threads))])
        return _core.balls(points, centres, sq_radii, n_threads, offsets), offsets

    def pairwise(
        self,
        x: np.ndarray,
        x_offsets: np.ndarray,
        y: np.ndarray,
        y_offsets: np.ndarray,
        pairs: np.ndarray,
        power: int,
        n_threads: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        return _core.pairwise(x, x_offsets, y, y_offsets, np.ascontiguousarray(pairs), power, n_threads)

    def nearest_clouds(
        self,
        x: np.ndarray,
        x_offsets: np.ndarray,
        y: np.ndarray,
        y_offsets: np.ndarray,
        within: bool,
        definition: Convention,
        n_threads: int,
        report: Callable[[int, int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return _cpu_sets.nearest_clouds(x, x_offsets, y, y_offsets, within, definition, n_threads, report)

    def assign(
        self, x: np.ndarray, y: np.ndarray, offsets: np.ndarray, squared: bool, tol: float, n_threads: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        x, y = (points.astype(np.float64, copy=False) for points in (x, y))
        return _core.assign(x, y, offsets, squared, tol, n_threads)

    def assign_grad(
        self, x: np.ndarray, y: np.ndarray, offsets: np.ndarray, squared: bool, assignment: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        counts = np.diff(offsets)
        target = assignment + np.repeat(offsets[:-1], counts)
        flow = cost_gradient(x.astype(np.float64) - y[target], np.repeat(1 / counts, counts), squared)
        grad_y = np.empty_like(y)
        grad_y[target] = -flow
        return flow.astype(x.dtype), grad_y

    def sinkhorn(
        self,
        x: np.ndarray,
        x_offsets: np.ndarray,
        y: np.ndarray,
        y_offsets: np.ndarray,
        epsilon: float,
        squared: bool,
        tol: float,
        max_iter: int,
    ) -> np.ndarray:
        return sinkhorn.divergences(x, x_offsets, y, y_offsets, epsilon, squared, tol, max_iter)


def cost_gradient(flow: np.ndarray, mass: np.ndarray, squared: bool) -> np.ndarray:
    """Return the gradient of ``mass * cost(flow)`` with respect to the flow ``x - y`` (k, d), in its place."""
    if squared:
        flow *= 2 * mass[:, None]
    else:
        length = np.sqrt((flow * flow).sum(axis=1))
        flow *= np.divide(mass, length, out=np.zeros_like(mass), where=length > 0)[:, None]
    return flow


def _pull(
    source: np.ndarray,
    source_offsets: np.ndarray,
    target: np.ndarray,
    target_offsets: np.ndarray,
    ids: np.ndarray,
    coef: np.ndarray,
    grad_source: np.ndarray,
    grad_target: np.ndarray,
) -> None:
    rows = ids + np.repeat(target_offsets[:-1], np.diff(source_offsets)) if len(source_offsets) > 2 else ids
    flow = source.astype(np.float64) - target[rows]
    flow *= 2 * np.asarray(coef, dtype=np.float64)[:, None]
    grad_source += flow
    for axis in range(flow.shape[1]):
        grad_target[:, axis] -= np.bincount(rows, weights=flow[:, axis], minlength=len(grad_target))


CPU = CpuBackend()
