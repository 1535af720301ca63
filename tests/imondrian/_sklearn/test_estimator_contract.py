"""scikit-learn's contract: its own checks, and the tools its users put around a detector."""

import pickle
import sys
from io import BytesIO

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_estimators_partial_fit_n_features,
    parametrize_with_checks,
)

from imondrian import IsolationMondrianForest
from imondrian._forest.scoring import resolve_score

SMALL = {"n_estimators": 20, "random_state": 0}
# A window keeps points, so weights other than 0 and 1 mean nothing to it: only trees that keep
# everything can pass the equivalence of weights and copies, and only they are asked to.
WEIGHTED = [IsolationMondrianForest(**SMALL, score=score) for score in ("default", "depth", "insertion")]
WINDOWED = [
    IsolationMondrianForest(**SMALL, window=64),
    IsolationMondrianForest(**SMALL, window=64, score="depth"),
    IsolationMondrianForest(**SMALL, window="reservoir"),
    IsolationMondrianForest(**SMALL, window="thinned", max_samples=32, horizon=100),
]


@parametrize_with_checks(WEIGHTED)
def test_every_scikit_learn_check(estimator, check):
    check(estimator)


@parametrize_with_checks(WINDOWED)
def test_every_scikit_learn_check_with_a_window(estimator, check):
    if getattr(check, "func", check).__name__.startswith("check_sample_weight"):
        pytest.skip("a window refuses weights other than 0 and 1, by contract")
    check(estimator)


@pytest.mark.parametrize("estimator", WEIGHTED + WINDOWED, ids=repr)
@pytest.mark.parametrize("check", [check_estimators_partial_fit_n_features, check_dataframe_column_names_consistency])
def test_the_checks_that_are_not_run_for_outlier_detectors(check, estimator):
    check("IsolationMondrianForest", clone(estimator))


@pytest.fixture(scope="module")
def blobs():
    X, _ = make_blobs(300, centers=[[0, 0, 0], [6, 6, 6]], random_state=0)
    outliers = np.random.default_rng(0).uniform(-25, 30, size=(30, 3))
    return np.concatenate([X, outliers]), np.r_[np.ones(300, int), -np.ones(30, int)]


@pytest.fixture(scope="module")
def fitted(blobs):
    return IsolationMondrianForest(**SMALL).fit(blobs[0])


def test_outliers_score_low_and_scores_are_the_negated_paper_score(blobs, fitted):
    X, y = blobs
    scores = fitted.score_samples(X)
    assert scores.dtype == np.float64 and scores.shape == (330,)
    assert ((scores >= -1) & (scores < 0)).all()
    assert np.median(scores[y == 1]) > np.median(scores[y == -1]) + 0.1
    assert_array_equal(scores, -fitted.forest_.scores(X, resolve_score("default")))


@pytest.mark.parametrize("contamination", ["auto", 0.05, 0.1, 0.5])
def test_labels_follow_the_decision(blobs, contamination):
    X, _ = blobs
    forest = IsolationMondrianForest(**SMALL, contamination=contamination, max_samples=1.0).fit(X)
    decision = forest.decision_function(X)
    labels = forest.predict(X)
    assert_array_equal(decision, forest.score_samples(X) - forest.offset_)
    assert_array_equal(labels, np.where(decision >= 0, 1, -1))
    assert labels.dtype.kind == "i" and set(labels) == {-1, 1}
    assert_array_equal(forest.fit_predict(X), labels)
    if contamination == "auto":
        assert forest.offset_ == -0.5
    else:
        assert np.mean(labels == -1) == pytest.approx(contamination, abs=0.01)


def test_contamination_counts_copies_and_weights(blobs):
    X = np.repeat(np.arange(10.0), [55, 5, 5, 5, 5, 5, 5, 5, 5, 5])[:, None]
    distinct, counts = np.unique(X, return_counts=True)
    copies = IsolationMondrianForest(**SMALL, contamination=0.1).fit(X)
    weights = IsolationMondrianForest(**SMALL, contamination=0.1).fit(distinct[:, None], sample_weight=counts)
    assert copies.offset_ == weights.offset_


def test_pipeline(blobs):
    X, _ = blobs
    pipeline = make_pipeline(RobustScaler(), IsolationMondrianForest(**SMALL)).fit(X)
    alone = IsolationMondrianForest(**SMALL).fit(RobustScaler().fit_transform(X))
    assert_array_equal(pipeline.predict(X), alone.predict(RobustScaler().fit_transform(X)))
    assert_array_equal(pipeline.score_samples(X), pipeline[-1].score_samples(pipeline[0].transform(X)))


def test_grid_search_and_cross_validation(blobs):
    X, y = blobs
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    grid = {"n_estimators": [5, 20], "score": ["depth", "insertion"], "max_samples": [32, 0.5]}
    search = GridSearchCV(IsolationMondrianForest(random_state=0), grid, scoring="roc_auc", cv=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert set(search.best_params_) == set(grid)
    assert search.best_estimator_.get_params()["score"] == search.best_params_["score"]
    assert cross_val_score(IsolationMondrianForest(**SMALL), X, y, scoring="roc_auc", cv=3).min() > 0.8


def test_clone_and_parameters(fitted):
    params = {
        "n_estimators": 7,
        "max_samples": 0.25,
        "score": "depth",
        "window": 12,
        "horizon": 99,
        "scale": None,
        "max_bytes": 10**9,
        "categorical_features": ["a"],
        "categorical_weight": 0.5,
        "contamination": 0.1,
        "n_jobs": 2,
        "random_state": 5,
    }
    forest = IsolationMondrianForest(**params)
    assert forest.get_params() == params == clone(forest).get_params()
    assert forest.set_params(score="insertion").get_params()["score"] == "insertion"
    assert "score='insertion'" in repr(forest)
    copied = clone(fitted)
    with pytest.raises(NotFittedError):
        copied.score_samples(np.zeros((1, 3)))
    assert not hasattr(fitted, "score")  # the parameter must not look like a scoring method


@pytest.mark.parametrize("window", [None, 64, "reservoir"])
def test_joblib_memory_maps_are_scored_and_learnt_from(tmp_path, blobs, window):
    X, _ = blobs
    forest = IsolationMondrianForest(**SMALL, window=window).fit(X)
    joblib.dump(forest, tmp_path / "forest.joblib")
    np.save(tmp_path / "X.npy", X)
    mapped_X = np.load(tmp_path / "X.npy", mmap_mode="r")
    for mode in (None, "r"):
        loaded = joblib.load(tmp_path / "forest.joblib", mmap_mode=mode)
        assert_array_equal(loaded.score_samples(mapped_X), forest.score_samples(X))
        loaded.partial_fit(mapped_X[:50])
        loaded.forest_.check()
    read_only = X.copy()
    read_only.flags.writeable = False
    assert_array_equal(
        IsolationMondrianForest(**SMALL, window=window).fit(read_only).score_samples(read_only), forest.score_samples(X)
    )


def test_memory_layout_of_the_input_means_nothing(blobs, fitted):
    X, _ = blobs
    wide = np.zeros((len(X), 6))
    wide[:, ::2] = X
    for other in (np.asfortranarray(X), wide[:, ::2], X[::-1][::-1], X.tolist(), X.astype(">f8")):
        assert_array_equal(fitted.score_samples(other), fitted.score_samples(X))
        assert_array_equal(clone(fitted).fit(other).score_samples(X), fitted.score_samples(X))


@pytest.mark.parametrize("library", [pd, pl])
def test_dataframes_keep_their_names(blobs, library, fitted):
    X, _ = blobs
    frame = library.DataFrame({name: X[:, j] for j, name in enumerate("abc")})
    forest = IsolationMondrianForest(**SMALL).fit(frame)
    assert_array_equal(forest.feature_names_in_, np.array(list("abc"), dtype=object))
    assert forest.n_features_in_ == 3
    assert_array_equal(forest.score_samples(frame), fitted.score_samples(X))
    forest.partial_fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        forest.score_samples(frame[["b", "a", "c"]])
    with pytest.raises(ValueError, match="feature names should match"):
        forest.partial_fit(frame[["b", "a", "c"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        forest.score_samples(X)
    with pytest.warns(UserWarning, match="X has feature names"):
        fitted.score_samples(frame)


def test_column_transformer_into_the_forest(blobs):
    frame = pd.DataFrame(blobs[0], columns=list("abc"))
    pipeline = make_pipeline(
        make_column_transformer((StandardScaler(), ["a", "b"]), remainder="drop"), IsolationMondrianForest(**SMALL)
    ).fit(frame)
    assert pipeline[-1].n_features_in_ == 2
    assert set(pipeline.predict(frame)) == {-1, 1}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(dtype):
    X = np.random.default_rng(0).normal(size=(200, 3)).astype(dtype)
    for forest in (
        IsolationMondrianForest(**SMALL).fit(X),
        IsolationMondrianForest(**SMALL).partial_fit(X),
        IsolationMondrianForest(**SMALL, window=32).fit(X),
    ):
        assert forest.forest_.dtype == dtype
        assert forest.forest_.columns["threshold"].dtype == dtype
        scores = forest.score_samples(X)
        assert scores.dtype == np.float64
        assert_array_equal(scores, forest.score_samples(X.astype(np.float64)))
        forest.partial_fit(X.astype(np.float64))
        assert forest.forest_.dtype == dtype
        assert pickle.loads(pickle.dumps(forest)).forest_.dtype == dtype


def test_integers_become_float64():
    X = np.random.default_rng(0).integers(0, 50, size=(100, 3))
    for other in (X, X.astype(np.int8), X.astype(np.uint16), X > 25):
        assert IsolationMondrianForest(**SMALL).fit(other).forest_.dtype == np.float64


def test_the_size_of_a_forest_is_told():
    X = np.random.default_rng(0).normal(size=(2000, 10)).astype(np.float32)
    forest = IsolationMondrianForest(random_state=0, score="insertion").fit(X)
    light = IsolationMondrianForest(random_state=0, score="depth").fit(X)
    assert len(pickle.dumps(light)) < len(pickle.dumps(forest)) < 6_000_000
    calibration = 8 * 1024 + 1024 * 10 * 4  # past scores, and rows in the data's precision
    assert forest.forest_.nbytes + calibration <= sys.getsizeof(forest) < forest.forest_.nbytes + calibration + 3000


def test_max_samples_and_bounded_windows(blobs):
    X, _ = blobs
    for max_samples, expected in (("auto", 256), (10, 10), (0.5, 165), (1.0, 330), (10_000, 330), (1, 1)):
        forest = IsolationMondrianForest(**SMALL, max_samples=max_samples).fit(X)
        assert forest.max_samples_ == expected == forest.forest_.mass
    assert IsolationMondrianForest(**SMALL, window=40).fit(X).forest_.mass == 40
    assert IsolationMondrianForest(**SMALL, window=1000).fit(X).forest_.mass == 330
    assert IsolationMondrianForest(**SMALL, window="reservoir", max_samples=25).fit(X).forest_.mass == 25
    assert IsolationMondrianForest(**SMALL).partial_fit(X).max_samples_ == 0


def test_a_refit_forgets_and_a_seed_decides(blobs):
    X, _ = blobs
    forest = IsolationMondrianForest(**SMALL).fit(X + 100).partial_fit(X)
    assert_array_equal(forest.fit(X).score_samples(X), IsolationMondrianForest(**SMALL).fit(X).score_samples(X))
    scores = [IsolationMondrianForest(10, random_state=seed).fit(X).score_samples(X) for seed in (0, 1, None, None)]
    assert len({row.tobytes() for row in scores}) == 4
    shared = np.random.RandomState(0)
    assert_array_equal(IsolationMondrianForest(10, random_state=shared).fit(X).score_samples(X), scores[0])
    assert not np.array_equal(IsolationMondrianForest(10, random_state=shared).fit(X).score_samples(X), scores[0])


def test_scoring_changes_nothing(blobs, fitted):
    X, _ = blobs
    before = pickle.dumps(fitted)
    fitted.score_samples(X), fitted.predict(X[:1]), fitted.decision_function(X[:70])
    assert pickle.dumps(fitted) == before
    assert pickle.load(BytesIO(before)).score_samples(X).tobytes() == fitted.score_samples(X).tobytes()
