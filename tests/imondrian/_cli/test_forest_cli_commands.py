"""``imondrian explain``, ``info`` and ``demo``, and what all commands share."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'imondrian[cli]'")

import imondrian
from imondrian import IsolationMondrianForest, cli
from imondrian._cli import info, table_app
from imondrian._kit import terminal

ROOT = Path(__file__).resolve().parents[3]
X = np.random.default_rng(0).normal(size=(500, 3)).round(4)
X[40] = [9, 0, -9]
X[41, 1] = np.nan
FEW = ("--trees", "20")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(",".join("" if np.isnan(v) else str(v) for v in row) for row in X)
    Path("in.csv").write_text("a,b,c\n" + rows + "\n")
    return tmp_path


@pytest.fixture(scope="module")
def forest():
    return IsolationMondrianForest(20, random_state=0).fit(X)


def run(capsys, *arguments):
    cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_explanations_are_those_of_the_estimator(capsys, forest):
    found = json.loads(run(capsys, "explain", "in.csv", "-r", "42", "-r", "41", "-r", "1", "-f", "json", *FEW))
    rows = [41, 40, 0]
    parts = -forest.explain(X[rows], by_direction=True)
    assert found["expected_score"] == -forest.expected_score_
    for k, row in enumerate(found["rows"]):
        assert row["row"] == rows[k] + 1
        assert row["score"] == -forest.score_samples(X[rows])[k] and row["p_value"] == forest.p_values(X[rows])[k]
        assert [one["feature"] for one in row["features"]] == ["a", "b", "c"]
        np.testing.assert_array_equal([[one["low"], one["high"]] for one in row["features"]], parts[k])
        np.testing.assert_array_equal(
            [one["value"] for one in row["features"]], [None if np.isnan(value) else value for value in X[rows[k]]]
        )
        assert [row["why"]] == forest_words(forest, rows[k])
        total = sum(one["contribution"] for one in row["features"])
        assert total == pytest.approx(row["score"] - found["expected_score"], abs=1e-9)


def test_the_most_anomalous_rows_are_explained_by_default(capsys, forest):
    order = np.argsort(forest.score_samples(X), kind="stable")
    assert order[0] == 40
    found = json.loads(run(capsys, "explain", "in.csv", "-f", "json", "-n", "3", *FEW))
    assert [row["row"] for row in found["rows"]] == (order[:3] + 1).tolist()
    assert [row["row"] for row in json.loads(run(capsys, "explain", "in.csv", "-f", "json", *FEW))["rows"]] == [41]


def test_explanations_as_csv(capsys, forest):
    rows = list(csv.DictReader(io.StringIO(run(capsys, "explain", "in.csv", "-f", "csv", *FEW))))
    parts = -forest.explain(X[40:41], by_direction=True)[0]
    found = {(row["feature"], row["side"]): float(row["contribution"]) for row in rows}
    expected = {(name, side): parts[j, s] for j, name in enumerate("abc") for s, side in enumerate(("low", "high"))}
    assert found == {key: value for key, value in expected.items() if value != 0}
    assert {row["row"] for row in rows} == {"41"} and {float(row["value"]) for row in rows} == {9.0, 0.0, -9.0}


def forest_words(forest, row):
    """Why a row has its score, with the names of the file's columns."""
    return [re.sub(r"feature (\d)", lambda found: "abc"[int(found[1])], text) for text in forest.why(X[row : row + 1])]


def test_explanations_as_a_table(capsys, forest):
    lines = run(capsys, "explain", "in.csv", "--features", "2", *FEW).splitlines()
    parts = -forest.explain(X[40:41], by_direction=True)[0]
    assert re.fullmatch(r"row 41: score 0\.\d{4} \(expected 0\.\d{4}\), p-value 0\.\d+", lines[0])
    assert lines[1].split() == ["feature", "value", "for", "being", "contribution"]
    first, second = lines[2].split(), lines[3].split()
    assert {tuple(first[:3]), tuple(second[:3])} == {("a", "9", "high"), ("c", "-9", "low")}
    sizes = [float(line.split()[-1]) for line in lines[2:5]]
    assert sum(sizes) == pytest.approx(parts.sum(), abs=2e-4)
    assert lines[4].split()[1] == "others"
    assert lines[5:] == [*forest_words(forest, 40)]


def test_explanations_go_to_files_and_pictures(capsys):
    assert run(capsys, "explain", "in.csv", "-o", "out.json", "-f", "json", *FEW) == ""
    assert json.loads(Path("out.json").read_text())["rows"][0]["row"] == 41
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'imondrian[plot]'")
    run(capsys, "explain", "in.csv", "--plot", "p.svg", *FEW)
    assert Path("p.svg").read_text().startswith("<?xml")


def test_a_saved_forest_explains_without_being_fitted(capsys, forest):
    forest.save("m.forest")
    found = json.loads(run(capsys, "explain", "in.csv", "-m", "m.forest", "-r", "7", "-f", "json"))
    assert found["rows"][0]["score"] == -forest.score_samples(X[6:7])[0]


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (("explain", "in.csv", "-r", "501"), 1, "in.csv: has no row 501; it has 500 rows"),
        (("explain", "in.csv", "-r", "0"), 2, "0 is not in the range"),
        (("explain", "in.csv", "-o", "in.csv"), 1, "cannot write in.csv: another option or argument names it, too"),
        (("explain", "in.csv", "in.csv"), 2, "unexpected extra argument"),
        (("score",), 2, "Missing argument 'FILE...'"),
        (("scores",), 2, "No such command 'scores'"),
        (("info", "--format", "xml"), 2, "'xml' is not one of"),
        (("demo", "--rows", "0"), 2, "0 is not in the range"),
    ],
)
def test_command_lines_that_are_wrong(capsys, arguments, code, message):
    with pytest.raises(SystemExit) as stop:
        cli.main(list(arguments))
    captured = capsys.readouterr()
    assert stop.value.code == code and message in captured.err and captured.out == ""
    assert "Traceback" not in captured.err


def test_a_row_that_was_left_out_is_told(capsys):
    Path("in.csv").write_text(Path("in.csv").read_text() + "1,inf,2\n1,2,3\n")
    with pytest.raises(SystemExit):
        cli.main(["explain", "in.csv", "--infinite", "drop", "-q", "-r", "501", *FEW])
    assert "has no row 501 that was not left out; it has 502 rows" in capsys.readouterr().err


def test_info(capsys):
    text = run(capsys, "info")
    facts = dict(line.split(": ", 1) for line in text.splitlines())
    assert facts["imondrian"] == imondrian.__version__ and {"numpy", "CUDA", "pyarrow", "orjson"} <= facts.keys()
    assert json.loads(run(capsys, "info", "-f", "json")) == facts


def test_info_names_the_extra_of_what_is_missing(monkeypatch):
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert info.facts()["orjson"] == "not installed (pip install 'imondrian[cli]')"


def test_help_tells_every_option(capsys):
    for command in ("score", "explain"):
        text = run(capsys, command, "--help")
        assert {"--columns", "--model", "--seed", "--infinite"} <= set(re.findall(r"--[a-z-]+", text))
    assert {option.name for option in table_app.score.params} >= {"files", "label", "top", "output"}
    assert run(capsys, "--version") == f"imondrian {imondrian.__version__}\n"


def test_without_arguments_there_is_help(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    assert stop.value.code == 2 and "score" in capsys.readouterr().err


def test_a_defect_is_called_one_and_debug_shows_where(capsys, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("oh")

    monkeypatch.setattr("imondrian._cli.score.score.score_all", broken)
    for debug in ((), ("--debug",)):
        with pytest.raises(SystemExit) as stop:
            cli.main(["score", "in.csv", "-q", *FEW, *debug])
        text = capsys.readouterr().err
        assert stop.value.code == 70 and "a defect of this program: RuntimeError: oh" in text
        assert ("Traceback" in text) == bool(debug)


@pytest.mark.parametrize(
    "hidden, arguments, code, message",
    [
        (("click", "rich"), ("info",), 2, "the command line needs click and rich: pip install 'imondrian[cli]'"),
        (("pyarrow",), ("score", "in.csv"), 2, "reading tables needs pyarrow: pip install 'imondrian[cli]'"),
        (("matplotlib",), ("score", "in.csv", "--plot", "p.png"), 2, "--plot needs matplotlib: pip install"),
        (("river",), ("demo",), 2, "the demo needs river: pip install 'imondrian[river,plot,cli]'"),
    ],
)
def test_a_missing_extra_names_the_command_that_mends_it(hidden, arguments, code, message):
    program = f"""
import importlib.machinery, sys
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.split(".")[0] in {hidden!r} else find(name, *rest))
from imondrian.cli import main
main({list(arguments)!r})
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    assert ended.returncode == code and message in ended.stderr and "Traceback" not in ended.stderr, ended.stderr


def test_progress_and_tables_on_a_terminal(capsys, monkeypatch):
    """A table of the most anomalous rows is what a person gets, in the width of the screen."""
    monkeypatch.setattr(terminal, "shows_tables", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    text = run(capsys, "score", "in.csv", "-q", *FEW)
    assert "20 of 500 rows" in text and "─" in text and max(map(len, text.splitlines())) <= 70
    assert text.splitlines()[4].split()[0] == "41"
