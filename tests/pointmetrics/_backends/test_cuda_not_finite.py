"""Clouds that are not finite, in calls that look at nothing: recorded ones. Their own results are NaN, and no more."""

import sys

import numpy as np
import pytest
from device import EmulatedDevice

import pointmetrics as pm
from pointmetrics._backends.cuda import nearest as _cuda_nearest
from pointmetrics._backends.cuda import search as _cuda_search
from pointmetrics._backends.cuda.backend import CudaBackend
from pointmetrics._backends.cuda.kernel_source import kernel_of

BAD = {"nan": np.nan, "infinity": np.inf, "minus infinity": -np.inf}
PLACES = {"one coordinate": (1, 3, 2), "a point": (1, 3), "a cloud": (1,)}


@pytest.fixture(params=["", pytest.param("address", marks=pytest.mark.slow)], ids=["plain", "sanitized"])
def recording(request, monkeypatch):
    """A backend whose calls are recorded once ``is_capturing`` is set."""
    import host_build

    if reason := host_build.missing(request.param):
        pytest.skip(reason)
    backend = CudaBackend(EmulatedDevice(sanitizer=request.param))
    monkeypatch.setitem(sys.modules, "cupy", backend.xp)
    monkeypatch.setattr("pointmetrics._backends.cuda.backend.backend", lambda: backend)
    return backend


def recorded(backend, call, x, y):
    """Return the results of a call as it is, and of one that is recorded with the clouds (x, y)."""
    good = np.random.default_rng(5).random((2, *x.shape)).astype(x.dtype)
    call(*map(backend.xp.asarray, good))
    backend.device.is_capturing = True
    return [backend.xp.asnumpy(part) for part in call(backend.xp.asarray(x), backend.xp.asarray(y))]


CALLS = {
    "chamfer": lambda x, y: (lambda v, g: (v, *g))(*pm.chamfer_distance(x, y, convention="cd-l1", return_grad=True)),
    "dcd": lambda x, y: (lambda v, g: (v, *g))(*pm.density_aware_chamfer_distance(x, y, return_grad=True)),
    "hausdorff": lambda x, y: (lambda v, g: (v, *g))(*pm.hausdorff_distance(x, y, return_grad=True)),
    "emd": lambda x, y: (lambda v, g: (v, *g))(*pm.earth_movers_distance(x, y, tol=0.0, return_grad=True)),
}


def check(backend, call, bad, place, side):
    clouds = np.random.default_rng(0).random((2, 3, 24, 3)).astype(np.float32)
    expected = [np.asarray(part) for part in call(*clouds)]
    clouds[side][PLACES[place]] = BAD[bad]
    with np.errstate(invalid="ignore"):  # of what stands for CuPy
        value, *grads = recorded(backend, call, *clouds)
    others = [0, 2]
    np.testing.assert_allclose(value[others], expected[0][others], rtol=1e-5)
    assert np.isnan(value[1])
    for found, wanted in zip(grads, expected[1:], strict=True):
        np.testing.assert_allclose(found[others], wanted[others], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", CALLS)
def test_a_cloud_that_is_not_finite_spoils_its_own_pair_alone(recording, name, bad, place, side):
    if recording.device.sanitizer and (bad == "minus infinity" or place == "a point"):
        pytest.skip("takes long, and finds what the others find")
    check(recording, CALLS[name], bad, place, side)


@pytest.mark.parametrize("bad", BAD)
def test_a_large_cloud_that_is_not_finite(recording, monkeypatch, bad):
    monkeypatch.setattr(_cuda_search, "LEAST_PAIRS", 0)
    monkeypatch.setattr(_cuda_nearest, "_SCAN_LIMIT", 0)
    x, y = np.random.default_rng(0).random((2, 90, 3)).astype(np.float32)
    x[:] = BAD[bad]
    with np.errstate(invalid="ignore"):  # of what stands for CuPy
        value, *_ = recorded(recording, CALLS["chamfer"], x, y)
    assert np.isnan(value)


def test_pairs_whose_assignment_is_left_open_have_no_gradient(emulated):
    x, y = (emulated.xp.asarray(np.random.default_rng(k).random((6, 3))) for k in range(2))
    partners = emulated.xp.asarray(np.array([1, 0, -1, 2, -1, 4], np.int32))
    grads = [emulated.download(g) for g in emulated.assign_grad(x, y, np.array([0, 6]), True, partners)]
    np.testing.assert_array_equal(np.isnan(grads[0]).all(1), [False, False, True, False, True, False])
    np.testing.assert_array_equal(np.isnan(grads[1]).all(1), [False, False, False, True, False, True])


@pytest.mark.parametrize("d", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_far_corner_is_last_on_the_curve(emulated, dtype, d):
    """In two dimensions of float32, the number of the last cell is no number of that type."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.random((40, d)), np.zeros((1, d)), np.ones((1, d))]).astype(dtype)
    xp = emulated.xp
    on_device, keys = xp.asarray(points), xp.empty(len(points), dtype=np.uint64)
    kernel = kernel_of("search", "curve_keys", dtype, d if d in (2, 3) else 0)
    emulated.device.launch(
        kernel, (1,), (256,), (on_device, np.int64(len(points)), np.int32(d), _cuda_search._frame(xp, on_device), keys)
    )
    keys = xp.asnumpy(keys)
    bits = {2: 31, 3: 21}.get(d, 7)
    assert keys[-1] == keys.max() == (1 << bits * d) - 1 and keys[-2] == 0
    cells = np.minimum((points.astype(np.float64) * 2.0**bits).astype(np.uint64), (1 << bits) - 1)
    order = [
        sum(
            ((int(cell) >> bit) & 1) << (bit * d + d - 1 - axis)
            for bit in range(bits)
            for axis, cell in enumerate(point)
        )
        for point in cells
    ]
    # Coordinates are rounded to the type: neighbouring cells are as good.
    assert np.argsort(keys, kind="stable").tolist() == np.argsort(np.array(order), kind="stable").tolist()
