"""Density-aware Chamfer distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number

from .chamfer import reduce_batch
from .neighbors import Found, find, pull, rows_found

_REFERENCE_EPS = 1e-6


def _side(
    source: Clouds,
    target: Clouds,
    sq_dist: Array,
    rows: Array,
    alpha: float,
    n_lambda: float,
    eps: float,
    non_reg: bool,
) -> tuple[Array, Array]:
    """Return mean(1 - f exp(-alpha d) / n_k^lambda) over ``source`` and its derivative by each d."""
    backend = source.backend
    hits = backend.counts(rows, len(target.points))[rows].astype(np.float64)
    ratio = source.counts / target.counts
    if non_reg:
        ratio = np.maximum(1.0, ratio)
    near = backend.xp.exp(-alpha * sq_dist.astype(np.float64)) * source.spread(ratio) / (hits**n_lambda + eps)
    return source.means(1 - near), alpha * near / source.spread(source.counts)


def value_and_grad(
    pair: Pair,
    found: Found,
    *,
    alpha: float,
    n_lambda: float,
    non_reg: bool = False,
    eps: float = 0.0,
    need_grad: bool = True,
) -> tuple[Array, Any]:
    """Return DCD ``(b,)`` and, where needed, its packed gradients; match counts are constant in them."""
    settings = (alpha, n_lambda, eps, non_reg)
    rows_x, rows_y = rows_found(pair, found)
    back, back_coef = _side(pair.y, pair.x, found.sq_y, rows_y, *settings)
    forth, forth_coef = _side(pair.x, pair.y, found.sq_x, rows_x, *settings)
    grads = pull(pair, found, forth_coef / 2, back_coef / 2) if need_grad else None
    return (forth + back) / 2, grads


@on_callers_device
def density_aware_chamfer_distance(
    x: Any,
    y: Any,
    *,
    alpha: float = 1000.0,
    n_lambda: float = 1.0,
    non_reg: bool = False,
    reference_eps: bool = False,
    lengths: Any = None,
    batch_reduction: str | None = None,
    return_grad: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the density-aware Chamfer distance (DCD), as its authors' code does.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds, as in :func:`chamfer_distance`; y is the ground truth of the publication. Normalise
        them: alpha has the unit 1 / length^2.
    alpha : float, default=1000.0
        Sensitivity to distance. Published evaluations use 1000; training used 200 (PCN), 40 (VRCNet).
    n_lambda : float, default=1.0
        Exponent of the match counts. Training used 0.5.
    non_reg : bool, default=False
        Replace the ratio r of the clouds' sizes by max(1, r), which in training keeps more pull on a
        cloud that is too sparse.
    reference_eps : bool, default=False
        Add 1e-6 to the match counts as the authors' code does. It changes values by about 1e-6; with
        it the distance from a cloud to itself is 1.0e-6, without it 0.
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
        Without unit; in [0, 1] for ``n_lambda=1``. Smaller lambdas can go below 0.

    Notes
    -----
    With d the squared distance of a point to its nearest neighbour and n_k the number of points that
    share this neighbour, one direction is the mean over y of 1 - (m / n) exp(-alpha d) / n_k^lambda,
    and DCD the mean of both. The printed formula has d unsquared; the code, and so every published
    number, squares it. The counts are constant in the gradient.

    References
    ----------
    Wu, Pan, Zhang, Wang, Liu, Lin, "Density-aware Chamfer Distance as a Comprehensive Metric for Point
    Cloud Completion", NeurIPS 2021, equation 7.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> x = np.random.default_rng(0).random((200, 3))
    >>> float(pm.density_aware_chamfer_distance(x, x))
    0.0
    >>> round(float(pm.density_aware_chamfer_distance(x, x + 0.01)), 4)
    0.2629
    """
    alpha, n_lambda = check_number(alpha, "alpha", 0), check_number(n_lambda, "n_lambda", 0)
    pair = read_pair(x, y, lengths=lengths)
    values, grads = value_and_grad(
        pair,
        find(pair, n_threads),
        alpha=alpha,
        n_lambda=n_lambda,
        non_reg=non_reg,
        eps=_REFERENCE_EPS if reference_eps else 0.0,
        need_grad=return_grad,
    )
    value, grad = reduce_batch(pair, values, grads, batch_reduction)
    return (value, grad) if return_grad else value
