"""Pictures of forests, with matplotlib. The only module that imports it."""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import matplotlib.pyplot as plt
except ImportError as error:
    raise ImportError("imondrian.plot needs matplotlib: pip install 'imondrian[plot]'") from error

__all__ = ["decision_map", "plot_explanation", "score_histogram", "score_timeline"]

_NORMAL, _ANOMALY = "#33658a", "#d1495b"


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
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X must have shape (n, 2), got {X.shape}")
    ax = plt.subplots(figsize=(6.4, 5.2), layout="constrained")[1] if ax is None else ax
    shown = _filled(X)
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = 0.15 * (high - low)
    xs, ys = (np.linspace(low[j] - margin[j], high[j] + margin[j], resolution) for j in range(2))
    cells = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    values = detector.decision_function(cells).reshape(resolution, resolution)
    shades = ax.contourf(xs, ys, values, levels=24, cmap="Blues_r")
    ax.figure.colorbar(shades, ax=ax, label="decision function (below 0: outlier)")
    if values.min() < 0 < values.max():
        ax.contour(xs, ys, values, levels=[0.0], colors=_ANOMALY, linewidths=1.5)
    outlier = detector.predict(X) < 0
    ax.scatter(*shown[~outlier].T, s=8, color="white", edgecolors=_NORMAL, linewidths=0.6, label="inlier")
    ax.scatter(*shown[outlier].T, s=22, color=_ANOMALY, marker="x", linewidths=1.2, label="outlier")
    ax.legend(loc="upper left", framealpha=0.9)
    return ax


def _filled(X: np.ndarray) -> np.ndarray:
    """Return X with each feature's median for missing values."""
    filled = X.copy()
    for column in filled.T:
        missing = np.isnan(column)
        column[missing] = 0.0 if missing.all() else np.median(column[~missing])
    return filled


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
    if detector is None or not _is_detector(detector):
        if detector is not None:
            # A second argument behind scores is the truth.
            scores, anomalous = detector, X if anomalous is None else anomalous
        elif X is not None:
            anomalous = X
    elif X is None:
        raise TypeError("score_timeline needs X, the points that the detector is to score")
    else:
        scores = -detector.score_samples(X) if hasattr(detector, "score_samples") else detector.score_many(X)
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"scores must have shape (n,), got {scores.shape}")
    anomalous, alarms = (
        _marks(name, marks, len(scores)) for name, marks in (("anomalous", anomalous), ("alarms", alarms))
    )
    ax = plt.subplots(figsize=(10, 3.6), layout="constrained")[1] if ax is None else ax
    time = np.arange(len(scores))
    # Long streams overlap themselves: smaller dots then.
    size = float(np.clip(20_000 / max(len(scores), 1), 1.0, 8.0))
    ax.scatter(
        time[~anomalous],
        scores[~anomalous],
        s=size,
        color=_NORMAL,
        alpha=0.5,
        linewidths=0,
        label="normal" if anomalous.any() else "score",
        rasterized=True,
    )
    if anomalous.any():
        ax.scatter(
            time[anomalous],
            scores[anomalous],
            s=4 * size,
            color=_ANOMALY,
            linewidths=0,
            label="true anomaly",
            rasterized=True,
        )
    if alarms.any():
        ax.scatter(
            time[alarms],
            scores[alarms],
            s=24 + 4 * size,
            facecolors="none",
            edgecolors="black",
            linewidths=0.8,
            label="alarm",
            rasterized=True,
        )
    if threshold is not None:
        ax.axhline(threshold, color="black", linewidth=0.8, linestyle="--", label="threshold")
    ax.set(xlabel="points seen", ylabel="score (high: anomalous)", xlim=(0, len(scores)))
    # Above the axes: dots are everywhere within.
    legend = ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, borderaxespad=0.2)
    for handle in legend.legend_handles:
        if hasattr(handle, "set_sizes"):  # dots of a long stream are too small to tell apart in a legend
            handle.set_sizes([32.0])
    return ax


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
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"scores must have shape (n,), got {scores.shape}")
    anomalous = _marks("anomalous", anomalous, len(scores))
    ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")[1] if ax is None else ax
    edges = np.histogram_bin_edges(scores, bins)
    ax.hist(scores[~anomalous], edges, color=_NORMAL, alpha=0.8, label="normal" if anomalous.any() else "points")
    if anomalous.any():
        ax.hist(scores[anomalous], edges, color=_ANOMALY, alpha=0.8, label="true anomaly")
    if threshold is not None:
        ax.axvline(threshold, color="black", linewidth=0.8, linestyle="--", label="threshold")
    ax.set(xlabel="score (high: anomalous)", ylabel="points", yscale="log")
    ax.set_ylim(bottom=0.5)  # so that a single point can be seen
    ax.legend(loc="upper right", framealpha=0.9)
    return ax


def _marks(name: str, marks: Any, n: int) -> np.ndarray:
    """Read a mask of n points; None marks none."""
    if marks is None:
        return np.zeros(n, bool)
    read = np.asarray(marks)
    if read.shape != (n,):
        raise ValueError(f"{name} must have the shape of scores, ({n},), got {read.shape}")
    return read.astype(bool)


def _is_detector(found: Any) -> bool:
    return hasattr(found, "score_samples") or hasattr(found, "score_many")


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
    if detector is not None and _is_detector(detector):
        contributions, values, feature_names = _explained(detector, X, feature_names)
    else:
        contributions = contributions if detector is None else detector
        values = X if values is None else values
    if contributions is None:
        raise TypeError("plot_explanation needs a detector and X, or contributions")
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
    labels = [str(name) if values is None else f"{name} = {values[j]:.4g}" for j, name in enumerate(names)]
    bars = _bars(parts, labels, n_features)
    ax = plt.subplots(figsize=(6.4, 0.9 + 0.34 * len(bars)), layout="constrained")[1] if ax is None else ax
    sizes = np.array([size for _, size in bars])
    anomalous = sizes > 0 if (keyed if high_is_anomalous is None else high_is_anomalous) else sizes < 0
    place = np.arange(len(bars))[::-1]
    drawn = ax.barh(place, sizes, color=np.where(anomalous, _ANOMALY, _NORMAL), height=0.72)
    ax.bar_label(drawn, labels=[f"{size:+.3f}" for size in sizes], padding=3, fontsize=8)
    ax.axvline(0.0, color="black", linewidth=0.8)
    ax.set_yticks(place, [label for label, _ in bars])
    ax.margins(x=0.16)
    ax.set(xlabel=f"contribution to the score (sum {parts.sum():+.3f}); red: anomalous")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _explained(detector: Any, X: Any, feature_names: Any) -> tuple[Any, Any, Any]:
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
    return detector.explain(rows)[0], np.asarray(rows, dtype=np.float64)[0], feature_names


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


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
