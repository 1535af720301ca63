"""Many features: boxes found once, keys that come and go, and the room that rows have for them."""

import math
import pickle
import sys

import numpy as np
import pytest
from cases.forest_cases import states
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import Forest
from imondrian._forest.places import new_places, room_for
from imondrian.river import OnlineIsolationMondrianForest


def sparse(n, d, share=0.02, seed=0):
    return (np.random.default_rng(seed).random((n, d)) < share).astype(float)


# -- boxes that no tree stores ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sparse, lambda n, d: np.random.default_rng(0).normal(size=(n, d))])
@pytest.mark.parametrize("d", [3, 30, 200])
def test_forests_with_and_without_boxes_agree_to_the_bit(make, d):
    X = make(300, d)
    X[::7, ::3] = np.nan
    Q = np.concatenate([make(300, d), X[:20]])
    bare, boxed = (
        Forest.build(X, None, states(0, 6), 120, scaled=True, spaced=True, boxes=boxes) for boxes in (False, True)
    )
    assert "lower" not in bare.columns and "lower" in boxed.columns
    for name in ("recent", "clean", "leaf_clean"):
        assert_array_equal(bare.columns[name], boxed.columns[name])
    for rows in (Q, Q[:30]):
        assert_array_equal(bare.depths(rows, "spacing")[0], boxed.depths(rows, "spacing")[0])
    for found, expected in zip(bare.explain(Q[:20], "spacing"), boxed.explain(Q[:20], "spacing"), strict=True):
        assert_array_equal(found, expected)


# -- places ----------------------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(0, 9), st.sets(st.integers(0, 29)))
def test_places_have_no_gaps_and_as_few_as_possible_move(n_old, n_more, drop):
    drop = {j for j in drop if j < n_old}
    places, new = new_places(n_old, n_more, drop)
    n = n_old - len(drop) + n_more
    assert sorted([*places[places >= 0].tolist(), *new]) == list(range(n)) and len(new) == n_more
    assert {j for j in range(n_old) if places[j] < 0} == drop
    assert all(places[j] == j for j in range(min(n, n_old)) if j not in drop)


@given(st.integers(1, 200), st.integers(0, 10_000))
def test_room_grows_by_half_where_bytes_are_left(packs, spare):
    room = room_for(4 * packs, 4, 100, spare)
    assert room % 4 == 0 and 4 * packs <= room <= 6 * packs
    assert (room - 4 * packs) // 4 * 100 <= spare


# -- streams of ever-new keys ----------------------------------------------------------------------------


def burst(i):
    return {f"k{i}": float(i % 5), "a": float(i % 7), "b": math.sin(i)}


@pytest.mark.parametrize("window", [30, "thinned", "reservoir"])
def test_a_stream_of_new_keys_goes_on_alike_from_a_file(window):
    model = OnlineIsolationMondrianForest(9, window=window, horizon=60, seed=0)
    other = model.clone()
    for i in range(220):
        if i % 40 == 17:
            other = pickle.loads(pickle.dumps(other))
        assert model.score_one(burst(i)) == other.score_one(burst(i))
        model.learn_one(burst(i))
        other.learn_one(burst(i))
        assert model._model.keys == other._model.keys and list(model._model.keys.values()) == list(
            range(len(model._model.keys))
        )
        if i % 10 == 0:
            model._model.forest.check()
            assert sys.getsizeof(model) == model.info()["bytes"] <= model.info()["bytes_bound"]
    if window == 30:
        assert model.info()["keys_dropped"] > 100


def test_widening_copies_the_columns_a_few_times_only():
    model = OnlineIsolationMondrianForest(9, horizon=300, seed=0)
    boxes = []  # every array that held them
    for i in range(400):
        model.learn_one(burst(i))
        if not boxes or boxes[-1] is not model._model.forest.columns["lower"]:
            boxes.append(model._model.forest.columns["lower"])
    widths = [box.shape[-1] for box in boxes]
    assert model.info()["features"] > 100
    assert len(widths) <= 12 and widths == sorted(widths)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("drop", [(), (20,), (20, 22), (5, 20, 22)], ids=str)
@pytest.mark.parametrize("n_more", [1, 2, 30])
@pytest.mark.parametrize("roomy", [False, True])
def test_a_widened_forest_leaves_the_old_one_as_it_was(own, drop, n_more, roomy):
    X = np.random.default_rng(0).normal(size=(200, 23))
    X[:, [5, 20, 22]] = np.nan
    model = OnlineIsolationMondrianForest(6, window=50, seed=0)
    model.learn_many(X[:, :20] if roomy else X)
    forest = model._model.forest
    if roomy:
        forest.add_features(3)
    before, held = pickle.dumps(forest.__getstate__()), forest.columns.copy()
    raw = {name: column.tobytes() for name, column in held.items()}
    twin, places, new = forest.widened(n_more, drop, own)
    assert all(forest.columns[name] is held[name] and held[name].tobytes() == raw[name] for name in held)
    assert pickle.dumps(forest.__getstate__()) == before
    twin.check()
    assert twin.n_features == 23 - len(drop) + n_more == (places >= 0).sum() + len(new)
    if own:
        assert not any(np.shares_memory(twin.columns[name], held[name]) for name in held)
    Q = np.full((len(X), twin.n_features), np.nan)
    Q[:, places[places >= 0]] = X[:, places >= 0]
    twin.learn(Q)
    twin.check()
    if own:
        assert pickle.dumps(forest.__getstate__()) == before
        forest.check()


def test_room_for_features_is_given_up_for_points():
    model = OnlineIsolationMondrianForest(4, window="reservoir", seed=0)
    model.learn_many(np.random.default_rng(0).normal(size=(100, 20)))
    model.learn_one({20: 1.0})
    columns = model._model.forest.columns
    assert columns["points"].shape[1] > model._model.forest.padded == 24
    for seed in range(40):
        model.learn_many(np.random.default_rng(seed).normal(size=(200, 21)))
        assert sys.getsizeof(model) <= model.info()["bytes_bound"]
    model._model.forest.check()


def test_a_forest_with_room_scores_and_saves_as_one_without():
    X = np.random.default_rng(0).normal(size=(400, 21))
    model = OnlineIsolationMondrianForest(6, seed=0)
    model.learn_many(X[:, :20])
    model.learn_one({20: 1.0})
    assert model._model.forest.columns["points"].shape[1] > model._model.forest.padded
    copied = pickle.loads(pickle.dumps(model))
    assert copied._model.forest.columns["points"].shape[1] == copied._model.forest.padded
    X[::3, ::2] = np.nan
    assert_array_equal(model.score_many(X), copied.score_many(X))
    assert_array_equal(model.score_learn_many(X), copied.score_learn_many(X))
    assert_array_equal(model.to_estimator().score_samples(X), copied.to_estimator().score_samples(X))


def test_wide_sparse_rows_give_finite_scores():
    X = sparse(300, 400, share=0.01)
    scores = IsolationMondrianForest(4, random_state=0).fit(X).score_samples(X)
    assert np.isfinite(scores).all() and np.ptp(scores) > 0
