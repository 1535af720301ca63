"""Robust units: the formula, that units mean nothing, renewal on streams, and the law that renewal keeps."""

import pickle
from statistics import NormalDist

import numpy as np
import pytest
from cases.forest_cases import case, states
from numpy.testing import assert_allclose, assert_array_equal
from reference import forest_reference as slow
from test_forest_laws import ACCEPT, REJECT, columns_of, p_values

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest
from imondrian.river import OnlineIsolationMondrianForest

SMALL = {"n_estimators": 12, "random_state": 0}
WINDOWS = [None, 40, "reservoir", "decayed", "thinned"]
SCORES = ["depth", "insertion"]


def robust_rates(X):
    """The definition, in float64: one over (q95 - q5) / 3.29, else what makes a rare value as far as a normal one."""
    rates = []
    for column in np.asarray(X, dtype=np.float64).T:
        values = column[~np.isnan(column)]
        scale = (np.quantile(values, 0.95) - np.quantile(values, 0.05)) / 3.29 if len(values) else 0.0
        if scale == 0 and len(values) and np.ptp(values) > 0:
            away = np.abs(values - np.median(values))
            scale = away[away > 0].mean() / NormalDist().inv_cdf(1 - np.mean(away > 0) / 2)
        rates.append(1 / scale if scale > 0 else 0.0)
    return np.array(rates)


def rates_of(forest):
    return forest.columns["rate"][:, : forest.n_features].astype(np.float64)


def stream_forest(points, d, n_trees=7, *, memory=SLIDING, decay=0.0, dtype=np.float64, seed=0):
    return Forest.for_stream(d, dtype, states(seed, n_trees), memory, points, decay, scaled=True)


def mixed(n, seed=0):
    """Features of many shapes: normal, few values, rare values, heavy tails, constant."""
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [
            rng.normal(size=n),
            rng.integers(0, 3, n),
            rng.random(n) < 0.02,
            np.full(n, 4.0),
            rng.exponential(size=n) ** 5,
            rng.normal(size=n) * 1e-30 + 1e-28,
        ]
    )


# -- the formula -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 2, 3, 19, 20, 21, 22, 63, 64, 65, 256, 3000])
def test_rates_follow_the_formula(n, dtype):
    X = mixed(n, seed=n).astype(dtype)
    forest = Forest.build(X, None, states(0, 3), n, scaled=True)
    forest.check()
    expected = robust_rates(X)
    for rates in rates_of(forest):
        assert_allclose(rates, expected, rtol=1e-6 if dtype == np.float32 else 1e-10)


def test_every_tree_of_a_subsample_has_its_own_scale():
    X = mixed(5000)
    forest = Forest.build(X, None, states(0, 5), 200, scaled=True)
    for t in range(5):
        own = forest.columns["points"][forest.columns["leaf_point"][t, : forest.n_leaves[t]], :6]
        if forest.n_leaves[t] == 200:
            assert_allclose(rates_of(forest)[t], robust_rates(own), rtol=1e-10)
    assert len(np.unique(rates_of(forest)[:, 0])) == 5


def test_a_weight_is_that_many_copies():
    rng = np.random.default_rng(0)
    for n in (2, 10, 40, 300):
        X, weight = mixed(n, seed=n), rng.integers(1, 5, n)
        copies = np.repeat(X, weight, axis=0)
        weighted = Forest.build(X, weight.astype(float), states(0, 2), n, scaled=True)
        repeated = Forest.build(copies[rng.permutation(len(copies))], None, states(0, 2), len(copies), scaled=True)
        assert_array_equal(rates_of(weighted), rates_of(repeated))
        assert_allclose(rates_of(weighted)[0], robust_rates(copies), rtol=1e-10)


@pytest.mark.parametrize(
    ("exponent", "dtype"), [(-990, np.float64), (990, np.float64), (-100, np.float32), (100, np.float32)]
)
def test_extreme_units_stay_finite(exponent, dtype):
    X = np.ldexp(case("normal", 300, 3, dtype=dtype), exponent).astype(dtype)
    X[:, 1] = np.ldexp(case("normal", 300, 1, seed=1, dtype=dtype)[:, 0], -exponent)
    for forest in (Forest.build(X, None, states(0, 3), 64, scaled=True), stream_forest(64, 3, 3, dtype=dtype)):
        if forest.n_seen == forest.mass == 0:
            forest.learn(X)
        forest.check()
        assert (forest.n_leaves == 64).all() and (rates_of(forest) > 0).all()


def standard_deviation_rates(X):
    """What forests of edition 0 do with a feature whose percentiles coincide."""
    rates, spread = robust_rates(X), np.asarray(X, dtype=np.float64).std(axis=0)
    coincide = (np.quantile(X, 0.95, axis=0) == np.quantile(X, 0.05, axis=0)) & (spread > 0)
    return np.where(coincide, 1 / np.where(spread > 0, spread, 1), rates)


@pytest.mark.parametrize("memory", [UNBOUNDED, SLIDING, RESERVOIR])
def test_a_forest_of_an_earlier_version_keeps_its_units(memory):
    """Also where it learns on, renews trees, and sees a feature vary for the first time."""
    X = mixed(300, seed=1)
    X[:150, 2], X[150, 2] = 0, 1
    old = stream_forest(None if memory == UNBOUNDED else 300, 6, memory=memory)
    old.edition = 0
    old._renew_view()
    state = old.__getstate__()
    state["version"] = 3
    state.pop("edition", None)
    loaded = Forest.__new__(Forest)
    loaded.__setstate__(state)
    for forest, rates in ((loaded, standard_deviation_rates), (stream_forest(300, 6), robust_rates)):
        forest.learn(X[:151])
        assert_allclose(rates_of(forest)[:, 2], np.tile(rates(X[:151])[2], 7), rtol=1e-10)
        forest.learn(X[151:])
        forest.columns["stream"][:, 4] = 0  # the next point finds that a look is due
        forest.learn(X[:1] + 0.5)
        found = pickle.loads(pickle.dumps(forest))
        assert found.edition == forest.edition == (0 if forest is loaded else 1)
        assert_allclose(rates_of(found)[:, 2], np.tile(rates(X)[2], 7), rtol=0.3)
    assert (1.5 * rates_of(forest)[:, 2] < rates_of(loaded)[:, 2]).all()  # between the two there is a gap


def test_rare_flags_do_not_hide_what_lies_far_out():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(3000, 3)), rng.random((3000, 2)) < (0.03, 0.005)])
    X[:20, 0] += 8 * rng.choice([-1, 1], 20)
    scores = IsolationMondrianForest(random_state=0, score="default").fit(X).score_samples(X)
    assert set(np.argsort(scores)[:15]) <= set(range(20))


# -- units mean nothing ----------------------------------------------------------------------------------


def stream_scores(X, window, score, **params):
    model = OnlineIsolationMondrianForest(12, window=window, score=score, horizon=300, seed=0, **params)
    return model.score_learn_many(X)


def batch_scores(X, window, score, **params):
    forest = IsolationMondrianForest(**SMALL, window=window, score=score, max_samples=64, horizon=300, **params)
    return np.concatenate([forest.fit(X[:300]).score_samples(X), forest.partial_fit(X).score_samples(X)])


@pytest.mark.parametrize("scores_of", [stream_scores, batch_scores])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("window", WINDOWS)
def test_units_change_no_score(scores_of, window, score):
    X = mixed(700, seed=3)
    X[:350, 1] = 0  # varies from half-way
    expected = scores_of(X, window, score)
    assert_array_equal(scores_of(X * 2.0 ** np.array([3, -40, 200, 7, -300, 150]), window, score), expected)
    units = np.array([1e-6, 3.7e9, 1e3, 12.0, 1e-40, 7e100])
    assert_allclose(scores_of(X * units, window, score), expected, rtol=0, atol=1e-9)
    raw = scores_of(X, window, score, scale=None)
    assert np.abs(scores_of(X * units, window, score, scale=None) - raw).max() > 0.01


@pytest.mark.parametrize("scores_of", [stream_scores, batch_scores])
@pytest.mark.parametrize("window", WINDOWS)
def test_origins_change_no_score_but_by_rounding(scores_of, window):
    X, origins = mixed(700, seed=4)[:, :4], np.array([1e3, -20.0, 7.0, 100.0])
    for score in SCORES:
        assert_allclose(scores_of(X + origins, window, score), scores_of(X, window, score), rtol=0, atol=1e-9)


def test_a_feature_in_tiny_units_is_seen():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=2000) * 1e6, rng.normal(size=2000) * 1e-6])
    outliers = np.column_stack([rng.normal(size=50) * 1e6, np.full(50, 9e-6)])
    robust = IsolationMondrianForest(random_state=0).fit(X)
    raw = IsolationMondrianForest(random_state=0, scale=None).fit(X)
    assert robust.score_samples(outliers).max() < np.quantile(robust.score_samples(X), 0.05)
    assert np.median(raw.score_samples(outliers)) > np.quantile(raw.score_samples(X), 0.3)


# -- constant features -----------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [UNBOUNDED, SLIDING, RESERVOIR])
@pytest.mark.parametrize("n_constant", [1, 2, 15, 19, 20, 40, 200])
def test_the_first_point_that_differs_is_no_duplicate(memory, n_constant):
    forest = stream_forest(None if memory == UNBOUNDED else 500, 2, memory=memory)
    X = np.column_stack([np.full(n_constant + 1, 5.0), np.full(n_constant + 1, -3.0)])
    X[-1, 1] = -3.5
    forest.learn(X[:-1])
    assert (forest.n_leaves == 1).all() and (rates_of(forest) == 0).all()
    forest.learn(X[-1:])
    forest.check()
    assert (forest.n_leaves == 2).all()
    assert_allclose(rates_of(forest), np.tile(robust_rates(X), (7, 1)), rtol=1e-12)


def test_a_feature_that_has_varied_stays_visible():
    rng = np.random.default_rng(0)
    forest = stream_forest(32, 2)
    X = np.column_stack([rng.normal(size=600), np.r_[rng.normal(size=300), np.full(300, 1.0)]])
    forest.learn(X)
    forest.check()
    assert (rates_of(forest) > 0).all()
    forest.learn(X[:1])
    forest.check()


@pytest.mark.parametrize("score", SCORES)
def test_a_score_is_from_before_its_scale_changes(score):
    X = mixed(400, seed=5)
    X[:200, [1, 4]] = 3.0
    together, apart = (stream_forest(64, 6, memory=RESERVOIR, decay=0.01) for _ in range(2))
    scores = together.learn(X, score=score)
    for i in range(len(X)):
        assert apart.scores(X[i : i + 1], score)[0] == pytest.approx(scores[i], rel=1e-12)
        apart.learn(X[i : i + 1])


# -- renewal ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [UNBOUNDED, SLIDING, RESERVOIR])
def test_scales_follow_the_data_and_turns_are_taken(memory):
    rng = np.random.default_rng(0)
    forest = stream_forest(
        None if memory == UNBOUNDED else 32, 3, 20, memory=memory, decay=0.02 if memory == RESERVOIR else 0.0
    )
    X = rng.normal(size=(900, 3))
    X[300:] *= [1.0, 1.0, 50.0]
    renewed = []
    for row in X:
        before = rates_of(forest)
        forest.learn(row[None])
        renewed.append(int(np.any((before != rates_of(forest)) & (before > 0), axis=1).sum()))
    forest.check()
    assert max(renewed[16:]) <= 6  # 20 trees never at one point, once there are 16
    spread = 1 / rates_of(forest)
    assert np.median(spread[:, 2] / spread[:, 0]) == pytest.approx(50, rel=0.5)


def test_a_stationary_stream_renews_hardly_a_tree():
    forest = stream_forest(256, 9, 50)
    X = np.random.default_rng(1).normal(size=(4096, 9))
    forest.learn(X[:1500])
    before = rates_of(forest)
    forest.learn(X[1500:])
    assert np.any(before != rates_of(forest), axis=1).mean() < 0.1


CYCLE = [(0.0, 0.0), (1.0, 0.3), (0.4, 0.1), (3.0, 0.2), (1.0, 1.0), (0.4, 0.1), (2.0, 0.6), (2.5, -0.4)]
N_TREES = 3000


def renewed_sample():
    """Trees renewed while a window of eight points goes round a cycle: all have its scale in the end."""
    rng = np.random.default_rng(0)
    forest = stream_forest(len(CYCLE), 2, N_TREES)
    forest.learn(np.concatenate([rng.normal(size=(60, 2)) * [40.0, 0.01], np.array(CYCLE * 10)]))
    forest.check()
    rates = robust_rates(CYCLE)
    assert_allclose(rates_of(forest), np.tile(rates, (N_TREES, 1)), rtol=1e-12)
    return scaled_sample(forest, rates)


def scaled_sample(forest, rates):
    sample = columns_of([slow.native_statistics(forest.columns, t, CYCLE) for t in range(forest.n_trees)])
    return sample | {"threshold": sample["threshold"] * rates[sample["feature"]]}


def fresh_sample(points):
    trees = [slow.MondrianTree(seed).build(points) for seed in range(N_TREES)]
    return columns_of([slow.reference_statistics(tree, points) for tree in trees])


def test_a_renewed_tree_has_the_law_of_a_fresh_one_in_its_scale():
    points = [tuple(row) for row in (np.array(CYCLE) * robust_rates(CYCLE)).tolist()]
    sample = renewed_sample()
    found = p_values(sample, fresh_sample(points))
    assert min(found.values()) > ACCEPT, found
    built = Forest.build(np.array(CYCLE), None, states(5, N_TREES), len(CYCLE), scaled=True)
    found = p_values(scaled_sample(built, robust_rates(CYCLE)), sample)
    assert min(found.values()) > ACCEPT, found
    assert min(p_values(sample, fresh_sample(CYCLE)).values()) < REJECT


def test_a_feature_seen_to_vary_has_the_law_of_a_fresh_tree():
    """Nothing is rebuilt when a constant feature first varies, and nothing needs to be."""
    points = [(x, 2.0) for x in (0.0, 1.0, 1.0, 3.0, 4.5)] + [(2.0, 7.0)]
    forest = stream_forest(None, 2, N_TREES, memory=UNBOUNDED)
    forest.learn(np.array(points))
    rates = rates_of(forest)[0]
    assert (rates_of(forest) == rates).all()
    sample = columns_of([slow.native_statistics(forest.columns, t, points) for t in range(N_TREES)])
    sample["threshold"] *= rates[sample["feature"]]
    found = p_values(sample, fresh_sample([tuple(row) for row in (np.array(points) * rates).tolist()]))
    assert min(found.values()) > ACCEPT, found
