"""Chamfer distance: named definitions, options, gradients."""

import numpy as np
import pytest
from points_oracles import chamfer, finite_difference, sq_dist_matrix

import pointmetrics as pm

NAMES = {
    "cd-l2": "pytorch3d kaolin pointflow dcd-cd_t pointr-cdl2",
    "cd-l1": "pcn pointr-cdl1 dcd-cd_p occnet-l1",
    "open3d": "pcu",
    "occnet-l2": "",
    "pdal": "",
}


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.random((310, 3)), rng.random((270, 3))


@pytest.mark.parametrize("key", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_equals_its_formula(pair, key, dtype):
    x, y = (c.astype(dtype) for c in pair)
    for name in (key, *NAMES[key].split()):
        value = pm.chamfer_distance(x, y, convention=name)
        assert value.dtype == dtype
        np.testing.assert_allclose(value, chamfer(x, y, key), rtol=1e-6 if dtype == np.float32 else 1e-13)


def test_every_name_is_tested():
    assert set(pm.conventions("chamfer_distance")) == set(NAMES) | {
        n for names in NAMES.values() for n in names.split()
    }


@pytest.mark.peer
def test_open3d_reports_the_same():
    o3d = pytest.importorskip("open3d", reason="needs open3d and its libraries", exc_type=ImportError)
    core = o3d.core
    metrics = [
        o3d.t.geometry.Metric.ChamferDistance,
        o3d.t.geometry.Metric.HausdorffDistance,
        o3d.t.geometry.Metric.FScore,
    ]
    rng = np.random.default_rng(1)
    x, y = rng.random((500, 3)).astype(np.float32), rng.random((400, 3)).astype(np.float32)
    clouds = [o3d.t.geometry.PointCloud(core.Tensor(c)) for c in (x, y)]
    theirs = (
        clouds[0].compute_metrics(clouds[1], metrics, o3d.t.geometry.MetricParameters(fscore_radius=[0.05])).numpy()
    )
    np.testing.assert_allclose(pm.chamfer_distance(x, y, convention="open3d"), theirs[0], rtol=1e-5)
    np.testing.assert_allclose(pm.hausdorff_distance(x, y), theirs[1], rtol=1e-5)
    np.testing.assert_allclose(100 * pm.f_score(x, y, 0.05), theirs[2], rtol=1e-5)


@pytest.mark.peer
def test_point_cloud_utils_reports_the_same(pair):
    pcu = pytest.importorskip("point_cloud_utils", reason="needs point-cloud-utils")
    x, y = pair
    np.testing.assert_allclose(pm.chamfer_distance(x, y, convention="pcu"), pcu.chamfer_distance(x, y), rtol=1e-12)
    np.testing.assert_allclose(pm.hausdorff_distance(x, y), pcu.hausdorff_distance(x, y), rtol=1e-12)


@pytest.mark.peer
def test_torch_formulas_report_the_same(pair):
    torch = pytest.importorskip("torch", reason="needs torch")
    x, y = (torch.from_numpy(c) for c in pair)
    dist = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    a, b = dist.min(1).values, dist.min(0).values
    for key, value in {
        "pytorch3d": a.square().mean() + b.square().mean(),
        "pcn": (a.mean() + b.mean()) / 2,
        "occnet-l2": (a.square().mean() + b.square().mean()) / 2,
        "pdal": a.square().sum() + b.square().sum(),
    }.items():
        np.testing.assert_allclose(pm.chamfer_distance(x, y, convention=key), value, rtol=1e-12)


def test_weights_are_weighted_means_and_zero_weight_drops_a_point(pair):
    x, y = pair
    rng = np.random.default_rng(2)
    w, v = rng.random(len(x)), rng.random(len(y))
    matrix = sq_dist_matrix(x, y)
    expected = (matrix.min(1) * w).sum() / w.sum() + (matrix.min(0) * v).sum() / v.sum()
    np.testing.assert_allclose(pm.chamfer_distance(x, y, weights=(w, v)), expected, rtol=1e-12)
    np.testing.assert_allclose(
        pm.chamfer_distance(x, y, weights=(None, v), point_reduction="sum"),
        matrix.min(1).sum() + (matrix.min(0) * v).sum(),
        rtol=1e-12,
    )
    only = np.zeros(len(x))
    only[7] = 3
    np.testing.assert_allclose(
        pm.chamfer_distance(x, y, weights=(only, None), direction="x_to_y"), matrix[7].min(), rtol=1e-12
    )


def test_details_are_the_directions_without_the_factor(pair):
    details = pm.chamfer_distance(*pair, convention="cd-l1", return_details=True)
    np.testing.assert_allclose(details.value, (details.x_to_y + details.y_to_x) / 2, rtol=1e-12)
    assert pm.chamfer_distance(*pair, convention="cd-l1", direction="y_to_x") == details.y_to_x
    assert details.grad is None and details.normal_term is None


def test_normals_add_their_term(pair):
    x, y = pair
    rng = np.random.default_rng(3)
    nx, ny = rng.normal(size=x.shape), rng.normal(size=y.shape)
    matrix = sq_dist_matrix(x, y)

    def cos(a, b):
        return np.abs((a * b).sum(1)) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    forth, back = cos(nx, ny[matrix.argmin(1)]).mean(), cos(ny, nx[matrix.argmin(0)]).mean()
    details = pm.chamfer_distance(x, y, normals=(nx, ny), normal_weight=0.5, return_details=True)
    np.testing.assert_allclose(details.normal_term, 2 - forth - back, rtol=1e-12)
    np.testing.assert_allclose(details.value, pm.chamfer_distance(x, y) + 0.5 * details.normal_term, rtol=1e-12)
    np.testing.assert_allclose(pm.normal_consistency(x, y, (nx, ny)), (forth + back) / 2, rtol=1e-12)
    batched = pm.normal_consistency(np.stack([x, x]), np.stack([y, y]), (np.stack([nx, nx]), np.stack([ny, ny])))
    np.testing.assert_allclose(batched, [(forth + back) / 2] * 2, rtol=1e-12)


def test_batches_reduce_as_asked():
    rng = np.random.default_rng(4)
    x, y = rng.random((3, 40, 2)), rng.random((3, 50, 2))
    each = np.array([pm.chamfer_distance(a, b) for a, b in zip(x, y, strict=True)])
    np.testing.assert_array_equal(pm.chamfer_distance(x, y), each)
    np.testing.assert_allclose(pm.chamfer_distance(x, y, batch_reduction="mean"), each.mean(), rtol=1e-14)
    np.testing.assert_allclose(pm.chamfer_distance(list(x), list(y), batch_reduction="sum"), each.sum(), rtol=1e-14)


@pytest.mark.parametrize("key", NAMES)
@pytest.mark.parametrize("direction", ["both", "x_to_y", "y_to_x"])
def test_gradient_equals_finite_differences(key, direction):
    rng = np.random.default_rng(5)
    x, y = rng.random((9, 3)), rng.random((7, 3))
    weights = (rng.random(9) + 0.1, rng.random(7) + 0.1)
    options = {"convention": key, "direction": direction, "weights": weights}
    value, (grad_x, grad_y) = pm.chamfer_distance(x, y, return_grad=True, **options)
    assert value == pm.chamfer_distance(x, y, **options)
    np.testing.assert_allclose(grad_x, finite_difference(lambda a: pm.chamfer_distance(a, y, **options), x), atol=1e-7)
    np.testing.assert_allclose(grad_y, finite_difference(lambda a: pm.chamfer_distance(x, a, **options), y), atol=1e-7)


def test_gradient_of_a_padded_batch_is_zero_in_the_padding():
    rng = np.random.default_rng(6)
    x, y = rng.random((2, 20, 3)), rng.random((2, 30, 3))
    x[0, 5:] = np.nan
    lengths = (np.array([5, 20]), None)
    _, (grad_x, grad_y) = pm.chamfer_distance(x, y, lengths=lengths, return_grad=True)
    _, alone = pm.chamfer_distance(x[0, :5], y[0], return_grad=True)
    np.testing.assert_array_equal(grad_x[0, :5], alone[0])
    np.testing.assert_array_equal(grad_y[0], alone[1])
    assert (grad_x[0, 5:] == 0).all()


@pytest.mark.parametrize("key", NAMES)
def test_gradient_is_finite_where_points_coincide_and_repeats_its_bits(key):
    x = np.repeat(np.random.default_rng(7).random((50, 3)), 2, axis=0).astype(np.float32)
    runs = [pm.chamfer_distance(x, x[::2], convention=key, return_grad=True) for _ in range(2)]
    assert runs[0][0] == 0
    for first, second in zip(runs[0][1], runs[1][1], strict=True):
        assert (first == 0).all() and first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"convention": "l2"}, "convention must be one of cd-l2"),
        ({"direction": "forward"}, "direction must be one of"),
        ({"point_reduction": "max"}, "point_reduction must be"),
        ({"batch_reduction": "max"}, "batch_reduction must be"),
        ({"n_threads": 0}, "n_threads must be at least 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        pm.chamfer_distance(np.zeros((2, 4, 3)), np.ones((2, 4, 3)), **options)


def test_the_type_of_names_has_every_convention():
    from typing import get_args

    from pointmetrics._backends.conventions import ConventionName

    assert sorted(get_args(ConventionName)) == sorted(pm.conventions("chamfer_distance"))
