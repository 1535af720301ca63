"""HyperCD and InfoCD against their formulas in float64 (gradients: test_torch_gradients.py)."""

import numpy as np
import pytest
from points_oracles import finite_difference, nearest

import pointmetrics as pm

RNG = np.random.default_rng(0)
X, Y = RNG.random((50, 3)), RNG.random((30, 3))


def hyper(x, y, alpha, floor):
    a2, _, b2, _ = nearest(x.astype(float), y.astype(float))
    return sum(np.arccosh(1 + np.maximum(alpha * s, floor)).mean() for s in (a2, b2))


def info(x, y, tau, power, eps, reduce):
    total = 0.0
    for s in nearest(x.astype(float), y.astype(float))[::2]:
        near = np.exp(-np.sqrt(s) / tau)
        total += reduce(-np.log(near / (near + eps).sum() ** power))
    return total / 2


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-9)])
@pytest.mark.parametrize("alpha, reference_eps", [(1.0, False), (30.0, False), (1.0, True)])
def test_hyperbolic_is_its_formula(alpha, reference_eps, dtype, rtol):
    x, y = X.astype(dtype), np.concatenate([Y, X[:3]]).astype(dtype)
    value = pm.hyperbolic_chamfer_distance(x, y, alpha=alpha, reference_eps=reference_eps)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, hyper(x, y, alpha, 1e-5 if reference_eps else 0), rtol=rtol)


def test_hyperbolic_of_a_cloud_with_itself():
    value, (grad, _) = pm.hyperbolic_chamfer_distance(X, X, return_grad=True)
    assert value == 0
    assert (grad == 0).all()
    value, (grad, _) = pm.hyperbolic_chamfer_distance(X, X, reference_eps=True, return_grad=True)
    np.testing.assert_allclose(value, 2 * np.arccosh(1 + 1e-5), rtol=1e-6)
    assert (grad == 0).all()


def test_hyperbolic_keeps_its_digits_close_by():
    """arcosh(1 + z) is sqrt(2 z) there, of which 1 + z has lost all."""
    np.testing.assert_allclose(pm.hyperbolic_chamfer_distance([[0.0]], [[1e-12]]), 2 * np.sqrt(2) * 1e-12, rtol=1e-12)


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-11)])
@pytest.mark.parametrize("tau, power", [(2.0, 1e-7), (0.1, 0.5), (1.0, 1.0)])
@pytest.mark.parametrize("reference_eps", [False, True])
@pytest.mark.parametrize("point_reduction", ["sum", "mean"])
def test_info_is_its_formula(point_reduction, reference_eps, tau, power, dtype, rtol):
    x, y = X.astype(dtype), np.concatenate([Y, X[:3]]).astype(dtype)
    value = pm.info_chamfer_distance(
        x, y, tau=tau, power=power, reference_eps=reference_eps, point_reduction=point_reduction
    )
    expected = info(x, y, tau, power, 1e-7 if reference_eps else 0, getattr(np, point_reduction))
    assert value.dtype == dtype
    np.testing.assert_allclose(value, expected, rtol=rtol, atol=rtol)


def test_info_is_finite_where_every_exponential_is_zero():
    """exp(-1e5) is 0 and its logarithm infinite; the value is that of distances with 1e5 taken off, and 1e5."""
    far = X * 0.1 + [1e5, 0, 0]
    for eps in (False, True):
        value, grads = pm.info_chamfer_distance(far, Y * 0.1, tau=1.0, power=0.5, reference_eps=eps, return_grad=True)
        assert np.isfinite(value)
        assert all(np.isfinite(grad).all() for grad in grads)
    a2, _, b2, _ = nearest(far, Y * 0.1)
    expected = (
        sum((a - 0.5 * (a.min() - np.log(np.exp(a.min() - a).sum()))).sum() for a in (np.sqrt(a2), np.sqrt(b2))) / 2
    )
    np.testing.assert_allclose(pm.info_chamfer_distance(far, Y * 0.1, tau=1.0, power=0.5), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "metric, options",
    [
        (pm.hyperbolic_chamfer_distance, {"alpha": 3.0}),
        (pm.hyperbolic_chamfer_distance, {"reference_eps": True}),
        (pm.info_chamfer_distance, {"tau": 0.2, "power": 0.7}),
    ],
)
def test_gradients_are_finite_differences(metric, options):
    x, y = X[:12].copy(), Y[:9].copy()
    _, grads = metric(x, y, return_grad=True, **options)
    for grad, moved in zip(
        grads,
        (
            finite_difference(lambda a: metric(a, y, **options), x),
            finite_difference(lambda a: metric(x, a, **options), y),
        ),
        strict=True,
    ):
        np.testing.assert_allclose(grad, moved, atol=1e-6)


@pytest.mark.parametrize("metric", [pm.hyperbolic_chamfer_distance, pm.info_chamfer_distance])
def test_batches_lists_and_lengths_equal_single_pairs(metric):
    x, y = RNG.random((3, 20, 3)), RNG.random((3, 25, 3))
    lengths = (np.array([20, 1, 7]), np.array([3, 25, 25]))
    pairs = [(a[:n], b[:m]) for a, b, n, m in zip(x, y, *lengths, strict=True)]
    expected = [metric(*pair) for pair in pairs]
    np.testing.assert_allclose(metric(x, y, lengths=lengths), expected, rtol=1e-13)
    np.testing.assert_allclose(metric([a for a, _ in pairs], [b for _, b in pairs]), expected, rtol=1e-13)
    np.testing.assert_allclose(metric(x, y, lengths=lengths, batch_reduction="sum"), sum(expected), rtol=1e-13)
    assert metric(X, pm.PreparedCloud(Y)) == metric(X, Y)


@pytest.mark.parametrize(
    "metric, options, message",
    [
        (pm.hyperbolic_chamfer_distance, {"alpha": -1}, "alpha must be finite"),
        (pm.info_chamfer_distance, {"tau": 0}, "tau must be above 0"),
        (pm.info_chamfer_distance, {"power": -1}, "power must be finite"),
        (pm.info_chamfer_distance, {"point_reduction": "max"}, "point_reduction must be one of"),
    ],
)
def test_bad_options_are_refused(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(X, Y, **options)


def test_the_command_line_knows_them_by_name(tmp_path, capsys):
    pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
    import json

    from pointmetrics import cli

    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    cli.main(["compare", str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), "-m", "hyper-cd,info-cd", "-f", "json"])
    values = json.loads(capsys.readouterr().out)["pairs"][0]["metrics"]
    np.testing.assert_allclose(values["hyper-cd"], hyper(X, Y, 1.0, 0), rtol=1e-12)
    np.testing.assert_allclose(values["info-cd"], info(X, Y, 2.0, 1e-7, 0, np.sum), rtol=1e-12)


def test_hyper_cd_of_distances_whose_fourth_power_overflows():
    x, y = np.zeros((1, 3)), np.array([[1e100, 0, 0]])
    value, (grad, _) = pm.hyperbolic_chamfer_distance(x, y, return_grad=True)
    np.testing.assert_allclose(value, 2 * (np.log(2) + 200 * np.log(10)), rtol=1e-14)
    np.testing.assert_allclose(grad[0, 0], -4e-100, rtol=1e-12)
