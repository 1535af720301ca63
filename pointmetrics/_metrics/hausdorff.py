"""Hausdorff distance and its quantiles."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number

from .chamfer import check_direction, reduce_batch
from .neighbors import Found, find, pull, root_coef


def _order_statistics(side: Clouds, sq_dist: Array, quantile: float) -> tuple[Array, Array]:
    """Return the quantile of each cloud's distances and the share that each point has in it."""
    xp = side.backend.xp
    distance = xp.sqrt(sq_dist.astype(np.float64, copy=False))
    if side.is_uniform:
        values, shares = _of_rows(distance.reshape(len(side), side.max_n), quantile, xp)
        return values, shares.reshape(-1)
    parts = [_of_rows(distance[None, a:b], quantile, xp) for a, b in pairwise(side.offsets.tolist())]
    return xp.concatenate([value for value, _ in parts]), xp.concatenate([share[0] for _, share in parts])


def _of_rows(distance: Array, quantile: float, xp: Any) -> tuple[Array, Array]:
    """Return the quantile of each row ``(b,)`` and the shares of its entries ``(b, n)``."""
    rows = xp.arange(len(distance))
    shares = xp.zeros(distance.shape)
    if quantile == 1:
        at = distance.argmax(axis=1)
        shares[rows, at] = 1
        return distance[rows, at], shares
    order = xp.argsort(distance, axis=1, kind="stable")
    position = quantile * (distance.shape[1] - 1)
    low = int(position)
    part = position - low
    at, above = order[:, low], order[:, min(low + 1, distance.shape[1] - 1)]
    shares[rows, at] += 1 - part
    shares[rows, above] += part
    return distance[rows, at] + part * (distance[rows, above] - distance[rows, at]), shares


def _quantiles(side: Clouds, sq_dist: Array, quantile: float) -> Array:
    """Return the quantile of each cloud's distances: as :func:`_order_statistics`, without sorting."""
    xp = side.backend.xp
    clouds = (
        [sq_dist.reshape(len(side), side.max_n)]
        if side.is_uniform
        else [sq_dist[None, a:b] for a, b in pairwise(side.offsets.tolist())]
    )
    values = []
    for rows in clouds:
        if quantile == 1:
            values.append(xp.sqrt(rows.max(axis=1).astype(np.float64)))
            continue
        position = quantile * (rows.shape[1] - 1)
        low = int(position)
        high = min(low + 1, rows.shape[1] - 1)
        # Ranks do not change under the root, which two values are enough for.
        ends = xp.sqrt(xp.partition(rows, [low, high], axis=1)[:, low : high + 1].astype(np.float64))
        values.append(ends[:, 0] + (position - low) * (ends[:, -1] - ends[:, 0]))
    return xp.concatenate(values)


def value_and_grad(
    pair: Pair, found: Found, *, quantile: float = 1.0, direction: str = "both", need_grad: bool = True
) -> tuple[Array, Any]:
    """Return the distance ``(b,)`` and, where needed, the packed gradients through the points it rests on."""
    xp = pair.backend.xp
    if not need_grad:
        forth, back = _quantiles(pair.x, found.sq_x, quantile), _quantiles(pair.y, found.sq_y, quantile)
        return xp.maximum(forth, back) if direction == "both" else forth if direction == "x_to_y" else back, None
    forth, share_x = _order_statistics(pair.x, found.sq_x, quantile)
    back, share_y = _order_statistics(pair.y, found.sq_y, quantile)
    # NaN, which only what is recorded in a graph can hold, is more than anything.
    use_x = (forth >= back) | xp.isnan(forth) if direction == "both" else xp.full(len(pair), direction == "x_to_y")
    values = xp.where(use_x, forth, back)
    coef_x = root_coef(found.sq_x, share_x * pair.x.spread(use_x), xp)
    coef_y = root_coef(found.sq_y, share_y * pair.y.spread(~use_x), xp)
    return values, pull(pair, found, coef_x, coef_y)


@on_callers_device
def hausdorff_distance(
    x: Any,
    y: Any,
    *,
    quantile: float = 1.0,
    direction: str = "both",
    lengths: Any = None,
    batch_reduction: str | None = None,
    return_grad: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the Hausdorff distance, or a quantile version of it that forgives outliers.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds, as in :func:`chamfer_distance`.
    quantile : float in [0, 1], default=1.0
        1 is the Hausdorff distance, 0.95 is HD95. Quantiles are taken of each direction apart, with
        linear interpolation.
    direction : {"both", "x_to_y", "y_to_x"}, default="both"
        "both" is the larger of the two directions.
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
        In the unit of the coordinates. Not squared, unlike the "max" reduction of PyTorch3D.

    Notes
    -----
    max(max a, max b) with a and b the nearest-neighbour distances from x to y and from y to x. The
    gradient reaches only the pair of points that the value rests on (two pairs where a quantile lies
    between two distances); of equally far pairs the one of lowest index, x before y.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> float(pm.hausdorff_distance([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]]))
    5.0
    """
    quantile = check_number(quantile, "quantile", 0, 1)
    check_direction(direction)
    pair = read_pair(x, y, lengths=lengths)
    values, grads = value_and_grad(
        pair, find(pair, n_threads), quantile=quantile, direction=direction, need_grad=return_grad
    )
    value, grad = reduce_batch(pair, values, grads, batch_reduction)
    return (value, grad) if return_grad else value
