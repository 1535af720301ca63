"""Time what grows with the number of features: wide 0/1 rows fitted and scored, and streams whose keys never end.

    pytest bench/bench_forest_wide.py --benchmark-enable --benchmark-json wide.json
    python bench/report.py wide.json

1 % of the values are 1. The default score is beside "depth", whose trees are the same but for their bags, and
scikit-learn's IsolationForest; one thread. A stream's points have a key that never came before, and one that all have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from forest_timing import label, measure
from sklearn.ensemble import IsolationForest

from imondrian import IsolationMondrianForest

N_TREES = 4
N_POINTS = 600


@pytest.mark.parametrize("library", ["ours, default score", "ours, depth", "scikit-learn"])
@pytest.mark.parametrize("shape", [(600, 800), (1000, 3000)])
def test_fit_sparse(benchmark: Any, timed: bool, shape: tuple[int, int], library: str) -> None:
    n, d = shape if timed else (40, 60)
    X = (np.random.default_rng(0).random((n, d)) < 0.01).astype(float)
    if library == "scikit-learn":
        forest: Any = IsolationForest(n_estimators=N_TREES, max_samples=min(n, 256), random_state=0, n_jobs=1)
    else:
        forest = IsolationMondrianForest(N_TREES, score="depth" if "depth" in library else "default", random_state=0)
    label(benchmark, f"fit {n:,} x {d:,}, 1 % ones, {N_TREES} trees", library, n)
    measure(benchmark, forest.fit, X, rounds=5)
    assert np.isfinite(forest.score_samples(X)).all()


@pytest.mark.parametrize("library", ["ours, default score", "scikit-learn"])
@pytest.mark.parametrize("kind", ["complete", "missing"])
def test_score_sparse(benchmark: Any, timed: bool, kind: str, library: str) -> None:
    """Few rows: boxes that no tree stores are made for them."""
    n, d = (200, 20_000) if timed else (20, 60)
    X = (np.random.default_rng(0).random((n, d)) < 0.01).astype(float)
    forest: Any = IsolationMondrianForest(100 if timed else 4, random_state=0)
    if library == "scikit-learn":
        forest = IsolationForest(n_estimators=100, max_samples=n, random_state=0, n_jobs=1)
    forest.fit(X)
    if kind == "missing":
        if library == "scikit-learn":
            pytest.skip("needs rows without missing values")
        X[:, ::7] = np.nan
    label(benchmark, f"score {n:,} x {d:,}, 1 % ones", f"{library}, {kind}", n)
    assert np.isfinite(measure(benchmark, forest.score_samples, X, rounds=3)).all()


@pytest.mark.parametrize("library", ["one model", "keyed models"])
def test_ever_new_keys(benchmark: Any, timed: bool, library: str) -> None:
    pytest.importorskip("river", reason="needs river")
    from imondrian.keyed import KeyedForest
    from imondrian.river import OnlineIsolationMondrianForest

    n = N_POINTS if timed else 20
    points = [{f"k{i}": 1.0, "a": float(i % 7)} for i in range(n)]
    label(benchmark, f"learn {n:,} points with a new key each", f"ours, {library}", n)

    def learn() -> int:
        model = OnlineIsolationMondrianForest(seed=0)
        for x in points:
            model.learn_one(x)
        return model.info()["points_streamed"]

    def learn_keyed() -> int:
        with KeyedForest(seed=0, max_features=1000) as models:
            for x in points:
                models.learn_one("one", x)
        return n

    assert measure(benchmark, learn if library == "one model" else learn_keyed, rounds=3) == n
