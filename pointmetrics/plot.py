"""Pictures of two clouds' errors, with matplotlib. The only module that imports it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._clouds.arrays import read_pair
from ._clouds.numbers import check_number
from ._metrics.f_score import f_score, read_thresholds
from ._metrics.neighbors import find
from ._report.colours import scale

try:
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap
except ImportError as error:
    raise ImportError("pointmetrics.plot needs matplotlib: pip install 'imondrian[plot]'") from error

__all__ = ["error_clouds", "error_histogram", "f_score_curve"]

_FROM_X, _FROM_Y, _INK = "#0072b2", "#b45f00", "#222222"


def error_clouds(
    x: Any,
    y: Any,
    *,
    limit: float | None = None,
    max_points: int = 20_000,
    seed: int = 0,
    labels: tuple[str, str] = ("x", "y"),
    figure: Any = None,
) -> Any:
    """Draw both clouds side by side, each point coloured by its distance to the other cloud.

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        Two clouds of two or three dimensions.
    limit : float, default=None
        Distance at which the colour scale ends, in the unit of the coordinates; ``None`` takes the larger of both
        clouds' 99 % quantiles.
    max_points : int, default=20000
        Of larger clouds a random subset of so many is drawn; distances are to all points.
    seed : int, default=0
        Of the subset.
    labels : tuple of two str, default=("x", "y")
        Names of the clouds.
    figure : matplotlib Figure, optional
        To draw into.

    Returns
    -------
    matplotlib Figure
        With two axes of equal aspect and limits, and a colour bar. Colours darken all the way with the distance, so
        they can be told apart in any colour vision and in print.

    Raises
    ------
    ValueError
        Where the clouds have other dimensions, or as :func:`pointmetrics.nearest_neighbors`.
    """
    clouds, errors = _errors(x, y)
    d = clouds[0].shape[1]
    if d not in (2, 3):
        raise ValueError(f"x and y must have two or three dimensions, got {d}")
    if limit is None:
        limit = max(float(np.quantile(error, 0.99)) for error in errors) or 1.0
    elif check_number(limit, "limit", 0) == 0:
        raise ValueError("limit must be above 0, got 0")
    if isinstance(max_points, bool) or not isinstance(max_points, (int, np.integer)) or max_points < 1:
        raise ValueError(f"max_points must be an integer, 1 or more, got {max_points!r}")
    figure = plt.figure(figsize=(9.6, 4.6), layout="constrained") if figure is None else figure
    low, high = np.min([c.min(axis=0) for c in clouds], axis=0), np.max([c.max(axis=0) for c in clouds], axis=0)
    rng = np.random.default_rng(seed)
    drawn: list[Any] = []
    for side in range(2):
        ax = figure.add_subplot(1, 2, side + 1, projection="3d" if d == 3 else None)
        n = len(clouds[side])
        shown = np.arange(n) if n <= max_points else np.sort(rng.choice(n, max_points, replace=False))
        dots = ax.scatter(
            *clouds[side][shown].T,
            c=errors[side][shown],
            vmin=0,
            vmax=limit,
            linewidths=0,
            s=min(20.0, max(1.5, 12_000 / len(shown))),
            cmap=ListedColormap(scale("light") / 255.0),
            **({"depthshade": False} if d == 3 else {}),
        )
        _frame(ax, low, high)
        ax.set_title(f"{labels[side]}: distance to {labels[1 - side]}", fontsize=10)
        drawn.append((ax, dots))
    beyond = any(error.max() > limit for error in errors)
    figure.colorbar(
        drawn[1][1],
        ax=[ax for ax, _ in drawn],
        shrink=0.7,
        extend="max" if beyond else "neither",
        label="distance to the nearest point (length)",
    )
    return figure


def _frame(ax: Any, low: np.ndarray, high: np.ndarray) -> None:
    """Give an axis the limits of both clouds, with units of one length along each."""
    side = np.where(high > low, high - low, 1.0)
    margin = 0.02 * side.max()
    for name, a, b in zip("xyz", low, low + side, strict=False):
        getattr(ax, f"set_{name}lim")(a - margin, b + margin)
    if len(low) == 2:
        ax.set_aspect("equal")
        return
    ax.set_box_aspect(side + 2 * margin, zoom=1.1)
    ax.locator_params(nbins=4)
    ax.tick_params(labelsize=7)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))


def error_histogram(
    x: Any,
    y: Any,
    *,
    bins: int = 60,
    limit: float | None = None,
    log: bool = False,
    labels: tuple[str, str] = ("x", "y"),
    ax: Any = None,
) -> Any:
    """Draw which share of the points lies how far from the other cloud, in both directions.

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        Two clouds.
    bins : int, default=60
        Bins from 0 to ``limit``.
    limit : float, default=None
        Where the axis ends, in the unit of the coordinates; ``None`` takes the largest distance. What lies beyond is
        named in the legend.
    log : bool, default=False
        Draw the shares on a logarithmic scale.
    labels : tuple of two str, default=("x", "y")
        Names of the clouds.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    _, errors = _errors(x, y)
    if limit is None:
        limit = float(max(error.max() for error in errors)) or 1.0
    elif check_number(limit, "limit", 0) == 0:
        raise ValueError("limit must be above 0, got 0")
    ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")[1] if ax is None else ax
    edges = np.linspace(0, limit, bins + 1)
    for side, (error, colour, style) in enumerate(zip(errors, (_FROM_X, _FROM_Y), ("-", "--"), strict=True)):
        beyond = float((error > limit).mean())
        name = f"{labels[side]} to {labels[1 - side]}" + (f" ({beyond:.1%} beyond)" if beyond else "")
        shares = np.histogram(error, edges)[0] / len(error)
        ax.stairs(shares, edges, color=colour, linestyle=style, linewidth=1.5, label=name)
        ax.stairs(shares, edges, color=colour, alpha=0.12, fill=True)
    ax.set(xlabel="distance to the nearest point (length)", ylabel="share of points", xlim=(0, limit))
    if log:
        ax.set_yscale("log")
    ax.legend(framealpha=0.9)
    return ax


def f_score_curve(x: Any, y: Any, thresholds: Any = None, *, mark: Any = (), ax: Any = None) -> Any:
    """Draw F-score, precision and recall of a cloud x against a reference y over the threshold.

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        Two clouds: x is what is judged, y the reference.
    thresholds : (k,) floats, default=None
        Where the rates are taken; ``None`` takes 200 up to the larger of both 98 % quantiles of the distances.
    mark : sequence of float, default=()
        Thresholds to mark, with the F-score there.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    if thresholds is None:
        end = max(float(np.quantile(error, 0.98)) for error in _errors(x, y)[1]) or 1.0
        thresholds = np.linspace(0, end, 201)[1:]
    at, marked = read_thresholds(thresholds), read_thresholds(mark) if len(np.atleast_1d(mark)) else np.empty(0)
    rates = f_score(x, y, np.concatenate([at, marked]), return_details=True)
    ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")[1] if ax is None else ax
    for name, values, colour, style in (
        ("recall", rates.recall, _FROM_Y, ":"),
        ("F-score", rates.f_score, _INK, "-"),
        ("precision", rates.precision, _FROM_X, "--"),
    ):
        ax.plot(
            at, values[: len(at)], color=colour, linestyle=style, linewidth=2.2 if style == "-" else 1.6, label=name
        )
    for threshold, value in zip(marked, rates.f_score[len(at) :], strict=True):
        ax.axvline(threshold, color="grey", linewidth=0.8)
        ax.plot([threshold], [value], "o", color=_INK, markersize=4)
        ax.annotate(f"{value:.3f}", (threshold, value), xytext=(5, -11), textcoords="offset points", fontsize=9)
    ax.set(xlabel="threshold (length)", ylabel="rate", ylim=(0, 1.02), xlim=(0, float(at.max())))
    ax.legend(loc="lower right", framealpha=0.9)
    return ax


def _errors(x: Any, y: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return both clouds and their distances to each other, in numpy."""
    pair = read_pair(x, y)
    if pair.x.kind != "single":
        raise ValueError(f"x and y must be single clouds of shape (n, d), got batches of {len(pair)}")
    found = find(pair)
    return [pair.x.points, pair.y.points], [np.sqrt(sq_dist, dtype=np.float64) for sq_dist in (found.sq_x, found.sq_y)]
