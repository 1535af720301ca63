"""Reasons in words: ranges against a slow reference, wording of all kinds of values, numbers that read the same."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

from imondrian import IsolationMondrianForest, _core
from imondrian._models.wording import StoredPoints, number_texts, p_text, why
from imondrian._river.online_forest import OnlineForest
from imondrian.keyed import KeyedForest

NAMES = ["vibration", "temperature", "mode", "humidity"]


def points_of(X, seed=0):
    """Some 300 readings; the mode is always 5, half of the humidity is missing."""
    rng = np.random.default_rng(seed)
    X = np.c_[rng.uniform(0.2, 1.4, X), rng.normal(20, 2, X), np.full(X, 5.0), rng.normal(50, 3, X)]
    X[::3, 3] = np.nan
    return X


@pytest.fixture(scope="module")
def model():
    found = OnlineForest(seed=1)
    for row in points_of(300).tolist():
        found.learn_one(dict(zip(NAMES, row, strict=True)))
    return found


USUAL = {"vibration": 0.8, "temperature": 20.0, "mode": 5.0, "humidity": 50.0}


def slow_values(forest):
    """The stored values by feature: those of all trees in one list, as often as they count, sorted."""
    found = [[] for _ in range(forest.n_features)]
    columns = forest.columns
    for points, masses in zip(columns["leaf_point"].tolist(), columns["leaf_mass"].tolist(), strict=True):
        for point, mass in zip(points, masses, strict=True):
            row = columns["points"][point, : forest.n_features].tolist()
            for values, value in zip(found, row, strict=True):
                values += [] if math.isnan(value) or point < 0 else [value] * round(mass)
    return [sorted(values) for values in found]


def slow_ranges(forest):
    """5 and 95 % of the stored values by feature."""
    return [
        values and (values[math.ceil(0.05 * len(values)) - 1], values[math.ceil(0.95 * len(values)) - 1])
        for values in slow_values(forest)
    ]


@pytest.mark.parametrize("n", [1, 2, 19, 20, 21, 300])
def test_what_is_usual_is_what_most_stored_points_have(n):
    X = points_of(n)
    X[: n // 2] = np.round(X[: n // 2])  # repeats, which count each time
    X[n // 4 : n // 3] = X[:1]
    model = OnlineForest(10, window=400, seed=1)
    model.learn_many(X)
    points, expected = StoredPoints(model._model.forest), slow_ranges(model._model.forest)
    for j, span in enumerate(expected):
        usual = points.usual(j)
        assert (usual is None and not span) or (usual.low, usual.high) == pytest.approx(span, abs=0)
        assert points.beside(X[0]).is_constant[j] == (len(set(X[~np.isnan(X[:, j]), j])) == 1)
    for row in (*X[:20], X[0] + 0.1, X[0] - 9):
        inside = [bool(span) and span[0] <= value <= span[1] for value, span in zip(row, expected, strict=True)]
        assert points.beside(row).is_usual.tolist() == inside
    mass = 10 * n  # a point may have joined one in its place that has more values
    assert points.beside(X[0]).share == pytest.approx(
        [len(values) / mass for values in slow_values(model._model.forest)]
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_ranges_are_those_of_sorted_values(dtype):
    """Beside a sort: many values and few, in order or not, repeated, missing, of all weights, and in wide rows."""
    rng = np.random.default_rng(0)
    for case in range(600):
        n, width = rng.integers(1, [40, 3000][case % 2]), rng.integers(1, 5)
        points = (
            rng.integers(0, 6, (n, width)) if case % 3 == 0 else rng.normal(size=(n, width)) * 10.0 ** rng.integers(300)
        )
        points = np.ascontiguousarray(np.clip(points, -3e38, 3e38), dtype)
        if case % 5 == 0:
            points.sort(axis=0)
        points[rng.random(points.shape) < rng.choice([0.0, 0.3, 1.0])] = np.nan
        mass = rng.integers(0, 4, n) * (1e12 if case % 7 == 0 and rng.random() < 0.5 else 1.0)
        if case % 11 == 0:
            mass[rng.integers(n)] = 1e9
        feature = int(rng.integers(width))
        held = (points[:, feature] == points[:, feature]) & (mass > 0)
        order = np.argsort(points[held, feature], kind="stable")
        values, total = points[held, feature][order], np.cumsum(mass[held][order])
        expected = None
        if len(values):
            expected = tuple(values[np.searchsorted(total, np.array([0.05, 0.95]) * total[-1])].tolist())
        assert _core.usual_range(points, mass, feature, 0.05) == expected, case


def test_each_kind_of_value_has_its_words(model):
    def said(**changes):
        text = model.why_one({name: value for name, value in {**USUAL, **changes}.items() if value is not None})
        return re.sub(r"-?\d*\.?\d+(e[+-]\d+)?", "#", text)

    assert said(vibration=31.0) == "vibration # is above its usual # to # (p = #); humidity, mode and temperature usual"
    assert said(vibration=-31.0).startswith("vibration # is below its usual # to # (p = #)")
    assert "mode # is above its constant # (p = #)" in said(mode=6.0)
    assert "mode # is below its constant #" in said(mode=4.0)
    assert said(vibration=31.0, humidity=None).endswith("; humidity missing; mode and temperature usual")
    assert said(vibration=31.0, humidity=math.nan) == said(vibration=31.0, humidity=None)
    assert said(vibration=31.0, wind=3.0).endswith("usual; wind never seen before")
    assert "wind" not in said(vibration=31.0, wind=math.nan)
    assert said(vibration=31.0, temperature=90.0).count(" its usual ") == 2
    p_value = model.p_value_one({**USUAL, "vibration": 31.0})
    assert f"({p_text(p_value)})" in model.why_one({**USUAL, "vibration": 31.0})
    assert OnlineForest().why_one(USUAL) == "not enough is known yet"
    without = OnlineForest(seed=1, calibration=None)
    without.learn_many(points_of(100))
    assert "p =" not in without.why_one({0: 31.0, 1: 20.0}) and "feature 0 31 is above" in without.why_one({0: 31.0})


def test_reasons_are_those_of_the_explanation_in_order(model):
    x = {**USUAL, "vibration": 31.0, "temperature": -90.0, "humidity": 500.0}
    parts = model._model.forest.explain(model._model.row(x), "insertion")[0][0].max(axis=1)
    largest = sorted(zip(model._model.keys, parts.tolist(), strict=True), key=lambda each: -each[1])
    told = re.findall(r"(\w+) [-\d.]+ is", model.why_one(x))
    assert told == [name for name, size in largest if size > 0][:3] and len(told) == 3
    assert re.findall(r"(\w+) [-\d.]+ is", model.why_one(x, most=1)) == told[:1]


@pytest.mark.parametrize("score", ["spacing", "depth", "insertion"])
def test_a_value_far_out_is_named_first(score):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(2000, 8)) @ rng.normal(size=(8, 8))  # features that go together
    X[:, 6:] = np.round(X[:, 6:] / X[:, 6:].std(axis=0))  # and such with few levels
    forest = IsolationMondrianForest(100, score=score, random_state=0).fit(X[:1500])
    rows, moved = X[1500:].copy(), rng.integers(8, size=500)
    rows[np.arange(500), moved] += rng.choice([-8.0, 8.0], 500) * X.std(axis=0)[moved]
    texts = forest.why(rows, most=1)
    assert np.mean([text.startswith(f"feature {j} ") for text, j in zip(texts, moved, strict=True)]) >= 0.95


def test_asking_changes_nothing_and_bad_questions_are_refused(model):
    before = model.explain_one(USUAL), model.score_one(USUAL)
    model.why_one({**USUAL, "wind": 3.0})
    assert (model.explain_one(USUAL), model.score_one(USUAL)) == before and "wind" not in model._model.keys
    for most in (0, -1, 1.5, True, None):
        with pytest.raises((ValueError, TypeError), match="most must be"):
            model.why_one(USUAL, most=most)
        with pytest.raises((ValueError, TypeError), match="most must be"):
            IsolationMondrianForest(5).fit(points_of(50)).why(points_of(1), most=most)
    with pytest.raises(ValueError, match="vibration"):
        model.why_one({"vibration": math.inf})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("score", ["spacing", "depth", "insertion"])
def test_rows_of_an_estimator(dtype, score):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    X = points_of(500).astype(dtype)
    forest = IsolationMondrianForest(20, score=score, random_state=0).fit(X)
    rows = X[[1, 2]].copy()
    rows[0, 0], rows[1, 3] = 31, np.nan
    first, second = forest.why(rows)
    assert first.startswith("feature 0 31 is above its usual 0.2") and p_text(forest.p_values(rows)[0]) in first
    assert "feature 3 missing" in second
    named = IsolationMondrianForest(20, score=score, random_state=0).fit(pandas.DataFrame(X, columns=NAMES))
    assert [text.replace("feature 0", "vibration") for text in forest.why(rows[:1], most=1)] == [
        re.sub("|".join(NAMES[1:]), lambda name: f"feature {NAMES.index(name[0])}", text)
        for text in named.why(pandas.DataFrame(rows[:1], columns=NAMES), most=1)
    ]


def test_an_imported_forest_knows_sides_alone():
    X = np.random.default_rng(0).normal(size=(300, 2))
    forest = IsolationMondrianForest.from_isolation_forest(IsolationForest(n_estimators=20, random_state=0).fit(X), X)
    (text,) = forest.why([[0.0, 30.0]])
    assert re.match(r"feature 1 30 is high", text) and "usual" not in text


def test_a_keyed_forest_says_what_the_keys_model_says():
    with KeyedForest(seed=1) as forest:
        assert forest.why_one("a", USUAL) == "not enough is known yet"
        for row in points_of(80).tolist():
            forest.learn_one("a", dict(zip(NAMES, row, strict=True)))
        x = {**USUAL, "vibration": 31.0}
        text = forest.why_one("a", x)
        assert text == forest.model("a").why_one(x) and "vibration 31 is above" in text
        with pytest.raises(ValueError, match="most must be"):
            forest.why_one("b", x, most=0)


def test_many_features_are_counted():
    rng = np.random.default_rng(1)
    points = OnlineForest(10, seed=1)
    points.learn_many(rng.normal(size=(200, 12)))
    row = np.zeros(12)
    row[4], row[5] = 30.0, -30.0
    parts = np.zeros((12, 2))
    parts[4, 1] = parts[5, 0] = 0.2
    text = why(StoredPoints(points._model.forest), row, parts, list("abcdefghijkl"), None)
    assert re.fullmatch(
        r"e 30 is above its usual \S+ to \S+; f -30 is below its usual \S+ to \S+; 10 others usual", text
    )


# -- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.1, "3.1"),
        (0.2, "0.2"),
        (20.0, "20"),
        (123456.7, "123457"),
        (-0.0, "0"),
        (0.000123456, "0.000123"),
        (1e-9, "1e-09"),
        (123456789012.0, "1.23e+11"),
        (-1.5, "-1.5"),
        (5e-324, "4.94e-324"),
        (1.7e308, "1.7e+308"),
        (0.1 + 0.2, "0.3"),
        (99.96, "100"),
        (float(np.float32(3.1)), "3.1"),
    ],
)
def test_numbers_are_short(value, text):
    assert number_texts(value) == [text]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3))
def test_numbers_that_differ_look_different_and_keep_their_order(values):
    texts = number_texts(*values)
    read = [float(text) for text in texts]
    assert len(set(texts)) == len({value + 0.0 for value in values})
    assert sorted(range(len(values)), key=lambda i: read[i]) == sorted(range(len(values)), key=lambda i: values[i])
    assert all(a == pytest.approx(b, rel=0.006) for a, b in zip(read, values, strict=True))


@pytest.mark.parametrize(
    ("p_value", "text"),
    [
        (1.0, "p = 1"),
        (0.996, "p = 1"),
        (0.37, "p = .37"),
        (0.1, "p = .10"),
        (0.0023, "p = .002"),
        (0.0001, "p = .0001"),
        (9.9e-5, "p < .0001"),
        (0.0, "p < .0001"),
        (0.0967, "p = .10"),
    ],
)
def test_p_values_are_short(p_value, text):
    assert p_text(p_value) == text
