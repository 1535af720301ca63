"""Verdicts shift scores as the definition says, can be taken back to the bit, and live wherever the model goes."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference.feedback_reference import adjusted
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError

from imondrian import IsolationMondrianForest
from imondrian._models import feedback
from imondrian._models.feedback import Verdicts
from imondrian.river import OnlineIsolationMondrianForest

RNG = np.random.default_rng(3)
X = RNG.normal(size=(400, 3))
SAID = np.vstack((X[:5], [[4.0, 0.0, 0.0], [4.1, 0.1, 0.0]]))
Y = [1, -1, 1, 1, -1, 1, -1]
NEW = np.vstack((RNG.normal(size=(60, 3)), SAID + 0.05))
SMALL = {"n_estimators": 15, "random_state": 0}


def fitted(**params):
    return IsolationMondrianForest(**{**SMALL, **params}).fit(X)


def stream(rows=X, **params):
    model = OnlineIsolationMondrianForest(**{"n_trees": 15, "seed": 0, **params})
    model.learn_many(rows)
    return model


def as_dict(row):
    return dict(enumerate(row.tolist()))


def holed(rows):
    rows = rows.copy()
    rows[np.random.default_rng(1).random(rows.shape) < 0.15] = np.nan
    rows[np.isnan(rows).all(axis=1), 0] = 0.5
    return rows


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("score", ["default", "depth", "insertion"])
@pytest.mark.parametrize("make", [lambda rows: rows, holed], ids=["full", "missing values"])
def test_scores_are_those_of_the_definition(dtype, score, make):
    train, said, new = (make(rows).astype(dtype) for rows in (X, SAID, NEW))
    forest = IsolationMondrianForest(score=score, **SMALL).fit(train)
    of_said, of_new = -forest.score_samples(said), -forest.score_samples(new)
    forest.feedback(said, Y)
    expected = adjusted(forest.forest_, said, of_said, Y, new, of_new)
    assert_allclose(-forest.score_samples(new), expected, rtol=1e-12)


@pytest.mark.parametrize("score", ["default", "spacing", "insertion"])
@pytest.mark.parametrize("window", ["thinned", "reservoir", 100, None])
def test_streams_score_by_the_same_definition(score, window):
    model = stream(score=score, window=window)
    of_said, of_new = model.score_many(SAID), model.score_many(NEW)
    for row, verdict in zip(SAID, Y, strict=True):
        model.feedback_one(as_dict(row), verdict)
    expected = adjusted(model._model.forest, SAID, of_said, Y, NEW, of_new)
    assert_allclose(model.score_many(NEW), expected, rtol=1e-12)
    assert_array_equal([model.score_one(as_dict(row)) for row in NEW], model.score_many(NEW))


def test_verdicts_move_scores_towards_what_was_said():
    forest = fitted()
    before = -forest.score_samples(SAID)
    forest.feedback(SAID[5:6], [1])
    assert -forest.score_samples(SAID[5:6])[0] < 0.5 < before[5]
    centre = np.zeros((1, 3))
    assert -forest.score_samples(centre)[0] < 0.5
    forest.feedback(centre, [-1])
    assert forest.predict(np.vstack((centre, SAID[5:6]))).tolist() == [-1, 1]


def test_rows_far_from_every_verdict_keep_their_score_to_the_bit():
    train = np.vstack((X, X + 100.0))
    forest = IsolationMondrianForest(**SMALL).fit(train)
    before = forest.score_samples(train)
    forest.feedback(train[:1], [-1])
    assert_array_equal(forest.score_samples(train)[400:], before[400:])


@pytest.mark.parametrize("score", ["default", "depth"])
def test_withdrawn_verdicts_leave_no_trace(score):
    forest = fitted(score=score)
    before = forest.score_samples(NEW)
    one = copy.deepcopy(forest).feedback(SAID[:3], Y[:3])
    both = copy.deepcopy(one).feedback(SAID[3:], Y[3:])
    assert not np.array_equal(both.score_samples(NEW), one.score_samples(NEW))
    assert_array_equal(both.withdraw(SAID[3:]).score_samples(NEW), one.score_samples(NEW))
    assert_array_equal(one.withdraw(SAID[:3]).score_samples(NEW), before)
    assert "_verdicts" not in vars(one)


def test_order_and_history_mean_nothing():
    forest, other = fitted().feedback(SAID, Y), fitted()
    for i in (6, 0, 3, 5, 1, 2, 4, 0):
        other.feedback(SAID[i : i + 1], [-Y[i]]).feedback(SAID[i : i + 1], [Y[i]])
    assert_allclose(other.score_samples(NEW), forest.score_samples(NEW), rtol=1e-12)
    assert len(other._model.verdicts) == len(SAID)


def test_of_several_verdicts_on_a_row_the_last_counts():
    twice = fitted().feedback(np.vstack((SAID, SAID[:1])), [*Y, -Y[0]])
    assert_allclose(twice.score_samples(NEW), fitted().feedback(SAID, [-Y[0], *Y[1:]]).score_samples(NEW), rtol=1e-12)
    zero = fitted().feedback([[0.0, np.nan, 1.0], [-0.0, np.nan, 1.0]], [1, -1])
    assert len(zero._model.verdicts) == 1


def test_duplicates_and_a_single_verdict_are_no_special_cases():
    train = np.repeat(X[:10], 40, axis=0)
    forest = IsolationMondrianForest(**SMALL).fit(train)
    own = -forest.score_samples(train[:400:40])
    forest.feedback(train[:1], [-1])
    expected = adjusted(forest.forest_, train[:1], own[:1], [-1], train[:400:40], own)
    assert_allclose(-forest.score_samples(train[:400:40]), expected, rtol=1e-12)


def test_constant_data_and_trees_that_are_one_cell():
    for train in (np.ones((50, 2)), X[:6]):
        forest = IsolationMondrianForest(**SMALL).fit(train)
        own = -forest.score_samples(train)
        forest.feedback(train[:1], [-1])
        assert_allclose(
            -forest.score_samples(train), adjusted(forest.forest_, train[:1], own[:1], [-1], train, own), rtol=1e-12
        )


@pytest.mark.parametrize("n_jobs", [2, 5])
def test_threads_change_nothing(n_jobs):
    rows = np.random.default_rng(0).normal(size=(3000, 3))
    one, several = fitted().feedback(SAID, Y), fitted(n_jobs=n_jobs).feedback(SAID, Y)
    assert_array_equal(several.score_samples(rows), one.score_samples(rows))


def test_only_the_last_verdicts_are_kept(monkeypatch):
    monkeypatch.setattr(feedback, "MOST_VERDICTS", 4)
    forest, last = fitted().feedback(SAID, Y), fitted().feedback(SAID[3:], Y[3:])
    assert len(forest._model.verdicts) == 4
    assert_array_equal(forest.score_samples(NEW), last.score_samples(NEW))


# -- beside learning and forgetting ----------------------------------------------------------------


def test_learning_keeps_verdicts_and_fit_drops_them():
    forest = fitted().feedback(SAID, Y)
    kept = forest._model.verdicts
    assert forest.partial_fit(X[:50])._model.verdicts is kept
    assert forest.fit(X)._model.verdicts is None
    assert not hasattr(clone(fitted().feedback(SAID, Y)), "forest_")


def test_forgetting_a_point_withdraws_the_verdict_on_it():
    forest = fitted(max_samples=400).feedback(X[:2], [-1, 1])
    forest.forget(X[:1])
    assert_array_equal(forest._model.verdicts.rows, X[1:2])
    assert forest.forget(X[1:2])._model.verdicts is None
    model = stream(window=None)
    model.feedback_many(X[:2], [-1, 1])
    model.forget_one(as_dict(X[0]))
    assert_array_equal(model._model.verdicts.rows, X[1:2])
    model.forget_many(X[1:2])
    assert model._model.verdicts is None


def test_a_forest_that_forgets_all_its_points_forgets_verdicts():
    forest = IsolationMondrianForest(max_samples=50, **SMALL).fit(X[:50]).feedback(SAID[5:], [1, -1])
    forest.forget(X[:49])
    assert len(forest._model.verdicts) == 2
    forest.forget(X[49:50])  # no verdict was on it
    assert len(forest._model.verdicts) == 2
    with pytest.raises(ValueError, match="holds no points any more"):
        forest.feedback(SAID[:1], [1])
    assert forest.withdraw(SAID[5:6])._model.verdicts is None
    model = stream(X[:40], window=None)
    model.feedback_many(SAID[5:], [1, -1])
    model.forget_many(X[:40])
    with pytest.raises(ValueError, match="learn at least 32 points before"):
        model.feedback_one(as_dict(SAID[0]), 1)
    model.withdraw_one(as_dict(SAID[5]))
    assert model._model.verdicts is None
    model.learn_many(X)
    assert model.score_one(as_dict(SAID[5])) > 0


def test_scoring_while_learning_hears_verdicts_in_every_way():
    def told():
        model = stream()
        model.feedback_many(SAID, Y)
        return model

    by_one, at_once, split, table = (told() for _ in range(4))
    scores, p_values = [], []
    for row in NEW:
        p_values.append(by_one.p_value_one(as_dict(row)))
        scores.append(by_one.score_one(as_dict(row)))
        by_one.learn_one(as_dict(row))
    assert_array_equal(at_once.score_learn_many(NEW), scores)
    assert_array_equal(np.concatenate([split.score_learn_many(part) for part in np.split(NEW, [1, 30])]), scores)
    judged = table._model.judge_and_learn(range(3), NEW)
    assert_array_equal(judged.scores, scores)
    assert_array_equal(judged.p_values, p_values)
    for model in (at_once, split, table):
        assert_array_equal(model._model.recent.in_order(), by_one._model.recent.in_order())
    silent = stream()
    silent.learn_many(NEW)
    spoken = told()
    spoken.learn_many(NEW)
    assert_array_equal(spoken._model.recent.in_order(), by_one._model.recent.in_order())
    assert not np.array_equal(spoken._model.recent.in_order(), silent._model.recent.in_order())


def test_a_verdict_between_scoring_and_learning_counts_for_what_is_kept():
    model = stream()
    x = as_dict(SAID[5])
    model.score_one(x)
    model.feedback_one(x, 1)
    expected = model.score_many(SAID[5:6])[0]
    model.learn_one(x)
    assert model._model.recent.in_order()[-1] == expected


def test_warming_up_stays_silent():
    model = OnlineIsolationMondrianForest(n_trees=5, seed=0)
    model.learn_many(X[:31])
    with pytest.raises(ValueError, match="learn at least 32 points before"):
        model.feedback_one(as_dict(X[0]), 1)
    assert model.score_one(as_dict(X[0])) == 0.0


def test_verdicts_on_points_that_left_the_window_still_speak_of_their_place():
    model = stream(window=64)
    model.feedback_one(as_dict(X[0]), -1)  # 336 points have come since
    raised = model.score_many(X[:1])
    model.withdraw_one(as_dict(X[0]))
    assert raised > model.score_many(X[:1])


def test_new_keys_leave_verdicts_as_they_are():
    rows = RNG.normal(size=(300, 2))
    model = OnlineIsolationMondrianForest(n_trees=10, seed=0, max_features=3)
    for a, b in rows.tolist():
        model.learn_one({"b": b, "c": a})
    model.feedback_one({"b": 0.1, "c": 3.0}, 1)
    shift = model._model.verdicts.shifts(np.array([[0.1, 3.0]]))
    model.learn_one({"a": 1.0, "b": 0.0, "c": 0.0})
    row = np.full((1, 3), np.nan)
    row[0, [model._model.keys["b"], model._model.keys["c"]]] = 0.1, 3.0
    assert_array_equal(model._model.verdicts.shifts(row), shift)
    assert_array_equal(model._model.verdicts.rows, row)
    model.withdraw_one({"c": 3.0, "b": 0.1})
    assert model._model.verdicts is None


def test_keys_that_are_dropped_are_gone_from_verdicts():
    model = OnlineIsolationMondrianForest(n_trees=5, seed=0, window=40, max_features=2)
    for value in RNG.normal(size=60).tolist():
        model.learn_one({"a": value, "b": -value})
    model.feedback_one({"a": 5.0, "b": 5.0}, -1)
    for value in RNG.normal(size=60).tolist():
        model.learn_one({"b": value})
    model.learn_one({"b": 0.0, "c": 1.0})  # takes the place of "a"
    assert model._model.keys.keys() == {"b", "c"}
    place = model._model.keys["c"]
    assert np.isnan(model._model.verdicts.rows[0, place])
    assert (model._model.verdicts.cuts["feature"] != place).all()
    pickle.loads(pickle.dumps(model)).score_one({"b": 0.0, "c": 1.0})


def test_verdicts_that_differed_in_a_dropped_key_alone_become_the_last_of_them(tmp_path):
    model = OnlineIsolationMondrianForest(n_trees=5, seed=0, window=20, max_features=3)
    values = RNG.normal(size=(50, 2)).tolist()
    for a, b in values[:25]:
        model.learn_one({"a": a, "b": b})
    for c in (1.0, 2.0):
        model.learn_one({"a": 0.5, "b": 1.0, "c": c})
    model.feedback_many(pd.DataFrame({"a": [0.5, 0.5], "b": [1.0, 1.0], "c": [1.0, 2.0]}), [1, -1])
    for c, verdict in ((1.0, 1), (2.0, -1), (3.0, 1)):
        model.feedback_one({"c": c}, verdict)
    for a, b in values[25:]:
        model.learn_one({"a": a, "b": b})
    model.learn_one({"a": 0.5, "b": 1.0, "d": 1.0})  # takes the place of "c"
    assert model._model.keys.keys() == {"a", "b", "d"}
    assert model._model.verdicts.verdict.tolist() == [-1]
    model.save(tmp_path / "model.imf")
    for other in (pickle.loads(pickle.dumps(model)), OnlineIsolationMondrianForest.load(tmp_path / "model.imf")):
        assert other.score_one({"a": 0.5, "b": 1.0}) == model.score_one({"a": 0.5, "b": 1.0})
    model.feedback_one({"a": 1.0, "b": 1.0}, 1)
    model.forget_one({"a": 0.5, "b": 1.0, "d": 1.0})
    model.withdraw_one({"a": 0.5, "b": 1.0})
    assert len(model._model.verdicts) == 1


def test_verdicts_go_with_the_last_key_that_they_had_values_for():
    model = OnlineIsolationMondrianForest(n_trees=5, seed=0, window=20, max_features=2)
    for value in RNG.normal(size=30).tolist():
        model.learn_one({"a": value, "b": -value})
    model.feedback_one({"a": 5.0}, -1)
    for value in RNG.normal(size=30).tolist():
        model.learn_one({"b": value})
    model.learn_one({"b": 0.0, "c": 1.0})  # takes the place of "a"
    assert model._model.verdicts is None
    assert model.score_one({"b": 0.5}) == pickle.loads(pickle.dumps(model)).score_one({"b": 0.5})


# -- where the model goes --------------------------------------------------------------------------


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


# -- p-values, words, and what cannot listen -------------------------------------------------------


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


# -- bad input -------------------------------------------------------------------------------------

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
