"""The kernels under sanitizers, and the net itself: a kernel with a barrier taken out must be caught."""

import re

import host_build
import numpy as np
import pytest
from device import EmulatedDevice

from imondrian import IsolationMondrianForest
from imondrian._cuda import forest as _cuda_forest
from imondrian._cuda.forest import DeviceForest

RNG = np.random.default_rng(0)


def check(score, n=30, dtype=np.float32, missing=0.0, **options):
    if reason := host_build.missing(options.get("sanitizer", "")):
        pytest.skip(reason)
    device = EmulatedDevice(**options)
    forest = IsolationMondrianForest(3, random_state=0).fit(RNG.normal(size=(24, 7)).astype(dtype)).forest_
    x = RNG.normal(size=(n, 7)).astype(dtype)
    x[RNG.random(x.shape) < missing] = np.nan
    found = device.xp.asnumpy(DeviceForest(device, forest).scores(device.xp.asarray(x), score))
    np.testing.assert_allclose(found, forest.scores(x, score), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
@pytest.mark.parametrize("score", ["depth", "insertion", "spacing"])
def test_kernels_are_clean(monkeypatch, sanitizer, score):
    monkeypatch.setattr(_cuda_forest, "_BLOCK_BYTES", 0)  # one tree at a time: every barrier counts
    check(score, missing=0.3, sanitizer=sanitizer)
    if sanitizer == "address" and score == "depth":
        check(score, n=2100, sanitizer=sanitizer)
        check(score, dtype=np.float64, sanitizer=sanitizer)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_are_clean_without_shared_memory(monkeypatch, dtype):
    monkeypatch.setattr(EmulatedDevice, "shared_bytes", 64)
    check("depth", dtype=dtype, missing=0.3, sanitizer="address")


@pytest.mark.parametrize("number", range(2))
def test_a_barrier_taken_out_is_caught(monkeypatch, number):
    monkeypatch.setattr(_cuda_forest, "_BLOCK_BYTES", 0)
    barrier = "__syncthreads();"

    def without_it(source):
        at = [match.start() for match in re.finditer(re.escape(barrier), source)][number]
        return source[:at] + source[at + len(barrier) :]

    caught = 0
    for reverse in (False, True):
        check("depth", sanitizer="apart", reverse=reverse)
        try:
            check("depth", sanitizer="apart", reverse=reverse, edit=without_it)
        except (AssertionError, RuntimeError):
            caught += 1
    assert caught
