"""Categories through every door: frames of three libraries, arrays, dicts, files, pickles, both precisions."""

import copy
import enum
import pickle
import unicodedata

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from imondrian import IsolationMondrianForest
from imondrian._forest.levels import FALSE, TRUE, narrowed, word_of, words_of
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

N = 300
RNG = np.random.default_rng(0)
SITES = RNG.choice(["x", "y", "z"], N, p=[0.5, 0.3, 0.2]).astype(object)
OK = RNG.random(N) < 0.9
A = RNG.normal(size=N)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def frame(dtype=np.float64):
    return pd.DataFrame({"a": A.astype(dtype), "site": SITES, "ok": OK})


def records(X):
    return [
        {"a": float(a), "site": site, "ok": bool(ok)} for a, site, ok in zip(X["a"], X["site"], X["ok"], strict=True)
    ]


def rows_of(X, dtype=np.float64):
    """What a forest is to hold, from the rule of words."""
    ok = np.where(np.asarray(X["ok"], bool), TRUE, FALSE)
    return np.column_stack([np.asarray(X["a"], dtype), words_of(list(X["site"]), dtype), narrowed(ok, dtype)])


SAME = {
    "str": lambda X: X.astype({"site": "str"}),
    "string": lambda X: X.astype({"site": "string"}),
    "category": lambda X: X.astype({"site": "category"}),
    "other codes": lambda X: X.assign(site=pd.Categorical(X["site"], ["unused", "z", "y", "x"])),
    "truths as objects": lambda X: X.assign(ok=X["ok"].astype(object)),
    "nullable truths": lambda X: X.astype({"ok": "boolean"}),
    "truths as categories": lambda X: X.astype({"ok": "category"}),
    "arrow in pandas": lambda X: X.astype({"site": "string[pyarrow]", "ok": "bool[pyarrow]", "a": "double[pyarrow]"}),
    "arrow dictionary in pandas": lambda X: X.assign(
        site=pd.Series(pd.arrays.ArrowExtensionArray(pa.array(list(X["site"])).dictionary_encode()))
    ),
    "polars": pl.from_pandas,
    "polars category": lambda X: pl.from_pandas(X).with_columns(pl.col("site").cast(pl.Categorical)),
    "polars enum": lambda X: pl.from_pandas(X).with_columns(pl.col("site").cast(pl.Enum(["z", "unused", "x", "y"]))),
    "arrow": pa.Table.from_pandas,
    "arrow dictionary": lambda X: pa.Table.from_pandas(X.astype({"site": "category"})),
    "arrow chunks": lambda X: pa.concat_tables(
        [
            pa.Table.from_pandas(X.astype({"site": "category"})).slice(0, 7),
            pa.Table.from_pandas(X.astype({"site": "category"})).slice(7),
        ]
    ),
}


# -- scikit-learn ------------------------------------------------------------------------------------


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


# -- streams -----------------------------------------------------------------------------------------


def streamed(X=None, **params):
    model = OnlineIsolationMondrianForest(20, seed=0, **params)
    for x in records(frame() if X is None else X):
        model.learn_one(x)
    return model


@pytest.mark.parametrize("name", SAME)
def test_tables_are_their_rows(name):
    X = frame()[:120]
    table, twin = OnlineIsolationMondrianForest(10, seed=0), OnlineIsolationMondrianForest(10, seed=0)
    same = SAME[name](X)
    twin.learn_many(X[:1]), table.learn_one(records(X)[0])  # the keys in one order
    first = same.slice(1) if isinstance(same, pa.Table) else same[1:]
    table.learn_many(first)
    for x in records(X)[1:]:
        twin.learn_one(x)
    asked = records(X)[:20]
    assert [table.score_one(x) for x in asked] == [twin.score_one(x) for x in asked]
    assert table.score_many(same).tolist() == [twin.score_one(x) for x in records(X)]
    assert table.p_values_many(same).tolist() == [twin.p_value_one(x) for x in records(X)]


def test_the_quick_and_the_slow_way_to_a_row_agree():
    model = streamed()
    for x in records(frame())[:50]:
        quick = model._model.row(x)
        slow = model._model.row({**x, "site": np.str_(x["site"]), "ok": np.bool_(x["ok"])})
        np.testing.assert_array_equal(quick, slow)
        places = model._model.keys
        assert quick[0, places["site"]] == word_of(x["site"]) and quick[0, places["ok"]] == (TRUE if x["ok"] else FALSE)


@pytest.mark.parametrize("value", ["x", b"x", True, np.bool_(True), Colour.RED, np.str_("x")], ids=repr)
def test_categories_of_every_type(value):
    model = OnlineIsolationMondrianForest(10, seed=0, score="insertion")
    for k in range(60):
        model.learn_one({"a": float(k % 7), "kind": value})
    assert model._model.forest.nominal[model._model.keys["kind"]]
    assert model.score_one({"a": 3.0, "kind": "never seen"}) > model.score_one({"a": 3.0, "kind": value})
    assert model.explain_one({"a": 3.0, "kind": value}).keys() == {"a", "kind"}


DOORS = ["learn_one", "score_one", "explain_one", "why_one", "p_value_one", "forget_one"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("x", "told"),
    [
        ({"a": "high"}, r"x\['a'\] must be a number, got 'high' \(str\): its values so far are numbers"),
        ({"site": 3.0}, r"x\['site'\] must be a category, got 3.0 \(float\): its values so far are categories"),
        ({"ok": 1}, r"x\['ok'\] must be a category, got 1 \(int\)"),
        ({"a": 1.0, "new": "text", "site": 2}, r"x\['site'\] must be a category, got 2 \(int\)"),
        ({"site": [1]}, r"x\['site'\] must be a number, got \[1\]"),
    ],
    ids=str,
)
def test_a_key_that_changes_its_kind_is_named_and_nothing_changes(door, x, told):
    model = streamed()
    before = pickle.dumps(model)
    with pytest.raises(TypeError, match=told):
        getattr(model, door)(x)
    with pytest.raises(TypeError, match=told.split("'")[1]):
        model.learn_many(pd.DataFrame([x]))
    assert pickle.dumps(model) == before


def test_truth_values_are_numbers_where_numbers_were():
    model = OnlineIsolationMondrianForest(10, seed=0)
    twin = OnlineIsolationMondrianForest(10, seed=0)
    for k in range(100):
        for each in (model, twin):
            each.learn_one({"a": float(k), "flag": float(k % 2)})
    for k in range(20):
        model.learn_one({"a": float(k), "flag": bool(k % 2)}), twin.learn_one({"a": float(k), "flag": k % 2})
        model.learn_many(pd.DataFrame({"a": [0.5], "flag": [True]})), twin.learn_one({"a": 0.5, "flag": 1.0})
    assert model.score_one({"a": 3.0, "flag": False}) == twin.score_one({"a": 3.0, "flag": 0})
    assert not model._model.forest.nominal.any()


@pytest.mark.parametrize("value", ["text", True, 1.5])
def test_a_key_without_values_may_become_either(value):
    model = OnlineIsolationMondrianForest(10, seed=0)
    for k in range(50):
        model.learn_one({"a": float(k), "late": None})
    model.score_one({"a": 1.0, "late": value})
    model.learn_one({"a": 1.0, "late": value})
    table = OnlineIsolationMondrianForest(10, seed=0)
    table.learn_many(pd.DataFrame({"a": np.arange(50.0), "late": [None] * 50}))
    table.learn_many(pd.DataFrame({"a": [1.0], "late": [value]}))
    for each in (model, table):
        assert each._model.forest.nominal[each._model.keys["late"]] == (value != 1.5)
        each._model.forest.check()
    assert model.score_one({"a": 1.0, "late": value}) == table.score_one({"a": 1.0, "late": value})
    assert model.info()["keys_dropped"] == 0


def test_the_order_of_keys_means_nothing():
    model, twin = OnlineIsolationMondrianForest(10, seed=0), OnlineIsolationMondrianForest(10, seed=0)
    for x in records(frame()):
        model.learn_one(x), twin.learn_one(dict(reversed(x.items())))
    assert [model.score_one(x) for x in records(frame())] == [twin.score_one(x) for x in records(frame())]


@pytest.mark.parametrize("score", ["depth", "insertion", "spacing"])
@pytest.mark.parametrize("window", ["thinned", "decayed", 64, None])
def test_streams_of_categories_go_on_soundly(score, window):
    model = OnlineIsolationMondrianForest(10, seed=0, score=score, window=window)
    for k, x in enumerate(records(frame())):
        model.score_one(x)
        model.learn_one({**x, f"rare {k // 100}": "text"} if k % 10 == 0 else x)
    model._model.forest.check()
    seen, new = ({"a": 0.0, "site": site, "ok": True} for site in ("x", "never"))
    assert model.score_one(new) > model.score_one(seen)
    assert "site = never: never seen" in model.why_one(new)
    parts = model.explain_one(new)
    assert sum(parts.values()) == pytest.approx(model.score_one(new) - model.expected_score, abs=1e-9)
    both = model.explain_one(new, by_direction=True)
    assert both["site"][0] == 0.0 and both["site"][1] == pytest.approx(parts["site"])
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        each.learn_one(new)
        each.forget_one(new, missing_ok=True)
    assert model.score_one(new) == twin.score_one(new)


def test_what_was_forgotten_is_gone():
    model = streamed(window=N)
    x = records(frame())[5]
    model.forget_one(x)
    with pytest.raises(ValueError, match="not found"):
        model.forget_one({**x, "site": "never"})
    model.forget_many(frame()[10:20])


def test_verdicts_on_points_with_categories():
    model = streamed()
    x = {"a": 0.0, "site": "never", "ok": False}
    before = model.score_one(x)
    model.feedback_one(x, 1)
    assert model.score_one(x) < before
    model.feedback_many(pd.DataFrame([x]), [-1])
    assert model.score_one(x) > before
    model.withdraw_one(x)
    assert model.score_one(x) == before


def test_estimators_and_streams_are_exchanged():
    X = frame(np.float32)
    forest = IsolationMondrianForest(10, window="thinned", random_state=0, score="depth", categorical_weight=2.0).fit(X)
    model = OnlineIsolationMondrianForest.from_estimator(forest)
    np.testing.assert_array_equal([model.score_one(x) for x in records(X)], -forest.score_samples(X))
    with pytest.raises(TypeError, match=r"x\['site'\] must be a category"):
        model.learn_one({"site": 1})
    back = model.to_estimator()
    assert back.categorical_weight == model.categorical_weight == 2.0
    np.testing.assert_array_equal(back.score_samples(X), forest.score_samples(X))


def test_files_of_streams(tmp_path):
    model = streamed(categorical_weight=3.0)
    model.save(tmp_path / "model")
    other = OnlineIsolationMondrianForest.load(tmp_path / "model")
    assert other.categorical_weight == 3.0
    for x in records(frame())[:30]:
        assert other.score_one(x) == model.score_one(x)
        other.learn_one(x), model.learn_one(x)


def test_levels_that_differ_in_form_differ_on_streams():
    model = OnlineIsolationMondrianForest(20, seed=0, score="insertion")
    for k in range(100):
        model.learn_one({"a": float(k % 5), "name": "café"})
    usual = model.score_one({"a": 1.0, "name": "café"})
    for other in (unicodedata.normalize("NFD", "café"), "Café", "café ", b"caf\xc3\xa9"):
        assert model.score_one({"a": 1.0, "name": other}) > usual


# -- one model a key ---------------------------------------------------------------------------------


def test_keyed_forests_take_categories(tmp_path):
    X = frame()
    keys = [k % 2 for k in range(N)]
    with (
        KeyedForest(tmp_path / "one", n_trees=8, seed=0) as one,
        KeyedForest(tmp_path / "many", n_trees=8, seed=0) as many,
    ):
        expected = [one.score_learn_one(key, x) for key, x in zip(keys, records(X), strict=True)]
        assert many.score_learn_many(keys, X).tolist() == expected
        assert one.score_many(keys[:9], X[:9]).tolist() == [
            one.score_one(k, x) for k, x in zip(keys[:9], records(X)[:9], strict=True)
        ]
        assert "never seen" in one.why_one(0, {"a": 0.0, "site": "never", "ok": True})
        with pytest.raises(TypeError, match=r"x\['site'\] must be a category, got 1.0"):
            one.learn_one(0, {"site": 1.0})
    with KeyedForest.open(tmp_path / "one") as again:
        assert again.score_one(1, records(X)[0]) == many_score(tmp_path / "many", 1, records(X)[0])


def many_score(path, key, x):
    with KeyedForest.open(path) as forest:
        return forest.score_one(key, x)


def test_the_first_points_of_a_key_keep_their_kinds(tmp_path):
    x = {"a": 1.0, "site": "x", "none": None}
    with KeyedForest(tmp_path / "k", n_trees=8, seed=0, max_models=1) as forest:
        forest.learn_one("young", x)
        forest.learn_one("other", x)  # drives the first one to the disk
        for bad, told in (
            ({"site": 1.0}, r"x\['site'\] must be a category"),
            ({"a": "x"}, r"x\['a'\] must be a number"),
        ):
            with pytest.raises(TypeError, match=told):
                forest.learn_one("young", bad)
        forest.learn_one("young", {"a": True, "none": "text"})
        for _ in range(40):
            forest.learn_one("young", x)
        model = forest.model("young")._model
        assert {key: bool(model.forest.nominal[place]) for key, place in model.keys.items()} == {
            "a": False,
            "site": True,
            "none": True,
        }
        assert model.forest.n_seen == 42


def test_a_folder_has_one_weight(tmp_path):
    KeyedForest(tmp_path / "k", categorical_weight=2.0).close()
    with pytest.raises(ValueError, match=r"categorical_weight must be 2.0"):
        KeyedForest(tmp_path / "k")
    KeyedForest(tmp_path / "old").close()
    with KeyedForest.open(tmp_path / "old") as forest:
        assert forest._models.parameters["categorical_weight"] == 1.0
