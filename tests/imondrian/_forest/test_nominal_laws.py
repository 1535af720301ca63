"""Trees over nominal features have the law of trees over the bits of their words: in batch, extended, restricted.

As in ``test_forest_laws.py``, a forest is a sample of thousands of independent trees over the same few points. The
reference grows trees of numbers over the bits (``nominal_reference.py``); expansions that are no words are rejected.
"""

import numpy as np
import pytest
from cases.forest_cases import states
from reference import forest_reference as slow
from reference.nominal_reference import Expansion, set_bits, words
from scipy import stats

from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest

N_TREES, N_REFERENCE = 3000, 800
ACCEPT, REJECT = 1e-3, 1e-6
WEIGHT = 2.5
NOMINAL = np.array([False, True, True])
NUMBERS = [0.0, 1.0, 0.4, 1.6, 1.0, 0.4, 2.0]
SITES, STATES = list("abacbae"), list("uuvuvuu")  # a repeated point, shared levels, levels of one point
EXTRA_NUMBERS, EXTRA_SITES, EXTRA_STATES = [-1.0, 1.2, 0.4, 0.5], list("fbac"), list("uwuv")
EXPANSION = Expansion(NOMINAL, np.float64)
RATE = [1.0, WEIGHT / 62, WEIGHT / 62]


def table(numbers, sites, states_, dtype=np.float64):
    """Rows of a number and two words; a level has its word wherever it comes."""
    n = len(NUMBERS)
    all_sites, all_states = words(SITES + EXTRA_SITES, 1, dtype), words(STATES + EXTRA_STATES, 2, dtype)
    sites_of = dict(zip(SITES + EXTRA_SITES, all_sites, strict=True))
    states_of = dict(zip(STATES + EXTRA_STATES, all_states, strict=True))
    assert len(all_sites) > n
    rows = np.empty((len(numbers), 3), dtype)
    rows[:, 0] = numbers
    rows[:, 1] = [sites_of[level] for level in sites]
    rows[:, 2] = [states_of[level] for level in states_]
    return rows


POINTS = table(NUMBERS, SITES, STATES)
EXTRAS = table(EXTRA_NUMBERS, EXTRA_SITES, EXTRA_STATES)


def forest_of(X, seed, **options):
    return Forest.build(X, None, states(seed, N_TREES), len(X), nominal=NOMINAL, nominal_weight=WEIGHT, **options)


def stream_of(seed, memory=UNBOUNDED, points=None, dtype=np.float64):
    return Forest.for_stream(
        3, dtype, states(seed, N_TREES), memory, points, 0.0, nominal=NOMINAL, nominal_weight=WEIGHT
    )


def native_sample(forest, points=POINTS, expansion=EXPANSION):
    forest.check()
    columns, rows = expansion.columns(forest.columns), expansion.rows(points).tolist()
    return _columns([slow.native_statistics(columns, t, rows) for t in range(forest.n_trees)], expansion)


def reference_sample(grow, points, tree=slow.MondrianTree, expansion=EXPANSION):
    return _columns([slow.reference_statistics(grow(tree(seed)), points) for seed in range(N_REFERENCE)], expansion)


def _columns(samples, expansion):
    found = {name: np.array([sample[name] for sample in samples]) for name in samples[0]}
    found["feature"] = expansion.of[found["feature"]]
    del found["threshold"]
    return found


def p_values(a, b):
    found = {"time": stats.ks_2samp(a["time"], b["time"]).pvalue}
    for name in ("feature", "split", "first_depth", "last_depth", "total_depth"):
        values = np.unique(np.concatenate([a[name], b[name]]))
        counts = np.array([[np.sum(side[name] == value) for value in values] for side in (a, b)])
        rare = counts.sum(axis=0) < 20
        counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
        counts = counts[:, counts.sum(axis=0) > 0]
        found[name] = stats.chi2_contingency(counts).pvalue if counts.shape[1] > 1 else 1.0
    return found


def assert_one_law(a, b):
    found = p_values(a, b)
    assert min(found.values()) > ACCEPT, found


@pytest.fixture(scope="module")
def reference():
    points = EXPANSION.scaled_points(POINTS, RATE)
    return reference_sample(lambda tree: tree.build(points), points)


@pytest.fixture(scope="module")
def native_batch():
    return native_sample(forest_of(POINTS, 0))


# -- exact laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 2, 3, 5, 9])
def test_the_side_of_a_box_of_m_levels_is_as_long_as_expected(m, dtype):
    """mu (1 - 2 ** (1 - m)), over the hashes: here of 400 columns, each of its own."""
    d = 400
    X = np.column_stack([words(range(m), seed, dtype) for seed in range(d)])
    forest = Forest.build(X, None, states(0, 1), m, nominal=np.ones(d, bool))
    bits = 62 if dtype == np.float64 else 30
    if m == 1:
        assert forest.columns["header"][0, 0] < 0  # one level: nothing is left to cut
        return
    root = forest.columns["header"][0, 0]
    sides = [
        set_bits(low, high, dtype) / bits
        for low, high in zip(forest.columns["lower"][0, root, :d], forest.columns["upper"][0, root, :d], strict=True)
    ]
    share = 1 - 2.0 ** (1 - m)
    assert abs(np.mean(sides) - share) < 4 * np.sqrt(share * (1 - share) / (bits * d))


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_the_first_cut_comes_when_the_sides_say(weight):
    X = words(list("abcd"))[:, None]
    forest = Forest.build(X, None, states(1, N_TREES), 4, nominal=np.ones(1, bool), nominal_weight=weight)
    raw = np.unique(X.view(np.uint64)).tolist()
    differing = bin((raw[0] | raw[1] | raw[2] | raw[3]) & ~(raw[0] & raw[1] & raw[2] & raw[3])).count("1")
    rate = weight * differing / 62
    roots = forest.columns["header"][:, 0]
    times = forest.columns["time"][np.arange(N_TREES), roots]
    assert stats.kstest(times, "expon", args=(0, 1 / rate)).pvalue > ACCEPT
    assert stats.kstest(times, "expon", args=(0, 1.25 / rate)).pvalue < REJECT
    cut = np.bincount(forest.columns["threshold"][np.arange(N_TREES), roots].astype(int), minlength=64)
    assert np.count_nonzero(cut) == differing
    assert stats.chisquare(cut[cut > 0]).pvalue > ACCEPT


def test_units_follow_from_the_shares_of_levels():
    """6 * 4 G (1 - G), G the chance that two points differ; of one level, as if a point of another had come."""
    levels = [["a"] * 8, list("aaaabbbb"), list("abcdefgh"), list("aaaaaaab")]
    X = np.column_stack([words(column, seed) for seed, column in enumerate(levels)])
    forest = Forest.build(X, None, states(0, 2), 8, scaled=True, nominal=np.ones(4, bool), nominal_weight=0.5)
    unlike = np.array([2 * 8 / 81, 1 / 2, 7 / 8, 14 / 64])
    length = forest.columns["bit_rate"][:, :4] * 62
    np.testing.assert_allclose(length, np.tile(0.5 * 6 * 4 * unlike * (1 - unlike), (2, 1)), rtol=1e-12)
    assert (forest.columns["rate"] == 0).all()


def test_units_of_weighted_points_are_those_of_copies():
    X, weight = words(list("abc"))[:, None], np.array([3.0, 1.0, 2.0])
    copies = np.repeat(X, weight.astype(int), axis=0)
    kinds = {"scaled": True, "nominal": np.ones(1, bool)}
    a = Forest.build(X, weight, states(0, 2), 3, **kinds)
    b = Forest.build(copies, None, states(0, 2), 6, **kinds)
    assert np.array_equal(a.columns["bit_rate"], b.columns["bit_rate"])


# -- one law, four ways to get there ---------------------------------------------------------------------


def test_batch_trees_match_the_reference(native_batch, reference):
    assert_one_law(native_batch, reference)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6], [3, 4, 6, 5, 1, 2, 0]])
def test_streamed_trees_match_batch_trees_and_the_reference(order, native_batch, reference):
    forest = stream_of(2)
    forest.learn(POINTS[order])
    sample = native_sample(forest)
    assert_one_law(sample, native_batch)
    assert_one_law(sample, reference)


def test_float32_trees_match_the_reference():
    X, expansion = table(NUMBERS, SITES, STATES, np.float32), Expansion(NOMINAL, np.float32)
    points = expansion.scaled_points(X, [1.0, WEIGHT / 30, WEIGHT / 30])
    reference = reference_sample(lambda tree: tree.build(points), points, expansion=expansion)
    streamed = stream_of(4, dtype=np.float32)
    streamed.learn(X[::-1].copy())
    for forest in (forest_of(X, 3), streamed):
        assert_one_law(native_sample(forest, X, expansion), reference)


def test_a_batch_tree_extended_by_a_stream_matches_a_batch_tree(native_batch):
    forest = forest_of(POINTS[:4], 5)
    forest.learn(POINTS[4:])
    assert_one_law(native_sample(forest), native_batch)


@pytest.mark.parametrize("extras_first", [False, True])
def test_forgotten_points_leave_the_law_of_the_survivors(extras_first, native_batch, reference):
    forest = stream_of(7)
    for points in [EXTRAS, POINTS] if extras_first else [POINTS, EXTRAS]:
        forest.learn(points)
    assert (forest.forget(EXTRAS) == N_TREES).all()
    sample = native_sample(forest)
    assert_one_law(sample, native_batch)
    assert_one_law(sample, reference)


def test_forgotten_and_learnt_again(native_batch):
    """Boxes and times that a removal left wrong would show in what is learnt after it."""
    forest = forest_of(np.concatenate([POINTS, EXTRAS]), 9)
    forest.forget(np.concatenate([EXTRAS, POINTS[2:5]]))
    forest.check()
    forest.learn(POINTS[2:5])
    assert_one_law(native_sample(forest), native_batch)


@pytest.mark.parametrize("memory", [SLIDING, RESERVOIR])
def test_windows_have_the_law_of_their_points(memory, native_batch):
    forest = stream_of(10, memory, len(POINTS))
    if memory == SLIDING:
        forest.learn(np.concatenate([EXTRAS, POINTS] * 3))
    else:
        forest.learn(POINTS)
    assert_one_law(native_sample(forest), native_batch)


def test_a_point_learnt_with_weight_has_the_law_of_copies(native_batch):
    distinct, count = np.unique(POINTS.view(np.uint64), axis=0, return_counts=True)
    forest = stream_of(12)
    forest.learn(np.ascontiguousarray(distinct).view(np.float64), count.astype(float))
    assert_one_law(native_sample(forest), native_batch)


# -- wrong laws are rejected ---------------------------------------------------------------------------


def rejected(points, of, native):
    """The least p-value against trees over other coordinates, each of which belongs to the feature ``of`` it."""
    expansion = Expansion(NOMINAL, np.float64)
    expansion.of = np.asarray(of)
    sample = reference_sample(lambda tree: tree.build(points), points, expansion=expansion)
    return min(p_values(sample, native).values())


def test_one_hot_codes_are_rejected(native_batch):
    """A length that does not saturate as levels come."""
    points, of = [], [0]
    for column, levels in enumerate((SITES, STATES), 1):
        of += [column] * len(set(levels))
    for number, site, state in zip(NUMBERS, SITES, STATES, strict=True):
        hot = [float(site == level) for level in sorted(set(SITES))]
        hot += [float(state == level) for level in sorted(set(STATES))]
        points.append((number, *(WEIGHT / 4 * flag for flag in hot)))
    assert rejected(points, of, native_batch) < REJECT


def test_ordinal_codes_are_rejected(native_batch):
    points = [
        (number, WEIGHT / 4 * "abce".index(site), WEIGHT / 4 * "uv".index(state))
        for number, site, state in zip(NUMBERS, SITES, STATES, strict=True)
    ]
    assert rejected(points, [0, 1, 2], native_batch) < REJECT


def test_another_weight_is_rejected(native_batch):
    points = EXPANSION.scaled_points(POINTS, [1.0, 2.0 * RATE[1], 2.0 * RATE[2]])
    assert rejected(points, EXPANSION.of, native_batch) < REJECT


def test_boxes_left_loose_by_a_removal_are_rejected(native_batch):
    class LeavesBoxesLoose(slow.MondrianTree):
        def tighten(self, node):
            pass

    points = EXPANSION.scaled_points(POINTS, RATE)
    extras = EXPANSION.scaled_points(EXTRAS, RATE)

    def grow(tree):
        tree.build(points + extras)
        for x in extras + points[2:5]:
            tree.remove(x)
        for x in points[2:5]:
            tree.insert(x)
        return tree

    sample = reference_sample(grow, points, LeavesBoxesLoose)
    assert min(p_values(sample, native_batch).values()) < REJECT
