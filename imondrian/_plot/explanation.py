"""The contributions to one score."""

from __future__ import annotations

from typing import Any

import numpy as np

from .axes import ANOMALY, NORMAL, Display


class ExplanationDisplay(Display):
    """The contributions to one score as signed bars, the largest on top.

    Make it with :meth:`from_estimator` or :meth:`from_predictions`, which draw it, too.

    Parameters
    ----------
    contributions : dict, or array-like of shape (n_features,) or (n_features, 2)
        As from ``explain_one`` or a row of ``explain``; with a direction, each part gets a bar of its own.
    values : dict or array-like of shape (n_features,), optional
        The point, written beside the names.
    feature_names : sequence of str, optional
        Names for an array; default 0, 1, ...
    n_features : int, default=12
        Bars to draw; what is left over is summed up in one more.
    high_is_anomalous : bool, optional
        Sign of the score. Default: True for a dict (river), False for an array (scikit-learn).

    Attributes
    ----------
    bars : list of (str, float)
        Labels and sizes, the largest first.
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn last.
    """

    def __init__(
        self,
        contributions: Any,
        values: Any = None,
        feature_names: Any = None,
        n_features: int = 12,
        high_is_anomalous: bool | None = None,
    ) -> None:
        keyed = isinstance(contributions, dict)
        names = list(contributions) if keyed else None
        parts = np.asarray(list(contributions.values()) if keyed else contributions, dtype=np.float64)
        if parts.ndim not in (1, 2) or (parts.ndim == 2 and parts.shape[1] != 2):
            raise ValueError(f"contributions must have shape (n_features,) or (n_features, 2), got {parts.shape}")
        if names is None:
            names = list(range(len(parts))) if feature_names is None else list(feature_names)
        if len(names) != len(parts):
            raise ValueError(f"feature_names must be {len(parts)} names, got {len(names)}")
        if isinstance(values, dict):
            values = [values.get(name, np.nan) for name in names]
        labels = [str(name) if values is None else f"{name} = {_written(values[j])}" for j, name in enumerate(names)]
        self.contributions = parts
        self.bars = _bars(parts, labels, n_features)
        self.high_is_anomalous = keyed if high_is_anomalous is None else high_is_anomalous

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, feature_names: Any = None, n_features: int = 12, ax: Any = None
    ) -> ExplanationDisplay:
        """Explain one point with a fitted forest.

        Parameters
        ----------
        estimator : fitted forest, or model of ``imondrian.river``
        X : dict, or array-like of shape (n_features,) or (1, n_features)
        feature_names, n_features, ax : optional
            As in :func:`imondrian.plot.plot_explanation`.

        Returns
        -------
        ExplanationDisplay
        """
        contributions, values, feature_names = explained(estimator, X, feature_names)
        return cls(contributions, values, feature_names, n_features).plot(ax)

    @classmethod
    def from_predictions(
        cls,
        contributions: Any,
        values: Any = None,
        *,
        feature_names: Any = None,
        n_features: int = 12,
        high_is_anomalous: bool | None = None,
        ax: Any = None,
    ) -> ExplanationDisplay:
        """Draw contributions that are there."""
        return cls(contributions, values, feature_names, n_features, high_is_anomalous).plot(ax)

    def plot(self, ax: Any = None) -> ExplanationDisplay:
        """Draw it, on ``ax`` where that is given, and return itself."""
        bars = self.bars
        ax = self._begin(ax, (6.4, 0.9 + 0.34 * len(bars)))
        sizes = np.array([size for _, size in bars])
        anomalous = sizes > 0 if self.high_is_anomalous else sizes < 0
        place = np.arange(len(bars))[::-1]
        drawn = ax.barh(place, sizes, color=np.where(anomalous, ANOMALY, NORMAL), height=0.72)
        ax.bar_label(drawn, labels=[f"{size:+.3f}" for size in sizes], padding=3, fontsize=8)
        ax.axvline(0.0, color="black", linewidth=0.8)
        ax.set_yticks(place, [label for label, _ in bars])
        ax.margins(x=0.16)
        ax.set(xlabel=f"contribution to the score (sum {self.contributions.sum():+.3f}); red: anomalous")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        return self


def explained(detector: Any, X: Any, feature_names: Any) -> tuple[Any, Any, Any]:
    """Return a detector's contributions to the score of one point, its values, and the features' names."""
    if isinstance(X, dict):
        return detector.explain_one(X), X, feature_names
    shape = np.shape(X)
    if X is None or not shape or shape not in (shape[-1:], (1, *shape[-1:])):
        raise ValueError(f"X must be one point, of shape (n_features,) or (1, n_features), got {shape}")
    if not hasattr(detector, "explain"):
        raise TypeError(f"X must be a dict for a {type(detector).__name__}, got {type(X).__name__}")
    if len(shape) == 2:
        rows = X
    else:
        rows = X.to_frame().T if hasattr(X, "to_frame") else np.reshape(X, (1, -1))  # a row of a dataframe keeps names
    if feature_names is None:
        feature_names = getattr(rows, "columns", getattr(detector, "feature_names_in_", None))
    return np.asarray(detector.explain(rows))[0], np.asarray(rows)[0].tolist(), feature_names


def _written(value: Any) -> str:
    """Return a number, or a category, as labels have it."""
    if value is None or isinstance(value, (str, bytes, bool, np.bool_)) or not hasattr(value, "__float__"):
        return str(value)
    return f"{float(value):.4g}"


def _bars(parts: np.ndarray, labels: list[str], n_most: int) -> list[tuple[str, float]]:
    """Labels and sizes of the bars, in order; parts without size are left out, small ones summed up."""
    if parts.ndim == 1:
        bars = list(zip(labels, parts.tolist(), strict=True))
    else:
        bars = [
            (f"{label} ({side})", size)
            for label, pair in zip(labels, parts.tolist(), strict=True)
            for side, size in zip(("low", "high"), pair, strict=True)
        ]
    bars = sorted((bar for bar in bars if bar[1] != 0), key=lambda bar: -abs(bar[1]))
    rest = bars[n_most:]
    return [*bars[:n_most], (f"{len(rest)} others", sum(size for _, size in rest))] if rest else bars
