"""Transport distances of CuPy arrays: on the emulated device, and on a real one where there is one."""

import fake_cupy
import numpy as np
import pytest
from emd_oracles import FAMILIES, cost_matrix, exact_assignment
from scipy.special import logsumexp

import pointmetrics as pm
from pointmetrics._backends.cuda import emd as _cuda_emd

RNG = np.random.default_rng(0)
BATCH = RNG.random((3, 40, 3)), RNG.random((3, 40, 3))
LENGTHS = np.array([40, 3, 17])


def on(library, clouds):
    return [library.asarray(c) for c in clouds] if isinstance(clouds, list) else library.asarray(clouds)


def fields(result):
    return {name: getattr(result, name) for name in result.__dataclass_fields__}


def assert_as_on_the_cpu(library, x, y, **options):
    """Compare everything that does not depend on which of several optimal plans is found."""
    options = {"return_details": True, "return_grad": True} | options
    expected = pm.earth_movers_distance(x, y, **options)
    found = pm.earth_movers_distance(on(library, x), on(library, y), **options)
    single = not isinstance(x, list) and x.ndim == 2
    tol = max(options.get("tol", 0.0), 1e-11)
    for name in ("value", "lower", "upper", "gap", "converged"):
        a, b = np.asarray(getattr(expected, name)), getattr(found, name)
        assert isinstance(b, library.ndarray)
        assert (b.dtype, b.shape) == (a.dtype, a.shape)
        if name != "gap":
            rounding = np.finfo(a.dtype).eps if a.dtype.kind == "f" else 0
            np.testing.assert_allclose(library.asnumpy(b), a, rtol=tol + rounding, atol=1e-14)
    plans = [found.plan] if single else found.plan
    for plan, wanted in zip(plans, [expected.plan] if single else expected.plan, strict=True):
        for name in ("source", "target", "mass"):
            assert isinstance(getattr(plan, name), library.ndarray)
            assert getattr(plan, name).dtype == getattr(wanted, name).dtype
        assert library.asnumpy(plan.mass).sum() == pytest.approx(1)
    for a, b in zip(as_list(expected.grad), as_list(found.grad), strict=True):
        assert isinstance(b, library.ndarray)
        assert (b.dtype, b.shape) == (a.dtype, a.shape)
        if tol < 1e-9:
            np.testing.assert_allclose(library.asnumpy(b), a, rtol=1e-5, atol=1e-7)
    return expected, found


def as_list(grads):
    return [g for side in grads for g in (side if isinstance(side, list) else [side])]


CASES = {
    "single": (BATCH[0][0], BATCH[1][0], {}),
    "batch": (*BATCH, {"cost": "squared"}),
    "padded": (*BATCH, {"lengths": LENGTHS}),
    "float32": (BATCH[0].astype("f4"), BATCH[1].astype("f4"), {}),
    "list": (
        [c[:n] for c, n in zip(BATCH[0], LENGTHS, strict=True)],
        [c[:n] for c, n in zip(BATCH[1], LENGTHS, strict=True)],
        {"tol": 1e-2},
    ),
    "unequal": (BATCH[0][0, :20], BATCH[1][0, :15], {}),
    "weighted": (BATCH[0][0], BATCH[1][0], {"weights": (RNG.random(40), None)}),
}


@pytest.mark.parametrize("name", CASES)
def test_earth_movers_distance_is_the_cpus(cp, name):
    x, y, options = CASES[name]
    if "weights" in options:
        options = {"weights": (cp.asarray(options["weights"][0]), None)}
        expected = pm.earth_movers_distance(x, y, weights=CASES[name][2]["weights"])
        found = pm.earth_movers_distance(cp.asarray(x), cp.asarray(y), **options)
        assert float(found) == pytest.approx(float(expected), rel=1e-12)
        return
    expected, found = assert_as_on_the_cpu(cp, x, y, **options)
    for side in ("assignment", "prices"):
        a, b = getattr(expected, side), getattr(found, side)
        if a is None or isinstance(a, list):
            assert type(a) is type(b)
            continue
        assert isinstance(b, cp.ndarray)
        assert (b.dtype, b.shape) == (a.dtype, a.shape)
        if name == "padded":
            np.testing.assert_array_equal(cp.asnumpy(b)[1, 3:], a[1, 3:])
    if name == "single":
        # The optimum of points in general position is unique.
        np.testing.assert_array_equal(cp.asnumpy(found.assignment), expected.assignment)


def test_only_the_verdict_is_waited_for(cp):
    x, y = (cp.asarray(c) for c in BATCH)
    pm.earth_movers_distance(x, y, tol=0.1)
    before = fake_cupy.SYNCS[0]
    pm.earth_movers_distance(x, y, tol=0.1, return_grad=True)
    # One look at the magnitude of the coordinates, one at whether all pairs have converged.
    assert fake_cupy.SYNCS[0] - before == 2


def test_a_recorded_graph_is_left_without_the_host(emulated, monkeypatch):
    monkeypatch.setattr(emulated.device, "is_capturing", True)
    before = fake_cupy.SYNCS[0]
    (x, y), offsets = (c.reshape(-1, 3) for c in BATCH), np.arange(0, 121, 40)
    found = _cuda_emd.assign(emulated, emulated.upload(x), emulated.upload(y), offsets, False, 0.0)
    assert fake_cupy.SYNCS[0] == before
    assert emulated.download(found.converged).all()


def test_too_many_coordinates_are_refused(cp):
    x = cp.asarray(np.zeros((5, 65)))
    for function, options in ((pm.earth_movers_distance, {}), (pm.sinkhorn_divergence, {"epsilon": 1.0})):
        with pytest.raises(ValueError, match="at most 64 coordinates a point, got 65"):
            function(x, x, **options)


def test_sets_under_the_exact_distance(cp):
    sets = [np.stack([FAMILIES["uniform"](np.random.default_rng(s + k), 12, 3)[0] for k in range(4)]) for s in (0, 9)]
    on_device = [cp.asarray(s) for s in sets]
    matrix = cp.asnumpy(pm.sets.pairwise_distances(*on_device, metric="emd"))
    expected = [[exact_assignment(a, b) for b in sets[1]] for a in sets[0]]
    np.testing.assert_allclose(matrix, expected, rtol=1e-12)
    full = pm.sets.evaluate(*sets, metric="emd", n_bootstrap=10)
    needed = pm.sets.evaluate(*on_device, metric="emd", full_matrices=False, n_bootstrap=10)
    assert str(needed) == str(full)
    assert pm.compare(on_device[0], on_device[1], emd=True)["emd"].shape == (4,)


# Sinkhorn -----------------------------------------------------------------------------------------


def slow_entropic(x, y, epsilon, cost, iterations=3000):
    """Return the entropic cost at a fixed point, by plain alternating updates over the dense matrix."""
    costs = cost_matrix(x, y, cost)
    f, g = np.zeros(len(x)), np.zeros(len(y))
    for _ in range(iterations):
        f = -epsilon * logsumexp((g - costs) / epsilon - np.log(len(y)), axis=1)
        g = -epsilon * logsumexp((f[:, None] - costs) / epsilon - np.log(len(x)), axis=0)
    return f.mean() + g.mean()


@pytest.mark.parametrize("cost", ["euclidean", "squared"])
@pytest.mark.parametrize(("d", "dtype"), [(2, np.float64), (3, np.float32), (3, np.float64), (5, np.float32)])
def test_sinkhorn_is_the_cpus(cp, d, dtype, cost):
    rng = np.random.default_rng(d)
    x = [rng.random((n, d)).astype(dtype) for n in (1, 37, 130)]
    y = [(rng.random((n, d)) + 0.2).astype(dtype) for n in (3, 37, 90)]
    options = {"epsilon": 0.1, "cost": cost, "tol": 1e-4}
    expected = pm.sinkhorn_divergence(x, y, **options)
    found = pm.sinkhorn_divergence(on(cp, x), on(cp, y), **options)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(cp.asnumpy(found), expected, rtol=1e-11 if dtype == np.float64 else 1e-6)


def test_sinkhorn_has_converged(cp):
    x, y = BATCH[0][0, :20], BATCH[1][0, :15]
    slow = (
        slow_entropic(x, y, 0.2, "squared")
        - (slow_entropic(x, x, 0.2, "squared") + slow_entropic(y, y, 0.2, "squared")) / 2
    )
    found = pm.sinkhorn_divergence(cp.asarray(x), cp.asarray(y), epsilon=0.2, cost="squared", tol=1e-9)
    assert float(found) == pytest.approx(slow, rel=1e-7)
    assert float(pm.sinkhorn_divergence(cp.asarray(x), cp.asarray(x), epsilon=0.2)) == pytest.approx(0, abs=1e-15)


# A real device ------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in CASES if name != "weighted"])
def test_earth_movers_distance_on_a_device_is_the_cpus(cupy_device, name):
    x, y, options = CASES[name]
    assert_as_on_the_cpu(cupy_device, x, y, **options)


@pytest.mark.gpu
@pytest.mark.parametrize("tol", [0.0, 1e-3])
@pytest.mark.parametrize("family", FAMILIES)
def test_certificates_on_a_device(cupy_device, family, tol):
    for n in (1, 700, 2048, 9001):
        x, y = FAMILIES[family](np.random.default_rng(n), n, 3)
        found = pm.earth_movers_distance(cupy_device.asarray(x), cupy_device.asarray(y), tol=tol, return_details=True)
        exact = pm.earth_movers_distance(x, y, return_details=True)
        assert bool(found.converged)
        assert sorted(cupy_device.asnumpy(found.assignment)) == list(range(n))
        assert float(found.lower) <= exact.upper * (1 + 1e-14)
        assert exact.lower * (1 - 1e-14) <= float(found.upper)
        assert float(found.gap) <= tol * float(found.upper) + 1e-11 * cost_matrix(x[:1], y).max()


@pytest.mark.gpu
def test_results_on_a_device_repeat(cupy_device):
    x, y = (cupy_device.asarray(c) for c in FAMILIES["duplicated"](np.random.default_rng(0), 2048, 3))
    first, *others = (pm.earth_movers_distance(x, y, tol=1e-3, return_details=True) for _ in range(5))
    for other in others:
        assert fields(other).keys() == fields(first).keys()
        for name in ("upper", "lower", "assignment", "prices"):
            assert (getattr(other, name) == getattr(first, name)).all()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sinkhorn_on_a_device_is_the_cpus(cupy_device, dtype):
    x, y = (c.astype(dtype) for c in FAMILIES["resampled"](np.random.default_rng(0), 1500, 3))
    expected = pm.sinkhorn_divergence(x, y, epsilon=0.1)
    found = float(pm.sinkhorn_divergence(cupy_device.asarray(x), cupy_device.asarray(y), epsilon=0.1))
    assert found == pytest.approx(float(expected), rel=1e-9 if dtype == np.float64 else 1e-5)
