"""Clouds made to break shortcuts."""

import numpy as np

KINDS = ["normal", "lattice", "one point", "line", "clusters", "scales", "far"]


def make(kind, n, d, rng):
    points = rng.normal(size=(n, d))
    if kind == "lattice":
        return np.round(points * 2)
    if kind == "one point":
        return np.repeat(points[:1], n, axis=0)
    if kind == "line":
        return points[:, :1] * np.arange(1, d + 1)
    if kind == "clusters":
        return np.round(points) * 100 + rng.normal(size=(n, d)) * 1e-3
    if kind == "scales":
        return points * 2.0 ** rng.integers(-30, 30, size=(n, 1))
    if kind == "far":
        return points + 1e8
    return points
