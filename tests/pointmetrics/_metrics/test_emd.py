"""Exact earth mover's distance: value, certificate, batches, ties, bad input."""

import numpy as np
import pytest
from emd_oracles import FAMILIES, cost_matrix, exact_assignment, exact_transport
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

import pointmetrics as pm
from pointmetrics import _core

COSTS = ("euclidean", "squared")


def details(x, y, **options):
    return pm.earth_movers_distance(x, y, return_details=True, **options)


def check_certificate(x, y, result, cost):
    """Check everything that a result claims, without an oracle."""
    n = len(x)
    assert sorted(result.assignment) == list(range(n))
    charged = cost_matrix(x, y, cost)[np.arange(n), result.assignment].mean()
    assert result.upper == pytest.approx(charged, rel=1e-12, abs=0)
    assert 0 <= result.lower <= result.upper
    values = cost_matrix(x, y, cost) + result.prices
    dual = (values.min(axis=1) - result.prices).mean()
    assert result.lower == pytest.approx(max(dual, 0), rel=1e-12, abs=1e-14 * np.abs(values).max())
    assert result.gap == result.upper - result.lower
    assert result.plan.mass.sum() == pytest.approx(1)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_linear_sum_assignment(family, cost):
    for seed, (n, d) in enumerate([(2, 3), (5, 2), (17, 1), (40, 3), (64, 2), (150, 3), (260, 3), (90, 6)]):
        x, y = FAMILIES[family](np.random.default_rng(seed), n, d)
        result = details(x, y, cost=cost)
        expected = exact_assignment(x, y, cost)
        check_certificate(x, y, result, cost)
        assert result.converged
        assert result.value == pytest.approx(expected, rel=1e-11, abs=1e-15 * cost_matrix(x, y, cost).max())
        assert result.lower <= expected * (1 + 1e-11)


@pytest.mark.peer
@pytest.mark.parametrize(
    "family", ["uniform", "resampled", "skewed", "far", "clustered", "collinear", "scans", "tails"]
)
def test_equals_pot_at_a_thousand_points(family):
    ot = pytest.importorskip("ot", reason="needs POT")
    x, y = FAMILIES[family](np.random.default_rng(7), 1000, 3)
    expected = ot.emd2([], [], cost_matrix(x, y), numItermax=10**7)
    result = details(x, y)
    check_certificate(x, y, result, "euclidean")
    assert result.converged
    assert result.value == pytest.approx(expected, rel=1e-10)


def test_crowded_lattice():
    """Thousands of points on 27 sites: the oracle ships masses between the sites."""
    sites = np.array(list(np.ndindex(3, 3, 3)), float)
    x, y = np.random.default_rng(2).integers(0, 27, (2, 5000))
    counts = (np.bincount(cloud, minlength=27).astype(float) for cloud in (x, y))
    result = details(sites[x], sites[y])
    assert result.converged
    assert result.value == pytest.approx(exact_transport(sites, sites, *counts), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_small_integer_clouds(data):
    """Coordinates from a few integers: ties, duplicates and coincident points everywhere."""
    n, d = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 3))
    cloud = arrays(np.float64, (n, d), elements=st.integers(-2, 2).map(float))
    x, y, cost = data.draw(cloud), data.draw(cloud), data.draw(st.sampled_from(COSTS))
    result = details(x, y, cost=cost)
    assert result.value == pytest.approx(exact_assignment(x, y, cost), rel=1e-12, abs=1e-15)
    assert result.converged


@pytest.mark.parametrize("tol", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("family", ["uniform", "far", "skewed", "lattice"])
def test_tolerance_stops_early_with_a_valid_certificate(family, tol):
    x, y = FAMILIES[family](np.random.default_rng(3), 700, 3)
    result, exact = details(x, y, tol=tol), pm.earth_movers_distance(x, y)
    check_certificate(x, y, result, "euclidean")
    assert result.lower <= exact * (1 + 1e-12)
    assert exact <= result.upper * (1 + 1e-12)
    assert result.gap <= tol * result.upper
    assert result.converged


@pytest.mark.parametrize("cost", COSTS)
def test_batches_threads_and_single_pairs_agree_to_the_bit(cost):
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 6, 300, 3))
    lengths = np.array([300, 1, 2, 128, 299, 77])
    lists = [[c[:n] for c, n in zip(side, lengths, strict=True)] for side in (x, y)]
    singles = [details(a, b, cost=cost, n_threads=1) for a, b in zip(*lists, strict=True)]
    for threads in (1, 2, 5):
        for batch in (
            details(x, y, cost=cost, lengths=lengths, n_threads=threads),
            details(*lists, cost=cost, n_threads=threads),
        ):
            assert batch.value.tolist() == [s.value for s in singles]
            assert batch.lower.tolist() == [s.lower for s in singles]
            for i, single in enumerate(singles):
                np.testing.assert_array_equal(batch.assignment[i][: lengths[i]], single.assignment)
        again = details(lists[0][0], lists[1][0], cost=cost, n_threads=threads)
        assert again.value == singles[0].value
        np.testing.assert_array_equal(again.assignment, singles[0].assignment)
    padded = details(x, y, cost=cost, lengths=lengths)
    assert (padded.assignment[1, 1:] == -1).all()
    assert not padded.prices[1, 1:].any()


def test_is_symmetric_and_moves_with_the_clouds():
    x, y = np.random.default_rng(1).random((2, 400, 3))
    value = pm.earth_movers_distance(x, y)
    assert pm.earth_movers_distance(y, x) == pytest.approx(value, rel=1e-12)
    assert pm.earth_movers_distance(x + 5, y + 5) == pytest.approx(value, rel=1e-12)
    assert pm.earth_movers_distance(3 * x, 3 * y) == pytest.approx(3 * value, rel=1e-12)
    assert pm.earth_movers_distance(x, x + np.array([0.25, 0, 0])) == pytest.approx(0.25, rel=1e-12)
    assert pm.earth_movers_distance(x, x) == 0


def test_dtypes_and_layouts():
    rng = np.random.default_rng(2)
    x, y = rng.random((2, 50, 3))
    expected = exact_assignment(x, y)
    assert pm.earth_movers_distance(x.astype("f4"), y.astype("f4")).dtype == np.float32
    readonly = x.copy()
    readonly.flags.writeable = False
    for variant in (readonly, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        assert pm.earth_movers_distance(variant, y) == pytest.approx(expected)
    whole = rng.integers(0, 9, (2, 30, 3))
    assert pm.earth_movers_distance(*whole).dtype == np.float64
    assert pm.earth_movers_distance(*(whole * 10**8)) == pytest.approx(exact_assignment(*whole) * 10**8)
    assert pm.earth_movers_distance(x * 1e30, y * 1e30) == pytest.approx(expected * 1e30)
    assert pm.earth_movers_distance(x[:1], y[:1]) == pytest.approx(np.linalg.norm(x[0] - y[0]))
    prepared = pm.PreparedCloud(y)
    assert pm.earth_movers_distance(x, prepared) == pm.earth_movers_distance(x, y)


@pytest.mark.slow
def test_many_points_converge():
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 16384, 3))
    result = details(x, y)
    assert result.converged
    assert sorted(result.assignment) == list(range(16384))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cost": "manhattan"}, "cost must be one of euclidean, squared"),
        ({"tol": -1.0}, "tol must be finite and not negative"),
        ({"tol": float("nan")}, "tol must be finite"),
        ({"weights": ([1.0] * 4, [-1.0] * 4)}, "y_weights must be finite and not negative"),
        ({"weights": ([0.0] * 4, None)}, "x_weights must not all be zero"),
        ({"weights": ([1.0] * 3, None)}, r"x_weights must have shape \(4,\)"),
        ({"x": np.full((4, 3), np.nan)}, "x must be finite, got nan at index"),
        ({"y": np.empty((0, 3))}, "y is empty"),
        ({"y": np.zeros((4, 2))}, "x and y must have the same dimension"),
        ({"y": np.zeros((2, 4, 3))}, "must both be single clouds or both batches"),
    ],
)
def test_bad_values_are_named(change, message):
    arguments = {"x": np.zeros((4, 3)), "y": np.zeros((4, 3))} | change
    with pytest.raises(ValueError, match=message):
        pm.earth_movers_distance(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tol": "small"}, "tol must be a number"),
        ({"weights": [1.0] * 4}, "weights must be a tuple"),
        ({"x": np.zeros((4, 3), np.float16)}, "x has dtype float16"),
        ({"y": np.zeros((4, 3), complex)}, "y must hold"),
        ({"n_threads": 1.5}, "n_threads must be an int"),
    ],
)
def test_bad_types_are_named(change, message):
    arguments = {"x": np.zeros((4, 3)), "y": np.zeros((4, 3))} | change
    with pytest.raises(TypeError, match=message):
        pm.earth_movers_distance(**arguments)


def placed(where, rng, n):
    """Clouds whose coordinates float32 can hardly or not at all tell apart, or not hold."""
    x, y = rng.random((2, n, 3))
    if where == "far from the origin":
        return x + 1e9, y + 1e9
    if where == "far from each other":
        return x + 1e6, y
    if where == "one far point":
        x[0], y[1] = 1e12, -1e11
        return x, y
    if where == "tiny beside wide":
        return x, 1e-8 * y
    if where == "two far places":
        x[::2] += 1e7
        y[1::2] += 1e7
        return x, y
    return float(where) * x, float(where) * y


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize(
    "where",
    [
        "far from the origin",
        "far from each other",
        "one far point",
        "tiny beside wide",
        "two far places",
        "1e-100",
        "1e-42",
        "1e-20",
        "1e25",
        "1e42",
        "1e100",
    ],
)
def test_exact_where_float32_ends(where, level, cost):
    x, y = placed(where, np.random.default_rng(7), 300)
    best = _core.limit_instruction_set(2)
    try:
        if _core.limit_instruction_set(level) != level:
            pytest.skip("this machine lacks the instruction set")
        result = details(x, y, cost=cost)
    finally:
        _core.limit_instruction_set(best)
    check_certificate(x, y, result, cost)
    assert result.converged
    assert result.value == pytest.approx(exact_assignment(x, y, cost), rel=1e-9, abs=0)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("shares", [(0.9, 0.1), (0.9, 0.9)])
@pytest.mark.parametrize("gap", [10.0, 1e4, 1e6])
@pytest.mark.parametrize("d", [2, 3, 5])
def test_clusters_far_apart_are_matched_to_the_last_neighbour(d, gap, shares, cost):
    """What must cross the gap puts prices on one side that float32 can not tell apart."""
    rng = np.random.default_rng(d)
    x, y = rng.normal(size=(2, 150, d))
    for cloud, share in zip((x, y), shares, strict=True):
        cloud[round(150 * share) :, 0] += gap
    result = details(x, y, cost=cost)
    costs = cost_matrix(x, y, cost)
    pairs = (result.assignment, linear_sum_assignment(costs)[1])
    crossing = [int(np.sum((x[:, 0] > gap / 2) != (y[p, 0] > gap / 2))) for p in pairs]
    assert crossing[0] == crossing[1] == (120 if shares[1] == 0.1 else 0)
    assert costs[np.arange(150), pairs[0]].sum() <= costs[np.arange(150), pairs[1]].sum() * (1 + 1e-14)
    assert result.converged
