"""From what the core measures to scores and labels."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np

# What users may ask for; a misspelling fails in their type checker.
Score = Literal["default", "spacing", "depth", "insertion"]
Window = int | Literal["thinned", "decayed", "reservoir"] | None

_LOG_2 = np.log(2.0)

SCORES = {"depth": 0, "insertion": 1, "spacing": 2}  # the core's numbers
DEFAULT_SCORE: Score = "spacing"
DEFAULT_STREAM_SCORE: Score = "depth"
AUTO_OFFSET = -0.5


def resolve_score(score: str, stream: bool = False) -> Score:
    """Return the score that a name stands for, in a model for tables or for streams."""
    if score == "default":
        return DEFAULT_STREAM_SCORE if stream else DEFAULT_SCORE
    if score not in SCORES:
        raise ValueError(f"score must be one of {['default', *SCORES]}, got {score!r}")
    return cast(Score, score)


def anomaly_scores(depth: np.ndarray, norm: np.ndarray | float) -> np.ndarray:
    """Return 2 ** (-depth / norm), in (0, 1], high for anomalies.

    Liu, Ting and Zhou (2008), equation 2; ``norm`` is c(n), the mean of the trees'. A forest of one
    point can tell nothing apart: its norm is 0 and every score 0.5.
    """
    if isinstance(norm, float):
        return np.exp2(-(depth / norm)) if norm > 0 else np.full_like(depth, 0.5)
    norm = np.broadcast_to(np.asarray(norm, dtype=np.float64), depth.shape)
    ratio = np.divide(depth, norm, out=np.ones_like(depth), where=norm > 0)
    return np.exp2(-ratio)


def depth_slope(value: np.ndarray, expected: float, norm: float) -> np.ndarray:
    """Return how much the anomaly score changes from depth ``expected`` to ``value``, a level."""
    if not norm > 0:
        return np.zeros_like(value)
    step = value - expected
    far = np.abs(step) > norm  # where a secant loses no digits; a tiny norm would overflow below
    secant = np.divide(np.exp2(-value / norm) - np.exp2(-expected / norm), step, out=np.zeros_like(step), where=far)
    exponent = np.where(far, 0.0, -np.log(2.0) * (step / norm))
    ratio = np.divide(np.expm1(exponent), exponent, out=np.ones_like(exponent), where=exponent != 0)
    near = -np.log(2.0) * np.exp2(-expected / norm) * ratio
    return np.where(far, secant, np.divide(near, norm, out=np.zeros_like(near), where=near != 0))


def spacing_slope(value: np.ndarray, expected: float) -> np.ndarray:
    """Return how much the anomaly score changes from excess ``expected`` to ``value``, a unit of excess."""
    step, middle = value - expected, 0.5 * (value + expected)
    secant = np.divide(
        spacing_scores(value) - spacing_scores(np.full_like(value, expected)),
        step,
        out=np.zeros_like(step),
        where=step != 0,
    )
    tangent = 0.5 * np.log(2.0) * (1.0 - np.tanh(np.log(2.0) * middle) ** 2)
    return np.where(np.abs(step) > 1e-5, secant, tangent)


def spacing_scores(excess: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + 4 ** -excess), in [0, 1], high for anomalies: 0.5 at excess 0, 0.2 at -1."""
    scores = _LOG_2 * excess
    np.tanh(scores, out=scores)
    scores += 1.0
    scores *= 0.5
    return scores


def lowest_share(scores: np.ndarray, weight: np.ndarray | None, share: float) -> float:
    """Return the least score that the lowest ``share`` of the mass stays below."""
    order = np.argsort(scores)
    mass = np.cumsum(np.ones(len(scores)) if weight is None else weight[order])
    place = np.searchsorted(mass, share * mass[-1], side="right")
    return float(scores[order[min(place, len(order) - 1)]])
