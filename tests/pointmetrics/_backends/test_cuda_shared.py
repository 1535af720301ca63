"""Shared memory as a device gives it: 48 KiB with the kernel's own variables, and more only where it is asked for."""

import device as emulation
import numpy as np
import pytest
from device import EmulatedDevice

import pointmetrics as pm
from imondrian._kit.kernel_source import Kernel
from pointmetrics._backends.conventions import look_up
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.cuda import emd as _cuda_emd
from pointmetrics._backends.cuda import sets as _cuda_sets
from pointmetrics._backends.cuda.backend import CudaBackend
from pointmetrics._backends.cuda.kernel_source import kernel_of


class Sizes(EmulatedDevice):
    """Looks at the sizes of launches, and runs nothing."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = {}

    def launch(self, kernel, grid, block, args, shared=0):
        self._give_shared(kernel, shared)
        self.seen[kernel] = shared


@pytest.fixture
def sizes(emulated):
    return CudaBackend(Sizes(xp=emulated.xp))


def auction(backend, n, d):
    x = backend.xp.empty((n, d), np.float32)
    run = _cuda_emd._Launcher(backend, x, x, np.array([0, n]), False)
    run.auction(1e-3, 1024, *(backend.xp.empty(n, dtype) for dtype in (np.int32, np.float64)), backend.xp.zeros(4))
    return next((kernel, shared) for kernel, shared in backend.device.seen.items() if kernel.entry == "auction")


# Beside the 20,672 bytes of its own, an auction of these sizes asks for less than 48 KiB.
CRITICAL = [(1185, 3), (1664, 3), (2048, 3), (1409, 2), (2432, 2), (353, 16), (640, 16)]


@pytest.mark.parametrize(("n", "d"), CRITICAL)
def test_auctions_of_every_size_get_what_they_need(sizes, n, d):
    kernel, shared = auction(sizes, n, d)
    own = sizes.device.function(kernel).shared_size_bytes
    assert own == 20_672 and shared <= 48 * 1024 < shared + own
    assert sizes.device.function(kernel).max_dynamic_shared_size_bytes == shared


@pytest.mark.parametrize(("n", "d"), CRITICAL)
def test_the_emulated_device_refuses_what_was_not_asked_for(sizes, monkeypatch, n, d):
    def only_above_48_kib(function, shared):
        if shared > 48 * 1024:
            function.max_dynamic_shared_size_bytes = shared

    monkeypatch.setattr(emulation, "allow_shared", only_above_48_kib)
    with pytest.raises(RuntimeError, match=r"CUDA_ERROR_INVALID_VALUE: .* beside its own 20672"):
        auction(sizes, n, d)


@pytest.mark.parametrize("d", [2, 3, 16, 64])
def test_the_largest_auction_in_shared_memory_fits_beside_its_own(sizes, d):
    places = []
    for n in range(32, 12_000, 32):
        sizes.device.seen.clear()
        kernel, shared = auction(sizes, n, d)
        places.append(shared > 0)
        assert shared + sizes.device.function(kernel).shared_size_bytes <= sizes.device.shared_bytes
    last = places.index(False) * 32
    assert all(places[: last // 32]) and not any(places[last // 32 :])
    # One more group of columns would not have gone in.
    assert (4 * (d + 1) + 8) * (last + 32) + 20_672 > sizes.device.shared_bytes


def test_pairs_that_wait_for_a_multiprocessor_get_small_blocks(sizes):
    blocks = []
    for b in (1, sizes.device.n_multiprocessors, sizes.device.n_multiprocessors + 1):
        x = sizes.xp.zeros((b * 2048, 3), np.float32)
        blocks.append(_cuda_emd._Launcher(sizes, x, x, 2048 * np.arange(b + 1), False).block)
    assert blocks == [1024, 1024, 256]


def test_a_device_with_less_shared_memory_than_an_auctions_own_uses_none(sizes):
    sizes.device.shared_bytes = 20_000
    assert auction(sizes, 32, 3)[1] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairs_of_clouds_of_every_dimension_get_what_they_need(sizes, dtype):
    refused = 0
    for d in range(1, 65):
        x = sizes.xp.zeros((2100, d), dtype)
        offsets = np.array([0, 2100])
        run = _cuda_sets._Launcher(sizes, x, offsets, x, offsets)
        run.persistent("distances_of_clouds", 1, x)
        kernel, shared = sizes.device.seen.popitem()
        own = sizes.device.function(kernel).shared_size_bytes
        refused += shared <= 48 * 1024 < shared + own
    assert refused > 0  # some lie between what was asked for before and what is needed


def test_clouds_of_twenty_coordinates_have_the_cpus_distances(emulated):
    rng = np.random.default_rng(0)
    x, offsets = rng.random((300, 20)).astype(np.float32), np.array([0, 140, 300])
    expected = CPU.nearest_clouds(x, offsets, x, offsets, False, look_up("cd-l2"), 1)
    on_device = emulated.upload(x)
    found = emulated.nearest_clouds(on_device, offsets, on_device, offsets, False, look_up("cd-l2"), 1)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-14, atol=1e-14)


def test_an_earth_movers_distance_of_a_critical_size(cp):
    rng = np.random.default_rng(0)
    x, y = (rng.random((353, 16)).astype(np.float32) for _ in range(2))
    found = pm.earth_movers_distance(cp.asarray(x), cp.asarray(y), tol=0.1, return_details=True)
    exact = pm.earth_movers_distance(x, y)
    assert float(found.lower) <= exact * (1 + 1e-9) and exact <= float(found.upper) * (1 + 1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize(("n", "d"), CRITICAL)
def test_auctions_of_critical_sizes_on_a_device(cupy_device, n, d):
    rng = np.random.default_rng(0)
    x, y = (rng.random((n, d)).astype(np.float32) for _ in range(2))
    found = pm.earth_movers_distance(cupy_device.asarray(x), cupy_device.asarray(y), tol=1e-2)
    exact = pm.earth_movers_distance(x, y)
    assert exact * (1 - 1e-6) <= float(found) <= exact * 1.011


@pytest.mark.gpu
def test_own_shared_memory_is_the_emulations_on_a_device(cupy_device):
    import host_build

    from imondrian._kit.device import open_device

    if reason := host_build.missing():
        pytest.skip(reason)
    kernel: Kernel = kernel_of("emd_auction", "auction", np.float32, 3, (("IN_SHARED", 1),))
    on_device = open_device()
    own = on_device.shared_bytes - on_device.dynamic_shared_bytes(kernel)
    assert 0 <= own - emulation.static_shared(kernel) <= 1024  # a device may keep a KiB of each block
