"""Time streaming, beside rcf3 and river: river's Shuttle stream (49,097 x 9), each point scored, then learnt.

    pytest bench/bench_forest_stream.py --benchmark-enable --benchmark-json stream.json
    python bench/report.py stream.json

A run starts from an empty model. ROC-AUC and average precision of its scores are recorded beside the time.
Plain arrays come in chunks; rcf3 has no call for many points and gets lists one at a time, made beforehand
(faster for it than arrays). Its OnlineIForest is asked to score before it learns, as all the others are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
from forest_data import DataSet, shuttle
from forest_timing import check_scores, label, measure, need

pytest.importorskip("river", reason="needs river, which ships the Shuttle stream")

from imondrian.river import OnlineIsolationMondrianForest

N_TREES, WINDOW, CHUNK = 100, 256, 256
LEAST_AUC = 0.7  # far above chance: a model that learns nothing, or whose sign is wrong, stays below
N_DICTS, N_WARM = 5_000, 500  # points timed, points learnt before


@pytest.fixture(scope="module")
def stream(timed: bool) -> DataSet:
    return shuttle(None if timed else 1_000)


@pytest.fixture(scope="module")
def short_stream(timed: bool) -> DataSet:
    """The start of the stream: long enough to compare, short enough for the slowest peer."""
    return shuttle(N_WARM + N_DICTS if timed else 700)


# -- score then learn, by library ------------------------------------------------------------------------


def _chunks(X: np.ndarray, size: int) -> Iterable[np.ndarray]:
    return (X[start : start + size] for start in range(0, len(X), size))


def score_learn_many(X: np.ndarray, **params: Any) -> np.ndarray:
    """Score and learn in one pass: every score is from just before its point was learnt."""
    model = OnlineIsolationMondrianForest(N_TREES, seed=0, **params)
    return np.concatenate([model.score_learn_many(chunk) for chunk in _chunks(X, CHUNK)])


def score_many_learn_many(X: np.ndarray, **params: Any) -> np.ndarray:
    """Score a chunk, then learn it: scores are up to a chunk older, and scoring is vectorised."""
    model = OnlineIsolationMondrianForest(N_TREES, seed=0, **params)
    scores = []
    for chunk in _chunks(X, CHUNK):
        scores.append(model.score_many(chunk))
        model.learn_many(chunk)
    return np.concatenate(scores)


def rcf3_stream(X: list[list[float]], make: Callable[[int], Any]) -> np.ndarray:
    """Score, then update, one list at a time."""
    model = make(len(X[0]))
    scores = []
    for row in X:
        scores.append(model.score(row))
        model.update(row)
    return np.array(scores)


def river_stream(model: Any, points: list[dict[str, float]]) -> np.ndarray:
    """Score, then learn, one dict at a time."""
    scores = []
    for x in points:
        scores.append(model.score_one(x))
        model.learn_one(x)
    return np.array(scores)


def online_iforest(n_features: int, n_trees: int) -> Any:
    """Make rcf3's online isolation forest."""
    import rcf3

    return rcf3.OnlineIForest(n_features, num_trees=n_trees, seed=0)


def random_cut_forest(n_features: int, n_trees: int) -> Any:
    """Make rcf3's random cut forest with trees of WINDOW points."""
    import rcf3

    return rcf3.Forest(n_features, num_trees=n_trees, capacity=WINDOW, seed=0)


def half_space_trees(height: int) -> Any:
    """Make river's detector as its documentation advises: scaled to [0, 1] first."""
    from river import anomaly, compose, preprocessing

    return compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(n_trees=25, height=height, seed=0))


def _ours_name(score: str, window: Any) -> str:
    return f"imondrian {score}, {window if isinstance(window, str) else f'window {window}'}"


OURS = [
    ("default", "thinned"),
    ("default", "decayed"),
    ("default", "reservoir"),
    ("default", WINDOW),
    ("depth", "thinned"),
    ("depth", "reservoir"),
    ("depth", WINDOW),
    ("insertion", "thinned"),
]
each_of_ours = pytest.mark.parametrize(("score", "window"), OURS, ids=[_ours_name(*pair) for pair in OURS])


# -- benchmarks ------------------------------------------------------------------------------------------


def _time(benchmark: Any, data: DataSet, X: Any, run: Callable[[Any], np.ndarray], rounds: int = 3) -> None:
    """Check the scores of one run, then time others like it."""
    check_scores(benchmark, data.y, run(X), LEAST_AUC)
    measure(benchmark, run, X, rounds=rounds)


def _workload(data: DataSet, n_threads: int = 1) -> str:
    threads = "1 thread" if n_threads == 1 else f"{n_threads} threads"
    return f"stream: score then learn, Shuttle {len(data.X):,} x 9, arrays, {threads}"


@pytest.mark.parametrize("n_threads", [1, 2], ids="{}t".format)
@each_of_ours
def test_score_learn_many(benchmark: Any, stream: DataSet, score: str, window: Any, n_threads: int) -> None:
    label(benchmark, _workload(stream, n_threads), _ours_name(score, window), len(stream.X))
    run = partial(score_learn_many, score=score, window=window, n_jobs=n_threads)
    _time(benchmark, stream, stream.X, run)


@each_of_ours
def test_score_many_then_learn_many(benchmark: Any, stream: DataSet, score: str, window: Any) -> None:
    workload = f"stream: score_many then learn_many, Shuttle {len(stream.X):,} x 9, chunks of {CHUNK}"
    label(benchmark, workload, _ours_name(score, window), len(stream.X))
    _time(benchmark, stream, stream.X, partial(score_many_learn_many, score=score, window=window))


@pytest.mark.parametrize("n_trees", [100, 32])
def test_rcf3_online_iforest(benchmark: Any, stream: DataSet, n_trees: int) -> None:
    need("rcf3")
    label(benchmark, _workload(stream), f"rcf3 OnlineIForest {n_trees} trees", len(stream.X))
    run = partial(rcf3_stream, make=partial(online_iforest, n_trees=n_trees))
    _time(benchmark, stream, stream.X.tolist(), run)


@pytest.mark.parametrize("n_trees", [100, 50])
def test_rcf3_random_cut_forest(benchmark: Any, stream: DataSet, n_trees: int) -> None:
    need("rcf3")
    label(benchmark, _workload(stream), f"rcf3 Forest {n_trees} trees x {WINDOW}", len(stream.X))
    run = partial(rcf3_stream, make=partial(random_cut_forest, n_trees=n_trees))
    _time(benchmark, stream, stream.X.tolist(), run, rounds=1)


def _dicts(data: DataSet) -> list[dict[str, float]]:
    names = [f"f{column}" for column in range(1, data.X.shape[1] + 1)]
    return [dict(zip(names, row, strict=True)) for row in data.X.tolist()]


def _time_dicts(benchmark: Any, data: DataSet, library: str, make: Callable[[], Any], rounds: int = 3) -> None:
    """Time scoring and learning of all but the first points, which are learnt before.

    Half-space trees build all their nodes at the first point (seconds at height 15) and score 0 for the first
    window: that is left out, in their favour.
    """
    points, y = _dicts(data), data.y[N_WARM:]
    workload = f"stream: score_one then learn_one, Shuttle {len(y):,} x 9, river dicts"
    label(benchmark, workload, library, len(y))
    scores = []

    def warmed() -> tuple[tuple[Any, list[dict[str, float]]], dict[str, Any]]:
        model = make()
        for x in points[:N_WARM]:
            model.learn_one(x)
        return (model, points[N_WARM:]), {}

    def run(model: Any, rest: list[dict[str, float]]) -> None:
        scores.append(river_stream(model, rest))

    benchmark.pedantic(run, setup=warmed, rounds=rounds, iterations=1)
    check_scores(benchmark, y, scores[0], LEAST_AUC)


@each_of_ours
def test_dicts(benchmark: Any, short_stream: DataSet, score: str, window: Any) -> None:
    make = partial(OnlineIsolationMondrianForest, N_TREES, window=window, score=score, seed=0)
    _time_dicts(benchmark, short_stream, _ours_name(score, window), make)


def test_half_space_trees_dicts(benchmark: Any, short_stream: DataSet, timed: bool) -> None:
    height = 15 if timed else 6
    _time_dicts(
        benchmark,
        short_stream,
        f"river HalfSpaceTrees(25, {height}) + MinMaxScaler",
        partial(half_space_trees, height),
        rounds=1,
    )
