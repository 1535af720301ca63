"""One row, and many, beside scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import IsolationForest

from imondrian._sklearn.estimator import IsolationMondrianForest


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def _told(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1e3 * seconds:.0f} ms" if seconds >= 0.02 else f"{1e6 * seconds:,.0f} us"


def show(console: Console, n: int) -> None:
    """Time fitting, one row and ``n`` rows in one thread, and print a table."""
    X = np.random.default_rng(0).normal(size=(n, 10))
    detectors: dict[str, Any] = {
        "IsolationMondrianForest": IsolationMondrianForest(n_jobs=1, random_state=0),
        "sklearn IsolationForest": IsolationForest(n_jobs=1, random_state=0),
    }
    table = Table(title=f"3. {n:,} rows x 10, 100 trees, one thread", title_justify="left")
    table.add_column("detector")
    for heading in ("fit", "one row", f"{n:,} rows"):
        table.add_column(heading, justify="right")
    times = []
    for detector in detectors.values():
        fit = _seconds(lambda d=detector: d.fit(X), 1)  # type: ignore[misc]
        one = _seconds(lambda d=detector: d.score_samples(X[:1]), 21)  # type: ignore[misc]
        times.append((fit, one, _seconds(lambda d=detector: d.score_samples(X), 1)))  # type: ignore[misc]
    for name, measured in zip(detectors, times, strict=True):
        table.add_row(name, *map(_told, measured))
    table.add_row("times as fast", *(f"{theirs / ours:.1f}" for ours, theirs in zip(*times, strict=True)))
    console.print(table)
