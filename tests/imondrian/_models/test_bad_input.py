"""Bad input raises an error that says what was wrong, and leaves the model as it was."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

X = np.random.default_rng(0).normal(size=(60, 3))
SMALL = {"n_estimators": 5, "random_state": 0}


def with_value(value):
    bad = X.copy()
    bad[7, 1] = value
    return bad


BAD_ROWS = {
    "inf": (with_value(np.inf), ValueError, "Input X contains infinity"),
    "minus inf": (with_value(-np.inf), ValueError, "Input X contains infinity"),
    "float32 inf": (with_value(np.inf).astype(np.float32), ValueError, "Input X contains infinity"),
    "nan and inf": (
        np.where(np.arange(180).reshape(60, 3) == 5, np.nan, with_value(np.inf)),
        ValueError,
        "Input X contains infinity",
    ),
    "empty": (np.empty((0, 3)), ValueError, r"Found array with 0 sample\(s\)"),
    "no features": (np.empty((60, 0)), ValueError, r"Found array with 0 feature\(s\)|X has 0 features"),
    "one dimension": (X[:, 0], ValueError, "Expected 2D array, got 1D array instead"),
    "three dimensions": (X[None], ValueError, "Found array with dim 3"),
    "scalar": (3.0, ValueError, "Expected 2D array, got scalar array instead"),
    "strings": (X.astype(str).astype(object) + "x", TypeError, r"X\[0, 0\] must be a number, got .*x. \(str\)"),
    "objects": (np.array([[object()] * 3] * 5), TypeError, r"X\[0, 0\] must be a number, got <object object"),
    "complex": (X + 1j, ValueError, "Complex data not supported"),
    "nothing": (None, ValueError, r"Expected 2D array, got scalar array instead|requires X|Input"),
}


@pytest.mark.parametrize("window", [None, 20, "reservoir"])
@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows(name, window):
    bad, error, message = BAD_ROWS[name]
    fitted = IsolationMondrianForest(**SMALL, window=window).fit(X)
    before = pickle.dumps(fitted)
    for method in ("fit", "partial_fit", "score_samples", "predict", "decision_function"):
        with pytest.raises(error, match=message):
            getattr(fitted, method)(bad)
        assert pickle.dumps(fitted) == before, method
    fresh = IsolationMondrianForest(**SMALL, window=window)
    for method in ("fit", "partial_fit"):
        with pytest.raises(error, match=message):
            getattr(fresh, method)(bad)
        with pytest.raises(NotFittedError):
            fresh.score_samples(X)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_other_widths(width):
    fitted = IsolationMondrianForest(**SMALL).fit(X)
    before = pickle.dumps(fitted)
    for method in ("partial_fit", "score_samples", "predict"):
        with pytest.raises(
            ValueError, match=f"X has {width} features, but IsolationMondrianForest is expecting 3 features"
        ):
            getattr(fitted, method)(np.ones((5, width)))
    assert pickle.dumps(fitted) == before
    fitted.fit(np.ones((5, width)))
    assert fitted.n_features_in_ == width


def test_other_names():
    fitted = IsolationMondrianForest(**SMALL).fit(pd.DataFrame(X, columns=list("abc")))
    before = pickle.dumps(fitted)
    for method in ("partial_fit", "score_samples"):
        with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
            getattr(fitted, method)(pd.DataFrame(X, columns=list("abd")))
    assert pickle.dumps(fitted) == before


def test_a_failed_fit_on_other_columns_changes_nothing():
    fitted = IsolationMondrianForest(**SMALL).fit(pd.DataFrame(X, columns=list("abc")))
    before = pickle.dumps(fitted)
    with pytest.raises(ValueError, match="Input X contains infinity"):
        fitted.fit(pd.DataFrame(with_value(np.inf), columns=list("uvw")))
    assert pickle.dumps(fitted) == before
    with pytest.raises(ValueError, match="Negative values"):
        fitted.fit(np.ones((60, 5)), sample_weight=-np.ones(60))
    assert pickle.dumps(fitted) == before


def test_before_fitting():
    for method in ("score_samples", "predict", "decision_function"):
        with pytest.raises(NotFittedError, match="This IsolationMondrianForest instance is not fitted yet"):
            getattr(IsolationMondrianForest(), method)(X)


@pytest.mark.parametrize("window", [None, 20, "reservoir"])
def test_one_row_and_one_feature_are_enough(window):
    for rows in (X[:1], X[:, :1], X[:1, :1]):
        for method in ("fit", "partial_fit"):
            forest = getattr(IsolationMondrianForest(**SMALL, window=window, contamination=0.2), method)(rows)
            scores = forest.score_samples(rows)
            assert ((scores < 0) & (scores >= -1)).all()
            forest.forest_.check()


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        (-np.ones(60), ValueError, "Negative values in data passed to `sample_weight`"),
        (np.full(60, np.nan), ValueError, "Input sample_weight contains NaN"),
        (np.full(60, np.inf), ValueError, "Input sample_weight contains infinity"),
        (np.ones(59), ValueError, r"sample_weight.shape == \(59,\), expected \(60,\)"),
        (np.ones((60, 2)), ValueError, "Sample weights must be 1D array or scalar"),
        (np.zeros(60), ValueError, "at least one weight above 0|at least one non-zero number"),
        (["heavy"] * 60, ValueError, "could not convert string to float"),
    ],
)
def test_bad_weights(weight, error, message):
    fitted = IsolationMondrianForest(**SMALL).fit(X)
    before = pickle.dumps(fitted)
    for method in ("fit", "partial_fit"):
        with pytest.raises(error, match=message):
            getattr(fitted, method)(X, sample_weight=weight)
        assert pickle.dumps(fitted) == before
        with pytest.raises(error, match=message):
            getattr(IsolationMondrianForest(**SMALL), method)(X, sample_weight=weight)


@pytest.mark.parametrize("window", [20, "reservoir"])
def test_a_window_takes_no_weights(window):
    fitted = IsolationMondrianForest(**SMALL, window=window).fit(X)
    before = pickle.dumps(fitted)
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=r"sample_weight must be 0 or 1 when window is set.* got 2\.5"):
            getattr(fitted, method)(X, sample_weight=np.full(60, 2.5))
    assert pickle.dumps(fitted) == before


@pytest.mark.parametrize("window", [None, 20, "reservoir"])
def test_a_value_that_overflows_the_forests_precision(window):
    narrow = X.astype(np.float32)
    fitted = IsolationMondrianForest(**SMALL, window=window).fit(narrow)
    before = pickle.dumps(fitted)
    for value in (3.5e38, -1.7e308):
        for method in ("partial_fit", "score_samples", "predict", "p_values", "explain", "forget"):
            with pytest.raises(ValueError, match=r"Input X contains infinity or a value too large for .*float32"):
                getattr(fitted, method)(with_value(value))
            assert pickle.dumps(fitted) == before, method
    largest = with_value(np.finfo(np.float32).max)
    assert np.isfinite(fitted.partial_fit(largest).score_samples(largest)).all()
    fitted.forest_.check()


@pytest.mark.parametrize("window", [None, 20, "reservoir"])
def test_a_value_that_overflows_a_streams_precision(window):
    model = OnlineIsolationMondrianForest.from_estimator(
        IsolationMondrianForest(**SMALL, window=window).fit(X.astype(np.float32)), list("abc")
    )
    before = pickle.dumps(model)
    for value in (3.5e38, -1.7e308):
        for x in ({"a": 1.0, "b": value}, {"b": value, "new": 1.0}):
            for method in ("learn_one", "score_one", "p_value_one", "explain_one", "forget_one"):
                with pytest.raises(ValueError, match=r"x\['b'\] must be finite in float32, .* got"):
                    getattr(model, method)(x)
                assert pickle.dumps(model) == before, method
        for columns in ("abc", "cba", "abz"):  # as learnt, in another order, with a new one
            frame = pd.DataFrame(with_value(value), columns=list(columns))
            for method in ("learn_many", "score_many", "score_learn_many", "p_values_many", "forget_many"):
                with pytest.raises(ValueError, match=r"X must be finite in float32, .* in row 7, column 'b'"):
                    getattr(model, method)(frame)
                assert pickle.dumps(model) == before, method
            for step in (model._model.learn, model._model.judge, model._model.judge_and_learn):
                if "z" not in columns:
                    with pytest.raises(ValueError, match="X must be finite in float32"):
                        step(list(columns), frame.to_numpy()[7:8])
                    assert pickle.dumps(model) == before
    model.learn_one({"a": 1.0, "b": float(np.finfo(np.float32).max), "c": 5e-324})
    model._model.forest.check()


@pytest.mark.parametrize("weight", [np.full(60, 1e308), np.full(60, 1e299), np.r_[np.ones(59), 1.5e308]])
def test_weights_whose_sum_is_no_number(weight):
    fitted = IsolationMondrianForest(**SMALL).fit(X)
    before = pickle.dumps(fitted)
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=r"sample_weight must add up to at most 1e\+300"):
            getattr(fitted, method)(X, sample_weight=weight)
        assert pickle.dumps(fitted) == before
        with pytest.raises(ValueError, match="sample_weight must add up"):
            getattr(IsolationMondrianForest(**SMALL), method)(X, sample_weight=weight)


def test_weights_whose_sum_is_too_large_in_time():
    fitted = IsolationMondrianForest(**SMALL).partial_fit(X, sample_weight=np.full(60, 9e297))
    fitted.forest_.check()
    before = pickle.dumps(fitted)
    with pytest.raises(ValueError, match=r"sample_weight must add up .* all that was learnt included"):
        fitted.partial_fit(X, sample_weight=np.full(60, 9e297))
    assert pickle.dumps(fitted) == before
    assert np.isfinite(fitted.score_samples(X)).all()


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_estimators": 0}, ValueError, "n_estimators must be at least 1, got 0"),
        ({"n_estimators": -3}, ValueError, "n_estimators must be at least 1, got -3"),
        ({"n_estimators": 2.0}, TypeError, "n_estimators must be an int, got 2.0"),
        ({"n_estimators": True}, TypeError, "n_estimators must be an int, got True"),
        ({"n_estimators": "ten"}, TypeError, "n_estimators must be an int, got 'ten'"),
        ({"n_estimators": None}, TypeError, "n_estimators must be an int, got None"),
        ({"max_samples": 0}, ValueError, "max_samples must be at least 1, got 0"),
        ({"max_samples": -1}, ValueError, "max_samples must be at least 1, got -1"),
        ({"max_samples": 0.0}, ValueError, r"max_samples must be in \(0, 1\] when it is a float, got 0.0"),
        ({"max_samples": 1.5}, ValueError, r"max_samples must be in \(0, 1\] when it is a float, got 1.5"),
        ({"max_samples": float("nan")}, ValueError, r"max_samples must be in \(0, 1\] when it is a float, got nan"),
        ({"max_samples": "all"}, ValueError, "max_samples must be 'auto', an int or a float"),
        ({"max_samples": True}, TypeError, "max_samples must be an int, got True"),
        ({"max_samples": None}, TypeError, "max_samples must be an int, got None"),
        ({"score": "paper"}, ValueError, "score must be one of .*'default', 'depth', 'insertion'.* got 'paper'"),
        ({"score": None}, ValueError, "score must be one of .* got None"),
        ({"window": 0}, ValueError, "window must be at least 1, got 0"),
        ({"window": -5}, ValueError, "window must be at least 1, got -5"),
        ({"window": 2.5}, TypeError, "window must be an int, got 2.5"),
        ({"window": True}, TypeError, "window must be an int, got True"),
        ({"window": "sliding"}, ValueError, "window must be None, an int, 'reservoir', .* got 'sliding'"),
        ({"window": "reservoir", "max_samples": 0.5}, TypeError, "max_samples with window='reservoir' must be an int"),
        ({"window": "decayed", "horizon": 0}, ValueError, "horizon must be at least 1, got 0"),
        ({"window": "thinned", "horizon": 99.5}, TypeError, "horizon must be an int, got 99.5"),
        ({"scale": "standard"}, ValueError, "scale must be 'robust' or None, got 'standard'"),
        ({"scale": 1.0}, ValueError, "scale must be 'robust' or None, got 1.0"),
        ({"max_bytes": 0}, ValueError, "max_bytes must be at least 1, got 0"),
        ({"max_bytes": 1e6}, TypeError, "max_bytes must be an int, got 1000000.0"),
        ({"contamination": 0.0}, ValueError, r"contamination must be 'auto' or a float in \(0, 0.5\], got 0.0"),
        ({"contamination": 0.6}, ValueError, r"contamination must be 'auto' or a float in \(0, 0.5\], got 0.6"),
        ({"contamination": -0.1}, ValueError, r"contamination must be 'auto' or a float in \(0, 0.5\], got -0.1"),
        ({"contamination": "some"}, ValueError, "contamination must be 'auto' or a float .* got 'some'"),
        ({"contamination": True}, ValueError, "contamination must be 'auto' or a float .* got True"),
        ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
        ({"n_jobs": 1.5}, TypeError, "n_jobs must be None or an int, got 1.5"),
        ({"n_jobs": "all"}, TypeError, "n_jobs must be None or an int, got 'all'"),
        ({"n_jobs": True}, TypeError, "n_jobs must be None or an int, got True"),
        ({"random_state": "seed"}, ValueError, "'seed' cannot be used to seed"),
    ],
)
def test_bad_parameters(params, error, message):
    fitted = IsolationMondrianForest(**SMALL).fit(X)
    learnt = pickle.dumps(fitted.forest_)
    fitted.set_params(**params)
    before = pickle.dumps(fitted)
    for estimator in (fitted, IsolationMondrianForest(**{**SMALL, **params})):
        for method in ("fit", "partial_fit"):
            if method == "partial_fit" and estimator is fitted and ("random_state" in params or len(params) > 1):
                continue  # says how to start, and this one has started
            with pytest.raises(error, match=message):
                getattr(estimator, method)(X)
    assert pickle.dumps(fitted) == before
    assert pickle.dumps(fitted.forest_) == learnt


# -- river ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_trees": 0}, ValueError, "n_trees must be at least 1, got 0"),
        ({"n_trees": 1.0}, TypeError, "n_trees must be an int, got 1.0"),
        ({"window": 0}, ValueError, "window must be at least 1, got 0"),
        ({"window": 0.5}, TypeError, "window must be an int, got 0.5"),
        ({"window": "all"}, ValueError, "window must be None, an int, 'reservoir', .* got 'all'"),
        ({"horizon": -1}, ValueError, "horizon must be at least 1, got -1"),
        ({"scale": True}, ValueError, "scale must be 'robust' or None, got True"),
        ({"max_features": 0}, ValueError, "max_features must be at least 1, got 0"),
        ({"max_features": None}, TypeError, "max_features must be an int, got None"),
        ({"max_bytes": -1}, ValueError, "max_bytes must be at least 1, got -1"),
        ({"score": "best"}, ValueError, "score must be one of .* got 'best'"),
        ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
    ],
)
def test_bad_river_parameters(params, error, message):
    with pytest.raises(error, match=message):
        OnlineIsolationMondrianForest(**params)


def learnt():
    model = OnlineIsolationMondrianForest(5, seed=0)
    model.learn_many(pd.DataFrame(X, columns=list("abc")))
    return model


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ({"a": "high", "b": 1.0}, TypeError, r"x\['a'\] must be a number, got 'high'"),
        ({"new": [1.0], "b": 1.0}, TypeError, r"x\['new'\] must be a number, got \[1.0\]"),
        ({"b": 1 + 2j}, TypeError, r"x\['b'\] must be a number"),
        ({"b": float("inf"), "new": 1.0}, ValueError, r"x\['b'\] must be finite, got inf"),
        ({"b": float("-inf")}, ValueError, r"x\['b'\] must be finite, got -inf"),
    ],
)
def test_bad_dicts(x, error, message):
    model = learnt()
    before = pickle.dumps(model)
    for method in ("learn_one", "score_one"):
        with pytest.raises(error, match=message):
            getattr(model, method)(x)
        assert pickle.dumps(model) == before


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (
            pd.DataFrame(with_value(np.inf), columns=list("abc")),
            ValueError,
            "X must be finite, got inf in row 7, column 'b'",
        ),
        (with_value(-np.inf), ValueError, "X must be finite, got -inf in row 7, column 1"),
        (X[:, 0], ValueError, r"X must have shape \(n, n_features\), got \(60,\)"),
        (pd.DataFrame({"a": ["x", "y"], "new": [1.0, 2.0]}), (TypeError, ValueError), r"could not convert|must be"),
        (X + 1j, (TypeError, ValueError), "[Cc]omplex|must be"),
    ],
)
def test_bad_frames(rows, error, message):
    model = learnt()
    before = pickle.dumps(model)
    for method in ("learn_many", "score_many", "score_learn_many"):
        with pytest.raises(error, match=message):
            getattr(model, method)(rows)
        assert pickle.dumps(model) == before


def test_scores_survive_refused_input():
    model, frame = learnt(), pd.DataFrame(X, columns=list("abc"))
    scores = model.score_many(frame)
    with pytest.raises(ValueError, match="must be finite"):
        model.learn_one({"a": float("inf")})
    assert_array_equal(model.score_many(frame), scores)


@pytest.mark.parametrize("score", ["depth", "insertion", "spacing"])
def test_weights_that_sum_to_one_are_warned_of(score):
    X = np.random.default_rng(0).normal(size=(200, 3))
    with pytest.warns(UserWarning, match=r"sample_weight sums to 1: .* sample_weight \* len\(X\) / sample_weight.sum"):
        detector = IsolationMondrianForest(5, score=score, random_state=0).fit(X, sample_weight=np.full(200, 1 / 200))
    explained = detector.explain(X)
    assert np.isfinite(explained).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IsolationMondrianForest(5, score=score).fit(X, sample_weight=np.full(200, 0.02))
