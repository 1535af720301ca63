"""Scores over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from .axes import ANOMALY, NORMAL, Display, read_marks, read_scores, scores_of


class ScoreTimelineDisplay(Display):
    """Scores over time, with the true anomalies and the alarms marked.

    Make it with :meth:`from_estimator` or :meth:`from_predictions`, which draw it, too.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        High is anomalous.
    anomalous, alarms : array-like of bool, shape (n,), optional
        The truth, and points to put a ring around.
    threshold : float, optional
        Drawn as a line.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn last.
    """

    def __init__(self, scores: Any, anomalous: Any = None, alarms: Any = None, threshold: float | None = None) -> None:
        self.scores = read_scores(scores)
        self.anomalous = read_marks("anomalous", anomalous, len(self.scores))
        self.alarms = read_marks("alarms", alarms, len(self.scores))
        self.threshold = threshold

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        anomalous: Any = None,
        *,
        alarms: Any = None,
        threshold: float | None = None,
        ax: Any = None,
    ) -> ScoreTimelineDisplay:
        """Score rows in their order with a fitted detector of scikit-learn, or a model of ``imondrian.river``.

        Parameters
        ----------
        estimator : fitted detector
            The ``score_samples`` of one of scikit-learn are drawn with their sign turned.
        X : array-like or dataframe of shape (n, n_features)
        anomalous, alarms, threshold, ax : optional
            As in :func:`imondrian.plot.score_timeline`.

        Returns
        -------
        ScoreTimelineDisplay
        """
        return cls(scores_of(estimator, X), anomalous, alarms, threshold).plot(ax)

    @classmethod
    def from_predictions(
        cls, scores: Any, anomalous: Any = None, *, alarms: Any = None, threshold: float | None = None, ax: Any = None
    ) -> ScoreTimelineDisplay:
        """Draw scores that are there: high is anomalous."""
        return cls(scores, anomalous, alarms, threshold).plot(ax)

    def plot(self, ax: Any = None) -> ScoreTimelineDisplay:
        """Draw it, on ``ax`` where that is given, and return itself."""
        ax = self._begin(ax, (10, 3.6))
        scores, anomalous = self.scores, self.anomalous
        time = np.arange(len(scores))
        # Long streams overlap themselves: smaller dots then.
        size = float(np.clip(20_000 / max(len(scores), 1), 1.0, 8.0))
        dots: dict[str, Any] = {"linewidths": 0, "rasterized": True}
        label = "normal" if anomalous.any() else "score"
        ax.scatter(time[~anomalous], scores[~anomalous], s=size, color=NORMAL, alpha=0.5, label=label, **dots)
        if anomalous.any():
            ax.scatter(time[anomalous], scores[anomalous], s=4 * size, color=ANOMALY, label="true anomaly", **dots)
        if self.alarms.any():
            rings = dots | {"facecolors": "none", "edgecolors": "black", "linewidths": 0.8}
            ax.scatter(time[self.alarms], scores[self.alarms], s=24 + 4 * size, label="alarm", **rings)
        if self.threshold is not None:
            ax.axhline(self.threshold, color="black", linewidth=0.8, linestyle="--", label="threshold")
        ax.set(xlabel="points seen", ylabel="score (high: anomalous)", xlim=(0, len(scores)))
        # Above the axes: dots are everywhere within.
        legend = ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, borderaxespad=0.2)
        for handle in legend.legend_handles:
            if hasattr(handle, "set_sizes"):  # dots of a long stream are too small to tell apart in a legend
                handle.set_sizes([32.0])
        return self
