"""Whether detectors differ beyond chance over data sets: ranks, tests, and a critical-difference picture.

J. Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006): Wilcoxon's signed-rank
test for pairs, average ranks with Nemenyi's critical difference for all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from forest_protocols import Figure
from forest_tables import short
from markdown_table import markdown
from scipy.stats import rankdata, studentized_range, wilcoxon

LEVEL = 0.05


def by_set(figures: Sequence[Figure], measure: str = "auc") -> tuple[list[str], np.ndarray]:
    """Return the methods, and the mean over repeats of what was scored last, (sets, methods)."""
    last = figures[-1].part
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for figure in figures:
        if figure.part == last:
            values[figure.data, figure.method].append(getattr(figure, measure))
    sets, methods = (list(dict.fromkeys(names)) for names in zip(*values, strict=True))
    return methods, np.array([[np.mean(values[name, method]) for method in methods] for name in sets])


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Return each method's rank averaged over the sets: 1 is best, ties share."""
    return rankdata(-values, axis=1).mean(axis=0)


def critical_difference(n_methods: int, n_sets: int) -> float:
    """Return by how much average ranks must differ to be told apart (Nemenyi; Demšar 2006, section 3.2.2)."""
    q = studentized_range.ppf(1.0 - LEVEL, n_methods, np.inf) / np.sqrt(2.0)
    return float(q * np.sqrt(n_methods * (n_methods + 1) / (6.0 * n_sets)))


def comparison(figures: Sequence[Figure]) -> str:
    """Return one row a method: rank, and the first method's lead over it with Wilcoxon's two-sided p."""
    methods, auc = by_set(figures)
    _, ap = by_set(figures, "ap")
    if len(methods) < 2 or len(auc) < 5:
        return "Too few methods or sets to compare."
    rows = []
    for j in np.argsort(average_ranks(auc), kind="stable"):
        row = [methods[j], f"{average_ranks(auc)[j]:.1f}", f"{average_ranks(ap)[j]:.1f}"]
        for values in (auc, ap):
            lead = values[:, 0] - values[:, j]
            p = wilcoxon(lead).pvalue if lead.any() else 1.0
            row += ["-", "-", "-"] if j == 0 else [f"{lead.mean():+.3f}", short(p), _record(lead)]
        rows.append(row)
    header = [
        "method",
        "rank, AUC",
        "rank, AP",
        *(name.format(measure) for measure in ("AUC", "AP") for name in ("{} lead", "p", "won / tied / lost")),
    ]
    return (
        f"Lead of {methods[0]!r} over the others, mean over {len(auc)} sets, with Wilcoxon's signed-rank test; "
        f"ranks closer than {critical_difference(len(methods), len(auc)):.1f} cannot be told apart (Nemenyi, "
        f"{LEVEL:.0%})\n\n" + markdown(header, rows)
    )


def _record(lead: np.ndarray) -> str:
    won, lost = int((lead > 0.002).sum()), int((lead < -0.002).sum())
    return f"{won} / {len(lead) - won - lost} / {lost}"


def _name_methods(axes: Any, methods: Sequence[str], ranks: np.ndarray, order: np.ndarray) -> None:
    """Lead a line from every rank to its method: the better half to the left."""
    half = (len(methods) + 1) // 2
    for i, j in enumerate(order):
        left = i < half
        depth = 1.0 + (i if left else len(methods) - 1 - i)
        edge = 0.6 if left else len(methods) + 0.4
        side, weight = "right" if left else "left", "bold" if j == 0 else "normal"
        axes.plot([ranks[j], ranks[j], edge], [0.0, depth, depth], color="0.35", linewidth=0.9)
        axes.text(edge, depth, f" {methods[j]} ({ranks[j]:.1f}) ", ha=side, va="center", fontweight=weight)


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Draw average ranks by AUC; a bar joins methods that cannot be told apart."""
    from matplotlib.figure import Figure as Canvas

    methods, auc = by_set(figures)
    ranks, difference = average_ranks(auc), critical_difference(len(methods), len(auc))
    order = np.argsort(ranks, kind="stable")
    canvas = Canvas(figsize=(8.0, 1.2 + 0.24 * len(methods)), layout="constrained")
    axes = canvas.subplots()
    half = (len(methods) + 1) // 2
    _name_methods(axes, methods, ranks, order)
    sorted_ranks, end, n_bars = ranks[order], -1, 0
    for i in range(len(order)):
        last = int(np.searchsorted(sorted_ranks, sorted_ranks[i] + difference, side="right")) - 1
        if last > max(i, end):
            height, n_bars = 0.2 + 0.15 * n_bars, n_bars + 1
            axes.plot([sorted_ranks[i] - 0.04, sorted_ranks[last] + 0.04], [height, height], color="C0", linewidth=3)
            end = last
    axes.plot([1.0, 1.0 + difference], [-0.9, -0.9], color="C3", linewidth=2)
    axes.text(1.0 + difference, -0.9, f" critical difference {difference:.1f}", va="center", color="C3")
    axes.set_xlim(-1.2, len(methods) + 2.2)
    axes.set_ylim(half + 1.5, -1.4)
    axes.xaxis.set_ticks(range(1, len(methods) + 1))
    axes.xaxis.tick_top()
    axes.yaxis.set_visible(False)
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["top"].set_bounds(1, len(methods))
    axes.set_title(
        f"Average rank by AUC over {len(auc)} sets; 1 is best, bars join what cannot be told apart", fontsize=10
    )
    canvas.savefig(path, dpi=150)
