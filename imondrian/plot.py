"""Pictures of forests, with matplotlib. The only module that imports it."""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import matplotlib.pyplot as plt
except ImportError as error:
    raise ImportError("imondrian.plot needs matplotlib: pip install 'imondrian[plot]'") from error

__all__ = ["decision_map", "score_timeline"]

_NORMAL, _ANOMALY = "#33658a", "#d1495b"


def decision_map(detector: Any, X: np.ndarray, *, ax: Any = None, resolution: int = 200) -> Any:
    """Draw a fitted detector's decision function over the plane of two features.

    Parameters
    ----------
    detector : fitted scikit-learn outlier detector over two features
    X : array-like of shape (n, 2)
        Points to draw, coloured by ``detector.predict``.
    ax : matplotlib Axes, optional
    resolution : int, default=200
        Cells along each side.

    Returns
    -------
    matplotlib Axes
    """
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X must have shape (n, 2), got {X.shape}")
    ax = plt.subplots(figsize=(6.4, 5.2), layout="constrained")[1] if ax is None else ax
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.15 * (high - low)
    xs, ys = (np.linspace(low[j] - margin[j], high[j] + margin[j], resolution) for j in range(2))
    cells = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    values = detector.decision_function(cells).reshape(resolution, resolution)
    shades = ax.contourf(xs, ys, values, levels=24, cmap="Blues_r")
    ax.figure.colorbar(shades, ax=ax, label="decision function (below 0: outlier)")
    if values.min() < 0 < values.max():
        ax.contour(xs, ys, values, levels=[0.0], colors=_ANOMALY, linewidths=1.5)
    outlier = detector.predict(X) < 0
    ax.scatter(*X[~outlier].T, s=8, color="white", edgecolors=_NORMAL, linewidths=0.6, label="inlier")
    ax.scatter(*X[outlier].T, s=22, color=_ANOMALY, marker="x", linewidths=1.2, label="outlier")
    ax.legend(loc="upper left", framealpha=0.9)
    return ax


def score_timeline(scores: np.ndarray, anomalous: np.ndarray | None = None, *, ax: Any = None,
                   threshold: float | None = None) -> Any:
    """Draw a stream's scores over time, the true anomalies marked.

    Parameters
    ----------
    scores : array-like of shape (n,)
        High is anomalous.
    anomalous : array-like of bool, shape (n,), optional
        The truth, where it is known.
    ax : matplotlib Axes, optional
    threshold : float, optional
        Drawn as a line.

    Returns
    -------
    matplotlib Axes
    """
    scores = np.asarray(scores, dtype=np.float64)
    anomalous = np.zeros(len(scores), bool) if anomalous is None else np.asarray(anomalous, dtype=bool)
    if scores.ndim != 1 or anomalous.shape != scores.shape:
        raise ValueError(f"scores and anomalous must have one shape (n,), got {scores.shape} and {anomalous.shape}")
    ax = plt.subplots(figsize=(10, 3.6), layout="constrained")[1] if ax is None else ax
    time = np.arange(len(scores))
    ax.scatter(time[~anomalous], scores[~anomalous], s=1, color=_NORMAL, alpha=0.5, linewidths=0,
               label="normal", rasterized=True)
    if anomalous.any():
        ax.scatter(time[anomalous], scores[anomalous], s=4, color=_ANOMALY, linewidths=0,
                   label="true anomaly", rasterized=True)
    if threshold is not None:
        ax.axhline(threshold, color="black", linewidth=0.8, linestyle="--", label="threshold")
    ax.set(xlabel="points seen", ylabel="score (high: anomalous)", xlim=(0, len(scores)))
    ax.legend(loc="lower right", markerscale=3, framealpha=0.9)
    return ax
