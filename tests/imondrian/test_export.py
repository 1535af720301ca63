"""Forests in other runtimes: the same leaves, the same scores."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from imondrian import IsolationMondrianForest
from imondrian.export import to_onnx, to_treelite
from imondrian.river import OnlineIsolationMondrianForest

DTYPES = ["float32", "float64"]
RTOL = {5: 1e-13, 3: 2e-6}  # 3 adds 20 depths up in float32: 21 * 2 ** -24, times log(2) * depth / norm < 1.6


@pytest.fixture(scope="module")
def onnx():
    return pytest.importorskip("onnx", reason="needs onnx")


@pytest.fixture(scope="module")
def run_onnx(onnx):
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")

    def run(model, X):
        onnx.checker.check_model(model, full_check=True)
        return runtime.InferenceSession(model.SerializeToString()).run(["score_samples", "predict"], {"X": X})

    return run


@pytest.fixture(scope="module")
def run_treelite():
    treelite = pytest.importorskip("treelite", reason="needs treelite")
    return lambda model, X: treelite.gtil.predict(model, X, nthread=1).ravel()


def points(n=600, d=4, dtype="float64", seed=0):
    """Blobs with repeated points, so that leaves hide fractional depths."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * [1, 10, 0.1, 1000][:d]
    X[: n // 4] = X[0]
    X[n // 4 : n // 3] = X[-1]
    return X.astype(dtype)


def fitted(dtype="float64", **parameters):
    return IsolationMondrianForest(20, score="depth", random_state=0, **parameters).fit(points(dtype=dtype))


def rows_on_cuts(forest, dtype):
    """Rows at, just below and just above cuts of every tree, in ``dtype``."""
    columns = forest.forest_.columns
    live = np.arange(columns["feature"].shape[1]) < columns["header"][:, 4, None]
    feature, cut = columns["feature"][live], columns["threshold"][live].astype(dtype)
    X = np.repeat(points(seed=1, dtype=dtype)[:1], 3 * len(cut), axis=0)
    near = np.concatenate([cut, np.nextafter(cut, -np.inf, dtype=dtype), np.nextafter(cut, np.inf, dtype=dtype)])
    X[np.arange(len(X)), np.tile(feature, 3)] = near
    return np.concatenate([X, points(seed=2, dtype=dtype), points(seed=2, dtype=dtype) * 5])


# -- ONNX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ml_opset", [5, 3])
@pytest.mark.parametrize("row_dtype", DTYPES)
@pytest.mark.parametrize("own_dtype", DTYPES)
def test_onnxruntime_scores_as_the_forest_does(run_onnx, own_dtype, row_dtype, ml_opset):
    forest = fitted(own_dtype, contamination=0.1)
    X = rows_on_cuts(forest, row_dtype)
    scores, labels = run_onnx(to_onnx(forest, dtype=row_dtype, ml_opset=ml_opset), X)
    expected = forest.score_samples(X)
    assert_allclose(scores, expected, rtol=RTOL[ml_opset])
    clear = np.abs(expected - forest.offset_) > 10 * RTOL[ml_opset]
    assert clear.mean() > 0.9 and set(labels) == {-1, 1}
    assert_array_equal(labels[clear], forest.predict(X)[clear])


def test_rows_have_the_forests_precision_by_default(run_onnx):
    for dtype in DTYPES:
        forest = fitted(dtype)
        X = points(seed=1, dtype=dtype)
        assert_allclose(run_onnx(to_onnx(forest), X)[0], forest.score_samples(X), rtol=1e-13)


@pytest.mark.parametrize("ml_opset", [5, 3])
def test_the_reference_evaluator_agrees(onnx, ml_opset):
    from onnx.reference import ReferenceEvaluator

    forest = IsolationMondrianForest(3, max_samples=16, score="depth", random_state=0).fit(points())
    X = rows_on_cuts(forest, "float32")[::40]  # of ai.onnx.ml 3 it lacks float64
    scores, labels = ReferenceEvaluator(to_onnx(forest, dtype="float32", ml_opset=ml_opset)).run(None, {"X": X})
    assert_allclose(scores, forest.score_samples(X), rtol=RTOL[ml_opset])
    assert_array_equal(labels, forest.predict(X))


@pytest.mark.parametrize("ml_opset", [5, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_onnx_cannot_follow_is_nan(run_onnx, dtype, ml_opset):
    forest = fitted()
    X = points(seed=1, dtype=dtype)[:8]
    X[1, 2], X[3, 0], X[5, 1] = np.nan, np.inf, -np.inf
    scores, labels = run_onnx(to_onnx(forest, dtype=dtype, ml_opset=ml_opset), X)
    assert_array_equal(np.isnan(scores), [False, True, False, True, False, True, False, False])
    assert_array_equal(labels == 0, np.isnan(scores))
    whole = ~np.isnan(scores)
    assert_allclose(scores[whole], forest.score_samples(X[whole]), rtol=RTOL[ml_opset])


def test_values_beyond_the_forests_precision_are_nan_too(run_onnx):
    X = points(seed=1)[:3]
    X[1, 0] = 1e300  # infinite in float32, where the forest refuses it
    scores, _ = run_onnx(to_onnx(fitted("float32"), dtype="float64"), X)
    assert_array_equal(np.isnan(scores), [False, True, False])


def test_the_model_says_where_it_is_from(onnx):
    frame = pd.DataFrame(points(), columns=["a", "b", "c", "d"])
    forest = IsolationMondrianForest(5, score="depth", contamination=0.1, random_state=0).fit(frame)
    told = {entry.key: entry.value for entry in to_onnx(forest).metadata_props}
    assert json.loads(told["feature_names"]) == ["a", "b", "c", "d"]
    assert float(told["offset"]) == forest.offset_
    assert "feature_names" not in {entry.key for entry in to_onnx(fitted()).metadata_props}


# -- treelite --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_treelite_scores_as_the_forest_does(run_treelite, dtype):
    forest = fitted(dtype)
    X = rows_on_cuts(forest, dtype)
    assert_allclose(run_treelite(to_treelite(forest), X), -forest.score_samples(X), rtol=1e-13)


@pytest.mark.parametrize("own_dtype", DTYPES)
def test_treelite_in_float32_finds_the_same_leaves(run_treelite, own_dtype):
    forest = fitted(own_dtype)
    X = rows_on_cuts(forest, "float32")
    assert_allclose(run_treelite(to_treelite(forest, dtype="float32"), X), -forest.score_samples(X), rtol=RTOL[3])


def test_in_treelite_missing_values_follow_the_heavier_child(run_treelite):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(30, 1)), 100 + rng.normal(size=(10, 1))])
    forest = IsolationMondrianForest(10, score="depth", scale=None, random_state=0).fit(X)
    columns = forest.forest_.columns
    depths = []
    for t in range(10):
        node, depth = columns["header"][t, 0], 0
        while node >= 0:
            left, right = columns["child"][t, node]
            mass = [columns["leaf_mass"][t, ~c] if c < 0 else columns["mass"][t, c] for c in (left, right)]
            node, depth = (left if mass[0] >= mass[1] else right), depth + 1
        depths.append(depth)  # every point is there once
    c = 2 * (np.log(39) + np.euler_gamma) - 2 * 39 / 40
    assert_allclose(run_treelite(to_treelite(forest), np.array([[np.nan]])), 2 ** (-np.mean(depths) / c), rtol=1e-12)


# -- any forest ------------------------------------------------------------------------------------


@pytest.fixture(params=["onnx", "treelite"])
def exported_scores(request):
    """A function of forest and rows that gives ``score_samples`` as the other runtime does."""
    run = request.getfixturevalue(f"run_{request.param}")
    if request.param == "onnx":
        return lambda forest, X: run(to_onnx(forest), X)[0]
    return lambda forest, X: -run(to_treelite(forest), X)


@pytest.mark.parametrize("window", [None, 50, "reservoir", "decayed", "thinned"])
def test_forests_that_followed_a_stream(exported_scores, window):
    X = points()
    forest = IsolationMondrianForest(8, score="depth", window=window, max_samples=64, random_state=0)
    forest.fit(X[:200]).partial_fit(X[200:]).forget(X[-3:], missing_ok=True)
    assert_allclose(exported_scores(forest, X), forest.score_samples(X), rtol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_trees_of_few_points(exported_scores, n):
    X = np.arange(2.0 * n).reshape(n, 2)
    forest = IsolationMondrianForest(4, score="depth", random_state=0).fit(X)
    assert_allclose(exported_scores(forest, X), forest.score_samples(X), rtol=1e-13)


def test_one_point_many_times(exported_scores):
    X = np.ones((40, 2))
    forest = IsolationMondrianForest(4, score="depth", random_state=0).fit(X)
    assert_allclose(exported_scores(forest, X * 2), forest.score_samples(X * 2), rtol=1e-13)


def test_trees_of_different_sizes_some_of_them_empty(exported_scores):
    X = np.random.default_rng(0).normal(size=(40, 2))
    forest = IsolationMondrianForest(12, score="depth", max_samples=4, random_state=0).fit(X)
    forest.forget(X[:36], missing_ok=True)
    leaves = forest.forest_.n_leaves
    assert leaves.min() == 0 and leaves.max() > 1
    assert_allclose(exported_scores(forest, X), forest.score_samples(X), rtol=1e-13)


def test_depths_of_trees_grown_for_spacing(exported_scores):
    X = points(d=3)
    forest = IsolationMondrianForest(8, random_state=0).fit(X).set_params(score="depth")
    assert_allclose(exported_scores(forest, X), forest.score_samples(X), rtol=1e-13)


@pytest.mark.parametrize("export", [to_onnx, to_treelite])
def test_what_cannot_be_exported(export):
    X = points()
    for score in ("default", "spacing", "insertion"):
        forest = IsolationMondrianForest(3, score=score, random_state=0).fit(X)
        with pytest.raises(ValueError, match=f"{export.__name__} needs a forest of .*'depth', got '{score}'.*boxes"):
            export(forest)
    with pytest.raises(ValueError, match="not fitted yet"):
        export(IsolationMondrianForest(score="depth"))
    with pytest.raises(TypeError, match="IsolationMondrianForest, got list"):
        export([])
    with pytest.raises(TypeError, match=r"got OnlineIsolationMondrianForest: pass model.to_estimator\(\)"):
        export(OnlineIsolationMondrianForest(score="depth"))
    with pytest.raises(ValueError, match=r"dtype must be one of .*, got 'float16'"):
        export(fitted(), dtype="float16")


def test_bad_arguments():
    with pytest.raises(ValueError, match="ml_opset must be 3 or 5, got 4"):
        to_onnx(fitted(), ml_opset=4)
    with pytest.raises(ValueError, match=r"dtype must be one of .*, got None"):
        to_treelite(fitted(), dtype=None)


def test_export_changes_nothing(exported_scores):
    forest = fitted()
    before = {name: column.copy() for name, column in forest.forest_.columns.items()}
    exported_scores(forest, points())
    assert forest.forest_.columns.keys() == before.keys()
    for name, column in forest.forest_.columns.items():
        assert_array_equal(column, before[name])
