"""Verdicts in files, p-values and words, and what is refused."""

import copy
import pickle

import numpy as np
import pytest
from cases.verdicts import NEW, SAID, X, Y, as_dict, fitted, stream
from numpy.testing import assert_allclose, assert_array_equal
from reference.feedback_reference import adjusted
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError

from imondrian import IsolationMondrianForest
from imondrian._models.feedback import Verdicts
from imondrian.river import OnlineIsolationMondrianForest


def test_copies_pickles_and_files_hear_the_same(tmp_path):
    forest, model = fitted().feedback(SAID, Y), stream()
    model.feedback_many(SAID, Y)
    forest.save(tmp_path / "forest")
    model.save(tmp_path / "model")
    for twin in (copy.deepcopy(forest), pickle.loads(pickle.dumps(forest)), forest.load(tmp_path / "forest")):
        assert_array_equal(twin.score_samples(NEW), forest.score_samples(NEW))
        assert_array_equal(twin.withdraw(SAID).score_samples(NEW), fitted().score_samples(NEW))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.load(tmp_path / "model", mmap=True)):
        assert_array_equal(twin.score_many(NEW), model.score_many(NEW))
        twin.learn_many(NEW)
        twin.feedback_one(as_dict(NEW[0]), 1)
    fitted().save(tmp_path / "silent")
    assert b"verdicts" not in (tmp_path / "silent").read_bytes()


def test_river_and_scikit_learn_hear_the_same():
    forest = fitted().feedback(SAID, Y)
    model = OnlineIsolationMondrianForest.from_estimator(forest)
    assert_array_equal(model.score_many(NEW), -forest.score_samples(NEW))
    assert_array_equal(model.to_estimator().score_samples(NEW), forest.score_samples(NEW))


def test_an_imported_forest_listens():
    forest = IsolationMondrianForest.from_isolation_forest(IsolationForest(random_state=0).fit(X))
    own = -forest.score_samples(np.vstack((SAID, NEW)))
    forest.feedback(SAID, Y)
    said = SAID.astype(np.float32)
    expected = adjusted(forest.forest_, said, own[:7], Y, NEW.astype(np.float32), own[7:])
    assert_allclose(-forest.score_samples(NEW), expected, rtol=1e-12)


DAMAGE = {
    "a link back": ("child", lambda a: np.where(a >= 0, 0, a)),
    "a link out": ("child", lambda a: np.where(a >= 0, len(a), a)),
    "a leaf out": ("child", lambda a: np.where(a < 0, -(1 << 30), a)),
    "a root out": ("root", lambda a: a + (1 << 30)),
    "a root less": ("root", lambda a: a[:-1]),
    "a feature out": ("feature", lambda a: a + 3),
    "a side that is none": ("heavier", lambda a: a + np.uint8(2)),
    "a threshold that is none": ("threshold", lambda a: a * np.nan),
    "a value that is none": ("value", lambda a: a + np.inf),
    "no values": ("value", lambda a: a[:0]),
    "another type": ("child", lambda a: a.astype(np.float64)),
    "a verdict that is none": ("verdict", lambda a: a * 0),
    "a verdict less": ("verdict", lambda a: a[1:]),
    "a row twice": ("rows", lambda a: np.repeat(a[:1], len(a), axis=0)),
    "a row that is infinite": ("rows", lambda a: a + np.inf),
    "narrow rows": ("rows", lambda a: np.ascontiguousarray(a[:, 1:])),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_verdicts_are_refused(what):
    name, spoil = DAMAGE[what]
    arrays = fitted().feedback(SAID, Y)._model.verdicts.to_arrays()
    Verdicts.from_arrays(arrays, 3, 15, np.float64)
    with pytest.raises(ValueError, match=r"damaged"):
        Verdicts.from_arrays({**arrays, name: spoil(arrays[name])}, 3, 15, np.float64)
    with pytest.raises(ValueError, match=r"damaged"):
        Verdicts.from_arrays({key: each for key, each in arrays.items() if key != name}, 3, 15, np.float64)


@pytest.mark.parametrize("n", [400, 9000], ids=["cross", "split"])
def test_p_values_rank_what_scores_became(n):
    train = np.random.default_rng(0).normal(size=(n, 3))
    forest = IsolationMondrianForest(n_estimators=25, random_state=0).fit(train)
    before = forest.p_values(SAID)
    forest.feedback(SAID[5:], [1, 1])
    after = forest.p_values(SAID)
    assert (after[5:] > before[5:]).all()
    if n == 9000:
        rows, scores = forest._model.calibration.rows, forest.score_samples
        expected = (1 + (scores(rows) <= scores(NEW)[:, None]).sum(axis=1)) / (len(rows) + 1)
        assert_allclose(forest.p_values(NEW), expected, rtol=1e-12)
    assert_array_equal(forest.withdraw(SAID[5:]).p_values(SAID), before)


def test_words_say_that_verdicts_were_heard():
    forest, model = fitted(), stream()
    assert "verdict" not in forest.why(SAID)[5] + model.why_one(as_dict(SAID[5]))
    forest.feedback(SAID[5:6], [1])
    model.feedback_one(as_dict(SAID[5]), -1)
    assert forest.why(SAID)[5].endswith("; verdicts near it lower its score")
    assert model.why_one(as_dict(SAID[5])).endswith("; verdicts near it raise its score")


def test_a_device_and_exports_refuse_what_they_cannot_say(cp):
    forest = fitted(score="depth").feedback(SAID, Y)
    for method in (forest.score_samples, forest.p_values, forest.predict):
        with pytest.raises(ValueError, match="CUDA device, where scores know nothing of the 7 verdicts"):
            method(cp.asarray(NEW))
    forest.withdraw(SAID).score_samples(cp.asarray(NEW))


def test_exports_refuse_verdicts():
    pytest.importorskip("onnx", reason="needs onnx")
    from imondrian.export import to_onnx

    with pytest.raises(ValueError, match="without the 7 verdicts"):
        to_onnx(fitted(score="depth").feedback(SAID, Y))


BAD_Y = {
    "zero": ([0], ValueError, "y must hold 1 .normal. and -1 .anomaly., got 0"),
    "two": ([2], ValueError, "got 2"),
    "NaN": ([np.nan], ValueError, "got nan"),
    "None": ([None], ValueError, "got None"),
    "bool": ([True], TypeError, "got bool"),
    "bool among objects": (np.array([True], object), TypeError, "got bool"),
    "text": (["1"], ValueError, "got '1'"),
    "too many": ([1, 1], ValueError, r"y must have shape \(1,\), a verdict a row, got \(2,\)"),
    "no list": (1, ValueError, r"got \(\)"),
}


@pytest.mark.parametrize("what", BAD_Y)
def test_bad_verdicts_change_nothing(what):
    y, kind, message = BAD_Y[what]
    forest, model = fitted().feedback(SAID, Y), stream()
    kept = forest._model.verdicts
    with pytest.raises(kind, match=message):
        forest.feedback(NEW[:1], y)
    assert forest._model.verdicts is kept
    with pytest.raises(kind, match=message):
        model.feedback_many(NEW[:1], y)
    if np.shape(y) == (1,):
        with pytest.raises(kind, match=message):
            model.feedback_one(as_dict(NEW[0]), y[0])
    assert model._model.verdicts is None


def test_good_verdicts_of_other_types():
    for y in ([1.0], np.array([-1], np.int8), np.array([1], object), (np.float32(-1),)):
        fitted().feedback(NEW[:1], y)


def test_bad_points_change_nothing():
    model = stream()
    for x, kind, message in [
        ({0: 1.0, "new": 2.0}, ValueError, r"x\['new'\] is of a key that was never learnt"),
        ({}, ValueError, "a point that has a value"),
        ({0: None}, ValueError, "a point that has a value"),
        ({0: "1"}, TypeError, "must be a number"),
        ({0: float("inf")}, ValueError, "finite"),
    ]:
        with pytest.raises(kind, match=message):
            model.feedback_one(x, 1)
    with pytest.raises(ValueError, match=r"x\[3\] is of a key that was never learnt"):
        model.feedback_many(np.ones((2, 4)), [1, 1])
    model.feedback_many(np.column_stack((NEW, np.full(len(NEW), np.nan))), np.ones(len(NEW)))
    with pytest.raises(ValueError, match="features"):
        fitted().feedback(np.ones((1, 4)), [1])
    forest = fitted()
    with pytest.raises(ValueError, match="a point that has a value"):
        forest.feedback(np.vstack([X[:1], np.full((1, X.shape[1]), np.nan)]), [1, 1])
    assert forest._model.verdicts is None
    with pytest.raises(NotFittedError):
        IsolationMondrianForest().feedback(X[:1], [1])


def test_withdrawing_what_was_never_said():
    forest, model = fitted().feedback(SAID, Y), stream()
    kept = forest._model.verdicts
    with pytest.raises(ValueError, match="1 of 2 not found, the first of them row 1; no verdict was withdrawn"):
        forest.withdraw(np.vstack((SAID[:1], NEW[:1])))
    assert forest._model.verdicts is kept
    assert len(forest.withdraw(np.vstack((SAID[:1], NEW[:1])), missing_ok=True)._model.verdicts) == 6
    assert_array_equal(fitted().withdraw(SAID, missing_ok=True).score_samples(NEW), fitted().score_samples(NEW))
    with pytest.raises(ValueError, match="1 of 1 not found"):
        model.withdraw_one(as_dict(X[0]))
    model.withdraw_one(as_dict(X[0]), missing_ok=True)


def test_verdicts_count_in_the_size_and_its_bound():
    import sys

    model, forest = stream(), fitted()
    size, of_forest = sys.getsizeof(model), sys.getsizeof(forest)
    model.feedback_many(SAID, Y)
    forest.feedback(SAID, Y)
    assert sys.getsizeof(model) >= size + model._model.verdicts.nbytes
    assert sys.getsizeof(forest) == of_forest + forest._model.verdicts.nbytes
    tight = fitted().set_params(max_bytes=of_forest + 100)
    with pytest.raises(ValueError, match="leaves no room for 7 verdicts"):
        tight.feedback(SAID, Y)
    assert tight._model.verdicts is None
    bounded = stream(max_bytes=stream().info()["bytes_bound"] + 100)
    with pytest.raises(ValueError, match="max_bytes"):
        bounded.feedback_many(SAID, Y)
    assert bounded._model.verdicts is None
    windowed = fitted(window=64).set_params(max_bytes=290_000)
    with pytest.raises(ValueError, match="max_bytes"):  # it is small, and will grow
        windowed.feedback(np.vstack((X, X + 1.0, X - 1.0))[:1000], np.ones(1000))
    assert windowed._model.verdicts is None
