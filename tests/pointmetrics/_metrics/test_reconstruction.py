"""Thinning, DTU, Tanks and Temples and volumes against loops, formulas and solids of known volume."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from points_oracles import nearest, sq_dist_matrix

import pointmetrics as pm
from pointmetrics._metrics.volume import inside

RNG = np.random.default_rng(0)


def voxel_means(points, size):
    low, cells = points.min(axis=0) - size / 2, {}
    for point in points:
        cells.setdefault(tuple(np.floor((point - low) / size)), []).append(point)
    return np.array([np.mean(cells[key], axis=0) for key in sorted(cells)])


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("shift", [0.0, 1e4])
@pytest.mark.parametrize("size", [0.05, 0.3, 10.0])
def test_voxels_hold_the_mean_of_their_points(size, shift, dtype, rtol):
    points = (RNG.random((300, 3)) + shift).astype(dtype)
    found = pm.voxel_downsample(points, size)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, voxel_means(points.astype(float), size), rtol=rtol)


def greedy(points, spacing):
    matrix, kept = sq_dist_matrix(points, points), []
    for i in range(len(points)):
        if not any(matrix[i, j] <= spacing**2 for j in kept):
            kept.append(i)
    return kept


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-4, 4)] * 2), min_size=1, max_size=80), st.sampled_from([0.5, 1.0, 2.0, 100.0]))
def test_thinning_is_greedy(points, spacing):
    points = np.array(points, dtype=float)
    np.testing.assert_array_equal(pm.thin_points(points, spacing), greedy(points, spacing))


@pytest.mark.parametrize("spacing", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("fewest, most, listed", [(7, 7, 1 << 20), (1, 60, 50), (50, 50, 1), (3, 9, 200)])
def test_thinning_goes_on_across_blocks(monkeypatch, fewest, most, listed, spacing):
    monkeypatch.setattr("pointmetrics._metrics.reconstruction._FEWEST_AT_A_TIME", fewest)
    monkeypatch.setattr("pointmetrics._metrics.reconstruction._MOST_AT_A_TIME", most)
    monkeypatch.setattr("pointmetrics._metrics.sampling._LISTED_AT_A_TIME", listed)
    points = RNG.random((200, 3))
    np.testing.assert_array_equal(pm.thin_points(points, spacing), greedy(points, spacing))


@pytest.mark.parametrize("extent", [0.0, 0.3])
def test_thinning_of_dense_clouds_needs_little_memory(extent):
    """All 20,000 points have all others within the spacing: 3.2 GB, were they listed at once."""
    points = RNG.random((20_000, 3)) * extent
    pm.thin_points(points[:10], 1.0)
    tracemalloc.start()
    found = pm.thin_points(points, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tolist() == [0]
    assert peak < 100e6


def test_a_seed_changes_the_turn_and_nothing_else():
    points = RNG.random((300, 3))
    order = np.random.default_rng(3).permutation(300)
    expected = sorted(order[greedy(points[order], 0.2)])
    np.testing.assert_array_equal(pm.thin_points(points, 0.2, seed=3), expected)


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("max_distance, spacing", [(None, None), (0.1, None), (0.15, 0.05)])
def test_accuracy_and_completeness_are_dtus(max_distance, spacing, statistic):
    x, y = RNG.random((300, 3)), RNG.random((200, 3))
    thin = x if spacing is None else x[greedy(x, spacing)]
    a2, _, b2, _ = nearest(thin, y)
    expected = [getattr(np, statistic)(d[d < (max_distance or np.inf)]) for d in (np.sqrt(a2), np.sqrt(b2))]
    found = pm.accuracy_completeness(x, y, max_distance=max_distance, spacing=spacing, statistic=statistic)
    np.testing.assert_allclose(found, [*expected, np.mean(expected)], rtol=1e-12)


@pytest.mark.parametrize("voxel", [None, 0.3])
def test_tanks_and_temples_is_an_f_score_of_voxels(voxel):
    x, y, threshold = RNG.random((400, 3)), RNG.random((300, 3)), 0.12
    a2, _, b2, _ = nearest(*(voxel_means(cloud, voxel or threshold / 2) for cloud in (x, y)))
    precision, recall = (np.sqrt(a2) < threshold).mean(), (np.sqrt(b2) < threshold).mean()
    found = pm.tanks_and_temples(x, y, threshold, voxel=voxel)
    np.testing.assert_allclose([found.precision, found.recall], [precision, recall])
    np.testing.assert_allclose(found.f_score, 2 * precision * recall / (precision + recall))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: pm.voxel_downsample(x, 0), "size must be above 0"),
        (lambda x: pm.voxel_downsample(x, 1e-30), "size must be larger for the extent of x"),
        (lambda x: pm.tanks_and_temples(x[:1], x, 1e-30), "threshold must be larger for the extent of y"),
        (lambda x: pm.tanks_and_temples(x, x, 1, voxel=1e-30), "voxel must be larger for the extent of x"),
        (lambda x: pm.tanks_and_temples(x, x, 1, voxel=0), "voxel must be above 0"),
        (lambda x: pm.thin_points(x, 0), "spacing must be above 0"),
        (lambda x: pm.thin_points(x[None], 1), "x must be one cloud"),
        (lambda x: pm.accuracy_completeness(x, x + 9, max_distance=1), "max_distance leaves no distance from x to y"),
        (lambda x: pm.accuracy_completeness(x[None], x[None]), "single clouds"),
        (lambda x: pm.accuracy_completeness(x, x, statistic="max"), "statistic must be one of"),
        (lambda x: pm.tanks_and_temples(x, x, 0), "threshold must be above 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(RNG.random((5, 3)))


def test_on_a_device(cp):
    x, y = RNG.random((100, 3)), RNG.random((80, 3))
    on = cp.asarray(x), cp.asarray(y)
    np.testing.assert_array_equal(cp.asnumpy(pm.voxel_downsample(on[0], 0.2)), pm.voxel_downsample(x, 0.2))
    np.testing.assert_array_equal(cp.asnumpy(pm.thin_points(on[0], 0.2)), pm.thin_points(x, 0.2))
    assert pm.accuracy_completeness(*on, spacing=0.1) == pm.accuracy_completeness(x, y, spacing=0.1)
    assert float(pm.tanks_and_temples(*on, 0.1).f_score) == pm.tanks_and_temples(x, y, 0.1).f_score


def box(low, high):
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    faces = [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
        [1, 5, 7],
        [1, 7, 3],
    ]
    return np.array(low) + corners * (np.array(high) - low), np.array(faces)


def sphere(radius, turns=24):
    """A ball of revolution, with its corners repeated in every face as in STL files."""
    theta, phi = np.linspace(0, np.pi, turns), np.arange(2 * turns) * np.pi / turns
    grid = np.stack(
        [
            np.sin(theta)[:, None] * np.cos(phi),
            np.sin(theta)[:, None] * np.sin(phi),
            np.cos(theta)[:, None] * np.ones_like(phi),
        ],
        axis=-1,
    )
    grid[0], grid[-1] = [0, 0, 1], [0, 0, -1]
    after = np.roll(grid, -1, axis=1)
    quads = np.stack([grid[:-1], grid[1:], after[1:], after[:-1]], axis=2).reshape(-1, 4, 3)
    corners = radius * quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    return corners, np.arange(len(corners)).reshape(-1, 3)


def test_boxes_share_the_volume_that_they_share():
    # 0.5 x 1 x 1 of 1.5
    found = pm.volumetric_iou(*box([0, 0, 0], [1, 1, 1]), *box([0.5, 0, 0], [1.5, 1, 1]), n_samples=40_000)
    np.testing.assert_allclose(found, 1 / 3, atol=4 * 0.5 / np.sqrt(40_000))
    assert pm.volumetric_iou(*box([0, 0, 0], [1, 1, 1]), *box([2, 0, 0], [3, 1, 1]), n_samples=1000) == 0


def test_spheres_within_each_other():
    found = pm.volumetric_iou(*sphere(1.0), *sphere(0.8), n_samples=40_000)
    np.testing.assert_allclose(found, 0.8**3, atol=4 * 0.5 / np.sqrt(20_000))


def test_inside_is_what_the_winding_number_says():
    corners = sphere(1.0, 9)[0].reshape(-1, 3, 3)
    samples = RNG.random((500, 3)) * 2.2 - 1.1
    total = np.zeros(500)
    for triangle in corners:  # solid angles, van Oosterom and Strackee
        a, b, c = (corner - samples for corner in triangle)
        la, lb, lc = (np.sqrt((v**2).sum(axis=1)) for v in (a, b, c))
        top = (a * np.cross(b, c)).sum(axis=1)
        bottom = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        total += 2 * np.arctan2(top, bottom)
    np.testing.assert_array_equal(inside(samples, corners), np.abs(total) > 2 * np.pi)


def test_open_meshes_have_no_volume():
    vertices, faces = box([0, 0, 0], [1, 1, 1])
    with pytest.raises(ValueError, match="faces_y must make a watertight mesh, got 3 edges"):
        pm.volumetric_iou(vertices, faces, vertices, faces[1:])
    with pytest.raises(ValueError, match="n_samples must be between"):
        pm.volumetric_iou(vertices, faces, vertices, faces, n_samples=0)
