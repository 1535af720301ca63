"""``pointmetrics compare`` for papers: several methods, sub-folders as classes, LaTeX and Markdown."""

import json
import re
from functools import partial

import numpy as np
import pytest
from cases import command_line

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")

import pointmetrics as pm
from pointmetrics import cli

run = partial(command_line.run, cli.main)


@pytest.fixture
def folders(tmp_path):
    """A truth of two classes and two methods; the second lacks a cloud of the first class."""
    rng = np.random.default_rng(2)
    for name in ("car/1", "car/2", "car/3", "chair/1"):
        truth = rng.random((50, 3))
        for method, noise in (("truth", 0.0), ("ours", 0.01), ("base", 0.03)):
            if (method, name) != ("base", "car/2"):
                path = tmp_path / method / f"{name}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, truth + rng.normal(size=truth.shape) * noise)
    return tmp_path


def mean(folders, method, names):
    pairs = [[pm.io.read_points(folders / side / f"{name}.npy") for side in (method, "truth")] for name in names]
    return np.mean([pm.chamfer_distance(x, y, convention="cd-l1") for x, y in pairs])


def test_methods_are_compared_over_the_pairs_that_all_have(capsys, folders):
    told = run(
        capsys,
        "compare",
        folders / "ours",
        f"theirs={folders / 'base'}",
        folders / "truth",
        "-m",
        "cd-l1",
        "-f",
        "json",
    )
    document = json.loads(told.out)
    assert document["methods"] == ["ours", "theirs"] and document["classes"] == {"car": 2, "chair": 1}
    for method, folder in (("ours", "ours"), ("theirs", "base")):
        means = document["means"][method]["cd-l1"]
        cars, chairs = (mean(folders, folder, names) for names in (["car/1", "car/3"], ["chair/1"]))
        assert means["car"] == pytest.approx(cars) and means["chair"] == pytest.approx(chairs)
        assert means["mean over classes"] == pytest.approx((cars + chairs) / 2)
        assert means["mean over pairs"] == pytest.approx((2 * cars + chairs) / 3)
    assert "1 pairs of ours are left out, as another method lacks them" in told.err
    assert f"only in {folders / 'truth'}: car/2" in told.err
    assert len(document["values"]) == 6


def test_latex_has_the_scale_and_the_best_in_bold(capsys, folders):
    arguments = ["compare", folders / "base", folders / "ours", folders / "truth", "-m", "cd-l1,f-score"]
    out = run(capsys, *arguments, "-t", "0.05", "--scale", "1e3", "-f", "latex").out
    assert out.startswith("% pointmetrics ") and out.count(r"\begin{tabular}{lrrrr}") == 2
    assert r"cd-l1 $\times 10^{3}$ $\downarrow$" in out and r"f-score@0.05 $\uparrow$" in out
    ours, base = (re.findall(rf"^{name} & .*$", out, re.MULTILINE) for name in ("ours", "base"))
    assert all(line.count("textbf") == 4 for line in ours) and not any("textbf" in line for line in base)
    shown = float(re.search(r"textbf\{([\d.]+)\}", ours[0])[1])
    assert shown == pytest.approx(1e3 * mean(folders, "ours", ["car/1", "car/3"]), rel=5e-3)


def test_one_method_in_markdown_has_a_line_a_class(capsys, folders):
    out = run(capsys, "compare", folders / "ours", folders / "truth", "-m", "cd-l1,emd", "-f", "markdown").out
    names = [line.split("|")[1].strip() for line in out.splitlines()]
    assert names == ["class", "---", "car", "chair", "mean over classes", "mean over pairs"]


def test_the_usual_table_and_json_have_the_means_of_classes(capsys, folders):
    arguments = ["compare", folders / "ours", folders / "truth", "-m", "cd-l1"]
    out = run(capsys, *arguments).out
    assert "Means by sub-folder" in out and "mean over classes" in out and "mean over pairs" in out
    classes = json.loads(run(capsys, *arguments, "-f", "json").out)["classes"]
    assert classes["car"] == {"pairs": 3, "cd-l1": pytest.approx(mean(folders, "ours", ["car/1", "car/2", "car/3"]))}
    assert list(classes) == ["car", "chair", "mean over classes", "mean over pairs"]
    one = json.loads(run(capsys, "compare", folders / "ours/car", folders / "truth/car", "-f", "json").out)
    assert one["classes"] is None


def test_presets_have_methods_side_by_side(capsys, folders):
    arguments = ["compare", folders / "ours", folders / "base", folders / "truth", "--preset", "pcn"]
    out = run(capsys, *arguments, "-f", "latex").out
    assert r"CD-l1 $\times 10^{3}$ $\downarrow$" in out and r"F@1\% $\uparrow$" in out
    document = json.loads(run(capsys, *arguments, "-f", "json").out)
    expected = 1e3 * mean(folders, "ours", ["chair/1"])
    assert document["means"]["ours"]["CD-l1 x1e3"]["chair"] == pytest.approx(expected)


def test_a_broken_cloud_is_left_out_for_all_and_told(capsys, folders):
    (folders / "ours/car/1.npy").write_bytes(b"no cloud")
    arguments = ["compare", folders / "ours", folders / "base", folders / "truth", "-m", "cd-l1", "-f", "json"]
    told = run(capsys, *arguments, code=3)
    assert re.search(r"ours: car/1: .*; left out for every method", told.err)
    assert {row["pair"] for row in json.loads(told.out)["values"]} == {"car/3", "chair/1"}


def test_columns_that_files_hold_nothing_for_are_left_out_and_told(capsys, folders):
    told = run(capsys, "compare", folders / "ours", folders / "truth", "--preset", "apu-ldi", "-f", "markdown")
    assert "P2F x1e3: left out" in told.err and "P2F" not in told.out and "10³ ↓ |" in told.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["ours", "truth", "--scale", "1e3"], "--scale is of several methods, -f latex and -f markdown"),
        (["ours", "base", "truth", "-m", "cd-l1", "--scale", "x"], "--scale must be a number or NAME=NUMBER, got 'x'"),
        (["ours", "base", "truth", "-m", "cd-l1", "--scale", "cd=3"], "--scale must name metrics of the table"),
        (["ours", "base", "truth", "-m", "cd-l1", "--scale", "0"], "--scale must be finite and above 0"),
        (["ours", "base", "truth", "--html", "r.html"], "--html and --sort-by are of one method"),
        (["ours", "ours", "truth"], "two methods have the name"),
        (["ours", "base", "truth", "--preset", "pointflow"], "--preset pointflow compares whole sets"),
        (["ours"], "Missing argument"),
    ],
)
def test_mistakes_are_named(capsys, monkeypatch, folders, options, message):
    monkeypatch.chdir(folders)
    told = run(capsys, "compare", *options, code=2)
    assert message in told.err and not told.out


def test_methods_of_one_folder_name_go_by_their_paths(capsys, folders):
    for name in ("ours", "base"):
        (folders / name).rename(folders / f"{name}_")
        (folders / name).mkdir()
        (folders / f"{name}_").rename(folders / name / "out")
    told = run(capsys, "compare", folders / "ours/out", folders / "base/out", folders / "truth", "-f", "json")
    assert json.loads(told.out)["methods"] == [str(folders / "ours/out"), str(folders / "base/out")]


def test_two_files_can_be_laid_out(capsys, folders):
    files = [folders / side / "car/1.npy" for side in ("ours", "truth")]
    assert "1.npy & " in run(capsys, "compare", *files, "-m", "cd-l1", "-f", "latex").out
