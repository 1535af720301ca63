"""``imondrian stream``: what it says of records is what river's calls say, however the input and the runs are cut."""

import json

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")

from reference import incident_reference
from stream_commands import FEATURES, csv_lines, json_lines, run, values

from imondrian._cli import PARTLY, Failure
from imondrian._cli.stream.csv_records import Layout
from imondrian._cli.stream.records import Selection
from imondrian.river import AlarmFilter, OnlineIsolationMondrianForest

N = 700


@pytest.fixture(scope="module")
def X():
    return values(N)


def in_turn(X, rate=0.01, protect=False, n_reasons=0, **parameters):
    """river's own loop: score, p-value, alarm and reasons of each point, then learn it."""
    model = OnlineIsolationMondrianForest(10, seed=1, **parameters)
    alarms = AlarmFilter(model, rate=rate, protect_anomaly_detector=protect)
    found, severities, explained = [], [], []
    for number, row in enumerate(X.tolist(), 1):
        x = dict(zip(FEATURES, row, strict=True))
        score = model.score_one(x)
        alarm = bool(alarms.classify(score))
        p_value = model.p_value_one(x)
        severities.append(alarms._rule.p_value(score))
        explained.append(model.explain_one(x, by_direction=True) if alarm and n_reasons else {})
        found.append({"record": number, "score": score, "p_value": p_value, "alarm": alarm})
        if alarm and n_reasons:
            parts = [
                (-size, name, side)
                for name, sizes in model.explain_one(x, by_direction=True).items()
                for side, size in zip(("low", "high"), sizes, strict=True)
            ]
            found[-1]["reasons"] = [
                {"feature": name, "side": side, "contribution": -size}
                for size, name, side in sorted(parts)[:n_reasons]
                if size < 0
            ]
            found[-1]["why"] = model.why_one(x, most=n_reasons)
        alarms.learn_one(x)
        if alarm and protect:
            model._model.recent.push_one(score)
    assert any(each["alarm"] for each in found)
    return incident_reference.told(found, severities, parts=explained, n_reasons=n_reasons)


@pytest.mark.parametrize("chunk", [None, 1000, 77])
@pytest.mark.parametrize("lines", [json_lines, csv_lines], ids=["json", "csv"])
def test_what_it_says_is_what_rivers_calls_say(tmp_path, X, lines, chunk):
    code, found = run(tmp_path, lines(X), chunk)
    assert code == 0 and found == in_turn(X)


@pytest.mark.parametrize(
    "settings", [{"reasons": 2}, {"skip_alarms": True}, {"reasons": 1, "skip_alarms": True}], ids=str
)
def test_alarms_that_have_consequences(tmp_path, X, settings):
    _, found = run(tmp_path, json_lines(X), 5000, rate=0.05, **settings)
    assert found == in_turn(X, 0.05, settings.get("skip_alarms", False), settings.get("reasons", 0))


def test_a_threshold(tmp_path, X):
    _, found = run(tmp_path, json_lines(X), threshold=0.7)
    expected = in_turn(X)
    assert [each["alarm"] for each in found] == [each["score"] >= 0.7 for each in expected]
    assert 0 < sum(each["alarm"] for each in found) < N / 2


def test_other_models(tmp_path, X):
    parameters = {"score": "depth", "window": 64, "calibration": 100}
    _, found = run(tmp_path, json_lines(X), parameters={"n_trees": 10, "seed": 1, **parameters})
    model = OnlineIsolationMondrianForest(10, seed=1, **parameters)
    for each, row in zip(found, X.tolist(), strict=True):
        x = dict(zip(FEATURES, row, strict=True))
        assert (each["score"], each["p_value"]) == (model.score_one(x), model.p_value_one(x))
        model.learn_one(x)


# -- fields --------------------------------------------------------------------------------------------------


def test_kept_fields_are_passed_through_and_no_features(tmp_path, X):
    ids, tags = ['},{"record":' + str(i) for i in range(N)], [[i, {"x": None}] for i in range(N)]
    _, found = run(tmp_path, json_lines(X, id=ids, tags=tags), selection=Selection(keep=("id", "tags")))
    assert ([each.pop("id") for each in found], [each.pop("tags") for each in found]) == (ids, tags)
    assert found == in_turn(X)


def test_fields_may_be_left_out_or_chosen(tmp_path, X):
    lines = json_lines(X, note=["text"] * N)
    assert run(tmp_path, lines, selection=Selection(ignore=("note",)))[1] == in_turn(X)
    assert run(tmp_path, lines, selection=Selection(columns=FEATURES))[1] == in_turn(X)


@pytest.mark.parametrize("chunk", [None, 200, 31])
def test_fields_that_come_and_go_are_missing_values(tmp_path, X, chunk):
    rng = np.random.default_rng(1)
    rows = [
        {name: value for name, value in zip(FEATURES, row, strict=True) if rng.random() < 0.9}
        for row in X[:300].tolist()
    ]
    rows[150]["late"] = 1.0
    rows[200]["late"] = None
    _, found = run(tmp_path, "".join(json.dumps(row) + "\n" for row in rows).encode(), chunk)
    model = OnlineIsolationMondrianForest(10, seed=1)
    for each, row in zip(found, rows, strict=True):
        assert each["score"] == model.score_one(row)
        model.learn_one(row)


def test_more_fields_than_the_model_takes(tmp_path, X):
    parameters = {"n_trees": 10, "seed": 1, "max_features": 2}
    _, found = run(tmp_path, json_lines(X), 3000, parameters=parameters)
    model = OnlineIsolationMondrianForest(**parameters)
    for each, row in zip(found, X.tolist(), strict=True):
        x = dict(zip(FEATURES, row, strict=True))
        assert each["score"] == model.score_one(x)
        model.learn_one(x)


# -- resuming ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [json_lines, csv_lines], ids=["json", "csv"])
@pytest.mark.parametrize("settings", [{}, {"skip_alarms": True}], ids=str)
def test_runs_one_after_another_are_one_run(tmp_path, X, lines, settings):
    model, found = tmp_path / "model", []
    for part in np.split(X, [1, 30, 400, 400, 650]):
        data = lines(part) if len(part) else b""
        code, some = run(tmp_path, data, model=model, every=70, rate=0.05, **settings)
        assert code == 0
        found += some
    assert found == in_turn(X, 0.05, settings.get("skip_alarms", False))


def test_csv_goes_on_without_a_header_line_too(tmp_path, X):
    head, tail = csv_lines(X[:300]), csv_lines(X[300:]).split(b"\n", 1)[1]
    model = tmp_path / "model"
    found = run(tmp_path, head, model=model)[1] + run(tmp_path, tail, model=model)[1]
    assert found == in_turn(X)
    swapped = b"c,b,a\n" + b"".join(b",".join(line.split(b",")[::-1]) + b"\n" for line in tail.splitlines())
    model.unlink()
    assert run(tmp_path, head, model=model)[1] + run(tmp_path, swapped, model=model)[1] == found


def test_replay_passes_over_what_the_model_has_learnt(tmp_path, X):
    model = tmp_path / "model"
    first = run(tmp_path, json_lines(X[:333]), model=model)[1]
    code, rest = run(tmp_path, b"\n" + json_lines(X), 500, model=model, replay=True)
    assert code == 0 and first + rest == in_turn(X)


def test_the_file_is_a_model_for_python_and_one_from_python_goes_on(tmp_path, X):
    model = OnlineIsolationMondrianForest(10, seed=1)
    for row in X[:200].tolist():
        model.learn_one(dict(zip(FEATURES, row, strict=True)))
    model.save(tmp_path / "model")
    found = run(tmp_path, json_lines(X[200:400]), model=tmp_path / "model")[1]
    expected = in_turn(X)
    assert [each["score"] for each in found] == [each["score"] for each in expected[200:400]]
    assert [each["record"] for each in found] == list(range(1, 201))
    loaded = OnlineIsolationMondrianForest.load(tmp_path / "model")
    assert loaded.score_one(dict(zip(FEATURES, X[400].tolist(), strict=True))) == expected[400]["score"]
    loaded.save(tmp_path / "again")
    assert run(tmp_path, json_lines(X[400:]), model=tmp_path / "again")[1][0]["record"] == 201


def test_a_new_rate_begins_with_its_own_level(tmp_path, X):
    model = tmp_path / "model"
    run(tmp_path, json_lines(X), model=model, rate=0.05)
    kept, new = (run(tmp_path, b"", model=model, rate=rate)[0] for rate in (None, 0.2))
    assert kept == new == 0
    stream = OnlineIsolationMondrianForest.load(model)._model.note
    assert stream["alarms"]["rate"] == 0.05 and stream["alarms"]["rule"]["debt"] != 0.0
    assert stream["alarms"]["rule"]["n_scores"] == N - 32
    run(tmp_path, json_lines(X[:1]), model=model, threshold=0.9)
    assert OnlineIsolationMondrianForest.load(model)._model.note["alarms"]["threshold"] == 0.9


def test_without_learning_nothing_changes(tmp_path, X):
    model = tmp_path / "model"
    run(tmp_path, json_lines(X[:500]), model=model)
    before = model.read_bytes()
    code, found = run(tmp_path, json_lines(X), 2000, model=model, learn=False, reasons=1, rate=0.05)
    loaded = OnlineIsolationMondrianForest.load(model)
    for each, row in zip(found, X.tolist(), strict=True):
        x = dict(zip(FEATURES, row, strict=True))
        assert (each["score"], each["p_value"]) == (loaded.score_one(x), loaded.p_value_one(x))
        assert each["alarm"] == (each["p_value"] <= 0.05) == ("reasons" in each)
    assert code == 0 and model.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parameters": {"n_trees": 11}}, "n_trees=10, not 11"),
        ({"parameters": {"window": 9}}, "window='thinned', not 9"),
    ],
)
def test_settings_that_a_saved_model_does_not_have(tmp_path, X, settings, message):
    run(tmp_path, json_lines(X[:5]), model=tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    with pytest.raises(Failure, match=message):
        run(tmp_path, json_lines(X[:5]), model=tmp_path / "model", **settings)
    assert (tmp_path / "model").read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"version": 4},
        {"incidents": None},
        {"incidents": {}},
        {"records": -1},
        {"records": 1.5},
        {"pending": np.zeros(1)},
        {"header": [1]},
        {"more": 1},
        {"alarms": {"rate": 0.1}},
        {"alarms": {"rate": "x", "threshold": None, "rule": None, "count": 0}},
        {"alarms": {"rate": 0.1, "threshold": None, "rule": {"rate": 0.1}, "count": 0}},
        {"version": 1, "alarms": {"rate": "x", "threshold": None, "level": 0.1, "count": 0}},
    ],
)
def test_a_state_that_is_none_is_refused(tmp_path, X, change):
    path = tmp_path / "model"
    run(tmp_path, json_lines(X[:50]), model=path)
    model = OnlineIsolationMondrianForest.load(path)
    model._model.note.update(change)
    model.save(path)
    with pytest.raises(ValueError, match="state of"):
        run(tmp_path, json_lines(X[:5]), model=path)


def test_a_state_of_the_first_version_goes_on_with_a_fresh_rule(tmp_path, X):
    path = tmp_path / "model"
    run(tmp_path, json_lines(X[:400]), model=path, rate=0.05)
    model = OnlineIsolationMondrianForest.load(path)
    del model._model.note["incidents"]
    model._model.note.update(version=1, alarms={"rate": 0.05, "threshold": None, "level": 0.03, "count": 17})
    model.save(path)
    code, found = run(tmp_path, json_lines(X[400:]), model=path)
    assert code == 0 and [each["record"] for each in found] == list(range(401, N + 1))
    alarms = OnlineIsolationMondrianForest.load(path)._model.note["alarms"]
    assert alarms["rate"] == 0.05 and alarms["rule"]["n_scores"] == N - 400
    assert alarms["count"] == 17 + sum(each["alarm"] for each in found)


# -- bad lines -----------------------------------------------------------------------------------------------


def with_bad_lines(X):
    """Good lines with bad ones and blank ones between, and the good ones' record numbers."""
    lines = json_lines(X).splitlines(keepends=True)
    for place, bad in ((300, b"\n"), (200, b'{"a": "x"}\n'), (100, b"nonsense\n"), (99, b"  \r\n"), (3, b"[1]\n")):
        lines.insert(place, bad)
    numbers = [i + 1 + (i >= 3) + (i >= 100) + (i >= 200) for i in range(len(X))]
    return b"".join(lines), numbers


@pytest.mark.parametrize("chunk", [None, 100])
def test_bad_lines_are_left_out_and_told(tmp_path, X, chunk, capsys):
    data, numbers = with_bad_lines(X)
    code, found = run(tmp_path, data, chunk, summary=tmp_path / "summary")
    assert code == PARTLY and [each.pop("record") for each in found] == numbers
    assert [each["score"] for each in found] == [each["score"] for each in in_turn(X)]
    told = capsys.readouterr().err
    assert "line 4: must be a JSON object, got a list" in told and "line 103: no JSON" in told
    assert "line 204: field 'a' must be a number" in told and "3 of 703 lines were bad" in told
    summary = json.loads((tmp_path / "summary").read_text())
    assert summary == {
        "ended_by": "end of input",
        "first_record": 1,
        "records": 703,
        "bad_lines": 3,
        "checkpoints": 0,
        "alarms": sum(each["alarm"] for each in found),
        "calls": 0,
        "failed_calls": 0,
        "incidents": max(each["incident"]["id"] for each in found if "incident" in each),
    }


@pytest.mark.parametrize("chunk", [None, 100])
def test_the_first_bad_line_may_be_fatal(tmp_path, X, chunk):
    data, _ = with_bad_lines(X)
    data = data.replace(b"[1]\n", b"")
    with pytest.raises(Failure, match="line 102: no JSON"):
        run(tmp_path, data, chunk, strict=True, model=tmp_path / "model")
    found = [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]
    assert found == in_turn(X)[:100]
    assert OnlineIsolationMondrianForest.load(tmp_path / "model")._model.note["records"] == 100


def test_fields_that_hold_no_numbers_in_every_line_are_listed_once(tmp_path, capsys):
    lines = [
        *(json.dumps({"id": f"x{k}", "at": "noon", "a": k}) for k in range(3)),
        json.dumps({"id": "x", "a": [1]}),
        json.dumps({"id": "x", "at": "noon", "a": 1}),
        json.dumps({"a": 1}),
    ]
    code, found = run(tmp_path, "\n".join(lines).encode() + b"\n", selection=Selection(numeric=("id", "at")))
    assert code == 3 and [each["record"] for each in found] == [6]
    told = [line.removeprefix("imondrian: ") for line in capsys.readouterr().err.splitlines()]
    assert [line.startswith(f"line {k}: ") for k, line in enumerate(told[:5], 1)] == [True] * 5
    assert told[0].endswith("'id' is the text 'x0', 'at' is the text 'noon'; --ignore id,at leaves them out")
    assert told[1:3] == [f"line {k}: the same fields as in line 1" for k in (2, 3)]
    assert told[3].endswith("--ignore id,a leaves them out") and told[4].endswith("--ignore id,at leaves them out")


def test_many_bad_lines_are_counted_and_not_all_told(tmp_path, X, capsys):
    run(tmp_path, json_lines(X[:5]) + b"x\n" * 2000)
    told = capsys.readouterr().err
    assert told.count("no JSON") == 10 and "2,000 of 2,005 lines were bad" in told


@pytest.mark.parametrize("chunk", [None, 64])
def test_input_of_which_nothing_can_be_read(tmp_path, X, chunk):
    with pytest.raises(Failure, match=r"none of the first 1,000 lines is a record; is it JSON\? .* line 1001:"):
        run(tmp_path, b"header\n" + b"x\n" * 3000 + b"1\n", chunk)
    with pytest.raises(Failure, match="none of the first 2 lines is a record"):
        run(tmp_path, b"a,b\nx,1\ny,1\n", chunk, selection=Selection(numeric=("a",)))
    assert run(tmp_path, b"header\n" + b"x\n" * 999 + b"1\n" + b"x\n" * 2000, chunk)[0] == PARTLY


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_nothing_at_all(tmp_path, data, capsys):
    assert run(tmp_path, data, model=tmp_path / "model") == (0, [])
    assert "there were no records" in capsys.readouterr().err and not (tmp_path / "model").exists()
    assert run(tmp_path, b"a,b\n") == (0, [])


def test_the_last_line_needs_no_line_feed(tmp_path, X):
    assert run(tmp_path, json_lines(X).rstrip(b"\n"), 999)[1] == in_turn(X)


def test_lines_without_end_take_no_memory(tmp_path, X, monkeypatch):
    monkeypatch.setattr("imondrian._cli.stream.lines.LineReader.__init__.__defaults__", (256, 5000))
    data = json_lines(X)
    middle = data.index(b"\n", 20_000) + 1
    _, found = run(tmp_path, data[:middle] + b'{"a": "' + b"x" * 6000 + b'"}\n' + data[middle:], chunk=256)
    assert [each["score"] for each in found] == [each["score"] for each in in_turn(X)]


def test_csv_of_other_lands(tmp_path, X):
    lines = csv_lines(X, ";").replace(b".", b",")
    _, found = run(tmp_path, lines, layout=Layout(decimal=","))
    assert found == in_turn(X)
    assert run(tmp_path, lines) == (0, found)
    with pytest.raises(Failure, match="decimal comma where decimals have points"):
        run(tmp_path, lines, layout=Layout(decimal="."))


def test_a_model_that_grows_too_large_stops_with_all_lines_so_far(tmp_path, X):
    with pytest.raises((ValueError, MemoryError), match="max_bytes"):
        run(
            tmp_path,
            json_lines(X) + b'{"d1":1,"d2":1}\n',
            parameters={"n_trees": 10, "seed": 1, "window": 20, "score": "spacing", "max_bytes": 120_000},
        )
    assert (tmp_path / "out").read_bytes().count(b"\n") == N
