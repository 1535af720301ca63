"""pointmetrics.torch: autograd agrees with torch's own checks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

import pointmetrics as pm  # noqa: E402
import pointmetrics.torch as pmt  # noqa: E402

METRICS = [
    (pmt.chamfer_distance, {}),
    (pmt.chamfer_distance, {"convention": "cd-l1"}),
    (pmt.chamfer_distance, {"convention": "pdal", "direction": "x_to_y"}),
    (pmt.density_aware_chamfer_distance, {"alpha": 2.0, "n_lambda": 0.5}),
    (pmt.hausdorff_distance, {}),
    (pmt.hausdorff_distance, {"quantile": 0.9}),
]


def cloud(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("metric, options", METRICS)
@pytest.mark.parametrize("batch", [(), (3,)])
def test_gradcheck(metric, options, batch):
    x, y = cloud(*batch, 8, 3), cloud(*batch, 6, 3, seed=1)
    assert torch.autograd.gradcheck(lambda a, b: metric(a, b, **options), (x, y))


@pytest.mark.parametrize("metric, options", METRICS)
def test_gradcheck_of_lists_and_reductions(metric, options):
    x, y = [cloud(8, 3), cloud(5, 3, seed=2)], [cloud(6, 3, seed=1), cloud(9, 3, seed=3)]
    assert torch.autograd.gradcheck(lambda a, b, c, d: metric([a, b], [c, d], **options), (*x, *y))
    assert torch.autograd.gradcheck(
        lambda a, b, c, d: metric([a, b], [c, d], batch_reduction="mean", **options), (*x, *y)
    )


def test_one_side_may_be_constant_or_prepared():
    x, y = cloud(50, 3), cloud(400, 3, seed=1).detach()
    pmt.chamfer_distance(x, y).backward()
    expected = x.grad.clone()
    x.grad = None
    pmt.chamfer_distance(x, pm.PreparedCloud(y)).backward()
    assert torch.equal(x.grad, expected)
    assert not pmt.chamfer_distance(x.detach(), y).requires_grad


def test_upstream_gradients_scale_each_pair():
    x, y = cloud(2, 9, 3), cloud(2, 7, 3, seed=1)
    value = pmt.chamfer_distance(x, y)
    (value * torch.tensor([0.0, 3.0])).sum().backward()
    _, (grad, _) = pm.chamfer_distance(x[1].detach(), y[1].detach(), return_grad=True)
    assert (x.grad[0] == 0).all()
    np.testing.assert_allclose(x.grad[1], 3 * grad, rtol=1e-12)


@pytest.mark.parametrize(
    "loss", [pmt.ChamferLoss(convention="pcn"), pmt.DensityAwareChamferLoss(alpha=3.0), pmt.HausdorffLoss(quantile=0.9)]
)
def test_losses_train(loss):
    y = cloud(2, 64, 3, seed=1).detach()
    x = cloud(2, 64, 3)
    optimiser = torch.optim.Adam([x], lr=0.01)
    before = loss(x, y).item()
    for _ in range(30):
        optimiser.zero_grad()
        loss(x, y).backward()
        optimiser.step()
    assert loss(x, y).item() < 0.8 * before
    assert "=" in repr(loss)


def test_float32_stays_float32():
    x = cloud(20, 3).detach().float().requires_grad_()
    value = pmt.chamfer_distance(x, x.detach() + 0.1)
    value.backward()
    assert value.dtype == x.grad.dtype == torch.float32


def test_batch_of_padded_clouds():
    x, y = cloud(2, 9, 3), cloud(2, 7, 3, seed=1)
    pmt.ChamferLoss()(x, y, lengths=(torch.tensor([4, 9]), None)).backward()
    assert (x.grad[0, 4:] == 0).all() and (x.grad[1] != 0).any()
