"""Awkward data for forests, by name, and short ways to make a forest."""

from __future__ import annotations

import numpy as np

from imondrian._forest.forest import UNBOUNDED, Forest, seed_states


def states(seed: int, n_trees: int) -> np.ndarray:
    return seed_states(np.random.RandomState(seed), n_trees)


def built(X: np.ndarray, *, seed: int = 0, n_trees: int = 5, **options) -> Forest:
    """Build every tree from all rows of X."""
    return Forest.build(X, None, states(seed, n_trees), len(X), **options)


def empty(
    n_features: int,
    *,
    dtype=np.float64,
    seed: int = 0,
    n_trees: int = 5,
    capacity: int = 8,
    memory: int = UNBOUNDED,
    decay: float = 0.0,
    scaled: bool = False,
) -> Forest:
    """Trees without points; with a bounded memory, they keep the last or a sample of ``capacity``."""
    room = capacity + (memory != UNBOUNDED)  # a point arrives before another one leaves
    return Forest(
        n_features, dtype, states(seed, n_trees), room, capacity + 16, memory=memory, decay=decay, scaled=scaled
    )


def _normal(rng, n, d):
    return rng.normal(size=(n, d))


def _lattice(rng, n, d):
    return rng.integers(0, 3, size=(n, d)).astype(float)


def _duplicates(rng, n, d):
    return rng.normal(size=(max(1, n // 4), d))[rng.integers(0, max(1, n // 4), n)]


def _one_point(rng, n, d):
    return np.repeat(rng.normal(size=(1, d)), n, axis=0)


def _constant_features(rng, n, d):
    X = rng.normal(size=(n, d))
    X[:, ::2] = 7.5
    return X


def _huge_offset(rng, n, d):
    return rng.normal(size=(n, d)) + 2.0**20


def _collinear(rng, n, d):
    return rng.normal(size=(n, 1)) * np.arange(1.0, d + 1.0)


def _neighbours(rng, n, d):
    """Numbers one unit in the last place apart: cuts have no room between them."""
    return 1.0 + rng.integers(0, 4, size=(n, d)) * float(np.finfo(np.float32).eps)


CASES = {
    function.__name__.strip("_"): function
    for function in (
        _normal,
        _lattice,
        _duplicates,
        _one_point,
        _constant_features,
        _huge_offset,
        _collinear,
        _neighbours,
    )
}


def case(name: str, n: int, d: int, *, seed: int = 0, dtype=np.float64) -> np.ndarray:
    return np.ascontiguousarray(CASES[name](np.random.default_rng(seed), n, d).astype(dtype))


def queries(X: np.ndarray, n: int, seed: int = 1) -> np.ndarray:
    """Stored rows, rows near them and rows far outside, in turn."""
    rng = np.random.default_rng(seed)
    Q = X[rng.integers(0, len(X), n)].copy()
    spread = np.maximum(np.ptp(X.astype(np.float64), axis=0), 1e-3)
    Q[1::3] += (rng.normal(size=Q[1::3].shape) * spread * 0.3).astype(X.dtype)
    Q[2::3] += (rng.normal(size=Q[2::3].shape) * spread * 5).astype(X.dtype)
    return np.ascontiguousarray(Q)
