"""The table of columns, as this file reads it, against everybody else who does: the binding, forests, bytes, states,
files, short forms and kernels."""

import pickle
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from reference.file_reference import parse
from reference.forgery import parse_state

from imondrian import IsolationMondrianForest, _core
from imondrian._cuda.forest import DeviceForest
from imondrian._forest import schema, state
from imondrian._forest.footprint import Layout
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest, seed_states
from imondrian._kit.kernel_source import Instance

TABLE = Path(_core.__file__).parent / "native" / "columns.hpp"
FIELDS = ("name", "type", "of", "each", "when", "kept", "holds", "empty", "where", "since")
TEXT = TABLE.read_text(encoding="utf-8")
ROWS = [
    dict(zip(FIELDS, re.split(r",\s*", row), strict=True)) for row in re.findall(r"^  X\((.*?)\)", TEXT, re.MULTILINE)
]
NUMBERS = {"kWidth": -1, "kHeaderSize": 6, "kStreamSize": 5}
NUMBERS |= {
    name: int(number) for name, number in re.findall(r"^inline constexpr int (k\w+) = (-?\d+);", TEXT, re.MULTILINE)
}
SINCE = [int(row["since"]) for row in ROWS]
TYPES = {"i32": np.int32, "i64": np.int64, "u64": np.uint64, "f64": np.float64}
TREES, SLOTS, N_FEATURES, N_ROWS = 11, 9, 5, 70
MEMORIES = {UNBOUNDED: set(), SLIDING: {"bounded"}, RESERVOIR: {"bounded", "reservoir"}}
RNG = np.random.default_rng(0)


def number(text):
    return NUMBERS[text] if text in NUMBERS else int(text)


def shape_of(row, slots, width, n_rows):
    """What the words of the table mean, in the order of ``enum class Of``."""
    groups = 1 + -(-TREES // 8)
    places = {
        "node": (TREES, slots),
        "leaf": (TREES, slots),
        "tree": (TREES,),
        "member": (TREES, slots - 1),
        "row": (n_rows,),
        "group": (groups,),
        "forest": (),
    }[row["of"]]
    each = {"kWidth": width, "kBag": 5}.get(row["each"]) or number(row["each"])
    return (*places, each) if row["each"] != "1" or not places else places


def told(kinds, dtype, slots=SLOTS, n_rows=N_ROWS):
    """Names, types and shapes of the columns of some kinds."""
    width = -(-N_FEATURES // (32 // dtype.itemsize)) * (32 // dtype.itemsize)
    return {
        row["name"]: (np.dtype(TYPES.get(row["type"], dtype)), shape_of(row, slots, width, n_rows))
        for row in ROWS
        if row["when"] in kinds
    }


def found(columns):
    return {name: (column.dtype, column.shape) for name, column in columns.items()}


def grown(memory=UNBOUNDED, dtype=np.float64, *, boxes=True, spaced=False, nominal=None, age=None):
    states = seed_states(np.random.RandomState(0), TREES)
    kinds = {"boxes": boxes, "spaced": spaced, "nominal": nominal, "age": age}
    return Forest(N_FEATURES, dtype, states, SLOTS, N_ROWS, memory=memory, **kinds)


def test_the_binding_tells_what_the_table_says():
    assert len(ROWS) >= 25 and len({row["name"] for row in ROWS}) == len(ROWS)
    numbers = ("each", "empty", "since")
    expected = [tuple(number(row[field]) if field in numbers else row[field] for field in FIELDS) for row in ROWS]
    assert [tuple(column) for column in _core.COLUMNS] == expected
    assert list(schema.COLUMNS) == [row["name"] for row in ROWS]
    for name, size in (("Header", _core.HEADER_SIZE), ("StreamState", NUMBERS["kStreamSize"])):
        members = re.search(rf"enum {name} : int {{(.*?)}}", TEXT, re.DOTALL)[1].split(",")
        assert len(members) == size + 1  # the size itself
    for name in ("Clock", "Pace"):
        members = re.search(rf"enum {name} : int {{(.*?)}}", TEXT, re.DOTALL)[1].split(",")
        assert len(members) == NUMBERS[f"k{name}Size"]


@pytest.mark.parametrize("word", ["of", "when", "kept", "holds", "where"])
def test_every_word_is_explained(word):
    members = re.search(rf"enum class {word.capitalize()} {{(.*?)}};", TEXT, re.DOTALL)[1]
    members = set(re.findall(r"\w+", re.sub(r"//.*", "", members)))
    assert {row[word] for row in ROWS} <= members


@pytest.mark.parametrize("age", [None, 60.0])
@pytest.mark.parametrize(
    "memory, dtype, boxes, spaced", [*product(MEMORIES, ("f4", "f8"), (False, True), (False, True))]
)
def test_a_forest_has_the_columns_of_its_kinds_and_no_other(memory, dtype, boxes, spaced, age):
    if memory == UNBOUNDED and age is not None:
        with pytest.raises(ValueError, match="window by age"):
            grown(age=age)
        return
    dtype = np.dtype(dtype)
    forest = grown(memory, dtype, boxes=boxes, spaced=spaced, age=age)
    kinds = {"always", *MEMORIES[memory], *(["boxes"] if boxes else []), *(["spaced"] if spaced else [])}
    kinds |= set() if age is None else {"timed", "aged"} if memory == SLIDING else {"timed"}
    assert found(forest.columns) == told(kinds, dtype)
    assert list(forest.columns) == list(told(kinds, dtype))  # files and pickles keep the order
    layout = Layout(TREES, N_FEATURES, dtype.itemsize, memory, spaced, boxes, False, timed=age is not None)
    assert layout.size(SLOTS, N_ROWS) == forest.nbytes == size(told(kinds, dtype))
    if spaced:
        _core.draw_bags(forest._view, 0)
    forest.learn(RNG.normal(size=(200, N_FEATURES)).astype(dtype), times=None if age is None else np.arange(200.0))
    kinds |= {"boxes", "learning"}
    slots, n_rows = forest.columns["feature"].shape[1], len(forest.columns["points"])
    assert found(forest.columns) == told(kinds, dtype, slots, n_rows)
    assert layout._replace(boxes=True, updates=True).size(slots, n_rows) == size(told(kinds, dtype, slots, n_rows))


def size(columns):
    return sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in columns.values())


@pytest.mark.parametrize("name", [row["name"] for row in ROWS])
def test_the_core_takes_no_column_that_is_not_as_told(name):
    """A column of another type or shape, too few or too many: the core would read beyond it."""
    memory, kind = SLIDING if name == "member_time" else RESERVOIR, schema.COLUMNS[name].when
    timed = kind in ("timed", "aged")
    forest = grown(memory, spaced=True, nominal=np.arange(N_FEATURES) == 1, age=60.0 if timed else None)
    forest.learn(RNG.normal(size=(30, N_FEATURES)), times=np.arange(30.0) if timed else None)
    columns = forest.columns
    column = columns[name]
    others = [
        column[..., :-1].copy(),
        np.zeros(column.shape, np.int16),
        column.T if column.ndim > 1 else column[None],
        None,
    ]
    for other in [*others, np.zeros((*column.shape, 2), column.dtype)]:
        with pytest.raises((ValueError, AttributeError), match=rf"{name}|rows of \d+|member_"):
            _core.ForestView({**columns, name: other}, N_FEATURES, memory, 0.0, False)
    without = {key: other for key, other in columns.items() if key != name}
    if sum(row["when"] == kind for row in ROWS) > 1:
        with pytest.raises((ValueError, KeyError), match=name):
            _core.ForestView(without, N_FEATURES, memory, 0.0, False)


# -- what is kept ------------------------------------------------------------------------------------------


def kept(kinds, *by):
    return {row["name"] for row in ROWS if row["when"] in kinds and row["kept"] in by}


@pytest.mark.parametrize("window, memory", [(None, UNBOUNDED), (8, SLIDING), ("decayed", RESERVOIR)])
@pytest.mark.parametrize("score", ["spacing", "insertion"])
def test_pickles_files_and_short_forms_keep_what_the_table_says(window, memory, score, tmp_path):
    pytest.importorskip("river", reason="needs river")
    from imondrian._models.stream_state import to_bytes
    from imondrian.river import OnlineIsolationMondrianForest

    model = OnlineIsolationMondrianForest(3, window=window, score=score, seed=0)
    model.learn_many(RNG.normal(size=(60, N_FEATURES)))
    kinds = {"always", "boxes", "learning", *MEMORIES[memory], *(["spaced"] if score == "spacing" else [])}
    assert set(model._model.forest.columns) == kept(kinds, "file", "pickle", "never")
    assert set(model._model.forest.__getstate__()["columns"]) == kept(kinds, "file", "pickle")
    model.save(tmp_path / "model")
    assert columns_among(parse((tmp_path / "model").read_bytes())[1]) == kept(kinds, "file")
    arrays = parse_state(to_bytes(model._model))[1]
    assert columns_among(arrays) == kept(kinds, "file")


def columns_among(arrays):
    return {name.rsplit(".", 1)[1] for name in arrays if ".columns." in name}


def test_a_column_that_came_later_is_made_for_older_states(monkeypatch):
    forest = grown(spaced=True)
    _core.draw_bags(forest._view, 0)
    forest.learn(RNG.normal(size=(40, N_FEATURES)))
    old, oldest, latest = forest.__getstate__(), min(SINCE), schema.STATE_VERSION + 1
    for module in (schema, state):
        monkeypatch.setattr(module, "STATE_VERSION", latest)
    monkeypatch.setitem(schema.COLUMNS, "bag", schema.COLUMNS["bag"]._replace(since=latest))
    new = forest.__getstate__()
    assert new["version"] == latest > max(old["version"], grown().__getstate__()["version"])  # others stay readable
    del old["columns"]["bag"]
    twin = pickle.loads(pickle.dumps(forest))
    twin.__setstate__(old)
    assert (twin.columns["bag"] == -1).all() and twin.columns["bag"].shape == (TREES, _core.bag_size(N_FEATURES))
    with pytest.raises(ValueError, match="bag"):
        twin.__setstate__({**old, "version": latest})
    for version in (oldest - 1, latest + 1, "3", None, True):
        with pytest.raises(ValueError, match=rf"state version .* reads versions {oldest} to {latest}"):
            twin.__setstate__({**new, "version": version})


def test_room_that_is_made_later_is_made_of_the_same(monkeypatch):
    """Slots, rows and widths that a forest grows into hold what the table says that new columns hold."""
    for name, value in (("time", 7), ("leaf_parent", -5), ("free_rows", 3)):
        monkeypatch.setitem(schema.COLUMNS, name, schema.COLUMNS[name]._replace(empty=value))
    forest = grown(spaced=True)
    forest._prepare_updates(1)
    forest._grow_slots(5 * SLOTS)
    forest._grow_rows(N_ROWS)
    for name, column in forest.columns.items():
        told = schema.COLUMNS[name]
        if told.of in ("node", "leaf"):
            assert column.shape[1] == 5 * SLOTS and (column[:, SLOTS:] == told.empty).all(), name
        if told.of == "row":
            assert len(column) == 2 * N_ROWS and (column[N_ROWS:] == told.empty).all(), name


# -- devices -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["depth_score", "spacing"])
def test_kernels_are_given_what_they_ask_for(file):
    import device

    asked = [row for row in ROWS if row["where"] == "device"]
    compiler = shutil.which("g++")
    if not compiler:
        pytest.skip("needs g++")
    source = Instance("imondrian", file, np.dtype(np.float32)).source + "\nparameters(COLUMNS)\n"
    text = subprocess.run(
        [compiler, "-E", "-P", "-x", "c++", "-"], input=source, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    parameters = re.findall(r"const (\w+)\s*\*\s*(\w+),", text.rsplit("parameters(", 1)[1])
    assert parameters == [(row["type"], row["name"]) for row in asked]
    emulated = device.EmulatedDevice()
    forest = IsolationMondrianForest(3, random_state=0).fit(RNG.normal(size=(40, 3))).forest_
    arguments = DeviceForest(emulated, forest)._column_args(file)
    for row, argument in zip(asked, arguments, strict=False):
        assert_array_equal(emulated.xp.asnumpy(argument), forest.columns[row["name"]], row["name"])
