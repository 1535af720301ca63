"""``imondrian stream --horizon 2h --time FIELD``: as the model in Python, resumed exactly, with keys, and refused."""

import json

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")

from click.testing import CliRunner
from stream_commands import FEATURES, json_lines, run, values

from imondrian._cli import Failure
from imondrian._cli.stream.records import Selection
from imondrian._cli.stream_app import command
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

N = 600
PARAMETERS = {"n_trees": 10, "seed": 1, "horizon": "10m", "time": "at"}
BY_TIME = Selection(time="at")


def times(n=N):
    rng = np.random.default_rng(2)
    found = np.cumsum(rng.choice([0.0, 2.0, 30.0], n))
    found[n // 2 :] += 3600
    return found - rng.choice([0.0, 5.0, 2000.0], n, p=[0.8, 0.15, 0.05])


def records(n=N):
    return values(n), times(n)


def rows_of(X, at):
    return [{**dict(zip(FEATURES, row, strict=True)), "at": stamp} for row, stamp in zip(X.tolist(), at, strict=True)]


@pytest.mark.parametrize("window", ["thinned", "decayed", 64])
@pytest.mark.parametrize("reasons", [0, 2])
def test_scores_are_those_of_the_model_in_python(tmp_path, window, reasons):
    X, at = records()
    model = OnlineIsolationMondrianForest(**PARAMETERS, window=window)
    expected = []
    for x in rows_of(X, at):
        expected.append(model.score_one(x))
        model.learn_one(x)
    code, found = run(
        tmp_path,
        json_lines(X, at=at.tolist()),
        700,
        parameters={**PARAMETERS, "window": window},
        selection=BY_TIME,
        reasons=reasons,
    )
    assert code == 0 and [each["score"] for each in found] == expected
    other = run(tmp_path, json_lines(X, at=at.tolist()), parameters={"n_trees": 10, "seed": 1, "window": window})[1]
    assert [each["score"] for each in other] != expected


@pytest.mark.parametrize("key", [None, "site"])
def test_checkpoints_resume_to_the_bit(tmp_path, key):
    X, at = records()
    more = {"at": at.tolist(), **({} if key is None else {"site": [i % 3 for i in range(N)]})}
    data = json_lines(X, **more)
    selection = Selection(time="at", key=key)
    whole = run(tmp_path, data, parameters=PARAMETERS, selection=selection)[1]
    found, model = [], tmp_path / "model"
    for end in (20, 250, 251, N):  # before there are models, and within bursts
        some = b"".join(data.splitlines(keepends=True)[len(found) : end])
        parameters = PARAMETERS if end < 251 else {}  # a saved model knows them
        found += run(tmp_path, some, parameters=parameters, selection=selection, model=model, every=40)[1]
    assert found == whole
    if key is None:
        detector = OnlineIsolationMondrianForest.load(model)
        assert (detector.horizon, detector.time) == ("10m", "at")
        with pytest.raises(Failure, match="holds a window by age: name the records' --time at"):
            run(tmp_path, data, parameters={}, model=model)
        with pytest.raises(Failure, match="with horizon='10m', not '20m'"):
            run(tmp_path, data, parameters={"horizon": "20m", "time": "at"}, model=model, selection=BY_TIME)
    else:
        with KeyedForest.open(model) as forest:
            assert len(forest) == 3 and forest.model(1).time == "at"


def test_a_record_without_a_time_is_a_bad_line(tmp_path):
    X, at = records(50)
    lines = json_lines(X, at=at.tolist()).splitlines(keepends=True)
    lines[10] = b'{"a": 1, "b": 2, "c": 3, "at": "noon"}\n'
    code, found = run(tmp_path, b"".join(lines), parameters=PARAMETERS, selection=BY_TIME)
    assert code == 3 and len(found) == 49


@pytest.mark.parametrize(
    "options, message",
    [
        (["--horizon", "2h"], "--horizon as an age needs --time"),
        (["--horizon", "2w", "--time", "at"], "must be a number of records, or an age"),
        (["--horizon", "-2h", "--time", "at"], "must be a number of records, or an age"),
        (["--horizon", "0h", "--time", "at"], "must be a number of records, or an age"),
        (["--horizon", "0"], "must be a number of records, or an age"),
        (["--horizon", "2h", "--time", "at", "--window", "reservoir"], "window must be an int, 'thinned' or 'decayed'"),
    ],
)
def test_options_that_cannot_be(options, message):
    found = CliRunner().invoke(command, options, input=json.dumps({"a": 1, "at": 0}))
    assert found.exit_code != 0 and message in found.output + str(found.exception)
