"""Sinkhorn divergence: entropic transport without its bias, in memory O(n * block)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._arrays import read_pair
from ._emd import read_cost
from ._libraries import on_callers_device

_BLOCK = 1 << 20  # entries of a block of costs


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
    values = np.empty(len(pair))
    for i in range(len(pair)):
        a, b = pair.x[i].astype(np.float64), pair.y[i].astype(np.float64)
        cross, own_a, own_b = (
            _entropic(p, q, epsilon, squared, tol, max_iter) for p, q in ((a, b), (a, a), (b, b))
        )
        values[i] = max(0.0, cross - (own_a + own_b) / 2)
    return pair.result(values)


def _soft_min(
    x: np.ndarray, y: np.ndarray, potential: np.ndarray, epsilon: float, squared: bool
) -> np.ndarray:
    """Return ``-epsilon log mean_j exp((potential_j - cost_ij) / epsilon)`` for every row of x."""
    out = np.empty(len(x))
    rows = max(1, _BLOCK // len(y))
    for first in range(0, len(x), rows):
        block = x[first : first + rows]
        value = np.zeros((len(block), len(y)))
        for a in range(x.shape[1]):
            value += (block[:, a, None] - y[:, a]) ** 2
        if not squared:
            np.sqrt(value, out=value)
        value -= potential
        low = value.min(axis=1)
        np.exp((low[:, None] - value) / epsilon, out=value)
        out[first : first + rows] = low - epsilon * np.log(value.mean(axis=1))
    return out


def _entropic(
    x: np.ndarray, y: np.ndarray, epsilon: float, squared: bool, tol: float, max_iter: int
) -> float:
    f, g = np.zeros(len(x)), np.zeros(len(y))
    both = np.concatenate([x, y])
    reach = float(np.sqrt(((both.max(axis=0) - both.min(axis=0)) ** 2).sum()))
    now = max(epsilon, reach**2 if squared else reach)
    for _ in range(max_iter + 200):
        new_f, new_g = _soft_min(x, y, g, now, squared), _soft_min(y, x, f, now, squared)
        change = max(np.abs(new_f - f).max(), np.abs(new_g - g).max()) / 2
        f, g = (f + new_f) / 2, (g + new_g) / 2
        if now > epsilon:
            now = max(epsilon, now / 2)
        elif change <= tol * epsilon:
            break
    return float(f.mean() + g.mean())
