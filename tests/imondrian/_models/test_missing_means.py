"""Rows with missing values: the means that correct for the way they take, what keeps them right, and their bytes."""

import copy
import math
import sys

import numpy as np
import pytest
from cases.forest_cases import states
from numpy.testing import assert_allclose, assert_array_equal
from reference import forest_reference as slow

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest
from imondrian.river import OnlineIsolationMondrianForest

SCORES = ["spacing", "depth", "insertion"]
MEMORIES = [UNBOUNDED, SLIDING, RESERVOIR]


def holed(n, d, share=0.4, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(dtype)
    X[rng.random(X.shape) < share] = np.nan
    return X


def both_ways(columns, t, x):
    """The leaf depth of x if it went both ways for want of a value, in proportion to the masses."""

    def below(v, depth):
        if v < 0:
            return depth + slow.hidden_depth(float(columns["leaf_mass"][t, ~v]))
        children = columns["child"][t, v].tolist()
        if not math.isnan(x[int(columns["feature"][t, v])]):
            return below(slow.way(columns, t, v, x), depth + 1)
        mass = [slow.mass_of(columns, t, c) for c in children]
        return sum(m * below(c, depth + 1) for m, c in zip(mass, children, strict=True)) / sum(mass)

    return below(int(columns["header"][t, 0]), 0)


@pytest.mark.parametrize(
    "x", [[0.1, math.nan, 2.5], [math.nan, -3.0, math.nan], [math.nan, 0.2, 0.1], [4.0, math.nan, math.nan]]
)
def test_in_expectation_a_row_goes_both_ways(x):
    X = np.random.default_rng(0).normal(size=(60, 3))
    forest = Forest.build(X, None, states(0, 1500), 60, scaled=True)
    found = [slow.leaf_depth(forest.columns, t, x) - both_ways(forest.columns, t, x) for t in range(1500)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(1500)
    assert np.std(found) > 0.05  # they do differ


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("memory", MEMORIES)
def test_kept_means_are_those_of_a_fresh_copy(memory, dtype):
    rng = np.random.default_rng(memory)
    forest = Forest.for_stream(
        7, dtype, states(1, 40), memory, None if memory == UNBOUNDED else 40, 0.02, scaled=True, spaced=True
    )
    Q = np.concatenate([holed(20, 7, seed=5, dtype=dtype) * 2, np.full((1, 7), np.nan, dtype)])
    held = []
    for step in range(60):
        rows = holed(int(rng.integers(1, 8)), 7, share=rng.choice([0.0, 0.3, 0.9]), seed=step, dtype=dtype)
        if rng.random() < 0.3 and held:
            forest.forget(held.pop(int(rng.integers(len(held)))))
        elif rng.random() < 0.5:
            forest.learn(rows * (1 + step % 3))
        else:
            forest.learn(rows, score=SCORES[step % 3])
        held.append(rows)
        fresh = copy.deepcopy(forest)
        assert fresh._view.means_held == 0
        for score in SCORES:
            expected = fresh.depths(Q, score)[0]
            assert_array_equal(forest.depths(Q, score)[0], expected)
            assert_array_equal([forest.depths(x[None], score)[0][0] for x in Q[-3:]], expected[-3:])
    assert forest._view.means_held > 0
    forest.check()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("n", [5, 40, 700])
def test_few_and_many_rows_are_scored_alike_in_any_order_and_by_any_threads(score, n):
    forest = IsolationMondrianForest(30, random_state=0, score=score).fit(holed(900, 6, share=0.2))
    Q = np.concatenate([holed(n, 6, share=share, seed=n) for share in (0.0, 0.5, 1.0)])
    Q = Q[np.random.default_rng(1).permutation(len(Q))]
    expected = [forest.score_samples(x[None])[0] for x in Q[:50]]
    assert_array_equal(forest.score_samples(Q)[:50], expected)
    assert_array_equal(forest.score_samples(Q[::-1])[::-1], forest.score_samples(Q))
    threaded = copy.deepcopy(forest).set_params(n_jobs=3)
    assert_array_equal(threaded.score_samples(Q), forest.score_samples(Q))


@pytest.mark.parametrize("score", SCORES)
def test_without_any_value_the_score_is_the_expected_one(score):
    model = OnlineIsolationMondrianForest(20, score=score, seed=0)
    rng = np.random.default_rng(0)
    for step in range(300):
        model.learn_one(dict(enumerate(rng.normal(size=6))))
        if step > 40 and step % 20 == 0:
            assert model.score_one({}) == pytest.approx(model.expected_score, rel=1e-12)
            assert model.score_one({}) == model.score_one({2: None}) == model.score_one({2: math.nan})


def test_units_change_nothing():
    X, Q = holed(400, 5, share=0.2), holed(100, 5, share=0.5, seed=3)
    unit = np.array([1e-6, 1.0, 3.0, 1e5, 7.0])
    for score in SCORES:
        forest = IsolationMondrianForest(40, score=score, random_state=0)
        expected = forest.fit(X).score_samples(Q)
        assert_allclose(forest.fit(X * unit).score_samples(Q * unit), expected, rtol=1e-9)


# -- bytes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["thinned", "decayed", "reservoir", 50])
@pytest.mark.parametrize("d", [1, 4, 9])
def test_means_stay_within_what_was_promised(d, window):
    model = OnlineIsolationMondrianForest(12, window=window, horizon=300, seed=0)
    rng = np.random.default_rng(0)
    kept = set()
    for start in range(0, 6000, 300):
        model.learn_many(rng.normal(size=(300, d)))
        assert 0 < model.score_one({0: math.nan}) < 1
        kept.add(model._model.forest._view.means_held > 0)
        assert sys.getsizeof(model) == model.info()["bytes"] <= model.info()["bytes_bound"], start
    assert True in kept


def test_means_stay_within_max_bytes_without_a_window():
    limit = 600_000
    X = np.random.default_rng(0).normal(size=(4000, 4))
    forest = IsolationMondrianForest(10, max_bytes=limit, random_state=0)
    with pytest.raises(MemoryError):
        for start in range(0, 4000, 20):
            forest.partial_fit(X[start : start + 20])
            assert np.isfinite(forest.score_samples(np.full((2, 4), np.nan))).all()
            assert sys.getsizeof(forest) <= limit
    batch = IsolationMondrianForest(10, random_state=0, score="insertion").fit(X)
    batch.score_samples(np.full((1, 4), np.nan))
    assert batch.forest_.nbytes <= batch.forest_.layout._replace(boxes=True).size(256, 2560)


def test_complete_rows_keep_no_means():
    model = OnlineIsolationMondrianForest(12, seed=0)
    model.learn_many(np.random.default_rng(0).normal(size=(300, 3)))
    before = sys.getsizeof(model)
    model.score_many(np.zeros((40, 3)))
    assert model._model.forest._view.means_held == 0 and sys.getsizeof(model) == before
