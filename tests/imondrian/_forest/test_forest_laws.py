"""Batch, streamed and inserted-then-deleted trees over the same points share one distribution.

Every native forest here is a sample of thousands of independent trees over the same few points. Their
statistics are compared with exact laws where those are known, with trees of the slow reference, and
with each other. Seeds are fixed, so each test passes or fails for good; the last tests show that laws
which are wrong in one place are rejected by the same comparisons.
"""

import math

import numpy as np
import pytest
from cases.forest_cases import empty, states
from reference import forest_reference as slow
from scipy import stats

from imondrian._forest.forest import SLIDING, Forest

N_TREES = 4000
ACCEPT, REJECT = 1e-3, 1e-6  # p-values: above the first is the law, below the second is surely not
CONTINUOUS = ("threshold", "time")
DISCRETE = ("feature", "split", "first_depth", "last_depth", "total_depth")

# Uneven sides, a repeated point, shared coordinates, an inner point and extreme ones.
POINTS = [(0.0, 0.0), (1.0, 0.3), (0.4, 0.1), (3.0, 0.2), (1.0, 1.0), (0.4, 0.1), (2.0, 0.6)]
EXTRAS = [(-2.0, 0.5), (1.2, 4.0), (0.4, 0.1), (0.5, 0.2), (3.0, -1.0)]


def columns_of(samples):
    return {name: np.array([sample[name] for sample in samples]) for name in samples[0]}


def native_sample(forest, points=POINTS):
    return columns_of([slow.native_statistics(forest.columns, t, points) for t in range(forest.n_trees)])


def reference_sample(grow, points=POINTS, n=N_TREES, tree=slow.MondrianTree):
    return columns_of([slow.reference_statistics(grow(tree(seed)), points) for seed in range(n)])


def batch(seed=0, points=POINTS):
    X = np.array(points)
    return Forest.build(X, None, states(seed, N_TREES), len(X))


def streamed(order, seed=1, points=POINTS):
    forest = empty(len(points[0]), seed=seed, n_trees=N_TREES)
    forest.learn(np.array(points)[order])
    return forest


def p_values(a, b):
    """Two-sample p-values by statistic: Kolmogorov-Smirnov, or chi-square over pooled rare values."""
    found = {name: stats.ks_2samp(a[name], b[name]).pvalue for name in CONTINUOUS}
    for name in DISCRETE:
        values = np.unique(np.concatenate([a[name], b[name]]))
        table = np.array([[np.sum(side[name] == value) for value in values] for side in (a, b)])
        rare = table.sum(axis=0) < 20
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
        table = table[:, table.sum(axis=0) > 0]
        found[name] = stats.chi2_contingency(table).pvalue if table.shape[1] > 1 else 1.0
    return found


def assert_one_law(a, b):
    found = p_values(a, b)
    assert min(found.values()) > ACCEPT, found


@pytest.fixture(scope="module")
def reference():
    return reference_sample(lambda tree: tree.build(POINTS))


@pytest.fixture(scope="module")
def native_batch():
    return native_sample(batch())


# -- exact laws ----------------------------------------------------------------------------------------


def test_the_root_of_a_batch_tree_follows_the_formulas(native_batch):
    assert_root_law(native_batch)


def test_the_root_of_a_streamed_tree_follows_the_formulas():
    assert_root_law(native_sample(streamed([3, 0, 5, 4, 2, 6, 1])))


def assert_root_law(sample):
    lower, upper = np.min(POINTS, axis=0), np.max(POINTS, axis=0)
    sides = upper - lower
    assert stats.kstest(sample["time"], "expon", args=(0, 1 / sides.sum())).pvalue > ACCEPT
    counts = np.bincount(sample["feature"], minlength=2)
    assert stats.chisquare(counts, sides / sides.sum() * N_TREES).pvalue > ACCEPT
    for feature, side in enumerate(sides):
        thresholds = sample["threshold"][sample["feature"] == feature]
        assert stats.kstest(thresholds, "uniform", args=(lower[feature], side)).pvalue > ACCEPT
    # Given the cut, its time is independent of it.
    early = sample["time"][sample["feature"] == 0], sample["time"][sample["feature"] == 1]
    assert stats.ks_2samp(*early).pvalue > ACCEPT


def test_two_points_in_one_dimension_have_a_tree_written_on_paper():
    """Three points on a line: the middle one shares its leaf's parent with the nearer one, by lengths."""
    points = [(0.0,), (1.0,), (4.0,)]
    for forest in (batch(points=points), streamed([0, 2, 1], points=points), streamed([2, 1, 0], points=points)):
        first_alone = np.mean(native_sample(forest, points)["first_depth"] == 1)
        assert stats.binomtest(int(first_alone * N_TREES), N_TREES, 1 / 4).pvalue > ACCEPT


# -- one law, four ways to get there ---------------------------------------------------------------------


def test_batch_trees_match_the_reference(native_batch, reference):
    assert_one_law(native_batch, reference)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6], [3, 4, 6, 5, 1, 2, 0], [2, 5, 0, 6, 1, 4, 3]])
def test_streamed_trees_match_batch_trees_and_the_reference(order, native_batch, reference):
    sample = native_sample(streamed(order))
    assert_one_law(sample, native_batch)
    assert_one_law(sample, reference)


def test_float32_trees_match_the_reference(reference):
    X = np.array(POINTS, dtype=np.float32)
    points = [tuple(row) for row in X.tolist()]
    forest = empty(2, dtype=np.float32, n_trees=N_TREES)
    forest.learn(X)
    assert_one_law(native_sample(forest, points), reference)
    assert_one_law(native_sample(Forest.build(X, None, states(3, N_TREES), len(X)), points), reference)


def test_the_reference_extends_and_restricts_by_its_own_law(reference):
    def extend(tree):
        for x in POINTS + EXTRAS:
            tree.insert(x)
        for x in EXTRAS:
            tree.remove(x)
        return tree

    assert_one_law(reference_sample(extend), reference)


def test_a_batch_tree_extended_by_a_stream_matches_a_batch_tree(native_batch):
    forest = Forest.build(np.array(POINTS[:4]), None, states(5, N_TREES), 4)
    forest.learn(np.array(POINTS[4:]))
    assert_one_law(native_sample(forest), native_batch)


@pytest.mark.parametrize("extras_first", [False, True])
def test_forgotten_points_leave_the_law_of_the_survivors(extras_first, native_batch, reference):
    forest = empty(2, seed=7, n_trees=N_TREES)
    for points in [EXTRAS, POINTS] if extras_first else [POINTS, EXTRAS]:
        forest.learn(np.array(points))
    assert (forest.forget(np.array(EXTRAS)) == N_TREES).all()
    forest.check()
    assert_one_law(native_sample(forest), native_batch)
    assert_one_law(native_sample(forest), reference)


def test_forgetting_from_a_batch_tree_leaves_the_law_of_the_survivors(native_batch):
    forest = batch(seed=8, points=POINTS + EXTRAS)
    forest.forget(np.array(EXTRAS))
    assert_one_law(native_sample(forest), native_batch)


def test_forgotten_and_learnt_again(native_batch):
    """Boxes and times that a removal left wrong would show in what is learnt after it."""
    forest = batch(seed=9, points=POINTS + EXTRAS)
    forest.forget(np.array(EXTRAS + POINTS[2:5]))
    forest.learn(np.array(POINTS[2:5]))
    assert_one_law(native_sample(forest), native_batch)


@pytest.mark.parametrize("laps", [1, 5])
def test_a_sliding_window_has_the_law_of_its_points(laps, native_batch):
    forest = empty(2, seed=10 + laps, n_trees=N_TREES, capacity=len(POINTS), memory=SLIDING)
    forest.learn(np.array((EXTRAS + POINTS) * laps))
    forest.check()
    assert_one_law(native_sample(forest), native_batch)


def test_a_point_learnt_with_weight_has_the_law_of_copies(native_batch):
    distinct = sorted(set(POINTS))
    weight = np.array([float(POINTS.count(x)) for x in distinct])
    forest = empty(2, seed=12, n_trees=N_TREES)
    forest.learn(np.array(distinct), weight)
    assert_one_law(native_sample(forest), native_batch)


def test_trees_of_one_forest_are_independent(native_batch):
    for name in ("time", "total_depth"):
        sample = native_batch[name]
        assert abs(np.corrcoef(sample[:-1], sample[1:])[0, 1]) < 4 / math.sqrt(N_TREES)


def test_subsamples_take_every_row_and_pair_alike():
    X = np.arange(12.0)[:, None]
    for n_sample in (1, 3, 11):
        forest = Forest.build(X, None, states(13, 3000), n_sample)
        held = np.zeros((3000, 12))
        for t in range(3000):
            held[t, X[forest.columns["leaf_point"][t, :n_sample], 0].astype(int)] = 1
        assert (held.sum(axis=1) == n_sample).all()
        expected = np.full(12, 3000 * n_sample / 12)
        assert stats.chisquare(held.sum(axis=0), expected).pvalue > ACCEPT
        if 1 < n_sample < 11:
            pairs = (held.T @ held)[np.triu_indices(12, 1)]
            assert stats.chisquare(pairs, np.full(66, pairs.sum() / 66)).pvalue > ACCEPT


# -- wrong laws are rejected ---------------------------------------------------------------------------


class EvenFeatures(slow.MondrianTree):
    def draw_feature(self, sides):
        return self.random.choice([j for j, side in enumerate(sides) if side > 0])


class ForgetsTheParentsTime(slow.MondrianTree):
    def lifetime(self, node):
        return node.time


class LeavesBoxesLoose(slow.MondrianTree):
    def tighten(self, node):
        pass


def test_a_wrong_choice_of_feature_is_rejected(native_batch):
    sample = reference_sample(lambda tree: tree.build(POINTS), tree=EvenFeatures)
    assert p_values(sample, native_batch)["feature"] < REJECT


def test_a_wrong_lifetime_in_the_extension_is_rejected(native_batch):
    def grow(tree):
        for x in POINTS:
            tree.insert(x)
        return tree

    found = p_values(reference_sample(grow, tree=ForgetsTheParentsTime), native_batch)
    assert min(found.values()) < REJECT, found


def test_boxes_left_loose_by_a_removal_are_rejected(native_batch):
    def grow(tree):
        tree.build(POINTS + EXTRAS)
        for x in EXTRAS + POINTS[2:5]:
            tree.remove(x)
        for x in POINTS[2:5]:
            tree.insert(x)
        return tree

    found = p_values(reference_sample(grow, tree=LeavesBoxesLoose), native_batch)
    assert min(found.values()) < REJECT, found


def test_one_point_too_few_is_rejected(native_batch):
    sample = reference_sample(lambda tree: tree.build(POINTS[:-1]))
    assert min(p_values(sample, native_batch).values()) < REJECT


def test_rescaled_cut_times_are_rejected(native_batch):
    wrong = native_batch | {"time": native_batch["time"] * 1.25}
    assert p_values(wrong, native_batch)["time"] < REJECT
