"""``imondrian demo``: one forest in a scikit-learn pipeline and in a river pipeline, on real data."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from river import anomaly, compose, datasets, preprocessing
from sklearn.datasets import make_moons
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imondrian._sklearn.estimator import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

SEED = 0


def run(output: Path, n_rows: int | None = None) -> None:
    """Run the demo, print its tables and write its pictures to ``output``."""
    console = Console()
    start = time.perf_counter()
    stream = list(datasets.Shuttle().take(n_rows or 10**9))
    keys = sorted(stream[0][0])
    X = np.array([[x[key] for key in keys] for x, _ in stream], dtype=np.float64)
    y = np.array([bool(label) for _, label in stream])
    console.print(f"[bold]Statlog (Shuttle)[/]: {len(X):,} rows, {X.shape[1]} features, "
                  f"{y.mean():.1%} anomalies; it comes with river.\n")
    console.print(_batch(console, X, y))
    table, scores = _streams(console, stream, y)
    console.print(table)
    for path in _pictures(output, scores, y):
        console.print(f"picture: [cyan]{path}[/]")
    console.print(f"done in {time.perf_counter() - start:.0f} s")


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                    console=console, transient=True, disable=not console.is_terminal)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("detector", overflow="fold")
    for name in ("ROC AUC", "average precision", "points/s", "model, kB"):
        table.add_column(name, justify="right")
    return table


def _add_row(table: Table, name: str, y: np.ndarray, scores: np.ndarray, seconds: float, size: int) -> None:
    table.add_row(name, f"{roc_auc_score(y, scores):.4f}", f"{average_precision_score(y, scores):.4f}",
                  f"{len(y) / seconds:,.0f}", f"{size / 1000:,.0f}")


def _batch(console: Console, X: np.ndarray, y: np.ndarray) -> Table:
    """Fit on 70 % without labels, score the rest."""
    train, test, _, truth = train_test_split(X, y, test_size=0.3, stratify=y, random_state=SEED)
    detectors = {
        "IsolationMondrianForest": IsolationMondrianForest(random_state=SEED),
        "IsolationForest (scikit-learn)": IsolationForest(random_state=SEED),
        "LocalOutlierFactor (scikit-learn), 5,000 rows": LocalOutlierFactor(novelty=True),
    }
    table = _table("Batch: StandardScaler + detector, fitted on 70 %, scored on 30 % (fit and score timed)")
    with _progress(console) as progress:
        for name, detector in progress.track(detectors.items(), description="batch"):
            rows = train[:5000] if isinstance(detector, LocalOutlierFactor) else train
            began = time.perf_counter()
            pipeline = make_pipeline(StandardScaler(), detector).fit(rows)
            scores = -pipeline.score_samples(test)
            seconds = time.perf_counter() - began
            _add_row(table, name, truth, scores, seconds, len(pickle.dumps(pipeline)))
    return table


def _streams(console: Console, stream: list[Any], y: np.ndarray) -> tuple[Table, np.ndarray]:
    """Score each point, then learn it, one dict at a time."""
    # No scaler in front of the forest: its trees keep points, and a running scaler would move them.
    models = {
        "OnlineIsolationMondrianForest": compose.Select(*stream[0][0]) | OnlineIsolationMondrianForest(seed=SEED),
        "HalfSpaceTrees (river), 10 trees": preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=SEED),
        "LODA (river)": preprocessing.StandardScaler() | anomaly.LODA(seed=SEED),
    }
    table = _table("Stream: score, then learn, point by point through river")
    ours = np.zeros(0)
    with _progress(console) as progress:
        for name, model in models.items():
            began = time.perf_counter()
            scores = np.array(list(_prequential(model, progress.track(stream, description=name))))
            seconds = time.perf_counter() - began
            ours = scores if len(ours) == 0 else ours
            _add_row(table, name, y, scores, seconds, len(pickle.dumps(model)))
    return table, ours


def _prequential(model: Any, stream: Iterable[Any]) -> Iterator[float]:
    for x, _ in stream:
        yield model.score_one(x)
        model.learn_one(x)


def _pictures(output: Path, scores: np.ndarray, y: np.ndarray) -> Iterator[Path]:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from imondrian import plot

    output.mkdir(parents=True, exist_ok=True)
    X, _ = make_moons(600, noise=0.07, random_state=SEED)
    X = np.vstack([X, np.random.default_rng(SEED).uniform(-2, 3, size=(20, 2))])
    forest = IsolationMondrianForest(contamination=0.04, random_state=SEED).fit(X)
    ax = plot.decision_map(forest, X)
    ax.set_title("Isolation Mondrian forest on two moons with scattered outliers")
    yield _save(ax, output / "decision-map.png")
    ax = plot.score_timeline(scores, y)
    ax.set_title("Shuttle: scores before learning, and the true anomalies", loc="left")
    yield _save(ax, output / "shuttle-stream.png")
    plt.close("all")


def _save(ax: Any, path: Path) -> Path:
    ax.figure.savefig(path, dpi=150)
    return path
