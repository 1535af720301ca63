"""Pictures of forests, with matplotlib.

Each function draws and returns the axes. The displays beside them are for those who draw again or want the numbers,
after the manner of scikit-learn: ``from_estimator`` and ``from_predictions`` draw, ``plot(ax)`` draws again, ``ax_``
and ``figure_`` are what was drawn on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._plot.axes import is_detector, scores_of
from ._plot.decision import DecisionMapDisplay
from ._plot.explanation import ExplanationDisplay, explained
from ._plot.histogram import ScoreHistogramDisplay
from ._plot.timeline import ScoreTimelineDisplay

__all__ = [
    "DecisionMapDisplay",
    "ExplanationDisplay",
    "ScoreHistogramDisplay",
    "ScoreTimelineDisplay",
    "decision_map",
    "plot_explanation",
    "score_histogram",
    "score_timeline",
]


def decision_map(detector: Any, X: np.ndarray, *, ax: Any = None, resolution: int = 200) -> Any:
    """Draw a fitted detector's decision function over the plane of two features.

    Parameters
    ----------
    detector : fitted scikit-learn outlier detector over two features
    X : array-like of shape (n, 2)
        Points to draw, coloured by ``detector.predict``. One that lacks a value (NaN) is drawn at the median of the
        others' (0 where there are none), and judged without it.
    ax : matplotlib Axes, optional
    resolution : int, default=200
        Cells along each side.

    Returns
    -------
    matplotlib Axes
    """
    return DecisionMapDisplay.from_estimator(detector, X, resolution=resolution, ax=ax).ax_


def score_timeline(
    detector: Any = None,
    X: Any = None,
    anomalous: Any = None,
    *,
    alarms: np.ndarray | None = None,
    ax: Any = None,
    threshold: float | None = None,
    scores: Any = None,
) -> Any:
    """Draw scores over time, with the true anomalies and the alarms marked.

    Called with scores in place of a detector, ``score_timeline(scores, anomalous)``, it draws these: those of a
    stream, each from just before its point was learnt, for instance.

    Parameters
    ----------
    detector : fitted detector, or array-like of shape (n,)
        Of scikit-learn (its ``score_samples`` with the sign turned is drawn), or a model of ``imondrian.river``, which
        scores X as it stands. An array is scores, high is anomalous.
    X : array-like or dataframe of shape (n, n_features)
        Points in their order.
    anomalous : array-like of bool, shape (n,), optional
        The truth, where it is known.
    alarms : array-like of bool, shape (n,), optional
        Points to put a ring around: those that an :class:`imondrian.river.AlarmFilter` called, for instance.
    ax : matplotlib Axes, optional
    threshold : float, optional
        Drawn as a line.
    scores : array-like of shape (n,), optional
        By name, in place of a detector.

    Returns
    -------
    matplotlib Axes
    """
    if detector is None or not is_detector(detector):
        if detector is not None:
            # A second argument behind scores is the truth.
            scores, anomalous = detector, X if anomalous is None else anomalous
        elif X is not None:
            anomalous = X
    elif X is None:
        raise TypeError("score_timeline needs X, the points that the detector is to score")
    else:
        scores = scores_of(detector, X)
    return ScoreTimelineDisplay.from_predictions(scores, anomalous, alarms=alarms, threshold=threshold, ax=ax).ax_


def score_histogram(
    scores: np.ndarray,
    anomalous: np.ndarray | None = None,
    *,
    ax: Any = None,
    threshold: float | None = None,
    bins: int = 60,
) -> Any:
    """Draw how scores are distributed, on a logarithmic scale that shows the few high ones.

    Parameters
    ----------
    scores : array-like of shape (n,)
        High is anomalous.
    anomalous : array-like of bool, shape (n,), optional
        The truth, where it is known: both kinds of points are drawn apart.
    ax : matplotlib Axes, optional
    threshold : float, optional
        Drawn as a line.
    bins : int, default=60

    Returns
    -------
    matplotlib Axes
    """
    return ScoreHistogramDisplay.from_predictions(scores, anomalous, threshold=threshold, bins=bins, ax=ax).ax_


def plot_explanation(
    detector: Any = None,
    X: Any = None,
    *,
    feature_names: Any = None,
    n_features: int = 12,
    high_is_anomalous: bool | None = None,
    ax: Any = None,
    contributions: Any = None,
    values: Any = None,
) -> Any:
    """Draw the contributions to one score as signed bars, the largest on top.

    Called with contributions in place of a detector, ``plot_explanation(contributions, values)``, it draws these.

    Parameters
    ----------
    detector : fitted forest, dict, or array-like of shape (n_features,) or (n_features, 2)
        What explains X. A dict or an array is contributions, as from ``explain_one`` or a row of ``explain``; with a
        direction, each part gets a bar of its own.
    X : dict, or array-like of shape (n_features,) or (1, n_features)
        The point, written beside the names; behind contributions it may be left out.
    feature_names : sequence of str, optional
        Names for an array; default 0, 1, ...
    n_features : int, default=12
        Bars to draw; what is left over is summed up in one more.
    high_is_anomalous : bool, optional
        Sign of the score. Default: True for a dict (river), False for an array (scikit-learn). Bars that make the
        point anomalous are red.
    ax : matplotlib Axes, optional
    contributions, values : optional
        By name, in place of a detector and X.

    Returns
    -------
    matplotlib Axes
    """
    if detector is not None and is_detector(detector):
        contributions, values, feature_names = explained(detector, X, feature_names)
    else:
        contributions = contributions if detector is None else detector
        values = X if values is None else values
    if contributions is None:
        raise TypeError("plot_explanation needs a detector and X, or contributions")
    return ExplanationDisplay.from_predictions(
        contributions,
        values,
        feature_names=feature_names,
        n_features=n_features,
        high_is_anomalous=high_is_anomalous,
        ax=ax,
    ).ax_


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
