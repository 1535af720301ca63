"""p-values on a stream: prequential ranks, their law, and that asking for them changes nothing."""

import copy
import inspect
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference.conformal_reference import excess, p_value
from river import datasets

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

SMALL = {"n_trees": 10, "seed": 0}
WINDOWS = ["thinned", "decayed", "reservoir", 100, None]


@pytest.fixture(scope="module")
def shuttle():
    return [x for x, _ in datasets.Shuttle().take(500)]


@pytest.mark.parametrize("half_life", [None, 20.0])
@pytest.mark.parametrize("window", WINDOWS)
def test_p_values_are_ranks_among_the_scores_before_learning(shuttle, window, half_life):
    model = OnlineIsolationMondrianForest(**SMALL, window=window, calibration=64, calibration_half_life=half_life)
    past = []
    for x in shuttle[:300]:
        score, p = model.score_one(x), model.p_value_one(x)
        assert type(p) is float
        recent = past[-64:]
        weight = None if half_life is None else [2.0 ** (-age / half_life) for age in range(len(recent), 0, -1)]
        assert p == pytest.approx(p_value(score, recent, weight), rel=1e-12)
        model.learn_one(x)
        if score > 0.0:  # warm-up
            past.append(score)
    assert len(past) == 300 - 32


@pytest.mark.parametrize("score", ["depth", "insertion"])
@pytest.mark.parametrize("window", WINDOWS)
def test_however_points_are_learnt_the_model_is_the_same(shuttle, window, score):
    frame = pd.DataFrame(shuttle)
    asked, told, many, fused = (OnlineIsolationMondrianForest(**SMALL, window=window, score=score) for _ in range(4))
    for i, x in enumerate(shuttle):
        asked.score_one(x)
        if i % 3 == 0:
            asked.score_one(shuttle[0])  # the score learn_one may reuse is of the very point, or of none
        asked.learn_one(x)
        told.learn_one(x)
    for begin in range(0, 500, 170):
        many.learn_many(frame[begin : begin + 170])
        fused.score_learn_many(frame[begin : begin + 170])
    kept = asked._model.recent.in_order()
    assert len(kept) == 500 - 32
    for model in (told, many, fused):
        assert_array_equal(model._model.recent.in_order(), kept)
        assert_array_equal(model.score_many(frame[:50]), asked.score_many(frame[:50]))


def test_a_score_is_not_reused_once_the_forest_or_the_schema_changed(shuttle):
    one, other = (OnlineIsolationMondrianForest(**SMALL, window=50) for _ in range(2))
    for x in shuttle[:100]:
        one.learn_one(x)
        other.learn_one(x)
    x = shuttle[100]
    one.score_one(x)
    for model in (one, other):
        model.learn_one(shuttle[101])  # moves the forest on
        model.learn_one(x)
        model.learn_one({**x, "new": 3.0})
    one.score_one({**x, "new": None, "newer": 2.0})
    for model in (one, other):
        model.learn_one({**x, "newer": 2.0})
    assert_array_equal(one._model.recent.in_order(), other._model.recent.in_order())


def test_asking_changes_nothing(shuttle):
    model = OnlineIsolationMondrianForest(**SMALL)
    model.learn_many(pd.DataFrame(shuttle[:200]))
    before = pickle.dumps(model)
    p = model.p_value_one(shuttle[300])
    many = model.p_values_many(pd.DataFrame(shuttle[300:320]))
    model.p_value_one({**shuttle[0], "unknown": 1.0})
    assert pickle.dumps(model) == before
    assert many[0] == p
    assert_allclose(many, [model.p_value_one(x) for x in shuttle[300:320]], rtol=1e-14)
    again = pickle.loads(before)
    assert again.p_value_one(shuttle[300]) == p == copy.deepcopy(model).p_value_one(shuttle[300])
    assert model.p_value_one(dict.fromkeys(shuttle[0], 10000.0)) < 0.1


def test_nothing_is_known_during_warm_up(shuttle):
    model = OnlineIsolationMondrianForest(**SMALL)
    assert model.p_value_one({}) == model.p_value_one(shuttle[0]) == 1.0
    assert_array_equal(model.p_values_many(pd.DataFrame(shuttle[:3])), np.ones(3))
    for i, x in enumerate(shuttle[:40]):
        assert (model.p_value_one(x) == 1.0) or i > 32
        model.learn_one(x)
    assert model._model.recent.held == 8


@pytest.mark.parametrize("half_life", [None, 100.0])
@pytest.mark.parametrize("window", WINDOWS)
def test_p_values_are_valid_on_exchangeable_points(window, half_life):
    runs = []
    for seed in range(12):
        X = np.random.default_rng(seed).standard_t(4, size=(1000, 3))
        model = OnlineIsolationMondrianForest(
            8, window=window, seed=seed, calibration=128, calibration_half_life=half_life
        )
        model.learn_many(X[:200])
        ring, p = copy.deepcopy(model._model.recent), []
        for score in model.score_learn_many(X[200:]):  # as p_value_one and learn_one in turn, tested above
            p.append(ring.p_value(score))
            ring.push_one(score)
        runs.append(p)
    for level in (0.02, 0.05, 0.1, 0.2, 0.5):
        assert excess(runs, level, 128) < 3
    assert np.mean(np.concatenate(runs) <= 0.5) > 0.45


def test_p_values_follow_a_drift_and_old_scores_fade():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    X[1500:] *= np.where(np.arange(1500) % 10 == 0, 8.0, 1.0)[:, None]  # from now on every tenth point is far out
    p = {}
    for half_life in (None, 50.0):
        model = OnlineIsolationMondrianForest(25, seed=0, calibration_half_life=half_life)
        model.learn_many(X[:1900])
        p[half_life] = model.p_value_one({0: 6.0, 1: 6.0})
        model.learn_many(X[1900:])
        assert model.p_value_one({0: 6.0, 1: 6.0}) > 0.03
    assert p[None] < p[50.0]  # the faded window already knows such points better


def test_between_scikit_learn_and_river(shuttle):
    X = np.random.default_rng(0).normal(size=(3000, 3))
    fitted = IsolationMondrianForest(20, max_samples=40, random_state=0).fit(X)
    model = OnlineIsolationMondrianForest.from_estimator(fitted)
    assert_allclose(model.p_values_many(3 * X[:50]), fitted.p_values(3 * X[:50]), rtol=1e-14)
    streamed = IsolationMondrianForest(20, random_state=0).partial_fit(X[:500])
    model = OnlineIsolationMondrianForest.from_estimator(streamed)
    assert_allclose(model.p_values_many(3 * X[:50]), streamed.p_values(3 * X[:50]), rtol=1e-14)
    model.learn_many(X[500:])
    streamed.partial_fit(X[500:])
    for back in (model.to_estimator(), streamed):
        assert_allclose(back.p_values(3 * X[:50]), model.p_values_many(3 * X[:50]), rtol=1e-14)
    folds = IsolationMondrianForest(20, random_state=0).fit(X[:200])
    assert OnlineIsolationMondrianForest.from_estimator(folds)._model.recent.held == 0  # other forests' scores


def test_without_calibration(shuttle):
    model = OnlineIsolationMondrianForest(**SMALL, calibration=None)
    with_scores = OnlineIsolationMondrianForest(**SMALL)
    for m in (model, with_scores):
        m.learn_many(pd.DataFrame(shuttle))
        m.learn_one(shuttle[0])
    frame = pd.DataFrame(shuttle[:20])
    assert_array_equal(model.score_many(frame), with_scores.score_many(frame))
    assert_array_equal(model.score_learn_many(frame), with_scores.score_learn_many(frame))
    for call in (lambda: model.p_value_one(shuttle[0]), lambda: model.p_values_many(frame)):
        with pytest.raises(ValueError, match="calibration must be an int, got None"):
            call()
    assert model.to_estimator().calibration_ == "prequential"
    assert sys.getsizeof(with_scores) - sys.getsizeof(model) == pytest.approx(8 * 1024, abs=200)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"calibration": 0}, ValueError, "calibration must be at least 1, got 0"),
        ({"calibration": 12.5}, TypeError, "calibration must be an int"),
        ({"calibration": True}, TypeError, "calibration must be an int"),
        ({"calibration_half_life": 0}, ValueError, "calibration_half_life must be above 0"),
        ({"calibration_half_life": float("nan")}, ValueError, "calibration_half_life must be above 0"),
        ({"calibration_half_life": "long"}, TypeError, "calibration_half_life must be None or a number"),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        OnlineIsolationMondrianForest(**params)


def test_bad_points_are_refused_as_by_score_one(shuttle):
    model = OnlineIsolationMondrianForest(**SMALL)
    model.learn_many(pd.DataFrame(shuttle[:100]))
    with pytest.raises(TypeError, match=r"x\['a'\] must be a number"):
        model.p_value_one({"a": [1.0]})
    with pytest.raises(ValueError, match="must be finite"):
        model.p_value_one({"a": float("inf")})
    assert inspect.signature(model.p_value_one).parameters.keys() == {"x"}
