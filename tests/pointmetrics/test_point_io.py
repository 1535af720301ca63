"""Files: what was written by hand here is read back, and damage is named."""

import struct

import numpy as np
import pytest

import pointmetrics as pm
from pointmetrics import io

VERTICES = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5]])
PLY = """ply
format {} 1.0
comment made by hand
element vertex 4
property float x
property double y
property float z
property uchar red
element face 2
property list uchar int vertex_indices
end_header
"""


def binary_ply(order, faces):
    name = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    body = b"".join(struct.pack(order + "fdfB", *v, 7) for v in VERTICES)
    body += b"".join(struct.pack(f"{order}B{len(f)}i", len(f), *f) for f in faces)
    return PLY.format(name).encode() + body


def ascii_ply():
    rows = [f"{x} {y} {z} 7" for x, y, z in VERTICES] + ["3 0 1 2", "3 0 2 3"]
    return (PLY.format("ascii") + "\n".join(rows) + "\n").encode()


def pcd(layout, body):
    return (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS rgb x y z\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
        f"WIDTH 4\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 4\nDATA {layout}\n"
    ).encode() + body


FLAT = (
    b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\n"
    b"end_header\n1 2 3\n4 5 6\n"
)


def lzf_literals(data):
    return b"".join(bytes([len(data[i : i + 32]) - 1]) + data[i : i + 32] for i in range(0, len(data), 32))


WITH_RGB = np.column_stack([np.full(4, 9.0), VERTICES]).astype("<f4")
MESHES = {
    "a.ply": ascii_ply(),
    "little.ply": binary_ply("<", [(0, 1, 2), (0, 2, 3)]),
    "big.ply": binary_ply(">", [(0, 1, 2), (0, 2, 3)]),
    "a.obj": b"# c\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0.5\nvn 0 0 1\nf 1/1/1 2//2 3\nf 1 -2 -1\n",
    "quad.obj": b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0.5\nf 1 2 3 4\n",
    "a.off": b"OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0.5\n4 0 1 2 3\n",
    "glued.off": b"OFF4 2 0\n0 0 0\n1 0 0\n1 1 0 # c\n\n0 1 0.5\n3 0 1 2\n3 0 2 3\n",
}
POINTS = {
    "a.pcd": pcd("ascii", b"".join(b"9 %g %g %g\n" % tuple(v) for v in VERTICES)),
    "b.pcd": pcd("binary", WITH_RGB.tobytes()),
    "c.pcd": pcd(
        "binary_compressed",
        struct.pack("<II", len(lzf_literals(WITH_RGB.T.tobytes())), 64) + lzf_literals(WITH_RGB.T.tobytes()),
    ),
    "a.xyz": b"4\n0 0 0 255 0 0\n1 0 0 255 0 0\n# c\n1 1 0 2 2 2\n0 1 0.5 1 1 1\n",
    "plain.xyz": b"0 0 0 255 0 0\n1 0 0 255 0 0\n\n1 1 0 2 2 2\n0 1 0.5 1 1 1\n",
    "flat.ply": ascii_ply().replace(b"element face 2\nproperty list uchar int vertex_indices\n", b""),
    "a.csv": b"x,y,z\n0,0,0\n1,0,0\n1,1,0\n0,1,.5\n",
}


@pytest.mark.parametrize("name", MESHES)
def test_meshes_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(MESHES[name])
    mesh = io.read_mesh(tmp_path / name)
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize("name", POINTS)
def test_points_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(POINTS[name])
    np.testing.assert_array_equal(io.read_points(tmp_path / name), VERTICES)
    assert io.read_mesh(tmp_path / name).faces.shape == (0, 3)


def test_polygons_of_several_sizes_in_binary_ply(tmp_path):
    (tmp_path / "a.ply").write_bytes(binary_ply("<", [(0, 1, 2, 3), (0, 2, 3)]))
    np.testing.assert_array_equal(io.read_mesh(tmp_path / "a.ply").faces, [[0, 1, 2], [0, 2, 3], [0, 2, 3]])


def test_compressed_pcd_with_copies_that_overlap(tmp_path):
    # One literal zero, then a copy that repeats it 63 times.
    block = bytes([0, 0, 0b11100000, 63 - 2 - 7, 0])
    (tmp_path / "a.pcd").write_bytes(pcd("binary_compressed", struct.pack("<II", len(block), 64) + block))
    assert (io.read_points(tmp_path / "a.pcd") == 0).all()


def test_numpy_files(tmp_path):
    np.save(tmp_path / "a.npy", VERTICES.astype(np.float32))
    assert io.read_points(tmp_path / "a.npy").dtype == np.float32
    np.savez(tmp_path / "a.npz", points=VERTICES, other=np.zeros(3))
    np.testing.assert_array_equal(io.read_points(tmp_path / "a.npz"), VERTICES)
    np.savez(tmp_path / "b.npz", p=VERTICES, q=VERTICES)
    with pytest.raises(ValueError, match=r"b\.npz: holds the arrays p, q"):
        io.read_points(tmp_path / "b.npz")


@pytest.mark.parametrize("name", [*MESHES, *POINTS])
def test_a_cut_file_is_an_error_or_shorter(tmp_path, name):
    data = {**MESHES, **POINTS}[name]
    path = tmp_path / name
    for size in range(0, len(data), 3):
        path.write_bytes(data[:size])
        try:
            mesh = io.read_mesh(path)
        except ValueError as error:
            assert str(error).startswith(str(path))
        else:
            assert len(mesh.vertices) <= 4 and mesh.faces.max(initial=0) < len(mesh.vertices)


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("a.ply", b"PLY!", "does not begin with 'ply'"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "no end_header"),
        ("a.ply", MESHES["little.ply"][:-40], "ends within the rows of"),
        ("a.ply", ascii_ply().replace(b"3 0 2 3", b"3 0 2 9"), "a face refers to a vertex that is not among the 4"),
        ("a.ply", ascii_ply().replace(b"float x", b"float u"), "no property x"),
        ("a.pcd", POINTS["b.pcd"][:-1], "ends after 63 of 64 bytes"),
        ("a.pcd", POINTS["a.pcd"].replace(b"DATA ascii", b"DATA zip"), "DATA must be ascii, binary or"),
        ("a.off", b"4 1 0\n", "does not begin with OFF"),
        ("a.obj", b"v 0 zero 0\n", "line 1: could not convert string to float: 'zero'"),
        ("a.obj", b"v 0 0 0\nf 0 1 1\n", "line 2: vertex indices count from 1"),
        ("a.xyz", b"1 2 3\n4 5\n", "line 2: 2 columns where 3 are expected"),
        ("a.xyz", b"0 0 0 255 0 0\n1 0 0\n", "line 2: 3 columns where 6 are expected"),
        ("a.xyz", b"1 2 3\n4 5 x\n", "line 2: could not convert string to float: 'x'"),
        ("a.ply", FLAT.replace(b"5 6", b"5"), "row 1 of vertex is too short"),
        ("a.ply", FLAT.replace(b"5 6", b"5 six"), "could not convert string to float: 'six'"),
        ("a.xyz", b"", "holds no points"),
        ("a.xyz", b"\0\1\2", "is binary where text is expected"),
        ("a.npy", b"nonsense", "a.npy: "),
        ("a.npz", b"PK\3\4 nonsense", "a.npz: "),
        ("a.e57", b"", "unknown suffix '.e57'"),
    ],
)
def test_damage_is_named(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        io.read_mesh(tmp_path / name)


def test_invalid_points_are_dropped_on_request(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[np.nan, 0, 0], [1, 2, 3]]))
    assert io.read_points(tmp_path / "a.npy").shape == (2, 3)
    np.testing.assert_array_equal(io.read_points(tmp_path / "a.npy", drop_invalid=True), [[1, 2, 3]])


def test_samples_cover_the_surface_by_area():
    vertices = np.array([[0.0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 5], [1, 0, 5], [0, 1, 5]])
    points = io.sample_mesh(vertices, [[0, 1, 2], [3, 4, 5]], 4000, seed=0)
    assert abs((points[:, 2] == 0).mean() - 0.75) < 0.03
    assert pm.point_to_mesh_distance(points, vertices, [[0, 1, 2], [3, 4, 5]], reduction="max") < 1e-12
    np.testing.assert_allclose(points[points[:, 2] == 0].mean(axis=0), [1, 1 / 3, 0], atol=0.05)
    with pytest.raises(ValueError, match="no area"):
        io.sample_mesh(vertices, [[0, 0, 1]], 5)


def test_real_files_are_read(data_folder):
    cow = io.read_mesh(data_folder / "cow.obj")
    assert len(cow.faces) > 1000
    for name in ("bun0.pcd", "milk.pcd", "lidar_source.ply"):
        points = io.read_points(data_folder / name, drop_invalid=True)
        assert points.shape[1] == 3 and len(points) > 100
        assert pm.chamfer_distance(points, points) == 0


LARGE = {"binary.ply": "<", "big.ply": ">", "a.npy": "C", "fortran.npy": "F"}


@pytest.fixture(params=LARGE)
def mapped(request, tmp_path, monkeypatch):
    """A file that is mapped rather than read, and its points."""
    monkeypatch.setattr(io, "_MAPPED", 1)
    path, points = tmp_path / request.param, np.random.default_rng(0).random((500, 3)).astype(np.float32)
    if path.suffix == ".npy":
        np.save(path, np.asarray(points, order=LARGE[request.param]))
    else:
        order = LARGE[request.param]
        header = PLY.format({"<": "binary_little_endian", ">": "binary_big_endian"}[order])
        header = header.replace("vertex 4", "vertex 500").replace("face 2", "face 0").replace("double y", "float y")
        rows = np.zeros(500, [("p", order + "f4", 3), ("red", "u1")])
        rows["p"] = points
        path.write_bytes(header.encode() + rows.tobytes())
    return path, points


def test_a_mapped_file_holds_what_a_read_one_does(mapped):
    path, points = mapped
    np.testing.assert_array_equal(io.read_points(path), points)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="ends "):
        io.read_points(path)


def test_a_subset_is_seeded_in_order_and_without_repeats(mapped):
    path, points = mapped
    some = io.read_points(path, max_points=60, seed=3)
    np.testing.assert_array_equal(io.read_points(path, max_points=60, seed=3), some)
    assert not np.array_equal(io.read_points(path, max_points=60, seed=4), some)
    distance, index = pm.nearest_neighbors(some.astype(np.float64), points.astype(np.float64)).x_to_y
    assert len(some) == 60 and (distance == 0).all() and (np.diff(index) > 0).all()
    np.testing.assert_array_equal(io.read_points(path, max_points=500), points)


def test_a_subset_of_a_text_file(tmp_path):
    (tmp_path / "a.xyz").write_bytes(POINTS["a.xyz"])
    assert len(io.read_points(tmp_path / "a.xyz", max_points=3)) == 3
    with pytest.raises(ValueError, match="max_points must be an integer, 1 or more, got 0"):
        io.read_points(tmp_path / "a.xyz", max_points=0)


def test_a_batch_is_no_cloud(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match=r"must hold points of shape \(n, d\), got shape \(2, 4, 3\)"):
        io.read_points(tmp_path / "a.npy")
