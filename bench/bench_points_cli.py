"""The command line from start to end, as a process of its own: interpreter, imports, reading, metrics, output.

    pytest bench/bench_points_cli.py --benchmark-enable --benchmark-group-by=group

The answer is checked against the formulas with SciPy's tree before it is timed. The peer is what people write
instead: a script that reads both files with Open3D (or with numpy) and asks Open3D (or SciPy's tree) for distances
both ways, from which it takes CD-L2 alone. Without ``--benchmark-enable`` every benchmark runs once, tiny.
``POINTS_THREADS`` sets the threads (default 2) and ``POINTS_CLI_SIZE`` the number of points.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
spatial = pytest.importorskip("scipy.spatial", reason="needs scipy")

ROOT = Path(__file__).resolve().parents[1]
THREADS = os.environ.get("POINTS_THREADS", "2")
SIZE = int(os.environ.get("POINTS_CLI_SIZE", "1000000"))
TINY = 500

WITH_OPEN3D = """
import sys, numpy as np, open3d as o3d
a, b = (o3d.io.read_point_cloud(path) for path in sys.argv[1:3])
forth, back = a.compute_point_cloud_distance(b), b.compute_point_cloud_distance(a)
print(np.square(forth).mean() + np.square(back).mean())
"""
WITH_SCIPY = """
import sys, numpy as np
from scipy.spatial import cKDTree
a, b = (np.fromfile(path, "<f4", offset=open(path, "rb").read(400).index(b"end_header\\n") + 11).reshape(-1, 3)
        for path in sys.argv[1:3])
workers = int(sys.argv[3])
forth, back = cKDTree(b).query(a, workers=workers)[0], cKDTree(a).query(b, workers=workers)[0]
print(np.square(forth).mean() + np.square(back).mean())
"""


def torus(rng, n, noise):
    around, along = rng.random((2, n)) * 2 * np.pi
    ring = 1 + 0.4 * np.cos(along)
    points = np.column_stack([ring * np.cos(around), ring * np.sin(around), 0.4 * np.sin(along)])
    return points + rng.normal(size=points.shape) * noise


def write(path, points, layout):
    header = f"ply\nformat {layout} 1.0\nelement vertex {len(points)}\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
    with open(path, "wb") as file:
        file.write(header.encode())
        if layout == "ascii":
            np.savetxt(file, points, fmt="%.7g")
        else:
            file.write(points.astype("<f4").tobytes())


@pytest.fixture(scope="module")
def files(timed, tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("cli"), np.random.default_rng(0)
    n = SIZE if timed else TINY
    for name, noise in (("a", 0.01), ("b", 0.0)):
        points = torus(rng, n, noise)
        write(folder / f"{name}.ply", points, "binary_little_endian")
        write(folder / f"{name}-ascii.ply", points[: max(1, n // 10)], "ascii")
    return folder, n


def start(*command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": THREADS}
    ended = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def compare(folder, suffix, *options):
    return start("-m", "pointmetrics", "compare", folder / f"a{suffix}", folder / f"b{suffix}", "-j", THREADS, *options)


@cache
def distances(folder, suffix):
    from pointmetrics import io

    x, y = (io.read_points(folder / f"{name}{suffix}") for name in "ab")
    return (spatial.cKDTree(y).query(x, workers=int(THREADS))[0], spatial.cKDTree(x).query(y, workers=int(THREADS))[0])


def time(benchmark, run):
    benchmark.pedantic(run, rounds=1 if benchmark.disabled else 5, warmup_rounds=0 if benchmark.disabled else 1)


CASES = {
    "pointmetrics compare": (".ply", ()),
    "pointmetrics compare --html": (".ply", ("--html",)),
    "pointmetrics compare, ascii, a tenth of the points": ("-ascii.ply", ()),
}


@pytest.mark.parametrize("name", CASES)
def test_compare(benchmark, files, name):
    folder, n = files
    suffix, options = CASES[name]
    options = (*options, folder / "report.html") if options else ()
    benchmark.group = f"compare two ply files of {n} points, all Chamfer-family metrics, end to end"
    benchmark.name = name
    found = json.loads(compare(folder, suffix, "-f", "json", *options))["pairs"][0]["metrics"]
    a, b = distances(folder, suffix)
    p, r = (a < 0.01).mean(), (b < 0.01).mean()
    for metric, value in (
        ("cd-l2", (a**2).mean() + (b**2).mean()),
        ("cd-l1", (a.mean() + b.mean()) / 2),
        ("hausdorff", max(a.max(), b.max())),
        ("pdal", (a**2).sum() + (b**2).sum()),
        ("hausdorff@0.95", max(np.quantile(a, 0.95), np.quantile(b, 0.95))),
        ("f-score@0.01", 2 * p * r / max(p + r, 1e-300)),
    ):
        assert found[metric] == pytest.approx(value, rel=1e-9), metric
    time(benchmark, lambda: compare(folder, suffix, *options))


@pytest.mark.parametrize("name", ["Open3D script, CD-L2 alone", "SciPy script, CD-L2 alone"])
def test_script(benchmark, files, name):
    folder, n = files
    if name.startswith("Open3D"):
        pytest.importorskip("open3d", reason="needs open3d and its libraries", exc_type=ImportError)
    benchmark.group = f"compare two ply files of {n} points, all Chamfer-family metrics, end to end"
    benchmark.name = name
    command = (
        "-c",
        WITH_OPEN3D if name.startswith("Open3D") else WITH_SCIPY,
        folder / "a.ply",
        folder / "b.ply",
        THREADS,
    )
    a, b = distances(folder, ".ply")
    assert float(start(*command)) == pytest.approx((a**2).mean() + (b**2).mean(), rel=1e-4)
    time(benchmark, lambda: start(*command))


def test_start(benchmark):
    benchmark.group = "start of the command line"
    benchmark.name = "pointmetrics --version"
    assert start("-m", "pointmetrics", "--version").startswith("pointmetrics ")
    time(benchmark, lambda: start("-m", "pointmetrics", "--version"))
