"""Read files of points: formats of meshes and scans, and text.

    pytest bench/bench_point_io.py --benchmark-enable --benchmark-group-by=group

All readers get the same file, and what they read is compared before it is timed. Without ``--benchmark-enable`` every
benchmark runs once, tiny. ``POINTS_IO_SIZE`` sets the number of points.
"""

import os

import numpy as np
import pytest

from pointmetrics import io

SIZE = int(os.environ.get("POINTS_IO_SIZE", "200000"))
TINY = 200


def _plyfile(path):
    vertex = pytest.importorskip("plyfile", reason="needs plyfile").PlyData.read(path)["vertex"]
    return np.column_stack([vertex[axis] for axis in "xyz"])


def _trimesh(path):
    trimesh = pytest.importorskip("trimesh", reason="needs trimesh")
    return trimesh.load(path, process=False, maintain_order=True).vertices


def _pandas(path):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    return pandas.read_csv(
        path, sep="," if path.suffix == ".csv" else " ", header=0 if path.suffix == ".csv" else None
    ).to_numpy()[:, :3]


def _loadtxt(path):
    is_csv = path.suffix == ".csv"
    return np.loadtxt(path, delimiter="," if is_csv else None, skiprows=int(is_csv))[:, :3]


READERS = {
    "pointmetrics": io.read_points,
    "plyfile": _plyfile,
    "trimesh": _trimesh,
    "pandas": _pandas,
    "numpy.loadtxt": _loadtxt,
}
CASES = {
    "binary ply": (".ply", ("pointmetrics", "plyfile", "trimesh")),
    "ascii ply": (".ascii.ply", ("pointmetrics", "plyfile", "trimesh")),
    "obj, with triangles": (".obj", ("pointmetrics", "trimesh")),
    "off, with triangles": (".off", ("pointmetrics", "trimesh")),
    "text, blanks between": (".xyz", ("pointmetrics", "pandas", "numpy.loadtxt", "trimesh")),
    "text, a heading and commas": (".csv", ("pointmetrics", "pandas", "numpy.loadtxt")),
}


@pytest.fixture(scope="module")
def files(timed, tmp_path_factory):
    """Files of a grid whose heights are random, by suffix."""
    folder, side = tmp_path_factory.mktemp("io"), int(np.sqrt(SIZE if timed else TINY))
    rng = np.random.default_rng(0)
    points = np.column_stack([*np.divmod(np.arange(side * side), side), rng.random(side * side)]).astype(np.float32)
    corner = np.flatnonzero((points[:, :2] < side - 1).all(axis=1))
    faces = np.stack([corner, corner + 1, corner + side + 1], axis=1)
    rows = "".join(f"{x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in points)
    io.write_points(folder / "a.ply", points)
    head = (folder / "a.ply").read_bytes().split(b"end_header\n")[0].replace(b"binary_little_endian", b"ascii")
    (folder / "a.ascii.ply").write_bytes(head + b"end_header\n" + rows.encode())
    (folder / "a.xyz").write_text(rows)
    (folder / "a.csv").write_text("x,y,z\n" + rows.replace(" ", ","))
    (folder / "a.obj").write_text(
        "".join(f"v {row}\n" for row in rows.splitlines()) + "".join(f"f {a} {b} {c}\n" for a, b, c in faces + 1)
    )
    (folder / "a.off").write_text(
        f"OFF\n{len(points)} {len(faces)} 0\n{rows}" + "".join(f"3 {a} {b} {c}\n" for a, b, c in faces)
    )
    return folder, points


@pytest.mark.parametrize("case, reader", [(case, reader) for case, (_, readers) in CASES.items() for reader in readers])
def test_read(benchmark, files, case, reader):
    folder, points = files
    path = folder / f"a{CASES[case][0]}"
    read = READERS[reader]
    np.testing.assert_allclose(read(path), points, rtol=1e-6)
    benchmark.group = f"read {len(points)} points: {case}"
    benchmark.name = reader
    benchmark.pedantic(read, args=(path,), rounds=1 if benchmark.disabled else 3, iterations=1)
