"""Models and young ones as bytes: to the bit there and back, and nothing that is damaged comes through."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from reference.forgery import forge_points, forge_state, seal_state

pytest.importorskip("river", reason="needs river")

from imondrian._keyed.pending_points import Young
from imondrian._models.stream_state import from_bytes, to_bytes
from imondrian._persist import codec
from imondrian.river import OnlineIsolationMondrianForest

kinds = st.sampled_from([np.float64, np.float32, np.int32, np.int64, np.uint8, np.uint64, np.bool_])
shapes = arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)
whole = st.integers(-40_000, 70_000).map(float) | st.sampled_from([-0.0, 0.5, float("nan"), float("inf")])


@given(
    st.dictionaries(
        st.sampled_from(["mass", "time", "x"]),
        st.one_of(
            kinds.flatmap(lambda kind: arrays_of.arrays(kind, shapes)),
            arrays_of.arrays(np.float64, shapes, elements=whole),
        ),
    )
)
def test_arrays_come_back_to_the_bit(state):
    found = codec.unpack(codec.pack(state))
    assert found.keys() == state.keys()
    for name, array in state.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"score": "depth"},
        {"window": None},
        {"window": "reservoir"},
        {"calibration": None},
        {"scale": None, "window": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("n", [0, 1, 40, 700])
def test_models_go_on_to_the_bit(n, parameters):
    parameters = {"window": 50, **parameters}
    rng = np.random.default_rng(n)
    X = rng.normal(size=(n + 200, 3))
    X[rng.random(X.shape) < 0.05] = np.nan
    model = OnlineIsolationMondrianForest(10, seed=1, **parameters)
    model.learn_many(X[:n]) if n else None
    data = to_bytes(model._model)
    twin = OnlineIsolationMondrianForest(10, seed=5 if n else 1, **parameters)
    from_bytes(data, lambda: twin._model)
    assert twin.score_learn_many(X[n:]).tolist() == model.score_learn_many(X[n:]).tolist()
    assert {**twin.info(), "bytes": 0} == {**model.info(), "bytes": 0}  # but for spare room


def test_they_take_a_third_of_the_memory():
    model = OnlineIsolationMondrianForest(24, window=64, calibration=256, seed=1)
    model.learn_many(np.random.default_rng(0).normal(size=(500, 3)))
    assert len(to_bytes(model._model)) < model.__sizeof__() / 2.9


@pytest.mark.parametrize(
    ("name", "value"),
    [("shape", [1 << 40]), ("shape", [-1, -1]), ("shape", [3]), ("dtype", "O"), ("narrow", "|O"), ("size", 5)],
)
def test_headers_that_lie_are_refused(name, value):
    data = codec.pack({"x": np.arange(6)})
    length = int.from_bytes(data[4:8], "little")
    header = json.loads(data[12 : 12 + length])
    listed = dict(zip(("name", "dtype", "narrow", "shape", "size"), header["arrays"][0], strict=True))
    header["arrays"] = [list({**listed, name: value}.values())]
    text = json.dumps(header).encode()
    with pytest.raises(ValueError, match="damaged"):
        codec.unpack(seal_state(text.decode(), [data[12 + length :]]))


def test_a_state_of_something_else_is_refused():
    make = lambda: OnlineIsolationMondrianForest(3, seed=1)._model  # noqa: E731
    with pytest.raises(ValueError, match="other attributes"):
        from_bytes(codec.pack({"x": 1}), make)
    state = {"_keys": {}, "_forest": None, "_recent": None, "_n_ignored": 0, "_n_dropped": 0}
    with pytest.raises(ValueError, match="calibration"):
        from_bytes(codec.pack(state), make)
    with pytest.raises(ValueError, match="_keys cannot be"):
        from_bytes(codec.pack({**state, "_keys": 1}), make)


# -- young ones ----------------------------------------------------------------------------------------------

names = st.one_of(st.text(max_size=3), st.integers(), st.none(), st.tuples(st.text(max_size=2), st.integers()))
rows = st.lists(st.dictionaries(names, st.floats(allow_infinity=False), max_size=4), max_size=12)


@given(rows)
def test_young_ones_keep_points_as_they_came(points):
    young = Young()
    for x in points:
        young.learn(tuple(x), np.array(list(x.values())).reshape(1, -1))
    twin = Young.from_bytes(young.to_bytes(), 12)
    found = [dict(zip(fields, row, strict=True)) for fields, values in twin.parts for row in values.tolist()]
    known = next((i for i, x in enumerate(points) if x), len(points))  # before it, there is nothing to learn
    assert len(found) == twin.count == young.count == len(points) - known
    for x, y in zip(points[known:], found, strict=True):
        assert x.keys() == y.keys()
        np.testing.assert_array_equal(list(x.values()), [y[name] for name in x])


POINTS = [
    ([["a"], [[1.0, 2.0]]], "do not fit"),
    ([["a", "a"], [[1.0, 2.0]]], "do not fit"),
    ([["a"], [[1e999]]], "do not fit"),
    ([["a"], [[1.0]] * 10], "10 points, at most 9"),
    ([[[1]], [[1.0]]], "do not fit"),
    (["a", [[1.0]]], "do not fit"),
]


@pytest.mark.parametrize(("parts", "message"), POINTS)
def test_young_ones_that_are_none(parts, message):
    fields, rows = parts
    with pytest.raises(ValueError, match=message):
        Young.from_bytes(forge_points(json.dumps([parts])), 9)
    array = {"rows": np.array(rows)}
    forged = forge_state([fields, {"$array": "rows"}], array, letters=b"IMY", version=2)
    with pytest.raises(ValueError, match=message):
        Young.from_bytes(forged, 9)


@pytest.mark.parametrize(
    "state", [{}, [["a"]], [["a"], 1.5], [["a"], {"$array": "x"}], 3, None, [["a"], None]], ids=str
)
def test_states_that_are_no_points(state):
    arrays = {"x": np.ones((2, 1), np.float32)} if "$array" in str(state) else {}
    with pytest.raises(ValueError, match=r"no points|do not fit"):
        Young.from_bytes(forge_state(state, arrays, letters=b"IMY", version=2), 9)


def test_points_of_version_1_are_those_of_version_2():
    values = np.array([[1.5, np.nan], [-0.0, 5e-324]])
    text = '[[["a",{"$tuple":["b",1]}],[[1.5,NaN],[-0.0,5e-324]]],[[],[[]]]]'
    young = Young()
    young.learn(("a", ("b", 1)), values)
    young.learn((), np.zeros((1, 0)))
    for found in (Young.from_bytes(forge_points(text), 3), Young.from_bytes(young.to_bytes(), 3)):
        assert [fields for fields, _ in found.parts] == [("a", ("b", 1)), ()] and found.count == 3
        assert found.parts[0][1].tobytes() == values.tobytes() and found.parts[1][1].shape == (1, 0)
        assert found.to_bytes() == young.to_bytes()
