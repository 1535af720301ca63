"""Forgetting points: all or nothing, whatever the window keeps, and as if they had never been learnt."""

import math
import pickle
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from cases.forest_cases import CASES, case, empty
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import stats
from sklearn.exceptions import NotFittedError
from test_forest_invariants import DTYPES, SEEDS, points_of
from test_forest_laws import ACCEPT, EXTRAS, N_TREES, POINTS, assert_one_law, batch, native_sample

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED
from imondrian.river import OnlineIsolationMondrianForest

SMALL = {"n_estimators": 8, "random_state": 0}
WINDOWS = [None, 500, "reservoir", "decayed", "thinned"]
X = np.random.default_rng(0).normal(size=(120, 3))


def members(forest, t):
    """The only coordinate of each member of tree t, in the order of the ring or heap."""
    c = forest.columns
    return [
        c["points"][c["leaf_point"][t, leaf], 0] if leaf >= 0 else None
        for leaf in c["member_leaf"][t, : c["stream"][t, 1]]
    ]


# -- all or nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS)
def test_points_never_seen_are_named_and_nothing_is_forgotten(window):
    forest = IsolationMondrianForest(**SMALL, window=window, max_samples=200).fit(X)
    before = pickle.dumps(forest)
    for rows, message in (
        (X[:5] + 1e-9, "5 of 5 not found, the first of them row 0; nothing was forgotten"),
        (np.concatenate([X[:7], X[:1] * 2, X[8:9], X[9:10] + 1]), "2 of 10 .* row 7"),
        (X[[3, 4, 3]], "1 of 3 not found, the first of them row 2"),
    ):
        with pytest.raises(ValueError, match=f"X must hold points that some tree holds: {message}"):
            forest.forget(rows)
        assert pickle.dumps(forest) == before
    forest.forget(X[:7]).forest_.check()
    assert forest.forest_.mass == 113
    with pytest.raises(ValueError, match="7 of 9 not found, the first of them row 0"):
        forest.forget(X[:9])
    forest.forget(X[:9], missing_ok=True).forest_.check()
    assert forest.forest_.mass == 111
    forest.partial_fit(X[:9]).forget(X).forest_.check()
    assert (forest.forest_.n_leaves == 0).all()
    assert (forest.score_samples(X) == -0.5).all()
    forest.partial_fit(X).forest_.check()
    assert (forest.score_samples(X) < 0).all()


def test_bad_rows_change_nothing():
    with pytest.raises(NotFittedError):
        IsolationMondrianForest().forget(X)
    forest = IsolationMondrianForest(**SMALL).fit(X)
    before = pickle.dumps(forest)
    for bad, message in ((X[:, :2], "X has 2 features"), (X[0], "Expected 2D array"), (X + np.inf, "infinity")):
        with pytest.raises(ValueError, match=message):
            forest.forget(bad)
        assert pickle.dumps(forest) == before


def test_rows_that_no_tree_sampled_can_be_passed_over():
    rows = np.random.default_rng(1).normal(size=(2000, 2))
    forest = IsolationMondrianForest(5, max_samples=50, random_state=0).fit(rows)
    held = forest.forest_.holders(rows)
    assert 0 < (held > 0).sum() <= 250
    with pytest.raises(ValueError, match=f"{(held == 0).sum()} of 2000 not found"):
        forest.forget(rows)
    forest.forget(rows, missing_ok=True)
    assert (forest.forest_.n_leaves == 0).all()


def test_copies_and_weights_are_forgotten_one_by_one():
    copies = np.repeat(X[:10], 3, axis=0)
    forest = IsolationMondrianForest(**SMALL).fit(copies)
    weighted = IsolationMondrianForest(**SMALL).fit(X[:10], sample_weight=np.full(10, 3.0))
    for model in (forest, weighted):
        for left in (20, 10, 0):
            model.forget(X[:10])
            assert model.forest_.mass == left
        with pytest.raises(ValueError, match="10 of 10 not found"):
            model.forget(X[:10])


def test_the_threshold_follows():
    rows = np.concatenate([np.random.default_rng(0).normal(size=(300, 2)), np.full((30, 2), 9.0)])
    forest = IsolationMondrianForest(20, contamination=0.1, max_samples=1.0, random_state=0).partial_fit(rows)
    before = forest.offset_
    forest.forget(rows[300:])
    assert forest.offset_ != before
    assert forest.offset_ == pytest.approx(np.quantile(forest.score_samples(rows[:300]), 0.1), abs=0.01)


# -- windows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 7, 40])
def test_a_sliding_window_keeps_the_last_points_but_for_the_forgotten(chunk):
    rng = np.random.default_rng(0)
    forest = empty(1, n_trees=3, capacity=16, memory=SLIDING)
    values, kept = iter(range(10**6)), []
    for _ in range(60):
        new = [float(next(values) // 2) for _ in range(chunk)]  # every value twice
        forest.learn(np.array(new)[:, None])
        kept = (kept + new)[-16:]
        present = [value for value in kept if value is not None]
        for gone in rng.permutation(present)[: rng.integers(0, 4)].tolist():
            forest.forget(np.array([[gone]]))
            kept[kept.index(gone)] = None
        forest.check()
        for t in range(3):
            ring, oldest = members(forest, t), int(forest.columns["stream"][t, 3])
            assert ring[oldest:] + ring[:oldest] == kept


@pytest.mark.parametrize("n_after", [0, 1, 40])
def test_a_reservoir_stays_a_uniform_sample_of_the_rest(n_after):
    """Members after forgetting and learning on: every survivor alike, those from before and after, jointly."""
    window, n_trees, n = 16, 3000, 60
    forest = empty(1, n_trees=n_trees, capacity=window, memory=RESERVOIR, seed=2)
    forest.learn(np.arange(float(n))[:, None])
    gone = np.arange(5.0, 25.0)
    forest.forget(gone[:, None])
    forest.check()
    forest.learn(np.arange(float(n), n + n_after)[:, None])
    forest.check()
    survivors = np.setdiff1d(np.arange(n + n_after), gone)
    held = [[value for value in members(forest, t) if value is not None] for t in range(n_trees)]
    sizes = np.array([len(h) for h in held])
    counts = np.array([np.sum([value in set(h) for h in held]) for value in survivors])
    assert counts.sum() == sizes.sum()
    # Given its size a sample is uniform: each count is a sum of independent draws with chance size / survivors.
    chance = sizes / len(survivors)
    statistic = np.sum((counts - chance.sum()) ** 2) / np.sum(chance * (1 - chance)) * (1 - 1 / len(survivors))
    assert ACCEPT < stats.chi2.sf(statistic, len(survivors) - 1) < 1 - ACCEPT
    old = np.array([sum(value < n for value in h) for h in held])
    for size in np.unique(sizes):
        law = stats.hypergeom(len(survivors), n - len(gone), size)
        share = old[sizes == size]
        if n_after and len(share) > 100:
            assert abs(share.mean() - law.mean()) < 4 * law.std() / math.sqrt(len(share))


def test_a_reservoir_that_fills_up_greedily_would_be_noticed():
    """What the test above guards against: the first arrival after forgetting must not enter for sure."""
    forest = empty(1, n_trees=3000, capacity=16, memory=RESERVOIR, seed=3)
    forest.learn(np.arange(60.0)[:, None])
    forest.forget(np.arange(5.0, 25.0)[:, None])
    forest.learn(np.array([[60.0]]))
    entered = np.mean([60.0 in members(forest, t) for t in range(3000)])
    assert stats.binomtest(round(entered * 3000), 3000, 16 / 61).pvalue > ACCEPT


def test_copies_leave_a_reservoir_with_the_keys_of_a_sample():
    """Which of two copies leaves must not depend on their keys, or those that stay would live too long."""
    values = np.repeat(np.arange(30.0), 2)[:, None]
    forest = empty(1, n_trees=3000, capacity=20, memory=RESERVOIR, seed=4)
    forest.learn(values)
    keys = []
    single = [t for t in range(3000) if members(forest, t).count(0.0) == 2]
    smaller = {
        t: min(k for k, v in zip(forest.columns["member_key"][t], members(forest, t), strict=True) if v == 0.0)
        for t in single
    }
    forest.forget(np.zeros((1, 1)))
    forest.check()
    for t in single:
        found = [k for k, v in zip(forest.columns["member_key"][t], members(forest, t), strict=False) if v == 0.0]
        keys.append(found == [smaller[t]])
    assert stats.binomtest(sum(keys), len(keys), 0.5).pvalue > ACCEPT


@settings(max_examples=80)
@given(
    name=st.sampled_from(sorted(CASES)),
    d=st.sampled_from([1, 3, 9]),
    dtype=DTYPES,
    seed=SEEDS,
    window=st.integers(1, 20),
    memory=st.sampled_from([UNBOUNDED, SLIDING, RESERVOIR]),
    decay=st.sampled_from([0.0, 0.05]),
    scaled=st.booleans(),
    holes=st.booleans(),
    steps=st.lists(
        st.tuples(st.sampled_from(["learn", "learn", "forget", "pickle"]), st.integers(1, 25)), min_size=2, max_size=12
    ),
)
def test_any_history(name, d, dtype, seed, window, memory, decay, scaled, holes, steps):
    rng = np.random.default_rng(seed)
    stream = case(name, 320, d, seed=seed, dtype=dtype)
    if holes:
        stream[rng.random(stream.shape) < 0.3] = np.nan
    forest = empty(
        d,
        dtype=dtype,
        seed=seed,
        n_trees=3,
        capacity=window,
        memory=memory,
        decay=decay if memory else 0.0,
        scaled=scaled,
    )
    at = 0
    for step, size in steps:
        if step == "learn":
            forest.learn(stream[at : at + size], score="insertion")
            at += size
        elif step == "pickle":
            forest = pickle.loads(pickle.dumps(forest))
        elif at:
            rows = stream[rng.integers(0, at, size)]
            held = [points_of(forest, t) for t in range(3)]
            expected = forest.holders(rows)
            assert_array_equal(forest.forget(rows), expected)
            for t in range(3):
                assert sum(points_of(forest, t).values()) >= sum(held[t].values()) - size
                if not holes:
                    asked = Counter(map(tuple, rows.tolist()))
                    assert points_of(forest, t) == held[t] - asked
        forest.check()


# -- laws ------------------------------------------------------------------------------------------------


def test_a_window_that_forgot_has_the_law_of_what_is_left():
    forest = empty(2, seed=20, n_trees=N_TREES, capacity=len(POINTS) + len(EXTRAS), memory=SLIDING)
    forest.learn(np.array(POINTS[:3] + EXTRAS + POINTS))
    forest.forget(np.array(EXTRAS))
    held = points_of(forest, 0)
    forest.learn(np.array(POINTS + EXTRAS))
    forest.forget(np.array(EXTRAS))
    forest.check()
    assert sum(held.values()) == 7
    assert points_of(forest, 0) == Counter(map(tuple, POINTS))
    assert_one_law(native_sample(forest), native_sample(batch(seed=21)))


# -- missing values --------------------------------------------------------------------------------------


def test_rows_with_missing_values_are_found_on_both_sides():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(150, 3))
    rows[rng.random(rows.shape) < 0.3] = np.nan
    for window in WINDOWS:
        forest = IsolationMondrianForest(**SMALL, window=window, max_samples=200).partial_fit(rows)
        forest.forget(rows[rng.permutation(150)[:60]]).forest_.check()
        # A row that joined a fuller one cannot be told from it once that one is forgotten.
        assert 90 <= forest.forest_.mass <= 95


def test_a_full_point_is_not_forgotten_for_one_with_gaps():
    full = np.array([[1.0, 2.0], [3.0, 4.0]])
    forest = IsolationMondrianForest(**SMALL).fit(full)
    with pytest.raises(ValueError, match="1 of 1 not found"):
        forest.forget([[1.0, np.nan]])
    forest.partial_fit([[1.0, np.nan]]).forget([[1.0, np.nan]])
    assert forest.forest_.mass == 2 and points_of(forest.forest_, 0) == Counter(map(tuple, full.tolist()))


# -- river -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS)
def test_a_stream_forgets_dicts_and_frames(window):
    frame = pd.DataFrame(X, columns=list("abc"))
    model = OnlineIsolationMondrianForest(8, window=window, seed=0)
    with pytest.raises(ValueError, match="1 of 1 not found"):
        model.forget_one({"a": 1.0})
    model.forget_one({"a": 1.0}, missing_ok=True)
    model.learn_many(frame)
    rows = frame.to_dict("records")
    before = pickle.dumps(model)
    for strange in ({**rows[0], "d": 1.0}, {"a": rows[0]["a"]}, {**rows[0], "a": 5.0}, {}):
        with pytest.raises(ValueError, match="1 of 1 not found"):
            model.forget_one(strange)
        model.forget_one(strange, missing_ok=True)
        assert pickle.dumps(model) == before
    with pytest.raises(ValueError, match="2 of 6 not found, the first of them row 4"):
        model.forget_many(pd.concat([frame[:4], frame[:2].assign(d=1.0)]))
    assert pickle.dumps(model) == before
    model.forget_one({**rows[0], "d": None})
    model.forget_many(frame[1:50])
    model._model.forest.check()
    assert model._model.forest.mass == 70
    model.forget_many(pd.concat([frame[45:60], frame[:2].assign(d=1.0)]), missing_ok=True)
    assert model._model.forest.mass == 60
