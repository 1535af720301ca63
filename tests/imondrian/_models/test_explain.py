"""Explanations: against a slow reference, that they add up, and that they name the cause."""

import os
from pathlib import Path

import numpy as np
import pytest
from cases.forest_cases import case, queries, states
from numpy.testing import assert_allclose, assert_array_equal
from reference import explain_reference as slow
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import NotFittedError

from imondrian import IsolationMondrianForest, _core
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest
from imondrian._forest.scoring import SCORES, depth_slope, spacing_scores, spacing_slope
from imondrian.river import OnlineIsolationMondrianForest

ALL = list(SCORES)
MEMORIES = [(UNBOUNDED, None, 0.0), (SLIDING, 30, 0.0), (RESERVOIR, 30, 0.0)]


def holed(X, share=0.3, seed=0):
    X = X.copy()
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return X


def assert_matches(forest, Q, score):
    tolerance = 1e-9 if forest.dtype == np.float64 else 1e-4
    parts, _, expected = _core.explain(forest._view, Q, SCORES[score], 1)
    for x, found in zip(Q.tolist(), parts, strict=True):
        wanted, root = slow.mean_contributions(forest.columns, x, score)
        assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
        assert expected == pytest.approx(root, rel=tolerance)


# -- the definition --------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("name", "d"),
    [
        ("normal", 1),
        ("normal", 3),
        ("normal", 7),
        ("lattice", 3),
        ("duplicates", 6),
        ("constant_features", 7),
        ("one_point", 2),
        ("normal", 70),
        ("constant_features", 80),
        ("duplicates", 66),
    ],
)
def test_batch_matches_the_slow_walk(name, d, dtype, score):
    X = case(name, 40, d, seed=d, dtype=dtype)
    forest = Forest.build(X, None, states(0, 3), 40, scaled=True, spaced=True)
    assert_matches(forest, np.concatenate([queries(X, 9), holed(queries(X, 6))]), score)


@pytest.mark.parametrize("score", ALL)
@pytest.mark.parametrize("memory", MEMORIES)
def test_streams_match_the_slow_walk(memory, score):
    X = case("normal", 120, 6, seed=1)
    X[60:70] = holed(X[60:70])
    forest = Forest.for_stream(6, np.float64, states(0, 3), *memory, scaled=True, spaced=True)
    forest.learn(X)
    assert_matches(forest, queries(X[:50], 12), score)


# -- sums and symmetries ---------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["default", *ALL])
@pytest.mark.parametrize("window", [None, 100, "thinned"])
def test_contributions_add_up_to_the_score(window, score):
    X = case("normal", 400, 8, seed=2)
    forest = IsolationMondrianForest(20, window=window, score=score, random_state=0).fit(X)
    Q = np.concatenate([queries(X, 120), holed(queries(X, 30)), np.full((1, 8), 1e9), np.full((1, 8), np.nan)])
    parts, sides = forest.explain(Q), forest.explain(Q, by_direction=True)
    assert parts.shape == (152, 8) and sides.shape == (152, 8, 2)
    assert_allclose(parts.sum(axis=1), forest.score_samples(Q) - forest.expected_score_, atol=1e-12)
    assert_allclose(sides.sum(axis=2), parts, atol=1e-15)
    assert (parts[np.isnan(Q)] == 0).all()
    threaded = forest.set_params(n_jobs=3)
    assert_array_equal(threaded.explain(Q), parts)


@pytest.mark.parametrize("score", ["default", "depth", "insertion"])
def test_river_contributions_add_up_by_key(score):
    rng = np.random.default_rng(0)
    model = OnlineIsolationMondrianForest(15, score=score, seed=0)
    assert model.explain_one({"a": 1.0}) == {"a": 0.0} and model.expected_score == 0.0
    for _ in range(200):
        model.learn_one({"a": rng.normal(), "b": rng.normal(), "c": 100 * rng.normal()})
    for x in ({"a": 9.0, "b": 0.0, "c": 0.0}, {"c": -900.0, "new": 3.0, "a": None}, {"b": 0.1}):
        found = model.explain_one(x)
        assert list(found) == list(x) and all(type(value) is float for value in found.values())
        assert sum(found.values()) == pytest.approx(model.score_one(x) - model.expected_score, abs=1e-12)
        assert found.get("new", 0.0) == 0.0
        sides = model.explain_one(x, by_direction=True)
        assert {key: sum(pair) for key, pair in sides.items()} == pytest.approx(found)
    assert max(model.explain_one({"a": 9.0, "b": 0.0, "c": 0.0}).items(), key=lambda item: item[1])[0] == "a"
    low, high = model.explain_one({"a": 0.0, "b": 0.0, "c": -900.0}, by_direction=True)["c"]
    assert low > 10 * abs(high)


@pytest.mark.parametrize("score", ["default", "depth", "insertion"])
def test_constant_features_contribute_nothing_until_they_differ(score):
    X = case("normal", 300, 4, seed=3)
    X[:, 1] = 5.0
    forest = IsolationMondrianForest(20, score=score, random_state=0).fit(X)
    assert (forest.explain(X)[:, 1] == 0).all()
    odd = X[:50].copy()
    odd[:, 1] = 6.0
    if score == "default":  # a constant has no unit: whatever differs is three units away
        assert (forest.score_samples(odd) < forest.score_samples(X[:50])).all()
        assert (forest.explain(odd, by_direction=True)[:, 1, 1] < 0).all()


@pytest.mark.parametrize("score", ["default", "depth", "insertion"])
def test_swapping_equal_features_swaps_their_contributions(score):
    """Over many trees; features that play one part get the same on average."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(256, 4))
    X = np.concatenate([X, X[:, [1, 0, 2, 3]]])
    forest = IsolationMondrianForest(600, max_samples=512, score=score, random_state=0, n_jobs=2).fit(X)
    x = np.array([[4.0, 4.0, 0.0, 0.0]])
    first, second = forest.explain(x)[0, :2]
    assert first < 0 and first == pytest.approx(second, rel=0.12)


@pytest.mark.parametrize("score", ["default", "depth"])
def test_reordering_rows_reorders_explanations(score):
    X = case("normal", 150, 7, seed=4)
    forest = IsolationMondrianForest(10, score=score, random_state=0).fit(X)
    order = np.random.default_rng(0).permutation(150)
    assert_array_equal(forest.explain(X)[order], forest.explain(X[order]))


def test_slopes_are_secants_and_tangents():
    a = np.array([-800.0, -3.0, 0.2, 0.2 + 1e-9, 0.2 + 2e-5, 5.0, 900.0])
    g = spacing_scores(a)
    slope = spacing_slope(a, 0.2)
    far = np.abs(a - 0.2) > 1e-6
    assert_allclose(slope[far] * (a - 0.2)[far], (g - spacing_scores(np.array([0.2])))[far], rtol=1e-9)
    level = float(spacing_scores(np.array([0.2]))[0])
    assert_allclose(slope[~far], 2 * np.log(2) * level * (1 - level), rtol=1e-8)
    depth = np.array([2.0, 7.0, 7.0 + 1e-12, 30.0])
    rise = 2 ** (-depth / 10) - 2**-0.7
    assert_allclose(depth_slope(depth, 7.0, 10.0) * (depth - 7.0), rise, rtol=1e-3, atol=1e-15)
    assert (depth_slope(depth, 7.0, 0.0) == 0).all()


# -- the cause -------------------------------------------------------------------------------------------


def planted(X, usual, n, seed):
    """Usual rows of X, each with one feature pushed out of its range; which one, and to which side."""
    rng = np.random.default_rng(seed)
    spread = np.quantile(X, 0.95, axis=0) - np.quantile(X, 0.05, axis=0)
    usable = np.flatnonzero(spread > 0)
    rows, feature, up = usual[rng.integers(0, len(usual), n)].copy(), rng.choice(usable, n), rng.random(n) < 0.5
    ends = np.where(up, X.max(axis=0)[feature], X.min(axis=0)[feature])
    rows[np.arange(n), feature] = ends + np.where(up, 1, -1) * 1.5 * spread[feature]
    return rows, feature, up


def real_sets():
    """Bundled with scikit-learn and river, and, where they are, development sets."""
    yield "wine", load_wine().data
    yield "diabetes", load_diabetes().data
    yield "breast_cancer", load_breast_cancer().data[:, :12]
    folder = Path(os.environ.get("IMONDRIAN_DATA", Path(__file__).parents[4] / "shared" / "data")) / "adbench"
    for name in ("2_annthyroid", "4_breastw", "6_cardio", "23_mammography", "28_pendigits", "38_thyroid", "40_vowels"):
        if (folder / f"{name}.npz").exists():
            yield name, np.load(folder / f"{name}.npz")["X"].astype(np.float64)


def shuttle():
    datasets = pytest.importorskip("river.datasets")
    return np.array([list(x.values()) for x, _ in datasets.Shuttle().take(4000)], dtype=np.float64)


SETS = {**dict(real_sets()), "shuttle": shuttle()}


@pytest.mark.parametrize("score", ["default", "depth", "insertion"])
def test_the_planted_cause_ranks_first(score):
    """Depths hardly see one odd feature, so for them only of rows among the tenth that they find most unusual."""
    firsts, sides = [], []
    for seed, X in enumerate(SETS.values()):
        forest = IsolationMondrianForest(100, score=score, random_state=seed).fit(X[:5000])
        scores = forest.score_samples(X[:5000])
        rows, feature, up = planted(X[:5000], X[:5000][scores >= np.median(scores)], 200, seed)
        if score == "depth":
            seen = forest.score_samples(rows) < np.quantile(scores, 0.1)
            rows, feature, up = rows[seen], feature[seen], up[seen]
        parts, each = forest.explain(rows, by_direction=True), np.arange(len(rows))
        firsts.append(np.abs(parts.sum(axis=2)).argmax(axis=1) == feature)
        up = up.astype(int)
        sides.append(parts[each, feature, up] < parts[each, feature, 1 - up])
    assert len(np.concatenate(firsts)) > 50
    assert np.concatenate(firsts).mean() >= 0.95
    assert np.concatenate(sides).mean() >= 0.99


# -- bad input -------------------------------------------------------------------------------------------


def test_before_fitting_and_on_bad_rows():
    with pytest.raises(NotFittedError):
        IsolationMondrianForest().explain([[1.0]])
    with pytest.raises(NotFittedError):
        _ = IsolationMondrianForest().expected_score_
    forest = IsolationMondrianForest(5, random_state=0).fit(case("normal", 30, 3))
    with pytest.raises(ValueError, match="3 features"):
        forest.explain([[1.0, 2.0]])
    with pytest.raises(ValueError, match="infinity"):
        forest.explain([[1.0, 2.0, np.inf]])


@pytest.mark.parametrize("score", ["default", "depth", "insertion"])
@pytest.mark.parametrize(
    "X",
    [
        np.full((9, 2), 4.0),
        np.ones((1, 2)),
        np.random.default_rng(0).normal(size=(30, 2)) * 1e300,
        np.full((9, 2), np.nan),
        np.array([[-1.7e308, 0.0], [1.7e308, 1.0], [0.0, 2.0]]),
    ],
)
def test_awkward_data_adds_up(X, score):
    forest = IsolationMondrianForest(7, score=score, random_state=0).fit(X)
    Q = np.concatenate([X[:3], np.zeros((1, 2)), np.full((1, 2), 1.7e308)])
    parts = forest.explain(Q)
    assert np.isfinite(parts).all()
    assert_allclose(parts.sum(axis=1), forest.score_samples(Q) - forest.expected_score_, atol=1e-12)


def test_forgetting_everything_leaves_nothing_to_explain():
    X = case("normal", 20, 2)
    for score in ("default", "depth", "insertion"):
        forest = IsolationMondrianForest(5, score=score, random_state=0).fit(X).forget(X)
        assert (forest.explain(X) == 0).all()
        assert_array_equal(forest.score_samples(X), np.full(20, forest.expected_score_))


def test_pictures_of_explanations():
    plot = pytest.importorskip("imondrian.plot", reason="needs matplotlib")
    import matplotlib

    matplotlib.use("Agg")
    X = case("normal", 100, 20)
    forest = IsolationMondrianForest(10, random_state=0).fit(X)
    row = forest.explain(X[:1] + 1.0)[0]
    ax = plot.plot_explanation(row, X[0] + 1.0, n_features=6)
    sizes = [bar.get_width() for bar in ax.patches]
    assert len(sizes) == 7 and np.sum(sizes) == pytest.approx(row.sum())
    assert np.abs(sizes[:6]).tolist() == sorted(np.abs(row), reverse=True)[:6]
    labels = [text.get_text() for text in ax.get_yticklabels()]
    largest = int(np.abs(row).argmax())
    assert labels[0].startswith(f"{largest} = ") and labels[-1] == "14 others"
    ax = plot.plot_explanation({"a": (0.2, -0.1), "b": (0.0, 0.0)}, {"a": 3.0})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a = 3 (low)", "a = 3 (high)"]
    for bad in (np.zeros((2, 3)), np.zeros((1, 2, 2))):
        with pytest.raises(ValueError, match="contributions must have shape"):
            plot.plot_explanation(bad)
    with pytest.raises(ValueError, match="feature_names must be 3 names, got 1"):
        plot.plot_explanation(np.ones(3), feature_names=["x"])
    matplotlib.pyplot.close("all")
