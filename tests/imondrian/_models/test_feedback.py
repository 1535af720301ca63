"""Verdicts shift scores as the definition says, can be taken back to the bit, and live wherever the model goes."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from cases.verdicts import NEW, RNG, SAID, SMALL, X, Y, as_dict, fitted, stream
from numpy.testing import assert_allclose, assert_array_equal
from reference.feedback_reference import adjusted
from sklearn.base import clone

from imondrian import IsolationMondrianForest
from imondrian._models import feedback
from imondrian.river import OnlineIsolationMondrianForest


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
