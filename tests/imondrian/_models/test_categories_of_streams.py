"""Categories in streams: dicts, tables of three libraries, files, pickles, one model and one a key."""

import enum
import pickle
import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from cases.categories import SAME, N, frame, records

from imondrian import IsolationMondrianForest
from imondrian._forest.levels import FALSE, TRUE, word_of
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


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
