"""Regions, rays and change between epochs against loops over points, and M3C2 beside py4dgeo."""

import numpy as np
import pytest
from points_oracles import chamfer, nearest

import pointmetrics as pm

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("convention", ["occnet-l2", "cd-l1", "pdal"])
def test_near_field_is_the_chamfer_distance_within(convention, dtype, rtol):
    x, y = np.round(RNG.random((2, 300, 3)) * 10).astype(dtype)  # some on the faces of the box
    inside = [c[((c >= [2, 0, 1]) & (c <= [8, 9, 5])).all(axis=1)] for c in (x, y)]
    found = pm.near_field_chamfer_distance(x, y, [2, 0, 1], [8, 9, 5], convention=convention)
    np.testing.assert_allclose(found, chamfer(*inside, convention), rtol=rtol)


@pytest.mark.parametrize(
    "low, high, message",
    [
        ([0, 0], [1, 1], "low must hold 3 numbers"),
        ([0, 0, 2], [1, 1, 1], "low must not be above high"),
        ([5, 5, 5], [6, 6, 6], "x has no point between"),
        ([0, 0, np.nan], [1, 1, 1], "low must be finite"),
    ],
)
def test_a_region_is_a_box_with_points(low, high, message):
    with pytest.raises(ValueError, match=message):
        pm.near_field_chamfer_distance(RNG.random((9, 3)), RNG.random((9, 3)), low, high)


def test_near_field_on_a_device(cp):
    x, y = RNG.random((2, 50, 3))
    found = pm.near_field_chamfer_distance(cp.asarray(x), cp.asarray(y), [0.2] * 3, [0.9] * 3)
    np.testing.assert_allclose(float(found), pm.near_field_chamfer_distance(x, y, [0.2] * 3, [0.9] * 3), rtol=1e-12)


@pytest.mark.parametrize("origin", [None, [3.0, -2.0, 1.0]])
def test_rays_are_matched_by_direction(origin):
    x, y = RNG.normal(size=(200, 3)) * 9, RNG.normal(size=(150, 3)) * 9
    at = np.zeros(3) if origin is None else np.array(origin)
    pairs = []
    for point in y - at:
        cosines = (x - at) @ point / np.linalg.norm(x - at, axis=1)
        pairs.append((np.linalg.norm((x - at)[cosines.argmax()]), np.linalg.norm(point)))
    found, true = np.array(pairs).T
    error = np.abs(found - true)
    expected = [error.mean(), np.median(error), (error / true).mean(), np.median(error / true)]
    np.testing.assert_allclose(pm.ray_depth_errors(x, y, origin=origin), expected, rtol=1e-9)


def test_rays_in_pairs():
    y = RNG.normal(size=(50, 3))
    stretch = RNG.random(50) + 0.5
    found = pm.ray_depth_errors(y * stretch[:, None], y, paired=True)
    depth = np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(found.abs_rel, np.abs(stretch - 1).mean(), rtol=1e-9)
    np.testing.assert_allclose(found.l1_median, np.median(np.abs(stretch - 1) * depth), rtol=1e-9)
    np.testing.assert_allclose(pm.ray_depth_errors(y * stretch[:, None], y), found, rtol=1e-9)


@pytest.mark.parametrize(
    "x, y, options, message",
    [
        ([[0.0, 0.0]], [[1.0, 0.0]], {}, "x has a point at origin"),
        ([[1.0, 0.0]], [[1.0, 0.0], [2.0, 0.0]], {"paired": True}, "equally many points where paired, got 1 and 2"),
        ([[1.0, 0.0]], [[1.0, 0.0]], {"origin": [0.0]}, "origin must hold 2 numbers"),
        ([[[1.0, 0.0]]], [[[1.0, 0.0]]], {}, "single clouds"),
    ],
)
def test_bad_rays_are_refused(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        pm.ray_depth_errors(x, y, **options)


def test_c2c_is_the_nearest_distance():
    x, y = RNG.random((2, 60, 3)), RNG.random((2, 40, 3))
    for found, pair in zip(pm.cloud_to_cloud(x, y), zip(x, y, strict=True), strict=True):
        np.testing.assert_array_equal(found, np.sqrt(nearest(*pair)[0]))


def ground(n, seed, tilt):
    rng = np.random.default_rng(seed)
    points = rng.random((n, 3)) * [10, 10, 0]
    points[:, 2] = np.sin(points[:, 0]) + tilt * points[:, 1] + rng.normal(size=n) * 0.02
    return points


def plain_m3c2(x, y, core, axis, radius, length):
    stats = []
    for scan in (x, y):
        along = (scan - core) @ axis
        off = np.linalg.norm(scan - core - along[:, None] * axis, axis=1)
        stats.append(along[(off <= radius) & (np.abs(along) <= length)])
    return stats


@pytest.mark.parametrize("n", [5, 40, 3000])
def test_m3c2_is_the_difference_of_means_in_cylinders(n):
    x, y = ground(n, 0, 0.0), ground(n + 1, 1, 0.02)
    cores = x[:: max(1, n // 40)]
    axes = RNG.normal(size=cores.shape)
    found = pm.m3c2(x, y, cores=cores, normals=axes, radius=0.6, max_distance=1.5, registration_error=0.01)
    for i, (core, axis) in enumerate(zip(cores, axes, strict=True)):
        before, after = plain_m3c2(x, y, core, axis / np.linalg.norm(axis), 0.6, 1.5)
        assert (found.n_x[i], found.n_y[i]) == (len(before), len(after))
        if len(before) and len(after):
            np.testing.assert_allclose(found.distance[i], after.mean() - before.mean(), rtol=1e-9, atol=1e-12)
        else:
            assert np.isnan(found.distance[i])
        if len(before) > 1 and len(after) > 1:
            noise = np.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after))
            np.testing.assert_allclose(found.level_of_detection[i], 1.96 * (noise + 0.01), rtol=1e-9)
        else:
            assert np.isnan(found.level_of_detection[i])


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_m3c2_normals_are_of_the_points_around(shift):
    x = np.concatenate([ground(500, 0, 0.0), [[90.0, 90, 0]]]) + shift
    found = pm.m3c2(x, x, radius=0.6, max_distance=1.0, normal_radius=0.8, orientation=[0, 1, 0])
    for i in range(0, 500, 23):
        near = x[np.linalg.norm(x - x[i], axis=1) <= 0.8]
        axis = np.linalg.eigh(np.cov(near.T))[1][:, 0]
        np.testing.assert_allclose(abs(found.normals[i] @ axis), 1, rtol=1e-9)
        assert found.normals[i, 1] >= 0
    assert np.isnan(found.normals[-1]).all() and np.isnan(found.distance[-1])
    assert found.n_x[-1] == 0


def test_m3c2_does_not_depend_on_threads():
    x, y = ground(2000, 0, 0.0), ground(2000, 1, 0.02)
    runs = [pm.m3c2(x, y, radius=0.5, max_distance=1.0, normal_radius=0.5, n_threads=k) for k in (1, 2, 5)]
    for other in runs[1:]:
        for a, b in zip(runs[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"normal_radius": None}, "normal_radius must be given where normals are not"),
        ({"radius": 0}, "radius must be above 0"),
        ({"max_distance": -1}, "max_distance must be finite"),
        ({"normals": np.zeros((9, 3))}, "normals must not be 0, got one at index 0"),
        ({"normals": np.ones((8, 3))}, "normals must have shape"),
        ({"orientation": [1]}, "orientation must hold 3"),
        ({"orientation": [0, 0, 0]}, "orientation must not be 0"),
        ({"registration_error": -1}, "registration_error must be finite"),
    ],
)
def test_m3c2_refuses_bad_options(options, message):
    x = RNG.random((9, 3))
    with pytest.raises(ValueError, match=message):
        pm.m3c2(x, x, **{"radius": 1, "max_distance": 1, "normal_radius": 1, **options})


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda x: pm.m3c2(x, x, radius=1, max_distance=1, normal_radius=9, orientation=1.0), "orientation"),
        (lambda x: pm.near_field_chamfer_distance(x, x, 0.0, [1, 1, 1]), "low"),
        (lambda x: pm.near_field_chamfer_distance(x, x, [0, 0, 0], "111"), "high"),
        (lambda x: pm.ray_depth_errors(x, x, origin=5), "origin"),
        (lambda x: pm.uniformity(x, percentages=0.004), "percentages"),
        (lambda x: pm.uniformity(x, area=[[1.0]]), "area"),
        (lambda x: pm.compare(x, x, quantiles=0.9), "quantiles"),
    ],
)
def test_what_must_be_a_sequence_says_so(call, name):
    with pytest.raises(TypeError, match=f"^{name} must be a sequence of numbers, got"):
        call(RNG.random((9, 3)))


@pytest.mark.parametrize("length", [1e-300, 1e-170, 1e170, 1e300])
def test_normals_may_have_any_length(length):
    x, y, normals = RNG.random((30, 3)), RNG.random((30, 3)), RNG.normal(size=(30, 3))
    runs = [pm.m3c2(x, y, normals=n, radius=0.3, max_distance=1) for n in (normals, normals * length)]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    one, other = (pm.normal_consistency(x, y, (n, n[::-1])) for n in (normals, normals * length))
    np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_m3c2_where_no_core_has_a_normal(n):
    lonely = np.arange(3.0 * n).reshape(n, 3) * 100
    found = pm.m3c2(lonely, RNG.random((30, 3)), radius=1, max_distance=1, normal_radius=1)
    assert found.n_x.tolist() == found.n_y.tolist() == [0] * n
    assert all(np.isnan(field).all() for field in (found.distance, found.level_of_detection, found.normals))


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_m3c2_is_py4dgeos():
    """But for a core that is a point of the scan: py4dgeo cuts its cylinders there and may miscount it."""
    py4dgeo = pytest.importorskip("py4dgeo", reason="needs py4dgeo")
    x, y = ground(5000, 0, 0.0), ground(5000, 1, 0.02)
    cores = x[::10] + 1e-7
    peer = py4dgeo.M3C2(
        epochs=(py4dgeo.Epoch(x), py4dgeo.Epoch(y)),
        corepoints=cores,
        cyl_radius=0.5,
        normal_radii=[0.5],
        max_distance=2.0,
        registration_error=0.01,
    )
    distance, details = peer.run()
    found = pm.m3c2(x, y, cores=cores, radius=0.5, max_distance=2.0, normal_radius=0.5, registration_error=0.01)
    np.testing.assert_allclose(found.normals, peer.directions(), atol=1e-9)
    same = (found.n_x == details["num_samples1"]) & (found.n_y == details["num_samples2"])
    assert same.mean() > 0.95
    np.testing.assert_allclose(found.distance[same], distance[same], atol=1e-9)
    np.testing.assert_allclose(found.level_of_detection[same], details["lodetection"][same], atol=1e-9)
