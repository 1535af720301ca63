"""Time fitting and scoring in batch, beside coniferest, scikit-learn and isotree.

    pytest bench/bench_forest_batch.py --benchmark-enable --benchmark-json batch.json
    python bench/report.py batch.json

100 trees of 256 points over the same 100,000 x 10 float64 rows; the groups name the threads. Scores are timed at 3 and
64 features, too. Every model is checked against planted anomalies before it is timed. coniferest stops at depth 8
unless told otherwise.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from forest_data import DataSet, planted
from forest_timing import check_scores, label, measure, need, pickled_bytes

from imondrian import IsolationMondrianForest

N_TREES, N_SAMPLES, N_FEATURES = 100, 256, 10
THREADS = (1, 2)


class Library(NamedTuple):
    """A way to make an unfitted forest, and to have high scores for anomalies from it."""

    module: str
    make: Callable[[int], Any]
    scores: Callable[[Any, np.ndarray], np.ndarray]


def _ours(n_threads: int, score: str) -> Any:
    return IsolationMondrianForest(N_TREES, max_samples=N_SAMPLES, score=score, n_jobs=n_threads, random_state=0)


def _sklearn(n_threads: int) -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=N_TREES, max_samples=N_SAMPLES, n_jobs=n_threads, random_state=0)


def _coniferest(n_threads: int) -> Any:
    from coniferest.isoforest import IsolationForest

    return IsolationForest(n_trees=N_TREES, n_subsamples=N_SAMPLES, n_jobs=n_threads, random_seed=0)


def _isotree(n_threads: int) -> Any:
    from isotree import IsolationForest

    # Plain isolation forest: single-variable random cuts, like the others.
    return IsolationForest(
        ntrees=N_TREES, sample_size=N_SAMPLES, ndim=1, ntry=1, missing_action="fail", nthreads=n_threads, random_seed=1
    )


def _negated(model: Any, X: np.ndarray) -> np.ndarray:
    return -model.score_samples(X)


def _coniferest_deep(n_threads: int) -> Any:
    from coniferest.isoforest import IsolationForest

    return IsolationForest(
        n_trees=N_TREES, n_subsamples=N_SAMPLES, max_depth=N_SAMPLES, n_jobs=n_threads, random_seed=0
    )


LIBRARIES: dict[str, Library] = {
    "imondrian default": Library("imondrian", partial(_ours, score="default"), _negated),
    "imondrian depth": Library("imondrian", partial(_ours, score="depth"), _negated),
    "imondrian insertion": Library("imondrian", partial(_ours, score="insertion"), _negated),
    "coniferest": Library("coniferest", _coniferest, _negated),
    "coniferest, any depth": Library("coniferest", _coniferest_deep, _negated),
    "scikit-learn": Library("sklearn", _sklearn, _negated),
    "isotree": Library("isotree", _isotree, lambda model, X: model.decision_function(X)),
}
each_library = pytest.mark.parametrize("name", LIBRARIES)
each_thread_count = pytest.mark.parametrize("n_threads", THREADS, ids="{}t".format)


@pytest.fixture(scope="module")
def data(timed: bool) -> DataSet:
    return planted(100_000 if timed else 2_000, N_FEATURES)


def _workload(verb: str, data: DataSet, n_threads: int) -> str:
    threads = "1 thread" if n_threads == 1 else f"{n_threads} threads"
    return f"{verb} {len(data.X):,} x {N_FEATURES}, {N_TREES} trees x {N_SAMPLES}, {threads}"


@each_thread_count
@each_library
def test_fit(benchmark: Any, data: DataSet, name: str, n_threads: int) -> None:
    library = LIBRARIES[name]
    need(library.module)
    label(benchmark, _workload("fit", data, n_threads), name, 1, unit="ms")
    model = library.make(n_threads).fit(data.X)
    check_scores(benchmark, data.y, library.scores(model, data.X), 0.9)
    benchmark.extra_info["pickled_bytes"] = pickled_bytes(model)
    measure(benchmark, lambda: library.make(n_threads).fit(data.X))


@each_thread_count
@each_library
def test_score(benchmark: Any, data: DataSet, name: str, n_threads: int) -> None:
    library = LIBRARIES[name]
    need(library.module)
    label(benchmark, _workload("score", data, n_threads), name, len(data.X))
    model = library.make(n_threads).fit(data.X)
    check_scores(benchmark, data.y, library.scores(model, data.X), 0.9)
    measure(benchmark, library.scores, model, data.X, rounds=5)


@pytest.mark.parametrize("n_features", [3, 64])
@each_library
def test_score_widths(benchmark: Any, timed: bool, name: str, n_features: int) -> None:
    library = LIBRARIES[name]
    need(library.module)
    data = planted(100_000 if timed else 2_000, n_features)
    label(
        benchmark, f"score {len(data.X):,} x {n_features}, {N_TREES} trees x {N_SAMPLES}, 1 thread", name, len(data.X)
    )
    model = library.make(1).fit(data.X)
    check_scores(benchmark, data.y, library.scores(model, data.X), 0.8)
    measure(benchmark, library.scores, model, data.X, rounds=5)


@each_library
def test_score_one_row(benchmark: Any, data: DataSet, name: str) -> None:
    library = LIBRARIES[name]
    need(library.module)
    label(benchmark, f"score one row, public API, {N_TREES} trees x {N_SAMPLES}, 1 thread", name, 1)
    model = library.make(1).fit(data.X)
    scores = library.scores(model, data.X)
    check_scores(benchmark, data.y, scores, 0.9)
    row = data.X[:1]
    # Some libraries keep scores in single precision, or divide in another order for a single row.
    assert np.allclose(library.scores(model, row), scores[:1], rtol=1e-5)
    measure(benchmark, library.scores, model, row)


@each_library
def test_pickled_model(benchmark: Any, data: DataSet, name: str) -> None:
    library = LIBRARIES[name]
    need(library.module)
    label(benchmark, f"pickle a model, {N_TREES} trees x {N_SAMPLES}, d = {N_FEATURES}, float32", name, 1)
    model = library.make(1).fit(data.X.astype(np.float32))
    size = pickled_bytes(model)
    if size is None:
        pytest.skip(f"{name} does not pickle")
    benchmark.extra_info["pickled_bytes"] = size
    X = data.X[:1000].astype(np.float32)
    restored = pickle.loads(pickle.dumps(model, protocol=5))
    assert np.array_equal(library.scores(restored, X), library.scores(model, X))
    measure(benchmark, partial(pickle.dumps, protocol=5), model)
