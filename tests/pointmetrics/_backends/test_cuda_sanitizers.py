"""The kernels under sanitizers, and the net itself: a kernel with a barrier taken out must be caught."""

import re

import host_build
import numpy as np
import pytest
from device import EmulatedDevice

from pointmetrics._backends.conventions import look_up
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.cuda import nearest as _cuda_nearest
from pointmetrics._backends.cuda import search as _cuda_search
from pointmetrics._backends.cuda.backend import CudaBackend
from pointmetrics._backends.cuda.kernel_source import kernel_of

RNG = np.random.default_rng(0)


def backend(**options):
    if reason := host_build.missing(options.get("sanitizer", "")):
        pytest.skip(reason)
    return CudaBackend(EmulatedDevice(**options))


def clouds(sizes, d, dtype):
    return np.round(RNG.normal(size=(sum(sizes), d)) * 2).astype(dtype), np.concatenate([[0], np.cumsum(sizes)])


def check_nearest(cuda, sizes, d=3, dtype=np.float32):
    x, y = (clouds(s, d, dtype) for s in sizes)
    expected = CPU.nearest(*x, *y, 1)
    found = cuda.nearest(cuda.upload(x[0]), x[1], cuda.upload(y[0]), y[1], 1)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, cuda.download(b))
    return x, y, expected


def check_gradients(cuda, x, y, found):
    coefs = RNG.random(len(x[0])), RNG.random(len(y[0]))
    expected = CPU.nearest_grad(*x, *y, found[1], coefs[0], found[3], coefs[1])
    got = cuda.nearest_grad(
        cuda.upload(x[0]),
        x[1],
        cuda.upload(y[0]),
        y[1],
        *(cuda.upload(a) for a in (found[1], coefs[0], found[3], coefs[1])),
    )
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_array_equal(a, cuda.download(b))


def check_nearest_clouds(cuda, *sizes):
    (x, x_offsets), (y, y_offsets) = (clouds(s, 3, np.float32) for s in sizes)
    expected = CPU.nearest_clouds(x, x_offsets, y, y_offsets, False, look_up("cd-l2"), 1)
    found = cuda.nearest_clouds(cuda.upload(x), x_offsets, cuda.upload(y), y_offsets, False, look_up("cd-l2"), 1)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
@pytest.mark.parametrize("case", ["compare", "search", "pairs"])
def test_kernels_are_clean(monkeypatch, sanitizer, case):
    cuda = backend(sanitizer=sanitizer)
    # A thread of its own for every CUDA thread takes time: as few blocks as show every barrier.
    cuda.device.n_multiprocessors = 1
    sizes = ([130, 1], [600, 3]) if sanitizer == "address" else ([40], [600])
    if case == "compare":
        check_gradients(cuda, *check_nearest(cuda, sizes))
        if sanitizer == "address":
            monkeypatch.setattr(_cuda_nearest, "_SCAN_LIMIT", 0)
            check_gradients(cuda, *check_nearest(cuda, ([9], [40])))
    elif case == "search":
        monkeypatch.setattr(_cuda_search, "LEAST_PAIRS", 0)
        check_nearest(cuda, ([100], [70]))
    else:
        x, y = (clouds(s, 3, np.float32) for s in sizes)
        pairs = np.array([[0, 0]])
        found = cuda.pairwise(cuda.upload(x[0]), x[1], cuda.upload(y[0]), y[1], pairs, 1, 1)
        np.testing.assert_allclose(found, CPU.pairwise(*x, *y, pairs, 1, 1), rtol=1e-14)
        check_nearest_clouds(cuda, *sizes)


def without_barrier(number, name="__syncthreads();"):
    """Return an edit that takes out the barrier of that number."""

    def edit(source):
        at = [match.start() for match in re.finditer(re.escape(name), source)][number]
        return source[:at] + source[at + len(name) :]

    return edit


def is_caught(check):
    """Tell whether a broken kernel fails in one of the two orders that a block's threads are run in."""
    for reverse in (False, True):
        try:
            check(reverse)
        except (AssertionError, RuntimeError):
            return True
    return False


@pytest.mark.parametrize("number", range(4))
def test_a_barrier_taken_out_of_the_comparison_is_caught(number):
    def check(reverse, edit=None):
        check_nearest(backend(edit=edit, reverse=reverse, sanitizer="apart"), ([40], [1500]))

    check(False), check(True)
    assert is_caught(lambda reverse: check(reverse, without_barrier(number)))


def test_a_barrier_taken_out_of_the_search_is_caught(monkeypatch):
    monkeypatch.setattr(_cuda_search, "LEAST_PAIRS", 0)

    def check(reverse, edit=None):
        check_nearest(backend(edit=edit, reverse=reverse, sanitizer="apart"), ([300], [400]))

    check(False), check(True)
    # The other barrier of a tile orders memory only: a vote of the warp always lies between its two uses.
    assert is_caught(lambda reverse: check(reverse, without_barrier(1, "__syncwarp();")))


@pytest.mark.parametrize("number", range(7))
def test_a_barrier_taken_out_of_the_pairs_is_caught(number):
    # Several groups of queries, and targets that take two tiles, so that every barrier is needed.
    def check(reverse, edit=None):
        check_nearest_clouds(backend(edit=edit, reverse=reverse, sanitizer="apart"), [140, 9], [2200])

    check(False), check(True)
    assert is_caught(lambda reverse: check(reverse, without_barrier(number)))


@pytest.mark.parametrize("number", range(2))
def test_a_barrier_taken_out_of_the_gradients_is_caught(number):
    x, y = clouds([40], 3, np.float32), clouds([1500], 3, np.float32)  # two tiles of ids
    found = CPU.nearest(*x, *y, 1)

    def check(reverse, edit=None):
        check_gradients(backend(edit=edit, reverse=reverse, sanitizer="apart"), x, y, found)

    check(False), check(True)
    assert is_caught(lambda reverse: check(reverse, without_barrier(number)))


@pytest.mark.parametrize("number", [1, 3, 4, 5])  # 0 and 2: below
def test_a_barrier_taken_out_of_sinkhorn_is_caught(number):
    rng = np.random.default_rng(0)
    x, y = rng.random((270, 2)), rng.random((9, 2)) + 1  # two tiles of columns
    sides = x, np.array([0, 270]), y, np.array([0, 9])
    options = 0.7, True, 0.3, 20
    expected = CPU.sinkhorn(*sides, *options)

    def check(reverse, edit=None):
        cuda = backend(edit=edit, reverse=reverse)
        up = cuda.upload
        found = cuda.sinkhorn(up(x), sides[1], up(y), sides[3], *options)
        np.testing.assert_allclose(cuda.download(found), expected, rtol=1e-11)

    check(False), check(True)
    assert is_caught(lambda reverse: check(reverse, without_barrier(number)))


@pytest.mark.parametrize("number", [0, 2])
def test_a_barrier_between_two_sums_of_sinkhorn_shows_as_a_race(number):
    """Exchanges within warps lie between the two uses, so that fibers, which run in turn, cannot show it."""

    def launch(edit=None):
        device = backend(sanitizer="thread", edit=edit).device
        xp = device.xp
        ends, value = xp.asarray(np.array([0, 40])), xp.empty(3)
        kernel = kernel_of("sinkhorn", "divergences" if number == 2 else "first_epsilons", np.dtype(np.float64), 2)
        if number == 2:
            args = ends, ends, *(xp.asarray(RNG.random(40)) for _ in range(4)), value
        else:
            points = xp.asarray(RNG.random((40, 2)))
            args = points, ends, points, ends, np.int32(2), np.int32(1), np.float64(0.1), value
        device.launch(kernel, (1,), (64,), args)

    launch()
    with pytest.raises(RuntimeError, match=r"data race[\s\S]*sinkhorn\.cu"):
        for _ in range(50):  # whether threads meet is up to the machine: on a busy one, seldom
            launch(without_barrier(number))


def test_divergent_barriers_and_partial_masks_are_refused():
    barrier = "__syncthreads();"
    diverging = backend(edit=lambda source: source.replace(barrier, f"if (threadIdx.x < 7) {barrier}", 1))
    with pytest.raises(RuntimeError, match=r"barrier|wait at different"):
        check_nearest(diverging, ([40], [600]))
    partial = backend(edit=lambda source: source.replace("#define FULL_MASK 0xffffffffu", "#define FULL_MASK 0xffffu"))
    with pytest.raises(RuntimeError, match="needs a full mask"):
        partial.max_magnitudes([partial.upload(np.ones(3))])
