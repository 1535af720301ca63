"""How scores are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np

from .axes import ANOMALY, NORMAL, Display, read_marks, read_scores, scores_of


class ScoreHistogramDisplay(Display):
    """How scores are distributed, on a logarithmic scale that shows the few high ones.

    Make it with :meth:`from_estimator` or :meth:`from_predictions`, which draw it, too.

    Parameters
    ----------
    scores : array-like of shape (n,)
        High is anomalous.
    anomalous : array-like of bool, shape (n,), optional
        The truth, where it is known: both kinds of points are drawn apart.
    threshold : float, optional
        Drawn as a line.
    bins : int, default=60

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn last.
    """

    def __init__(self, scores: Any, anomalous: Any = None, threshold: float | None = None, bins: int = 60) -> None:
        self.scores = read_scores(scores)
        self.anomalous = read_marks("anomalous", anomalous, len(self.scores))
        self.threshold, self.bins = threshold, bins

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        anomalous: Any = None,
        *,
        threshold: float | None = None,
        bins: int = 60,
        ax: Any = None,
    ) -> ScoreHistogramDisplay:
        """Score rows with a fitted detector of scikit-learn, or a model of ``imondrian.river``."""
        return cls(scores_of(estimator, X), anomalous, threshold, bins).plot(ax)

    @classmethod
    def from_predictions(
        cls, scores: Any, anomalous: Any = None, *, threshold: float | None = None, bins: int = 60, ax: Any = None
    ) -> ScoreHistogramDisplay:
        """Draw scores that are there: high is anomalous."""
        return cls(scores, anomalous, threshold, bins).plot(ax)

    def plot(self, ax: Any = None) -> ScoreHistogramDisplay:
        """Draw it, on ``ax`` where that is given, and return itself."""
        ax = self._begin(ax, (6.4, 3.6))
        scores, anomalous = self.scores, self.anomalous
        edges = np.histogram_bin_edges(scores, self.bins)
        ax.hist(scores[~anomalous], edges, color=NORMAL, alpha=0.8, label="normal" if anomalous.any() else "points")
        if anomalous.any():
            ax.hist(scores[anomalous], edges, color=ANOMALY, alpha=0.8, label="true anomaly")
        if self.threshold is not None:
            ax.axvline(self.threshold, color="black", linewidth=0.8, linestyle="--", label="threshold")
        ax.set(xlabel="score (high: anomalous)", ylabel="points", yscale="log")
        ax.set_ylim(bottom=0.5)  # so that a single point can be seen
        ax.legend(loc="upper right", framealpha=0.9)
        return self
