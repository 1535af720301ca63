"""Scores of rows that are on a CUDA device, beside the CPU's on all its cores.

    pytest bench/bench_gpu_forest.py --benchmark-enable

Times are between CUDA events around the public call; rows are on the device, trees uploaded and kernels compiled
before. Depths are first checked to have the CPU's bits, on a part of the rows. Without a device, all skip;
tests/bench/test_gpu_workloads.py runs the same workloads, tiny, on an emulated one.
"""

import numpy as np
import pytest
from gpu_timing import CLOCK, Workload, measure, usable_cupy

from imondrian import IsolationMondrianForest

pytestmark = [pytest.mark.gpu, pytest.mark.benchmark(timer=CLOCK)]

CHECKED = 100_000  # rows held against the CPU's


@pytest.fixture
def cupy():
    return usable_cupy()


def scores(xp, n, d, dtype, score="depth", n_estimators=100, missing=0.0):
    rng = np.random.default_rng(0)
    training = rng.normal(size=(20_000, d)).astype(dtype)
    forest = IsolationMondrianForest(n_estimators, max_samples=256, score=score, n_jobs=-1, random_state=0)
    forest.fit(training)
    rows = rng.standard_normal((n, d), dtype=dtype)
    if missing:
        rows[rng.random(n) < missing, 0] = np.nan
    on_device = xp.asarray(rows)

    def check():
        found = xp.asnumpy(forest.score_samples(on_device))[:CHECKED]
        expected = forest.score_samples(rows[:CHECKED])
        if score == "depth":
            np.testing.assert_array_max_ulp(found, expected, maxulp=2)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-12)

    return Workload(lambda: forest.score_samples(on_device), check)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_depths_of_ten_million_rows(benchmark, cupy, dtype):
    n, d = 10_000_000, 10
    measure(
        benchmark,
        cupy,
        scores(cupy, n, d, dtype),
        items=n,
        rounds=50,
        name="imondrian",
        group=f"CUDA: score_samples, {n:,} x {d} {np.dtype(dtype).name}, 100 trees x 256, depth",
    )


@pytest.mark.parametrize("score, missing", [("default", 0.0), ("insertion", 0.0), ("depth", 0.1)])
def test_other_scores_of_a_million_rows(benchmark, cupy, score, missing):
    n, d = 1_000_000, 10
    rows = "a value missing in a tenth of the rows" if missing else "no value missing"
    measure(
        benchmark,
        cupy,
        scores(cupy, n, d, np.float32, score, missing=missing),
        items=n,
        rounds=20,
        name="imondrian",
        group=f"CUDA: score_samples, {n:,} x {d} float32, 100 trees x 256, {score}, {rows}",
    )
