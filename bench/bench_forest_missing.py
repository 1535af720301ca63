"""Time rows with missing values beside complete ones: scored in a batch, and one at a time on a stream.

    pytest bench/bench_forest_missing.py --benchmark-enable --benchmark-json missing.json
    python bench/report.py missing.json

Gaussian rows with d = 9 and 50 features, 100 trees, one thread. "one missing": one value of each row, at random;
"30 % missing", "90 % missing": every value with that chance; "all missing". Groups hold them side by side, so that the
report's ratios are what a missing value costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from forest_timing import label, measure

from imondrian import IsolationMondrianForest

KINDS = {"complete": 0.0, "one missing": None, "30 % missing": 0.3, "90 % missing": 0.9, "all missing": 1.0}
SCORES = ("spacing", "depth", "insertion")
N_TRAIN, N_BATCH, N_SINGLE = 5_000, 4_000, 500


def holed(X: np.ndarray, kind: str, seed: int = 1) -> np.ndarray:
    """Return a copy of X that lacks values."""
    rng, X, share = np.random.default_rng(seed), X.copy(), KINDS[kind]
    if share is None:
        X[np.arange(len(X)), rng.integers(0, X.shape[1], len(X))] = np.nan
    else:
        X[rng.random(X.shape) < share] = np.nan
    return X


def train_and_rows(d: int, n: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(N_TRAIN + n, d))
    return X[:N_TRAIN], holed(X[N_TRAIN:], kind)


def dicts(rows: np.ndarray) -> list[dict[int, float]]:
    """Return rows as river has them: what is missing is absent."""
    return [{j: value for j, value in enumerate(row) if value == value} for row in rows.tolist()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("d", [9, 50])
def test_batch(benchmark: Any, timed: bool, d: int, score: str, kind: str) -> None:
    n = N_BATCH if timed else 40
    train, rows = train_and_rows(d, n, kind)
    forest = IsolationMondrianForest(100 if timed else 5, score=score, random_state=0).fit(train)
    label(benchmark, f"score {n:,} rows, d = {d}, {score}", f"ours, {kind}", n)
    scores = measure(benchmark, forest.score_samples, rows)
    assert np.isfinite(scores).all() and (kind != "all missing" or np.ptp(scores) == 0)


def ask(model: Any, points: list[dict]) -> list[float]:
    return [model.score_one(x) for x in points]


def ask_and_learn(model: Any, points: list[dict]) -> list[float]:
    scores = []
    for x in points:
        scores.append(model.score_one(x))
        model.learn_one(x)
    return scores


CALLS: dict[str, Callable[[Any, list[dict]], list[float]]] = {
    "score_one": ask,
    "score_one and learn_one": ask_and_learn,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("d", [9, 50])
@pytest.mark.parametrize("call", CALLS)
def test_one_at_a_time(benchmark: Any, timed: bool, call: str, d: int, score: str, kind: str) -> None:
    pytest.importorskip("river", reason="needs river")
    from imondrian.river import OnlineIsolationMondrianForest

    n = N_SINGLE if timed else 10
    train, rows = train_and_rows(d, n, kind)
    model = OnlineIsolationMondrianForest(100 if timed else 5, score=score, seed=0)
    model.learn_many(train)
    label(benchmark, f"{call}, {n:,} points, d = {d}, {score}", f"ours, {kind}", n)
    assert np.isfinite(measure(benchmark, CALLS[call], model, dicts(rows), rounds=5)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", ["thinned", 256])
@pytest.mark.parametrize("d", [9, 50])
def test_score_learn_many(benchmark: Any, timed: bool, d: int, window: str | int, kind: str) -> None:
    pytest.importorskip("river", reason="needs river")
    from imondrian.river import OnlineIsolationMondrianForest

    n = N_BATCH if timed else 40
    train, rows = train_and_rows(d, n, kind)
    model = OnlineIsolationMondrianForest(100 if timed else 5, window=window, seed=0)
    model.learn_many(train)
    label(benchmark, f"score_learn_many, {n:,} points, d = {d}, window {window}", f"ours, {kind}", n)
    assert np.isfinite(measure(benchmark, model.score_learn_many, rows, rounds=3)).all()
