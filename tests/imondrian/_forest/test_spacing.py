"""The spacing score: against a slow reference, in batch and on streams, and what it promises."""

import math
import pickle
import warnings

import numpy as np
import pytest
from cases.forest_cases import CASES, case, queries, states
from numpy.testing import assert_allclose, assert_array_equal
from reference import forest_reference as slow_depth
from reference import spacing_reference as slow

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest
from imondrian.river import OnlineIsolationMondrianForest

DTYPES = [np.float64, np.float32]
MEMORIES = [
    (UNBOUNDED, None, 0.0),
    (SLIDING, 40, 0.0),
    (SLIDING, 40, 0.05),
    (RESERVOIR, 40, 0.0),
    (RESERVOIR, 40, 0.02),
]
WINDOWS = [None, 64, "thinned", "reservoir", "decayed"]
REPEATING = ("duplicates", "lattice", "neighbours", "one_point")
SMALL = {"n_estimators": 10, "random_state": 0}


def built(X, n_trees=3, *, n_sample=None, seed=0, scaled=True, weight=None):
    return Forest.build(X, weight, states(seed, n_trees), n_sample or len(X), scaled=scaled, boxes=False, spaced=True)


def streamed(d, memory, *, n_trees=11, dtype=np.float64, scaled=True, seed=0):
    return Forest.for_stream(d, dtype, states(seed, n_trees), *memory, scaled=scaled, spaced=True)


def usual(forest):
    """What the forest remembers of recent spacings."""
    n, held = forest.columns["recent"][0, :2].astype(int)
    return forest.columns["recent"][0, 2:514][(n - 1 - np.arange(held)) % 512]


def holed(X, share, seed=0):
    X = X.copy()
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return X


def assert_scores_match(forest, Q):
    tolerance = 1e-9 if forest.dtype == np.float64 else 2e-5
    expected = [slow.excess(slow.mean_spacing(forest.columns, x), usual(forest)) for x in Q.tolist()]
    assert_allclose(forest.depths(Q, "spacing")[0], expected, rtol=tolerance, atol=tolerance)
    scores = [1.0 / (1.0 + 4.0 ** -min(max(e, -400.0), 400.0)) for e in expected]
    assert_allclose(forest.scores(Q, "spacing"), scores, rtol=tolerance, atol=tolerance)


# -- batch, against the reference ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 4, 5, 6, 8, 9, 17])
def test_every_width_matches_the_slow_walk(d, dtype):
    X = case("normal", 70, d, seed=d, dtype=dtype)
    forest = built(X, n_trees=4)
    forest.check()
    Q = np.ascontiguousarray(np.concatenate([queries(X, 60), holed(queries(X, 12), 0.3)]))
    assert_scores_match(forest, Q)
    assert_array_equal(np.tile(forest.scores(Q, "spacing"), 5), forest.scores(np.tile(Q, (5, 1)), "spacing"))


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("d", [1, 3, 7])
def test_awkward_data_matches_the_slow_walk(name, d, scaled):
    X = case(name, 60, d, seed=3)
    forest = built(X, scaled=scaled)
    forest.check()
    assert_scores_match(forest, queries(X, 40))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("n_sample", "d"), [(None, 3), (30, 3), (30, 8)])
def test_flags_are_the_shallowest_fifth(name, n_sample, d):
    X = case(name, 90, d, seed=5)
    forest = built(X, n_trees=5, n_sample=n_sample)
    columns = forest.columns
    flagged, held = slow.flagged_points(columns, d), slow.holdings(columns)
    for point, leaf_in in held.items():
        for t, leaf in leaf_in.items():
            expected = 0.0 if point in flagged else columns["leaf_mass"][t, leaf]
            # A subsample's trees hold different copies of a point, which the reference does not tell apart.
            if n_sample is None or len(held) == 90 or name not in REPEATING:
                assert columns["leaf_clean"][t, leaf] == expected
    if name not in REPEATING:  # depths of few trees tie
        assert 0.1 * len(held) < len(flagged) <= 0.2 * len(held)


@pytest.mark.parametrize("name", CASES)
def test_the_usual_is_what_the_points_score_without_themselves(name):
    X = case(name, 80, 7, seed=6)
    forest = built(X, n_trees=5)
    assert_allclose(np.sort(usual(forest)), np.sort(slow.usual_spacings(forest.columns, 7)), rtol=1e-12)


def test_a_weight_is_that_many_copies():
    X, weight = case("normal", 90, 7, seed=2), np.random.default_rng(0).integers(1, 5, 90)
    copies = np.repeat(X, weight, axis=0)
    weighted = built(X, weight=weight.astype(float), n_trees=6)
    for order in (slice(None), np.random.default_rng(1).permutation(len(copies))):
        repeated = built(np.ascontiguousarray(copies[order]), n_trees=6)
        assert_array_equal(weighted.scores(X, "spacing"), repeated.scores(X, "spacing"))


def test_clusters_of_anomalies_do_not_vouch_for_each_other():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(470, 4)), 6.0 + 0.05 * rng.normal(size=(30, 4))])
    scores = -IsolationMondrianForest(random_state=0).fit(X).score_samples(X)
    assert scores[470:].min() > np.quantile(scores[:470], 0.99)


# -- streams, against the reference ----------------------------------------------------------------------


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("d", [3, 7])
def test_arrivals_are_judged_and_scored_as_by_the_slow_walk(memory, d):
    X = case("duplicates", 150, d, seed=8)
    X[120:130] = holed(X[120:130], 0.4)
    forest = streamed(d, memory)
    judges, remembered = [slow.Judge(), slow.Judge()], slow.Remembered()
    groups = [range(8), range(8, 11)]
    n_flagged = 0
    for x in X:
        values = forest.columns
        expected = [judge.flags(values, trees, x.tolist()) for judge, trees in zip(judges, groups, strict=True)]
        spacing = slow.mean_spacing(values, x.tolist())
        score = forest.learn(x[None], score="spacing")
        if not math.isnan(spacing):
            if remembered.values:
                assert score == pytest.approx(slow.score(spacing, remembered.values), rel=1e-9)
            remembered.add(spacing)
        n_flagged += sum(expected)
        assert_allclose(np.sort(usual(forest)), np.sort(remembered.values), rtol=1e-9)
        for group, judge in enumerate(judges):
            state = forest.columns["recent"][1 + group]
            assert state[1] == len(judge.recent.values)
            assert_allclose(state[514 : 514 + int(state[1])], np.sort(judge.recent.values), rtol=1e-12)
        if memory[0] == UNBOUNDED:  # every tree has learnt the point: its clean mass tells the verdict
            for flagged, trees in zip(expected, groups, strict=True):
                for t in trees:
                    leaf = slow.holdings({**forest.columns, "header": only(forest.columns["header"], t)}).get(
                        np.pad(x, (0, forest.columns["points"].shape[1] - d), constant_values=np.nan).tobytes()
                    )
                    if leaf is not None and forest.columns["leaf_mass"][t, leaf[t]] == 1:
                        assert forest.columns["leaf_clean"][t, leaf[t]] == (0.0 if flagged else 1.0)
    forest.check()
    assert n_flagged > 10
    assert_scores_match(forest, queries(X[:100], 40))


def only(header, t):
    """A header in which only tree t holds points."""
    alone = header.copy()
    alone[np.arange(len(header)) != t, 1] = 0
    return alone


@pytest.mark.parametrize("memory", MEMORIES)
def test_clean_mass_leaves_with_its_point(memory):
    """After a long random history every clean mass is still that of the members that are not flagged."""
    rng = np.random.default_rng(3)
    X = np.concatenate([case("lattice", 200, 6, seed=1), case("normal", 200, 6, seed=2)])[rng.permutation(400)]
    forest = streamed(6, memory)
    for begin in range(0, 400, 25):
        forest.learn(np.ascontiguousarray(X[begin : begin + 25]))
        if begin % 50 == 0:
            forest.forget(np.ascontiguousarray(X[begin + 5 : begin + 9]))
        forest.check()
    flagged = 1.0 - forest.columns["clean"][:, 0].sum() / forest.columns["mass"][:, 0].sum()
    assert 0.02 < flagged < 0.6


@pytest.mark.parametrize("window", WINDOWS)
def test_chunks_threads_and_interruptions_change_nothing(window):
    X = case("normal", 700, 7, seed=4)
    X[500:] *= 3.0  # so that scales are renewed
    whole = OnlineIsolationMondrianForest(12, score="spacing", window=window, seed=1)
    expected = whole.score_learn_many(X)
    parts = OnlineIsolationMondrianForest(12, score="spacing", window=window, seed=1, n_jobs=3)
    found = []
    for begin in range(0, 700, 90):
        found.append(parts.score_learn_many(X[begin : begin + 90]))
        parts = pickle.loads(pickle.dumps(parts))
    assert_array_equal(np.concatenate(found), expected)
    one = OnlineIsolationMondrianForest(12, score="spacing", window=window, seed=1)
    for x in X[:150]:
        one.learn_one(dict(enumerate(x)))
    rest = [one.score_one(dict(enumerate(x))) for x in X[150:153]]
    assert rest[0] == expected[150]
    assert_array_equal(one.score_many(X[150:153]), rest)


@pytest.mark.parametrize("window", [None, 40, "thinned"])
def test_new_keys_enter_bags_and_renew_their_trees(window):
    rng = np.random.default_rng(0)
    model = OnlineIsolationMondrianForest(20, score="spacing", window=window, seed=0)
    for _ in range(120):
        model.learn_one({j: rng.normal() for j in range(4)})
    for _ in range(120):
        model.learn_one({j: rng.normal() for j in range(12)})
    forest = model._model.forest
    forest.check()
    bags = forest.columns["bag"][1::2]
    assert (bags >= 0).all() and len(np.unique(bags)) == 12
    assert (forest.columns["bag"][::2] == -1).all()
    outside = np.array([[j not in bag for j in range(12)] for bag in bags])
    rates = forest.columns["rate"][1::2, :12]
    assert rates[outside].max() < 1e-12 * rates[~outside].min()
    usual_x = dict.fromkeys(range(12), 0.0)
    assert model.score_one({**usual_x, 11: 9.0}) > model.score_one(usual_x)


# -- promises --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [3, 8])
def test_units_mean_nothing(d):
    X, unit = case("normal", 600, d, seed=7), 2.0 ** np.random.default_rng(0).integers(-40, 40, d)
    shift = np.random.default_rng(1).integers(-3, 4, d) * 2.0**3
    plain = IsolationMondrianForest(**SMALL).fit(X)
    other = IsolationMondrianForest(**SMALL).fit(X * unit)
    assert_array_equal(other.score_samples(X * unit), plain.score_samples(X))
    moved = IsolationMondrianForest(**SMALL).fit(X + shift)
    assert_allclose(moved.score_samples(X + shift), plain.score_samples(X), rtol=1e-6)
    a, b = (OnlineIsolationMondrianForest(10, score="spacing", seed=0) for _ in range(2))
    assert_array_equal(a.score_learn_many(X), b.score_learn_many(X * unit))


def test_bags_are_uniform_and_every_other_tree_sees_all():
    X = case("normal", 40, 9, seed=1)
    forest = built(X, n_trees=4000, n_sample=8)
    bags = forest.columns["bag"]
    assert (bags[::2] == -1).all()
    counts = np.bincount(bags[1::2].ravel(), minlength=9)
    assert counts.sum() == 5 * 2000 and abs(counts - 5 * 2000 / 9).max() < 5 * math.sqrt(2000 * 5 / 9 * 4 / 9)
    assert (np.sort(bags[1::2], axis=1)[:, 1:] > np.sort(bags[1::2], axis=1)[:, :-1]).all()


def test_half_of_the_usual_is_far_from_the_threshold():
    X = case("normal", 2000, 5, seed=1)
    scores = -IsolationMondrianForest(random_state=0).fit(X).score_samples(X)
    assert np.median(scores) == pytest.approx(0.2, abs=0.03)
    assert (scores > 0.5).mean() < 0.13


@pytest.mark.parametrize(
    "X",
    [
        np.full((50, 3), 4.0),
        np.ones((1, 2)),
        np.repeat([[1.0, 2.0]], 30, axis=0),
        np.array([[0.0, 1.0], [2.0, 3.0]]),
        np.arange(40.0)[:, None],
        np.random.default_rng(0).normal(size=(60, 1500)),
        np.random.default_rng(0).normal(size=(60, 3)) * 1e-300,
        np.random.default_rng(0).normal(size=(60, 3)) * 1e300,
        np.random.default_rng(0).integers(0, 3, size=(300, 7)).astype(float),
        np.full((20, 2), np.nan),
        np.array([[-1.7e308, 0.0], [1.7e308, 1.0], [0.0, 2.0]] * 4),
    ],
    ids=[
        "constant",
        "one row",
        "one distinct row",
        "two points",
        "one feature",
        "1500 features",
        "1e-300",
        "1e300",
        "few levels",
        "all missing",
        "overflow",
    ],
)
def test_bad_input_gives_finite_scores_without_warnings(X):
    Q = np.concatenate([X[:5], X[:1] * 0.6, np.zeros((1, X.shape[1]))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forest = IsolationMondrianForest(**SMALL).fit(X)
        streams = [IsolationMondrianForest(**SMALL, window=window).partial_fit(X) for window in (None, 30, "reservoir")]
        for model in (forest, *streams):
            scores = model.score_samples(Q)
            assert np.isfinite(scores).all() and (scores <= 0).all() and (scores >= -1).all()
            model.forest_.check()
    if len(np.unique(X, axis=0)) == 1 and not np.isnan(X).any():
        assert (forest.predict(X) == 1).all()


def test_a_forest_grown_for_another_score_says_so():
    X = case("normal", 50, 3)
    forest = IsolationMondrianForest(**SMALL, score="depth").fit(X).set_params(score="default")
    before = pickle.dumps(forest.forest_)
    for call in (forest.score_samples, forest.partial_fit):
        with pytest.raises(ValueError, match="fitted for another score; fit it again"):
            call(X)
    assert pickle.dumps(forest.forest_) == before
    spaced = IsolationMondrianForest(**SMALL).fit(X)
    for score in ("depth", "insertion", "spacing"):
        assert np.isfinite(spaced.set_params(score=score).score_samples(X)).all()


def test_trees_for_the_depth_are_the_papers():
    X = case("normal", 50, 9)
    forest = IsolationMondrianForest(**SMALL, score="depth").fit(X).forest_
    assert "bag" not in forest.columns and "clean" not in forest.columns


def test_batch_forests_keep_no_boxes():
    X = case("normal", 300, 40)
    forest = IsolationMondrianForest(**SMALL).fit(X)
    forest.score_samples(X)
    assert "lower" not in forest.forest_.columns
    assert_allclose(slow_depth.mean_norm(forest.forest_.columns), slow_depth.hidden_depth(256))
