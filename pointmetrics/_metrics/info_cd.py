"""Contrastive Chamfer distance (InfoCD)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number

from .chamfer import reduce_batch
from .neighbors import Found, find, pull

_REFERENCE_EPS = 1e-7
_REDUCTIONS = ("sum", "mean")


def _least(side: Clouds, values: Array) -> Array:
    """Return the least of each cloud's values ``(b,)``."""
    if side.is_uniform:
        return values.reshape(len(side), side.max_n).min(axis=1)
    return side.backend.xp.stack([values[a:b].min() for a, b in pairwise(side.offsets.tolist())])


def _side(side: Clouds, sq_dist: Array, tau: float, power: float, eps: float, mean: bool) -> tuple[Array, Array]:
    """Return one direction and its derivative by each squared distance."""
    xp, counts = side.backend.xp, side.backend.constant(side.counts.astype(np.float64))
    scaled = sq_dist.astype(np.float64)  # in its place from here on: new arrays cost more than the arithmetic
    scaled = xp.sqrt(scaled, out=scaled)
    scaled /= tau
    least = _least(side, scaled)  # taken out, or the sum of a cloud far off would be 0
    near = side.spread(least)
    near -= scaled
    near = xp.exp(near, out=near)
    total = side.sums(near) + eps * counts * xp.exp(xp.minimum(least, 700.0))
    value = side.sums(scaled) + power * counts * (xp.log(total) - least)
    near *= side.spread(-power * counts / total)
    near += 1
    near /= xp.where(scaled > 0, scaled, np.inf)
    near /= 2 * tau * tau * (side.max_n if mean and side.is_uniform else 1)
    if not mean:
        return value, near
    return value / counts, near if side.is_uniform else near / side.spread(counts)


def value_and_grad(
    pair: Pair, found: Found, *, tau: float, power: float, mean: bool, eps: float = 0.0, need_grad: bool = True
) -> tuple[Array, Any]:
    """Return InfoCD ``(b,)`` and, where needed, its packed gradients."""
    settings = (tau, power, eps, mean)
    forth, forth_coef = _side(pair.x, found.sq_x, *settings)
    back, back_coef = _side(pair.y, found.sq_y, *settings)
    grads = None
    if need_grad:
        forth_coef *= 0.5
        back_coef *= 0.5
        grads = pull(pair, found, forth_coef, back_coef)
    return (forth + back) / 2, grads


@on_callers_device
def info_chamfer_distance(
    x: Any,
    y: Any,
    *,
    tau: float = 2.0,
    power: float = 1e-7,
    point_reduction: str = "sum",
    reference_eps: bool = False,
    lengths: Any = None,
    batch_reduction: str | None = None,
    return_grad: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the contrastive Chamfer distance (InfoCD), as its authors' code does.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds, as in :func:`chamfer_distance`.
    tau : float, default=2.0
        Temperature, a length.
    power : float, default=1e-7
        Weight of the regulariser. The formula printed in the paper has a power of 1; all published results are of
        code that has 1e-7.
    point_reduction : {"sum", "mean"}, default="sum"
        Over the points of a cloud. The code sums, so that its values grow with the number of points.
    reference_eps : bool, default=False
        Add 1e-7 to every term of the regulariser's sum, as the code does.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    batch_reduction : {None, "mean", "sum"}, default=None
        ``None`` gives one value a pair. The code sums.
    return_grad : bool, default=False
        Return ``value, (grad_x, grad_y)``.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or (b,) array
        Without unit.

    Notes
    -----
    With a the distances of the points of x to their nearest in y, one direction is the sum of
    -log(exp(-a / tau) / Z^power), where Z is the sum of exp(-a / tau) over x; the value is the mean of both
    directions. It spreads matches: of two points the pull on the nearer is the weaker one. Points that coincide
    have gradient zero.

    References
    ----------
    Lin, Yue, Xu, Liu, Bai, Yu, Zhang, "InfoCD: A Contrastive Chamfer Distance Loss for Point Cloud Completion",
    NeurIPS 2023; ``calc_cd_like_InfoV2`` in ``codes/utils/loss_utils.py`` of its code.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> round(float(pm.info_chamfer_distance([[0.0, 0.0]], [[3.0, 4.0]])), 4)
    2.5
    """
    tau, power = check_number(tau, "tau", 0), check_number(power, "power", 0)
    if tau == 0:
        raise ValueError("tau must be above 0, got 0")
    if point_reduction not in _REDUCTIONS:
        raise ValueError(f"point_reduction must be one of {', '.join(_REDUCTIONS)}; got {point_reduction!r}")
    pair = read_pair(x, y, lengths=lengths)
    values, grads = value_and_grad(
        pair,
        find(pair, n_threads),
        tau=tau,
        power=power,
        mean=point_reduction == "mean",
        eps=_REFERENCE_EPS if reference_eps else 0.0,
        need_grad=return_grad,
    )
    value, grad = reduce_batch(pair, values, grads, batch_reduction)
    return (value, grad) if return_grad else value
