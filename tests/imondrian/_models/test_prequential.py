"""Tables scored and learnt in one pass: the same, to the bit, as river's calls a point at a time."""

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")

from imondrian._conformal.conformal import ScoreWindow
from imondrian._models.prequential import prequential_p_values
from imondrian.river import OnlineIsolationMondrianForest


def one_by_one(model, keys, values):
    """river's calls in turn: the score and the p-value of each row, from just before it is learnt."""
    found = []
    for row in values.tolist():
        x = dict(zip(keys, row, strict=True))
        found.append((model.score_one(x), model.p_value_one(x)))
        model.learn_one(x)
    return np.array(found).T


@pytest.mark.parametrize("half_life", [None, 20.0])
@pytest.mark.parametrize("size", [1, 3, 50, 300, 1024])
@pytest.mark.parametrize("n_past", [0, 2, 50, 2000])
def test_p_values_are_those_of_a_window_that_is_pushed_to(size, n_past, half_life):
    rng = np.random.default_rng(size + n_past)
    past, scores = np.split(rng.integers(0, 40, n_past + 700) / 40.0, [n_past])  # many ties
    window, before = ScoreWindow(size, half_life), ScoreWindow(size, half_life)
    window.push(past)
    before.push(past)
    expected = []
    for value in scores:
        expected.append(window.p_value(value))
        window.push_one(value)
    found = prequential_p_values(before, scores)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "params",
    [{}, {"window": 40}, {"window": "reservoir", "score": "depth"}, {"calibration": 60, "calibration_half_life": 30.0}],
)
def test_pieces_of_any_length_give_what_single_points_give(params):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(500, 3))
    values[rng.random(values.shape) < 0.05] = np.nan
    keys = ("b", "a", "c")
    scores, p_values = one_by_one(OnlineIsolationMondrianForest(10, seed=1, **params), keys, values)
    model, start = OnlineIsolationMondrianForest(10, seed=1, **params), 0
    while start < len(values):
        length = int(rng.choice([1, 2, 7, 90]))
        judged = model._model.judge_and_learn(keys, values[start : start + length])
        np.testing.assert_array_equal(judged.scores, scores[start : start + length])
        np.testing.assert_array_equal(judged.p_values, p_values[start : start + length])
        assert judged.ready.tolist() == [i >= 32 for i in range(start, start + len(judged.ready))]
        start += length


def test_unknown_keys_widen_as_they_come():
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(60, 2)), rng.normal(size=(60, 3))
    one, many = (OnlineIsolationMondrianForest(10, seed=1) for _ in range(2))
    for keys, values in ((("a", "b"), first), (("c", "b", "a"), second), (("a", "b"), first)):
        expected = one_by_one(one, keys, values)
        judged = many._model.judge_and_learn(keys, values)
        np.testing.assert_array_equal([judged.scores, judged.p_values], expected)
    assert many._model.keys == one._model.keys


def test_keys_that_find_no_room_or_make_others_go():
    rng = np.random.default_rng(6)
    one, many = (OnlineIsolationMondrianForest(5, seed=1, window=9, max_features=2) for _ in range(2))
    for step in range(12):
        keys = [("a", "b"), ("b", "c"), ("a",), ("c", "a", "b")][step % 4]
        values = rng.normal(size=(15, len(keys)))
        expected = one_by_one(one, keys, values)
        judged = many._model.judge_and_learn(keys, values)
        np.testing.assert_array_equal([judged.scores, judged.p_values], expected)
    assert many._model.keys == one._model.keys and many.info() == one.info() and one.info()["keys_dropped"] > 0


def test_scoring_alone_changes_nothing():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(100, 2))
    model = OnlineIsolationMondrianForest(10, seed=1)
    assert not model._model.judge(("a", "b"), values).ready.any()
    model._model.judge_and_learn(("a", "b"), values)
    dicts = [{"a": a, "b": b} for a, b in values.tolist()]
    expected = [(model.score_one(x), model.p_value_one(x)) for x in dicts]
    for _ in range(2):
        judged = model._model.judge(("b", "a"), values[:, ::-1])
        np.testing.assert_array_equal(np.transpose([judged.scores, judged.p_values]), expected)


def test_without_rows_or_past_scores():
    model = OnlineIsolationMondrianForest(5, seed=1, calibration=None)
    assert len(model._model.judge_and_learn(("a",), np.zeros((0, 1))).scores) == 0
    judged = model._model.judge_and_learn(("a",), np.arange(50.0)[:, None])
    assert judged.p_values.tolist() == [1.0] * 50 and judged.scores[40] > 0
