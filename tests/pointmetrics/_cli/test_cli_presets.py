"""``pointmetrics compare --preset``: a paper's columns for two folders, from the values of each pair."""

import csv
import io
import json
from itertools import pairwise

import numpy as np
import pytest
from cases import command_line

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")

from points_oracles import chamfer, nearest

import pointmetrics as pm
from pointmetrics import cli

SQUARE = "v 0 0 0\nv 2 0 0\nv 2 2 0\nv 0 2 0\nf 1 2 3 4\n"
NAMES = ["f1", "f2", "f10"]
OWN = [("--threshold", "0.02"), ("--peak", "255"), ("--references", ".")]


@pytest.fixture
def folders(tmp_path):
    """Predictions and truths, whose names sort otherwise as text than as numbers."""
    rng = np.random.default_rng(0)
    for side, n in (("A", 90), ("B", 70)):
        (tmp_path / side).mkdir()
        for name in NAMES:
            np.save(tmp_path / side / f"{name}.npy", rng.random((n, 3)) - 0.5)
    return tmp_path / "A", tmp_path / "B"


def load(folder):
    return [np.load(folder / f"{name}.npy") for name in NAMES]


def run(capsys, *arguments, code=0):
    return command_line.run(cli.main, capsys, "compare", *arguments, code=code)


def table(capsys, *arguments):
    return json.loads(run(capsys, *arguments, "-f", "json", "-q").out)


@pytest.mark.parametrize("name", ["pcn", "pointr", "mpeg-ctc", "dtu", "tanks-and-temples"])
def test_a_table_holds_the_means_of_its_pairs(capsys, folders, name):
    of_its_own = {"mpeg-ctc": ["--peak", 7], "tanks-and-temples": ["-t", 0.2]}.get(name, [])
    found = table(capsys, *folders, "--preset", name, *of_its_own)
    pairs = [pm.measure_preset(name, x, y, peak=7.0, threshold=0.2) for x, y in zip(*map(load, folders), strict=True)]
    assert [column["title"] for column in found["columns"]] == list(pairs[0]) == list(found["values"])
    for title, value in found["values"].items():
        np.testing.assert_allclose(value, np.mean([pair[title] for pair in pairs]), rtol=1e-12)
    by_name = {pair["name"]: pair["values"] for pair in found["pairs"]}
    assert by_name == dict(zip(NAMES, pairs, strict=True))


@pytest.mark.parametrize("name", [name for name, preset in pm.presets().items() if preset.of == "sets"])
def test_a_table_of_sets(capsys, folders, name):
    found = table(capsys, *folders, "--preset", name)
    clouds = {folder: [np.load(path) for path in sorted(folder.glob("*.npy"))] for folder in folders}
    assert found["values"] == pytest.approx(pm.sets.evaluate_preset(name, *clouds.values()))
    assert found["pairs"] == []


@pytest.mark.parametrize("layout", ["table", "csv"])
@pytest.mark.parametrize("name", pm.presets())
def test_every_preset_prints_its_columns_and_no_others(capsys, folders, name, layout):
    meshes = folders[1]
    if name in ("pu-gan", "apu-ldi"):
        for path in meshes.glob("*.npy"):
            path.unlink()
        for file in NAMES:
            (meshes / f"{file}.obj").write_text(SQUARE)
            np.save(folders[0] / f"{file}.npy", np.random.default_rng(1).random((3000, 3)) * [2, 2, 0])
    shown = run(capsys, *folders, "--preset", name, "-f", layout)
    titles = [column.title for column in pm.presets()[name].columns]
    if layout == "csv":
        header, *_, mean = csv.reader(io.StringIO(shown.out))
        assert header == ["pair", *titles, "error"]
        assert mean[0] == "mean"
        missing = [title for title, value in zip(titles, mean[1:-1], strict=True) if not value]
    else:
        heading, values = shown.out.rstrip("\n").split("\n")[-2:]
        assert heading.split() == " ".join(titles).split()
        assert len(values.split()) == len(titles)
        assert pm.presets()[name].notes in shown.out
        missing = [title for title, value in zip(titles, values.split(), strict=True) if value == "-"]
    assert missing == (["MMD x1e3"] if name == "pcn-kitti" else [])


def test_truth_meshes_are_sampled_and_measured_to(capsys, folders):
    prediction, truth = folders[0] / "f1.npy", folders[1] / "square.obj"
    truth.write_text(SQUARE)
    points = np.random.default_rng(1).random((500, 3)) * [2, 2, 0] + [0, 0, 0.25]
    np.save(prediction, points)
    found = table(capsys, prediction, truth, "--preset", "apu-ldi")
    assert found["options"]["sample_mesh"] == 8192
    np.testing.assert_allclose(found["values"]["P2F x1e3"], 250)
    few = table(capsys, prediction, truth, "--preset", "apu-ldi", "--sample-mesh", 50)
    assert few["options"]["sample_mesh"] == 50
    assert few["values"]["CD x1e3"] > found["values"]["CD x1e3"]


def test_kitti_has_fidelity_consistency_and_mmd(capsys, folders, tmp_path):
    outputs, inputs = map(load, folders)
    cars = np.random.default_rng(5).random((4, 60, 3)) - 0.5
    np.save(tmp_path / "cars.npy", cars)
    found = table(capsys, *folders, "--preset", "pcn-kitti", "--references", tmp_path / "cars.npy")["values"]
    fidelity = np.mean([nearest(x, y)[2].mean() for x, y in zip(outputs, inputs, strict=True)])
    steps = np.mean([chamfer(outputs[0], outputs[1], "cd-l2"), chamfer(outputs[1], outputs[2], "cd-l2")])
    mmd = np.mean([min(chamfer(x, car, "cd-l2") for car in cars) for x in outputs])
    np.testing.assert_allclose(list(found.values()), [1e3 * fidelity, 1e3 * steps, 1e3 * mmd], rtol=1e-9)


def test_a_subfolder_is_a_track_of_its_own(capsys, folders):
    for folder in folders:
        (folder / "f11x").mkdir()
        for name in ("1", "2"):
            np.save(folder / "f11x" / f"{name}.npy", np.random.default_rng(int(name)).random((40, 3)))
        np.save(folder / "f2a.npy", np.random.default_rng(9).random((40, 3)))  # sorts behind the subfolder's name
    found = table(capsys, *folders, "--preset", "pcn-kitti")["values"]
    f1, f2, f10 = load(folders[0])
    inner = [np.load(folders[0] / "f11x" / f"{name}.npy") for name in ("1", "2")]
    outer = [f1, f2, np.load(folders[0] / "f2a.npy"), f10]
    steps = [np.mean([chamfer(a, b, "cd-l2") for a, b in pairwise(t)]) for t in (inner, outer)]
    np.testing.assert_allclose(found["Consistency x1e3"], 1e3 * np.mean(steps), rtol=1e-9)


def test_what_is_missing_is_said(capsys, folders):
    shown = run(capsys, *folders, "--preset", "apu-ldi")
    assert "P2F x1e3: needs a mesh as truth" in shown.err
    assert shown.out.rstrip().endswith("-")
    shown = run(capsys, *folders, "--preset", "pcn-kitti")
    assert "MMD x1e3: needs a folder of complete cars; --references names it" in shown.err


@pytest.mark.parametrize("binary", [False, True])
def test_normals_of_the_original_are_those_of_its_file(capsys, tmp_path, binary):
    rng = np.random.default_rng(4)
    x, y, normals = rng.random((3, 200, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    rows = np.column_stack([y, normals]).astype("<f4")
    kind = "binary_little_endian" if binary else "ascii"
    names = "".join(f"property float {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    head = f"ply\nformat {kind} 1.0\nelement vertex {len(y)}\n{names}end_header\n"
    body = rows.tobytes() if binary else "\n".join(" ".join(map(repr, row)) for row in rows.tolist()).encode()
    (tmp_path / "y.ply").write_bytes(head.encode() + body)
    np.testing.assert_array_equal(pm.io.read_normals(tmp_path / "y.ply"), normals)
    assert pm.io.read_normals(tmp_path / "x.npy") is None
    found = table(capsys, tmp_path / "x.npy", tmp_path / "y.ply", "--preset", "mpeg-ctc")["values"]
    expected = pm.psnr_d2(x.astype(float), y.astype(float), peak=1023, normals=(None, normals))
    np.testing.assert_allclose(found["D2 PSNR"], expected, rtol=1e-12)
    shown = run(capsys, tmp_path / "x.npy", tmp_path / "y.ply", "--preset", "mpeg-ctc", "--max-points", 100)
    assert "y.ply: its normals are of more points than were taken: those of 16 neighbours" in shown.err


@pytest.mark.parametrize("value, fault", [(0.0, "its normals are all 0"), (np.nan, "its normals are not all finite")])
def test_normals_that_say_nothing_are_estimated_and_told_of(capsys, tmp_path, value, fault):
    x, y = np.random.default_rng(4).random((2, 60, 3))
    np.save(tmp_path / "x.npy", x)
    names = "".join(f"property double {name}\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    rows = np.column_stack([y, np.full((60, 3), value)]).astype("<f8")
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex 60\n{names}end_header\n"
    (tmp_path / "y.ply").write_bytes(head.encode() + rows.tobytes())
    shown = run(capsys, tmp_path / "x.npy", tmp_path / "y.ply", "--preset", "mpeg-ctc", "-f", "json")
    assert fault in shown.err
    found = json.loads(shown.out)["values"]["D2 PSNR"]
    np.testing.assert_allclose(found, pm.psnr_d2(x, y, peak=1023), rtol=1e-12)


@pytest.mark.parametrize("name", ["pcn", "pointr"])
def test_folders_are_categories(capsys, tmp_path, name):
    """A row each, as the papers' tables have them, and the mean over all pairs."""
    rng, expected = np.random.default_rng(3), {}
    for category, count in (("chair", 3), ("airplane", 1)):
        for k in range(count):
            pair = rng.random((2, 60, 3))
            for side, cloud in zip(("A", "B"), pair, strict=True):
                (tmp_path / side / category).mkdir(parents=True, exist_ok=True)
                np.save(tmp_path / side / category / f"{k}.npy", cloud)
            expected.setdefault(category, []).append(list(pm.measure_preset(name, *pair).values()))
    folders = tmp_path / "A", tmp_path / "B"
    found = table(capsys, *folders, "--preset", name)
    assert list(found["categories"]) == ["airplane", "chair"]
    for category, means in found["categories"].items():
        np.testing.assert_allclose(list(means.values()), np.mean(expected[category], axis=0), rtol=1e-12)
    every = [row for rows in expected.values() for row in rows]
    np.testing.assert_allclose(list(found["values"].values()), np.mean(every, axis=0), rtol=1e-12)
    lines = run(capsys, *folders, "--preset", name).out.splitlines()[-4:]
    assert [line.split()[0] for line in lines] == ["category", "airplane", "chair", "mean"]
    assert table(capsys, *folders, "--preset", "tanks-and-temples", "-t", 0.2)["categories"] == {}


@pytest.mark.parametrize("name", [name for name, preset in pm.presets().items() if preset.per_category])
def test_two_files_are_no_category(capsys, folders, name):
    pair = folders[0] / "f1.npy", folders[1] / "f2.npy"
    assert table(capsys, *pair, "--preset", name)["categories"] == {}
    assert "category" not in run(capsys, *pair, "--preset", name, "-q").out.splitlines()[4]


def test_means_over_truths_with_and_without_a_mesh_are_told_of(capsys, folders):
    predictions, truths = folders
    for name in NAMES:
        np.save(predictions / f"{name}.npy", np.random.default_rng(1).random((3000, 3)) * [2, 2, 0])
    (truths / "f2.npy").unlink()
    (truths / "f2.obj").write_text(SQUARE)
    shown = run(capsys, *folders, "--preset", "pu-gan")
    assert "2 of 3 truths have no mesh (f1), and other disks: compare them apart" in shown.err


def test_a_frame_that_cannot_be_read_parts_a_track(capsys, folders, tmp_path):
    """The frames beside it do not follow each other, and all else is still measured."""
    outputs, _ = folders
    rng = np.random.default_rng(7)
    for name in ("f3", "f4"):
        for folder in folders:
            np.save(folder / f"{name}.npy", rng.random((40, 3)) - 0.5)
    np.save(outputs / "f2.npy", np.zeros((0, 3)))
    np.save(tmp_path / "cars.npy", rng.random((4, 60, 3)) - 0.5)
    shown = run(capsys, *folders, "--preset", "pcn-kitti", "--references", tmp_path / "cars.npy", "-f", "json", code=3)
    assert "f2: " in shown.err and "holds no points" in shown.err
    found = json.loads(shown.out)["values"]
    frames = [np.load(outputs / f"{name}.npy") for name in ("f3", "f4", "f10")]
    steps = np.mean([chamfer(a, b, "cd-l2") for a, b in pairwise(frames)])
    np.testing.assert_allclose(found["Consistency x1e3"], 1e3 * steps, rtol=1e-9)
    assert found["Fidelity x1e3"] > 0 and found["MMD x1e3"] > 0


def test_clouds_that_are_the_same_have_no_finite_psnr(capsys, folders):
    assert "inf" in run(capsys, folders[0], folders[0], "--preset", "mpeg-ctc").out
    assert table(capsys, folders[0], folders[0], "--preset", "mpeg-ctc")["values"]["D1 PSNR"] is None


def test_a_bad_pair_is_left_out_and_told(capsys, folders):
    (folders[0] / "f2.npy").write_bytes(b"not numpy")
    shown = run(capsys, *folders, "--preset", "pcn", code=3)
    assert "f2: " in shown.err
    assert "2 pairs of" in shown.out
    for name in NAMES:
        (folders[0] / f"{name}.npy").write_bytes(b"not numpy")
    assert "none of the 3 pairs could be compared" in run(capsys, *folders, "--preset", "pcn", code=1).err


@pytest.mark.parametrize(
    "options, message",
    [
        (["--preset", "cvpr"], "'cvpr' is not one of"),
        (["--preset", "pcn", "-m", "dcd"], "leave --metric out"),
        (["--preset", "pcn", "--emd", "--sort-by", "dcd"], "leave --emd, --sort-by out"),
        (["--preset", "pcn", "--normalise", "shape-box"], "leave --normalise out"),
        (["--preset", "dtu", "-t", "1", "-t", "2"], "--preset takes one --threshold, got 2"),
        (["--preset", "pcn", "--alpha", "1000", "--n-lambda", "1"], "leave --alpha, --n-lambda out"),
        (["--preset", "dtu", "--emd-max-points", "9", "--report-points", "100"], "leave --emd-max-points, --report-"),
        *((["--preset", "pcn", option, value], f"--preset pcn has no use for {option}") for option, value in OWN),
        (["--preset", "mpeg-ctc", "-t", "0.01"], "--threshold, which is for tanks-and-temples"),
        (["--peak", "255"], "--peak is for --preset mpeg-ctc"),
        (["--references", "."], "--references is for --preset pcn-kitti"),
    ],
)
def test_options_that_clash_are_refused(capsys, folders, options, message):
    assert message in run(capsys, *folders, *options, code=2).err


def test_strict_wants_partners(capsys, folders):
    np.save(folders[0] / "alone.npy", np.zeros((3, 3)))
    assert "alone" in run(capsys, *folders, "--preset", "pcn").err
    assert "alone" in run(capsys, *folders, "--preset", "pcn", "--strict", code=1).err


def test_output_goes_to_a_file_and_never_over_an_input(capsys, folders, tmp_path):
    run(capsys, *folders, "--preset", "pcn", "-f", "json", "-o", tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["preset"] == "pcn"
    assert "cannot write" in run(capsys, *folders, "--preset", "pcn", "-o", folders[0], code=1).err
