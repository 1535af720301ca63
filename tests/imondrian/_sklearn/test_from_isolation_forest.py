"""scikit-learn's IsolationForest as a fitted forest: its scores, and an answer to everything else."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, IsolationForest
from sklearn.exceptions import NotFittedError

from imondrian import IsolationMondrianForest
from imondrian._forest.imported_forest import ImportedForest
from imondrian.river import OnlineIsolationMondrianForest

FITS = {
    "defaults": {},
    "some features": {"max_features": 0.5},
    "bootstrap": {"bootstrap": True, "contamination": 0.1},
    "one tree": {"n_estimators": 1, "max_samples": 600},
    "lone leaves": {"max_samples": 1},
    "two points": {"max_samples": 2},
    "a share": {"max_samples": 0.3, "contamination": 0.3},
}


def points(n=600, seed=0):
    """Four features, one constant and one of small whole numbers; some rows again and again."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=n), 1e3 * rng.normal(size=n), np.full(n, 3.0), rng.integers(0, 5, n)])
    X[: n // 10] = X[0]
    return X


def fit(**parameters):
    return IsolationForest(**{"n_estimators": 20, "random_state": 0, **parameters}).fit(points())


def rows_on_cuts(model):
    """Rows at, just below and just above the thresholds of every tree."""
    rows = [points(seed=1), 4 * points(seed=2)]
    for estimator, features in zip(model.estimators_, model.estimators_features_, strict=True):
        tree = estimator.tree_
        inner = tree.children_left >= 0
        cut = tree.threshold[inner].astype(np.float32)
        for near in (cut, np.nextafter(cut, np.float32(-np.inf)), np.nextafter(cut, np.float32(np.inf))):
            rows.append(np.repeat(points(seed=1)[:1], len(cut), axis=0))
            rows[-1][np.arange(len(cut)), features[tree.feature[inner]]] = near
    return np.concatenate(rows)


@pytest.mark.parametrize("parameters", FITS.values(), ids=FITS.keys())
def test_scores_are_those_of_scikit_learn(parameters):
    model = fit(**parameters)
    X = rows_on_cuts(model)
    forest = IsolationMondrianForest.from_isolation_forest(model)
    expected = model.score_samples(X)
    assert_allclose(forest.score_samples(X), expected, rtol=1e-13)
    assert forest.offset_ == model.offset_
    clear = np.abs(expected - model.offset_) > 1e-12
    assert_array_equal(forest.predict(X)[clear], model.predict(X)[clear])
    assert_array_equal(forest.score_samples(X[:7]), forest.score_samples(X)[:7])  # few rows take another way
    assert_array_equal(forest.set_params(n_jobs=3).score_samples(X), forest.set_params(n_jobs=1).score_samples(X))


def test_weights_and_missing_values_in_its_fit():
    X = points()
    X[::7, 0] = np.nan
    for weight in (None, np.random.default_rng(0).integers(0, 3, len(X)).astype(float)):
        model = IsolationForest(n_estimators=20, random_state=0).fit(X, sample_weight=weight)
        whole = rows_on_cuts(model)
        forest = IsolationMondrianForest.from_isolation_forest(model)
        assert_allclose(forest.score_samples(whole), model.score_samples(whole), rtol=1e-13)


def test_a_missing_value_goes_both_ways():
    X = np.array([[0.0], [1.0], [1.0], [1.0]])
    model = IsolationForest(n_estimators=1, max_samples=4, random_state=0).fit(X)
    assert model.estimators_[0].tree_.node_count == 3  # [0] and three times [1]
    c3 = 2 * (np.log(2) + np.euler_gamma) - 4 / 3
    c4 = 2 * (np.log(3) + np.euler_gamma) - 6 / 4
    forest = IsolationMondrianForest.from_isolation_forest(model)
    depth = 0.25 * 1 + 0.75 * (1 + c3)
    assert_allclose(forest.score_samples([[np.nan]]), -(2 ** (-depth / c4)), rtol=1e-14)
    with pytest.raises(ValueError, match="infinity"):
        forest.score_samples([[np.inf]])


def test_parameters_names_and_the_model_itself():
    frame = pd.DataFrame(points(), columns=["a", "b", "c", "d"])
    model = IsolationForest(n_estimators=7, max_samples=100, contamination=0.2, n_jobs=2, random_state=3).fit(frame)
    before = pickle.dumps(model)
    forest = IsolationMondrianForest.from_isolation_forest(model)
    assert pickle.dumps(model) == before
    expected = {
        "n_estimators": 7,
        "max_samples": 100,
        "contamination": 0.2,
        "n_jobs": 2,
        "random_state": 3,
        "score": "depth",
    }
    assert forest.get_params().items() >= expected.items()
    assert forest.max_samples_ == 100 and forest.n_features_in_ == 4
    assert_array_equal(forest.feature_names_in_, ["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="feature names"):
        forest.score_samples(frame[["b", "a", "c", "d"]])
    info = forest.info()
    assert (info["trees"], info["points_stored"], info["points_a_tree"], info["scale"]) == (7, 0, 100.0, None)
    assert info["bytes"] > sum(forest.forest_.columns[name].nbytes for name in ("feature", "threshold", "child"))


def test_explanations_add_up():
    model = fit()
    X = rows_on_cuts(model)[::10]
    forest = IsolationMondrianForest.from_isolation_forest(model)
    parts = forest.explain(X)
    assert_allclose(parts.sum(axis=1), model.score_samples(X) - forest.expected_score_, atol=1e-12)
    assert not parts[:, 2].any()  # the constant feature
    assert_allclose(forest.explain(X, by_direction=True).sum(axis=2), parts, atol=1e-15)


def test_the_expected_score_is_that_of_the_mean_depth_of_its_points():
    X = points()
    model = IsolationForest(n_estimators=1, max_samples=len(X), random_state=0).fit(X)
    tree = model.estimators_[0].tree_
    leaf = tree.children_left < 0
    n = tree.n_node_samples[leaf].astype(float)
    hidden = np.where(n > 2, 2 * (np.log(np.maximum(n, 2) - 1) + np.euler_gamma) - 2 * (n - 1) / n, n - 1)
    depth = np.average(tree.compute_node_depths()[leaf] - 1 + hidden, weights=n)
    c = 2 * (np.log(len(X) - 1) + np.euler_gamma) - 2 * (len(X) - 1) / len(X)
    assert_allclose(IsolationMondrianForest.from_isolation_forest(model).expected_score_, -(2 ** (-depth / c)))


def test_p_values_need_rows_that_were_held_out():
    X, held_out, new = points(), points(150, seed=3), points(50, seed=4)
    model = fit()
    forest = IsolationMondrianForest.from_isolation_forest(model, held_out)
    assert forest.calibration_ == "split"
    calibration = model.score_samples(held_out)
    expected = [(1 + np.count_nonzero(calibration <= score + 1e-12)) / 151 for score in model.score_samples(new)]
    assert_allclose(forest.p_values(new), expected)
    assert_array_equal(forest.reject(new), np.zeros(50, bool))
    bare = IsolationMondrianForest.from_isolation_forest(model)
    with pytest.raises(ValueError, match=r"p_values without rows held out .* is impossible"):
        bare.p_values(X)
    for bad, message in ((points()[:, :3], "3 features"), (points()[:0], "0 sample"), ([[np.inf] * 4], "infinity")):
        with pytest.raises(ValueError, match=message):
            IsolationMondrianForest.from_isolation_forest(model, bad)


@pytest.mark.parametrize("mmap", [False, True])
def test_files_pickles_and_copies(tmp_path, mmap):
    X = points(seed=1)
    forest = IsolationMondrianForest.from_isolation_forest(fit(bootstrap=True, max_features=0.5), points(50))
    forest.save(tmp_path / "model")
    loaded = IsolationMondrianForest.load(tmp_path / "model", mmap=mmap)
    for again in (loaded, pickle.loads(pickle.dumps(forest)), copy.deepcopy(forest)):
        assert type(again.forest_) is ImportedForest
        assert_array_equal(again.score_samples(X), forest.score_samples(X))
        assert_array_equal(again.p_values(X), forest.p_values(X))
        assert_array_equal(again.explain(X), forest.explain(X))
        assert again.offset_ == forest.offset_
        with pytest.raises(ValueError, match="imported IsolationForest"):
            again.partial_fit(X)
    with pytest.raises(NotFittedError):
        clone(forest).score_samples(X)


REFUSED = {
    "learning points": lambda forest, X: forest.partial_fit(X),
    "forgetting points": lambda forest, X: forest.forget(X, missing_ok=True),
    "score='insertion'": lambda forest, X: forest.set_params(score="insertion").score_samples(X),
    "score='spacing'": lambda forest, X: forest.set_params(score="default").score_samples(X),
    "listing points": lambda forest, X: forest.forest_.stored_points(),
    "continuing on a stream": lambda forest, X: OnlineIsolationMondrianForest.from_estimator(forest),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_needs_points_is_refused_by_name(what):
    X = points(seed=1)
    forest = IsolationMondrianForest.from_isolation_forest(fit(), points(50))
    expected = forest.score_samples(X), forest.p_values(X), forest.explain(X)
    message = "the trees of an imported IsolationForest have neither .* " + re.escape(f"{what} is impossible")
    with pytest.raises(ValueError, match=message):
        REFUSED[what](forest, X)
    for score in ("insertion", "spacing"):
        with pytest.raises(ValueError, match=f"score='{score}' is impossible"):
            forest.set_params(score=score).explain(X)
    forest.set_params(score="depth")
    for before, after in zip(expected, (forest.score_samples(X), forest.p_values(X), forest.explain(X)), strict=True):
        assert_array_equal(after, before)


def test_fit_starts_afresh_with_mondrian_trees():
    X = points()
    forest = IsolationMondrianForest.from_isolation_forest(fit())
    fresh = IsolationMondrianForest(20, score="depth", random_state=0).fit(X)
    assert_array_equal(forest.fit(X).score_samples(X), fresh.score_samples(X))
    assert_array_equal(forest.partial_fit(X[:50]).score_samples(X), fresh.partial_fit(X[:50]).score_samples(X))


def test_other_models_are_refused():
    with pytest.raises(TypeError, match=r"be a fitted sklearn\.ensemble\.IsolationForest, got ExtraTreesClassifier"):
        IsolationMondrianForest.from_isolation_forest(ExtraTreesClassifier())
    with pytest.raises(NotFittedError):
        IsolationMondrianForest.from_isolation_forest(IsolationForest())


def test_it_goes_on_to_other_runtimes():
    pytest.importorskip("onnx", reason="needs onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    from imondrian.export import to_onnx

    model = fit(bootstrap=True, contamination=0.1)
    X = rows_on_cuts(model).astype(np.float32)
    exported = to_onnx(IsolationMondrianForest.from_isolation_forest(model))
    scores, labels = runtime.InferenceSession(exported.SerializeToString()).run(None, {"X": X})
    assert_allclose(scores, model.score_samples(X), rtol=1e-13)
    clear = np.abs(scores - model.offset_) > 1e-12
    assert_array_equal(labels[clear], model.predict(X)[clear])


def test_scores_on_a_device(cp):
    model = fit(bootstrap=True)
    X = rows_on_cuts(model).astype(np.float32)[::5]
    forest = IsolationMondrianForest.from_isolation_forest(model)
    assert_allclose(cp.asnumpy(forest.score_samples(cp.asarray(X))), model.score_samples(X), rtol=1e-13)


# -- damage ----------------------------------------------------------------------------------------


def spoil(state, name, *place, value):
    state["cuts"] = {key: column.copy() for key, column in state["cuts"].items()}
    state["n_leaves"] = state["n_leaves"].copy()
    (state if name in state else state["cuts"])[name][place] = value


DAMAGE = {
    "a link to itself": ("child", (0, 3, 0), 3),
    "a link back": ("child", (0, 3, 1), 0),
    "a link to no node": ("child", (0, 3, 0), 10_000),
    "a link to no leaf": ("child", (0, 3, 0), -10_000),
    "a leaf reached twice": ("child", (0, 0, 0), -1),
    "a tree cut short": ("n_leaves", (0,), 3),
    "a tree without leaves": ("n_leaves", (1,), 0),
    "a tree beyond its room": ("n_leaves", (1,), 10_000),
    "a feature that is none": ("feature", (0, 0), 4),
    "a negative feature": ("feature", (2, 1), -1),
    "a cut nowhere": ("threshold", (0, 0), np.nan),
    "a mass too large": ("mass", (0, 0), 1e9),
    "a leaf without mass": ("leaf_mass", (0, 0), 0.0),
    "a leaf of infinite mass": ("leaf_mass", (0, 0), np.inf),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_state_is_refused(damage):
    name, place, value = DAMAGE[damage]
    state = IsolationMondrianForest.from_isolation_forest(fit()).forest_.__getstate__()
    spoil(state, name, *place, value=value)
    with pytest.raises(ValueError, match="damaged forest"):
        ImportedForest.__new__(ImportedForest).__setstate__(state)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"n_features": 0},
        {"n_features": True},
        {"sample_size": 0},
        {"sample_size": 2.0},
        {"cuts": {}},
        {"n_leaves": np.ones(20)},
        {"n_leaves": np.ones(3, np.int32)},
        {"n_leaves": None},
    ],
    ids=str,
)
def test_a_state_of_another_kind_is_refused(change):
    state = IsolationMondrianForest.from_isolation_forest(fit()).forest_.__getstate__()
    with pytest.raises(ValueError, match=r"damaged forest|state version"):
        ImportedForest.__new__(ImportedForest).__setstate__({**state, **change})


def test_columns_of_another_type_are_refused():
    forest = IsolationMondrianForest.from_isolation_forest(fit()).forest_
    for name, column in forest.__getstate__()["cuts"].items():
        state = forest.__getstate__()
        for other in (column.astype(np.int8), column[:, :-1], column[None]):
            state["cuts"] = {**forest.__getstate__()["cuts"], name: other}
            with pytest.raises(ValueError, match="damaged forest"):
                ImportedForest.__new__(ImportedForest).__setstate__(state)
