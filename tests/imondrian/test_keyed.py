"""KeyedForest: a dict of models, most of which are on the disk."""

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")

from imondrian._models.stream import StreamModel
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"n_trees": 5, "window": 40, "calibration": 50}


def seed_of(key, seed=1):
    """The rule: four bytes of BLAKE2b over the seed and the key as JSON."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{json.dumps(key)}".encode(), digest_size=4).digest(), "little")


class InMemory:
    """The obvious thing: a model for each key, all of them in a dict."""

    def __init__(self, **parameters):
        self.models, self.parameters = {}, parameters

    def __getitem__(self, key):
        if key not in self.models:
            self.models[key] = OnlineIsolationMondrianForest(seed=seed_of(key), **self.parameters)
        return self.models[key]


def points(n, n_keys, seed=0):
    """Keys of very different frequency, and points that depend on their key, some of whose values are missing."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, n_keys + 1)
    for key in rng.choice(n_keys, n, p=share / share.sum()).tolist():
        row = np.round(rng.normal(key, 1, 3), 3).tolist()
        x = dict(zip("abc", row, strict=True))
        if rng.random() < 0.1:
            del x[rng.choice(list(x))]
        if rng.random() < 0.05:
            x["late"] = None if rng.random() < 0.5 else 1
        yield key, x


@pytest.fixture
def forest(tmp_path):
    with KeyedForest(tmp_path / "models", seed=1, max_models=3, **SMALL) as forest:
        yield forest


# -- the same as a dict of models --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds", [{"max_models": 1}, {"max_models": 4}, {"max_models": 1000}, {"max_bytes": 200_000}], ids=str
)
@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        {"n_trees": 5, "window": "thinned", "score": "depth", "calibration": None},
        {"n_trees": 3, "window": 7, "scale": None, "max_features": 2, "calibration_half_life": 20.0},
    ],
    ids=str,
)
def test_it_is_a_dict_of_models(tmp_path, settings, bounds):
    expected, rng = InMemory(**settings), np.random.default_rng(1)
    with KeyedForest(tmp_path / "models", seed=1, **bounds, **settings) as forest:
        past = []
        for key, x in points(900, 25):
            model = expected[key]
            call = rng.integers(8)
            if call == 0:
                assert forest.score_one(key, x) == model.score_one(x)
            elif call == 1 and settings.get("calibration", 1):
                assert forest.p_value_one(key, x) == model.p_value_one(x)
            elif call == 2:
                assert forest.explain_one(key, x) == model.explain_one(x)
            elif call == 3 and past:
                key, old = past[rng.integers(len(past))]
                forest.forget_one(key, old, missing_ok=True)
                expected[key].forget_one(old, missing_ok=True)
            elif call == 4:
                forest.learn_one(key, x)
                model.learn_one(x)
            else:
                assert forest.score_learn_one(key, x) == model.score_one(x)
                model.learn_one(x)
            past = [*past[-50:], (key, x)]
        info = forest.info()
    assert info["spills"] > 20 or bounds["max_models"] == 1000


def test_tables_are_loops(tmp_path):
    expected, rng = InMemory(**SMALL), np.random.default_rng(2)
    keys = rng.choice(8, 900).tolist()
    X = rng.normal(size=(900, 2))
    X[rng.random(X.shape) < 0.05] = np.nan
    with KeyedForest(tmp_path / "models", seed=1, max_models=2, **SMALL) as forest:
        for begin in range(0, 900, 100):
            some = slice(begin, begin + 100)
            rows = [dict(enumerate(row)) for row in X[some].tolist()]
            before = [expected[key].score_one(x) for key, x in zip(keys[some], rows, strict=True)]
            assert forest.score_many(keys[some], X[some]).tolist() == before
            found = forest.score_learn_many(keys[some], X[some])
            for key, x, score in zip(keys[some], rows, found, strict=True):
                assert score == expected[key].score_one(x)
                expected[key].learn_one(x)
        with pytest.raises(ValueError, match="keys must be as many as rows, got 2 for 3"):
            forest.learn_many([1, 2], X[:3])


def test_dataframes(forest):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.DataFrame({"a": np.arange(50.0), "b": np.arange(50.0) ** 2})
    forest.learn_many(["x"] * 50, frame)
    for key in ("y",):
        for a, b in frame.itertuples(index=False):
            forest.learn_one(key, {"a": a, "b": b})
    twin = OnlineIsolationMondrianForest(seed=seed_of("x"), **SMALL)
    twin.learn_many(frame)
    assert forest.score_many(["x"] * 50, frame).tolist() == twin.score_many(frame).tolist()
    assert forest.score_one("y", {"a": 3, "b": 9}) > 0


def test_a_model_can_be_taken_out(forest):
    for key, x in points(200, 2):
        forest.learn_one(key, x)
    model, strange = forest.model(0), {"a": 9.0, "b": -9.0}
    assert model.score_one(strange) == forest.score_one(0, strange) > 0.5
    model.learn_one(strange)  # which the forest does not
    assert forest.score_one(0, strange) == forest.model(0).score_one(strange) != model.score_one(strange)
    forest.learn_one("young", {"a": 1})
    assert forest.model("young")._model.forest.n_seen == 1 and forest.info()["young"] == 1
    with pytest.raises(KeyError):
        forest.model("never heard of")


# -- keys --------------------------------------------------------------------------------------------------


def test_keys_of_all_kinds(tmp_path):
    kinds = ["1", 1, (1,), ("1",), (1, ("a", 2)), "", "\udc80\0\"'", -(10**30), "ключ"]
    with KeyedForest(tmp_path / "models", max_models=1, seed=1, **SMALL) as forest:
        for place, key in enumerate(kinds):
            for _ in range(place + 1):
                forest.learn_one(key, {"a": place})
    with KeyedForest.open(tmp_path / "models") as forest:
        assert set(forest.keys()) == set(kinds) and len(forest) == len(kinds)
        assert [forest.model(key)._model.forest.n_seen for key in kinds] == list(range(1, len(kinds) + 1))
        assert np.int64(1) in forest and 2 not in forest and forest.score_one(2, {"a": 1}) == 0.0
        assert len(forest) == len(kinds)


@pytest.mark.parametrize("key", [1.0, True, None, b"x", [1], (1, 2.5), (None,)])
def test_keys_that_are_none(forest, key):
    for call in (forest.learn_one, forest.score_one, forest.forget_one):
        with pytest.raises(TypeError, match="key must be a str, an int or a tuple of these, got"):
            call(key, {"a": 1})
    assert len(forest) == 0


def test_keys_can_be_dropped(forest):
    for key, x in points(300, 8):
        forest.learn_one(key, x)
    keys = set(forest.keys())
    for key in sorted(keys):
        forest.drop(key)
        keys.remove(key)
        assert key not in forest and set(forest.keys()) == keys and len(forest) == len(keys)
        with pytest.raises(KeyError):
            forest.drop(key)
    assert forest.info()["bytes"] == 0 and forest.score_one(0, {"a": 1}) == 0.0


# -- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "error"), [({"a": [1.0]}, TypeError), ({"a": float("inf")}, ValueError), ({b"a": 1}, TypeError)]
)
def test_bad_points_change_nothing(forest, x, error):
    for n in (0, 10, 100):
        for _ in range(n):
            forest.learn_one("k", {"a": n})
        before = forest.model("k")._model.forest.n_seen if n else None
        with pytest.raises(error):
            forest.learn_one("k", x)
        assert before is None or forest.model("k")._model.forest.n_seen == before
    with pytest.raises(ValueError, match="1 of 1 not found"):
        forest.forget_one("unknown", {"a": 1})


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"max_models": 0}, ValueError),
        ({"max_bytes": 1.5}, TypeError),
        ({"n_trees": 0}, ValueError),
        ({"window": "x"}, ValueError),
        ({"seed": 1.5}, TypeError),
    ],
)
def test_bad_parameters_make_no_folder(tmp_path, parameters, error):
    with pytest.raises(error, match=next(iter(parameters))):
        KeyedForest(tmp_path / "models", **parameters)
    assert not (tmp_path / "models").exists()


def test_p_values_that_there_are_none_of(tmp_path):
    with KeyedForest(calibration=None) as forest, pytest.raises(ValueError, match="calibration must be an int"):
        forest.p_value_one(1, {"a": 1})


# -- memory ----------------------------------------------------------------------------------------------------


def test_no_more_models_than_asked_for_and_none_larger_than_told(tmp_path):
    with KeyedForest(tmp_path / "models", max_models=5, seed=1, **SMALL) as forest:
        bound = forest.model_bytes(3)
        for key, x in points(3000, 40):
            forest.learn_one(key, {name: value for name, value in x.items() if name != "late"})
            learners = [held.learner for _, held in forest._models._memory.items()]
            models = [each for each in learners if isinstance(each, OnlineIsolationMondrianForest)]
            assert len(models) <= 5 and len(learners) <= 55
        assert all(sys.getsizeof(model) <= bound for model in models)
        info = forest.info()
        assert info["keys"] == len(forest) == 40 and info["bytes"] == sum(map(sys.getsizeof, learners))
        assert info["in_memory"] == len(learners) and info["loads"] > 100 and info["disk_bytes"] > 100_000


def test_no_more_bytes_than_asked_for(tmp_path):
    most = 300_000
    with KeyedForest(tmp_path / "models", max_bytes=most, seed=1, **SMALL) as forest:
        largest = 0
        for key, x in points(2000, 40):
            forest.learn_one(key, x)
            sizes = [sys.getsizeof(held.learner) for _, held in forest._models._memory.items()]
            assert sum(sizes) <= most and sum(sizes) == forest._models._memory._bytes
            largest = max(largest, len(sizes))
        assert largest > 3
    with KeyedForest(tmp_path / "one", max_bytes=1, **SMALL) as forest:
        for key, x in points(200, 5):
            forest.learn_one(key, x)
            assert len(list(forest._models._memory.items())) == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_resident_memory_stays_within_the_bound(tmp_path):
    script = f"""
import numpy as np, os
from imondrian.keyed import KeyedForest

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

rng = np.random.default_rng(0)
with KeyedForest({str(tmp_path / "models")!r}, max_models=20, seed=1) as forest:
    forest.learn_many(["first"] * 100, rng.normal(size=(100, 3)))
    before = resident()
    for key in range(600):
        forest.learn_many([key] * 60, rng.normal(size=(60, 3)))
    assert forest.info()["in_memory"] == 20
    print(resident() - before, 20 * forest.model_bytes(3) + (8 << 20), 600 * forest.model_bytes(3))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    grown, bound, all_models = map(int, done.stdout.split())
    assert grown < 1.5 * bound < all_models / 4  # the half for what the allocator keeps


# -- the folder ----------------------------------------------------------------------------------------------


def test_closed_and_opened_it_goes_on(tmp_path):
    expected = InMemory(**SMALL)
    for part in range(6):
        with KeyedForest(tmp_path / "models", seed=1, max_models=3, **SMALL) as forest:
            for key, x in points(150, 10, part):
                assert forest.score_learn_one(key, x) == expected[key].score_one(x)
                expected[key].learn_one(x)
    with pytest.raises(ValueError, match="is closed"):
        forest.learn_one(1, {"a": 1})
    forest.close()
    assert sorted(os.listdir(tmp_path / "models")) == ["models.sqlite"]


def test_a_seed_is_drawn_once(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 2))
    scores = []
    for name in ("one", "two"):
        with KeyedForest(tmp_path / name, **SMALL) as forest:
            forest.learn_many(["k"] * 60, rows)
            scores.append(forest.score_many(["k"] * 60, rows))
        with KeyedForest(tmp_path / name, **SMALL) as forest:
            forest.learn_many(["new"] * 60, rows)
            assert forest.model("new").seed == seed_of("new", forest._models.parameters["seed"])
    assert (scores[0] != scores[1]).any()


def test_a_temporary_folder_goes_away():
    forest = KeyedForest(max_models=1, **SMALL)
    for key, x in points(100, 5):
        forest.learn_one(key, x)
    path = forest.path
    assert path.is_dir()
    forest.close()
    assert not path.exists()


def test_other_parameters_are_refused(tmp_path):
    with KeyedForest(tmp_path / "models", seed=1, **SMALL) as forest:
        forest.learn_one(1, {"a": 1})
    with pytest.raises(ValueError, match=r"n_trees must be 5, as for the models in .*, got 6"):
        KeyedForest(tmp_path / "models", **{**SMALL, "n_trees": 6})
    with pytest.raises(ValueError, match="seed must be 1"):
        KeyedForest(tmp_path / "models", seed=2, **SMALL)
    with KeyedForest.open(tmp_path / "models", max_models=7) as forest:
        assert len(forest) == 1 and forest.max_models == 7


def test_two_cannot_have_it_open(tmp_path):
    with KeyedForest(tmp_path / "models", **SMALL):
        for _ in range(2):
            with pytest.raises(BlockingIOError, match="another process has it open"):
                KeyedForest(tmp_path / "models", **SMALL)
    KeyedForest(tmp_path / "models", **SMALL).close()


def change(path, statement, *values):
    connection = sqlite3.connect(path / "models.sqlite", isolation_level=None)
    connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA application_id = 7", "is not a store of imondrian"),
        ("PRAGMA user_version = 2", "format version 2"),
        ("UPDATE notes SET note = '{'", "does not say what its models are"),
        ("DELETE FROM notes", "holds no models"),
    ],
)
def test_folders_that_are_refused(tmp_path, statement, message):
    path = tmp_path / "models"
    KeyedForest(path, **SMALL).close()
    change(path, statement)
    with pytest.raises(ValueError, match=message):
        KeyedForest.open(path)


def test_places_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        KeyedForest.open(tmp_path / "models")
    (tmp_path / "file").write_text("text")
    with pytest.raises(OSError, match="file"):
        KeyedForest(tmp_path / "file")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "models.sqlite").write_bytes(b"no database, but some bytes that are long enough" * 100)
    with pytest.raises(ValueError, match="damaged, or no store"):
        KeyedForest(tmp_path / "models")


@pytest.mark.parametrize("n_points", [20, 100])
def test_a_damaged_model_is_told_and_the_others_are_well(tmp_path, n_points):
    path = tmp_path / "models"
    with KeyedForest(path, seed=1, **SMALL) as forest:
        for key in ("well", "ill"):
            forest.learn_many([key] * n_points, np.arange(n_points)[:, None])
    change(
        path,
        "UPDATE models SET state = CAST(substr(state, 1, 50) || x'00' || substr(state, 52) AS BLOB) "
        "WHERE key = '\"ill\"'",
    )
    with KeyedForest.open(path) as forest:
        with pytest.raises(ValueError, match=r"the model of 'ill' in .* is damaged"):
            forest.score_one("ill", {0: 1})
        forest.learn_one("well", {0: 1})
        forest.drop("ill")
        forest.learn_one("ill", {0: 1})
        assert len(forest) == 2


# -- crashes ---------------------------------------------------------------------------------------------------


def test_killed_it_comes_back_as_of_the_last_flush(tmp_path):
    script = f"""
import os, signal
from test_keyed import SMALL, points
from imondrian.keyed import KeyedForest
forest = KeyedForest({str(tmp_path / "models")!r}, seed=1, max_models=2, **SMALL)
for number, (key, x) in enumerate(points(500, 12)):
    if number == 300:
        forest.flush()
    forest.learn_one(key, x)
forest.drop(1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])},
    )
    assert done.returncode == -signal.SIGKILL
    expected = InMemory(**SMALL)
    stream = list(points(500, 12))
    for key, x in stream[:300]:
        expected[key].learn_one(x)
    with KeyedForest.open(tmp_path / "models", max_models=2) as forest:
        assert set(forest.keys()) == expected.models.keys() and len(forest) == len(expected.models)
        for key, x in stream[300:]:  # what was lost, once more
            assert forest.score_learn_one(key, x) == expected[key].score_one(x)
            expected[key].learn_one(x)


def test_a_full_disk_leaves_the_last_flush(tmp_path):
    path = tmp_path / "models"
    forest = KeyedForest(path, seed=1, max_models=2, **SMALL)
    stream = list(points(2000, 30))
    for key, x in stream[:200]:
        forest.learn_one(key, x)
    forest.flush()
    pages = forest._models._store._connection.execute("PRAGMA page_count").fetchone()[0]
    forest._models._store._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(OSError, match="No space left on device"):
        for key, x in stream[200:]:
            forest.learn_one(key, x)
    with pytest.raises(ValueError, match="is closed"):
        forest.learn_one(1, {"a": 1})
    forest.close()
    expected = InMemory(**SMALL)
    for key, x in stream[:200]:
        expected[key].learn_one(x)
    with KeyedForest.open(path) as forest:
        for key, x in stream[200:300]:
            assert forest.score_learn_one(key, x) == expected[key].score_one(x)
            expected[key].learn_one(x)


def test_threads_share_it(tmp_path):
    rows = {key: np.random.default_rng(key).normal(size=(300, 2)) for key in range(6)}
    found = {}

    def follow(forest, key):
        found[key] = np.concatenate(
            [forest.score_learn_many([key] * 10, rows[key][begin : begin + 10]) for begin in range(0, 300, 10)]
        )

    with KeyedForest(tmp_path / "models", seed=1, max_models=2, **SMALL) as forest:
        threads = [threading.Thread(target=follow, args=(forest, key)) for key in rows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for key, X in rows.items():
        twin = OnlineIsolationMondrianForest(seed=seed_of(key), **SMALL)
        assert found[key].tolist() == twin.score_learn_many(X).tolist()


@pytest.mark.parametrize("inside", ["judge_and_learn", "score_one", "forget_one"])
def test_whoever_interrupts_a_call_does_not_see_its_model_half_changed(monkeypatch, inside):
    # As a signal's handler would, in the same thread: the forest's own lock lets that in.
    with KeyedForest(**SMALL, seed=1) as forest:
        for i in range(40):
            forest.learn_one("k", {"a": float(i % 7)})
        forest.learn_one("other", {"a": 1.0})
        original, refused = getattr(StreamModel, inside), []

        def interrupted(*args):
            for ask in (forest.learn_one, forest.forget_one):
                with pytest.raises(RuntimeError, match="this very thread"):
                    ask("k", {"a": 3.0})
                refused.append(ask)
            assert forest.score_one("other", {"a": 1.0}) == 0.0
            return original(*args)

        call = {"judge_and_learn": forest.learn_one, "score_one": forest.score_one, "forget_one": forest.forget_one}[
            inside
        ]
        monkeypatch.setattr(
            StreamModel,
            inside,
            lambda model, *args: interrupted(model, *args) if not refused else original(model, *args),
        )
        call("k", {"a": 3.0})
        assert len(refused) == 2
        monkeypatch.undo()
        forest.learn_one("k", {"a": 3.0})
