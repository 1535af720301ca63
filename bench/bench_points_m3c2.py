"""M3C2 beside py4dgeo: change at every point of a scan, normals included."""

import numpy as np
import pytest

import pointmetrics as pm

try:
    import py4dgeo
except ImportError:
    py4dgeo = None


def ground(n, seed, tilt):
    rng = np.random.default_rng(seed)
    side = 100 * (n / 200_000) ** 0.5
    points = rng.random((n, 3)) * [side, side, 0]
    points[:, 2] = np.sin(points[:, 0] / 5) + tilt * points[:, 1] + rng.normal(size=n) * 0.02
    return points


def peer(x, y):
    algorithm = py4dgeo.M3C2(
        epochs=(py4dgeo.Epoch(x), py4dgeo.Epoch(y)), corepoints=x, cyl_radius=1.0, normal_radii=[1.0], max_distance=2.0
    )
    return algorithm.run()[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["pointmetrics", "py4dgeo"])
def test_m3c2(benchmark, timed, name):
    if name == "py4dgeo" and py4dgeo is None:
        pytest.skip("needs py4dgeo")
    n = 200_000 if timed else 500
    x, y = ground(n, 0, 0.0), ground(n, 1, 0.002)
    benchmark.group = f"M3C2, {n:,} core points, scans of {n:,}, radius 1 (63 points) for normals and cylinders"
    benchmark.name = name

    def run():
        if name == "py4dgeo":
            return peer(x, y)
        return pm.m3c2(x, y, radius=1.0, max_distance=2.0, normal_radius=1.0).distance

    distance = benchmark.pedantic(run, rounds=2)
    change = 0.002 * x[:, 1]
    assert np.nanmedian(np.abs(distance - change)) < 0.05
