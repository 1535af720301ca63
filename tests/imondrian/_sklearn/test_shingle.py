"""Shingles: windows by definition, the same in both libraries, and both contracts."""

import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import river.checks
from numpy.testing import assert_array_equal
from river import compose, datasets, preprocessing
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import imondrian.river
from imondrian import IsolationMondrianForest, Shingle
from imondrian.river import OnlineIsolationMondrianForest

OnlineShingle = imondrian.river.Shingle


def windows_of(X, width, step, padding):
    """Each window written out, from its definition."""
    rows = []
    for end in range(0, len(X), step) if padding else range(width - 1, len(X), step):
        row = []
        for t in range(end - width + 1, end + 1):
            row += list(X[t]) if t >= 0 else [np.nan] * X.shape[1]
        rows.append(row)
    return np.array(rows)


# -- scikit-learn ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize(("width", "step"), [(1, 1), (4, 1), (4, 3), (10, 1), (2, 7)])
@pytest.mark.parametrize("padding", [None, "missing"])
def test_windows_are_what_they_are_defined_as(width, step, padding, d, dtype):
    X = (np.random.default_rng(0).normal(size=(10, d)) * 9).astype(dtype)
    shingle = Shingle(width, step=step, padding=padding)
    got = shingle.fit_transform(X)
    expected = windows_of(X.astype(np.float64), width, step, padding)
    assert_array_equal(got, expected)
    assert got.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert_array_equal(X[shingle.window_ends(10)], got[:, -d:])
    for other in (np.asfortranarray(X), X[::-1][::-1], X.tolist(), pd.DataFrame(X), pl.DataFrame(X)):
        assert_array_equal(Shingle(width, step=step, padding=padding).fit_transform(other), expected)


def test_windows_are_views_of_the_series():
    X = np.random.default_rng(0).normal(size=(1000, 2))
    windows = Shingle(50, step=3).fit_transform(X)
    assert np.shares_memory(windows, X) and not windows.flags.writeable
    frozen = pickle.loads(pickle.dumps(windows))
    assert not np.shares_memory(frozen, X)


def test_a_univariate_series_has_one_axis_or_two():
    x = np.arange(7.0)
    for series in (x, x.tolist(), tuple(x), x[:, None], pd.Series(x), pl.Series(x)):
        assert_array_equal(Shingle(3).fit(series).transform(series), windows_of(x[:, None], 3, 1, None))
    assert Shingle(3).fit(x).n_features_in_ == 1


def test_names_say_feature_and_lag():
    frame = pd.DataFrame(np.arange(12.0).reshape(6, 2), columns=["flow", "change"])
    shingle = Shingle(3).fit(frame)
    names = ["flow_lag2", "change_lag2", "flow_lag1", "change_lag1", "flow_lag0", "change_lag0"]
    assert list(shingle.get_feature_names_out()) == names
    numbered = Shingle(2).fit(frame.to_numpy())
    assert list(numbered.get_feature_names_out()) == ["x0_lag1", "x1_lag1", "x0_lag0", "x1_lag0"]
    with pytest.raises(ValueError, match="feature names should match"):
        shingle.transform(frame[["change", "flow"]])


@pytest.mark.parametrize("padding", [None, "missing"])
def test_dataframes_out_keep_the_index_of_the_last_observation(padding):
    frame = pd.DataFrame({"a": np.arange(6.0)}, index=pd.date_range("2022-01-01", periods=6, freq="h"))
    shingle = Shingle(3, step=2, padding=padding).set_output(transform="pandas")
    out = shingle.fit_transform(frame)
    assert list(out.columns) == ["a_lag2", "a_lag1", "a_lag0"]
    assert_array_equal(out["a_lag0"], frame.loc[out.index, "a"])
    assert_array_equal(out, windows_of(frame.to_numpy(), 3, 2, padding))
    series = pl.DataFrame({"a": np.arange(6.0)})
    polars = Shingle(3, padding=padding).set_output(transform="polars").fit_transform(series)
    assert polars.columns == list(out.columns) and len(polars) == (6 if padding else 4)
    assert list(shingle.fit_transform(frame.to_numpy()).columns) == ["x0_lag2", "x0_lag1", "x0_lag0"]


def test_missing_values_stay_missing():
    x = np.array([1.0, np.nan, 3.0, 4.0])
    assert_array_equal(Shingle(2).fit_transform(x), [[1, np.nan], [np.nan, 3], [3, 4]])


def test_in_a_pipeline():
    t = np.arange(600)
    x = np.sin(t / 6) + np.random.default_rng(0).normal(size=600) * 0.05
    x[400:406] = x[400]  # a sensor that hangs for six readings: no value is odd, their sequence is
    forest = IsolationMondrianForest(max_samples=400, score="depth", random_state=0)
    pipeline = make_pipeline(StandardScaler(), Shingle(12), forest)
    ends = pipeline[1].fit(x).window_ends(600)
    odd = ends[np.argsort(pipeline.fit(x[:, None]).score_samples(x[:, None]))[:5]]
    assert ((odd >= 401) & (odd <= 416)).all()


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"width": 0}, ValueError, "width must be at least 1, got 0"),
        ({"width": 2.0}, TypeError, "width must be an int"),
        ({"step": 0}, ValueError, "step must be at least 1"),
        ({"padding": "zero"}, ValueError, "padding must be None or"),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        Shingle(**params).fit(np.arange(9.0))
    if "step" not in params:
        with pytest.raises(error, match=message):
            OnlineShingle(**params)


def test_bad_series():
    with pytest.raises(ValueError, match="X must have at least width=4 rows, got 3"):
        Shingle(4).fit_transform(np.arange(3.0))
    assert Shingle(4, padding="missing").fit_transform(np.arange(3.0)).shape == (3, 4)
    with pytest.raises(NotFittedError):
        Shingle(4).transform(np.arange(9.0))
    for series, message in (
        (np.array([1.0, np.inf, 2.0]), "infinity"),
        (np.zeros((0, 1)), "0 sample"),
        (np.zeros((2, 2, 2)), "dim 3"),
        ([], "Expected 2D array"),
    ):
        with pytest.raises(ValueError, match=message):
            Shingle(2).fit(series)
    with pytest.raises(ValueError, match="features"):
        Shingle(2).fit(np.zeros((5, 2))).transform(np.zeros((5, 3)))


SERIES = "rows are an ordered series: a window depends on the rows before its last one"
ONE_AXIS = "a series with one axis is a series, by contract"
EXPECTED = {
    "check_methods_sample_order_invariance": SERIES,
    "check_methods_subset_invariance": SERIES,
    "check_fit1d": ONE_AXIS,
    "check_fit2d_predict1d": ONE_AXIS,
}
FEWER_ROWS = {
    "check_transformer_general": "without padding there are fewer windows than observations",
    "check_transformer_data_not_an_array": "without padding there are fewer windows than observations",
}


@parametrize_with_checks(
    [Shingle(3), Shingle(3, padding="missing"), Shingle(1)],
    expected_failed_checks=lambda shingle: (
        {} if shingle.width == 1 else {**EXPECTED, **({} if shingle.padding else FEWER_ROWS)}
    ),
)
def test_every_scikit_learn_check_that_a_series_can_pass(estimator, check):
    if estimator.width == 1 and getattr(check, "func", check).__name__ in ("check_fit1d", "check_fit2d_predict1d"):
        pytest.skip(ONE_AXIS)
    check(estimator)


# -- river -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("padding", [None, "missing"])
def test_both_libraries_agree(width, padding):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(12, 2)), columns=["b", "a"])
    batch = Shingle(width, padding=padding).fit(frame)
    names, rows = batch.get_feature_names_out(), batch.transform(frame)
    ends = list(batch.window_ends(12))
    online = OnlineShingle(width, padding=padding)
    for t, x in enumerate(frame.to_dict("records")):
        window = online.transform_one(x)
        online.learn_one(x)
        assert online.transform_one(x) == window  # before and after x was learnt
        expected = (
            {}
            if t not in ends
            else {name: value for name, value in zip(names, rows[ends.index(t)], strict=True) if not np.isnan(value)}
        )
        assert window == expected and list(window) == list(expected)


def test_equal_values_in_a_row_are_observations_of_their_own():
    shingle = OnlineShingle(3)
    for value in (1.0, 2.0, 2.0):
        shingle.learn_one({"a": value})
    assert shingle.transform_one({"a": 2.0}) == {"a_lag2": 2.0, "a_lag1": 2.0, "a_lag0": 2.0}
    x = {"a": 2.0}
    shingle.learn_one(x)
    x["a"] = 7.0  # the caller's dict is the caller's; what was learnt stays
    assert shingle.transform_one(x) == {"a_lag2": 2.0, "a_lag1": 2.0, "a_lag0": 7.0}


@pytest.mark.parametrize("learn_first", [False, True])
def test_pipelines_score_and_learn_the_same_window(learn_first):
    seen = []

    class Watched(OnlineIsolationMondrianForest):
        def learn_one(self, x):
            seen.append(("learnt", x))
            super().learn_one(x)

        def score_one(self, x):
            seen.append(("scored", x))
            return super().score_one(x)

    model = compose.Select("flow") | OnlineShingle(3) | Watched(5, seed=0)
    values = [1.0, 2.0, 2.0, 2.0, 3.0, 3.0]
    for value in values:
        x = {"flow": value, "other": 0.0}
        if learn_first:
            model.learn_one(x)
        model.score_one(x) if not learn_first else None
        if not learn_first:
            model.learn_one(x)
    expected = [{}, {}] + [{f"flow_lag{k}": values[t - k] for k in (2, 1, 0)} for t in range(2, 6)]
    kinds = ("learnt",) if learn_first else ("scored", "learnt")
    assert seen == [(kind, window) for window in expected for kind in kinds]


def test_keys_may_come_and_go():
    shingle = OnlineShingle(2, padding="missing")
    shingle.learn_one({"a": 1.0})
    assert shingle.transform_one({"b": 2.0}) == {"a_lag1": 1.0, "b_lag0": 2.0}
    shingle.learn_one({})
    assert shingle.transform_one({"a": 3.0}) == {"a_lag0": 3.0}


def test_a_forest_learns_full_windows_only():
    model = OnlineShingle(4) | OnlineIsolationMondrianForest(5, seed=0)
    for t in range(50):
        model.learn_one({"a": float(t % 7)})
    assert model["OnlineIsolationMondrianForest"]._model.forest.n_seen == 47
    scaled = preprocessing.StandardScaler() | OnlineShingle(4) | OnlineIsolationMondrianForest(5, seed=0)
    for t in range(60):
        scaled.learn_one({"a": float(t % 7)})
    assert 0 < scaled.score_one({"a": 1.0}) < 1


CHECKED = [OnlineShingle(), OnlineShingle(3, padding="missing"), OnlineShingle(1)]


@pytest.mark.parametrize(
    ("model", "check"),
    [
        pytest.param(model, check, id=f"{i}-{check.__name__}")
        for i, model in enumerate(CHECKED)
        for check in river.checks.yield_checks(model)
    ],
)
def test_every_river_check(model, check):
    check(model.clone())


def test_pickles_do_not_hold_the_callers_dict():
    shingle, x = OnlineShingle(2), {"a": 1.0}
    shingle.learn_one(x)
    before = pickle.dumps(shingle)
    x["a"] = 5.0
    assert pickle.dumps(shingle) == before
    assert pickle.loads(before).transform_one({"a": 2.0}) == {"a_lag1": 1.0, "a_lag0": 2.0}


# -- the example -----------------------------------------------------------------------------------------


def test_the_example_finds_what_is_known_of_the_water_flow(tmp_path):
    pytest.importorskip("matplotlib", reason="the example draws a picture")
    path = Path(__file__).parents[3] / "examples" / "water_flow.py"
    spec = importlib.util.spec_from_file_location("water_flow", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert sum(1 for _ in datasets.WaterFlow()) == 1268
    figures = example.main(tmp_path)
    assert (tmp_path / "water-flow.png").stat().st_size > 20_000
    assert figures["stream: ROC AUC"] > 0.97 and figures["at once: ROC AUC"] > 0.97
    assert 0.02 < figures["stream: share of alarms"] < 0.08
    for name in example.KNOWN:
        if name.startswith("cut off"):
            assert figures[f"{name}: hours until the alarm"] <= 3
            assert figures[f"{name}: hours that score higher"] < 20
