"""``pointmetrics compare``: its numbers are those of the formulas, in every layout, for files and folders."""

import csv
import io
import json
import os
from functools import partial

import numpy as np
import pytest
from cases import command_line

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")

from points_oracles import sq_dist_matrix

import pointmetrics as pm
from pointmetrics import cli

run = partial(command_line.run, cli.main)

SQUARE = "v 0 0 0\nv 2 0 0\nv 2 2 0\nv 0 2 0\nf 1 2 3 4\n"


def write_ply(path, points):
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + np.asarray(points, "<f4").tobytes())


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((80, 3)).astype(np.float32), rng.random((60, 3)).astype(np.float32)
    write_ply(tmp_path / "x.ply", x)
    np.save(tmp_path / "y.npy", y.astype(np.float64))
    return tmp_path / "x.ply", tmp_path / "y.npy"


@pytest.fixture
def folders(tmp_path):
    """Three pairs, the noisiest called "sub/b", and one file on each side without a partner."""
    rng = np.random.default_rng(1)
    for name, noise in (("a", 0.01), ("sub/b", 0.2), ("c", 0.05)):
        y = rng.random((50, 3))
        write_ply(tmp_path / f"A/{name}.ply", y + rng.normal(size=y.shape) * noise)
        write_ply(tmp_path / f"B/{name}.ply", y)
    write_ply(tmp_path / "A/left.ply", y)
    write_ply(tmp_path / "B/right.ply", y)
    (tmp_path / "A/notes.md").write_text("no cloud")
    return tmp_path / "A", tmp_path / "B"


def compared(capsys, *arguments, **options):
    return json.loads(run(capsys, "compare", *arguments, "-f", "json", **options).out)


def expected(x, y, thresholds=(0.1, 0.2)):
    matrix = np.sqrt(sq_dist_matrix(np.float64(x), np.float64(y)))
    a, b = matrix.min(1), matrix.min(0)
    values = {
        "cd-l2": (a**2).mean() + (b**2).mean(),
        "cd-l1": (a.mean() + b.mean()) / 2,
        "open3d": a.mean() + b.mean(),
        "occnet-l2": ((a**2).mean() + (b**2).mean()) / 2,
        "pdal": (a**2).sum() + (b**2).sum(),
        "hausdorff": max(a.max(), b.max()),
        "hausdorff@0.95": max(np.quantile(a, 0.95), np.quantile(b, 0.95)),
    }
    for t in thresholds:
        p, r = (a < t).mean(), (b < t).mean()
        values |= {f"f-score@{t}": 2 * p * r / max(p + r, 1e-300), f"precision@{t}": p, f"recall@{t}": r}
    return values


def test_all_metrics_equal_their_formulas(pair, capsys):
    document = compared(capsys, *pair, "-t", 0.1, "-t", 0.2)
    found = document["pairs"][0]["metrics"]
    x, y = (pm.io.read_points(path) for path in pair)
    values = expected(x, y)
    assert set(found) == {*values, "dcd"}
    for name, value in values.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name
    assert found["dcd"] == pytest.approx(float(pm.density_aware_chamfer_distance(x, y)), rel=1e-12)
    assert document["metrics"]["cd-l2"] == {"unit": "length^2", "definition": "mean a^2 + mean b^2", "better": "lower"}
    assert document["metrics"]["recall@0.1"]["better"] == "higher"
    assert document["pairs"][0]["a"]["n_points"] == 80 and document["summary"] is None


def test_every_layout_has_the_same_numbers(pair, capsys):
    found = compared(capsys, *pair)["pairs"][0]["metrics"]
    row = next(csv.DictReader(io.StringIO(run(capsys, "compare", *pair, "-f", "csv").out)))
    assert {name: float(row[name]) for name in found} == found  # all digits
    table = run(capsys, "compare", *pair).out
    for name, value in found.items():
        assert [name, f"{value:.6g}"] in [line.split()[:2] for line in table.splitlines()]


def test_metrics_by_name(pair, capsys):
    names = ["pcn", "cd-l2:x_to_y", "hausdorff@0.5:y_to_x", "f-score@0.3", "emd", "emd-squared"]
    found = compared(capsys, *pair, "-m", "pcn,cd-l2:x_to_y", *(a for n in names[2:] for a in ("-m", n)))
    values = found["pairs"][0]["metrics"]
    assert list(values) == names
    x, y = (pm.io.read_points(path) for path in pair)
    a, b = np.sqrt(sq_dist_matrix(x, y).min(1)), np.sqrt(sq_dist_matrix(x, y).min(0))
    assert values["cd-l2:x_to_y"] == pytest.approx((a**2).mean())
    assert values["hausdorff@0.5:y_to_x"] == pytest.approx(np.median(b))
    assert values["pcn"] == pytest.approx(expected(x, y)["cd-l1"])
    for name, cost in (("emd", "euclidean"), ("emd-squared", "squared")):
        assert values[name] == pytest.approx(float(pm.earth_movers_distance(x, y, cost=cost)))
    assert found["metrics"]["cd-l2:x_to_y"]["definition"] == "mean a^2"
    assert found["metrics"]["hausdorff@0.5:y_to_x"]["definition"] == "0.5-quantile of b"


def test_dcd_takes_its_settings(pair, capsys):
    x, y = (pm.io.read_points(path) for path in pair)
    found = compared(capsys, *pair, "-m", "dcd", "--alpha", 40, "--n-lambda", 0.5)["pairs"][0]["metrics"]["dcd"]
    assert found == pytest.approx(float(pm.density_aware_chamfer_distance(x, y, alpha=40, n_lambda=0.5)))


@pytest.mark.parametrize("preset", ["shape-box", "shape-std", "reference-box", "reference-std"])
def test_normalisation_is_what_it_says(pair, capsys, preset):
    x, y = (pm.io.read_points(path) for path in pair)

    def frame(cloud):
        if preset.endswith("box"):
            return (cloud.max(0) + cloud.min(0)) / 2, np.ptp(cloud, axis=0).max() / 2
        return cloud.mean(0), np.sqrt(((cloud - cloud.mean(0)) ** 2).mean())

    (cx, sx), (cy, sy) = (frame(y), frame(y)) if preset.startswith("reference") else (frame(x), frame(y))
    found = compared(capsys, *pair, "-m", "cd-l1", "--normalise", preset)
    assert found["pairs"][0]["metrics"]["cd-l1"] == pytest.approx(expected((x - cx) / sx, (y - cy) / sy)["cd-l1"])
    assert found["metrics"]["cd-l1"]["unit"] == "normalised length"


def test_meshes_are_sampled_repeatably_and_measured_to(tmp_path, capsys):
    (tmp_path / "square.obj").write_text(SQUARE)
    np.save(tmp_path / "above.npy", np.array([[1.0, 1.0, 3.0], [3.0, 1.0, 0.0]]))
    above, square = tmp_path / "above.npy", tmp_path / "square.obj"
    found = compared(capsys, above, square, "--to-mesh", "--sample-mesh", 2000, "-m", "cd-l1")
    values = found["pairs"][0]["metrics"]
    assert values["point-to-mesh"] == pytest.approx(2.0) and values["point-to-mesh:max"] == pytest.approx(3.0)
    assert found["pairs"][0]["b"] == {
        "path": str(square),
        "n_points": 2000,
        "dimension": 3,
        "source": "drawn from its surface",
    }
    assert compared(capsys, above, square, "--to-mesh", "--sample-mesh", 2000, "-m", "cd-l1") == found
    other = compared(capsys, above, square, "--sample-mesh", 2000, "-m", "cd-l1", "--seed", 1)
    assert other["pairs"][0]["metrics"]["cd-l1"] != values["cd-l1"]
    # Samples of one surface are drawn apart: their distance says how well it is sampled, not 0.
    itself = compared(capsys, square, square, "--sample-mesh", 500, "-m", "cd-l1,point-to-mesh")["pairs"][0]["metrics"]
    assert 0.01 < itself["cd-l1"] < 0.2 and itself["point-to-mesh"] < 1e-12
    vertices = compared(capsys, square, square, "-m", "cd-l1")["pairs"][0]
    assert vertices["a"]["source"] == "vertices of a mesh" and vertices["metrics"]["cd-l1"] == 0


def test_subsets_are_seeded(pair, capsys):
    first = compared(capsys, *pair, "--max-points", 30)
    assert [first["pairs"][0][side]["n_points"] for side in "ab"] == [30, 30]
    assert compared(capsys, *pair, "--max-points", 30) == first
    assert compared(capsys, *pair, "--max-points", 30, "--seed", 5)["pairs"] != first["pairs"]


def test_folders_are_matched_by_name(folders, capsys):
    captured = run(capsys, "compare", *folders, "-f", "json")
    document = json.loads(captured.out)
    assert [pair["name"] for pair in document["pairs"]] == ["a", "c", "sub/b"]
    assert document["unmatched"] == {"a": ["left"], "b": ["right"]}
    assert "1 of the files are only in" in captured.err and "left" in captured.err
    for pair in document["pairs"]:
        x, y = (pm.io.read_points(pair[side]["path"]) for side in "ab")
        assert pair["metrics"]["cd-l1"] == pytest.approx(expected(x, y)["cd-l1"])
    values = [pair["metrics"]["cd-l1"] for pair in document["pairs"]]
    summary = document["summary"]["cd-l1"]
    assert summary["worst"] == "sub/b" and summary["max"] == max(values) and summary["min"] == min(values)
    assert summary["mean"] == pytest.approx(np.mean(values)) and summary["median"] == pytest.approx(np.median(values))
    assert document["summary"]["f-score@0.01"]["min"] <= document["summary"]["f-score@0.01"]["mean"]


def test_folders_do_not_depend_on_jobs_or_company(folders, capsys):
    one = compared(capsys, *folders, "-j", 1, "--max-points", 20)
    assert compared(capsys, *folders, "-j", 3, "--max-points", 20) == one
    alone = compared(capsys, folders[0] / "c.ply", folders[1] / "c.ply", "--max-points", 20)
    assert alone["pairs"][0]["metrics"] != one["pairs"][1]["metrics"]  # its subset is drawn for another name
    for side in folders:
        (side / "a.ply").unlink()
    assert compared(capsys, *folders, "--max-points", 20)["pairs"] == one["pairs"][1:]


def test_the_worst_pairs_come_first(folders, capsys):
    table = run(capsys, "compare", *folders, "-m", "f-score", "-t", 0.05, "-q")
    lines = table.out.splitlines()
    order = [line.split()[0] for line in lines[lines.index("Pairs, worst by f-score@0.05 first") + 2 :]]
    values = {
        pair["name"]: pair["metrics"]["f-score@0.05"]
        for pair in compared(capsys, *folders, "-m", "f-score", "-t", 0.05)["pairs"]
    }
    assert order == sorted(values, key=values.get) and table.err == ""
    assert compared(capsys, *folders, "--sort-by", "hausdorff")["sorted_by"] == "hausdorff"


def test_strict_refuses_files_without_a_partner(folders, capsys):
    captured = run(capsys, "compare", *folders, "--strict", code=1)
    assert captured.out == "" and "only in" in captured.err and "left" in captured.err


def test_one_bad_file_does_not_stop_the_others(folders, capsys):
    (folders[0] / "c.ply").write_bytes(b"ply\n")
    captured = run(capsys, "compare", *folders, "-f", "csv", code=3)
    rows = {row["pair"]: row for row in csv.DictReader(io.StringIO(captured.out))}
    assert "no end_header" in rows["c"]["error"] and rows["c"]["cd-l1"] == ""
    assert float(rows["a"]["cd-l1"]) > 0 and rows["a"]["error"] == ""
    assert "c: " in captured.err and "no end_header" in captured.err


def test_output_goes_to_a_file(pair, capsys, tmp_path):
    target = tmp_path / "out.json"
    captured = run(capsys, "compare", *pair, "-f", "json", "-o", target)
    assert captured.out == "" and json.loads(target.read_text()) == compared(capsys, *pair)
    link = tmp_path / "link.json"
    link.symlink_to(target)
    os.chmod(target, 0o640)
    run(capsys, "compare", *pair, "-m", "cd-l1", "-f", "json", "-o", link)
    assert link.is_symlink() and target.stat().st_mode & 0o777 == 0o640
    assert list(json.loads(target.read_text())["metrics"]) == ["cd-l1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "out.json", "x.ply", "y.npy"]


def test_real_scans(data_folder, capsys):
    found = compared(capsys, data_folder / "lidar_source.ply", data_folder / "lidar_target.ply", "-t", 0.5)
    assert 0.9 < found["pairs"][0]["metrics"]["f-score@0.5"] < 1
    cow = data_folder / "cow.obj"
    found = compared(capsys, cow, cow, "--sample-mesh", 4096, "-m", "cd-l1", "--to-mesh")["pairs"][0]["metrics"]
    assert found["point-to-mesh:max"] < 1e-9 < found["cd-l1"]
