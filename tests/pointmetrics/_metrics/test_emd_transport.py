"""Unequal sizes and weights, gradients, Sinkhorn divergence and sliced Wasserstein distance."""

import numpy as np
import pytest
from emd_oracles import FAMILIES, cost_matrix, exact_assignment, exact_transport
from points_oracles import finite_difference

import pointmetrics as pm

COSTS = ("euclidean", "squared")


def check_plan(x, y, x_mass, y_mass, result, cost):
    plan = result.plan
    assert (plan.mass > 0).all()
    np.testing.assert_allclose(np.bincount(plan.source, plan.mass, len(x)), x_mass / x_mass.sum(), atol=1e-14)
    np.testing.assert_allclose(np.bincount(plan.target, plan.mass, len(y)), y_mass / y_mass.sum(), atol=1e-14)
    charged = (cost_matrix(x, y, cost)[plan.source, plan.target] * plan.mass).sum()
    assert result.upper == pytest.approx(charged, rel=1e-12, abs=0)
    assert result.lower <= result.upper
    assert result.converged


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_unequal_sizes_solve_the_transportation_problem(family, cost):
    for seed, (n, m) in enumerate([(1, 4), (6, 1), (7, 5), (30, 20), (24, 40), (33, 32)]):
        x, y = FAMILIES[family](np.random.default_rng(seed), max(n, m), 1 + seed % 3)
        x, y = x[:n], y[:m]
        result = pm.earth_movers_distance(x, y, cost=cost, return_details=True)
        expected = exact_transport(x, y, np.ones(n), np.ones(m), cost)
        tiny = 1e-10 * cost_matrix(x, y, cost).max()
        assert result.value == pytest.approx(expected, rel=1e-6, abs=tiny)
        assert result.assignment is None
        check_plan(x, y, np.ones(n), np.ones(m), result, cost)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("family", ["uniform", "lattice", "clustered", "duplicated"])
def test_weighted_clouds(family, cost):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, y = FAMILIES[family](rng, 40, 3)
        x_mass, y_mass = rng.random(40) ** 3, rng.integers(0, 4, 40).astype(float)
        result = pm.earth_movers_distance(x, y, cost=cost, weights=(x_mass, y_mass), return_details=True)
        expected = exact_transport(x, y, x_mass, y_mass, cost)
        assert result.value == pytest.approx(expected, rel=1e-6, abs=1e-12)
        check_plan(x, y, x_mass, y_mass, result, cost)


@pytest.mark.peer
@pytest.mark.parametrize(("n", "m"), [(900, 600), (700, 350), (256, 1000)])
def test_transport_equals_pot(n, m):
    ot = pytest.importorskip("ot", reason="needs POT")
    rng = np.random.default_rng(n)
    x, y = rng.random((n, 3)), rng.normal(size=(m, 3))
    result = pm.earth_movers_distance(x, y, return_details=True)
    assert result.value == pytest.approx(ot.emd2([], [], cost_matrix(x, y), numItermax=10**7), rel=1e-10)
    assert result.converged


def test_equal_weights_change_nothing_and_scaling_them_neither():
    x, y = np.random.default_rng(0).random((2, 80, 3))
    expected = pm.earth_movers_distance(x, y)
    assert expected == pytest.approx(exact_assignment(x, y))
    for weight in (1.0, 1e-300, 1e300):
        weights = (np.full(80, weight), None)
        assert pm.earth_movers_distance(x, y, weights=weights) == pytest.approx(expected, rel=1e-12)
    # A point of double weight is two points.
    doubled = pm.earth_movers_distance(np.r_[x, x[:40]], y)
    heavy = pm.earth_movers_distance(x, y, weights=(np.r_[np.full(40, 2.0), np.ones(40)], None))
    assert heavy == pytest.approx(doubled, rel=1e-12)


def test_transport_of_batches_and_threads():
    rng = np.random.default_rng(4)
    x, y = rng.random((5, 60, 3)), rng.random((5, 45, 3))
    expected = [pm.earth_movers_distance(a, b, n_threads=1) for a, b in zip(x, y, strict=True)]
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(pm.earth_movers_distance(x, y, n_threads=threads), expected)
    ragged = pm.earth_movers_distance(list(x), [c[: 10 + i] for i, c in enumerate(y)], return_details=True)
    assert [len(np.unique(p.target)) for p in ragged.plan] == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("m", [30, 21])
def test_gradients_equal_finite_differences(cost, m):
    rng = np.random.default_rng(m)
    x, y = rng.random((30, 3)), rng.random((m, 3))
    _, (grad_x, grad_y) = pm.earth_movers_distance(x, y, cost=cost, return_grad=True)

    def value(a, b):
        return pm.earth_movers_distance(a, b, cost=cost)

    np.testing.assert_allclose(grad_x, finite_difference(lambda a: value(a, y), x), atol=1e-7)
    np.testing.assert_allclose(grad_y, finite_difference(lambda b: value(x, b), y), atol=1e-7)
    np.testing.assert_allclose(grad_x.sum(axis=0), -grad_y.sum(axis=0), atol=1e-14)


def test_gradient_is_zero_where_partners_coincide():
    x = np.random.default_rng(0).random((2, 20, 3))
    for cost in COSTS:
        value, grads = pm.earth_movers_distance(x, x[:, ::-1], cost=cost, return_grad=True)
        assert not value.any()
        assert not any(g.any() for g in grads)


def test_sinkhorn_divergence_tends_to_the_exact_value():
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 3)), rng.random((45, 3)) + 0.5
    for cost in COSTS:
        exact = pm.earth_movers_distance(x, y, cost=cost)
        errors = [abs(pm.sinkhorn_divergence(x, y, epsilon=e, cost=cost) - exact) / exact for e in (0.3, 0.1, 0.02)]
        assert errors[0] > errors[2]
        assert errors[2] < 0.05
    assert pm.sinkhorn_divergence(x, x, epsilon=0.1) == 0
    assert pm.sinkhorn_divergence(x, y, epsilon=0.1) == pytest.approx(
        pm.sinkhorn_divergence(y, x, epsilon=0.1), rel=1e-6
    )
    with pytest.raises(ValueError, match="epsilon must be a positive"):
        pm.sinkhorn_divergence(x, y, epsilon=0.0)


@pytest.mark.peer
def test_sinkhorn_divergence_equals_pot():
    ot = pytest.importorskip("ot", reason="needs POT")
    rng = np.random.default_rng(1)
    x, y = rng.random((50, 2)), rng.random((40, 2))

    def entropic(a, b):
        mass = np.full(len(a), 1 / len(a)), np.full(len(b), 1 / len(b))
        plan = ot.sinkhorn(*mass, cost_matrix(a, b), 0.1, method="sinkhorn_log", stopThr=1e-12, numItermax=5000)
        return (plan * cost_matrix(a, b)).sum() + 0.1 * (plan * np.log(plan / np.outer(*mass))).sum()

    expected = entropic(x, y) - (entropic(x, x) + entropic(y, y)) / 2
    assert pm.sinkhorn_divergence(x, y, epsilon=0.1, tol=1e-10) == pytest.approx(expected, rel=1e-6)


@pytest.mark.peer
@pytest.mark.parametrize("m", [50, 37])
def test_sliced_wasserstein_equals_pot(m):
    ot = pytest.importorskip("ot", reason="needs POT")
    rng = np.random.default_rng(m)
    x, y = rng.random((50, 3)), rng.random((m, 3))
    directions = np.random.default_rng(0).normal(size=(100, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for p in (1, 2):
        expected = ot.sliced_wasserstein_distance(x, y, projections=directions.T, p=p)
        assert pm.sliced_wasserstein_distance(x, y, p=p) == pytest.approx(expected)
    assert pm.sliced_wasserstein_distance(x, x) == 0


def test_sliced_wasserstein_refuses_bad_options():
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match="n_projections must be at least 1"):
        pm.sliced_wasserstein_distance(x, x, n_projections=0)
    with pytest.raises(ValueError, match="p must be finite and at least 1"):
        pm.sliced_wasserstein_distance(x, x, p=0.5)


@pytest.mark.parametrize("m", [12, 7])
def test_torch_gradcheck(m):
    torch = pytest.importorskip("torch", reason="needs torch")
    rng = np.random.default_rng(m)
    x, y = (torch.tensor(rng.random((2, n, 3)), requires_grad=True) for n in (12, m))
    for cost in COSTS:
        torch.autograd.gradcheck(lambda a, b, c=cost: pm.torch.earth_movers_distance(a, b, cost=c), (x, y))
