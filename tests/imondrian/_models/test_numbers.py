"""What a number is, what is missing, and what is refused: the same through every door."""

import copy
import datetime
import decimal
import fractions
import math
import tempfile
from collections import OrderedDict, UserDict, defaultdict
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from imondrian import IsolationMondrianForest
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest, Shingle

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
DAY = datetime.datetime(2024, 1, 2)

# value -> the number that it is
NUMBERS = [
    (3, 3.0),
    (2**70, float(2**70)),
    (0.5, 0.5),
    (-0.0, -0.0),
    (fractions.Fraction(1, 4), 0.25),
    (decimal.Decimal("0.125"), 0.125),
    (np.int8(-3), -3.0),
    (np.uint64(2**63), 2.0**63),
    (np.float16(0.5), 0.5),
    (np.float32(0.25), 0.25),
    (np.float64(2.5), 2.5),
    (np.longdouble(1.5), 1.5),
    (np.array(4.0), 4.0),
    (np.array(4, np.int16), 4.0),
]
TRUTHS = [(True, 1.0), (False, 0.0), (np.bool_(True), 1.0)]  # numbers where there were numbers before
MISSING = [
    None,
    math.nan,
    np.float32("nan"),
    np.longdouble("nan"),
    decimal.Decimal("nan"),
    decimal.Decimal("snan"),
    pd.NA,
    np.ma.masked,
]
INFINITE = [
    math.inf,
    -math.inf,
    np.float32("inf"),
    10**400,
    -(10**5000),
    fractions.Fraction(10**400),
    decimal.Decimal("1e400"),
    decimal.Decimal("-Infinity"),
    np.longdouble("inf"),
]
REFUSED = [
    bytearray(b"3"),
    1 + 0j,
    np.complex64(1),
    DAY,
    DAY.date(),
    DAY.time(),
    datetime.timedelta(1),
    np.datetime64("2024-01-02"),
    np.timedelta64(5, "ns"),
    np.timedelta64(5, "D"),
    np.datetime64("NaT"),
    np.timedelta64("NaT"),
    pd.NaT,
    pd.Timestamp(DAY),
    pd.Timedelta(1),
    pd.Period("2024"),
    [1.0],
    (1.0,),
    {"b": 1.0},
    {1.0},
    np.array([1.0]),
    np.ones((1, 1)),
    np.array("3"),
    np.array(1 + 0j),
    np.array(5, "m8[ns]"),
    object(),
    pd.Series([1.0]),
    print,
]


def state(model):
    """What a file of the model would hold."""
    with tempfile.NamedTemporaryFile() as file:
        model.save(file.name)
        return Path(file.name).read_bytes()


def learnt_stream(dtype=np.float64):
    forest = IsolationMondrianForest(8, window="thinned", random_state=0).fit(X.astype(dtype))
    return OnlineIsolationMondrianForest.from_estimator(forest, feature_names=["a", "b", "c"])


def fresh_stream():
    return OnlineIsolationMondrianForest(8, seed=0)


ONE = ["learn_one", "score_one", "explain_one", "p_value_one", "forget_one"]


def ask(model, door, x):
    return getattr(model, door)(x, missing_ok=True) if door == "forget_one" else getattr(model, door)(x)


# -- points ------------------------------------------------------------------------------------------


@pytest.fixture(params=[np.float64, np.float32, None], ids=["float64", "float32", "fresh"])
def model(request):
    return fresh_stream() if request.param is None else learnt_stream(request.param)


@pytest.mark.parametrize("door", ONE)
def test_numbers_are_their_floats(model, door):
    twin = copy.deepcopy(model)
    for value, number in NUMBERS + TRUTHS:
        assert ask(model, door, {"a": value, "b": 1.0}) == ask(twin, door, {"a": number, "b": 1.0}), repr(value)
        assert ask(model, door, {"a": value}) == ask(twin, door, {"a": number}), repr(value)
    assert state(model) == state(twin)


@pytest.mark.parametrize("door", ONE)
def test_missing_values_are_none(model, door):
    twin = copy.deepcopy(model)
    for value in MISSING:
        assert ask(model, door, {"a": value, "b": 1.0}) == ask(twin, door, {"a": None, "b": 1.0}), repr(value)
    assert state(model) == state(twin)


@pytest.mark.parametrize("door", ONE)
def test_what_is_refused_names_the_field_and_changes_nothing(model, door):
    before = state(model)
    for error, told, values in ((ValueError, "finite", INFINITE), (TypeError, "a number", REFUSED)):
        for value in values:
            for x in ({"a": 1.0, "odd": value}, {"b": value}, UserDict(b=value)):
                with pytest.raises(error, match=rf"x\['(odd|b)'\] must be {told}, got "):
                    ask(model, door, x)
    assert state(model) == before


@pytest.mark.parametrize(
    "make",
    [
        dict,
        OrderedDict,
        UserDict,
        MappingProxyType,
        lambda x: defaultdict(float, x),
        pd.Series,
        lambda x: pd.Series(x, dtype=object),
        lambda x: pd.DataFrame([x]).iloc[0],
        lambda x: np.array([tuple(x.values())], dtype=[(key, float) for key in x])[0],
        lambda x: np.rec.array([tuple(x.values())], dtype=[(key, float) for key in x])[0],
    ],
    ids=["dict", "OrderedDict", "UserDict", "proxy", "defaultdict", "Series", "object Series", "row", "void", "record"],
)
@pytest.mark.parametrize("door", ONE)
def test_points_of_every_kind(model, door, make):
    x = {"a": 0.5, "b": math.nan, "new": 2.0}
    twin = copy.deepcopy(model)
    found, expected = ask(model, door, make(x)), ask(twin, door, x)
    assert found == expected and state(model) == state(twin)
    if door == "explain_one":
        assert list(found) == ["a", "b", "new"]


NO_POINTS = [
    [1.0],
    (1.0, 2.0),
    np.ones(3),
    np.ones((2, 2)),
    "a",
    3.0,
    None,
    {1.0},
    pd.DataFrame({"a": [1.0]}),
    pl.DataFrame({"a": [1.0]}),
    pl.Series("a", [1.0]),
]


@pytest.mark.parametrize("door", ONE)
def test_what_is_no_point(model, door):
    before = state(model)
    for x in NO_POINTS:
        with pytest.raises(TypeError, match=f"x must be a dict of numbers by feature, got {type(x).__name__}"):
            ask(model, door, x)
    assert state(model) == before


def test_a_series_with_one_key_twice(model):
    with pytest.raises(ValueError, match="distinct keys, got 'a' more than once"):
        model.learn_one(pd.Series([1.0, 2.0], index=["a", "a"]))


def test_a_default_dict_is_only_read():
    x = defaultdict(float, a=1.0)
    for door in ONE:
        ask(learnt_stream(), door, x)
    assert dict(x) == {"a": 1.0}


def test_keyed_forests_have_the_same_rule():
    with KeyedForest(n_trees=8, seed=0) as forest:
        for _ in range(60):
            forest.learn_one(0, {"a": RNG.normal()})
        size = forest.info()
        for value in REFUSED + INFINITE:
            for door in ("learn_one", "score_learn_one", "score_one", "explain_one", "p_value_one", "forget_one"):
                for key in (0, "new"):
                    with pytest.raises((TypeError, ValueError), match=r"x\['odd'\] must be (a number|finite), got "):
                        getattr(forest, door)(key, {"odd": value})
        assert forest.info() == size
        for value, number in NUMBERS + TRUTHS:
            assert forest.score_one(0, {"a": value}) == forest.score_one(0, {"a": number})
        for value in MISSING:
            assert forest.score_one(0, {"a": value}) == forest.score_one(0, {})
        assert forest.explain_one(0, pd.Series({"a": 1.0})).keys() == {"a"}
        assert forest.explain_one("new", pd.Series({"a": 1.0})) == {"a": 0.0}


def test_shingles_pass_points_of_every_kind_on():
    for make in (dict, pd.Series, UserDict):
        shingle = Shingle(2)
        for value in (1.0, 2.0):
            x = make({"a": value})
            before = shingle.transform_one(x)
            shingle.learn_one(x)
            assert shingle.transform_one(x) == before
        assert before == {"a_lag1": 1.0, "a_lag0": 2.0}


# -- tables ------------------------------------------------------------------------------------------

# name -> (a column of two values in each library, the two numbers, NaN where missing)
NAN = math.nan
COLUMNS = {
    "float64": (pd.Series([1.5, NAN]), pl.Series([1.5, None]), pa.array([1.5, None]), [1.5, NAN]),
    "float32": (
        pd.Series([1.5, NAN], dtype="float32"),
        pl.Series([1.5, None], dtype=pl.Float32),
        pa.array([1.5, None], pa.float32()),
        [1.5, NAN],
    ),
    "float16": (pd.Series([1.5, NAN], dtype="float16"), None, pa.array([1.5, None], pa.float16()), [1.5, NAN]),
    "int": (pd.Series([1, 2]), pl.Series([1, 2]), pa.array([1, 2]), [1.0, 2.0]),
    "uint64": (
        pd.Series([1, 2**63], dtype="uint64"),
        pl.Series([1, 2**63], dtype=pl.UInt64),
        pa.array([1, 2**63], pa.uint64()),
        [1.0, 2.0**63],
    ),
    "large int": (
        pd.Series([1, 2**60 + 1]),
        pl.Series([1, 2**60 + 1]),
        pa.array([1, 2**60 + 1]),
        [1.0, float(2**60 + 1)],
    ),
    "nullable int": (pd.Series([1, None], dtype="Int64"), pl.Series([1, None]), pa.array([1, None]), [1.0, NAN]),
    "bool": (pd.Series([True, False]), pl.Series([True, False]), pa.array([True, False]), [1.0, 0.0]),
    "nullable bool": (
        pd.Series([True, None], dtype="boolean"),
        pl.Series([True, None]),
        pa.array([True, None]),
        [1.0, NAN],
    ),
    "arrow": (pd.Series([1.5, None], dtype="double[pyarrow]"), None, None, [1.5, NAN]),
    "sparse": (pd.Series([1.5, 0.0], dtype="Sparse[float64]"), None, None, [1.5, 0.0]),
    "decimal": (
        pd.Series([decimal.Decimal("1.5"), None], dtype=object),
        pl.Series([decimal.Decimal("1.5"), None]),
        pa.array([decimal.Decimal("1.5"), None]),
        [1.5, NAN],
    ),
    "nothing": (pd.Series([None, NAN], dtype=object), pl.Series([None, None], dtype=pl.Null), pa.nulls(2), [NAN, NAN]),
    "objects": (
        pd.Series([fractions.Fraction(3, 2), pd.NA], dtype=object),
        pl.Series([fractions.Fraction(3, 2), None], dtype=pl.Object),
        None,
        [1.5, NAN],
    ),
}
BAD_COLUMNS = {
    "dates": ([DAY, None], pl.Datetime("us"), pa.timestamp("us")),
    "days": ([DAY.date(), None], pl.Date, pa.date32()),
    "durations": ([datetime.timedelta(1), None], pl.Duration("ms"), pa.duration("ms")),
    "times": ([DAY.time(), None], pl.Time, pa.time64("us")),
    "lists": ([[1.0], [2.0]], pl.List(pl.Float64), pa.list_(pa.float64())),
    "records": ([{"b": 1.0}, {"b": 2.0}], pl.Struct({"b": pl.Float64}), pa.struct([("b", pa.float64())])),
}


def frames(columns, name="odd"):
    """Frames of each library: a usual column, then the one in question."""
    usual = [0.5, -0.5]
    in_pandas, in_polars, in_arrow = columns
    if in_pandas is not None:
        yield pd.DataFrame({"a": usual, name: in_pandas})
    if in_polars is not None:
        yield pl.DataFrame({"a": usual}).with_columns(in_polars.alias(name))
    if in_arrow is not None:
        yield pa.table({"a": pa.array(usual), name: in_arrow})
        yield pa.RecordBatch.from_arrays([pa.array(usual), in_arrow], ["a", name])


def bad_frames():
    for name, (values, in_polars, in_arrow) in BAD_COLUMNS.items():
        for frame in frames((pd.Series(values), pl.Series(values, dtype=in_polars), pa.array(values, in_arrow))):
            yield f"{name}-{type(frame).__module__.partition('.')[0]}-{type(frame).__name__}", frame
    for name, values in [
        ("intervals", pd.Series(pd.cut([1.0, 2.0], 2))),
        ("mixed", pd.Series([1.0, "2"], dtype=object)),
        ("complex", pd.Series([1 + 0j, 2])),
        ("periods", pd.Series(pd.period_range("2024", periods=2))),
        ("zoned", pd.Series(pd.date_range("2024", periods=2, tz="UTC"))),
        ("NaT", pd.Series([1.0, pd.NaT], dtype=object)),
        ("arrow dates", pd.Series([DAY, DAY], dtype="timestamp[ns][pyarrow]")),
    ]:
        yield f"{name}-pandas", pd.DataFrame({"a": [0.5, -0.5], "odd": values})


MANY = ["learn_many", "score_many", "score_learn_many", "p_values_many", "forget_many"]


def ask_many(model, door, rows):
    found = getattr(model, door)(rows, missing_ok=True) if door == "forget_many" else getattr(model, door)(rows)
    return None if found is None else found.tolist()


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("door", MANY)
def test_columns_that_are_numbers(name, door):
    *columns, numbers = COLUMNS[name]
    key = "b" if name.endswith("bool") else "odd"  # truth values are numbers where there were numbers before
    rows = [{"a": 0.5, key: numbers[0]}, {"a": -0.5, key: numbers[1]}]
    for frame in frames(columns, key):
        model, twin = learnt_stream(), learnt_stream()
        found = ask_many(model, door, frame)
        names = {
            "learn_many": ["learn_one"],
            "score_many": ["score_one"],
            "p_values_many": ["p_value_one"],
            "score_learn_many": ["score_one", "learn_one"],
            "forget_many": ["forget_one"],
        }[door]
        expected = []
        for row in rows:
            answers = [ask(twin, each, row) for each in names]
            expected.append(answers[0])
        assert found in (None, expected)
        if door.startswith("learn"):
            assert [model.score_one(row) for row in rows] == [twin.score_one(row) for row in rows]


BAD_FRAMES = dict(bad_frames())


@pytest.mark.parametrize("door", MANY)
def test_columns_that_are_none_are_named(door):
    model = learnt_stream()
    before = state(model)
    for frame in BAD_FRAMES.values():
        with pytest.raises(TypeError, match=r"X\['odd'\](, row \d,)? must be (numbers|a number), got "):
            ask_many(model, door, frame)
    assert state(model) == before


@pytest.mark.parametrize("door", ["fit", "partial_fit", "score_samples", "predict", "p_values", "explain", "forget"])
def test_scikit_learns_doors_name_them_too(door):
    good = pd.DataFrame(X[:, :2], columns=["a", "odd"])
    model = IsolationMondrianForest(8, random_state=0).fit(good)
    before = state(model)
    for name, frame in BAD_FRAMES.items():
        if name.startswith("complex"):
            continue  # a ValueError there: scikit-learn's contract
        with pytest.raises(TypeError, match=r"X\['odd'\](, row \d,)? must be (numbers|a number), got "):
            getattr(model, door)(frame)
        if door in ("fit", "partial_fit"):
            with pytest.raises(TypeError, match="must be"):
                getattr(IsolationMondrianForest(8), door)(frame)
    assert state(model) == before


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "sparse"])
def test_scikit_learns_doors_take_the_same_numbers(name):
    *columns, numbers = COLUMNS[name]
    good = pd.DataFrame(X[:, :2], columns=["a", "odd"])
    model = IsolationMondrianForest(8, random_state=0).fit(good)
    expected = model.score_samples(pd.DataFrame({"a": [0.5, -0.5], "odd": numbers}))
    for frame in frames(columns):
        if isinstance(frame, pa.RecordBatch):
            continue  # scikit-learn asks for columns by name
        np.testing.assert_array_equal(model.score_samples(frame), expected)


def test_dasks_doors_name_them_too():
    dask_frames = pytest.importorskip("dask.dataframe")
    import imondrian.dask

    good = pd.DataFrame(X[:, :2], columns=["a", "odd"])
    model = IsolationMondrianForest(8, random_state=0).fit(good)
    before = state(model)
    for name, frame in BAD_FRAMES.items():
        if not isinstance(frame, pd.DataFrame):
            continue
        rows = dask_frames.from_pandas(frame, npartitions=1)
        for door in ("fit", "score_samples", "explain"):
            with pytest.raises(TypeError, match="X must hold numbers, got 'odd'"):
                getattr(imondrian.dask, door)(model, rows)
        assert state(model) == before, name


def odd_arrays():
    yield "text", np.array([["1", "2"], ["3", "4"]])
    yield "bytes", np.array([[b"1", b"2"], [b"3", b"4"]])
    yield "dates", np.array([["2024-01-01"] * 2] * 2, "M8[D]")
    yield "durations", np.array([[1, 2], [3, 4]], "m8[s]")
    yield "objects", np.array([[1.0, "2"], [3.0, 4.0]], object)
    yield "dates in objects", np.array([[1.0, DAY], [3.0, 4.0]], object)
    yield "NaT in objects", np.array([[1.0, pd.NaT], [3.0, 4.0]], object)


@pytest.mark.parametrize(("name", "rows"), list(odd_arrays()), ids=[name for name, _ in odd_arrays()])
def test_arrays_of_something_else(name, rows):
    stream, batch = fresh_stream(), IsolationMondrianForest(8, random_state=0).fit(X[:, :2])
    stream.learn_many(X[:, :2])
    for model, doors in ((stream, MANY), (batch, ["fit", "partial_fit", "score_samples", "explain", "forget"])):
        before = state(model)
        for door in doors:
            with pytest.raises(TypeError, match=r"must be (numbers|a number), got "):
                getattr(model, door)(rows)
        assert state(model) == before
    if rows.dtype.kind not in "mM":
        with pytest.raises(TypeError, match=r"must be (numbers|a number), got "):
            batch.score_samples(rows.tolist())


def test_arrays_of_numbers():
    base = X[:5, :2]
    with_gap = base.copy()
    with_gap[1, 1] = np.nan
    structured = np.array([tuple(row) for row in with_gap], [("a", float), ("b", np.float32)])
    objects = with_gap.astype(object)
    objects[1, 1] = None
    masked = np.ma.array(np.where(np.isnan(with_gap), 7.0, with_gap), mask=np.isnan(with_gap))
    for rows in (objects, masked, with_gap.astype(np.longdouble), np.asfortranarray(with_gap), with_gap[::-1][::-1]):
        stream, twin = fresh_stream(), fresh_stream()
        stream.learn_many(X[:, :2]), twin.learn_many(X[:, :2])
        assert stream.score_many(rows).tolist() == twin.score_many(with_gap).tolist()
        batch = IsolationMondrianForest(8, random_state=0).fit(X[:, :2])
        np.testing.assert_array_equal(batch.score_samples(rows), batch.score_samples(with_gap))
    stream, twin = fresh_stream(), fresh_stream()
    for row in np.vstack([X[:, :2]]):
        stream.learn_one({"a": row[0], "b": row[1]}), twin.learn_one({"a": row[0], "b": row[1]})
    assert stream.score_many(structured).tolist() == [
        twin.score_one({"a": row["a"], "b": row["b"]}) for row in structured
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (pl.LazyFrame({"a": [1.0]}), r"table in memory, got LazyFrame: pass X.collect\(\)"),
        (pd.Series([1.0]), r"got Series: pass X.to_frame\(\)"),
        (pl.Series([1.0]), r"got Series: pass X.to_frame\(\)"),
        (pa.chunked_array([[1.0]]), "dataframe or an array of shape"),
        ([[1.0]], r"got list: pass numpy.asarray\(X\)"),
        ([{"a": 1.0}], "got list"),
        ({"a": [1.0]}, "got dict"),
        (None, "got NoneType"),
        ("a", "got str"),
        (3.0, "got float"),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
@pytest.mark.parametrize("door", MANY)
def test_what_is_no_table(model, door, rows, told):
    before = state(model)
    with pytest.raises(TypeError, match="X must be a .*" + told.removeprefix("dataframe ")):
        ask_many(model, door, rows)
    assert state(model) == before


def test_a_column_that_comes_twice():
    for frame in (pd.DataFrame(X[:, :2], columns=["a", "a"]), pa.table([pa.array(X[:, 0])] * 2, names=["a", "a"])):
        with pytest.raises(ValueError, match="distinct columns, got 'a' more than once"):
            fresh_stream().learn_many(frame)


def test_frames_of_no_column_and_no_row():
    for frame in (
        pd.DataFrame(index=range(3)),
        pd.DataFrame({"a": []}),
        pl.DataFrame({"a": []}),
        pa.table({"a": []}),
        np.empty((0, 2)),
        np.empty((3, 0)),
    ):
        model = learnt_stream()
        model.learn_many(frame)
        assert model.score_many(frame).shape == (len(frame),)
