"""D1 and D2 of large clouds beside one comparison of them."""

import numpy as np
import pytest

import pointmetrics as pm

RUNS = {
    "compare": lambda x, y, normals: pm.compare(x, y),
    "D1": lambda x, y, normals: pm.psnr_d1(x, y, peak=1023),
    "D2, normals given": lambda x, y, normals: pm.psnr_d2(x, y, peak=1023, normals=normals),
    "D1 and D2, normals given": lambda x, y, normals: pm.geometry_distortion(x, y, peak=1023, normals=normals),
}


@pytest.mark.parametrize("kind", ["continuous", "voxels"])
@pytest.mark.parametrize("name", RUNS)
def test_distortion(benchmark, timed, name, kind):
    n = 1_000_000 if timed else 2000
    normals = tuple(np.random.default_rng(seed).normal(size=(n, 3)) for seed in (0, 1))
    normals = tuple(v / np.linalg.norm(v, axis=1, keepdims=True) for v in normals)
    x, y = ((np.round(v * 400) if kind == "voxels" else v * 500).astype(np.float32) for v in normals)
    benchmark.group = f"distortion, two clouds of {n:,} points, {kind}, float32"
    benchmark.name = name
    assert benchmark.pedantic(RUNS[name], (x, y, normals), rounds=3)
