"""Time nominal columns beside as many numbers: fitting, scoring, learning, and the bytes of each.

    pytest bench/bench_forest_nominal.py --benchmark-enable --benchmark-json nominal.json
    python bench/report.py nominal.json

Ten columns, 100 trees of 256 points, one thread: ten normal numbers; ten nominal columns of 10, or of 10,000 even
levels; five numbers beside five nominal columns of 100 Zipf(1.2) levels. Groups hold them side by side, so that the
report's ratios are what a nominal column costs; ``bytes`` in the extra information is the forest's size after the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from forest_timing import label, measure

from imondrian._forest.forest import SLIDING, Forest, seed_states

D, N_TRAIN, N_ROWS, N_SINGLE = 10, 10_000, 10_000, 300
KINDS = ("10 numbers", "10 columns of 10 levels", "10 columns of 10,000 levels", "5 numbers, 5 columns of 100 levels")


def words(levels: np.ndarray, seed: int) -> np.ndarray:
    """Return values of a nominal column: a random word for every level."""
    drawn = np.random.default_rng(seed).integers(0, 2**64, size=int(levels.max()) + 1, dtype=np.uint64)
    return ((drawn & ~np.uint64(1 << 62)) | np.uint64(1))[levels].view(np.float64)


def rows_of(kind: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows, and which of their columns are nominal."""
    rng = np.random.default_rng(0)
    X, nominal = rng.normal(size=(n, D)), np.zeros(D, bool)
    if kind.startswith("5"):
        nominal[5:] = True
        share = np.arange(1.0, 101.0) ** -1.2
        levels = rng.choice(100, size=(n, D), p=share / share.sum())
    elif kind != "10 numbers":
        nominal[:] = True
        levels = rng.integers(0, 10 if kind.endswith("10 levels") else 10_000, size=(n, D))
    for j in np.flatnonzero(nominal):
        X[:, j] = words(levels[:, j], int(j))
    return X, nominal


def build(X: np.ndarray, nominal: np.ndarray, score: str, n_trees: int) -> Forest:
    return Forest.build(
        X,
        None,
        seed_states(np.random.RandomState(0), n_trees),
        256,
        scaled=True,
        boxes=score == "insertion",
        spaced=score == "spacing",
        nominal=nominal,
    )


def stream(X: np.ndarray, nominal: np.ndarray, score: str, n_trees: int) -> Forest:
    """Return a stream's forest whose windows are full."""
    forest = Forest.for_stream(
        D,
        X.dtype,
        seed_states(np.random.RandomState(0), n_trees),
        SLIDING,
        256,
        1.0 / 16.0,
        scaled=True,
        spaced=score == "spacing",
        nominal=nominal,
    )
    forest.learn(X, score=score)
    return forest


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", ["depth", "spacing"])
def test_fit(benchmark: Any, timed: bool, score: str, kind: str) -> None:
    X, nominal = rows_of(kind, N_TRAIN if timed else 300)
    label(benchmark, f"fit {len(X):,} rows, {score}", kind, len(X))
    forest = measure(benchmark, build, X, nominal, score, 100 if timed else 3)
    assert (forest.nominal == nominal).all()
    benchmark.extra_info["bytes"] = forest.nbytes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", ["depth", "spacing", "insertion"])
def test_score(benchmark: Any, timed: bool, score: str, kind: str) -> None:
    X, nominal = rows_of(kind, N_TRAIN + N_ROWS if timed else 400)
    forest = build(X[: len(X) // 2], nominal, score, 100 if timed else 3)
    label(benchmark, f"score {len(X) // 2:,} rows, {score}", kind, len(X) // 2)
    scores = measure(benchmark, forest.scores, X[len(X) // 2 :], score)
    assert np.isfinite(scores).all()
    benchmark.extra_info["bytes"] = forest.nbytes


def score_and_learn(forest: Forest, rows: np.ndarray, score: str) -> list[float]:
    found = []
    for i in range(len(rows)):
        found.append(float(forest.scores(rows[i : i + 1], score)[0]))
        forest.learn(rows[i : i + 1])
    return found


def learn_block(forest: Forest, rows: np.ndarray, score: str) -> np.ndarray | None:
    return forest.learn(rows, score=score)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", ["depth", "spacing"])
@pytest.mark.parametrize("call", [learn_block, score_and_learn])
def test_stream(benchmark: Any, timed: bool, call: Callable[..., Any], score: str, kind: str) -> None:
    X, nominal = rows_of(kind, 2_000 + N_SINGLE if timed else 60)
    forest = stream(X[:-N_SINGLE] if timed else X[:40], nominal, score, 100 if timed else 3)
    rows = X[-N_SINGLE:] if timed else X[40:]
    what = "a block" if call is learn_block else "one by one"
    label(benchmark, f"learn {len(rows)} rows of a full stream, {what}, {score}", kind, len(rows))
    assert np.isfinite(measure(benchmark, call, forest, rows, score)).all()
    benchmark.extra_info["bytes"] = forest.nbytes
