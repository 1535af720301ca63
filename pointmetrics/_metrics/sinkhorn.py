"""Sinkhorn divergence: entropic transport without its bias, in memory O(n * block)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pointmetrics._clouds.arrays import read_pair
from pointmetrics._clouds.libraries import on_callers_device

from .emd import read_cost


@on_callers_device
def sinkhorn_divergence(
    x: Any,
    y: Any,
    *,
    epsilon: float,
    cost: str = "euclidean",
    lengths: Any = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
) -> Any:
    """Compute the Sinkhorn divergence, a smooth and symmetric relative of the earth mover's distance.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds of any sizes, with uniform masses; float32 and float64 are kept, integers become float64.
    epsilon : float
        Entropic regularisation in units of the cost; no default fits all units. Small against typical
        costs: close to the earth mover's distance, and many iterations.
    cost : {"euclidean", "squared"}, default="euclidean"
        Cost of moving a unit of mass.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    tol : float, default=1e-6
        Iterations stop when the potentials change by no more than ``tol * epsilon``.
    max_iter : int, default=1000
        Most iterations at the final epsilon.

    Returns
    -------
    scalar or (b,) array
        OT(x, y) - (OT(x, x) + OT(y, y)) / 2 in units of the cost; not negative, and 0 for equal clouds.

    Notes
    -----
    OT is the entropic cost with relative entropy against the product of the masses; potentials are
    updated together (averaged) in the log domain, with epsilon halved from the largest cost downwards.
    O(n * m) time an iteration, O(n + m) memory.

    Potentials are float64 whatever the clouds are. On a CUDA device all pairs of a batch advance together;
    for float32 clouds its exponentials are float32, which moves potentials by about 1e-7 ``epsilon``.

    References
    ----------
    J. Feydy et al., "Interpolating between optimal transport and MMD using Sinkhorn divergences",
    AISTATS 2019, equation 3.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> x = [[0.0, 0.0], [1.0, 0.0]]
    >>> float(pm.sinkhorn_divergence(x, x, epsilon=0.1))
    0.0
    >>> round(float(pm.sinkhorn_divergence(x, [[0.0, 2.0], [1.0, 2.0]], epsilon=0.01)), 3)
    2.0
    """
    if not (isinstance(epsilon, (int, float, np.integer, np.floating)) and 0 < epsilon < math.inf):
        raise ValueError(f"epsilon must be a positive finite number, got {epsilon!r}")
    if not tol > 0:
        raise ValueError(f"tol must be positive, got {tol}")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter}")
    squared = read_cost(cost) == "squared"
    pair = read_pair(x, y, lengths=lengths)
    values = pair.backend.sinkhorn(
        pair.x.points, pair.x.offsets, pair.y.points, pair.y.offsets, float(epsilon), squared, float(tol), max_iter
    )
    return pair.result(values)
