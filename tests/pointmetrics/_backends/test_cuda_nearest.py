"""Neighbours and gradients of the CUDA kernels, on the emulated device, against the CPU's bit for bit."""

import numpy as np
import pytest
from points_oracles import nearest

from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.cuda import nearest as _cuda_nearest

SIZES = [([700, 3, 130], [60, 1100, 1]), ([1], [1]), ([300], [1500])]


def clouds(sizes, d, dtype, seed=0, kind="lattice"):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(sum(sizes), d))
    points = np.round(points * 2) if kind == "lattice" else points
    return points.astype(dtype), np.concatenate([[0], np.cumsum(sizes)])


def both(emulated, function, *args):
    """Call a backend function with numpy's arrays and with the device's."""
    at = [
        emulated.upload(a) if isinstance(a, np.ndarray) and not is_offsets else a
        for a, is_offsets in zip(args, [False, True] * 4, strict=False)
    ]
    return getattr(CPU, function)(*args), [emulated.download(a) for a in getattr(emulated, function)(*at)]


@pytest.mark.parametrize("kind", ["lattice", "normal"])
@pytest.mark.parametrize("sizes", SIZES, ids=["ragged", "one-point", "split"])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_are_the_cpus(emulated, dtype, d, sizes, kind):
    x, y = (clouds(s, d, dtype, i, kind) for i, s in enumerate(sizes))
    expected, found = both(emulated, "nearest", *x, *y, 1)
    for a, b in zip(expected, found, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_neighbours_are_those_of_brute_force(emulated):
    (x, x_offsets), (y, y_offsets) = clouds([300], 3, np.float32), clouds([200], 3, np.float32, 1)
    up = emulated.upload
    sq, ids, _, _ = (emulated.download(a) for a in emulated.nearest(up(x), x_offsets, up(y), y_offsets, 1))
    expected_sq, expected_ids, _, _ = nearest(x, y)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(sq, expected_sq)


def test_subnormal_squares_are_not_flushed(emulated):
    x = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=np.float32)
    y = np.array([[2e-20, 0.0, 0.0], [1e-20, 0.0, 0.0]], dtype=np.float32)
    offsets = np.array([0, 2])
    _, found = both(emulated, "nearest", x, offsets, y, offsets, 1)
    assert found[1][0] == 1 and found[0][0] > 0


@pytest.mark.parametrize("method", ["scan", "sort"])
@pytest.mark.parametrize("sizes", SIZES, ids=["ragged", "one-point", "split"])
@pytest.mark.parametrize("d", [2, 3, 6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("directions", [(1, 1), (1, 0), (0, 1)])
def test_gradients_are_the_cpus(emulated, monkeypatch, dtype, d, sizes, method, directions):
    monkeypatch.setattr(_cuda_nearest, "_SCAN_LIMIT", 1 << 28 if method == "scan" else 0)
    x, y = (clouds(s, d, dtype, i) for i, s in enumerate(sizes))
    _, id_x, _, id_y = CPU.nearest(*x, *y, 1)
    coefs = [
        np.random.default_rng(3).random(len(side[0])) if used else None
        for side, used in zip((x, y), directions, strict=True)
    ]
    expected = CPU.nearest_grad(*x, *y, id_x, coefs[0], id_y, coefs[1])

    def up(value):
        return None if value is None else emulated.upload(value)

    found = emulated.nearest_grad(up(x[0]), x[1], up(y[0]), y[1], up(id_x), up(coefs[0]), up(id_y), up(coefs[1]))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, emulated.download(b))


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("d", [2, 3, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_pairs_are_the_cpus(emulated, dtype, d, power):
    x, y = clouds([150, 3, 40], d, dtype), clouds([2200, 129], d, dtype, 1)
    pairs = np.array([[0, 0], [0, 1], [2, 1], [1, 0], [1, 1]])
    expected = CPU.pairwise(*x, *y, pairs, power, 1)
    found = emulated.pairwise(emulated.upload(x[0]), x[1], emulated.upload(y[0]), y[1], pairs, power, 1)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-14)
