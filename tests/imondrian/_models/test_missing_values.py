"""Missing values: what they mean in building, inserting and scoring, in both public classes."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
from cases.forest_cases import empty, states
from numpy.testing import assert_allclose, assert_array_equal
from reference import forest_reference as slow
from scipy import stats
from sklearn.utils import get_tags
from test_forest_laws import ACCEPT, columns_of, p_values

from imondrian import IsolationMondrianForest, _core
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest
from imondrian.river import OnlineIsolationMondrianForest

NAN = math.nan
SMALL = {"n_estimators": 12, "random_state": 0}
SCORES = ["depth", "insertion"]
WINDOWS = [None, 40, "reservoir", "decayed", "thinned"]
MEMORIES = [UNBOUNDED, SLIDING, RESERVOIR]


def holed(n, d, share=0.3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(dtype)
    X[rng.random(X.shape) < share] = np.nan
    return X


# -- scores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("grown", ["built", "streamed"])
@pytest.mark.parametrize("d", [1, 3, 9])
def test_scores_match_the_slow_walk_that_goes_both_ways(d, grown, scaled, dtype):
    X = holed(60, d, seed=d, dtype=dtype)
    if grown == "built":
        forest = Forest.build(X, None, states(d, 3), 60, scaled=scaled)
    else:
        forest = empty(d, dtype=dtype, seed=d, n_trees=3, scaled=scaled)
        forest.learn(X)
    forest.check()
    Q = np.concatenate([holed(120, d, seed=50, dtype=dtype) * 2, np.full((1, d), np.nan, dtype), X[:9]])
    tolerance = 1e-11 if dtype == np.float64 else 2e-5
    for n in (1, 63, 64, 130):
        rows = np.ascontiguousarray(Q[-n:])
        for score in SCORES:
            depth, _ = forest.depths(rows, score)
            assert_allclose(depth, slow.mean_depths(forest.columns, rows.tolist(), score), rtol=tolerance)


def test_a_row_of_nothing_but_missing_values_has_the_mean_depth():
    X = np.random.default_rng(0).normal(size=(100, 3))
    forest = Forest.build(X, None, states(0, 5), 100)
    expected = forest.depths(X, "depth")[0].mean()
    for score in SCORES:  # at distance 0 from every box, inserting it would change nothing either
        assert forest.depths(np.full((1, 3), np.nan), score)[0][0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("score", SCORES)
def test_full_rows_score_alike_beside_rows_with_holes(score):
    X, Q = holed(200, 4), np.random.default_rng(1).normal(size=(150, 4))
    forest = IsolationMondrianForest(**SMALL, score=score).fit(X)
    alone = forest.score_samples(Q)
    mixed = np.insert(Q, 30, np.nan, axis=0)
    assert_array_equal(np.delete(forest.score_samples(mixed), 30), alone)
    assert_array_equal([forest.score_samples(row[None])[0] for row in mixed[:40]], forest.score_samples(mixed)[:40])


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("score", SCORES)
def test_scoring_while_learning_is_scoring_before_it(score, memory):
    X = holed(150, 3, seed=2)
    together, apart = (empty(3, capacity=30, memory=memory, n_trees=9, scaled=True) for _ in range(2))
    scores = together.learn(X, score=score)
    for i in range(len(X)):
        assert apart.scores(X[i : i + 1], score)[0] == pytest.approx(scores[i], rel=1e-12)
        apart.learn(X[i : i + 1])


# -- building and inserting ------------------------------------------------------------------------------

N_TREES = 3000
POINTS = [(0.0, 0.0), (1.0, NAN), (NAN, 0.1), (3.0, 0.2), (1.0, 1.0), (0.4, 0.1), (NAN, NAN), (2.0, 0.6), (3.5, NAN)]


def native_sample(forest):
    full = [x for x in POINTS if not any(map(math.isnan, x))]
    return columns_of([slow.native_statistics(forest.columns, t, full) for t in range(forest.n_trees)])


def reference_sample(grow):
    full = [x for x in POINTS if not any(map(math.isnan, x))]
    return columns_of([slow.reference_statistics(grow(slow.MondrianTree(seed)), full) for seed in range(N_TREES)])


def masses(forest, t):
    """Mass and point of every leaf."""
    c = forest.columns
    return sorted(
        (str(c["points"][c["leaf_point"][t, s], :2].tolist()), float(c["leaf_mass"][t, s]))
        for s in range(c["header"][t, 5])
        if c["leaf_point"][t, s] >= 0
    )


def reference_masses(tree):
    found, nodes = [], [tree.root]
    while nodes:
        node = nodes.pop()
        if node.is_leaf:
            found.append((str(list(node.lower)), float(node.count)))
        else:
            nodes += [node.left, node.right]
    return sorted(found)


def shares(samples):
    """How often each way to share the points among leaves occurs."""
    names, counts = np.unique([str(sample) for sample in samples], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def assert_same_shares(a, b):
    a, b = shares(a), shares(b)
    names = sorted(set(a) | set(b))
    table = np.array([[side.get(name, 0) for name in names] for side in (a, b)])
    rare = table.sum(axis=0) < 20
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    assert table.shape[1] > 1 and stats.chi2_contingency(table).pvalue > ACCEPT


def test_built_trees_match_the_reference():
    forest = Forest.build(np.array(POINTS), None, states(0, N_TREES), len(POINTS))
    forest.check()
    found = p_values(native_sample(forest), reference_sample(lambda tree: tree.build(POINTS)))
    assert min(found.values()) > ACCEPT, found
    assert_same_shares(
        [masses(forest, t) for t in range(N_TREES)],
        [reference_masses(slow.MondrianTree(seed).build(POINTS)) for seed in range(N_TREES)],
    )


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6, 7, 8], [6, 1, 8, 2, 5, 4, 3, 7, 0]])
def test_streamed_trees_match_the_reference(order):
    def grow(tree):
        for i in order:
            tree.insert(POINTS[i])
        return tree

    forest = empty(2, n_trees=N_TREES, seed=1)
    forest.learn(np.array(POINTS)[order])
    forest.check()
    found = p_values(native_sample(forest), reference_sample(grow))
    assert min(found.values()) > ACCEPT, found
    assert_same_shares(
        [masses(forest, t) for t in range(N_TREES)],
        [reference_masses(grow(slow.MondrianTree(seed))) for seed in range(N_TREES)],
    )


def test_rows_follow_the_side_where_most_values_are():
    """One cut is certain: between 0 and 1. The row without that value goes with three against two."""
    for values, goes_with in (([0.0, 0.0, 1.0, 1.0, 1.0], 1.0), ([0.0, 0.0, 0.0, 1.0, 1.0], 0.0), ([0.0, 1.0], 0.0)):
        X = np.array([[v] for v in values] + [[np.nan]])
        streamed = empty(1, n_trees=4)
        streamed.learn(X)
        for forest in (Forest.build(X, None, states(0, 4), len(X)), streamed):
            for t in range(4):
                held = {
                    forest.columns["points"][forest.columns["leaf_point"][t, s], 0]: forest.columns["leaf_mass"][t, s]
                    for s in range(2)
                }
                assert held[goes_with] == values.count(goes_with) + 1
                assert held[1 - goes_with] == values.count(1 - goes_with)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_first_row_of_missing_values_swallows_nothing(scaled):
    rng = np.random.default_rng(0)
    X = np.concatenate([np.full((2, 3), np.nan), [[1.0, np.nan, np.nan]], rng.normal(size=(40, 3))])
    for memory in MEMORIES:
        forest = empty(3, capacity=60, memory=memory, n_trees=3, scaled=scaled)
        for row in X:
            forest.learn(row[None])
            forest.check()
        assert (forest.n_leaves >= 40).all() and forest.mass == 43


@pytest.mark.parametrize("window", WINDOWS)
def test_columns_and_rows_without_any_value(window):
    X = holed(120, 4, share=0.1)
    X[:, 2] = np.nan
    X[::17] = np.nan
    without = np.delete(X, 2, axis=1)
    for learn in ("fit", "partial_fit"):
        forest, narrow = (IsolationMondrianForest(**SMALL, window=window) for _ in range(2))
        scores = getattr(forest, learn)(X).score_samples(X)
        assert np.isfinite(scores).all()
        forest.forest_.check()
        assert_allclose(scores, getattr(narrow, learn)(without).score_samples(without), rtol=1e-13)
    nothing = IsolationMondrianForest(**SMALL, window=window).fit(np.full((5, 2), np.nan))
    assert (nothing.score_samples(np.full((3, 2), np.nan)) < 0).all()
    nothing.partial_fit(np.random.default_rng(0).normal(size=(30, 2)))
    nothing.forest_.check()
    assert (nothing.forest_.n_leaves >= 29).all()


def test_neither_order_nor_copies_matter_to_fit():
    X = holed(150, 3, share=0.5, seed=3)
    X[::4] = np.round(X[::4])
    weight = np.random.default_rng(0).integers(1, 4, 150)
    weighted = IsolationMondrianForest(**SMALL, max_samples=1.0).fit(X, sample_weight=weight)
    copies = np.repeat(X, weight, axis=0)
    for order in (slice(None), slice(None, None, -1), np.random.default_rng(1).permutation(len(copies))):
        other = IsolationMondrianForest(**SMALL, max_samples=1.0).fit(copies[order])
        for score in SCORES:
            weighted.set_params(score=score)
            other.set_params(score=score)
            assert_array_equal(other.score_samples(X), weighted.score_samples(X))


@pytest.mark.parametrize("score", [*SCORES, "spacing"])
def test_rows_without_any_value_are_scored_once(score, monkeypatch):
    forest = IsolationMondrianForest(**SMALL, score=score).fit(holed(200, 3, share=0.2)).forest_
    X = holed(90, 3, share=0.3, seed=5)
    X[10:80] = np.nan
    one_by_one = [forest.depths(row[None], score)[0][0] for row in X]
    asked, real = [], _core.score
    monkeypatch.setattr(_core, "score", lambda view, rows, *rest: asked.append(len(rows)) or real(view, rows, *rest))
    assert_array_equal(forest.depths(X, score)[0], one_by_one)
    n_told = len(X) - int(np.isnan(X).all(axis=1).sum())
    assert asked == [n_told]  # nothing has changed since it was asked for one
    asked.clear()
    fresh = copy.deepcopy(forest)
    assert_array_equal(fresh.depths(X, score)[0], one_by_one)
    assert sorted(asked) == [1, n_told]


@pytest.mark.parametrize("window", WINDOWS)
def test_chunks_and_threads_change_nothing(window):
    X = holed(900, 4, share=0.4, seed=4)
    whole = IsolationMondrianForest(**SMALL, window=window).partial_fit(X)
    parts = IsolationMondrianForest(**SMALL, window=window, n_jobs=3)
    for begin in range(0, 900, 130):
        parts.partial_fit(X[begin : begin + 130])
    for score in SCORES:
        parts.set_params(score=score)
        assert_array_equal(parts.score_samples(X), whole.set_params(score=score).score_samples(X))


# -- the public classes ----------------------------------------------------------------------------------


def test_the_estimator_says_that_it_takes_missing_values():
    assert get_tags(IsolationMondrianForest()).input_tags.allow_nan


def test_tables_with_gaps():
    frame = pd.DataFrame(holed(100, 2), columns=["a", "b"])
    nullable = frame.convert_dtypes()
    assert nullable["a"].isna().any()
    forest = IsolationMondrianForest(**SMALL).fit(frame)
    assert_array_equal(forest.score_samples(nullable), forest.score_samples(frame))
    assert set(forest.predict(frame)) <= {-1, 1}


def test_anomalies_show_through_gaps():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 6))
    X[:20] = rng.choice([-6.0, 6.0], size=(20, 6))
    X[rng.random(X.shape) < 0.3] = np.nan
    scores = IsolationMondrianForest(random_state=0).fit(X).score_samples(X)
    assert np.mean(scores[:20, None] < scores[None, 20:]) > 0.95


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("window", WINDOWS)
def test_both_classes_mean_the_same_by_missing(window, score):
    X = holed(300, 3, seed=5)
    fitted = IsolationMondrianForest(**SMALL, window=window, score=score).fit(X[:200])
    model = OnlineIsolationMondrianForest.from_estimator(fitted)
    for row in X[200:]:
        model.learn_one({j: value for j, value in enumerate(row.tolist()) if not math.isnan(value)})
    fitted.partial_fit(X[200:])
    expected = -fitted.score_samples(X[:60])
    assert_array_equal(model.score_many(X[:60]), expected)
    assert_array_equal(
        [
            model.score_one({j: None if math.isnan(value) else value for j, value in enumerate(row)})
            for row in X[:60].tolist()
        ],
        expected,
    )
