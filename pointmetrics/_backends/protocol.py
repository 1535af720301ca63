"""What the metrics need to have computed, whatever the clouds live on.

Everything above is written once over :class:`Backend`; ``cpu/backend.py`` and ``cuda/backend.py`` implement it. Arrays
are the backend's own (numpy's, or CuPy's on one device); offsets and counts of clouds are always numpy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .conventions import Convention

Array = Any  # of a backend


class Backend(Protocol):
    """Points ``(total, d)`` are packed: cloud ``i`` is ``points[offsets[i]:offsets[i + 1]]``.

    Points are C-contiguous float32 or float64, of one dtype within a call, finite and of a scale whose
    squares that dtype holds.
    """

    xp: Any  # the array module

    def upload(self, array: Any) -> Array:
        """Return a numpy array in this backend's memory; its own arrays are returned as they are."""

    def constant(self, array: Any) -> Array:
        """As :meth:`upload`, for a small array that is never written to; the same again costs nothing."""

    def download(self, array: Any) -> np.ndarray:
        """Return one of this backend's arrays as a numpy array; waits for it."""

    def max_magnitudes(self, arrays: list[Array]) -> list[float]:
        """Return the largest absolute value of each array; not finite where any of its values is not."""

    def sums(self, values: Array, offsets: np.ndarray) -> Array:
        """Sum ``(total,)`` values over each cloud, in float64 ``(b,)`` and in a fixed order."""

    def sum_both_ways(
        self,
        sq_x: Array,
        x_offsets: np.ndarray,
        sq_y: Array,
        y_offsets: np.ndarray,
        root: bool,
        mean: bool,
        factor: float,
    ) -> Array:
        """Return ``factor`` times the sums, or means, of both sides' distances, or squared ones, float64 ``(b,)``."""

    def counts(self, rows: Array, size: int) -> Array:
        """Count how often each of ``0 .. size - 1`` occurs, int64 ``(size,)``."""

    def nearest(
        self, x: Array, x_offsets: np.ndarray, y: Array, y_offsets: np.ndarray, n_threads: int, index: Any = None
    ) -> tuple[Array, Array, Array, Array]:
        """Return squared distance and int32 id of nearest neighbours, x to y and y to x.

        Sums of squared differences in the order of the axes, in the points' dtype; of equally near
        points the lowest id. ``index`` is what :meth:`prepare` made of the one cloud that y repeats.
        """

    def prepare(self, points: Array) -> Any:
        """Index one cloud ``(n, d)``, to be given to :meth:`nearest`."""

    def nearest_grad(
        self,
        x: Array,
        x_offsets: np.ndarray,
        y: Array,
        y_offsets: np.ndarray,
        id_x: Array,
        coef_x: Array | None,
        id_y: Array,
        coef_y: Array | None,
    ) -> tuple[Array, Array]:
        """Return the gradients of ``sum coef_x * sq_x + sum coef_y * sq_y`` with respect to x and y.

        Neighbours count as fixed. Coefficients are float64, or None where a direction is left out. Sums
        run in index order in float64; results have the points' dtype.
        """

    def farthest(self, points: Array, offsets: np.ndarray, k: int, start: int, n_threads: int) -> Array:
        """Return k points of each cloud, int64 ``(b, k)``: ``start``, then always the farthest from all before it.

        Distances as in :meth:`nearest`; of equally far points the lowest id, and none twice.
        """

    def balls(self, points: Array, centres: Array, sq_radii: Array, n_threads: int) -> tuple[Array, np.ndarray]:
        """Return the ids of one cloud's points within a radius of each centre, int64 and rising, and their offsets.

        Squares of distances, as in :meth:`nearest`, are compared with ``sq_radii`` (float64) in float64.
        """

    def pairwise(
        self,
        x: Array,
        x_offsets: np.ndarray,
        y: Array,
        y_offsets: np.ndarray,
        pairs: np.ndarray,
        power: int,
        n_threads: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of distance^power, x to y and y to x, for pairs ``(p, 2)`` of cloud numbers.

        numpy float64 ``(p,)``: matrices of sets are small and live on the host.
        """

    def nearest_clouds(
        self,
        x: Array,
        x_offsets: np.ndarray,
        y: Array,
        y_offsets: np.ndarray,
        within: bool,
        definition: Convention,
        n_threads: int,
        report: Callable[[int, int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the Chamfer distance and number of every cloud's nearest: for x among y, for y among x.

        numpy float64 and int64, with the bits and (lowest) numbers of the minima of a matrix from
        :meth:`pairwise`, in memory that grows with the number of clouds, not of pairs. ``within`` means that
        both sides are one set: each pair is computed once, no cloud is its own neighbour, and one alone has
        infinity and -1. ``report`` is called with ``(done, total)`` pairs.
        """

    def assign(
        self, x: Array, y: Array, offsets: np.ndarray, squared: bool, tol: float, n_threads: int
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Match the points of each cloud of x with those of y, equally many, at the least mean distance.

        Return, one a pair, ``upper`` and ``lower`` bounds of that (float64) and whether they meet within
        ``tol``; one a point, the place in its own cloud of the y matched with x (int32), and the price of y
        (float64). ``squared`` means squared distances.
        """

    def assign_grad(
        self, x: Array, y: Array, offsets: np.ndarray, squared: bool, assignment: Array
    ) -> tuple[Array, Array]:
        """Return the gradients of the mean cost of a fixed assignment; 0 for partners at distance 0."""

    def sinkhorn(
        self,
        x: Array,
        x_offsets: np.ndarray,
        y: Array,
        y_offsets: np.ndarray,
        epsilon: float,
        squared: bool,
        tol: float,
        max_iter: int,
    ) -> Array:
        """Return the Sinkhorn divergence of each pair, float64 ``(b,)``."""
