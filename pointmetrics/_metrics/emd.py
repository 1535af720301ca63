"""Exact earth mover's distance, certified, and its approximations by their own names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from pointmetrics import _core
from pointmetrics._backends.cpu.backend import CPU, cost_gradient
from pointmetrics._backends.protocol import Array, Backend
from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import NUMPY, on_callers_device
from pointmetrics._clouds.numbers import split_pair, thread_count
from pointmetrics._clouds.per_point import read_weights

from .neighbors import give_grads

COSTS = ("euclidean", "squared")
# Weights become integers with this sum: every mass is then within 2**-51 of what was asked for.
_TOTAL_MASS = 2**50


@dataclass(frozen=True, slots=True)
class Plan:
    """What is moved: ``mass[k]`` from point ``source[k]`` of x to point ``target[k]`` of y.

    The masses sum to 1; at most one entry a pair of points, most pairs have none.
    """

    source: Any
    target: Any
    mass: Any


@dataclass(frozen=True, slots=True)
class EmdResult:
    """An earth mover's distance with its proof.

    ``lower`` and ``upper`` (float64) enclose the exact value: ``upper`` is the cost of the plan found,
    ``lower`` the dual value of prices that were checked against every point. ``value`` is ``upper`` in
    the clouds' dtype, ``gap = upper - lower``, and ``converged`` says that the gap is within ``tol`` or
    is rounding. ``assignment`` (int64, padding -1) gives each point of x its partner in y where both
    clouds have equally many equally weighted points, else it is None; ``plan`` is one :class:`Plan` a
    pair (a list for a batch). ``prices`` (float64, padding 0) are the dual prices p of the points of y that
    ``lower`` is made of, ``mean_i min_j (c_ij + p_j) - mean_j p_j``, where ``assignment`` is not None;
    they bound the distance of any other x to the same y, too. ``grad`` holds the gradients with respect to
    x and y or None.
    """

    value: Any
    lower: Any
    upper: Any
    gap: Any
    assignment: Any
    plan: Plan | list[Plan]
    prices: Any
    converged: Any
    grad: tuple[Any, Any] | None


@dataclass(frozen=True, slots=True)
class _Solved:
    """Arrays of the pair's backend, but for ``shipped``: that is computed on the CPU."""

    upper: Array
    lower: Array
    converged: Array
    assignment: Array | None = None  # packed, places within the pair's y
    prices: Array | None = None  # packed
    shipped: list[Plan] | None = None  # where there is no assignment, in numpy


@overload
def earth_movers_distance(
    x: Any,
    y: Any,
    *,
    cost: str = ...,
    tol: float = ...,
    lengths: Any = ...,
    weights: Any = ...,
    return_details: Literal[True],
    return_grad: bool = ...,
    n_threads: int | None = ...,
) -> EmdResult: ...


@overload
def earth_movers_distance(
    x: Any,
    y: Any,
    *,
    cost: str = ...,
    tol: float = ...,
    lengths: Any = ...,
    weights: Any = ...,
    return_details: bool = ...,
    return_grad: bool = ...,
    n_threads: int | None = ...,
) -> Any: ...


@on_callers_device
def earth_movers_distance(
    x: Any,
    y: Any,
    *,
    cost: str = "euclidean",
    tol: float = 0.0,
    lengths: Any = None,
    weights: Any = None,
    return_details: bool = False,
    return_grad: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the exact earth mover's distance: the least mean cost of moving one cloud onto the other.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds; float32 and float64 are kept, integers become float64. Costs and prices are float64.
    cost : {"euclidean", "squared"}, default="euclidean"
        Cost of moving a unit of mass: the distance, or its square (then the result is the squared
        2-Wasserstein distance, in squared units).
    tol : float, default=0.0
        Relative gap ``(upper - lower) / upper`` at which to stop. The value is then an upper bound, at
        most that far from exact. 0 solves exactly. Unequal and weighted clouds are always solved exactly.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch: one array for both, or ``(for x, for y)``.
    weights : tuple of two arrays or None, default=None
        Non-negative point masses ``(x_weights, y_weights)``, each shaped like the points without the last
        axis, or None for equal ones. Each cloud's are divided by their sum.
    return_details : bool, default=False
        Return an :class:`EmdResult` with bounds and assignment.
    return_grad : bool, default=False
        Return ``value, (grad_x, grad_y)``.
    n_threads : int, default=None
        Threads; ``None`` uses all that the process may run on. Results do not depend on it.

    Returns
    -------
    scalar or (b,) array, or (value, grads), or EmdResult
        In the clouds' dtype and library.

    Raises
    ------
    TypeError, ValueError
        Where the arguments cannot be used; the message names the argument and what came.

    Notes
    -----
    Equal sizes: the minimum over bijections of the mean cost. Unequal sizes or weights: the
    transportation problem with masses 1/n and 1/m (or the weights), not the rectangular assignment.

    Prices come from the same problem between cell means, then from an auction with falling epsilon; what
    that leaves open is matched along shortest augmenting paths. Candidates are found by a tree that stores
    the lowest price in every box, so the (n, m) matrix is never formed: memory is O(n + m). Time grows
    little faster than n for clouds of like shape; costs that span many orders of magnitude within one
    pair approach O(n**3). ``lower = mean_i min_j (c_ij + p_j) - mean_j p_j`` is evaluated over all j and
    holds whatever the prices are.

    Clouds on a CUDA device are solved there, a block of threads a pair: an auction on lists of 64 columns
    a row, a proof in float64 over all costs, and shortest augmenting paths for what is left. Values are
    those of the CPU within ``gap``; of several optimal plans another one may be found. Clouds of unequal
    sizes or weights, and the rare pair that takes too many steps, go to the CPU and come back.

    Gradients keep the plan fixed (envelope theorem); coincident partners have gradient 0 under the
    Euclidean cost. Where several plans are optimal, the gradient is that of the one found.

    References
    ----------
    D. P. Bertsekas, "The auction algorithm: a distributed relaxation method for the assignment
    problem", Annals of Operations Research 14, 1988.
    R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse linear
    assignment problems", Computing 38, 1987.
    Y. Rubner, C. Tomasi and L. J. Guibas, "The earth mover's distance as a metric for image
    retrieval", IJCV 40, 2000.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> x, y = [[0.0, 0.0], [1.0, 0.0]], [[1.0, 1.0], [0.0, 2.0]]
    >>> result = pm.earth_movers_distance(x, y, return_details=True)
    >>> float(result.value), float(result.gap), result.assignment
    (1.5, 0.0, array([1, 0]))
    >>> float(pm.earth_movers_distance([[0.0]], [[1.0], [3.0]]))
    2.0
    """
    squared = read_cost(cost) == "squared"
    tol = read_tol(tol)
    pair = read_pair(x, y, lengths=lengths)
    masses = _read_masses(weights, pair)
    threads = thread_count(n_threads)
    solved = _solve(pair, masses, squared, tol, threads)
    value = pair.result(solved.upper)
    grad = give_grads(pair, _gradients(pair, solved, squared)) if return_grad else None
    if return_details:
        return _details(pair, solved, value, grad)
    return (value, grad) if return_grad else value


def read_cost(cost: str) -> str:
    """Refuse what is no cost."""
    if cost not in COSTS:
        raise ValueError(f"cost must be one of {', '.join(COSTS)}; got {cost!r}")
    return cost


def read_tol(tol: float) -> float:
    """Check a relative tolerance."""
    if isinstance(tol, bool) or not isinstance(tol, (int, float, np.integer, np.floating)):
        raise TypeError(f"tol must be a number, got {type(tol).__name__}")
    if not 0 <= tol < math.inf:
        raise ValueError(f"tol must be finite and not negative, got {tol}")
    return float(tol)


def solve_uniform(pair: Pair, squared: bool, tol: float, n_threads: int) -> _Solved:
    """Solve pairs of clouds of equal sizes as assignments."""
    return _Solved(*pair.backend.assign(pair.x.points, pair.y.points, pair.x.offsets, squared, tol, n_threads))


def solve_pairs(
    x: list[Array], y: list[Array], n_threads: int, backend: Backend = CPU
) -> tuple[np.ndarray, np.ndarray]:
    """Solve many pairs of checked clouds of one dtype; return upper and lower bounds in numpy float64.

    What a pair's come to does not depend on the other pairs.
    """
    upper, lower = np.empty(len(x)), np.empty(len(x))
    equal = np.array([len(a) == len(b) for a, b in zip(x, y, strict=True)])
    for at in (np.flatnonzero(equal), np.flatnonzero(~equal)):
        if len(at):
            pair = Pair(_packed([x[i] for i in at], backend), _packed([y[i] for i in at], backend), NUMPY)
            solved = _solve(pair, (None, None), False, 0.0, n_threads)
            upper[at], lower[at] = backend.download(solved.upper), backend.download(solved.lower)
    return upper, lower


def _packed(parts: list[Array], backend: Backend) -> Clouds:
    sizes = [len(part) for part in parts]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Clouds(backend.xp.concatenate(parts), offsets, "list", max(sizes), backend)


def _solve(
    pair: Pair, masses: tuple[np.ndarray | None, np.ndarray | None], squared: bool, tol: float, n_threads: int
) -> _Solved:
    if _equal(masses) and np.array_equal(pair.x.offsets, pair.y.offsets):
        return solve_uniform(pair, squared, tol, n_threads)
    upload, download = pair.backend.upload, pair.backend.download
    x, y = (download(side.points).astype(np.float64, copy=False) for side in (pair.x, pair.y))
    x_mass, y_mass = _integer_masses(pair, masses)
    upper, lower, converged, plans = _core.transport(
        x, pair.x.offsets, x_mass, y, pair.y.offsets, y_mass, squared, tol, n_threads
    )
    shipped = [Plan(source, target, mass / mass.sum()) for source, target, mass in plans]
    return _Solved(upload(upper), upload(lower), upload(converged), shipped=shipped)


def _equal(masses: tuple[np.ndarray | None, np.ndarray | None]) -> bool:
    return masses[0] is None and masses[1] is None


def _read_masses(weights: Any, pair: Pair) -> tuple[np.ndarray | None, np.ndarray | None]:
    if weights is None:
        return None, None
    if not isinstance(weights, tuple):
        raise TypeError(f"weights must be a tuple (x_weights, y_weights), got {type(weights).__name__}")
    x_weights, y_weights = split_pair(weights)
    read = read_weights(x_weights, pair.x, "x_weights"), read_weights(y_weights, pair.y, "y_weights")
    return tuple(None if w is None else pair.backend.download(w) for w in read)  # type: ignore[return-value]


def _integer_masses(pair: Pair, masses: tuple[np.ndarray | None, np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
    if _equal(masses):
        shared = np.lcm(pair.x.counts, pair.y.counts)
        x_mass, y_mass = (np.repeat(shared // side.counts, side.counts) for side in (pair.x, pair.y))
        return x_mass, y_mass
    return _quantized(pair.x, masses[0]), _quantized(pair.y, masses[1])


def _quantized(side: Clouds, weights: np.ndarray | None) -> np.ndarray:
    """Round the weights of every cloud to integers of the same sum; zeros stay zero."""
    out = np.empty(len(side.points), dtype=np.int64)
    for first, last in zip(side.offsets[:-1].tolist(), side.offsets[1:].tolist(), strict=True):
        cloud = np.ones(last - first) if weights is None else weights[first:last] / weights[first:last].max()
        share = cloud / cloud.sum()
        mass = np.rint(share * _TOTAL_MASS).astype(np.int64)
        mass[share.argmax()] += _TOTAL_MASS - mass.sum()
        out[first:last] = mass
    return out


def _gradients(pair: Pair, solved: _Solved, squared: bool) -> tuple[Array, Array]:
    """Return the packed gradients of the cost of a fixed plan with respect to both clouds."""
    if solved.shipped is None:
        return pair.backend.assign_grad(pair.x.points, pair.y.points, pair.x.offsets, squared, solved.assignment)
    plans = solved.shipped
    source = np.concatenate([p.source + o for p, o in zip(plans, pair.x.offsets, strict=False)])
    target = np.concatenate([p.target + o for p, o in zip(plans, pair.y.offsets, strict=False)])
    mass = np.concatenate([p.mass for p in plans])
    x, y = (pair.backend.download(side.points) for side in (pair.x, pair.y))
    flow = cost_gradient(x[source].astype(np.float64) - y[target].astype(np.float64), mass, squared)
    grads = []
    for points, rows, sign in ((x, source, 1.0), (y, target, -1.0)):
        grad = [np.bincount(rows, weights=sign * column, minlength=len(points)) for column in flow.T]
        grads.append(pair.backend.upload(np.stack(grad, axis=1).astype(pair.dtype)))
    return grads[0], grads[1]


def _plans(pair: Pair, solved: _Solved) -> list[Plan]:
    xp, wrap = pair.backend.xp, pair.library.wrap
    if solved.shipped is not None:
        return [Plan(wrap(p.source), wrap(p.target), wrap(p.mass)) for p in solved.shipped]
    target = solved.assignment.astype(np.int64)  # type: ignore[union-attr]
    return [
        Plan(wrap(xp.arange(n)), wrap(target[first : first + n]), wrap(xp.full(n, 1 / n)))
        for first, n in zip(pair.x.offsets.tolist(), pair.x.counts.tolist(), strict=False)
    ]


def _details(pair: Pair, solved: _Solved, value: Any, grad: tuple[Any, Any] | None) -> EmdResult:
    single = pair.x.kind == "single"

    def give(values: Array) -> Any:
        return pair.library.wrap(values[0] if single else values)

    assignment = prices = None
    plans = _plans(pair, solved)
    if solved.assignment is not None and solved.prices is not None:
        prices = pair.per_point(pair.y, solved.prices)
        assignment = pair.per_point(pair.x, solved.assignment.astype(np.int64), fill=-1)
    return EmdResult(
        value,
        give(solved.lower),
        give(solved.upper),
        give(solved.upper - solved.lower),
        assignment,
        plans[0] if single else plans,
        prices,
        give(solved.converged),
        grad,
    )
