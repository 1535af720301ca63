"""Categories in the estimator: frames of three libraries, arrays, files, pickles, both precisions."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from cases.categories import OK, RNG, SAME, A, N, frame
from scipy import sparse

from imondrian import IsolationMondrianForest
from imondrian._forest.levels import FALSE, TRUE, narrowed, words_of
from imondrian.river import OnlineIsolationMondrianForest


def rows_of(X, dtype=np.float64):
    """What a forest is to hold, from the rule of words."""
    ok = np.where(np.asarray(X["ok"], bool), TRUE, FALSE)
    return np.column_stack([np.asarray(X["a"], dtype), words_of(list(X["site"]), dtype), narrowed(ok, dtype)])


@pytest.fixture(scope="module", params=[np.float64, np.float32], ids=["float64", "float32"])
def fitted(request):
    X = frame(request.param)
    return IsolationMondrianForest(20, random_state=0, max_samples=200).fit(X), X


def test_a_forest_holds_numbers_and_words(fitted):
    model, X = fitted
    dtype = X["a"].to_numpy().dtype
    assert model.forest_.dtype == dtype and model.forest_.nominal.tolist() == [False, True, True]
    stored, _ = model.forest_.stored_points()
    assert {row.tobytes() for row in stored} <= {row.tobytes() for row in rows_of(X, dtype)}
    assert list(model.feature_names_in_) == ["a", "site", "ok"] and model.n_features_in_ == 3


@pytest.mark.parametrize("name", SAME)
def test_columns_of_the_same_meaning_are_one(fitted, name):
    model, X = fitted
    same, twin = SAME[name](X), copy.deepcopy(model)
    np.testing.assert_array_equal(model.score_samples(same), model.score_samples(X))
    np.testing.assert_array_equal(model.p_values(same), model.p_values(X))
    np.testing.assert_array_equal(model.explain(same), model.explain(X))
    assert model.predict(same).tolist() == model.predict(X).tolist()
    assert model.why(same)[:20] == model.why(X)[:20]
    again = IsolationMondrianForest(20, random_state=0, max_samples=200).fit(same)
    if "a" not in ("arrow in pandas",) and again.forest_.dtype == model.forest_.dtype:
        np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    twin.partial_fit(same).forget(same[:3] if not isinstance(same, pa.Table) else same.slice(0, 3))
    assert twin.forest_.nominal.tolist() == [False, True, True]


def test_unseen_levels_are_scored_and_never_seen_is_said():
    X = pd.DataFrame({"a": A, "site": ["x"] * N})
    model = IsolationMondrianForest(50, random_state=0).fit(X)
    new = pd.DataFrame({"a": [0.0, 0.0], "site": ["x", "X9"]})
    scores = model.score_samples(new)
    assert scores[1] < scores[0] - 0.05
    (usual, odd) = model.why(new)
    assert "site = X9: never seen" in odd and "never seen" not in usual
    share = model.why(frame().iloc[[int(np.argmin(OK))]][["a", "site"]])
    assert len(share) == 1


def test_shares_are_told():
    X = pd.DataFrame({"a": A, "status": ["ok"] * 290 + ["error"] * 10})
    model = IsolationMondrianForest(50, random_state=0, max_samples=300).fit(X)
    assert "status = error: 3.3 % of points" in model.why(X[-1:])[0]


@pytest.mark.parametrize(
    "door", ["score_samples", "decision_function", "predict", "p_values", "explain", "why", "partial_fit", "forget"]
)
def test_a_column_of_another_kind_is_named(fitted, door):
    model, X = fitted
    before = pickle.dumps(model)
    for bad, told in [
        (X.assign(site=1.0), r"X\['site'\] must be categories, got numbers"),
        (pl.from_pandas(X.assign(ok=2)), r"X\['ok'\] must be categories, got numbers"),
        (pa.Table.from_pandas(X.assign(site=1)), r"X\['site'\] must be categories, got numbers"),
        (X.assign(a="high"), r"X\['a'\] must be numbers, got categories"),
        (X.assign(a=pd.Categorical(A)), r"X\['a'\] must be numbers, got categories"),
        (X.assign(site=pd.Timestamp(0)), r"X\['site'\] must be numbers, got datetime64"),
        (
            X.assign(site=[1.0] + ["x"] * (N - 1)),
            r"X\['site'\], row 1, must be a number, got 'x' \(str\): the value in row 0",
        ),
        (X.assign(site=[[1]] * N), r"X\['site'\], row 0, must be a number"),
    ]:
        with pytest.raises(TypeError, match=told):
            getattr(model, door)(bad)
    assert pickle.dumps(model) == before


def test_missing_values_may_be_of_any_type(fitted):
    model, X = fitted
    dtype = X["a"].to_numpy().dtype
    nothing = X[:5].assign(site=pd.Series([None] * 5, dtype=object))
    expected = model.score_samples(nothing)
    for missing in (
        np.nan,
        pd.array([pd.NA] * 5, "string"),
        pd.Categorical([None] * 5),
        pd.array([pd.NA] * 5, "Float64"),
    ):
        np.testing.assert_array_equal(model.score_samples(X[:5].assign(site=missing)), expected)
    beside = X[:5].assign(site=["x", None, "y", np.nan, pd.NA])
    found = model.score_samples(beside)
    whole = model.score_samples(X[:5].assign(site=["x", "x", "y", "x", "x"]))
    assert found[0] == whole[0] and found[2] == whole[2] and dtype == model.forest_.dtype


def test_a_column_of_missing_text_alone():
    X = pd.DataFrame({"a": A, "t": pd.array([pd.NA] * N, "string")})
    model = IsolationMondrianForest(10, random_state=0).fit(X)
    assert model.forest_.nominal.tolist() == [False, True]
    assert model.score_samples(X.assign(t="new")).shape == (N,)
    untyped = IsolationMondrianForest(10, random_state=0).fit(X.assign(t=pd.Series([None] * N, dtype=object)))
    assert untyped.forest_.nominal.tolist() == [False, False]
    asked = IsolationMondrianForest(10, random_state=0, categorical_features=["t"])
    assert asked.fit(X.assign(t=pd.Series([None] * N, dtype=object))).forest_.nominal.tolist() == [False, True]


def test_what_is_asked_for():
    X = frame().assign(code=RNG.integers(0, 5, N))
    by_name = IsolationMondrianForest(10, random_state=0, categorical_features=["site", "ok", "code"]).fit(X)
    for asked in ([1, 2, 3], np.array([False, True, True, True]), [False, True, True, True], np.array([3, 2, 1])):
        other = IsolationMondrianForest(10, random_state=0, categorical_features=asked).fit(X)
        np.testing.assert_array_equal(other.score_samples(X), by_name.score_samples(X))
    for code in (X["code"].astype(float), X["code"].astype("category"), X["code"].astype("Int16")):
        np.testing.assert_array_equal(by_name.score_samples(X.assign(code=code)), by_name.score_samples(X))
    with pytest.raises(TypeError, match=r"X\['site'\], row 0, must be a number|X\['site'\] must be numbers"):
        IsolationMondrianForest(10, categorical_features=None).fit(X)
    numbers = X[["a", "ok", "code"]]
    for asked in (None, []):
        forest = IsolationMondrianForest(10, random_state=0, categorical_features=asked).fit(numbers)
        assert not forest.forest_.nominal.any()
        plain = IsolationMondrianForest(10, random_state=0).fit(numbers.to_numpy(float))
        np.testing.assert_array_equal(forest.score_samples(numbers), plain.score_samples(numbers.to_numpy(float)))


def test_arrays_hold_what_is_asked_for():
    rows = np.column_stack([A, RNG.integers(0, 4, N)])
    for dtype in (np.float64, np.float32):
        given = rows.astype(dtype)
        kept = given.copy()
        forest = IsolationMondrianForest(10, random_state=0, categorical_features=[1]).fit(given)
        assert forest.forest_.nominal.tolist() == [False, True] and forest.forest_.dtype == dtype
        np.testing.assert_array_equal(given, kept)
        objects = np.array([[a, int(code)] for a, code in rows.tolist()], object)
        np.testing.assert_array_equal(forest.score_samples(objects.tolist()), forest.score_samples(given.tolist()))
        np.testing.assert_array_equal(forest.score_samples(objects), forest.score_samples(rows))
    texts = np.array([[1.5, "x"], [2.5, "y"]] * 20, object)
    assert IsolationMondrianForest(5, categorical_features=[1]).fit(texts).forest_.nominal.tolist() == [False, True]
    with pytest.raises(TypeError, match="must be a number"):
        IsolationMondrianForest(5).fit(texts)  # without a frame nothing is told of types
    assert not IsolationMondrianForest(5).fit(rows > 0).forest_.nominal.any()  # arrays of booleans are numbers


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_arrays_for_a_forest_of_frames():
    X = frame()
    model = IsolationMondrianForest(10, random_state=0).fit(X)
    np.testing.assert_array_equal(model.score_samples(X.to_numpy()), model.score_samples(X))
    with pytest.raises(TypeError, match=r"X\['site'\] must be categories, got numbers"):
        model.score_samples(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ("sites", ValueError, "categorical_features must be 'auto', None, or the names"),
        (3, TypeError, "categorical_features must be 'auto', None, or the names"),
        (["nobody"], ValueError, "names 'nobody', which X lacks; it has 'a', 'site', 'ok'"),
        ([3], ValueError, "indices from 0 to 2, got 3"),
        ([-1], ValueError, "indices from 0 to 2, got -1"),
        ([True, False], ValueError, r"as a mask must have shape \(3,\), got \(2,\)"),
        ([1.5], TypeError, "got 1.5 among them"),
        (np.ones((2, 2), bool), ValueError, "an array of shape"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for(asked, error, told):
    model = IsolationMondrianForest(5, categorical_features=asked)
    with pytest.raises(error, match=told):
        model.fit(frame())
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("library", ["numpy", "pandas", "Float64", "polars", "pyarrow"])
def test_infinite_categories_are_named(library):
    codes = pd.DataFrame({"a": np.arange(4.0), "code": [1.0, 2.0, -np.inf, np.nan]})
    X = {
        "numpy": codes.to_numpy,
        "pandas": lambda: codes,
        "Float64": lambda: codes.astype("Float64"),
        "polars": lambda: pl.from_pandas(codes),
        "pyarrow": lambda: pa.table({name: codes[name].to_numpy() for name in codes}),
    }[library]()
    name = 1 if library == "numpy" else "'code'"
    model = IsolationMondrianForest(5, categorical_features=[1])
    with pytest.raises(ValueError, match=rf"X\[{name}\], row 2, must be finite, got -inf"):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")


def test_names_need_a_frame_and_sparse_rows_hold_numbers():
    with pytest.raises(ValueError, match="X has no names: pass a frame, or indices"):
        IsolationMondrianForest(5, categorical_features=["a"]).fit(np.zeros((4, 2)))
    with pytest.raises(TypeError, match="must be dense where columns are categories"):
        IsolationMondrianForest(5, categorical_features=[0]).fit(sparse.eye(9, format="csr"))
    with pytest.raises(TypeError, match="must be dense where columns are categories"):
        IsolationMondrianForest(5).fit(frame()).score_samples(sparse.csr_array(np.eye(3)))


@pytest.mark.parametrize("weight", [0, -1.0, np.inf, np.nan, 1e9])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="categorical_weight must be above 0"):
        IsolationMondrianForest(5, categorical_weight=weight).fit(frame())
    with pytest.raises(ValueError, match="categorical_weight must be above 0"):
        OnlineIsolationMondrianForest(5, categorical_weight=weight)
    with pytest.raises(TypeError, match="categorical_weight must be a float"):
        IsolationMondrianForest(5, categorical_weight="much").fit(frame())


def test_the_weight_counts():
    X = frame()
    odd = X.assign(site="never")
    less, more = (
        IsolationMondrianForest(50, random_state=0, categorical_weight=weight).fit(X[["a", "site"]])
        for weight in (0.1, 4.0)
    )

    def lift(model):
        return np.mean(model.score_samples(X[["a", "site"]]) - model.score_samples(odd[["a", "site"]]))

    assert lift(more) > lift(less)


@pytest.mark.parametrize("window", [None, 100, "thinned"])
def test_files_and_pickles_keep_what_is_nominal(tmp_path, fitted, window):
    X = fitted[1]
    model = IsolationMondrianForest(10, random_state=0, window=window, categorical_weight=2.0, max_samples="auto").fit(
        X
    )
    model.save(tmp_path / "model")
    for other in (
        pickle.loads(pickle.dumps(model)),
        IsolationMondrianForest.load(tmp_path / "model"),
        copy.deepcopy(model),
    ):
        assert other.get_params() == model.get_params() and other.forest_.nominal.tolist() == [False, True, True]
        np.testing.assert_array_equal(other.score_samples(X), model.score_samples(X))
        np.testing.assert_array_equal(other.p_values(X[:9]), model.p_values(X[:9]))
        other.partial_fit(X[:20])
    model.partial_fit(X[:20])
    np.testing.assert_array_equal(other.score_samples(X), model.score_samples(X))


def test_chunks_are_the_whole(fitted):
    X = fitted[1]
    whole = IsolationMondrianForest(10, random_state=0, window=64).partial_fit(X)
    parts = IsolationMondrianForest(10, random_state=0, window=64)
    for part in (X[:50], pl.from_pandas(X[50:51]), X[51:].astype({"site": "category"})):
        parts.partial_fit(part)
    np.testing.assert_array_equal(parts.score_samples(X), whole.score_samples(X))


def test_verdicts_are_heard(fitted):
    model, X = copy.deepcopy(fitted[0]), fitted[1]
    alarm = pd.DataFrame({"a": X["a"][:1].to_numpy(), "site": ["never"], "ok": [False]})
    before = model.score_samples(alarm)
    assert model.feedback(alarm, [1]).score_samples(alarm) > before
    assert model.withdraw(alarm).score_samples(alarm) == before


def test_forgetting_takes_the_point_away():
    X = frame()
    model = IsolationMondrianForest(10, random_state=0, window=N).fit(X)
    model.forget(X[:1])
    with pytest.raises(ValueError, match="not found"):
        model.forget(X[:1])
    with pytest.raises(ValueError, match="not found"):
        model.forget(X[1:2].assign(site="never"))


def test_many_levels_need_no_table():
    levels = [f"user {k}" for k in range(100_000)]
    X = pd.DataFrame({"a": np.zeros(len(levels)), "user": levels})
    small = IsolationMondrianForest(5, random_state=0).fit(X[:1000])
    large = IsolationMondrianForest(5, random_state=0).fit(X)
    assert len(pickle.dumps(large)) < 1.5 * len(pickle.dumps(small)) + 200_000
