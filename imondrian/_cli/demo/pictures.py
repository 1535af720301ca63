"""The demo's pictures; the README shows the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from .contest import N_TREES, Outcome
from .plant import Stream
from .watching import Found

_CALM, _EVENT, _ALARM = "#33658a", "#f6ae2d", "#d1495b"


def _axes(width: float, height: float) -> Any:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ax = plt.subplots(figsize=(width, height), layout="constrained")[1]
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _save(ax: Any, path: Path, dpi: int) -> Path:
    import matplotlib.pyplot as plt

    ax.figure.savefig(path, dpi=dpi)
    plt.close(ax.figure)
    return path


def timeline(path: Path, stream: Stream, found: Found, dpi: int = 110) -> Path:
    """Draw scores over time, what failed, and every incident with its reasons."""
    ax = _axes(10, 4.4)
    n = len(found.scores)
    for number, event in enumerate(stream.events):
        ax.axvspan(
            event.begin - n / 500,
            event.end + n / 500,
            color=_EVENT,
            alpha=0.6,
            linewidth=0,
            label="something failed" if number == 0 else None,
        )
    ax.axvspan(stream.silent[0], stream.silent[-1], color="0.9", linewidth=0, label="a sensor is silent")
    time = np.arange(n)
    for label, marked, size, colour in (("score", ~found.alarms, 3, _CALM), ("alarm", found.alarms, 14, _ALARM)):
        ax.scatter(time[marked], found.scores[marked], s=size, color=colour, linewidths=0, label=label)
    top = float(found.scores.max())
    low = float(np.quantile(found.scores[found.scores > 0], 0.001)) if found.scores.any() else 0.0
    room = 0.11 * (top - low)
    _write_reasons(ax, stream, found, top, room)
    ax.set(
        xlabel=f"records seen (the temperature drifts by {stream.drift:.0f} degrees meanwhile)",
        ylabel="score (high: anomalous)",
        xlim=(0, n),
        ylim=(low - room, top + 7.6 * room),
    )
    ax.set_title("Alarms and their reasons; grey: false ones", loc="left", fontsize=10)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, fontsize=8, borderaxespad=0.2)
    return _save(ax, path, dpi)


def _write_reasons(ax: Any, stream: Stream, found: Found, top: float, room: float) -> None:
    """Write the reasons above the scores, at one of three levels: texts do not overlap."""
    right = -np.inf  # where the last text at each level ends
    level, width = 0, 0.085 * len(found.scores)
    for record, reason in found.reasons.items():
        level = 0 if record - right > width else (level + 1) % 3
        right = record if level == 0 else right
        begin = found.scores[record : record + 30].max()
        truth = any(e.begin <= record < e.end for e in stream.events)
        height = top + room * (0.6 + 2.4 * level)
        ax.annotate(
            reason.replace(" and ", "\n"),
            (record, begin),
            (record, height),
            fontsize=8,
            ha="center",
            va="bottom",
            color=_ALARM if truth else "0.45",
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6},
        )


def wins_and_losses(path: Path, outcomes: list[Outcome], dpi: int = 110) -> Path:
    """Draw by how much ROC AUC differs on each stream."""
    ordered = sorted(outcomes, key=lambda o: o.ours - o.theirs)
    lead = np.array([o.ours - o.theirs for o in ordered])
    ax = _axes(8, 1.2 + 0.34 * len(ordered))
    drawn = ax.barh(range(len(ordered)), lead, color=np.where(lead > 0, _CALM, _ALARM), height=0.7)
    ax.bar_label(drawn, [f"{o.ours:.3f} against {o.theirs:.3f}" for o in ordered], padding=4, fontsize=8)
    ax.set_yticks(range(len(ordered)), [o.stream for o in ordered])
    for text, outcome in zip(ax.get_yticklabels(), ordered, strict=True):
        text.set_fontweight("bold" if outcome.stream == "Shuttle" else "normal")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.margins(x=0.36)
    ax.set(xlabel=f"ROC AUC, OnlineIsolationMondrianForest less river's HalfSpaceTrees, {N_TREES} trees each")
    return _save(ax, path, dpi)
