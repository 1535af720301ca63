"""The assignment kernels: certificates, exactness, determinism, on the emulated device."""

import re
from itertools import pairwise

import host_build
import numpy as np
import pytest
from device import EmulatedDevice
from emd_oracles import FAMILIES, cost_matrix, exact_assignment

from pointmetrics._backends.cuda import emd as _cuda_emd
from pointmetrics._backends.cuda.backend import CudaBackend
from pointmetrics._backends.cuda.kernel_source import instance_of

SIZES = (1, 2, 5, 33, 64)


def packed(pairs, dtype=np.float64):
    offsets = np.concatenate([[0], np.cumsum([len(x) for x, _ in pairs])])
    x, y = (np.concatenate(side).astype(dtype) for side in zip(*pairs, strict=True))
    return x, y, offsets


def assign(backend, pairs, squared=False, tol=0.0, dtype=np.float64, **options):
    """Solve pairs; return the result with numpy arrays in it, and the clouds that were given."""
    x, y, offsets = packed(pairs, dtype)
    found = _cuda_emd.assign(backend, backend.upload(x), backend.upload(y), offsets, squared, tol, **options)
    names = ("upper", "lower", "converged", "assignment", "prices")
    arrays = {name: backend.download(getattr(found, name)) for name in names}
    clouds = [(x[a:b], y[a:b]) for a, b in pairwise(offsets.tolist())]
    return arrays, clouds, found


def family(name, sizes=SIZES, d=3):
    return [FAMILIES[name](np.random.default_rng(seed), n, d) for seed, n in enumerate(sizes)]


def assert_proven(arrays, clouds, squared, tol):
    """Check bounds against scipy, and that both are what assignment and prices are worth."""
    cost = "squared" if squared else "euclidean"
    first = 0
    for i, (x, y) in enumerate(clouds):
        mine = slice(first, first + len(x))
        first += len(x)
        costs = cost_matrix(x, y, cost)
        target, prices = arrays["assignment"][mine], arrays["prices"][mine]
        upper, lower = arrays["upper"][i], arrays["lower"][i]
        assert sorted(target) == list(range(len(x)))
        charged = costs[np.arange(len(x)), target].mean()
        assert charged <= upper <= charged * (1 + 1e-13)
        values = costs + prices
        dual = (values.min(axis=1) - prices).mean()
        assert max(dual, 0) * (1 - 1e-13) - 1e-13 * np.abs(values).max() <= lower <= max(dual, 0) * (1 + 1e-13)
        # scipy's value is rounded, too.
        exact = exact_assignment(x, y, cost)
        assert lower <= exact * (1 + 1e-14)
        assert exact <= upper * (1 + 1e-14)
        assert arrays["converged"][i]
        assert upper - lower <= max(tol * upper, 1e-12 * upper + 1e-14 * np.abs(values).max())


@pytest.mark.parametrize("squared", [False, True], ids=["euclidean", "squared"])
@pytest.mark.parametrize("name", FAMILIES)
def test_is_exact(emulated, name, squared):
    arrays, clouds, found = assign(emulated, family(name), squared)
    assert_proven(arrays, clouds, squared, 0.0)
    assert found.n_on_host == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["uniform", "far", "lattice", "clustered", "outlier"])
def test_stops_at_the_tolerance(emulated, name, dtype):
    arrays, clouds, found = assign(emulated, family(name, (70,)), tol=1e-2, dtype=dtype)
    assert_proven(arrays, clouds, False, 1e-2)
    assert emulated.download(found.work.steps).sum() == 0
    assert arrays["upper"][0] > arrays["lower"][0]


@pytest.mark.parametrize("d", [1, 2, 7])
def test_any_dimension(emulated, d):
    arrays, clouds, _ = assign(emulated, family("uniform", (3, 60), d))
    assert_proven(arrays, clouds, False, 0.0)


def test_results_depend_on_nothing_but_the_pair(emulated):
    """Not on the size of the block, the order of its threads, where its state lies, or the other pairs."""
    pairs = family("duplicated") + family("uniform")
    expected, _, _ = assign(emulated, pairs)
    little_memory = EmulatedDevice(reverse=True)
    little_memory.shared_bytes = 22 * 1024  # no room for the columns
    for backend, block in ((emulated, 32), (emulated, 256), (CudaBackend(little_memory), 64)):
        found, _, _ = assign(backend, pairs, block=block)
        for name, array in expected.items():
            np.testing.assert_array_equal(array, found[name], err_msg=name)
    alone, _, _ = assign(emulated, pairs[-1:])
    assert alone["upper"][0] == expected["upper"][-1]
    np.testing.assert_array_equal(alone["prices"], expected["prices"][-64:])


def test_scale_and_offset_do_not_matter(emulated):
    ((x, y),) = family("resampled", (60,))
    expected = exact_assignment(x, y)
    for factor, shift in ((1e-100, 0.0), (1e100, 0.0), (1.0, 1e6), (2.0**40, -(2.0**41))):
        arrays, clouds, _ = assign(emulated, [(x * factor + shift, y * factor + shift)])
        assert_proven(arrays, clouds, False, 0.0)
        assert arrays["upper"][0] == pytest.approx(expected * factor, rel=1e-8)


def test_what_the_budgets_leave_open_is_finished_elsewhere(emulated):
    pairs = family("skewed", (40, 64))
    for limits, on_host in (({"max_bids": 0}, 0), ({"max_bids": 1}, 0), ({"max_bids": 0, "max_steps": 0}, 2)):
        arrays, clouds, found = assign(emulated, pairs, **limits)
        assert_proven(arrays, clouds, False, 0.0)
        assert found.n_on_host == on_host


def test_lower_bounds_follow_from_any_prices(emulated):
    """The proof must not rest on how prices came about."""
    rng = np.random.default_rng(0)
    ((x, y),) = family("uniform", (50,))
    offsets = np.array([0, 50])
    run = _cuda_emd._Launcher(emulated, emulated.upload(x), emulated.upload(y), offsets, False)
    up = emulated.upload
    target = up(rng.permutation(50).astype(np.int32))
    for scale in (0.0, 0.1, 10.0):
        prices, minima = up(rng.normal(size=50) * scale), up(np.empty(50))
        upper, lower = up(np.empty(1)), up(np.empty(1))
        converged = up(np.zeros(1, np.uint8))
        run.prove(0.0, prices, minima, target, upper, lower, converged)
        assert 0 <= emulated.download(lower)[0] <= exact_assignment(x, y) <= emulated.download(upper)[0]
        assert not emulated.download(converged)[0]


def shuffling(source):
    """The source as devices before compute capability 8.0 compile it."""
    return source.replace("#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800", "#if 1")


def test_older_devices_get_the_same(emulated):
    pairs = family("lattice", (40, 64))
    old = EmulatedDevice(edit=shuffling)
    expected, found = assign(emulated, pairs)[0], assign(CudaBackend(old), pairs)[0]
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)


# The sanitizers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shared_bytes", [227 * 1024, 1024], ids=["shared", "global"])
def test_clean_under_address_sanitizer(shared_bytes):
    if reason := host_build.missing("address"):
        pytest.skip(reason)
    device = EmulatedDevice(sanitizer="address")
    device.shared_bytes = shared_bytes
    arrays, clouds, found = assign(CudaBackend(device), family("skewed", (1, 33, 50)), max_bids=8)
    assert_proven(arrays, clouds, False, 0.0)
    assert found.n_on_host == 0
    _cuda_emd.assign_grad(
        CudaBackend(device),
        *(device.xp.asarray(c) for c in clouds[1]),
        np.array([0, 33]),
        False,
        device.xp.asarray(arrays["assignment"][1:34]),
    )


def test_clean_under_thread_sanitizer():
    if reason := host_build.missing("thread"):
        pytest.skip(reason)
    backend = CudaBackend(EmulatedDevice(sanitizer="thread"))
    arrays, clouds, _ = assign(backend, family("lattice", (20,)), block=64, max_bids=4)
    assert_proven(arrays, clouds, False, 0.0)


BARRIERS = {
    "before a team's finds are merged": ("scan(m, i, part, team);\n    __syncthreads();", "scan(m, i, part, team);"),
    "after prices rose": ("prices[j] += rise;\n  }\n  __syncthreads();", "prices[j] += rise;\n  }"),
    "before a tile is read": (
        "__syncthreads();\n    for (int j = 0; j < size; ++j) {",
        "for (int j = 0; j < size; ++j) {",
    ),
}


@pytest.mark.parametrize("where", BARRIERS)
def test_a_removed_barrier_is_reported_as_a_race(where, monkeypatch):
    if reason := host_build.missing("thread"):
        pytest.skip(reason)
    # What is broken need not come to an end.
    monkeypatch.setitem(host_build.ENVIRONMENT, "TSAN_OPTIONS", "halt_on_error=1")
    backend = CudaBackend(EmulatedDevice(sanitizer="thread", edit=lambda source: source.replace(*BARRIERS[where])))
    with pytest.raises(RuntimeError, match="data race") as report:
        for _ in range(20):  # whether threads meet is up to the machine
            # A single point is a queue of one, which two warps serve.
            assign(backend, family("lattice", (1, 20)), block=64, max_bids=4)
    assert re.search(r"emd_\w+\.cu:\d+", str(report.value))


def test_the_removed_barriers_are_there():
    files = "emd_auction", "emd_augment", "emd_bounds"
    sources = "".join(instance_of(file, np.dtype(np.float64), 3).source for file in files)
    for old, _ in BARRIERS.values():
        assert sources.count(old) == 1


@pytest.mark.parametrize("looks", [1, 40 * 3, 64 * 20])
def test_searches_are_the_same_in_one_launch_and_in_many(monkeypatch, looks):
    if reason := host_build.missing():
        pytest.skip(reason)
    pairs = family("skewed", (40, 1, 64))
    results = []
    for budget in (1 << 25, looks):
        monkeypatch.setattr(_cuda_emd, "_LAUNCH_LOOKS", budget)
        device = EmulatedDevice()
        arrays, _, found = assign(CudaBackend(device), pairs, max_bids=1, max_steps=40)
        results.append((arrays, device.launches["augment"], device.xp.asnumpy(found.work.steps)))
    (one, n_one, steps), (many, n_many, steps_of_many) = results
    assert n_one == 2 and n_many == 2 * -(-40 * 64 // max(1, looks // 64))
    assert steps.max() > 40  # several launches had something to do
    np.testing.assert_array_equal(steps_of_many, steps)
    for name in one:
        np.testing.assert_array_equal(many[name], one[name], err_msg=name)


def test_rounds_without_end_are_left_to_shortest_paths():
    if reason := host_build.missing():
        pytest.skip(reason)
    device = EmulatedDevice(edit=lambda source: source.replace("#define MAX_ROUNDS (1 << 18)", "#define MAX_ROUNDS 3"))
    arrays, clouds, found = assign(CudaBackend(device), family("skewed", (40, 64)))
    assert (device.xp.asnumpy(found.work.rounds) == 3).all() and found.n_on_host == 0
    assert_proven(arrays, clouds, False, 0.0)


@pytest.mark.parametrize("block", [32, 64, 256, None])
@pytest.mark.parametrize("name", ["uniform", "lattice", "skewed", "duplicated"])
def test_rounds_of_one_bidder_go_on_alone_to_the_same_end(name, block):
    """Counts and bits are those of rounds that the whole block takes part in; the lists are filled as often."""
    if reason := host_build.missing():
        pytest.skip(reason)
    pairs, results = family(name, (1, 2, 33, 90)), []

    def without_it(source):
        assert "emd_auction" not in source or source.count("if (n_free == 1 &&") == 1
        return source.replace("if (n_free == 1 &&", "if (false &&")

    for edit in (None, without_it):
        device = EmulatedDevice(edit=edit)
        for limits in ({}, {"max_bids": 3}):
            arrays, _, found = assign(CudaBackend(device), pairs, block=block, **limits)
            work = {
                field: device.xp.asnumpy(getattr(found.work, field)) for field in ("rounds", "bids", "scans", "phases")
            }
            results.append(arrays | work)
    for alone, together in zip(results[:2], results[2:], strict=True):
        for key in alone:
            np.testing.assert_array_equal(alone[key], together[key], err_msg=key)
    assert results[0]["rounds"].max() > 10
