"""Chamfer distance under its published names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from pointmetrics._backends.conventions import Convention, ConventionName, look_up
from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import split_pair, to_unit
from pointmetrics._clouds.per_point import read_vectors, read_weights

from .neighbors import Found, find, give_grads, pull, root_coef, rows_found

DIRECTIONS = ("both", "x_to_y", "y_to_x")


@dataclass(frozen=True, slots=True)
class ChamferResult:
    """A Chamfer distance and what it is made of.

    ``x_to_y`` and ``y_to_x`` are the two reduced directions before the convention's factor,
    ``normal_term`` is the part that normals added (before its weight) or None, ``grad`` the gradients
    with respect to x and y or None.
    """

    value: Any
    x_to_y: Any
    y_to_x: Any
    normal_term: Any
    convention: Convention
    grad: tuple[Any, Any] | None


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options of the Chamfer distance."""

    convention: Convention
    reduction: str
    direction: str
    weights: tuple[Array | None, Array | None]

    @property
    def factor(self) -> float:
        """The convention's factor; a single direction stands for itself."""
        return self.convention.factor if self.direction == "both" else 1.0

    def uses(self, direction: str) -> bool:
        """Tell whether ``direction`` takes part."""
        return self.direction in ("both", direction)


def check_direction(direction: str) -> str:
    """Refuse what is no direction."""
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}; got {direction!r}")
    return direction


def _reduce(side: Clouds, sq_dist: Array, weights: Array | None, options: Options) -> Array:
    terms = sq_dist if options.convention.power == 2 else side.backend.xp.sqrt(sq_dist)
    if options.reduction == "mean":
        return side.means(terms, weights)
    return side.sums(terms if weights is None else terms * weights)


def _coefs(side: Clouds, sq_dist: Array, weights: Array | None, options: Options) -> Array:
    """Return the derivative of the value with respect to each squared distance."""
    xp = side.backend.xp
    if weights is None:
        share = options.factor / side.counts if options.reduction == "mean" else np.full(len(side), options.factor)
        coef = side.spread(share)
    else:
        coef = options.factor * weights
        if options.reduction == "mean":
            coef /= side.spread(side.sums(weights))
    return coef if options.convention.power == 2 else root_coef(sq_dist, coef, xp)


def directions(pair: Pair, found: Found, options: Options) -> tuple[Array, Array]:
    """Return both reduced directions ``(b,)``; NaN where the direction takes no part."""
    nothing = None if options.direction == "both" else pair.backend.xp.full(len(pair), np.nan)
    forth, back = nothing, nothing
    if options.uses("x_to_y"):
        forth = _reduce(pair.x, found.sq_x, options.weights[0], options)
    if options.uses("y_to_x"):
        back = _reduce(pair.y, found.sq_y, options.weights[1], options)
    return forth, back


def total(forth: Array, back: Array, options: Options) -> Array:
    """Put the directions that take part together."""
    if options.direction == "both":
        return options.factor * (forth + back)
    return forth if options.direction == "x_to_y" else back


def value_of(pair: Pair, found: Found, options: Options) -> Array:
    """Return :func:`total` of :func:`directions`, with less to do where nothing is special."""
    if options.direction != "both" or any(weights is not None for weights in options.weights):
        return total(*directions(pair, found, options), options)
    return pair.backend.sum_both_ways(
        found.sq_x,
        pair.x.offsets,
        found.sq_y,
        pair.y.offsets,
        options.convention.power == 1,
        options.reduction == "mean",
        options.factor,
    )


def gradients(pair: Pair, found: Found, options: Options) -> tuple[Array, Array]:
    """Return the packed gradients of :func:`total` with respect to both clouds."""
    forth = _coefs(pair.x, found.sq_x, options.weights[0], options) if options.uses("x_to_y") else None
    back = _coefs(pair.y, found.sq_y, options.weights[1], options) if options.uses("y_to_x") else None
    return pull(pair, found, forth, back)


def cosines(pair: Pair, found: Found, normals: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return |cos| between each point's normal and its neighbour's, packed, for x and for y."""
    xp = pair.backend.xp
    x, y = (to_unit(n, xp) for n in normals)
    rows_x, rows_y = rows_found(pair, found)
    return xp.abs((x * y[rows_x]).sum(axis=1)), xp.abs((y * x[rows_y]).sum(axis=1))


def read_normals(normals: Any, pair: Pair) -> tuple[Array, Array]:
    """Read ``(x_normals, y_normals)`` packed in float64."""
    x_normals, y_normals = split_pair(normals)
    if not isinstance(normals, tuple):
        raise TypeError(f"normals must be a tuple (x_normals, y_normals), got {type(normals).__name__}")
    return read_vectors(x_normals, pair.x, "x_normals"), read_vectors(y_normals, pair.y, "y_normals")


def _normal_term(pair: Pair, found: Found, normals: Any, options: Options) -> Array:
    forth, back = cosines(pair, found, read_normals(normals, pair))
    term = pair.backend.xp.zeros(len(pair))
    if options.uses("x_to_y"):
        term += pair.x.means(1 - forth, options.weights[0])
    if options.uses("y_to_x"):
        term += pair.y.means(1 - back, options.weights[1])
    return term


def reduce_batch(pair: Pair, values: Array, grads: Any, batch_reduction: str | None) -> tuple[Any, Any]:
    """Apply ``batch_reduction`` to values ``(b,)`` and packed gradients; give both back to the caller."""
    if batch_reduction is None or pair.x.kind == "single":
        result = pair.result(values)
    elif batch_reduction in ("mean", "sum"):
        share = 1 / len(pair) if batch_reduction == "mean" else 1.0
        result = pair.library.wrap((values.sum() * share).astype(pair.dtype))
        grads = None if grads is None else tuple(g * pair.dtype.type(share) for g in grads)
    else:
        raise ValueError(f"batch_reduction must be None, 'mean' or 'sum', got {batch_reduction!r}")
    return result, None if grads is None else give_grads(pair, grads)


@overload
def chamfer_distance(
    x: Any,
    y: Any,
    *,
    convention: ConventionName = ...,
    lengths: Any = ...,
    weights: Any = ...,
    direction: str = ...,
    point_reduction: str | None = ...,
    batch_reduction: str | None = ...,
    normals: Any = ...,
    normal_weight: float = ...,
    return_details: Literal[True],
    return_grad: bool = ...,
    n_threads: int | None = ...,
) -> ChamferResult: ...


@overload
def chamfer_distance(
    x: Any,
    y: Any,
    *,
    convention: ConventionName = ...,
    lengths: Any = ...,
    weights: Any = ...,
    direction: str = ...,
    point_reduction: str | None = ...,
    batch_reduction: str | None = ...,
    normals: Any = ...,
    normal_weight: float = ...,
    return_details: bool = ...,
    return_grad: bool = ...,
    n_threads: int | None = ...,
) -> Any: ...


@on_callers_device
def chamfer_distance(
    x: Any,
    y: Any,
    *,
    convention: ConventionName = "cd-l2",
    lengths: Any = None,
    weights: Any = None,
    direction: str = "both",
    point_reduction: str | None = None,
    batch_reduction: str | None = None,
    normals: Any = None,
    normal_weight: float = 1.0,
    return_details: bool = False,
    return_grad: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the Chamfer distance between clouds, under a named definition.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds; float32 and float64 are kept, integers become float64. Either may be a
        :class:`PreparedCloud`.
    convention : str, default="cd-l2"
        A key of :func:`conventions`. Definitions differ by squaring, halving and summing.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch: one array for both, or ``(for x, for y)``.
    weights : array or tuple of two arrays, default=None
        Non-negative weight of each point, shaped like the clouds without their last axis: one for both
        clouds, or ``(for x, for y)``. Means become weighted means, sums weighted sums.
    direction : {"both", "x_to_y", "y_to_x"}, default="both"
        One direction alone is reported without the convention's factor.
    point_reduction : {None, "mean", "sum"}, default=None
        How the distances of a cloud's points are put together; ``None`` is the convention's own way.
    batch_reduction : {None, "mean", "sum"}, default=None
        ``None`` gives one value a pair.
    normals : tuple of two arrays, default=None
        Normals of the points of x and y, of any length. Adds ``normal_weight`` times the mean of
        ``1 - |cos|`` between each point's normal and its neighbour's, summed over the directions.
    normal_weight : float, default=1.0
        See ``normals``.
    return_details : bool, default=False
        Return a :class:`ChamferResult` with the directions apart instead of the value.
    return_grad : bool, default=False
        Return ``value, (grad_x, grad_y)``, or fill ``grad`` of the details.
    n_threads : int, default=None
        Threads; ``None`` uses all that the process may run on. Results do not depend on it.

    Returns
    -------
    scalar, (b,) array or ChamferResult
        In the clouds' library and dtype; the unit is the convention's (length or length^2).

    Raises
    ------
    TypeError, ValueError
        Where an argument cannot be used; the message names it and what came.

    Notes
    -----
    With a_i the distance from x_i to its nearest point of y and b_j that from y_j to x, "cd-l2" is
    mean a^2 + mean b^2. Sums are in float64. The gradient of "cd-l2" is 2 (x_i - y_nn(i)) / n plus the
    pull of the points of y whose neighbour is x_i; neighbours count as fixed. Unsquared definitions
    have unit vectors instead, and 0 where points coincide. Normals are constant in the gradient.

    References
    ----------
    Fan, Su, Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single Image",
    CVPR 2017, equation 1. Each convention: the code of the libraries it is named after.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.random((100, 3)), rng.random((80, 3))
    >>> [round(float(pm.chamfer_distance(x, y, convention=name)), 4) for name in ("cd-l2", "cd-l1")]
    [0.0392, 0.1293]
    """
    pair = read_pair(x, y, lengths=lengths)
    options = read_options(pair, convention, weights, direction, point_reduction)
    found = find(pair, n_threads)
    if return_details:
        forth, back = directions(pair, found, options)
        values = total(forth, back, options)
    else:
        values = value_of(pair, found, options)
    term = None
    if normals is not None:
        term = _normal_term(pair, found, normals, options)
        values = values + normal_weight * term
    grads = gradients(pair, found, options) if return_grad else None
    value, grad = reduce_batch(pair, values, grads, batch_reduction)
    if return_details:
        return ChamferResult(
            value,
            pair.result(forth),
            pair.result(back),
            None if term is None else pair.result(term),
            options.convention,
            grad,
        )
    return (value, grad) if return_grad else value


def read_options(pair: Pair, convention: str, weights: Any, direction: str, point_reduction: str | None) -> Options:
    """Check the options that define the value."""
    definition = look_up(convention)
    if point_reduction not in (None, "mean", "sum"):
        raise ValueError(f"point_reduction must be None, 'mean' or 'sum', got {point_reduction!r}")
    both: tuple[Array | None, Array | None] = (None, None)
    if weights is not None:
        x_weights, y_weights = split_pair(weights)
        both = (read_weights(x_weights, pair.x, "x_weights"), read_weights(y_weights, pair.y, "y_weights"))
    return Options(definition, point_reduction or definition.reduction, check_direction(direction), both)


@on_callers_device
def normal_consistency(x: Any, y: Any, normals: Any, *, lengths: Any = None, n_threads: int | None = None) -> Any:
    """Average ``|cos|`` between the normals of nearest neighbours, over both directions.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds, as in :func:`chamfer_distance`.
    normals : tuple of two arrays
        Normals of the points of x and y, shaped like the clouds, of any length.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or (b,) array
        Between 0 and 1, where 1 is best: (mean over x + mean over y) / 2. A zero normal counts as 0.

    References
    ----------
    Mescheder et al., "Occupancy Networks", CVPR 2019, section 4 ("normal consistency").

    Examples
    --------
    >>> import pointmetrics as pm
    >>> x, up, side = [[0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]], [[3.0, 0.0, 4.0]]
    >>> float(pm.normal_consistency(x, x, (up, side)))
    0.8
    """
    pair = read_pair(x, y, lengths=lengths)
    forth, back = cosines(pair, find(pair, n_threads), read_normals(normals, pair))
    return pair.result((pair.x.means(forth) + pair.y.means(back)) / 2)
