"""``pointmetrics sets``, ``audit``, ``info``, and tables on a terminal."""

import csv
import io
import json
import os
import pty
import select
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cases import command_line

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")

from emd_oracles import exact_assignment

import pointmetrics as pm
from pointmetrics import cli

run = partial(command_line.run, cli.main)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def sets(tmp_path):
    samples, references = np.random.default_rng(0).random((2, 7, 32, 3)) - 0.5
    np.save(tmp_path / "samples.npy", samples)
    np.savez(tmp_path / "references.npz", *references)
    return tmp_path, samples, references


@pytest.mark.parametrize("metric", ["cd-l2", "emd"])
def test_sets_are_evaluated(sets, capsys, metric):
    folder, samples, references = sets
    command = ("sets", folder / "samples.npy", folder / "references.npz", "-m", metric, "--bootstrap", 50)
    found = json.loads(run(capsys, *command, "-f", "json").out)
    right = pm.sets.evaluate(samples, references, metric, n_bootstrap=50)
    for name, value in (("mmd", right.mmd), ("cov", right.cov), ("one_nna", right.one_nna)):
        assert found["results"][name] == {"value": value.value, "low": value.low, "high": value.high}
    assert found["results"]["jsd"]["value"] == right.jsd
    assert found["swapped"]["cov"]["value"] == right.swapped["cov"].value
    assert found["samples"]["n_clouds"] == 7
    rows = list(csv.reader(io.StringIO(run(capsys, *command, "-f", "csv").out)))
    assert rows[1] == ["MMD", repr(right.mmd.value), repr(right.mmd.low), repr(right.mmd.high)]
    table = run(capsys, *command).out
    assert f"{right.one_nna.value:.6g}" in table and "0.5 is ideal" in table


def test_sets_from_folders_and_their_matrices(sets, capsys):
    folder, samples, references = sets
    for name, clouds in (("s", samples), ("r", references)):
        (folder / name).mkdir()
        for i, cloud in enumerate(clouds):
            np.save(folder / name / f"{i}.npy", cloud)
    run(capsys, "sets", folder / "s", folder / "r", "--matrices", folder / "m.npz", "--normalisation", "shape-std")
    normal = [pm.sets.normalize(clouds, "shape-std") for clouds in (samples, references)]
    with np.load(folder / "m.npz") as saved:
        np.testing.assert_array_equal(saved["sr"], pm.sets.pairwise_distances(*normal))
        np.testing.assert_array_equal(saved["rr"], pm.sets.pairwise_distances(normal[1]))
    part = json.loads(run(capsys, "sets", folder / "s", folder / "r", "--max-points", 10, "-f", "json").out)
    assert part["results"]["mmd"]["value"] > pm.sets.evaluate(samples, references).mmd.value


def test_sets_say_where_jsd_is_undefined(sets, capsys):
    folder, samples, _ = sets
    np.save(folder / "large.npy", samples * 3)
    assert "undefined" in run(capsys, "sets", folder / "large.npy", folder / "references.npz").out


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: np.save(folder / "bad.npy", np.zeros((4, 3))), r"must hold one array (b, n, d)"),
        (lambda folder: (folder / "bad.npy").write_bytes(b"PK"), "bad.npy: "),
        (lambda folder: np.save(folder / "bad.npy", np.full((2, 4, 3), np.nan)), "must be finite"),
        (lambda folder: np.save(folder / "bad.npy", np.zeros((2, 4, 2))), "same dimension"),
    ],
)
def test_bad_sets_are_refused(sets, capsys, make, message):
    make(sets[0])
    assert message in run(capsys, "sets", sets[0] / "bad.npy", sets[0] / "references.npz", code=1).err
    assert "known are" in run(capsys, "sets", sets[0] / "bad.npy", sets[0] / "bad.npy", "-m", "cd", code=2).err


def test_audit_shows_the_exact_value_and_the_approximations(tmp_path, capsys):
    x, y = np.random.default_rng(0).random((2, 150, 3))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    files = (tmp_path / "x.npy", tmp_path / "y.npy")
    right = pm.audit_emd(x, y)
    squared = next(a for a in right.approximations if a.settings == "squared")
    exact = exact_assignment(x, y)
    given = f"{squared.value * 1000:.4g}"
    found = json.loads(run(capsys, "audit", *files, "-f", "json", "-v", f"{exact:.5g}", "-v", given, "-v", "1e-5").out)
    assert found["exact"]["emd"] == pytest.approx(exact)
    assert [row["value"] for row in found["approximations"]] == [a.value for a in right.approximations]
    first, second, third = found["claims"]
    assert "exact EMD" in [match["definition"] for match in first["matches"]]
    assert [match["definition"] for match in second["matches"]] == ["approxmatch, squared (PVD, LION) x 1000"]
    assert third["matches"] == [] and len(third["nearest"]) == 3
    table = run(capsys, "audit", *files, "-v", "1e-5").out
    assert "is none of the definitions known" in table and "no plan costs less than" in table
    assert len(list(csv.reader(io.StringIO(run(capsys, "audit", *files, "-f", "csv").out)))) == 7


@pytest.mark.parametrize(
    "options, code, message",
    [
        (("-v", "much"), 2, "--value must be a number, got 'much'"),
        (("-v", "-1"), 2, "--value must be finite and above 0"),
        (("--limit", 5), 1, "quadratic time: take fewer with --max-points"),
    ],
)
def test_audit_refuses(tmp_path, capsys, options, code, message):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((9, 3)))
    np.save(tmp_path / "y.npy", np.random.default_rng(1).random((12, 3)))
    assert message in run(capsys, "audit", tmp_path / "x.npy", tmp_path / "x.npy", *options, code=code).err
    assert "equally many" in run(capsys, "audit", tmp_path / "x.npy", tmp_path / "y.npy", code=1).err
    run(capsys, "audit", tmp_path / "x.npy", tmp_path / "y.npy", "--max-points", 9)


def test_info_as_json(capsys):
    found = json.loads(run(capsys, "info", "-f", "json").out)
    assert found["pointmetrics"] == pm.__version__ and found["numpy"] == np.__version__ and int(found["threads"]) >= 1


def on_a_terminal(*arguments, columns=100):
    """Run the program with a terminal for its output; return what it shows."""
    main, side = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "pointmetrics", *map(str, arguments)],
        stdin=side,
        stdout=side,
        stderr=side,
        env=environment,
    )
    os.close(side)
    shown = b""
    try:
        while select.select([main], [], [], 60)[0]:
            shown += os.read(main, 1 << 16)
    except OSError:
        pass  # the program closed its end
    os.close(main)
    assert process.wait(60) == 0
    return shown.decode()


def test_a_terminal_gets_a_drawn_table_and_progress(sets):
    folder, samples, references = sets
    for name, clouds in (("s", samples), ("r", references)):
        (folder / name).mkdir()
        for i, cloud in enumerate(clouds):
            np.save(folder / name / f"[b]{i}.npy", cloud)
    shown = on_a_terminal("compare", folder / "s", folder / "r", "-m", "cd-l1")
    assert "─" in shown and "\x1b[" in shown and "comparing" in shown and "7/7" in shown
    assert "[b]3" in shown  # a name is no markup
    quiet = on_a_terminal("compare", folder / "s", folder / "r", "-m", "cd-l1", "-q")
    assert "comparing" not in quiet
