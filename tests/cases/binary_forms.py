"""The binary forms, for tests that hold for each: sound contents, how they are read, what is asked of what loads."""

import json
import tempfile
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from reference import file_reference, forgery
from reference.file_mutations import accident, change_array, change_json
from reference.file_mutations import forgery as forged_file

from imondrian import IsolationMondrianForest
from imondrian._cli.stream import stream_models
from imondrian._cli.stream.alarms import Alarms
from imondrian._conformal.alarm_rule import AlarmRule
from imondrian._conformal.incidents import Incidents
from imondrian._forest.levels import words_of
from imondrian._keyed.pending_points import Young
from imondrian._models.stream_state import from_bytes, to_bytes
from imondrian._persist import codec
from imondrian.river import OnlineIsolationMondrianForest

X = np.round(np.random.default_rng(0).normal(size=(60, 3)), 1)
KEYED = {"n_trees": 3, "window": 6, "horizon": 400, "calibration": 9, "max_features": 5}
AGED = {"window": 8, "horizon": "5s", "time": "at"}
ROOM = 3 << 20  # bytes beside a multiple of the content's, for what is there in any case
TIMES = 64


def within(call, n_bytes, where):
    """What a call returns, having asserted that it took no more memory than a multiple of so many bytes."""
    tracemalloc.start()
    try:
        return call()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < ROOM + TIMES * n_bytes, (where, peak, n_bytes)


# -- what is asked of what loads -----------------------------------------------------------------------


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
    when = {} if model.time is None else {model.time: 1e5}
    for shift in range(12):
        model.learn_one({key: value + shift for key, value in (x | when).items()})
    table = {**dict(zip((0, 1), np.arange(40.0).reshape(2, -1), strict=True)), **{key: [1e5] * 20 for key in when}}
    model.score_learn_many(pd.DataFrame(table))
    model.learn_one({**x, "new": 3.0, **when})
    model.forget_one(x, missing_ok=True)
    model.learn_one(x | when)
    model._model.forest.check()
    if not when:
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


def ask_points(young):
    """Learn the points."""
    model = OnlineIsolationMondrianForest(3, window=6, seed=0)
    for fields, values in young.parts:
        for row in values.tolist():
            model.learn_one(dict(zip(fields, row, strict=True)))
    assert Young.from_bytes(young.to_bytes(), 31).count == young.count


def ask_place(found):
    """Go on from where a stream was."""
    Alarms.resumed(found["alarms"], None, None, False)
    json.dumps(Incidents.of_state(found["incidents"]).alarm(2**62, 0.1, 0.5)[0].told(3))
    json.dumps([found["records"] + 10, found["header"]])
    assert found["records"] < 2**62 and isinstance(found["pending"].tobytes(), bytes)


# -- the forms -----------------------------------------------------------------------------------------


@dataclass
class Form:
    """A binary form. ``contents`` are sound, each with what its reader must know; ``read`` takes both and a path."""

    name: str
    make: object  # () -> (content, what its reader must know), ...
    read: object
    ask: object
    forged: object  # (rng, content) -> content, with right checksums
    version: int
    sealed: object  # (header's text, version) -> content, with right checksums
    claimed: object = None  # (content, array's number, dtype or None, shape or None) -> content
    again: object = None  # (what loaded, what its reader must know, path): write it and read it again
    least_loaded: float = 0.02
    _contents: list = field(default_factory=list)

    @property
    def contents(self):
        """The sound contents, made once."""
        if not self._contents:
            self._contents.extend(self.make())
        return self._contents

    def damaged(self, rng, content):
        """Damage by accident, or forge."""
        return accident(rng, content) if rng.random() < 0.2 else self.forged(rng, content)


def saved(models):
    """Contents of model files."""
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            model.save(Path(folder, "model"))
            yield Path(folder, "model").read_bytes(), None


def estimators():
    """Small estimators of every kind."""
    for settings in (
        {},
        {"random_state": np.random.RandomState(0)},
        {"window": 6, "contamination": 0.2},
        {"window": "decayed", "max_samples": 6},
        {"score": "insertion"},
        {"score": "depth", "scale": None},
        {"max_bytes": 10**7},
    ):
        model = IsolationMondrianForest(3, **{"random_state": 0, "max_samples": 7, **settings})
        yield (model.partial_fit if "window" in settings else model.fit)(X)
    many = np.random.default_rng(1).normal(size=(400, 2))  # rows are left over for p-values
    yield IsolationMondrianForest(3, max_samples=7, random_state=0).fit(many).partial_fit(many[:30])
    forgot = IsolationMondrianForest(2, random_state=0).partial_fit(X[:12].astype(np.float32))
    forgot.forest_.forget(X[:5].astype(np.float32))
    yield forgot


def streams():
    """Small models of streams of every kind."""
    for window in ("reservoir", 5, "thinned", None, "decayed"):
        for score in ("default", "insertion"):
            half_life = 5.0 if window == 5 else None
            model = OnlineIsolationMondrianForest(
                3, window=window, horizon=400, seed=0, score=score, calibration=9, calibration_half_life=half_life
            )
            for i, row in enumerate(X[:40].tolist()):
                x = dict(zip(("a", 1, ("b", None)), row, strict=True))
                model.learn_one(x if i % 4 else {"a": x["a"]})
            yield model
    for window in ("thinned", "decayed", 40):
        model = OnlineIsolationMondrianForest(3, window=window, horizon="1m", time="at", seed=0, calibration=9)
        for i, row in enumerate(X[:40].tolist()):
            model.learn_one(dict(zip(("a", "b", "c"), row, strict=True)) | {"at": 3.0 * i - 100.0 * (i % 7 == 0)})
        yield model


def read_file(cls):
    """Return how a class loads its file, mapped or copied."""

    def read(content, _, path):
        path.unlink(missing_ok=True)  # what is mapped must not be written into
        path.write_bytes(content)
        try:
            return cls.load(path, mmap=len(content) % 2 == 1)
        except ValueError as error:
            assert repr(str(path)) in str(error)
            raise

    return read


def save_again(model, _, path):
    """Save what loaded, and load it."""
    model.save(path.with_name("again"))
    type(model).load(path.with_name("again"))


def other_file(rng, content):
    """A forged model file."""
    if rng.random() < 0.4:
        return forged_file(rng, content)
    header, arrays = file_reference.parse(content)
    del header["arrays"]
    for _ in range(rng.choice([1, 1, 2])):
        if rng.random() < 0.6:
            rng.choice([forgery.change_column, change_array])(rng, arrays)
        else:
            forgery.change_parameter(rng, header)
    return file_reference.forge(header, arrays)


def claimed_file(content, number, dtype, shape):
    """A file one of whose arrays is said to be another."""
    header, arrays = file_reference.parse(content)
    del header["arrays"]

    def listed(entries):
        entries[number % len(entries)].update({"dtype": dtype} if shape is None else {"shape": shape})
        return entries

    return file_reference.forge(header, arrays, listed=listed)


def key_states():
    """What models of keys have learnt, with their settings."""
    for settings in (
        {},
        {"score": "depth"},
        {"window": None},
        {"window": "decayed"},
        {"calibration_half_life": 5.0},
        AGED,
    ):
        model = OnlineIsolationMondrianForest(seed=0, **{**KEYED, **settings})
        for i, row in enumerate(X[:45].tolist()):
            model.learn_one(dict(zip("abc", row, strict=True)) | ({"at": i} if "time" in settings else {}))
        yield to_bytes(model._model), {**KEYED, **settings}


def read_key(content, settings, _):
    """Read the model of a key."""
    model = OnlineIsolationMondrianForest(**settings)
    from_bytes(content, lambda: model._model)
    return model


def write_key(model, settings, path):
    """Write the model of a key and read it."""
    assert read_key(to_bytes(model._model), settings, path)._model.keys == model._model.keys


def claimed_state(letters, version):
    """Return how an array of a short form is said to be another."""

    def claimed(content, number, dtype, shape):
        state, arrays = forgery.parse_state(content, letters, version)

        def listed(entries):
            entry = entries[number % len(entries)]
            entry[1:4] = [dtype, dtype, entry[3]] if shape is None else [entry[1], entry[2], shape]
            return entries

        return forgery.forge_state(state, arrays, listed, letters=letters, version=version)

    return claimed


def young():
    """The first points of a key."""
    found = Young()
    found.learn(("a", 1, ("b", None)), X[:5])
    found.learn(("a",), X[:2, :1])
    found.learn(("a", "site"), np.column_stack([X[:2, 0], words_of(["x", None])]), np.array([False, True]))
    return found


def points_1():
    """The same as version 1 wrote them."""
    listed = [[["a", 1, {"$tuple": ["b", None]}], X[:5].tolist()], [["a"], X[:2, :1].tolist()]]
    yield forgery.forge_points(json.dumps(listed, separators=(",", ":"))), None


def place():
    """Where a stream was, with alarms and an open incident."""
    rule, incidents = AlarmRule(0.01, history=64), Incidents()
    rule.judge(np.random.default_rng(0).random(300))
    incidents.alarm(5, 0.25, 0.5, {"a": (0.5, 0.25)}, None)
    return {
        "version": 3,
        "incidents": incidents.state(),
        "records": 7,
        "header": ["a", "b"],
        "pending": np.zeros(3, np.uint8),
        "alarms": {"rate": 0.01, "threshold": None, "count": 1, "rule": rule.state()},
    }


def other_place(rng, content):
    """Another place, or none."""
    if rng.random() < 0.1:
        return forgery.forged_state(rng, content)
    state, arrays = forgery.parse_state(content)
    for _ in range(rng.choice([1, 2])):
        rng.choice([change_json, forgery.change_parameter])(rng, state)
    return forgery.forge_state(state, arrays)


def seal_short(letters):
    """Return how a header of a short form is sealed."""
    return lambda text, version: forgery.seal_state(text, letters=letters, version=version)


FILE = {"forged": other_file, "version": 1, "claimed": claimed_file, "again": save_again}
FILE["sealed"] = lambda text, version: file_reference.seal(text, b"", version=version)
FORMS = [
    Form("estimator", lambda: saved(estimators()), read_file(IsolationMondrianForest), ask_estimator, **FILE),
    Form("stream", lambda: saved(streams()), read_file(OnlineIsolationMondrianForest), ask_online, **FILE),
    Form(
        "model of a key",
        key_states,
        read_key,
        ask_online,
        forgery.forged_state,
        1,
        seal_short(b"IMK"),
        claimed_state(b"IMK", 1),
        write_key,
    ),
    Form(
        "first points",
        lambda: [(young().to_bytes(), None)],
        lambda content, *_: Young.from_bytes(content, 31),
        ask_points,
        lambda rng, content: forgery.forged_state(rng, content, b"IMY", 2),
        2,
        seal_short(b"IMY"),
        claimed_state(b"IMY", 2),
    ),
    Form(
        "first points, version 1",
        points_1,
        lambda content, *_: Young.from_bytes(content, 31),
        ask_points,
        forgery.forged_points,
        1,
        None,
    ),
    Form(
        "place of a stream",
        lambda: [(codec.pack(place()), None)],
        lambda content, *_: stream_models.checked("file", codec.unpack(content)),
        ask_place,
        other_place,
        1,
        seal_short(b"IMK"),
        claimed_state(b"IMK", 1),
        least_loaded=0.005,
    ),
]
