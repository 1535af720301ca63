"""Forged files, checksums repaired: ValueError, or a model of which everything can be asked; no room for claims.

``IMONDRIAN_FUZZ_FILES=100000 pytest tests/imondrian/test_file_forgery.py`` runs the long version.
"""

import json
import os
import random
import sqlite3
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from reference import forgery
from reference.file_mutations import change_array, change_json
from reference.file_mutations import forgery as forged_file
from reference.file_reference import forge, parse

pytest.importorskip("river", reason="needs river")

from imondrian import IsolationMondrianForest
from imondrian._cli.stream import stream_models as follow
from imondrian._conformal.alarm_rule import AlarmRule
from imondrian._conformal.incidents import Incidents
from imondrian._keyed.pending_points import Young
from imondrian._models.stream_state import from_bytes, to_bytes
from imondrian._persist import codec as _compact
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

ROOT = Path(__file__).resolve().parents[3]
N_FILES = int(os.environ.get("IMONDRIAN_FUZZ_FILES", "4000"))
CLASSES = {"estimator": IsolationMondrianForest, "online": OnlineIsolationMondrianForest}
ROOM = 3 << 20  # bytes beside a multiple of the file's, for what is there in any case
TIMES = 64
X = np.round(np.random.default_rng(0).normal(size=(60, 3)), 1)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that are finite, and no more


def models():
    """Small models of every kind."""
    for settings in (
        {},
        {"window": 6, "contamination": 0.2},
        {"window": "decayed", "max_samples": 6},
        {"score": "insertion"},
        {"score": "depth", "scale": None},
        {"max_bytes": 10**7},
    ):
        model = IsolationMondrianForest(3, random_state=0, **{"max_samples": 7, **settings})
        yield "estimator", (model.partial_fit if "window" in settings else model.fit)(X)
    many = np.random.default_rng(1).normal(size=(400, 2))  # rows are left over for p-values
    yield "estimator", IsolationMondrianForest(3, max_samples=7, random_state=0).fit(many).partial_fit(many[:30])
    for window in ("reservoir", 5, "thinned", None, "decayed"):
        for score in ("default", "insertion"):
            model = OnlineIsolationMondrianForest(
                3,
                window=window,
                horizon=400,
                seed=0,
                score=score,
                calibration=9,
                calibration_half_life=5.0 if window == 5 else None,
            )
            for i, row in enumerate(X[:40].tolist()):
                x = dict(zip(("a", 1, ("b", None)), row, strict=True))
                model.learn_one(x if i % 4 else {"a": x["a"]})
            yield "online", model


def ask_online(model):
    """Everything of a stream's model that loaded."""
    x = dict.fromkeys(model._model.keys, 0.5)
    assert 0.0 <= model.score_one(x) <= 1.0
    if model._model.forest is None:
        return  # a parameter is as good as a caller's: a model that wants 10^9 trees would get them
    if model._model.recent is not None:
        assert 0.0 < model.p_value_one(x) <= 1.0
    model.explain_one(x), model.info(), model.score_many(np.zeros((2, 2)))
    assert np.isfinite(model.expected_score)
    for shift in range(12):
        model.learn_one({key: value + shift for key, value in x.items()})
    model.score_learn_many(np.arange(40.0).reshape(-1, 2))
    model.learn_one({**x, "new": 3.0})
    model.forget_one(x, missing_ok=True)
    model.learn_one(x)
    model._model.forest.check()
    model.to_estimator()


def ask_estimator(model):
    """Everything of an estimator that loaded."""
    if not hasattr(model, "forest_"):
        return
    Z = np.arange(4.0 * model.n_features_in_).reshape(4, -1).astype(model.forest_.dtype)
    scores, p_values = model.score_samples(Z), model.p_values(Z)
    assert ((scores <= 0) & (scores >= -1)).all() and ((p_values > 0) & (p_values <= 1)).all()
    model.predict(Z), model.explain(Z)
    model.partial_fit(Z).forget(Z[1:], missing_ok=True).partial_fit(Z).p_values(Z)
    OnlineIsolationMondrianForest.from_estimator(model).score_one({0: 1.0})
    model.forest_.check()


def may_be_refused(error):
    """Whether it is what the same parameters mean in a model that was never in a file."""
    return (isinstance(error, MemoryError) and "max_bytes leaves" in str(error)) or (
        isinstance(error, ValueError)
        and any(
            text in str(error)
            for text in (
                "max_bytes must be at least",
                "needs trees that were grown for it",
                "max_bytes=",
                "sample_weight must be",
            )
        )
    )


def asked(ask, model, where):
    try:
        ask(model)
    except (ValueError, MemoryError) as error:
        assert may_be_refused(error), (where, error)


def other_file(rng, content):
    """A forged model file."""
    if rng.random() < 0.4:
        return forged_file(rng, content)
    header, arrays = parse(content)
    del header["arrays"]
    for _ in range(rng.choice([1, 1, 2])):
        rng.choice([forgery.change_column, change_array])(
            rng, arrays
        ) if rng.random() < 0.6 else forgery.change_parameter(rng, header)
    return forge(header, arrays)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("sound"), {"estimator": [], "online": []}
    for kind, model in models():
        model.save(folder / "file")
        found[kind].append((folder / "file").read_bytes())
    return found


@pytest.mark.parametrize("kind", CLASSES)
def test_model_files(files, kind, tmp_path):
    path, loaded, n = tmp_path / "file", 0, N_FILES // 4
    for seed in range(n):
        rng = random.Random(f"{kind} {seed}")
        data = other_file(rng, rng.choice(files[kind]))
        path.write_bytes(data)
        try:
            model = within(lambda: CLASSES[kind].load(path), len(data), seed)
        except ValueError as error:
            assert repr(str(path)) in str(error), (seed, error)
            continue
        loaded += 1
        asked(ask_online if kind == "online" else ask_estimator, model, seed)
        model.save(tmp_path / "again")
    assert 0.02 * n < loaded < 0.6 * n


def within(call, n_bytes, where):
    """What a call returns, having asserted that it took no more memory than a multiple of so many bytes."""
    tracemalloc.start()
    try:
        return call()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < ROOM + TIMES * n_bytes, (where, peak, n_bytes)


# -- keyed stores ------------------------------------------------------------------------------------------

KEYED = {"n_trees": 3, "window": 6, "horizon": 400, "calibration": 9, "max_features": 5}


def keyed_states():
    for settings in ({}, {"score": "depth"}, {"window": None}, {"window": "decayed"}, {"calibration_half_life": 5.0}):
        model = OnlineIsolationMondrianForest(seed=0, **{**KEYED, **settings})
        for row in X[:45].tolist():
            model.learn_one(dict(zip("abc", row, strict=True)))
        yield {**KEYED, **settings}, to_bytes(model._model)


def test_states_of_keys():
    states, loaded, n = list(keyed_states()), 0, N_FILES // 4

    def restored(data, settings):
        model = OnlineIsolationMondrianForest(**settings)
        from_bytes(data, lambda: model._model)
        return model

    for settings, data in states:  # the reference reads and writes what the program does
        again = forgery.forge_state(*forgery.parse_state(data))
        assert to_bytes(restored(again, settings)._model) == data
    for seed in range(n):
        rng = random.Random(f"state {seed}")
        settings, data = rng.choice(states)
        data = forgery.forged_state(rng, data)

        def read(data=data, settings=settings):
            return restored(data, settings)

        try:
            model = within(read, len(data), seed)
        except (ValueError, TypeError):  # whose caller tells the key
            continue
        loaded += 1
        asked(ask_online, model, seed)
        read_again = restored(to_bytes(model._model), settings)
        assert read_again._model.keys == model._model.keys
    assert 0.02 * n < loaded < 0.6 * n


def test_claims_of_room_are_not_believed():
    """Shapes of zeros that the bytes do not have: all of them, in every array, before any is allocated."""
    settings, data = next(keyed_states())
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
                within(lambda: _compact.unpack(forged), len(forged), (i, claim))  # noqa: B023


def test_waiting_points():
    young = Young()
    young.learn(("a", 1, ("b", None)), X[:5])
    young.learn(("a",), X[:2, :1])
    data, loaded, n = young.to_bytes(), 0, N_FILES // 4
    assert struct.unpack("<4sI", data[:8]) == struct.unpack("<4sI", forgery.forge_points(data[8:].decode())[:8])
    for seed in range(n):
        forged = forgery.forged_points(random.Random(f"points {seed}"), data)
        try:
            found = within(lambda: Young.from_bytes(forged, 31), len(forged), seed)  # noqa: B023
        except ValueError:
            continue
        loaded += 1
        model = OnlineIsolationMondrianForest(3, window=6, seed=0)
        for fields, values in found.parts:
            for row in values.tolist():
                model.learn_one(dict(zip(fields, row, strict=True)))
        assert Young.from_bytes(found.to_bytes(), 31).count == found.count
    assert loaded > 0.02 * n


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


def rule_state():
    """What an alarm rule was that has seen scores and raised alarms."""
    rule = AlarmRule(0.01, history=64)
    rule.judge(np.random.default_rng(0).random(300))
    return rule.state()


def open_incidents():
    incidents = Incidents()
    incidents.alarm(5, 0.25, 0.5, {"a": (0.5, 0.25)}, None)
    return incidents.state()


STREAM = {
    "version": 3,
    "incidents": open_incidents(),
    "records": 7,
    "header": ["a", "b"],
    "pending": np.zeros(3, np.uint8),
    "alarms": {"rate": 0.01, "threshold": None, "count": 1, "rule": rule_state()},
}
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


def test_forged_states_of_streams():
    data, accepted = _compact.pack(STREAM), 0
    for seed in range(N_FILES // 4):
        rng = random.Random(f"stream {seed}")
        state, arrays = forgery.parse_state(data)
        for _ in range(rng.choice([1, 2])):
            rng.choice([change_json, forgery.change_parameter])(rng, state)
        forged = forgery.forge_state(state, arrays)
        try:
            found = follow.checked("file", _compact.unpack(forged))
        except ValueError:
            continue
        accepted += 1
        from imondrian._cli.stream.alarms import Alarms

        Alarms.resumed(found["alarms"], None, None, False)
        json.dumps(Incidents.of_state(found["incidents"]).alarm(2**62, 0.1, 0.5)[0].told(3))
        json.dumps([found["records"] + 10, found["header"]])
        assert found["records"] < 2**62 and isinstance(found["pending"].tobytes(), bytes)
    assert accepted > 5


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
from imondrian._core import STREAM_SIZE
room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
try:
    from_bytes(data, lambda: OnlineIsolationMondrianForest(3, window=6, calibration=9)._model)
except ValueError as error:
    print("refused")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux, which tells its size in /proc")
def test_a_claim_is_refused_where_there_is_no_room_for_it(tmp_path):
    state, arrays = forgery.parse_state(next(keyed_states())[1])

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
