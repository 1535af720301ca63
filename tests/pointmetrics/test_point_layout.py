"""What of an array counts as points: masks, clouds that lie across, and the columns of files."""

import json
import warnings

import numpy as np
import pytest

import pointmetrics as pm
from pointmetrics import io, sets

RNG = np.random.default_rng(0)
CLOUD = RNG.random((20, 3))


def masked(hide=True):
    array = np.ma.masked_array(RNG.random((20, 3)), mask=False)
    if hide:
        array[0, 0] = np.ma.masked
    return array


def both(function, **options):
    return lambda x: (function(x, CLOUD, **options), function(CLOUD, x, **options))


ONE_CLOUD = {
    "chamfer": both(pm.chamfer_distance),
    "dcd": both(pm.density_aware_chamfer_distance),
    "hausdorff": both(pm.hausdorff_distance),
    "emd": both(pm.earth_movers_distance),
    "sinkhorn": both(pm.sinkhorn_divergence, epsilon=0.1),
    "sliced": both(pm.sliced_wasserstein_distance),
    "f-score": both(pm.f_score, threshold=0.1),
    "compare": both(pm.compare),
    "neighbours": both(pm.nearest_neighbors),
    "prepared": pm.PreparedCloud,
    "approximation": both(pm.approxmatch_emd),
    "auction": both(pm.msn_auction_emd),
    "list": lambda x: pm.chamfer_distance([CLOUD, x], [CLOUD, CLOUD]),
    "list of rows": lambda x: pm.chamfer_distance(list(x), CLOUD),
    "weights": lambda x: pm.chamfer_distance(CLOUD, CLOUD, weights=(x[:, 0], None)),
    "list of weights": lambda x: pm.chamfer_distance([CLOUD], [CLOUD], weights=([x[:, 0]], None)),
    "normals": lambda x: pm.chamfer_distance(CLOUD, CLOUD, normals=(x, CLOUD)),
    "consistency": lambda x: pm.normal_consistency(CLOUD, CLOUD, (CLOUD, x)),
    "mesh": lambda x: pm.point_to_mesh_distance(CLOUD, x, [[0, 1, 2]]),
    "sampled": lambda x: io.sample_mesh(x, [[0, 1, 2]], 5),
    "thresholds": lambda x: pm.f_score(CLOUD, CLOUD, x[:, 0]),
    "set": lambda x: sets.pairwise_distances([CLOUD, x]),
    "normalised": lambda x: sets.normalize([x, CLOUD], "global"),
}


@pytest.mark.parametrize("name", ONE_CLOUD)
def test_masked_values_are_refused_and_unmasked_arrays_are_arrays(name):
    with pytest.raises(ValueError, match=r"is a masked array with 1 of \d+ values masked"):
        ONE_CLOUD[name](masked())
    ONE_CLOUD[name](masked(hide=False))


def test_masked_batches_lengths_and_faces():
    batch = np.ma.masked_array(RNG.random((2, 20, 3)), mask=False)
    expected = pm.chamfer_distance(batch.data, batch.data[::-1])
    assert np.array_equal(pm.chamfer_distance(batch, batch[::-1]), expected)
    batch[1, 2, 0] = np.ma.masked
    for x in (batch, list(batch)):
        with pytest.raises(ValueError, match=r"^x(\[1\])? is a masked array with 1 of (120|60) values masked"):
            pm.chamfer_distance(x, batch.data)
    lengths = np.ma.masked_array([5, 6], mask=[False, True])
    with pytest.raises(ValueError, match="the lengths of x is a masked array"):
        pm.chamfer_distance(batch.data, batch.data, lengths=(lengths, None))
    faces = np.ma.masked_array([[0, 1, 2]], mask=[[False, False, True]])
    with pytest.raises(ValueError, match="faces is a masked array"):
        pm.point_to_mesh_distance(CLOUD, CLOUD, faces)
    with pytest.raises(ValueError, match="what metric returned is a masked array"):
        sets.pairwise_distances([CLOUD] * 3, metric=lambda x, y: np.ma.masked_array(np.ones(len(x)), mask=True))
    with pytest.raises(ValueError, match=r"x\[0\] is a masked array|x is a masked array"):
        pm.chamfer_distance([np.ma.masked_all((4, 3))], [CLOUD])


@pytest.mark.parametrize("shape", [(3, 2048), (2, 17), (4, 100), (1, 50), (5, 3, 200)])
def test_clouds_that_lie_across_warn(shape):
    x = RNG.random(shape)
    upright = (*shape[:-2], shape[-1], shape[-2])
    with pytest.warns(UserWarning, match="Points are rows") as caught:
        pm.chamfer_distance(x, np.swapaxes(np.swapaxes(x, -1, -2), -1, -2))
    assert {str(w.message).split(" ")[0] for w in caught} == {"x", "y"}
    for warning in caught:
        assert str(upright) in str(warning.message) and f"{shape[-1]:,} dimensions" in str(warning.message)
        assert warning.filename == __file__
    with pytest.warns(UserWarning, match=r"a\[1\] has shape|a has shape") as caught:
        sets.pairwise_distances(x if x.ndim == 3 else [CLOUD[:, :1] * np.ones(shape[-1]), x, x, x])
    assert len(caught) == 1


@pytest.mark.parametrize("shape", [(3, 16), (5, 17), (2048, 3), (100, 100), (1, 3), (6, 4, 3)])
def test_other_clouds_do_not(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pm.chamfer_distance(RNG.random(shape), RNG.random(shape))


WIDE = np.arange(60.0).reshape(10, 6)


def save(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, points=array)
    else:
        np.savetxt(path, array)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".txt"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_files_of_any_format_have_the_same_coordinates(suffix, dtype, tmp_path):
    path = tmp_path / f"cloud{suffix}"
    for width in (1, 2, 3, 4, 6):
        if suffix == ".txt" and width == 1:
            continue  # a first line of one number is the number of points there
        save(path, WIDE[:, :width].astype(dtype))
        expected = WIDE[:, : min(width, 3)]
        assert np.array_equal(io.read_points(path), expected)
        assert np.array_equal(io.read_mesh(path).vertices, expected)
        few = io.read_points(path, max_points=4, seed=0)
        assert few.shape == (4, min(width, 3)) and all(row in expected.tolist() for row in few.tolist())


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_named_columns_are_found_by_name(suffix, tmp_path):
    path = tmp_path / f"cloud{suffix}"
    table = np.zeros(10, dtype=[("intensity", "f4"), ("Z", "f8"), ("y", "f4"), ("X", "f4")])
    for name, column in zip(("X", "y", "Z"), WIDE.T, strict=False):
        table[name] = column
    for stored in (table, table.reshape(2, 5)):
        save(path, stored)
        assert np.array_equal(io.read_points(path), WIDE[:, :3])
        assert io.read_points(path, max_points=3).shape == (3, 3)
    save(path, np.array(list(zip(*WIDE.T[:2], strict=True)), dtype=[("X", "f8"), ("y", "f8")]))
    assert np.array_equal(io.read_points(path), WIDE[:, :2])
    save(path, np.zeros(10, dtype=[("intensity", "f4"), ("Z", "f8")]))
    with pytest.raises(ValueError, match=r"cloud\.np.: holds the fields intensity, Z, of which none are called x"):
        io.read_points(path)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_file_has_the_same_coordinates(order, tmp_path, monkeypatch):
    path = tmp_path / "cloud.npy"
    np.save(path, np.asarray(WIDE, order=order))
    monkeypatch.setattr(io, "_MAPPED", 1)
    found = io.read_points(path)
    assert np.array_equal(found, WIDE[:, :3]) and found.flags.c_contiguous and found.flags.owndata
    assert io.read_points(path, max_points=4).shape == (4, 3)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_files_that_lie_across_are_refused(suffix, tmp_path):
    path = tmp_path / f"cloud{suffix}"
    save(path, RNG.random((3, 100)))
    for options in ({}, {"max_points": 2}):
        with pytest.raises(ValueError, match=r"shape \(3, 100\).*one point a row"):
            io.read_points(path, **options)
    save(path, RNG.random((100, 100)))
    assert io.read_points(path, max_points=3).shape == (3, 3)


def test_the_command_line_says_the_dimension(tmp_path, capsys):
    pytest.importorskip("click", reason="needs click")
    pytest.importorskip("rich", reason="needs rich")
    from pointmetrics.cli import main

    def run(*arguments):
        assert not main(list(map(str, arguments)))
        return capsys.readouterr().out

    for side in "ab":
        (tmp_path / side).mkdir()
        for k in range(3):
            np.save(tmp_path / side / f"{k}.npy", RNG.random((30, 6)))
        np.save(tmp_path / f"{side}.npy", RNG.random((4, 30, 6)))
    a, b = tmp_path / "a", tmp_path / "b"
    assert "(30 points, 3-D)" in run("compare", a / "0.npy", b / "0.npy")
    assert ", 3-D" in run("compare", a, b)
    assert "30 points each, 3-D" in run("audit", a / "0.npy", b / "0.npy")
    assert "3 samples, 3-D:" in run("sets", a, b)
    assert "4 references, 3-D:" in run("sets", tmp_path / "a.npy", tmp_path / "b.npy")
    assert json.loads(run("sets", a, b, "--format", "json"))["dimension"] == 3
    for folder in (a, b):
        np.save(folder / "2.npy", RNG.random((30, 2)))
    assert "2-D or 3-D" in run("compare", a, b)
    assert "(30 points, 2-D)" in run("compare", a / "2.npy", b / "2.npy")
