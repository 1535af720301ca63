"""From a detector's scores to alarms at a budget: our rule, and what other libraries offer or their users do.

A rule is called with all scores of a stream, in order, and a budget (a share of the rows); alarm i depends on scores up
to i only. Scores do not depend on alarms: every detector learns every row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Rule = Callable[[np.ndarray, float], np.ndarray]


def _first(scores: np.ndarray) -> int:
    """Return where the first score other than 0 is: zeros before are a detector that is not ready."""
    return int(np.argmax(scores != 0.0)) if scores.any() else len(scores)


def ours(scores: np.ndarray, budget: float, *, score: str | None = None, mode: str = "p-value") -> np.ndarray:
    """AlarmFilter's rule; ``score`` is ours that they are, if any."""
    from imondrian._conformal.alarm_rule import USUAL_SCORES, AlarmRule

    begin = _first(scores)
    rule = AlarmRule(budget, mode, usual=USUAL_SCORES.get(score or ""))
    return np.concatenate((np.zeros(begin, bool), np.array(rule.judge(scores[begin:].tolist()), bool)))


def quantile_filter(scores: np.ndarray, budget: float) -> np.ndarray:
    """river's QuantileFilter: at least the estimated quantile of all scores so far."""
    from river.stats import Quantile

    quantile: Any = Quantile(1.0 - budget)
    alarms = np.zeros(len(scores), bool)
    for i, score in enumerate(scores.tolist()):
        alarms[i] = score >= (quantile.get() or math.inf)
        quantile.update(score)
    return alarms


def threshold_filter(scores: np.ndarray, budget: float) -> np.ndarray:
    """river's ThresholdFilter, its threshold the quantile of rows 100 to 512."""
    return scores >= np.quantile(scores[min(100, len(scores) - 1) : 512], 1.0 - budget)


def thresholded_forest(scores: np.ndarray, budget: float) -> np.ndarray:
    """After AWS's ThresholdedRandomCutForest: more deviations above a discounted mean than a normal law allows."""
    from scipy.stats import norm

    far, discount = float(norm.isf(budget)), 1.0 / 1280.0
    mean = square = weight = 0.0
    alarms = np.zeros(len(scores), bool)
    begin = _first(scores)
    for i, score in enumerate(scores[begin:].tolist(), begin):
        if weight > 0.0 and i - begin >= 32:
            deviation = math.sqrt(max(square / weight - (mean / weight) ** 2, 0.0))
            alarms[i] = score > mean / weight + far * deviation
        keep = 1.0 - discount
        mean, square, weight = keep * mean + score, keep * square + score * score, keep * weight + 1.0
    return alarms


def z_score(scores: np.ndarray, budget: float, window: int = 512) -> np.ndarray:
    """pysad's running z-score as postprocessor: deviations above the mean of the last scores."""
    from scipy.stats import norm

    sums = np.concatenate((np.zeros((1, 2)), np.cumsum(np.column_stack((scores, scores**2)), axis=0)))
    end = np.arange(len(scores))
    begin = np.maximum(end - window, 0)
    mean, square = ((sums[end] - sums[begin]) / np.maximum(end - begin, 1)[:, None]).T
    far = mean + float(norm.isf(budget)) * np.sqrt(np.maximum(square - mean**2, 0.0))
    return (end >= 32) & (scores > far)


def at_random(scores: np.ndarray, budget: float) -> np.ndarray:
    """Alarms at random, whatever the scores."""
    return np.random.default_rng(len(scores)).random(len(scores)) < budget


PEER_RULES: dict[str, Rule] = {
    "QuantileFilter": quantile_filter,
    "ThresholdFilter": threshold_filter,
    "TRCF rule": thresholded_forest,
    "z-score": z_score,
    "AlarmFilter": ours,
}
