"""``imondrian stream --feedback FILE``: verdicts change what comes after them, once, and survive a restart."""

import json
import os

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")

from click.testing import CliRunner
from stream_commands import FEATURES, json_lines, run, values

from imondrian._cli import PARTLY, Failure
from imondrian._cli.app import app
from imondrian._cli.stream import verdicts
from imondrian._cli.stream.verdicts import VerdictFile
from imondrian._river.online_forest import OnlineForest
from imondrian.river import OnlineIsolationMondrianForest

X = values(600)
NEW = values(200, seed=1)


def say(path, *lines):
    with open(path, "a", encoding="utf-8") as file:
        file.writelines((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)


def scores(lines):
    return [line["score"] for line in lines]


def learnt():
    model = OnlineIsolationMondrianForest(n_trees=10, seed=1)
    for row in X.tolist():
        model.learn_one(dict(zip(FEATURES, row, strict=True)))
    return model


def point(row):
    return dict(zip(FEATURES, row.tolist(), strict=True))


def test_verdicts_change_what_comes_after(tmp_path):
    _, first = run(tmp_path, json_lines(X), model=tmp_path / "model", rate=0.02)
    alarm = next(line["record"] for line in first if line["alarm"])
    say(tmp_path / "said", {"x": point(X[alarm - 1]), "verdict": 1}, {"x": point(NEW[0]), "verdict": -1})
    code, told = run(tmp_path, json_lines(NEW), model=tmp_path / "model", feedback=tmp_path / "said", every=50)
    model = learnt()
    model.feedback_one(point(X[alarm - 1]), 1)
    model.feedback_one(point(NEW[0]), -1)
    expected = []
    for row in NEW:
        expected.append(model.score_one(point(row)))
        model.learn_one(point(row))
    assert code == 0
    np.testing.assert_allclose(scores(told), expected, rtol=1e-12)
    loaded = OnlineIsolationMondrianForest.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.score_many(NEW), model.score_many(NEW), rtol=1e-12)


def test_verdicts_name_records_by_number_across_restarts(tmp_path):
    model, said = tmp_path / "model", tmp_path / "said"
    _, first = run(tmp_path, json_lines(X), model=model, feedback=said, rate=0.02)
    alarm = max(line["record"] for line in first if line["alarm"])
    say(said, {"record": alarm, "verdict": 1})
    code, _ = run(tmp_path, json_lines(NEW[:100]), model=model, feedback=said)
    assert code == 0
    held = OnlineForest.load(model)._model.verdicts
    np.testing.assert_array_equal(held.rows[:, [0, 1, 2]], X[alarm - 1 : alarm])

    run(tmp_path, json_lines(NEW[100:150]), model=model)  # one that hears nothing forgets nothing
    assert len(OnlineForest.load(model)._model.verdicts) == 1
    say(said, {"record": alarm, "verdict": None})
    code, _ = run(tmp_path, json_lines(NEW[150:]), model=model, feedback=said)
    assert code == 0  # the first line was not read again: its record was no more an alarm of this run
    assert OnlineForest.load(model)._model.verdicts is None


def test_records_of_this_run_may_be_named_though_they_are_no_alarms():
    model = learnt()
    held = VerdictFile(_written([]), model._model, True)
    from imondrian._cli.stream.records import Table

    held.remember(Table(FEATURES, X[:5], range(1, 6), None, None), [None] * 5)
    say(held._path, {"record": 3, "verdict": -1})
    assert held.follow()
    np.testing.assert_array_equal(model._model.verdicts.rows, X[2:3])
    assert held.state()["alarms"] == []
    os.unlink(held._path)


def _written(lines):
    import tempfile
    from pathlib import Path

    with tempfile.NamedTemporaryFile(delete=False) as file:
        pass
    say(file.name, *lines)
    return Path(file.name)


def test_the_file_may_come_late_and_a_half_line_waits(tmp_path):
    model, path = learnt(), tmp_path / "said"
    held = VerdictFile(path, model._model, True)
    assert not held.follow()
    line = json.dumps({"x": point(NEW[0]), "verdict": -1})
    path.write_text(line[:20])
    assert not held.follow()
    with open(path, "a", encoding="utf-8") as file:
        file.write(line[20:] + "\n")
    assert held.follow()
    assert len(model._model.verdicts) == 1
    assert not held.follow()
    path.write_text("\n")  # rotated
    held.follow()
    say(path, {"x": point(NEW[1]), "verdict": 1})
    held.follow()
    assert len(model._model.verdicts) == 2


def test_verdicts_wait_while_nothing_is_scored(tmp_path):
    say(tmp_path / "said", {"x": point(X[0]), "verdict": -1})
    code, _ = run(tmp_path, json_lines(X[:20]), model=tmp_path / "model", feedback=tmp_path / "said")
    assert code == 0
    assert OnlineForest.load(tmp_path / "model")._model.verdicts is None
    code, _ = run(tmp_path, json_lines(X[20:60]), model=tmp_path / "model", feedback=tmp_path / "said")
    assert code == 0
    assert len(OnlineForest.load(tmp_path / "model")._model.verdicts) == 1


BAD = {
    "no JSON": ("nothing", "must be {"),
    "a list": ([1], "must be {"),
    "another field": ({"record": 1, "verdict": 1, "why": ""}, "must be {"),
    "zero": ({"record": 1, "verdict": 0}, "the verdict must be 1"),
    "true": ({"record": 1, "verdict": True}, "the verdict must be 1"),
    "a float": ({"record": 1, "verdict": 1.0}, "the verdict must be 1"),
    "a record long gone": ({"record": 7, "verdict": 1}, "record 7 is not among the last"),
    "a record to come": ({"record": 10**9, "verdict": 1}, "is not among the last"),
    "text for a record": ({"record": "7", "verdict": 1}, "record '7' is not among the last"),
    "an unknown key": ({"x": {"z": 1.0}, "verdict": 1}, "'z'. is of a key that was never learnt"),
    "no values": ({"x": {}, "verdict": 1}, "a point that has a value"),
    "text for a number": ({"x": {"a": "1"}, "verdict": 1}, "must be a number"),
    "a list for features": ({"x": [1], "verdict": 1}, "x must be an object"),
    "withdrawn unsaid": ({"x": {"a": 1.0}, "verdict": None}, "no verdict was given on this point"),
    "nested too deeply": ("[" * 100_000, "must be {"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_lines_are_told_of_and_the_others_count(what, tmp_path, capsys):
    line, message = BAD[what]
    model = learnt()
    held = VerdictFile(tmp_path / "said", model._model, False)
    say(tmp_path / "said", {"x": point(X[0]), "verdict": -1}, line, {"x": point(X[1]), "verdict": 1})
    held.follow()
    assert (held.count, held.bad, len(model._model.verdicts)) == (2, 1, 2)
    told = capsys.readouterr().err
    assert "line 2: " in told
    assert message.replace("'z'. is", "'z'] is") in told


def test_bad_verdicts_show_in_code_and_summary(tmp_path):
    say(tmp_path / "said", {"record": 10**6, "verdict": 1}, {"x": point(X[0]), "verdict": 1})
    code, _ = run(tmp_path, json_lines(X), feedback=tmp_path / "said", summary=tmp_path / "summary", quiet=True)
    summary = json.loads((tmp_path / "summary").read_text())
    assert code == PARTLY
    assert (summary["verdicts"], summary["bad_verdicts"]) == (1, 1)


def test_of_several_lines_on_a_point_the_last_counts(tmp_path):
    model = learnt()
    held = VerdictFile(tmp_path / "said", model._model, True)
    one, other = {"x": point(X[0])}, {"x": point(X[1])}
    say(tmp_path / "said", {**one, "verdict": 1}, {**one, "verdict": -1}, {**other, "verdict": 1})
    say(tmp_path / "said", {**other, "verdict": None}, {**other, "verdict": None})
    held.follow()
    assert (held.count, held.bad) == (4, 1)
    assert model._model.verdicts.verdict.tolist() == [-1]


def test_memory_is_bounded(monkeypatch, tmp_path):
    from imondrian._cli.stream.records import Table

    monkeypatch.setattr(verdicts, "_RECORDS", 10)
    monkeypatch.setattr(verdicts, "_ALARMS", 4)
    held = VerdictFile(tmp_path / "said", learnt()._model, True)
    for begin in range(0, 100, 25):
        held.remember(Table(FEATURES, X[begin : begin + 25], range(begin, begin + 25), None, None), [0.01] * 25)
    assert list(held._records) == list(range(90, 100))
    assert list(held._alarms) == list(range(96, 100))


@pytest.mark.parametrize("options", [["--key", "a"], ["--no-learn"]])
def test_options_that_exclude_it(options, tmp_path):
    result = CliRunner().invoke(app, ["stream", "--feedback", str(tmp_path / "said"), *options])
    assert result.exit_code == 2
    assert "--feedback" in result.output


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(Failure, match="--feedback"):
        run(tmp_path, json_lines(X[:5]), feedback=tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"offset": -1},
        {"offset": 1.5},
        {"lines": True},
        {"alarms": [[1]]},
        {"alarms": [[1, {"a": None}]]},
        {"alarms": [[1, {"a": 1.0}]] * 1001},
        {"more": 1},
    ],
)
def test_damaged_states_are_refused(damage):
    state = {"offset": 0, "lines": 0, "alarms": [[1, {"a": 1.0}]]}
    assert verdicts.is_state(state)
    assert not verdicts.is_state({**state, **damage})
