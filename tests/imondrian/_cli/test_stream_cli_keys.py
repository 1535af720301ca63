"""``imondrian stream --key``: a model for each key, resumed and cut like a stream with one."""

import json
import os
import signal

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")

from reference import incident_reference
from reference.alarm_reference import Alarms
from stream_commands import FEATURES, ended, run, start, values

from imondrian._cli import Failure
from imondrian._cli.stream.records import Selection
from imondrian.keyed import KeyedForest

SMALL = {"n_trees": 5, "window": 40, "calibration": 50, "seed": 1}
N, KEYS = 900, ("pump", 7, "valve", 8, 9, 10)


@pytest.fixture(scope="module")
def rows():
    """Records of several sensors, some of which lack a field that others have."""
    rng = np.random.default_rng(5)
    chosen = rng.choice(len(KEYS), N, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    found = []
    for which, row in zip(chosen.tolist(), values(N).tolist(), strict=True):
        x = dict(zip(FEATURES, row, strict=True))
        if which == 1 or rng.random() < 0.05:
            del x["b"]
        found.append({"sensor": KEYS[which], **x})
    return found


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def in_turn(rows, rate=0.05, protect=False):
    """The obvious loop: ask the key's model, tell, let it learn; one rule of alarms for the scores of all keys."""
    found, severities, alarms = [], [], Alarms(rate, usual=(0.531, 0.045, 2000))
    with KeyedForest(max_models=100, **SMALL) as forest:
        for number, row in enumerate(rows, 1):
            key, x = row["sensor"], {name: value for name, value in row.items() if name != "sensor"}
            score, p_value = forest.score_one(key, x), forest.p_value_one(key, x)
            ready = key in forest and forest.model(key)._model.is_ready
            alarm = ready and alarms.alarm(score)
            severities.append(alarms.p_value)
            if alarm and protect:
                forest._models.keep_score(key, score)
            else:
                forest.learn_one(key, x)
            found.append({"record": number, "sensor": key, "score": score, "p_value": p_value, "alarm": alarm})
    assert any(each["alarm"] for each in found)
    return incident_reference.told(found, severities, keys=[row["sensor"] for row in rows])


def follow(folder, rows, chunk=None, **settings):
    return run(
        folder,
        lines(rows),
        chunk,
        **{"parameters": SMALL, "selection": Selection(key="sensor"), "rate": 0.05, "max_models": 2, **settings},
    )


@pytest.mark.parametrize("chunk", [None, 300])
@pytest.mark.parametrize("protect", [False, True])
def test_what_it_says_is_what_the_models_say(tmp_path, rows, chunk, protect):
    assert follow(tmp_path, rows, chunk, skip_alarms=protect) == (0, in_turn(rows, protect=protect))


def test_runs_one_after_another_are_one_run(tmp_path, rows):
    model, found = tmp_path / "models", []
    for begin, end in ((0, 10), (10, 400), (400, 400), (400, N)):
        code, some = follow(tmp_path, rows[begin:end], model=model, every=150)
        assert code == 0
        found += some
    assert found == in_turn(rows)
    with KeyedForest.open(model) as forest:
        assert set(forest.keys()) == {row["sensor"] for row in rows}
    before = found[-1]
    code, some = follow(tmp_path, rows[:50], model=model, learn=False, reasons=1)
    assert code == 0 and some[0]["record"] == before["record"] + 1


def test_killed_models_and_counts_are_of_one_moment(tmp_path, rows):
    model = tmp_path / "models"
    process = start(
        "--key",
        "sensor",
        "--model",
        model,
        "--every",
        200,
        "--max-models",
        1,
        "--window",
        40,
        "--calibration",
        50,
        "--alarm-rate",
        "0.05",
        "--trees",
        5,
    )
    process.stdin.write(lines(rows[:500]))
    process.stdin.flush()
    out = b""
    while out.count(b"\n") < 500:
        out += os.read(process.stdout.fileno(), 1 << 16)
    process.kill()
    ended(process)
    code, rest = follow(tmp_path, rows, model=model, replay=True)
    assert code == 0 and rest == in_turn(rows)[400:]
    assert [json.loads(line) for line in out.splitlines()] == in_turn(rows)[:500]


def test_asked_to_stop_all_is_saved(tmp_path, rows):
    model = tmp_path / "models"
    process = start(
        "--key", "sensor", "--model", model, "--window", 40, "--calibration", 50, "--alarm-rate", "0.05", "--trees", 5
    )
    process.stdin.write(lines(rows[:300]))
    process.stdin.flush()
    out = b""
    while out.count(b"\n") < 300:
        out += os.read(process.stdout.fileno(), 1 << 16)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    ended(process)
    found = [json.loads(line) for line in out.splitlines()]
    assert found + follow(tmp_path, rows[300:], model=model)[1] == in_turn(rows)


def test_folders_that_are_refused(tmp_path, rows):
    model = tmp_path / "models"
    follow(tmp_path, rows[:10], model=model)
    with pytest.raises(Failure, match="n_trees=5, not 6"):
        follow(tmp_path, rows[:10], model=model, parameters={"n_trees": 6})
    with KeyedForest.open(model), pytest.raises(OSError, match="another process has it open"):
        follow(tmp_path, rows[:10], model=model)
    (tmp_path / "file").write_text("text")
    for path in (tmp_path / "file", tmp_path / "no" / "models"):
        code, out, told = ended(start("--key", "sensor", "--model", path), lines(rows[:10]))
        assert code == 1 and not out and str(path) in told and "defect" not in told


def test_reasons_are_of_the_keys_own_model(tmp_path, rows):
    _, found = follow(tmp_path, rows, reasons=2)
    told, words = ([each.pop(name, None) for each in found] for name in ("reasons", "why"))
    assert all(each["incident"].pop("reasons") for each in found if "incident" in each)
    assert found == in_turn(rows)
    alarms = [(row, why) for row, why in zip(rows, told, strict=True) if why is not None]
    assert len(alarms) == sum(each["alarm"] for each in found) > 5
    for row, why in alarms:
        assert len(why) <= 2 and all(part["feature"] in row and part["contribution"] > 0 for part in why)
    assert all((text is None) == (why is None) for text, why in zip(words, told, strict=True))
    assert all(
        why[0]["feature"] in text and text.count("(p ") == 1 for text, why in zip(words, told, strict=True) if why
    )
