"""Farthest points, balls and uniformity against every distance written out."""

import numpy as np
import pytest
import sampling_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from points_oracles import sq_dist_matrix

import pointmetrics as pm

FEW = settings(max_examples=40, deadline=None)
KINDS = {
    "normal": lambda points: points,
    "lattice": lambda points: np.round(points),
    "one point": lambda points: np.zeros_like(points),
    "line": lambda points: points[:, :1] * np.arange(1, points.shape[1] + 1),
    "scales": lambda points: points * 2.0 ** (np.arange(len(points)) % 50)[:, None],
    "far": lambda points: points + 1e6,
    "sphere": lambda points: points / np.sqrt((points**2).sum(axis=1, keepdims=True)),
}


@pytest.mark.filterwarnings("ignore:.*Points are rows:UserWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 3, 5, 20])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 17, 700])
def test_farthest_points_are_the_greedy_algorithms(kind, d, n, dtype):
    points = KINDS[kind](np.random.default_rng(n + d).normal(size=(n, d))).astype(dtype)
    for k, start in ((1, 0), (n, n - 1), (min(n, 40), n // 2)):
        chosen = pm.farthest_points(points, k, start=start)
        assert chosen.dtype == np.int64
        np.testing.assert_array_equal(chosen, reference.farthest(points, k, start))


@FEW
@given(points=st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=120), data=st.data())
def test_farthest_points_on_a_lattice_of_ties_and_duplicates(points, data):
    points = np.array(points, dtype=float)
    k, start = data.draw(st.integers(1, len(points))), data.draw(st.integers(0, len(points) - 1))
    chosen = pm.farthest_points(points, k, start=start)
    np.testing.assert_array_equal(chosen, reference.farthest(points, k, start))
    assert len(set(chosen.tolist())) == k


def test_farthest_points_of_many_clouds_are_those_of_each():
    clouds = np.random.default_rng(0).random((3, 90, 3))
    lengths = np.array([90, 12, 40])
    expected = np.stack([pm.farthest_points(cloud[:n], 12) for cloud, n in zip(clouds, lengths, strict=True)])
    np.testing.assert_array_equal(pm.farthest_points(clouds, 12, lengths=lengths), expected)
    np.testing.assert_array_equal(
        pm.farthest_points([c[:n] for c, n in zip(clouds, lengths, strict=True)], 12, n_threads=2), expected
    )
    assert pm.farthest_points(clouds, 5).shape == (3, 5)


@pytest.mark.parametrize(
    "k, start, message",
    [
        (0, 0, "k must be between 1 and 4, got 0"),
        (5, 0, "between 1 and 4"),
        (2, 4, "start must be between 0 and 3"),
        (2, -1, "start must be"),
    ],
)
def test_farthest_points_refuse_what_cannot_be(k, start, message):
    with pytest.raises(ValueError, match=message):
        pm.farthest_points(np.zeros((4, 3)), k, start=start)


def test_farthest_points_refuse_wrong_kinds():
    with pytest.raises(TypeError, match="k must be an int, got float"):
        pm.farthest_points(np.zeros((4, 3)), 2.0)
    with pytest.raises(ValueError, match="finite"):
        pm.farthest_points([[0.0, np.nan]], 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n, m, d", [(1, 1, 1), (17, 40, 3), (900, 70, 3), (300, 5, 7)])
def test_balls_hold_every_point_within_the_radius(kind, n, m, d, dtype):
    rng = np.random.default_rng(n)
    points, centres = (KINDS[kind](rng.normal(size=(size, d))).astype(dtype) for size in (n, m))
    sq_dist = sq_dist_matrix(centres, points)
    for radius in (0.0, 1.0, float(np.sqrt(np.median(sq_dist))), 1e9):
        balls = pm.ball_query(points, centres, radius)
        inside = sq_dist.astype(np.float64) <= radius * radius
        np.testing.assert_array_equal(np.diff(balls.offsets), inside.sum(axis=1))
        np.testing.assert_array_equal(balls.index, np.nonzero(inside)[1])
        np.testing.assert_array_equal(balls.distance, np.sqrt(sq_dist[inside]))


def test_balls_of_batches_and_lists_are_those_of_each_pair():
    rng = np.random.default_rng(1)
    x, centres = rng.random((2, 60, 3)), rng.random((2, 9, 3))
    lengths = (np.array([60, 20]), np.array([9, 4]))
    pairs = [(a[:n], b[:m]) for a, b, n, m in zip(x, centres, *lengths, strict=True)]
    found = [
        pm.ball_query(x, centres, 0.4, lengths=lengths),
        pm.ball_query([a for a, _ in pairs], [b for _, b in pairs], 0.4, n_threads=1),
    ]
    for balls in found:
        for got, pair in zip(balls, pairs, strict=True):
            for a, b in zip(got, pm.ball_query(*pair, 0.4), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("radius", [-1.0, np.nan, np.inf])
def test_a_radius_is_finite_and_not_negative(radius):
    with pytest.raises(ValueError, match="radius must be finite"):
        pm.ball_query([[0.0]], [[0.0]], radius)


def test_balls_on_a_device(cp):
    rng = np.random.default_rng(2)
    x, centres = rng.random((80, 3)).astype(np.float32), rng.random((30, 3)).astype(np.float32)
    found, expected = pm.ball_query(cp.asarray(x), cp.asarray(centres), 0.3), pm.ball_query(x, centres, 0.3)
    np.testing.assert_array_equal(cp.asnumpy(found.index), expected.index)
    np.testing.assert_array_equal(cp.asnumpy(found.distance), expected.distance)
    np.testing.assert_array_equal(found.offsets, expected.offsets)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("convention", ["pu-gan", "pu-gan-paper"])
@pytest.mark.parametrize("kind", ["sphere", "plane", "duplicates"])
def test_uniformity_is_the_sum_over_disks(kind, convention, dtype):
    rng = np.random.default_rng(3)
    points = rng.normal(size=(600, 3))
    if kind == "plane":
        points = points * [1, 1, 0]
    points = points / np.sqrt((points**2).sum(axis=1).max()) if kind == "plane" else KINDS["sphere"](points)
    if kind == "duplicates":
        points[100:] = points[rng.integers(0, 40, 500)]  # more copies of a point than neighbours that are looked up
    points = points.astype(dtype)
    shares, area = [0.01, 0.03, 0.1], 4 * np.pi
    seeds = reference.farthest(points, 50)
    expected = [reference.uniformity(points, seeds, p, area, convention == "pu-gan-paper") for p in shares]
    found = pm.uniformity(points, percentages=shares, area=area, n_seeds=50, convention=convention)
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-11)


def test_uniformity_of_many_clouds_is_that_of_each():
    clouds = np.random.default_rng(4).random((3, 200, 3))
    options = {"percentages": [0.3, 0.9], "n_seeds": 20}
    areas = [1.0, 2.0, 3.0]
    expected = [pm.uniformity(c, area=a, **options) for c, a in zip(clouds, areas, strict=True)]
    for many, threads in ((clouds, None), (list(clouds), 1)):
        found = pm.uniformity(many, area=areas, n_threads=threads, **options)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"convention": "pu"}, "convention must be one of"),
        ({"percentages": []}, "percentages must hold at least one"),
        ({"percentages": [0.0]}, "each of percentages"),
        ({"area": 0.0}, "area must be above 0"),
        ({"area": [1.0, 2.0]}, "area must be one number or 1"),
        ({"n_seeds": 0}, "n_seeds must be between"),
        ({"area": 1e-9}, "no disk with 5 points or more at percentage 0.004"),
    ],
)
def test_uniformity_refuses_what_has_no_value(options, message):
    with pytest.raises(ValueError, match=message):
        pm.uniformity(np.random.default_rng(5).random((50, 3)), **options)


def test_uniformity_is_of_surfaces_in_space():
    with pytest.raises(ValueError, match="3 coordinates, got 2"):
        pm.uniformity([[0.0, 0.0]])


@pytest.mark.parametrize("convention", ["pu-gan", "pu-gan-paper"])
def test_the_gradient_of_uniformity_is_its_derivative_with_disks_fixed(convention):
    torch = pytest.importorskip("torch", reason="needs torch")
    points = KINDS["sphere"](np.random.default_rng(6).normal(size=(300, 3)))
    options = {"percentages": [0.05, 0.1], "area": 4 * np.pi, "n_seeds": 20, "convention": convention}
    values, grad = pm.uniformity(points, **options, return_grad=True)
    np.testing.assert_array_equal(values, pm.uniformity(points, **options))
    assert grad.shape == (2, 300, 3)
    # A step too short to change a disk or a nearest neighbour: then the values are smooth.
    rng = np.random.default_rng(7)
    for _ in range(5):
        step = rng.normal(size=points.shape) * 1e-9
        change = pm.uniformity(points + step, **options) - pm.uniformity(points - step, **options)
        np.testing.assert_allclose(change / 2, (grad * step).sum(axis=(1, 2)), rtol=1e-4)
    x = torch.from_numpy(points).requires_grad_()
    (pm.torch.uniformity(x, **options) * torch.tensor([3.0, 5.0])).sum().backward()
    np.testing.assert_allclose(x.grad, 3 * grad[0] + 5 * grad[1], rtol=1e-12, atol=1e-15)


def test_gradients_of_many_clouds_are_those_of_each():
    torch = pytest.importorskip("torch", reason="needs torch")
    clouds = np.random.default_rng(8).random((3, 200, 3)).astype(np.float32)
    options = {"percentages": [0.3, 0.9], "n_seeds": 20}
    each = [pm.uniformity(c, **options, return_grad=True)[1] for c in clouds]
    assert each[0].dtype == np.float32
    np.testing.assert_array_equal(pm.uniformity(clouds, **options, return_grad=True)[1], each)
    x = torch.from_numpy(clouds).requires_grad_()
    pm.torch.uniformity(x, **options).mean(dim=1).sum().backward()
    np.testing.assert_allclose(x.grad, np.mean(each, axis=1), rtol=1e-5, atol=1e-7)
    padded = pm.uniformity(clouds, **options, lengths=[200, 150, 40], return_grad=True)[1]
    np.testing.assert_array_equal(padded[2, :, :40], pm.uniformity(clouds[2, :40], **options, return_grad=True)[1])
    assert (padded[2, :, 40:] == 0).all()
    with pytest.raises(ValueError, match=r"pointmetrics\.torch"):
        pm.uniformity(x, **options)
    with pytest.raises(TypeError, match="return_grad is no option"):
        pm.torch.uniformity(x, **options, return_grad=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(pm.torch.uniformity(x, **options).sum(), x, create_graph=True)


def test_coinciding_points_have_no_gradient():
    points = np.repeat(KINDS["sphere"](np.random.default_rng(9).normal(size=(60, 3))), 2, axis=0)
    _, grad = pm.uniformity(points, percentages=[0.2], area=4 * np.pi, return_grad=True)
    assert (grad == 0).all()
