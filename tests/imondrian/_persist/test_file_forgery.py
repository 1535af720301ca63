"""Single forgeries, checksums repaired: those that were believed once, stores, and where a stream was."""

import json
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference import forgery
from reference.file_reference import forge, parse

pytest.importorskip("river", reason="needs river")

from cases.binary_forms import FORMS, KEYED, X, key_states, place, within

from imondrian import IsolationMondrianForest
from imondrian._cli.stream import stream_models as follow
from imondrian._models.stream_state import from_bytes
from imondrian._persist import codec
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

ROOT = Path(__file__).resolve().parents[3]
CLASSES = {"estimator": IsolationMondrianForest, "online": OnlineIsolationMondrianForest}
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that are finite, and no more


@pytest.fixture(scope="module")
def files():
    """Sound files of either class."""
    return {kind: [content for content, _ in form.contents] for kind, form in zip(CLASSES, FORMS, strict=False)}


# -- keyed stores ------------------------------------------------------------------------------------------


def test_claims_of_room_are_not_believed():
    """Shapes of zeros that the bytes do not have: all of them, in every array, before any is allocated."""
    data, settings = next(key_states())
    state, arrays = forgery.parse_state(data)
    for i in range(len(arrays)):
        for claim in ([2**31 - 1], [2**28, 4], [2**24], [1 << 40]):

            def listed(entries, i=i, claim=claim):
                entries[i][3] = claim
                return entries

            forged = forgery.forge_state(state, arrays, listed)
            with pytest.raises(ValueError, match=r"damaged: an array of shape|damaged forest|damaged calibration"):
                within(
                    lambda: from_bytes(forged, lambda: OnlineIsolationMondrianForest(**settings)._model),  # noqa: B023
                    len(forged),
                    (i, claim),
                )
            with pytest.raises(ValueError, match="an array of shape"):
                within(lambda: codec.unpack(forged), len(forged), (i, claim))  # noqa: B023


@pytest.fixture
def store(tmp_path):
    """A folder of models whose notes and states can be overwritten."""
    path = tmp_path / "models"
    with KeyedForest(path, seed=0, **KEYED) as forest:
        for i, row in enumerate(X.tolist()):
            forest.learn_one("k", dict(zip("abc", row, strict=True)))
            if i < 3:
                forest.learn_one("young", {"a": row[0]})

    def note(name, content):
        with sqlite3.connect(path / "models.sqlite") as connection:
            connection.execute(
                "INSERT INTO notes VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET note = excluded.note", (name, content)
            )
        connection.close()

    def state(key, content):
        with sqlite3.connect(path / "models.sqlite") as connection:
            connection.execute("UPDATE models SET state = ? WHERE key = ?", (content, json.dumps(key)))
        connection.close()

    with sqlite3.connect(path / "models.sqlite") as connection:
        settings = connection.execute("SELECT note FROM notes WHERE name = 'settings'").fetchone()[0]
    connection.close()
    return path, note, state, settings


def test_settings_of_a_store(store):
    path, note, _, settings = store
    opened = 0
    for seed in range(150):
        note("settings", forgery.forged_settings(random.Random(f"settings {seed}"), settings))
        try:
            forest = KeyedForest.open(path)
        except ValueError as error:
            assert str(path) in str(error), (seed, error)
            continue
        opened += 1
        with forest:
            try:
                forest.score_one("k", {"a": 1.0})
            except ValueError as error:
                assert "the model of 'k'" in str(error), (seed, error)
    assert opened > 3


@pytest.mark.parametrize("member", ["extra", "n_jobs", "max_bytes", "self"])
def test_settings_with_unknown_members(store, member):
    path, note, _, settings = store
    note("settings", json.dumps({**json.loads(settings), member: 1}).encode())
    for call in (lambda: KeyedForest.open(path), lambda: KeyedForest(path, **KEYED)):
        with pytest.raises(ValueError, match="is damaged: it does not say what its models are"):
            call()


def test_states_of_a_store_name_their_key(store):
    path, _, state, _ = store
    for content in (b"", b"IMK\1", forgery.seal_state('{"state":[],"arrays":[]}'), forgery.forge_points("7"), "text"):
        state("k", content)
        with KeyedForest.open(path) as forest, pytest.raises(ValueError, match=r"the model of 'k' in .* is damaged"):
            forest.score_one("k", {"a": 1.0})


# -- where a stream was ------------------------------------------------------------------------------------


STREAM = place()
RULES = [
    {"debt": float("nan")},
    {"debt": float("inf")},
    {"drift": 9.0},
    {"slack": 0.0},
    {"n_scores": -1},
    {"n_alarms": 10**6},
    {"last": 10**6},
    {"run": -1},
    {"history": 0},
    {"history": 10**9},
    {"mode": "x"},
    {"rate": 0.02},
    {"rate": 1},
    {"scores": np.zeros(3)},
    {"scores": np.full(64, np.nan)},
    {"scores": np.zeros((64, 1))},
    {"scores": np.zeros(64, np.float32)},
    {"more": 1},
]
WRONG = [
    ("records", -1),
    ("records", 2**63),
    ("records", 10**30),
    ("records", True),
    ("records", 1.5),
    ("records", None),
    ("header", ["a", "a"]),
    ("header", [1]),
    ("header", "ab"),
    ("header", {}),
    ("pending", np.zeros((2, 2), np.uint8)),
    ("pending", np.zeros(3)),
    ("pending", []),
    ("version", 4),
    ("version", 2),
    ("version", None),
    ("incidents", None),
    ("incidents", {}),
    ("incidents", {"gap": 50, "count": 0, "now": None, "open": [[]]}),
    ("incidents", {**STREAM["incidents"], "open": [[None, 1, 8, 8, 8, 1, 0, 0.25, 0.5, None, None, []]]}),
    ("alarms", []),
    ("alarms", {}),
    *(
        ("alarms", {**STREAM["alarms"], **change})
        for change in (
            {"rate": 0.0},
            {"rate": 1.0},
            {"rate": "x"},
            {"rate": True},
            {"rule": "x"},
            {"rule": {}},
            {"rule": [1]},
            {"count": -1},
            {"count": 1.5},
            {"count": 2**63},
            {"count": None},
            {"threshold": "x"},
            {"more": 1},
            {"level": 0.01},
            *({"rule": {**STREAM["alarms"]["rule"], **change}} for change in RULES),
        )
    ),
]


@pytest.mark.parametrize("change", WRONG, ids=repr)
def test_where_a_stream_was(change):
    assert follow.checked("file", dict(STREAM)).keys() == STREAM.keys()
    with pytest.raises(ValueError, match=r"'file' (is damaged: no state of a stream|has a stream's state of version)"):
        follow.checked("file", {**STREAM, change[0]: change[1]})


@pytest.mark.parametrize("state", [[], None, 3, "x", {}], ids=repr)
def test_no_state_at_all(state):
    with pytest.raises(ValueError, match=r"'file' (is damaged: no state|has a stream's state of version None)"):
        follow.checked("file", state)


OLD = {name: value for name, value in STREAM.items() if name != "incidents"}


def test_a_state_with_the_rule_of_old():
    alarms = {"rate": 0.01, "threshold": None, "level": 0.01, "count": 1}
    found = follow.checked("file", {**OLD, "version": 1, "alarms": alarms})
    assert found["alarms"] == {"rate": 0.01, "threshold": None, "count": 1, "rule": None} and found["version"] == 3
    assert found["incidents"] == {"gap": 50, "count": 0, "now": None, "open": []}


def test_a_state_that_knows_nothing_of_incidents():
    found = follow.checked("file", {**OLD, "version": 2})
    assert found == {**STREAM, "incidents": {"gap": 50, "count": 0, "now": None, "open": []}}


# -- single forgeries that were believed -------------------------------------------------------------------


def refuse(tmp_path, content, message, cls=IsolationMondrianForest):
    (tmp_path / "forged").write_bytes(content)
    for mmap in (False, True):
        with pytest.raises(ValueError, match=message):
            within(lambda: cls.load(tmp_path / "forged", mmap=mmap), len(content), message)  # noqa: B023


def forged(content, columns=None, parameters=None, fitted=None):
    header, arrays = parse(content)
    del header["arrays"]
    for name, value in (columns or {}).items():
        (key,) = [key for key in arrays if key.endswith("." + name)]
        arrays[key] = value(arrays[key].copy()) if callable(value) else value
    header["state"]["parameters"].update(parameters or {})
    header["state"]["fitted"].update(fitted or {})
    return forge(header, arrays)


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


def test_forgeries_that_were_believed(files, tmp_path):
    online, estimator = files["online"][0], files["estimator"][0]
    Online = OnlineIsolationMondrianForest
    refuse(tmp_path, forged(online, {"feature": put((0, -1), 524296)}), "names the feature 524296 of 3", Online)
    refuse(tmp_path, forged(online, parameters={"n_trees": 4}), "n_trees=4 does not go with a forest of 3", Online)
    refuse(tmp_path, forged(files["online"][1], parameters={"score": "spacing"}), "needs trees that were", Online)
    for max_bytes in (-24576, 0):
        refuse(tmp_path, forged(estimator, parameters={"max_bytes": max_bytes}), "max_bytes must be at least 1")
    refuse(tmp_path, forged(estimator, parameters={"max_bytes": 1}), "max_bytes=1 does not go with 3 features")
    refuse(tmp_path, forged(online, parameters={"max_bytes": -24576}), "max_bytes must be at least 1", Online)
    refuse(tmp_path, forged(online, parameters={"seed": -1}), "[Ss]eed must be between", Online)
    refuse(tmp_path, forged(estimator, parameters={"random_state": -1}), "[Ss]eed must be between")
    for calibration in (10**6, 10**12, 2**62):
        refuse(tmp_path, forged(online, parameters={"calibration": calibration}), "9 past scores do not", Online)
    for decay in (-1.0, 1e308, 65):
        header, arrays = parse(online)
        del header["arrays"]
        header["state"]["fitted"]["_forest"]["$forest"]["decay"] = decay
        refuse(tmp_path, forge(header, arrays), "damaged forest: memory 2 with decay", Online)
    for seen in (2**61, 2**61 - 1, 2**63 - 1):
        refuse(tmp_path, forged(online, {"stream": put((1, 0), seen)}), r"damaged forest: .*points", Online)
    for n_seen in (-1, 2**62, 2**63 - 1):
        refuse(tmp_path, forged(online, {"n_seen": np.array([n_seen])}), "sizes of the window of scores", Online)


def test_room_that_columns_do_not_have_is_not_made(files, tmp_path):
    online = files["online"][3]  # without a window
    for width in (0, 10**6):  # in no row, or in no tree
        columns = {"points": np.zeros((0, width)), "rate": np.zeros((3, 0))}
        header, arrays = parse(forged(online, columns))
        header["state"]["fitted"]["_forest"]["$forest"]["n_features"] = 10**6
        del header["arrays"]
        refuse(tmp_path, forge(header, arrays), "damaged", OnlineIsolationMondrianForest)


def test_imported_cuts_of_too_many_features(tmp_path):
    sklearn = pytest.importorskip("sklearn.ensemble", reason="needs scikit-learn")
    theirs = sklearn.IsolationForest(n_estimators=5, random_state=0).fit(X)
    model = IsolationMondrianForest.from_isolation_forest(theirs)
    model.save(tmp_path / "model")
    header, arrays = parse((tmp_path / "model").read_bytes())
    del header["arrays"]
    header["state"]["fitted"]["n_features_in_"] = 10**9
    header["state"]["fitted"]["forest_"]["$imported_forest"]["n_features"] = 10**9
    refuse(tmp_path, forge(header, arrays), "1000000000 features for cuts")


LIMITED = """
import resource, sys
import numpy as np
from imondrian._models.stream_state import from_bytes
from imondrian.river import OnlineIsolationMondrianForest
data = open(sys.argv[1], "rb").read()
room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    from_bytes(data, lambda: OnlineIsolationMondrianForest(3, window=6, calibration=9)._model)
except ValueError as error:
    print("refused")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux, which tells its size in /proc")
def test_a_claim_is_refused_where_there_is_no_room_for_it(tmp_path):
    state, arrays = forgery.parse_state(next(key_states())[0])

    def listed(entries):
        entries[0][3] = [2**31 - 1]
        return entries

    (tmp_path / "forged").write_bytes(forgery.forge_state(state, arrays, listed))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "forged"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "refused\n", done.stderr
