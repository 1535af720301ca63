"""HyperCD and InfoCD with gradients beside the Chamfer distance, and sampling and uniformity of large clouds."""

import numpy as np
import pytest

import pointmetrics as pm

try:
    import open3d
except ImportError:
    open3d = None

LOSSES = {"Chamfer": pm.chamfer_distance, "HyperCD": pm.hyperbolic_chamfer_distance, "InfoCD": pm.info_chamfer_distance}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_with_gradient(benchmark, timed, name):
    b, n = (32, 2048) if timed else (2, 64)
    x, y = np.random.default_rng(0).random((2, b, n, 3), dtype=np.float32)
    benchmark.group = f"value and gradient, {b} x {n:,} points, float32"
    benchmark.name = name
    value, _ = benchmark(LOSSES[name], x, y, return_grad=True)
    assert np.isfinite(value).all()


def sphere(n):
    points = np.random.default_rng(0).normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def every_point(points, k):
    """The O(n k) loop that Open3D, PyTorch3D and PointNet++ run, on whole arrays."""
    left, chosen = np.full(len(points), np.inf), np.zeros(k, dtype=np.int64)
    for i in range(1, k):
        gap = points - points[chosen[i - 1]]
        np.minimum(left, np.einsum("ij,ij->i", gap, gap), out=left)
        chosen[i] = left.argmax()
    return chosen


def open3d_points(points, k):
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    return np.asarray(cloud.farthest_point_down_sample(k).points)


@pytest.mark.parametrize("name", ["pointmetrics", "O(n k) loop in numpy", "Open3D"])
def test_farthest_points(benchmark, timed, name):
    if name == "Open3D" and open3d is None:
        pytest.skip("needs Open3D")
    n, k = (100_000, 2048) if timed else (500, 20)
    points = sphere(n)
    benchmark.group = f"farthest-point sampling, {n:,} to {k:,} points, float64"
    benchmark.name = name
    run = {"pointmetrics": pm.farthest_points, "Open3D": open3d_points}.get(name, every_point)
    found = benchmark.pedantic(run, (points, k), rounds=3)
    expected = every_point(points, k)
    if name == "Open3D":
        assert len(found) == k
    else:
        np.testing.assert_array_equal(found, expected)


def test_uniformity(benchmark, timed):
    n = 100_000 if timed else 2000
    points = sphere(n)
    benchmark.group = f"uniformity, {n:,} points, 5 radii, 1,000 disks"
    benchmark.name = "pointmetrics"
    values = benchmark.pedantic(pm.uniformity, (points,), {"area": 4 * np.pi}, rounds=3)
    assert (values > 0).all()
