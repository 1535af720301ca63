"""Distances of clouds on a CUDA device, beside a tiled brute force in torch.

    pytest bench/bench_gpu_points.py --benchmark-enable

Times are between CUDA events around the public call; arrays are on the device, kernels compiled and warm
before. Every answer is first checked against the CPU's (of many clouds, the first ones'). Without a device, all
skip; tests/bench/test_gpu_workloads.py runs the same workloads, tiny, on an emulated one.
"""

import tempfile

import numpy as np
import pytest
from gpu_timing import CLOCK, Workload, first_call_seconds, measure, usable_cupy, usable_torch

import pointmetrics as pm
from pointmetrics import sets

pytestmark = [pytest.mark.gpu, pytest.mark.benchmark(timer=CLOCK)]

CHECKED = 4  # clouds of a batch whose answer is held against the CPU's


@pytest.fixture
def cupy():
    return usable_cupy()


def random_clouds(shape, seed=0):
    return np.random.default_rng(seed).random((2, *shape)).astype(np.float32)


def shapes(n_clouds, n, seed):
    """Points on ellipsoids of random axes: clouds that differ from each other as those of a test set do."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n_clouds, n, 3))
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    return (points * rng.uniform(0.3, 1.0, size=(n_clouds, 1, 3))).astype(np.float32)


def of_pairs(xp, function, x, y, rtol=1e-6, **options):
    """Return the workload of a function of batches of clouds, checked on the first few."""
    on_device = xp.asarray(x), xp.asarray(y)

    def check():
        few = slice(CHECKED) if x.ndim == 3 else slice(None)
        found, expected = function(*on_device, **options), function(x[few], y[few], **options)
        found = np.asarray(xp.asnumpy(found))
        np.testing.assert_allclose(found[few] if x.ndim == 3 else found, expected, rtol=rtol)

    return Workload(lambda: function(*on_device, **options), check)


def chamfer(xp, shape):
    return of_pairs(xp, pm.chamfer_distance, *random_clouds(shape))


def chamfer_with_gradients(xp, shape):
    x, y = random_clouds(shape)
    on_device = xp.asarray(x), xp.asarray(y)

    def run():
        return pm.chamfer_distance(*on_device, return_grad=True)

    def check():
        value, grads = run()
        expected, expected_grads = pm.chamfer_distance(x[:CHECKED], y[:CHECKED], return_grad=True)
        np.testing.assert_allclose(xp.asnumpy(value)[:CHECKED], expected, rtol=1e-6)
        for found, wanted in zip(grads, expected_grads, strict=True):
            np.testing.assert_allclose(xp.asnumpy(found)[:CHECKED], wanted, rtol=1e-5, atol=1e-9)

    return Workload(run, check)


def density_aware_chamfer(xp, shape):
    return of_pairs(xp, pm.density_aware_chamfer_distance, *random_clouds(shape))


def earth_mover(xp, shape, tol):
    x, y = random_clouds(shape)
    on_device = xp.asarray(x), xp.asarray(y)

    def run():
        return pm.earth_movers_distance(*on_device, tol=tol)

    def check():
        exact = pm.earth_movers_distance(x[:CHECKED], y[:CHECKED])
        error = xp.asnumpy(run())[:CHECKED] / exact - 1
        assert (error > -1e-6).all() and (error <= tol + 1e-6).all()

    return Workload(run, check)


def one_nna(xp, n_clouds, n, metric, n_checked=12):
    samples, references = shapes(n_clouds, n, 0), shapes(n_clouds, n, 1)
    on_device = xp.asarray(samples), xp.asarray(references)
    options = {"metric": metric, "n_bootstrap": 1, "full_matrices": False}

    def check():
        few = slice(min(n_checked, n_clouds))
        found = sets.evaluate(on_device[0][few], on_device[1][few], **options)
        expected = sets.evaluate(samples[few], references[few], **options | {"full_matrices": True})
        assert (found.one_nna, found.cov) == (expected.one_nna, expected.cov)

    return Workload(lambda: sets.evaluate(*on_device, **options), check)


def brute_force(torch, x, y, tile=512):
    """Both directions of the Chamfer distance, tile by tile, each distance computed once."""
    n, m = x.shape[1], y.shape[1]
    back = torch.full((len(x), m), torch.inf, device=x.device)
    forth = torch.empty((len(x), n), device=x.device)
    for at in range(0, n, tile):
        sq_dist = (x[:, at : at + tile, None] - y[:, None]).square().sum(-1)
        forth[:, at : at + tile] = sq_dist.amin(2)
        back = torch.minimum(back, sq_dist.amin(1))
    return forth.mean(1) + back.mean(1)


def with_torch(torch, shape, with_gradients=False):
    x, y = random_clouds(shape)
    on_device = [torch.from_numpy(side).cuda().requires_grad_(with_gradients) for side in (x, y)]

    def run():
        value = brute_force(torch, *on_device)
        if with_gradients:
            value.sum().backward()
        return value

    def check():
        np.testing.assert_allclose(
            run().detach().cpu().numpy()[:CHECKED], pm.chamfer_distance(x[:CHECKED], y[:CHECKED]), rtol=1e-4
        )

    return Workload(run, check)


BATCH = (32, 2048, 3)


def named(what, shape):
    return f"CUDA: {what}, {' x '.join(map(str, shape))}, float32"


@pytest.mark.parametrize("library", ["pointmetrics", "torch brute force"])
def test_chamfer_of_a_batch(benchmark, cupy, library):
    workload = chamfer(cupy, BATCH) if library == "pointmetrics" else with_torch(usable_torch(), BATCH)
    measure(benchmark, cupy, workload, group=named("chamfer", BATCH), name=library, rounds=200)


@pytest.mark.parametrize("library", ["pointmetrics", "torch brute force"])
def test_chamfer_of_a_batch_with_gradients(benchmark, cupy, library):
    ours = library == "pointmetrics"
    workload = chamfer_with_gradients(cupy, BATCH) if ours else with_torch(usable_torch(), BATCH, True)
    measure(benchmark, cupy, workload, group=named("chamfer with gradients", BATCH), name=library, rounds=200)


def test_density_aware_chamfer_of_a_batch(benchmark, cupy):
    measure(
        benchmark,
        cupy,
        density_aware_chamfer(cupy, BATCH),
        group=named("chamfer", BATCH),
        name="pointmetrics, density aware",
        rounds=200,
    )


@pytest.mark.parametrize("n, rounds", [(16_384, 200), (1_000_000, 50)])
def test_chamfer_of_one_pair(benchmark, cupy, n, rounds):
    measure(benchmark, cupy, chamfer(cupy, (n, 3)), group=named("chamfer", (n, 3)), name="pointmetrics", rounds=rounds)


@pytest.mark.parametrize("tol", [1e-3, 0.0])
def test_earth_mover_of_a_batch(benchmark, cupy, tol):
    measure(
        benchmark,
        cupy,
        earth_mover(cupy, BATCH, tol),
        group=named(f"EMD, tol={tol:g}", BATCH),
        name="pointmetrics",
        rounds=50,
    )


@pytest.mark.parametrize("metric, rounds", [("cd-l2", 5), ("emd", 1)])
def test_one_nna_of_two_sets(benchmark, cupy, metric, rounds):
    n_clouds, n = 405, 2048
    measure(
        benchmark,
        cupy,
        one_nna(cupy, n_clouds, n, metric),
        items=n_clouds * n_clouds,
        group=named(f"1-NNA of {n_clouds} and {n_clouds} clouds, {metric}", (n, 3)),
        name="pointmetrics",
        rounds=rounds,
    )


@pytest.mark.parametrize("cache", ["cold", "warm"])
def test_first_call(benchmark, cupy, cache):
    """A process of its own each time; its time from after the creation of the CUDA context."""
    code = (
        "import pointmetrics as pm",
        "x, y = cupy.asarray(np.random.default_rng(0).random((2, 4, 512, 3), 'f4'))",
        "pm.chamfer_distance(x, y)",
    )
    benchmark.group, benchmark.name = "CUDA: first call, 4 x 512 x 3, float32", f"pointmetrics, {cache} cache"
    benchmark.extra_info.update(library=benchmark.name)
    with tempfile.TemporaryDirectory() as kept:
        if cache == "warm":
            first_call_seconds(*code, kept)

        def run():
            with tempfile.TemporaryDirectory() as fresh:
                CLOCK.total += first_call_seconds(*code, kept if cache == "warm" else fresh)

        benchmark.pedantic(run, rounds=1 if benchmark.disabled else 5)
