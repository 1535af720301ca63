"""Files that are not what they should be: a ValueError that says what is wrong, and nothing allocated for it."""

import os
import pickle
import tracemalloc

import numpy as np
import pytest
from reference.file_reference import forge, parse, places, seal

from imondrian import IsolationMondrianForest
from imondrian._forest.schema import STATE_VERSION
from imondrian.river import OnlineIsolationMondrianForest

FOREST = "fitted.forest_.columns."


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "forest.imf"
    X = np.random.default_rng(0).normal(size=(60, 3))
    IsolationMondrianForest(3, window=12, random_state=0).partial_fit(X).save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def reservoir(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "forest.imf"
    X = np.random.default_rng(0).normal(size=(60, 3))
    IsolationMondrianForest(3, window="decayed", max_samples=12, random_state=0).partial_fit(X).save(path)
    return path.read_bytes()


@pytest.fixture
def refuses(tmp_path):
    """Whether both ways of loading raise ValueError with this message, and the file's name."""
    path = tmp_path / "damaged.imf"

    def check(content, message, cls=IsolationMondrianForest):
        path.write_bytes(content)
        for mmap in (False, True):
            with pytest.raises(ValueError, match=rf"(?s)damaged\.imf' .*{message}"):
                cls.load(path, mmap=mmap)

    return check


def state_and_arrays(content):
    header, arrays = parse(content)
    del header["arrays"]
    return header, arrays


# -- not such a file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"\x80\x05K\x01.",
        b"PK\x03\x04" + bytes(100),
        b"a,b\n1,2\n",
        bytes(5000),
        pickle.dumps(print),
        b"\x89IMON\n\x1a" + bytes(60),
        b"\x89PNG\r\n\x1a\n" + bytes(60),
    ],
)
def test_foreign_files(refuses, foreign):
    refuses(foreign, "is not a file saved by imondrian")


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError):
        IsolationMondrianForest.load(tmp_path / "absent")
    with pytest.raises(OSError):
        IsolationMondrianForest.load(tmp_path)


@pytest.mark.parametrize("version", [0, 2, 77, 2**32 - 1])
def test_other_versions(refuses, content, version):
    header, arrays = state_and_arrays(content)
    refuses(forge(header, arrays, version=version), rf"format version {version}; this imondrian reads version 1")


def test_a_newer_forest(refuses, content):
    header, arrays = state_and_arrays(content)
    header["state"]["fitted"]["forest_"]["$forest"]["version"] = STATE_VERSION + 1
    refuses(forge(header, arrays), r"state version \d+; this imondrian reads versions \d+ to \d+")


def test_the_other_class(refuses, content, tmp_path):
    refuses(
        content,
        "was saved by 'IsolationMondrianForest'; it cannot be loaded by OnlineIsolationMondrianForest",
        OnlineIsolationMondrianForest,
    )
    OnlineIsolationMondrianForest(3, seed=0).save(tmp_path / "online")
    refuses(
        (tmp_path / "online").read_bytes(),
        "was saved by 'OnlineIsolationMondrianForest'; it cannot be loaded by IsolationMondrianForest",
    )


# -- accidents -----------------------------------------------------------------------------------------


def test_every_truncation(refuses, content):
    for length in [*range(1, 40), *range(40, len(content), 97), len(content) - 1]:
        refuses(content[:length], "damaged: (it (ends after|has)|a header)" if length >= 8 else "")
    refuses(content + b"\0", rf"it has {len(content) + 1} bytes, its header tells of {len(content)}")


def test_damage_is_named(refuses, content):
    _, arrays = state_and_arrays(content)
    for name, at in places(content).items():
        if not arrays[name].size:
            continue
        flipped = bytes([content[at] ^ 4])
        refuses(content[:at] + flipped + content[at + 1 :], rf"array '{name}' does not match its checksum")
    refuses(content[:40] + b"#" + content[41:], "the header does not match its checksum")


# -- forgeries: the checksums are right ----------------------------------------------------------------


def test_a_forged_file_that_says_the_same_loads(tmp_path, content):
    path = tmp_path / "forged.imf"
    path.write_bytes(forge(*state_and_arrays(content)))
    assert IsolationMondrianForest.load(path).forest_.n_trees == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a":' * 100_000, "not JSON"),
        ('{"class":NaN}', "NaN is no JSON number"),
        ('{"class":-1e999}', "-1e999 is no JSON number"),
        ("1" * 5000, "not JSON"),
        ("[]", "must have the members"),
        ("{}", "members"),
        ('{"class":1,"state":{},"arrays":[]}', "members"),
        ('{"class":"a","state":{},"arrays":{}}', "members"),
        ('{"class":"IsolationMondrianForest","state":{},"arrays":[]}', "parameters and fitted"),
        ('{"class":"IsolationMondrianForest","state":{},"arrays":[3]}', "an array must have the members"),
    ],
)
def test_headers_that_are_none(refuses, text, message):
    refuses(seal(text, b""), message)


def test_a_header_longer_than_any(refuses):
    refuses(seal(" " * ((1 << 22) + 1), b""), "a header of 4194305 bytes, at most 4194304 are possible")


def test_names_that_are_too_long_are_not_saved(tmp_path):
    model = OnlineIsolationMondrianForest(1, seed=0)
    model.learn_one({f"{i}" * 100_000: 1.0 for i in range(60)})
    with pytest.raises(ValueError, match="a file has room for 4,194,304"):
        model.save(tmp_path / "big")
    assert not os.listdir(tmp_path)


HUGE = [[10**15], [2**62, 4], [0, 10**15], [2**31, 2**33, 2], [-1, -8], [True, 4], [3.0, 4], "ab", None, [1] * 9]


@pytest.mark.parametrize("shape", HUGE)
def test_shapes_that_cannot_be(refuses, content, shape):
    header, arrays = state_and_arrays(content)

    def listed(entries):
        next(entry for entry in entries if entry["name"] == FOREST + "rng")["shape"] = shape
        return entries

    forged = forge(header, arrays, listed=listed)
    tracemalloc.start()
    try:
        refuses(forged, rf"array '{FOREST}rng' (cannot have the shape|would end at)|its header tells")
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_arrays_that_would_need_more_than_the_file(refuses, content):
    """Slots and generators that do not go together are seen before room is made for their product."""
    header, arrays = state_and_arrays(content)
    forest = header["state"]["fitted"]["forest_"]["$forest"]
    wide, tall = np.zeros((1, 60_000), np.int32), np.ones((20_000, 4), np.uint64)
    for memory, name in ((1, "member_leaf"), (0, "leaf_point")):
        forest["memory"] = memory
        forged = forge(header, {**arrays, FOREST + name: wide, FOREST + "rng": tall})
        tracemalloc.start()
        try:
            refuses(forged, r"generators of shape \(20000, 4\) for \(1, 60000\) slots")
            assert tracemalloc.get_traced_memory()[1] < 10 * len(forged)
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["<f2", ">f8", "|O", "<U4", "|V8", "nonsense", None, "<c16", "|i1"])
def test_types_that_a_file_does_not_hold(refuses, content, dtype):
    header, arrays = state_and_arrays(content)

    def listed(entries):
        entries[0]["dtype"] = dtype
        return entries

    refuses(forge(header, arrays, listed=listed), r"array .* has the type .* this format holds <f4, <f8, <i4, <i8")


def test_another_precision(refuses, content):
    header, arrays = state_and_arrays(content)
    for name in ("threshold", "points"):
        other = {**arrays, FOREST + name: arrays[FOREST + name].astype(np.float32)}
        refuses(forge(header, other), r"column '\w+' has float(32|64) .*expected float(32|64)|features, points")
    half = {**arrays, FOREST + "points": arrays[FOREST + "points"].astype(np.float16)}
    refuses(forge(header, half), "has the type '<f2'")


def test_arrays_that_belong_to_nothing(refuses, content):
    header, arrays = state_and_arrays(content)
    refuses(forge(header, {**arrays, "extra": np.zeros(3)}), "the array 'extra' belongs to nothing")
    columns = header["state"]["fitted"]["forest_"]["$forest"]["columns"]
    columns["extra"] = {"$array": "extra"}
    refuses(forge(header, {**arrays, "extra": np.zeros((3, 3))}), "there is no column 'extra'")
    columns["extra"] = {"$array": FOREST + "mass"}
    refuses(forge(header, arrays), "is missing, or used twice")


def test_arrays_that_are_missing(refuses, content):
    header, arrays = state_and_arrays(content)
    for name in arrays:
        left = {key: array for key, array in arrays.items() if key != name}
        refuses(forge(header, left), rf"the array '{name}' is missing")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("parameters", {"n_estimator": 3}, "has no parameter 'n_estimator'"),
        ("parameters", {"n_estimators": 0}, "n_estimators must be at least 1, got 0"),
        ("parameters", {"window": {"$names": ["a"]}}, "window must be"),
        ("parameters", [1], "must have the members parameters and fitted"),
        ("fitted", {"offset_": 0.5}, "is missing"),
        ("fitted", {"predict": 3}, "IsolationMondrianForest has no fitted attribute 'predict'"),
        ("fitted", {"n_features_in_": True}, "n_features_in_ cannot be True"),
        ("fitted", {"forest_": {"$names": []}}, "forest_ cannot be"),
        ("fitted", {"forest_": {"$pickle": "gASVAAAA"}}, r"'\$pickle' stands for nothing"),
        ("fitted", {"forest_": {"$forest": None}}, "damaged forest"),
        ("fitted", {"forest_": {"$map": [[{"$tuple": []}, 1], [{"$tuple": []}, 2]]}}, "a key occurs twice"),
        ("fitted", {"forest_": {"$map": [[[], 1]]}}, "unhashable"),
    ],
)
def test_states_that_make_no_model(refuses, content, place, value, message):
    header, _ = state_and_arrays(content)
    header["state"][place] = value
    if place == "parameters":
        header["state"]["fitted"] = {}
    refuses(forge(header), message)


def test_attributes_that_contradict_each_other(refuses, content, tmp_path):
    header, arrays = state_and_arrays(content)
    fitted = header["state"]["fitted"]
    for name, value, message in [
        ("n_features_in_", 4, "4 features .* forest of 3"),
        ("max_samples_", -1, "samples of -1"),
        ("feature_names_in_", {"$names": ["a", "b"]}, "must be 3 names"),
    ]:
        before = fitted.get(name)
        fitted[name] = value
        refuses(forge(header, arrays), message)
        fitted[name] = before
    model = OnlineIsolationMondrianForest(2, seed=0)
    model.learn_one({"a": 1.0, "b": 2.0})
    model.save(tmp_path / "online")
    header, arrays = state_and_arrays((tmp_path / "online").read_bytes())
    for keys in (
        {"a": 0},
        {"a": 0, "b": 2},
        {"a": 0, "b": 0},
        {"a": 0, "b": 1.0},
        {"a": 0, "b": 1, "c": None},
        {"a": 0, "b": -1},
    ):
        header["state"]["fitted"]["_keys"] = keys
        refuses(forge(header, arrays), "keys name the places .* of 2 features", OnlineIsolationMondrianForest)


def test_past_scores_that_do_not_fit(refuses, content, tmp_path):
    header, arrays = state_and_arrays(content)
    damaged = {**arrays, "fitted._calibration.cross": np.array([2], np.uint8).view(np.bool_)}
    refuses(forge(header, damaged), "holds what is neither true nor false")
    damaged = {**arrays, "fitted._calibration.recent.n_seen": np.array([-1])}
    refuses(forge(header, damaged), "damaged calibration")
    OnlineIsolationMondrianForest(2, seed=0, calibration=30).save(tmp_path / "online")
    header, arrays = state_and_arrays((tmp_path / "online").read_bytes())
    for value, message in ((None, "does not go with"), (31, "30 past scores do not go with calibration=31")):
        header["state"]["parameters"]["calibration"] = value
        refuses(forge(header, arrays), message, OnlineIsolationMondrianForest)


def damage(name, place, value):
    return lambda arrays: arrays[FOREST + name].__setitem__(place, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage("child", (1, 0), [5, 5]), r"tree 1, .*invariant I[12]"),
        (damage("mass", (2, 0), 1e9), r"tree 2, .*invariant I3"),
        (damage("points", (0, 1), np.inf), r"invariant I9"),
        (damage("rate", (0, 1), 0.0), r"invariant I10"),
        (damage("rate", (0, 3), 1.0), r"invariant I10"),
        (damage("stream", (0, 0), 2**62), r"invariant I8"),
        (damage("stream", (1, 3), 12), r"invariant I8"),
        (damage("header", (0, 1), 1000), r"invariant I7"),
        (damage("rng", 2, 0), r"one that is all zero"),
        (damage("member_leaf", (0, 0), -1), r"invariant I8"),
    ],
)
def test_columns_that_make_no_forest(refuses, content, change, message):
    header, arrays = state_and_arrays(content)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays)
    refuses(forge(header, arrays), message)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_keys_that_make_no_heap(refuses, reservoir, value):
    header, arrays = state_and_arrays(reservoir)
    keys = arrays[FOREST + "member_key"].copy()
    keys[1, 0] = value
    refuses(forge(header, {**arrays, FOREST + "member_key": keys}), r"tree 1, .*invariant I8")


def test_more_leaves_than_points(refuses, content):
    """What the auditor allocates is bounded by the points that are there."""
    header, arrays = state_and_arrays(content)
    few = {**arrays, FOREST + "points": arrays[FOREST + "points"][:5]}
    refuses(forge(header, few), "invariant I8")


@pytest.mark.parametrize(
    "change",
    [
        {"pos": 625},
        {"pos": -1},
        {"pos": 2**31},
        {"pos": 1.0},
        {"has_gauss": 7},
        {"gauss": None},
        {"key": [1, 2]},
        {"extra": 1},
    ],
)
def test_generators_that_would_read_elsewhere(refuses, tmp_path, change):
    IsolationMondrianForest(2, random_state=np.random.RandomState(0)).save(tmp_path / "unfitted")
    header, arrays = state_and_arrays((tmp_path / "unfitted").read_bytes())
    state = header["state"]["parameters"]["random_state"]["$random_state"]
    state.update(change)
    refuses(forge(header, {} if "key" in change else arrays), "is no state of a generator")


def test_bytes_between_arrays(refuses, content):
    _, arrays = parse(content)
    end = places(content)[FOREST + "rng"] + arrays[FOREST + "rng"].nbytes
    gap = -end % 64
    assert gap  # else choose another array
    refuses(content[:end] + b"\1" + content[end + 1 :], "there is something before array")
