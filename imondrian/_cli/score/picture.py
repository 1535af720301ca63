"""Pictures of results, drawn by :mod:`imondrian.plot`."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imondrian._cli import USAGE, Failure, output

_SUFFIXES = (".png", ".svg", ".pdf", ".jpg")
_MOST_POINTS = 20_000


def check_plot(path: Path) -> None:
    """Raise Failure where a picture cannot be drawn: before any work is done."""
    _plot()
    if path.suffix.lower() not in _SUFFIXES:
        raise Failure(f"{path}: the suffix must say what to draw: {', '.join(_SUFFIXES)}", USAGE)


def draw_scores(scores: np.ndarray, anomalous: np.ndarray | None, threshold: float, path: Path) -> None:
    """Draw the scores over the rows, and how they are distributed."""
    plot = _plot()
    import matplotlib.pyplot as plt  # that of the pictures

    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 7), layout="constrained")
    shown = _worst_of_each_stretch(scores)
    plot.score_timeline(scores[shown], None if anomalous is None else anomalous[shown], ax=above, threshold=threshold)
    stretch = -(-len(scores) // max(1, len(shown)))
    above.set(xlabel="row" if stretch == 1 else f"row (of {stretch:,} in turn, the most anomalous one)")
    above.xaxis.set_major_formatter(lambda place, _: f"{place * stretch:,.0f}")
    plot.score_histogram(scores, anomalous, ax=below, threshold=threshold)
    _write(figure, path)


def draw_explanation(
    contributions: np.ndarray, values: Sequence[Any], names: Sequence[str], title: str, path: Path
) -> None:
    """Draw contributions (d, 2), positive for anomalous, as bars."""
    plot = _plot()
    ax = plot.plot_explanation(contributions, values, feature_names=names, high_is_anomalous=True)
    ax.set_title(title)
    _write(ax.figure, path)


def _worst_of_each_stretch(scores: np.ndarray) -> np.ndarray:
    """Return the places of at most so many scores as can be seen, none of the highest left out."""
    stretch = -(-len(scores) // _MOST_POINTS)
    starts = np.arange(0, len(scores), stretch)
    whole = scores[: len(scores) // stretch * stretch].reshape(-1, stretch).argmax(axis=1)
    rest = scores[len(whole) * stretch :]
    places = whole + starts[: len(whole)]
    return np.append(places, len(whole) * stretch + rest.argmax()) if len(rest) else places


def _plot() -> Any:
    os.environ.setdefault("MPLBACKEND", "Agg")  # no window: the picture goes to a file
    try:
        from imondrian import plot
    except ImportError as error:
        raise Failure("--plot needs matplotlib: pip install 'imondrian[plot]'", USAGE) from error
    return plot


def _write(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:].lower(), dpi=150)
    plt.close(figure)
    with output.whole_file(path) as file:
        file.write(picture.getvalue())
