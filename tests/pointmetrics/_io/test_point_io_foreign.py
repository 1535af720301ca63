"""Formats that other packages know, files that are written here, and real files as trimesh and plyfile read them."""

import gzip
import struct
import sys
import zipfile

import numpy as np
import pytest
from test_point_io import MESHES, POINTS, VERTICES
from test_point_io_damage import FACES, SCAN, las, stl

from pointmetrics import io

# Empty ones, descriptors, indices, buffers of scenes, and what needs lazrs.
AWKWARD = (
    "empty.obj",
    "empty.stl",
    "ply_empty_ascii.ply",
    "ply_empty_header.ply",
    "stl_empty_bin.stl",
    "simple.laz",
    "brisk_descriptors_gt.pcd",
    "rops_indices.txt",
    "TestScene.bin",
    "Mesh_PrimitiveMode_04.bin",
)


@pytest.fixture(scope="session")
def awkward(data_folder):
    """Real files that readers stumble over, by name."""
    folder = data_folder.parent / "awkward"
    if not folder.is_dir():
        pytest.skip("needs real files: set IMONDRIAN_DATA to a folder that holds awkward/")
    return {path.name.split("__")[-1]: path for path in sorted(folder.iterdir())}


def test_real_files_are_read_or_refused_by_name(awkward):
    for name, path in awkward.items():
        if not io.is_known(path) or name == "simple.laz":
            continue
        if path.suffix.lower() == ".stl":
            pytest.importorskip("trimesh", reason="needs trimesh")
        if name in AWKWARD:
            with pytest.raises(ValueError, match=name):
                io.read_mesh(path)
        else:
            assert np.isfinite(io.read_points(path, drop_invalid=True)).all(), name


@pytest.mark.peer
def test_real_files_as_plyfile_reads_them(awkward, data_folder):
    plyfile = pytest.importorskip("plyfile", reason="needs plyfile")
    compared = 0
    paths = [path for name, path in awkward.items() if path.suffix == ".ply" and name not in AWKWARD]
    for path in [*paths, *data_folder.glob("*.ply")]:
        try:
            vertex = plyfile.PlyData.read(path)["vertex"]
        except plyfile.PlyParseError:
            continue  # it is stricter: longer rows, bool
        expected = np.column_stack([vertex[axis] for axis in "xyz"])
        np.testing.assert_allclose(io.read_points(path), expected, rtol=1e-6, atol=1e-7, err_msg=path.name)
        compared += 1
    assert compared >= 12


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_real_files_as_trimesh_reads_them(awkward, data_folder, tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="needs trimesh")
    zipfile.ZipFile(awkward["off.zip"]).extractall(tmp_path)
    paths = [path for name, path in awkward.items() if path.suffix in (".obj", ".off") and name not in AWKWARD]
    compared = 0
    for path in [*paths, *data_folder.glob("*.obj"), *sorted(tmp_path.glob("off/*.off"))]:
        peer = trimesh.load(path, process=False, maintain_order=True, force="mesh")
        if not len(peer.vertices):
            continue  # points without faces are left out there
        mesh = io.read_mesh(path)
        assert len(mesh.faces) == len(peer.faces), path.name
        # Vertices are split there where their texture differs, and polygons cut from other corners.
        np.testing.assert_allclose(
            np.unique(mesh.vertices[np.unique(mesh.faces)], axis=0),
            np.unique(peer.vertices[np.unique(peer.faces)], axis=0),
            err_msg=path.name,
        )
        edges = mesh.vertices[mesh.faces[:, 1:]] - mesh.vertices[mesh.faces[:, :1]]
        area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1).sum() / 2
        np.testing.assert_allclose(area, peer.area, rtol=1e-6, err_msg=path.name)
        compared += 1
    assert compared >= 30


def test_stl_corners_are_taken_once(tmp_path):
    pytest.importorskip("trimesh", reason="needs trimesh")
    (tmp_path / "a.stl").write_bytes(stl())
    mesh = io.read_mesh(tmp_path / "a.stl")
    assert mesh.vertices.shape == (4, 3)
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], VERTICES[FACES])
    (tmp_path / "b.STL").write_text(
        "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n"
        "vertex 1 1 0\nendloop\nendfacet\nendsolid a\n"
    )
    np.testing.assert_array_equal(io.read_points(tmp_path / "b.STL"), VERTICES[:3])


def test_scenes_are_put_together(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="needs trimesh")
    scene = trimesh.Scene()
    mesh = trimesh.Trimesh(VERTICES, FACES, process=False)
    scene.add_geometry(mesh, node_name="here")
    scene.add_geometry(mesh, node_name="there", transform=trimesh.transformations.translation_matrix([0, 0, 5]))
    scene.add_geometry(trimesh.PointCloud([[9.0, 9, 9]]), node_name="points")
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    read = io.read_mesh(tmp_path / "a.glb")
    expected = np.concatenate([VERTICES, VERTICES + np.array([0, 0, 5]), [[9, 9, 9]]])
    np.testing.assert_allclose(np.unique(read.vertices, axis=0), np.unique(expected, axis=0))
    corners = np.concatenate([VERTICES[FACES], VERTICES[FACES] + np.array([0, 0, 5])]).reshape(-1, 9)
    np.testing.assert_allclose(np.unique(read.vertices[read.faces].reshape(-1, 9), axis=0), np.unique(corners, axis=0))


def test_las(tmp_path):
    laspy = pytest.importorskip("laspy", reason="needs laspy")
    (tmp_path / "a.las").write_bytes(las())
    np.testing.assert_array_equal(io.read_points(tmp_path / "a.las"), VERTICES)
    scan = laspy.create(point_format=6, file_version="1.4")
    scan.header.offsets, scan.header.scales = [1000, 2000, 0], [0.01, 0.01, 0.01]
    scan.x, scan.y, scan.z = (VERTICES + np.array([1000, 2000, 0])).T
    scan.write(str(tmp_path / "b.las"))
    np.testing.assert_allclose(io.read_points(tmp_path / "b.las"), VERTICES + np.array([1000, 2000, 0]))


@pytest.mark.parametrize(
    "at, value, message",
    [
        (100, struct.pack("<I", 1 << 31), "claims 2147483648 records before its points"),
        (107, struct.pack("<I", 1 << 31), "ends after 307 bytes where 2147483648 points of 20 bytes follow 227"),
        (96, struct.pack("<I", 1 << 31), "ends after 307 bytes"),
        (104, b"\x80", "needs lazrs|cannot be read by laspy"),
        (0, b"LASP", "does not begin as a las file"),
    ],
)
def test_las_that_is_wrong(tmp_path, at, value, message):
    pytest.importorskip("laspy", reason="needs laspy")
    data = bytearray(las())
    data[at : at + len(value)] = value
    (tmp_path / "a.las").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        io.read_points(tmp_path / "a.las")


@pytest.mark.parametrize("name, package", [("a.stl", "trimesh"), ("a.glb", "trimesh"), ("a.las", "laspy")])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ValueError, match=f"{name}: reading .* needs {package}: pip install"):
        io.read_points(tmp_path / name)


def test_scans_without_a_head(tmp_path):
    (tmp_path / "000000.bin").write_bytes(SCAN)
    points = io.read_points(tmp_path / "000000.bin")
    np.testing.assert_array_equal(points, VERTICES)
    assert points.dtype == np.float32
    ring = np.column_stack([VERTICES, np.full(4, 80), np.arange(4)]).astype("<f4")
    (tmp_path / "a.pcd.bin").write_bytes(ring.tobytes())
    np.testing.assert_array_equal(io.read_points(tmp_path / "a.pcd.bin"), VERTICES)
    for name, data in (
        ("a.bin", SCAN[:-4]),
        ("b.bin", VERTICES.astype("<f8").tobytes()[:80] + b"\xff" * 16),
        ("c.bin", np.full(8, np.nan, "<f4").tobytes()),
        ("d.bin", np.full(8, -1, "<f4").tobytes()),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=f"{name}: (must hold 4 float32 numbers a point|is no laser scan)"):
            io.read_points(tmp_path / name)


@pytest.mark.parametrize("name", ["a.ply", "little.ply", "a.obj", "a.off", "a.pcd", "c.pcd", "a.xyz", "a.csv"])
def test_packed_files(tmp_path, name):
    data = {**MESHES, **POINTS}[name]
    for packed in (gzip.compress(data), gzip.compress(data[:20]) + gzip.compress(data[20:]) + b"\0" * 9):
        (tmp_path / f"{name}.GZ").write_bytes(packed)
        np.testing.assert_array_equal(io.read_points(tmp_path / f"{name}.GZ"), VERTICES)
    (tmp_path / f"{name}.gz").write_bytes(data)
    with pytest.raises(ValueError, match="is no gzip file, or damaged"):
        io.read_points(tmp_path / f"{name}.gz")


@pytest.mark.parametrize("kind, expected", [
    ("f2", "f4"), ("f4", "f4"), ("f8", "f8"), (">f4", "f4"), (">f8", "f8"), (">f2", "f4"), ("i2", "i2"), ("<u8", "u8"),
    (">i4", "i4"), ("g", "f8"),
])  # fmt: skip
def test_types_of_numpy_files(tmp_path, kind, expected):
    for save, name in ((np.save, "a.npy"), (lambda path, array: np.savez(path, points=array), "a.npz")):
        save(tmp_path / name, (2 * VERTICES).astype(kind))
        points = io.read_points(tmp_path / name)
        assert points.dtype == np.dtype(expected) and points.dtype.isnative and points.flags.writeable
        np.testing.assert_array_equal(points, 2 * VERTICES)


def test_named_fields_in_numpy_files(tmp_path):
    rows = np.zeros(4, [("intensity", "u1"), ("Z", "f4"), ("X", "f4"), ("Y", "f4")])
    for axis, values in zip("XYZ", VERTICES.T, strict=True):
        rows[axis] = values
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", points=rows, other=FACES)
    for name in ("a.npy", "a.npz"):
        np.testing.assert_array_equal(io.read_points(tmp_path / name), VERTICES)


SUFFIXES = [".ply", ".pcd", ".obj", ".off", ".xyz", ".txt", ".asc", ".pts", ".csv", ".npy", ".npz"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, *(f"{suffix}.gz" for suffix in SUFFIXES if suffix != ".npz")])
@pytest.mark.parametrize("kind", ["f4", "f8", ">f4", "i4", "f2"])
def test_what_is_written_is_read(tmp_path, suffix, kind):
    numbers = np.random.default_rng(0).normal(size=(50, 3)) * 10.0 ** np.array([-4, 0, 3])
    points = np.asfortranarray(numbers.astype(kind))
    io.write_points(tmp_path / f"a{suffix}", points)
    np.testing.assert_array_equal(io.read_points(tmp_path / f"a{suffix}").astype(kind), points)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.peer
def test_peers_read_what_is_written(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="needs trimesh")
    plyfile = pytest.importorskip("plyfile", reason="needs plyfile")
    for kind in ("f4", "f8"):
        io.write_points(tmp_path / "a.ply", VERTICES.astype(kind))
        vertex = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"]
        np.testing.assert_array_equal(np.column_stack([vertex[axis] for axis in "xyz"]), VERTICES)
        assert vertex["x"].dtype == kind
    io.write_points(tmp_path / "a.xyz", VERTICES)
    np.testing.assert_array_equal(trimesh.load(tmp_path / "a.xyz").vertices, VERTICES)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "a.xyz"), VERTICES)


def test_points_of_other_dimensions_are_written_where_they_can_be(tmp_path):
    flat, long = VERTICES[:, :2], np.random.default_rng(0).random((4, 7))
    for suffix in (".xyz", ".csv", ".pts", ".npy", ".npz"):
        io.write_points(tmp_path / f"a{suffix}", flat)
        np.testing.assert_array_equal(io.read_points(tmp_path / f"a{suffix}"), flat)
    for name, points, message in (
        ("a.ply", flat, "points must have 3 columns in .ply files, got 2"),
        ("b.npy", long, "points must have 2 or 3 columns in .npy files, got 7"),
        ("a.csv", long, "points must have 2 or 3 columns in .csv files, got 7"),
        ("a.las", VERTICES, "unknown suffix '.las'; written are .ply, .pcd"),
        ("a.ply", VERTICES[0], r"points must be numbers of shape \(n, d\)"),
        ("a.ply", VERTICES[:0], r"points must be numbers of shape \(n, d\)"),
        ("a.ply", np.ma.masked_equal(VERTICES, 1), "points must not be masked"),
        ("a.ply", VERTICES > 0, r"points must be numbers of shape \(n, d\), got bool"),
    ):
        with pytest.raises(ValueError, match=message):
            io.write_points(tmp_path / name, points)
        assert name == "a.csv" or not (tmp_path / name).exists()


def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path, monkeypatch):
    io.write_points(tmp_path / "a.npy", VERTICES)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(io.os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        io.write_points(tmp_path / "a.npy", VERTICES + 1)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), VERTICES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_a_link_and_a_file_s_mode_are_kept(tmp_path):
    io.write_points(tmp_path / "a.npy", VERTICES)
    (tmp_path / "a.npy").chmod(0o640)
    (tmp_path / "link.npy").symlink_to(tmp_path / "a.npy")
    io.write_points(tmp_path / "link.npy", VERTICES + 1)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), VERTICES + 1)
    assert (tmp_path / "link.npy").is_symlink() and (tmp_path / "a.npy").stat().st_mode & 0o777 == 0o640


def test_folders_match_files_of_all_formats(tmp_path, capsys):
    pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
    pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
    import json

    from pointmetrics import cli

    (tmp_path / "A").mkdir()
    (tmp_path / "B").mkdir()
    for a, b in (("one.ply.gz", "one.npy"), ("two.pts", "two.asc"), ("a.b.xyz", "a.b.pcd")):
        io.write_points(tmp_path / "A" / a, VERTICES)
        io.write_points(tmp_path / "B" / b, VERTICES)
    (tmp_path / "A" / "scan.bin").write_bytes(SCAN)
    (tmp_path / "B" / "scan.csv").write_text("lon,lat,alt\n" + "".join(f"{x},{y},{z}\n" for x, y, z in VERTICES))
    (tmp_path / "A" / "notes.gz").write_bytes(b"no cloud")
    for beside in ("one.bin", "two.txt"):  # a buffer beside its cloud is not meant, the text that all know is
        (tmp_path / "B" / beside).write_text("0 0 0\n1 0 0\n1 1 0\n0 1 0.5\n")
    cli.main(
        [
            "compare",
            str(tmp_path / "A" / "scan.bin"),
            str(tmp_path / "B" / "scan.csv"),
            "-m",
            "cd-l1",
            "-f",
            "json",
            "--columns",
            "lon, lat,alt",
        ]
    )
    assert json.loads(capsys.readouterr().out)["pairs"][0]["metrics"] == {"cd-l1": 0}
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", str(tmp_path / "A"), str(tmp_path / "B"), "-m", "cd-l1", "-f", "json"])
    captured = capsys.readouterr()
    pairs = {pair["name"]: pair for pair in json.loads(captured.out)["pairs"]}
    assert stop.value.code == 3 and sorted(pairs) == ["a.b", "one", "scan", "two"]
    assert "names lon, lat, alt" in pairs["scan"]["error"]
    assert all(pairs[name]["metrics"] == {"cd-l1": 0} for name in ("a.b", "one", "two"))
    assert "scan: " in captured.err
