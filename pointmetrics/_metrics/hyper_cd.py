"""Hyperbolic Chamfer distance (HyperCD)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number

from .chamfer import reduce_batch
from .neighbors import Found, find, pull

_REFERENCE_EPS = 1e-5


def _side(side: Clouds, sq_dist: Array, alpha: float, floor: float) -> tuple[Array, Array]:
    """Return mean(arcosh(1 + alpha d)) of one direction and its derivative by each d, 0 at the floor and below."""
    xp = side.backend.xp
    z = sq_dist.astype(np.float64)  # in its place from here on: new arrays cost more than the arithmetic
    z *= alpha
    above = z > floor
    if floor > 0:
        z = xp.maximum(z, floor)
    root = z + 2
    root = xp.sqrt(root, out=root)
    root *= xp.sqrt(z)  # not of the product, which may be too large for float64
    z += root
    value = side.means(xp.log1p(z, out=z))
    coef = xp.where(above, root, np.inf)
    if side.is_uniform:
        return value, xp.divide(alpha / side.max_n, coef, out=coef)
    return value, side.spread(alpha / side.counts) / coef


def value_and_grad(
    pair: Pair, found: Found, *, alpha: float, eps: float = 0.0, need_grad: bool = True
) -> tuple[Array, Any]:
    """Return HyperCD ``(b,)`` and, where needed, its packed gradients."""
    forth, forth_coef = _side(pair.x, found.sq_x, alpha, eps)
    back, back_coef = _side(pair.y, found.sq_y, alpha, eps)
    return forth + back, pull(pair, found, forth_coef, back_coef) if need_grad else None


@on_callers_device
def hyperbolic_chamfer_distance(
    x: Any,
    y: Any,
    *,
    alpha: float = 1.0,
    reference_eps: bool = False,
    lengths: Any = None,
    batch_reduction: str | None = None,
    return_grad: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the Chamfer distance in hyperbolic space (HyperCD), as its authors' code does.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds, as in :func:`chamfer_distance`.
    alpha : float, default=1.0
        Curvature, of unit 1 / length^2: larger values take more pull from points that are far off.
    reference_eps : bool, default=False
        Put 1e-5 in the place of smaller values of alpha d, as the authors' code does: it makes the distance
        from a cloud to itself 0.0089 instead of 0, and takes the gradient from points so near.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    batch_reduction : {None, "mean", "sum"}, default=None
        ``None`` gives one value a pair.
    return_grad : bool, default=False
        Return ``value, (grad_x, grad_y)``.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or (b,) array
        Without unit, 0 or more.

    Notes
    -----
    With d the squared distance of a point to its nearest neighbour, the mean of arcosh(1 + alpha d) over x plus
    that over y. Near 0 it goes as sqrt(2 alpha) times the distance, far out as its logarithm. Points that
    coincide have gradient zero.

    References
    ----------
    Lin, Yue, Hou, Yu, Xu, Yamada, Zhang, "Hyperbolic Chamfer Distance for Point Cloud Completion", ICCV 2023;
    ``calc_cd_like_hyperV2`` and ``arcosh`` in ``codes/utils/loss_utils.py`` of its code.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> round(float(pm.hyperbolic_chamfer_distance([[0.0, 0.0]], [[3.0, 4.0]])), 6)
    7.901747
    """
    alpha = check_number(alpha, "alpha", 0)
    pair = read_pair(x, y, lengths=lengths)
    values, grads = value_and_grad(
        pair, find(pair, n_threads), alpha=alpha, eps=_REFERENCE_EPS if reference_eps else 0.0, need_grad=return_grad
    )
    value, grad = reduce_batch(pair, values, grads, batch_reduction)
    return (value, grad) if return_grad else value
