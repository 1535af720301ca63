"""scikit-learn -> river -> scikit-learn: one forest, equal scores."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

WINDOWS = [None, 64, "reservoir", "decayed", "thinned"]


@pytest.fixture(scope="module")
def frame():
    return pd.DataFrame(np.random.default_rng(0).normal(size=(300, 4)), columns=["d", "b", "a", "c"])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("score", ["depth", "insertion"])
@pytest.mark.parametrize("window", WINDOWS)
def test_there_and_back(frame, window, score, dtype):
    frame = frame.astype(dtype)
    fitted = IsolationMondrianForest(15, window=window, horizon=400, score=score, random_state=0).fit(frame[:200])
    before = pickle.dumps(fitted)
    model = OnlineIsolationMondrianForest.from_estimator(fitted)
    rows = frame.to_dict("records")
    assert_array_equal(model.score_many(frame), -fitted.score_samples(frame))
    assert_array_equal([model.score_one(x) for x in rows[:40]], -fitted.score_samples(frame[:40]))

    for x in rows[200:]:
        model.learn_one(x)
    assert pickle.dumps(fitted) == before
    continued = pickle.loads(before).partial_fit(frame[200:])
    assert_array_equal(model.score_many(frame), -continued.score_samples(frame))

    back = model.to_estimator()
    assert_array_equal(back.feature_names_in_, fitted.feature_names_in_)
    assert_array_equal(back.score_samples(frame), continued.score_samples(frame))
    assert_array_equal(back.predict(frame), np.where(back.score_samples(frame) >= -0.5, 1, -1))
    assert back.get_params()["window"] == window and back.get_params()["score"] == score
    back.partial_fit(frame)
    assert_array_equal(model.score_many(frame), -continued.score_samples(frame))


def test_names_can_be_given(frame):
    X = frame.to_numpy()
    fitted = IsolationMondrianForest(5, random_state=0).fit(X)
    by_number = OnlineIsolationMondrianForest.from_estimator(fitted)
    by_name = OnlineIsolationMondrianForest.from_estimator(fitted, feature_names=frame.columns)
    x = X[0].tolist()
    assert by_number.score_one(dict(enumerate(x))) == by_name.score_one(dict(zip("dbac", x, strict=True)))
    assert by_number.score_one(dict(enumerate(x))) == -fitted.score_samples(X[:1])[0]
    assert not hasattr(by_number.to_estimator(), "feature_names_in_")
    with pytest.raises(ValueError, match="feature_names must be 4 distinct names, got 3"):
        OnlineIsolationMondrianForest.from_estimator(fitted, feature_names=["a", "b", "c"])
    with pytest.raises(ValueError, match="feature_names must be 4 distinct names, got 3"):
        OnlineIsolationMondrianForest.from_estimator(fitted, feature_names=["a", "b", "c", "a"])


def test_a_stream_becomes_an_estimator(frame):
    model = OnlineIsolationMondrianForest(15, window=100, seed=0)
    with pytest.raises(ValueError, match="has learnt nothing yet"):
        model.to_estimator()
    for x in frame.to_dict("records"):
        model.learn_one(x)
    estimator = model.to_estimator()
    names = list(estimator.feature_names_in_)
    assert sorted(names) == ["a", "b", "c", "d"]
    assert_array_equal(-estimator.score_samples(frame[names]), model.score_many(frame))
    again = OnlineIsolationMondrianForest.from_estimator(estimator)
    for x in frame.to_dict("records")[:50]:
        again.learn_one(x)
        model.learn_one(x)
    assert_array_equal(again.score_many(frame), model.score_many(frame))
