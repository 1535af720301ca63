"""Beyond 64 features: what trees see, and distances to the nearest clean points. Values: test_spacing.py."""

import pickle

import numpy as np
import pytest
from cases.forest_cases import case, queries, states
from numpy.testing import assert_allclose, assert_array_equal
from reference import spacing_reference as slow
from test_forest_scale import robust_rates
from test_spacing import assert_scores_match, built, holed

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import SLIDING, UNBOUNDED, Forest
from imondrian.river import OnlineIsolationMondrianForest

OUTSIDE = 2.0**-60


def seen_by(forest):
    """How many features each tree sees; 0: all, for want of a bag."""
    bags = forest.columns["bag"]
    for bag in bags:
        n = int((bag >= 0).sum())
        assert (bag[:n] >= 0).all() and (bag[n:] == -1).all() and len(set(bag[:n].tolist())) == n
    return (bags >= 0).sum(axis=1).tolist()


@pytest.mark.parametrize(
    ("d", "even", "odd"),
    [(5, 0, 5), (64, 0, 5), (65, 64, 9), (100, 64, 10), (101, 64, 11), (768, 64, 28), (5000, 64, 64)],
)
def test_what_trees_see(d, even, odd):
    forest = built(case("normal", 20, d), n_trees=4)
    forest.check()
    assert seen_by(forest) == [even, odd] * 2
    assert forest.wide == (d > 64)


def test_bags_are_uniform():
    bags = built(case("normal", 8, 70), n_trees=2000, n_sample=4).columns["bag"]
    for some, size in ((bags[::2], 64), (bags[1::2], 9)):
        share = size / 70
        counts = np.bincount(some[some >= 0], minlength=70)
        assert abs(counts - 1000 * share).max() < 5 * np.sqrt(1000 * share * (1 - share))


@pytest.mark.parametrize("n_trees", [1, 6])
@pytest.mark.parametrize("n_sample", [50, 200])
def test_units_inside_a_bag_are_the_formulas_and_outside_next_to_nothing(n_sample, n_trees):
    """Also where all trees hold all rows, and share what they find."""
    X = case("normal", 200, 90, seed=2) * np.arange(1, 91)
    forest = built(X, n_trees=n_trees, n_sample=n_sample)
    for t, bag in enumerate(forest.columns["bag"]):
        own = forest.columns["points"][forest.columns["leaf_point"][t, : forest.n_leaves[t]], :90]
        inside = np.isin(np.arange(90), bag)
        expected = robust_rates(own) * np.where(inside, 1.0, OUTSIDE)
        assert_allclose(forest.columns["rate"][t, :90], expected, rtol=1e-10)


def test_a_stream_grows_wide_and_narrow_again():
    rng = np.random.default_rng(0)
    forest = Forest.for_stream(60, np.float64, states(0, 400), UNBOUNDED, None, 0.0, scaled=True, spaced=True)
    X = rng.normal(size=(30, 60))
    forest.learn(X)
    forest.add_features(12)
    assert forest.wide and seen_by(forest) == [64, 9] * 200
    counts = np.bincount(forest.columns["bag"][1::2, :9].ravel(), minlength=72)
    assert abs(counts - 25).max() < 5 * np.sqrt(25)  # the new ones as often as the old
    wider = rng.normal(size=(20, 72))
    forest.learn(wider[:1])
    forest.check()
    forest.forget(wider[:1])
    forest.add_features(0, drop=list(range(60, 70)))
    assert not forest.wide and forest.n_features == 62 and seen_by(forest) == [0, 5] * 200
    counts = np.bincount(forest.columns["bag"][1::2].ravel(), minlength=62)
    assert abs(counts - 1000 / 62).max() < 6 * np.sqrt(1000 / 62)
    forest.learn(rng.normal(size=(5, 62)))
    forest.check()


@pytest.mark.parametrize("fill", ["build", "stream"])
def test_wide_forests_of_earlier_versions_go_on_as_they_were(fill):
    X = case("normal", 60, 80, seed=4)
    forest = Forest.for_stream(80, np.float64, states(0, 6), SLIDING, 60, 0.0, scaled=True, spaced=True)
    state = forest.__getstate__()
    state["version"] = 3
    state.pop("edition", None)
    state["columns"]["bag"] = np.full((6, 5), -1, np.int32)
    state["columns"]["bag"][1::2] = [[7, 1, 3, 79, 20]] * 3
    old = Forest.__new__(Forest)
    old.__setstate__(state)
    old.learn(X)
    assert old.edition == 0 and not old.wide and slow.near_weight(old.columns, 80) == 0.0
    assert_scores_match(old, np.concatenate([queries(X, 30), holed(queries(X, 8), 0.3)]))
    again = pickle.loads(pickle.dumps(old))
    assert again.edition == 0
    assert_array_equal(again.scores(X, "spacing"), old.scores(X, "spacing"))
    twin, _, _ = old.widened(3)
    assert twin.edition == 0 and twin.columns["bag"].shape == (6, 5)


def test_a_wide_forest_comes_back_from_its_state():
    X = case("normal", 80, 70, seed=5)
    forest = built(X, n_trees=6)
    again = pickle.loads(pickle.dumps(forest))
    assert_array_equal(again.scores(X, "spacing"), forest.scores(X, "spacing"))
    state = forest.__getstate__()
    state["columns"]["bag"] = state["columns"]["bag"][:, :5].copy()
    with pytest.raises(ValueError, match="bag"):
        Forest.__new__(Forest).__setstate__(state)


def test_a_stored_row_is_not_its_own_neighbour():
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(200, 150)), rng.normal(size=(200, 150))
    scores = IsolationMondrianForest(20, random_state=0).fit(X).score_samples(np.concatenate([X, new]))
    spread = scores[200:].std()
    assert abs(np.median(scores[:200]) - np.median(scores[200:])) < 2 * spread
    copies = np.repeat(X[:3], 12, axis=0)  # rows that are there twice are
    many = IsolationMondrianForest(20, random_state=0).fit(np.concatenate([X, copies])).score_samples(X)
    assert many[:3].min() > np.quantile(many[3:], 0.9)


@pytest.mark.parametrize("n_rows", [3, 300])
def test_batches_of_any_size_score_alike(n_rows):
    X = case("normal", 300, 96, seed=6)
    forest = built(X, n_trees=5, n_sample=60)
    expected = np.array([forest.scores(np.ascontiguousarray(x[None]), "spacing")[0] for x in X[:n_rows]])
    assert_array_equal(forest.scores(X[:n_rows].copy(), "spacing"), expected)


def test_forgetting_takes_a_neighbour_away():
    X = case("normal", 50, 70, seed=7)
    forest = Forest.for_stream(70, np.float64, states(0, 5), UNBOUNDED, None, 0.0, scaled=True, spaced=True)
    forest.learn(X)
    near = X[20:21] + 1e-6
    before = forest.scores(near, "spacing")[0]
    forest.forget(X[20:21].copy())
    forest.check()
    assert forest.scores(near, "spacing")[0] > before
    assert_scores_match(forest, queries(X, 20))


def test_anomalies_where_extents_see_nothing():
    """Usual rows lie near a curved surface; an anomaly is as long as they are, and off it."""
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(6, 200))
    X = np.tanh(rng.normal(size=(600, 6)) @ mixing) + 0.1 * rng.normal(size=(600, 200))
    odd = X[:40, rng.permutation(200)]
    scores = IsolationMondrianForest(random_state=0).fit(X[100:]).score_samples(np.concatenate([odd, X[40:100]]))
    assert (scores[:40, None] < scores[None, 40:]).mean() > 0.98


@pytest.mark.parametrize("window", [None, 60])
def test_contributions_add_up_and_name_the_cause(window):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(250, 120))
    forest = IsolationMondrianForest(30, window=window, random_state=0).fit(X)
    Q = np.concatenate([X[:20] + 0.01, holed(X[20:40], 0.4), np.full((1, 120), 1e9), np.full((1, 120), np.nan)])
    Q[0, 33], Q[1, 70] = 40.0, -40.0
    parts = forest.explain(Q, by_direction=True)
    assert_allclose(parts.sum(axis=(1, 2)), forest.score_samples(Q) - forest.expected_score_, atol=1e-12)
    assert (parts[np.isnan(Q)] == 0).all()
    assert np.unravel_index(parts[0].argmin(), (120, 2)) == (33, 1)
    assert np.unravel_index(parts[1].argmin(), (120, 2)) == (70, 0)
    assert_allclose(forest.score_samples(Q[-1:]), forest.expected_score_, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extreme_numbers_give_finite_scores_and_reasons(dtype):
    X = case("normal", 80, 70, seed=8, dtype=dtype)
    X[:5] *= np.finfo(dtype).max / 16
    X[5:9, ::2] = 0
    Q = np.concatenate([X, np.full((1, 70), np.finfo(dtype).max, dtype), np.zeros((1, 70), dtype)])
    forest = built(X, n_trees=4)
    forest.check()
    scores = forest.scores(Q, "spacing")
    parts, usual = forest.explain(Q, "spacing")
    assert ((scores >= 0) & (scores <= 1)).all() and np.isfinite(parts).all()
    assert_allclose(parts.sum(axis=(1, 2)), scores - usual, rtol=1e-6, atol=1e-9)


def test_a_stream_of_wide_rows_learns_and_scores_as_one_from_a_file():
    rng = np.random.default_rng(3)
    model = OnlineIsolationMondrianForest(10, score="spacing", window=50, seed=0)
    X = holed(rng.normal(size=(150, 80)), 0.05)
    model.learn_many(X[:100])
    copied = pickle.loads(pickle.dumps(model))
    assert_array_equal(model.score_learn_many(X[100:]), copied.score_learn_many(X[100:]))
    model._model.forest.check()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [65, 70, 200])
def test_rows_that_share_no_value_with_any_score_alike_in_many_and_alone(d, dtype):
    rng = np.random.default_rng(d)
    X = rng.integers(0, 4, (500, d)).astype(dtype)
    X[rng.random(X.shape) < 0.95] = np.nan
    model = IsolationMondrianForest(5, max_samples=1.0, random_state=0).fit(X)
    assert_array_equal(model.score_samples(X), [model.score_samples(x[None])[0] for x in X])


@pytest.mark.parametrize("missing", [0.0, 0.02])
def test_scores_while_learning_are_those_of_asking_first(missing):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(150, 70))
    X[:, 10:30] = 0.0
    X[rng.random(X.shape) < missing] = np.nan
    asking, learning = (OnlineIsolationMondrianForest(9, window=64, score="spacing", seed=0) for _ in range(2))
    asking.learn_many(X[:40])
    learning.learn_many(X[:40])
    asked = []
    for row in X[40:]:
        asked.append(asking.score_many(row[None])[0])
        asking.learn_many(row[None])
    assert_array_equal(learning.score_learn_many(X[40:]), asked)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_contributions_are_finite_where_what_is_shared_is_tiny(dtype):
    """Units of huge columns: what a row of ordinary numbers adds there is next to nothing."""
    rng = np.random.default_rng(4)
    X = rng.uniform(-1, 1, (5, 66)) * float(np.finfo(dtype).max)
    X[rng.random(X.shape) < 0.9] = np.nan
    usual = rng.normal(size=(6, 66))
    model = IsolationMondrianForest(20, random_state=0).fit(X.astype(dtype)).partial_fit(usual[:3].astype(dtype))
    some = usual[3:].repeat(30, axis=0).astype(dtype)
    some[rng.random(some.shape) < 0.95] = np.nan
    parts = model.explain(some)
    assert_allclose(parts.sum(axis=1), model.score_samples(some) - model.expected_score_, atol=1e-9)
