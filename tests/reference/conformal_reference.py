"""Conformal p-values and the Benjamini-Hochberg procedure, written down from their definitions."""

from __future__ import annotations

import numpy as np


def p_value(score, calibration, weight=None) -> float:
    """Rank of a score among calibration scores; high is anomalous, ties count against it, it weighs 1 itself."""
    weight = [1.0] * len(calibration) if weight is None else weight
    at_least = 1.0
    for other, mass in zip(calibration, weight, strict=True):
        if other >= score:
            at_least += mass
    return at_least / (1.0 + sum(weight))


def benjamini_hochberg(p, rate) -> np.ndarray:
    """Reject the k smallest p-values, k the largest number with the k-th smallest at most rate * k / n."""
    p = np.asarray(p)
    n, bound = len(p), 0.0
    for k, value in enumerate(sorted(p), start=1):
        if value <= rate * k / n:
            bound = value
    return p <= bound


def excess(p_by_run, level, m) -> float:
    """How far P(p <= level) lies above level + 1 / (m + 1), in standard errors over independent runs."""
    shares = np.array([np.mean(np.asarray(p) <= level) for p in p_by_run])
    error = max(shares.std(ddof=1), 1e-3) / np.sqrt(len(shares))
    return float((shares.mean() - level - 1.0 / (m + 1)) / error)
