"""Text on the command line: categories, what is left out, and what is told of both."""

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest
from stream_commands import run

from imondrian import IsolationMondrianForest, cli
from imondrian._cli import PARTLY, Failure
from imondrian._cli.dialect import is_category, is_date
from imondrian._cli.stream.csv_records import Layout
from imondrian._cli.stream.records import Selection
from imondrian.river import OnlineIsolationMondrianForest

N = 200
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "a": np.round(RNG.normal(size=N), 3),
        "site": RNG.choice(["x", "y", "z"], N),
        "when": pd.date_range("2024-01-01", periods=N, freq="h").strftime("%Y-%m-%d %H:%M"),
        "id": [f"row {k:03}" for k in range(N)],
        "ok": RNG.choice([True, False], N, p=[0.9, 0.1]),
    }
)
TABLE.loc[N - 1, ["a", "site"]] = [0.0, "never"]


@pytest.fixture
def files(tmp_path):
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    TABLE.to_parquet(tmp_path / "t.parquet")
    TABLE.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    return tmp_path


def call(*arguments):
    out, told, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        try:
            cli.main([*map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
    return code, out.getvalue(), told.getvalue()


def scored(path, *options):
    code, _, told = call("score", path, "--jobs", "1", "-o", path.with_suffix(".out.csv"), *options)
    assert code == 0, told
    return pd.read_csv(path.with_suffix(".out.csv")), told


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl"])
def test_text_is_nominal_and_dates_and_ids_are_left_out(files, name):
    found, told = scored(files / name, "--words", "--save", files / "forest", "--summary", files / "summary.json")
    assert "text is taken for categories: 'site'" in told
    assert "left out, for dates or times: 'when'; --nominal" in told
    assert "left out, for a text of its own in nearly every row: 'id'; --nominal" in told
    assert json.loads((files / "summary.json").read_text())["features"] == ["a", "site", "ok"]
    assert "site = never: 0.5 % of points" in found["why"].iloc[-1]
    # The forest is that of Python, whatever the file was.
    forest = IsolationMondrianForest.load(files / "forest")
    assert forest.forest_.nominal.tolist() == [False, True, False]
    np.testing.assert_allclose(-forest.score_samples(TABLE[["a", "site", "ok"]]), found["score"])
    again, told = scored(files / name, "--model", files / "forest")
    np.testing.assert_array_equal(again["score"], found["score"])
    assert "categories" not in told


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.jsonl"])
def test_text_counts_where_all_columns_are_copied_but_not_where_it_is_kept_by_name(files, name):
    plain, copied = scored(files / name)[0], scored(files / name, "--keep-all")[0]
    assert copied["site"].tolist() == TABLE["site"].tolist()
    np.testing.assert_array_equal(copied["score"], plain["score"])
    kept, numbers = scored(files / name, "--keep", "site")[0], scored(files / name, "--exclude", "site")[0]
    np.testing.assert_array_equal(kept["score"], numbers["score"])
    assert not np.array_equal(kept["score"], plain["score"])


def test_all_formats_are_one_table(files):
    first = scored(files / "t.csv")[0]["score"]
    for name in ("t.parquet", "t.jsonl"):
        np.testing.assert_array_equal(scored(files / name)[0]["score"], first)


def test_what_is_asked_for(files):
    summary = files / "s.json"

    def features(*options):
        scored(files / "t.csv", "--summary", summary, *options)
        return json.loads(summary.read_text())["features"]

    assert features("--nominal", "id,when,ok") == ["a", "site", "when", "id", "ok"]
    assert features("--numeric-only") == features("--exclude", "site") == ["a", "ok"]
    assert features("--columns", "a,id") == ["a", "id"]
    assert features("--keep", "site") == ["a", "ok"]
    for options, told in [
        (("--numeric", "site"), "'site' holds text"),
        (("--numeric", "site", "--nominal", "site"), "also among --numeric"),
        (("--nominal", "nobody"), "has no column 'nobody', which --nominal names"),
    ]:
        code, _, said = call("score", files / "t.csv", *options)
        assert code in (1, 2) and told in said


def test_a_model_of_categories_refuses_numbers_of_typed_files(files):
    scored(files / "t.parquet", "--save", files / "forest")
    TABLE.assign(site=1).to_parquet(files / "n.parquet")
    code, _, told = call("score", files / "n.parquet", "--model", files / "forest")
    assert code == 1 and "'site' must hold categories, as the model's, got numbers" in told
    TABLE.assign(a="text").to_parquet(files / "n.parquet")
    code, _, told = call("score", files / "n.parquet", "--model", files / "forest")
    assert code == 1 and "'a' holds text" in told


def test_explanations_show_the_value(files):
    def explained(layout):
        code, _, told = call("explain", files / "t.csv", "--row", N, "--format", layout, "-o", files / "out")
        assert code == 0, told
        return (files / "out").read_text()

    row = json.loads(explained("json"))["rows"][0]
    site = next(each for each in row["features"] if each["feature"] == "site")
    assert site["value"] == "never" and site["low"] == 0.0 and "site = never" in row["why"]
    assert "never" in explained("table") and "site,never,category" in explained("csv")
    reasons = scored(files / "t.csv")[0].filter(like="reason").iloc[-1].tolist()
    assert any(str(reason).startswith("site: category (+") for reason in reasons)


@pytest.mark.parametrize(
    "cells",
    [["1,5", "2,5"], ["1.234,5", "2.345,6"], ["1 234,5", "7 654,3"], ["12,5 %", "3 %"], ["?", "-"], ['"a\nb"', "c"]],
    ids=str,
)
def test_what_is_likely_no_category_is_an_error(tmp_path, cells):
    (tmp_path / "t.csv").write_text("a;b\n" + "".join(f"{cell};{k}.5\n" for k, cell in enumerate(cells * 3)))
    code, _, told = call("score", tmp_path / "t.csv", "--decimal", ".")
    assert code == 1 and "--nominal 'a' takes it for categories" in told
    scored(tmp_path / "t.csv", "--decimal", ".", "--nominal", "a")


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_cell_that_is_no_number_may_be_a_category_after_all(tmp_path, name):
    codes = [str(k % 7) for k in range(90)] + ["x"]
    lines = {
        "t.csv": ["a,code", *(f"{k}.5,{code}" for k, code in enumerate(codes))],
        "t.jsonl": [json.dumps({"a": k + 0.5, "code": int(c) if c != "x" else c}) for k, c in enumerate(codes)],
    }[name]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    code, _, told = call("score", tmp_path / name)
    assert code == 1 and "--nominal 'code' takes it for categories" in told
    scored(tmp_path / name, "--nominal", "code")


def test_texts():
    assert all(
        map(is_date, ["2024-01-02", "2024-1-2 03:04", "2024-01-02T03:04:05.6Z", "1.2.2024", "12/31/2024", "12:30"])
    )
    assert not any(map(is_date, ["x", "2024", "1.2.3", "10.0.0.1", "2024-01", "ok"]))
    assert all(map(is_category, ["x", "10.0.0.1", "1.2.3", "A1", "é", "1 a", "0x1f"]))
    assert not any(map(is_category, ["", "?", "--", "1", "1,5", "1.234.567", "1 234", "-3 %", "1e5", "a\nb"]))


# -- streams -----------------------------------------------------------------------------------------


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


ROWS = [
    {"a": a, "site": site, "when": when, "id": each, "ok": bool(ok)}
    for a, site, when, each, ok in TABLE.itertuples(index=False)
]
CSV = TABLE.to_csv(index=False).encode()


@pytest.mark.parametrize("data", [lines(ROWS), CSV], ids=["json", "csv"])
def test_streams_take_text_however_they_are_cut(tmp_path, data, capsys):
    code, whole = run(tmp_path, data, model=tmp_path / "model", reasons=2)
    told = capsys.readouterr().err
    assert code == 0 and "text is taken for categories: site, id; --exclude A,B" in told
    assert "left out, for dates or times: when; --nominal" in told
    assert "left out, for a text of its own in nearly every record: id; --nominal" in told
    assert run(tmp_path, data, chunk=37, reasons=2, quiet=True) == (0, whole)
    model = OnlineIsolationMondrianForest.load(tmp_path / "model")._model
    assert "when" not in model.keys and model.forest.nominal[model.keys["site"]]
    assert model.forest.nominal[model.keys["ok"]] == (data[:1] == b"{")  # cells are 1 and 0


def test_a_stream_is_rivers_loop(tmp_path):
    _, found = run(
        tmp_path, lines(ROWS), selection=Selection(ignore=("when", "id")), parameters={"n_trees": 10, "seed": 1}
    )
    model = OnlineIsolationMondrianForest(10, seed=1)
    expected = []
    for row in ROWS:
        x = {name: row[name] for name in ("a", "site", "ok")}
        expected.append(model.score_one(x))
        model.learn_one(x)
    np.testing.assert_array_equal([each["score"] for each in found], expected)


def test_records_of_another_kind_are_bad_lines(tmp_path, capsys):
    rows = [*ROWS[:50], {"a": "high", "site": "x"}, {"a": 1, "site": 3}, {"a": True, "site": "x"}, {"a": [1]}]
    code, found = run(tmp_path, lines(rows), selection=Selection(ignore=("when", "id")))
    told = capsys.readouterr().err
    assert code == PARTLY and [each["record"] for each in found][-1] == 53 and len(found) == 51
    assert "line 51: field 'a' must be a number, got the text 'high'" in told
    assert "line 52: field 'site' must be a category, as before, got 3" in told
    code, found = run(tmp_path, b"a,s\n1,x\n2,3\nz,y\n3,z\n")
    assert code == PARTLY and len(found) == 3
    assert "line 4: field 'a' must be a number, got the text 'z'" in capsys.readouterr().err


def test_fields_that_are_said_to_be_something(tmp_path, capsys):
    rows = [{"code": k % 3, "t": k if k else "x"} for k in range(60)]
    code, _ = run(tmp_path, lines(rows), model=tmp_path / "m", selection=Selection(nominal=("code",), numeric=("t",)))
    assert code == PARTLY and "'t' must be a number" in capsys.readouterr().err
    run(tmp_path, lines(ROWS), model=tmp_path / "n", selection=Selection(nominal=("id", "when")))
    assert capsys.readouterr().err.count("left out") == 0
    model = OnlineIsolationMondrianForest.load(tmp_path / "n")._model
    assert model.forest.nominal[[model.keys["id"], model.keys["when"]]].all()


@pytest.mark.parametrize("name", ["json", "csv"])
def test_it_goes_on_with_the_kinds_that_the_model_has(tmp_path, name, capsys):
    data = lines(ROWS) if name == "json" else CSV
    selection = Selection(ignore=("when", "id"))
    run(tmp_path, data, model=tmp_path / "m", selection=selection)
    capsys.readouterr()
    more = lines([{"a": 1, "site": 5}, {"a": 1, "site": "x"}]) if name == "json" else b"1,5,w,i,true\n1,x,w,i,true\n"
    code, found = run(tmp_path, more, model=tmp_path / "m", selection=selection)
    told = capsys.readouterr().err
    assert len(found) == (1 if name == "json" else 2) and "taken for" not in told  # the text 5, in CSV
    assert code == (PARTLY if name == "json" else 0) and ("'site' must be a category" in told) == (name == "json")


def test_one_model_a_key(tmp_path):
    rows = [{**row, "k": k % 2} for k, row in enumerate(ROWS)]
    selection = Selection(ignore=("when", "id"), key="k")
    code, found = run(tmp_path, lines(rows), selection=selection, model=tmp_path / "m", reasons=1)
    assert code == 0 and len(found) == N
    with pytest.raises(Failure, match=r"records 201 to 201: X\['site'\] must be categories, got numbers"):
        run(tmp_path, lines([{"a": 1, "site": 5, "k": 0}]), selection=selection, model=tmp_path / "m")


def test_verdicts_name_records_with_categories(tmp_path):
    verdicts = tmp_path / "said"
    verdicts.write_text('{"record": 150, "verdict": -1}\n{"x": {"a": 0, "site": "never"}, "verdict": 1}\n')
    selection = Selection(ignore=("when", "id"))
    code, _ = run(tmp_path, lines(ROWS[:150]), selection=selection, model=tmp_path / "m", feedback=verdicts)
    assert code == 0
    assert len(OnlineIsolationMondrianForest.load(tmp_path / "m")._model.verdicts) == 2


def test_lines_of_text_are_no_table(tmp_path):
    with pytest.raises(Failure, match="none of the first"):
        run(tmp_path, b"header\n" + b"some text\n" * 40, layout=Layout())
