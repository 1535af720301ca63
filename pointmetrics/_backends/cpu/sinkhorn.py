"""Sinkhorn divergences on the CPU: potentials in float64, costs a block of rows at a time."""

from __future__ import annotations

import numpy as np

_BLOCK = 1 << 20  # entries of a block of costs


def divergences(
    x: np.ndarray,
    x_offsets: np.ndarray,
    y: np.ndarray,
    y_offsets: np.ndarray,
    epsilon: float,
    squared: bool,
    tol: float,
    max_iter: int,
) -> np.ndarray:
    """See :meth:`pointmetrics._backends.protocol.Backend.sinkhorn`."""
    values = np.empty(len(x_offsets) - 1)
    for i in range(len(values)):
        a, b = (
            points[offsets[i] : offsets[i + 1]].astype(np.float64)
            for points, offsets in ((x, x_offsets), (y, y_offsets))
        )
        cross, own_a, own_b = (_entropic(p, q, epsilon, squared, tol, max_iter) for p, q in ((a, b), (a, a), (b, b)))
        values[i] = max(0.0, cross - (own_a + own_b) / 2)
    return values


def _soft_min(x: np.ndarray, y: np.ndarray, potential: np.ndarray, epsilon: float, squared: bool) -> np.ndarray:
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


def _entropic(x: np.ndarray, y: np.ndarray, epsilon: float, squared: bool, tol: float, max_iter: int) -> float:
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
