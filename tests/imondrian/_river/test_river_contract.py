"""river's contract: its own checks over a local stream, its wrappers, and streams of uneven dicts."""

import copy
import inspect
import itertools
import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import river.checks
from numpy.testing import assert_array_equal
from river import anomaly, compose, datasets, evaluate, metrics, preprocessing
from river.checks import common

from imondrian.river import OnlineIsolationMondrianForest

SMALL = {"n_trees": 10, "seed": 0}


class LocalStream:
    """river's own data set for detectors is a large download; Shuttle lies in its wheel."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(datasets.Shuttle().take(self.n))


def local_datasets(model, scale=1):
    yield LocalStream(1000 * scale)


def checks_of(model):
    original = river.checks._yield_datasets
    river.checks._yield_datasets = local_datasets
    try:
        return list(river.checks.yield_checks(model))
    finally:
        river.checks._yield_datasets = original


MODELS = [
    OnlineIsolationMondrianForest(**SMALL),
    OnlineIsolationMondrianForest(**SMALL, score="depth"),
    OnlineIsolationMondrianForest(**SMALL, window="reservoir"),
    OnlineIsolationMondrianForest(**SMALL, window=64),
    OnlineIsolationMondrianForest(**SMALL, window="decayed", horizon=300),
]
# Trees that keep every point are for short streams: memory that grows is what they promise.
UNBOUNDED = OnlineIsolationMondrianForest(n_trees=3, window=None, seed=0)
CHECKS = [
    pytest.param(model, check, id=f"{model.window}-{model.score}-{check.__name__}")
    for model in [*MODELS, UNBOUNDED]
    for check in checks_of(model)
    if not (model is UNBOUNDED and check.__name__ == "check_bounded_memory_growth")
]


@pytest.fixture(scope="module")
def shuttle():
    return [x for x, _ in datasets.Shuttle().take(700)]


def test_the_checks_are_all_there():
    names = [check.__name__ for check in checks_of(MODELS[0])]
    assert len(names) >= 26 and len(set(names)) == len(names)
    assert {"check_bounded_memory_growth", "check_roc_auc", "check_seeding_is_idempotent"} <= set(names)


@pytest.mark.parametrize(("model", "check"), CHECKS)
def test_every_river_check(model, check):
    check(model.clone())


@pytest.mark.parametrize("model", [*MODELS, UNBOUNDED], ids=repr)
def test_learn_many_matches_learn_one_as_features_come_and_go(model):
    common.check_learn_many_matches_learn_one(model.clone(), LocalStream(200))


def test_the_signature_is_rivers():
    model = OnlineIsolationMondrianForest(5, window=17, seed=3)
    assert model._get_params() == {
        "n_trees": 5,
        "window": 17,
        "horizon": 4096,
        "score": "default",
        "scale": "robust",
        "seed": 3,
        "n_jobs": None,
        "calibration": 1024,
        "calibration_half_life": None,
        "max_features": 1000,
        "max_bytes": None,
        "categorical_weight": 1.0,
        "time": None,
    }
    assert isinstance(model, river.base.AnomalyDetector)
    assert inspect.signature(model.learn_one).parameters.keys() == {"x"}
    assert model.learn_one(x={"a": 1.0}) is None and model.learn_many(X=pd.DataFrame({"a": [1.0]})) is None


def test_scores_are_floats_that_start_at_zero(shuttle):
    for window, warm_up in ((256, 32), (5, 5), (None, 32), ("reservoir", 32), ("thinned", 32)):
        model = OnlineIsolationMondrianForest(**SMALL, window=window)
        assert model.score_one({}) == model.score_one(shuttle[0]) == 0.0
        for i, x in enumerate(shuttle[:50]):
            score = model.score_one(x)
            assert type(score) is float
            assert (score == 0.0) == (i < warm_up)
            assert 0.0 <= score <= 1.0
            model.learn_one(x)


def test_anomalies_score_high():
    stream = list(datasets.Shuttle().take(5000))
    model = OnlineIsolationMondrianForest(n_trees=25, seed=0)
    auc = evaluate.progressive_val_score(stream, model, metrics.ROCAUC(n_thresholds=100))
    assert auc.get() > 0.9


@pytest.mark.parametrize(
    "wrap",
    [lambda model: anomaly.QuantileFilter(model, q=0.95), lambda model: anomaly.ThresholdFilter(model, threshold=0.6)],
)
def test_filters(wrap):
    stream = list(datasets.Shuttle().take(2000))
    auc = evaluate.progressive_val_score(stream, wrap(OnlineIsolationMondrianForest(**SMALL)), metrics.ROCAUC())
    assert auc.get() > 0.6
    # Behind a scaler, written out: a filter protects the detector from what it calls an anomaly.
    model = preprocessing.StandardScaler() | wrap(OnlineIsolationMondrianForest(**SMALL))
    last, called = list(model.steps.values())[-1], 0
    for x, _ in stream:
        score = model.score_one(x)
        called += last.classify(score)
        model.learn_one(x)
    assert 0 < called < 1500
    assert 500 < last.anomaly_detector._model.forest.n_seen < 2000


def test_pipelines_learn_and_score(shuttle):
    pipeline = (
        compose.Select(*list(shuttle[0])[:4]) | preprocessing.MinMaxScaler() | OnlineIsolationMondrianForest(**SMALL)
    )
    for x in shuttle[:100]:
        pipeline.learn_one(x)
    assert 0 < pipeline.score_one(shuttle[100]) < 1
    assert pipeline["OnlineIsolationMondrianForest"]._model.forest.n_features == 4
    frame = pd.DataFrame(shuttle[:100])
    batch = preprocessing.StandardScaler() | OnlineIsolationMondrianForest(**SMALL)
    batch.learn_many(frame)
    assert 0 < batch.score_one(shuttle[100]) < 1


@pytest.mark.parametrize("window", [16, 300, None, "reservoir", "decayed", "thinned"])
def test_many_is_a_loop_of_one(shuttle, window):
    one, many, both, chunks = (OnlineIsolationMondrianForest(**SMALL, window=window) for _ in range(4))
    X = np.array([list(x.values()) for x in shuttle])
    keys = list(shuttle[0])
    frames = [pd.DataFrame(X, columns=keys), pl.DataFrame({key: X[:, j] for j, key in enumerate(keys)})]
    loop = []
    for x in shuttle:
        loop.append(one.score_one(x))
        one.learn_one(x)
    many.learn_many(frames[0])
    scored = both.score_learn_many(frames[1])
    parts = [chunks.score_learn_many(frames[0][begin : begin + 97]) for begin in range(0, len(X), 97)]
    assert_array_equal(scored, loop)
    assert_array_equal(np.concatenate(parts), loop)
    expected = [one.score_one(x) for x in shuttle]
    for model in (many, both, chunks):
        assert_array_equal(model.score_many(frames[0]), expected)
        assert pickle.dumps(model._model.forest.__getstate__()["columns"]["time"]) == pickle.dumps(
            one._model.forest.__getstate__()["columns"]["time"]
        )
    assert_array_equal(one.score_many(frames[1]), expected)


def test_plain_arrays_name_their_columns_by_number(shuttle):
    X = np.array([list(x.values()) for x in shuttle[:100]])
    array, dicts = OnlineIsolationMondrianForest(**SMALL), OnlineIsolationMondrianForest(**SMALL)
    array.learn_many(X)
    for row in X:
        dicts.learn_one(dict(enumerate(row.tolist())))
    assert_array_equal(array.score_many(X), [dicts.score_one(dict(enumerate(row))) for row in X])
    assert array.score_many(X[:0]).shape == (0,)


def test_the_order_of_keys_means_nothing(shuttle):
    forward, backward = OnlineIsolationMondrianForest(**SMALL), OnlineIsolationMondrianForest(**SMALL)
    for x in shuttle[:100]:
        forward.learn_one(x)
        backward.learn_one(dict(reversed(x.items())))
    frame = pd.DataFrame(shuttle[:100])
    assert_array_equal(forward.score_many(frame), backward.score_many(frame[frame.columns[::-1]]))


@pytest.mark.parametrize("window", [40, None, "reservoir", "thinned"])
def test_keys_that_come_and_go(shuttle, window):
    rng = np.random.default_rng(0)
    model, keys = OnlineIsolationMondrianForest(**SMALL, window=window), list(shuttle[0])
    for i, x in enumerate(shuttle[:200]):
        present = [key for j, key in enumerate(keys) if i >= 15 * j and rng.random() < 0.8]
        x = {key: float("nan") if rng.random() < 0.1 else x[key] for key in present}
        before = model.score_one(x)
        assert 0.0 <= before <= 1.0
        model.learn_one(x)
        if model._model.forest is not None:
            model._model.forest.check()
    assert 0 < model.score_one({keys[0]: 1.0}) < 1 and 0 < model.score_one({"never seen": 3.0}) < 1
    assert 0 < model.score_one({}) < 1
    restored = pickle.loads(pickle.dumps(model))
    assert restored.score_one(x) == model.score_one(x)


def test_none_nan_and_absent_are_one_thing(shuttle):
    models = [OnlineIsolationMondrianForest(**SMALL) for _ in range(3)]
    key = next(iter(shuttle[0]))
    for i, x in enumerate(shuttle[:80]):
        rest = {k: v for k, v in x.items() if k != key}
        rows = (x, x, x) if i % 3 != 1 else (rest, {**rest, key: None}, {**rest, key: float("nan")})
        for model, row in zip(models, rows, strict=True):
            model.learn_one(row)
    for x in itertools.islice(shuttle, 20):
        assert len({model.score_one(x) for model in models}) == 1
        assert len({models[0].score_one({**x, key: missing}) for missing in (None, float("nan"))}) == 1


def test_reading_changes_nothing_and_input_is_left_alone(shuttle):
    model = OnlineIsolationMondrianForest(**SMALL)
    model.learn_many(pd.DataFrame(shuttle[:100]))
    x = dict(shuttle[0])
    before = pickle.dumps(model)
    model.score_one(x), model.score_one({**x, "new": 1.0}), model.score_many(pd.DataFrame(shuttle[:70]))
    assert pickle.dumps(model) == before and x == shuttle[0]
    twin = copy.deepcopy(model)
    twin.learn_one(x)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("window", [256, "thinned", "decayed", "reservoir"])
def test_memory_is_bounded_and_told(shuttle, window):
    model = OnlineIsolationMondrianForest(n_trees=8, window=window, seed=0)
    X = pd.DataFrame(shuttle)
    for _ in range(8):
        model.learn_many(X)
        size = sys.getsizeof(model)
        past_scores = 8 * 1024
        assert model._model.forest.nbytes + past_scores < size < model._model.forest.nbytes + past_scores + 5000
        # Columns of 8 trees and 256 points, and a shared store with room for all of them and two blocks.
        width, points = 12, 8 * 257
        assert size < points * (64 + 2 * 8 * width) + 1.5 * (points + 512) * (8 * width + 8) + past_scores + 10_000
    if window == 256:
        assert len(model._model.forest.columns["points"]) < 1100
