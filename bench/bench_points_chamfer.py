"""Chamfer distance, both ways, index build included, beside the libraries people use for it.

    pytest bench/bench_points_chamfer.py --benchmark-enable --benchmark-group-by=group

Group = workload, name = library; every library gets the same data, dtype and threads, and its answer is
checked before it is timed. Without ``--benchmark-enable`` every benchmark runs once, tiny.
``POINTS_THREADS`` sets the threads (default 2) and ``POINTS_SIZES`` the sizes.
"""

import os

import numpy as np
import pytest

THREADS = int(os.environ.get("POINTS_THREADS", "2"))
# Read by the OpenMP runtime of pykdtree when it is first loaded.
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

import pointmetrics as pm  # noqa: E402

SIZES = [int(n) for n in os.environ.get("POINTS_SIZES", "64,512,2048,16384,131072,1000000").split(",")]
TINY = 100


def clouds(shape, n, seed=0):
    rng = np.random.default_rng(seed)
    if shape == "volume":
        return rng.random((2, n, 3)).astype(np.float32)
    points = rng.normal(size=(2, n, 3))
    return (points / np.linalg.norm(points, axis=2, keepdims=True)).astype(np.float32)


def mean_of_squares(forth, back):
    return np.mean(np.square(forth), dtype=float) + np.mean(np.square(back), dtype=float)


def with_pointmetrics():
    return lambda x, y: pm.chamfer_distance(x, y, n_threads=THREADS)


def with_pykdtree():
    tree = pytest.importorskip("pykdtree.kdtree", reason="needs pykdtree").KDTree
    return lambda x, y: mean_of_squares(tree(y).query(x)[0], tree(x).query(y)[0])


def with_scipy():
    tree = pytest.importorskip("scipy.spatial", reason="needs scipy").cKDTree
    return lambda x, y: mean_of_squares(tree(y).query(x, workers=THREADS)[0], tree(x).query(y, workers=THREADS)[0])


def with_open3d():
    o3d = pytest.importorskip("open3d", reason="needs open3d and its libraries", exc_type=ImportError)

    def run(x, y):
        a, b = (o3d.geometry.PointCloud(o3d.utility.Vector3dVector(c)) for c in (x, y))
        return mean_of_squares(a.compute_point_cloud_distance(b), b.compute_point_cloud_distance(a))

    return run


def with_point_cloud_utils():
    pcu = pytest.importorskip("point_cloud_utils", reason="needs point-cloud-utils")
    return lambda x, y: mean_of_squares(pcu.k_nearest_neighbors(x, y, 1)[0], pcu.k_nearest_neighbors(y, x, 1)[0])


LIBRARIES = {
    "pointmetrics": with_pointmetrics,
    "pykdtree": with_pykdtree,
    "scipy": with_scipy,
    "open3d": with_open3d,
    "point-cloud-utils": with_point_cloud_utils,
}


def timed(benchmark, run, n, *args):
    """Time ``run`` in enough rounds for a median, few where one takes long."""
    rounds = 1 if benchmark.disabled else max(3, min(200, 1_000_000 // n))
    return benchmark.pedantic(run, args=args, rounds=rounds, warmup_rounds=0 if benchmark.disabled else 1)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("shape", ["volume", "sphere"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_chamfer(benchmark, library, shape, n):
    n = TINY if benchmark.disabled else n
    benchmark.group = f"chamfer, {shape}, n = m = {n}, float32"
    benchmark.name = library
    run = LIBRARIES[library]()
    x, y = clouds(shape, min(n, 4096))
    np.testing.assert_allclose(run(x, y), with_scipy()(x, y), rtol=1e-4)
    timed(benchmark, run, n, *clouds(shape, n))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("library", ["pointmetrics prepared", "pykdtree rebuilt"])
def test_chamfer_against_a_fixed_reference(benchmark, library, n):
    n = TINY if benchmark.disabled else n
    benchmark.group = f"chamfer with a fixed reference, volume, n = m = {n}, float32"
    benchmark.name = library
    x, y = clouds("volume", n)
    if library.startswith("pointmetrics"):
        prepared = pm.PreparedCloud(y)
        run, args = with_pointmetrics(), (x, prepared)
        assert run(*args) == run(x, y)
    else:
        run, args = with_pykdtree(), (x, y)
    timed(benchmark, run, n, *args)


@pytest.mark.parametrize("threads", [1, 2])
def test_chamfer_of_a_batch(benchmark, threads):
    n = TINY if benchmark.disabled else 2048
    benchmark.group = f"chamfer of a batch of 32 x {n}, float32"
    benchmark.name = f"pointmetrics, {threads} threads"
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 32, n, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        pm.chamfer_distance(x, y, n_threads=threads),
        [pm.chamfer_distance(a, b, n_threads=1) for a, b in zip(x, y, strict=True)],
    )
    timed(benchmark, lambda: pm.chamfer_distance(x, y, n_threads=threads), 32 * n)
