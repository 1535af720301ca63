"""The two models by themselves say what the estimator and the detector say, and stay as they are where a call fails."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import Forest
from imondrian._forest.scoring import AUTO_OFFSET
from imondrian._models.batch import BatchModel
from imondrian._models.features import check_precision, in_order, placed
from imondrian._models.settings import Settings, StreamSettings
from imondrian._models.stream import StreamModel
from imondrian._models.stream_state import from_bytes, to_bytes
from imondrian._river.online_forest import OnlineForest

X = np.random.default_rng(0).normal(size=(400, 3))
NEW = np.random.default_rng(1).normal(size=(50, 3)) * 2.0


@pytest.mark.parametrize(
    "params", [{}, {"score": "depth", "contamination": 0.1}, {"window": 60}, {"score": "insertion", "max_samples": 0.2}]
)
def test_a_batch_model_is_what_the_estimator_says(params):
    estimator = IsolationMondrianForest(20, random_state=3, **params)
    settings = Settings.of(estimator.get_params())
    model = BatchModel.fit(X, None, settings)
    estimator.fit(X)
    for change in ("fit", "learn", "forget"):
        if change == "learn":
            model.learn(NEW[:20], None, settings)
            estimator.partial_fit(NEW[:20])
        if change == "forget":
            model.forget(NEW[:5], True, settings)
            estimator.forget(NEW[:5], missing_ok=True)
        scores, p_values = model.judge(NEW, settings)
        assert_array_equal(scores, -estimator.score_samples(NEW))
        assert_array_equal(p_values, estimator.p_values(NEW))
        assert model.why(NEW, p_values, "abc", settings.score, 1, 3)[0].split()[0] in ("a", "b", "c", "nothing")
        assert (model.offset, model.max_samples) == (estimator.offset_, estimator.max_samples_)


@pytest.mark.parametrize(
    ("method", "of", "fails_in"), [("learn", BatchModel, "quantile"), ("forget", Forest, "forget")]
)
def test_what_goes_with_the_forest_stays_as_it_was_where_a_change_fails(method, of, fails_in, monkeypatch):
    settings = Settings.of(IsolationMondrianForest(10, random_state=0, contamination=0.2).get_params())
    model = BatchModel.fit(X, None, settings)
    before = dict(vars(model))
    assert model.offset != AUTO_OFFSET

    def fails(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(of, fails_in, fails)
    with pytest.raises(ZeroDivisionError):
        model.learn(X, None, settings) if method == "learn" else model.forget(X[:1], True, settings)
    assert vars(model) == before


@pytest.mark.parametrize("params", [{}, {"score": "spacing"}, {"window": 50, "calibration": None}, {"window": None}])
def test_a_stream_model_is_what_the_detector_says(params):
    detector = OnlineForest(10, seed=3, **params)
    model = StreamModel(StreamSettings.of(vars(detector)))
    fields = list(range(3))
    assert_array_equal(model.learn(fields, X, scored=True), detector.score_learn_many(X))
    again = from_bytes(to_bytes(model), lambda: StreamModel(model.settings))
    for each in (model, again):
        assert_array_equal(each.scores(fields, NEW), detector.score_many(NEW))
        assert_array_equal(each.judge(fields, NEW).scores, detector.score_many(NEW))
        x = {0: 1.0, 2: -3.0, "new": 1.0}
        assert each.explain_one(x) == detector.explain_one(x) and each.why_one(x, 2) == detector.why_one(x, most=2)
        parts = each.reasons(x, 2)[1]
        assert_array_equal(parts.sum(axis=1), list(detector.explain_one(x).values()))
        assert not parts[2].any()


def test_new_features_stand_in_an_order_of_their_own():
    assert in_order(["b", "a"]) == in_order(["a", "b"]) == ["a", "b"]
    assert in_order([1, "b", None, "a"]) == in_order(["a", None, "b", 1])


def test_columns_go_to_their_places():
    rows = placed({"a": 1, "b": 0}, ["a", "new", "b"], np.array([[1.0, 2.0, 3.0]]), 3, np.dtype(np.float32))
    assert_array_equal(rows, np.array([[3.0, 1.0, np.nan]], np.float32))
    assert rows.dtype == np.float32 and rows.flags.c_contiguous
    check_precision({}, np.dtype(np.float32))
    check_precision({"a": 1e300}, np.dtype(np.float64))
    with pytest.raises(ValueError, match=r"x\['b'\] must be finite in float32"):
        check_precision({"a": 1.0, "b": 1e39}, np.dtype(np.float32))
