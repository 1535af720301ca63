"""Sums over clouds and the largest magnitude, on the emulated device."""

import re
from itertools import pairwise

import host_build
import numpy as np
import pytest
from device import EmulatedDevice

from pointmetrics._backends.cuda.backend import CudaBackend
from pointmetrics._backends.cuda.kernel_source import kernel_of

pytestmark = pytest.mark.skipif(bool(host_build.missing()), reason=host_build.missing())


def sums(device, values, offsets, chunk=512):
    n_chunks = -(-int(np.diff(offsets).max()) // chunk)
    out = device.xp.zeros((len(offsets) - 1) * n_chunks)
    device.launch(
        kernel_of("segments", "segment_sums", values.dtype),
        (out.size,),
        (256,),
        (device.xp.asarray(values), device.xp.asarray(offsets), np.int64(chunk), np.int32(n_chunks), out),
    )
    return device.xp.asnumpy(out).reshape(-1, n_chunks).sum(axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_those_of_numpy(dtype):
    values = np.random.default_rng(0).random(3000).astype(dtype)
    offsets = np.array([0, 1, 700, 3000])
    expected = [values[a:b].sum(dtype=np.float64) for a, b in pairwise(offsets)]
    np.testing.assert_allclose(sums(EmulatedDevice(), values, offsets), expected, rtol=1e-14)


def test_a_removed_barrier_gives_wrong_sums():
    values, offsets = np.ones(2000, dtype=np.float32), np.array([0, 2000])
    assert sums(EmulatedDevice(), values, offsets, chunk=2000) == 2000
    broken = EmulatedDevice(edit=lambda source: source.replace("__syncthreads();", "", 1))
    assert sums(broken, values, offsets, chunk=2000) != 2000


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_sums_are_clean_under_a_sanitizer(sanitizer):
    if reason := host_build.missing(sanitizer):
        pytest.skip(reason)
    assert sums(EmulatedDevice(sanitizer=sanitizer), np.ones(300, dtype=np.float32), np.array([0, 300])) == 300


def test_a_removed_barrier_is_reported_as_a_race():
    if reason := host_build.missing("thread"):
        pytest.skip(reason)
    broken = EmulatedDevice(sanitizer="thread", edit=lambda source: source.replace("__syncthreads();", "", 1))
    with pytest.raises(RuntimeError, match=r"data race[\s\S]*segments\.cu"):
        for _ in range(20):  # whether threads meet is up to the machine
            sums(broken, np.ones(300, dtype=np.float32), np.array([0, 300]))


def test_an_overrun_is_reported():
    if reason := host_build.missing("address"):
        pytest.skip(reason)
    broken = EmulatedDevice(sanitizer="address", edit=lambda source: source.replace("i < last;", "i <= last;", 1))
    with pytest.raises(RuntimeError, match=r"heap-buffer-overflow[\s\S]*segments\.cu"):
        sums(broken, np.ones(300, dtype=np.float32), np.array([0, 300]))


def both_ways(device, x, y, root=True, mean=True, factor=0.5):
    backend = CudaBackend(device)
    sides = [
        (backend.upload(np.concatenate(side)), np.concatenate([[0], np.cumsum([len(v) for v in side])]))
        for side in (x, y)
    ]
    return backend.download(backend.sum_both_ways(*sides[0], *sides[1], root, mean, factor))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("root, mean, factor", [(False, True, 1.0), (True, True, 0.5), (False, False, 1.0)])
@pytest.mark.parametrize("largest", [300, 5000])
def test_both_ways_are_summed_as_one_by_one(dtype, root, mean, factor, largest):
    """One launch has the bits of the sums, the divisions and the addition that it stands for."""
    rng = np.random.default_rng(0)
    x, y = ([rng.random(n).astype(dtype) for n in sizes] for sizes in ((1, largest, 40), (77, 256, 3)))
    device = EmulatedDevice()
    found = both_ways(device, x, y, root, mean, factor)
    assert device.launches["sum_both_ways"] == (largest < 4096)
    backend, expected = CudaBackend(device), []
    for pair in zip(x, y, strict=True):
        one = [
            backend.download(backend.sums(backend.upload(np.sqrt(v) if root else v), np.array([0, len(v)])))[0]
            / (len(v) if mean else 1)
            for v in pair
        ]
        expected.append(factor * (one[0] + one[1]))
    np.testing.assert_array_equal(found, expected)


def without_barrier(number):
    def edit(source):
        at = [match.start() for match in re.finditer(r"__syncthreads\(\);", source)][number]
        return source[:at] + source[at + len("__syncthreads();") :]

    return edit


ONES, TWOS = [np.ones(2000, np.float32)], [np.full(1000, 2.0, np.float32)]


def test_a_barrier_taken_out_of_both_ways_is_caught():
    assert both_ways(EmulatedDevice(), ONES, TWOS, False, False, 1.0)[0] == 4000
    found = [
        both_ways(EmulatedDevice(edit=without_barrier(0), reverse=reverse), ONES, TWOS, False, False, 1.0)[0]
        for reverse in (False, True)
    ]
    assert any(value != 4000 for value in found)


def test_a_barrier_between_the_two_ways_shows_as_a_race():
    """Exchanges within warps lie between, so that fibers, which run in turn, cannot show it."""
    if reason := host_build.missing("thread"):
        pytest.skip(reason)
    device = EmulatedDevice(sanitizer="thread")
    assert both_ways(device, ONES, TWOS, False, False, 1.0)[0] == 4000
    broken = EmulatedDevice(sanitizer="thread", edit=without_barrier(-1))
    with pytest.raises(RuntimeError, match=r"data race[\s\S]*segments\.cu"):
        for _ in range(50):  # whether threads meet is up to the machine: on a busy one, seldom
            both_ways(broken, ONES, TWOS, False, False, 1.0)


def test_arguments_of_another_type_are_refused():
    device = EmulatedDevice()
    most, values = device.xp.zeros(1, dtype=np.uint64), device.xp.zeros(3, dtype=np.float32)
    kernel = kernel_of("segments", "max_magnitudes", np.float32)
    with pytest.raises(TypeError, match="argument 1 of max_magnitudes must be i8, got int32"):
        device.launch(kernel, (1,), (256,), (values, np.int32(3), values, np.int64(0), most, np.int32(0)))
    with pytest.raises(TypeError, match="numpy scalar, got int"):
        device.launch(kernel, (1,), (256,), (values, 3, values, np.int64(0), most, np.int32(0)))


@pytest.mark.parametrize("special", [0.0, -7.5, np.inf, -np.nan])
def test_the_largest_magnitude_tells_of_all_that_is_not_finite(emulated, special):
    arrays = [np.random.default_rng(0).normal(size=1000).astype(dtype) for dtype in (np.float32, np.float64)]
    for values in arrays:
        values[777] = special
    found = emulated.max_magnitudes([emulated.upload(values) for values in arrays])
    expected = [float(np.abs(values).max()) for values in arrays]
    assert found == expected if np.isfinite(special) else not np.isfinite(found).any()
