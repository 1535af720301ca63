"""A decision function over the plane of two features."""

from __future__ import annotations

from typing import Any

import numpy as np

from .axes import ANOMALY, NORMAL, Display


class DecisionMapDisplay(Display):
    """A fitted detector's decision function over the plane of two features, and points with its verdict.

    Make it with :meth:`from_estimator`, which draws it, too.

    Parameters
    ----------
    xs, ys : ndarray of shape (resolution,)
        Where the plane was looked at.
    values : ndarray of shape (resolution, resolution)
        The decision function there, ``ys`` along the rows; below 0 is an outlier.
    points : ndarray of shape (n, 2)
    outlier : ndarray of bool, shape (n,)
    feature_names : sequence of two str, optional
        Written at the axes.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        Where it was drawn last.
    """

    def __init__(self, xs: Any, ys: Any, values: Any, points: Any, outlier: Any, feature_names: Any = None) -> None:
        self.xs, self.ys, self.values = xs, ys, values
        self.points, self.outlier, self.feature_names = points, outlier, feature_names

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, resolution: int = 200, ax: Any = None) -> DecisionMapDisplay:
        """Ask a fitted detector about a grid around X and about X.

        Parameters
        ----------
        estimator : fitted scikit-learn outlier detector over two features
        X : array-like or dataframe of shape (n, 2)
            A missing value is drawn at the median of the others' (0 where there are none), and judged as missing.
        resolution : int, default=200
            Cells along each side.
        ax : matplotlib Axes, optional

        Returns
        -------
        DecisionMapDisplay
        """
        rows = np.asarray(X, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != 2:
            raise ValueError(f"X must have shape (n, 2), got {rows.shape}")
        names = _names(X)
        shown = _filled(rows)
        low, high = shown.min(axis=0), shown.max(axis=0)
        margin = 0.15 * (high - low)
        xs, ys = (np.linspace(low[j] - margin[j], high[j] + margin[j], resolution) for j in range(2))
        cells = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
        values = estimator.decision_function(_like(X, cells)).reshape(resolution, resolution)
        outlier = estimator.predict(X if names is not None else rows) < 0
        return cls(xs, ys, values, shown, outlier, names).plot(ax)

    def plot(self, ax: Any = None) -> DecisionMapDisplay:
        """Draw it, on ``ax`` where that is given, and return itself."""
        ax = self._begin(ax, (6.4, 5.2))
        shades = ax.contourf(self.xs, self.ys, self.values, levels=24, cmap="Blues_r")
        ax.figure.colorbar(shades, ax=ax, label="decision function (below 0: outlier)")
        if self.values.min() < 0 < self.values.max():
            ax.contour(self.xs, self.ys, self.values, levels=[0.0], colors=ANOMALY, linewidths=1.5)
        usual, odd = self.points[~self.outlier].T, self.points[self.outlier].T
        ax.scatter(*usual, s=8, color="white", edgecolors=NORMAL, linewidths=0.6, label="inlier")
        ax.scatter(*odd, s=22, color=ANOMALY, marker="x", linewidths=1.2, label="outlier")
        if self.feature_names is not None:
            ax.set(xlabel=str(self.feature_names[0]), ylabel=str(self.feature_names[1]))
        ax.legend(loc="upper left", framealpha=0.9)
        return self


def _like(X: Any, cells: np.ndarray) -> Any:
    """Return cells as a dataframe where X is one, so that a detector finds its columns by name."""
    names = _names(X)
    return cells if names is None else type(X)(dict(zip(names, cells.T, strict=True)))


def _names(X: Any) -> list[Any] | None:
    """Return the columns of a dataframe, which pandas and polars make of a dict."""
    return list(X.columns) if hasattr(X, "columns") and not hasattr(X, "column_names") else None


def _filled(X: np.ndarray) -> np.ndarray:
    """Return X with each feature's median for missing values."""
    filled = X.copy()
    for column in filled.T:
        missing = np.isnan(column)
        column[missing] = 0.0 if missing.all() else np.median(column[~missing])
    return filled
