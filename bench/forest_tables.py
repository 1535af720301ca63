"""Markdown tables of quality figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from forest_protocols import Figure
from markdown_table import markdown


def _means(figures: Sequence[Figure], measure: str) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return mean and standard deviation over repeats (NaN for one), by (data, part, method)."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for figure in figures:
        values[figure.data, figure.part, figure.method].append(getattr(figure, measure))
    return {key: (float(np.mean(found)), _deviation(found)) for key, found in values.items()}


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values)) if len(values) > 1 else float("nan")


def _ordered(items: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(items))


def short(value: float) -> str:
    """Return 0.876 as .876 and 1.0 as 1.00: AUC and AP never need more. NaN is a dash."""
    if np.isnan(value):
        return "-"
    return "1.00" if value >= 0.9995 else f"{value:.3f}".lstrip("0")


def summary(figures: Sequence[Figure]) -> str:
    """Return the table of means as text."""
    return f"Mean over {len(_ordered([f.data for f in figures]))} sets\n\n" + markdown(*mean_table(figures))


def mean_table(figures: Sequence[Figure]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows, one a method: mean AUC and AP over sets for each part, spread, median, and sets won.

    The spread is the standard deviation, over repeats, of the mean over sets: how much the row itself would
    move with another seed. Wins are sets where the method's AUC is above IsolationForest's (or the first
    method's) by > .002.
    """
    methods, parts = _ordered([f.method for f in figures]), _ordered([f.part for f in figures])
    sets = _ordered([f.data for f in figures])
    auc, ap = _means(figures, "auc"), _means(figures, "ap")
    base = next((method for method in methods if method.startswith("IsolationForest")), methods[0])
    last = parts[-1]
    rows = []
    for method in methods:
        row = [method, *(short(_mean([auc[name, part, method][0] for name in sets])) for part in parts)]
        row.append(short(_spread(figures, method, last)))
        row.append(short(float(np.median([auc[name, last, method][0] for name in sets]))))
        row.append(short(_mean([ap[name, last, method][0] for name in sets])))
        gaps = [auc[name, last, method][0] - auc[name, last, base][0] for name in sets]
        wins, losses = sum(gap > 0.002 for gap in gaps), sum(gap < -0.002 for gap in gaps)
        row.append("-" if method == base else f"{wins} / {len(sets) - wins - losses} / {losses}")
        row.append("-" if method == base else f"{min(gaps):+.3f} {sets[int(np.argmin(gaps))]}")
        rows.append(row)
    header = [
        "method",
        *(f"AUC {part}" for part in parts),
        "spread",
        "median AUC",
        "AP",
        f"wins / ties / losses to {base}",
        "worst against it",
    ]
    return header, rows


def _spread(figures: Sequence[Figure], method: str, part: str) -> float:
    repeats: dict[int, list[float]] = defaultdict(list)
    for figure in figures:
        if figure.method == method and figure.part == part:
            repeats[figure.repeat].append(figure.auc)
    # Sets with few anomalies have fewer folds: only repeats that every set has give comparable means.
    full = max(len(found) for found in repeats.values())
    return _deviation([float(np.mean(found)) for found in repeats.values() if len(found) == full])


def details(figures: Sequence[Figure]) -> str:
    """Return one row a set: AUC mean ± spread over repeats of every method, for what was scored last."""
    methods, sets = _ordered([f.method for f in figures]), _ordered([f.data for f in figures])
    parts = _ordered([f.part for f in figures])
    shown = parts if len(parts) <= 2 else parts[-1:]
    tables = []
    for measure, part in [("auc", part) for part in shown] + [("ap", shown[-1])]:
        means = _means(figures, measure)
        rows = [[name, *(_cell(means[name, part, method]) for method in methods)] for name in sets]
        tables.append(
            f"{measure.upper()}, {part} (mean ± standard deviation over repeats)\n\n"
            + markdown(["set", *methods], rows)
        )
    return "\n\n".join(tables)


def _cell(mean_and_spread: tuple[float, float]) -> str:
    mean, spread = mean_and_spread
    return short(mean) if np.isnan(spread) else f"{short(mean)} ± {short(spread)}"
