"""How a point of a stream is read: dicts by the core, every other mapping, and whatever needs telling, by Python."""

from collections import UserDict
from decimal import Decimal

import numpy as np
import pytest

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
KEYS = "a", "b", "c"
POINTS = [
    {"a": 1.5, "b": -2.0, "c": 0.25},
    {"c": 0.25, "a": 1.5, "b": -2.0},
    {"a": 1, "b": True, "c": np.float32(0.1)},
    {"a": Decimal("1.5"), "b": np.int64(3), "c": True},
    {"a": None, "b": float("nan"), "c": 1.0},
    {"b": 1.0},
    {},
    {"a": 1.0, "b": 2.0, "c": 3.0, "unheard": 4.0},
    {"a": 1e300, "b": 10**30, "c": 0.0},
]


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def model(request):
    forest = IsolationMondrianForest(10, window="thinned", random_state=0).fit(X.astype(request.param))
    return OnlineIsolationMondrianForest.from_estimator(forest, feature_names=KEYS)


@pytest.mark.parametrize("x", [x for x in POINTS if "unheard" not in x and x.get("a") != 1e300], ids=str)
def test_a_point_is_the_row_of_its_values(model, x):
    row = [[float("nan") if x.get(key) is None else float(x[key]) for key in KEYS]]
    read = model._model.row(x)
    assert read.dtype == model._model.forest.dtype
    np.testing.assert_array_equal(read, np.array(row, read.dtype))


@pytest.mark.parametrize("x", POINTS, ids=str)
def test_dicts_are_read_as_other_mappings_are(x):
    model = OnlineIsolationMondrianForest(n_trees=5, seed=0)
    for row in X:
        model.learn_one(dict(zip(KEYS, row, strict=True)))
    twin = OnlineIsolationMondrianForest(n_trees=5, seed=0)
    for row in X:
        twin.learn_one(UserDict(zip(KEYS, row, strict=True)))
    assert model.score_one(x) == twin.score_one(UserDict(x))
    model.learn_one(x), twin.learn_one(UserDict(x))
    assert [model.score_one(dict(zip(KEYS, row, strict=True))) for row in X[:20]] == [
        twin.score_one(dict(zip(KEYS, row, strict=True))) for row in X[:20]
    ]


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [
        ([1.0], TypeError, "must be a number"),
        (1j, TypeError, "must be a number"),
        (np.datetime64("2020"), TypeError, "must be a number"),
        (float("inf"), ValueError, "must be finite"),
        (-float("inf"), ValueError, "must be finite"),
    ],
    ids=str,
)
@pytest.mark.parametrize("key", ["b", "unheard"])
def test_what_is_no_number_is_named(model, key, value, error, told):
    before = model.score_one({"a": 0.0, "b": 0.0, "c": 0.0})
    for call in model.score_one, model.learn_one:
        with pytest.raises(TypeError, match=r"x\['b'\] must be a number, got 'high' \(str\)"):
            call({"a": 0.0, "b": "high"})
        with pytest.raises(error, match=rf"x\['{key}'\] {told}"):
            call({"a": 0.0, key: value})
    assert model.score_one({"a": 0.0, "b": 0.0, "c": 0.0}) == before and model._model.forest.n_seen == len(X)
