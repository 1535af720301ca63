"""pointmetrics.torch: gradients of every kind of argument against autograd of plain torch formulas."""

import itertools
import pickle

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

torch = pytest.importorskip("torch", reason="needs torch")

import pointmetrics as pm  # noqa: E402
import pointmetrics.torch as pmt  # noqa: E402

N = (5, 3, 4)  # sizes of the clouds that lists and padded batches hold
M = (4, 6, 3)
UPSTREAM = torch.tensor([1.0, 10.0, -100.0], dtype=torch.float64)


def seeded(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mean(values, weights=None):
    return values.mean() if weights is None else (values * weights).sum() / weights.sum()


def distances(x, y):
    sq_dist = ((x[:, None] - y) ** 2).sum(2)
    return sq_dist.min(1).values, sq_dist.min(0).values


def chamfer(x, y, wx=None, wy=None):
    forth, back = distances(x, y)
    return mean(forth, wx) + mean(back, wy)


def chamfer_l1(x, y, wx=None, wy=None):
    forth, back = distances(x, y)
    return (mean(forth.sqrt(), wx) + mean(back.sqrt(), wy)) / 2


def hausdorff(x, y):
    forth, back = distances(x, y)
    return torch.maximum(forth.max(), back.max()).sqrt()


def hausdorff_quantile(x, y):
    forth, back = distances(x, y)
    return torch.maximum(torch.quantile(forth.sqrt(), 0.8), torch.quantile(back.sqrt(), 0.8))


def dcd(x, y):
    sq_dist = ((x[:, None] - y) ** 2).sum(2)
    total = 0.0
    for cost in (sq_dist, sq_dist.T):
        nearest = cost.argmin(1)
        hits = torch.bincount(nearest, minlength=cost.shape[1])[nearest]
        near = torch.exp(-2.0 * cost.min(1).values) * (cost.shape[0] / cost.shape[1]) / hits
        total = total + (1 - near).mean()
    return total / 2


def hyperbolic(x, y):
    forth, back = distances(x, y)
    return torch.arccosh(1 + 3.0 * forth).mean() + torch.arccosh(1 + 3.0 * back).mean()


def info(x, y):
    total = 0.0
    for sq_dist in distances(x, y):
        near = torch.exp(-sq_dist.sqrt() / 0.3)
        total = total - torch.log(near / near.sum() ** 0.4).sum()
    return total / 2


def info_mean(x, y):
    total = 0.0
    for sq_dist in distances(x, y):
        near = torch.exp(-sq_dist.sqrt() / 2)
        total = total - torch.log(near / (near + 1e-7).sum() ** 1e-7).mean()
    return total / 2


def emd(x, y):
    """Repeat points until both clouds have equally many, and keep the plan of scipy's fixed."""
    shared = np.lcm(len(x), len(y))
    a, b = x.repeat_interleave(int(shared // len(x)), 0), y.repeat_interleave(int(shared // len(y)), 0)
    rows, columns = linear_sum_assignment(torch.cdist(a.detach(), b.detach()).numpy())
    return ((a[torch.from_numpy(rows)] - b[torch.from_numpy(columns)]) ** 2).sum(1).sqrt().mean()


METRICS = {
    "chamfer": (pmt.chamfer_distance, {}, chamfer),
    "chamfer-l1": (pmt.chamfer_distance, {"convention": "cd-l1"}, chamfer_l1),
    "dcd": (pmt.density_aware_chamfer_distance, {"alpha": 2.0}, dcd),
    "hausdorff": (pmt.hausdorff_distance, {}, hausdorff),
    "hausdorff-quantile": (pmt.hausdorff_distance, {"quantile": 0.8}, hausdorff_quantile),
    "hyperbolic": (pmt.hyperbolic_chamfer_distance, {"alpha": 3.0}, hyperbolic),
    "info": (pmt.info_chamfer_distance, {"tau": 0.3, "power": 0.4}, info),
    "info-mean": (pmt.info_chamfer_distance, {"point_reduction": "mean", "reference_eps": True}, info_mean),
    "emd": (pmt.earth_movers_distance, {}, emd),
}
KINDS = ("batch", "padded", "list")


def make_side(kind, sizes, needs_grad, seed):
    """Return the argument, its leaves, its lengths, and how to take cloud k out of it."""
    if kind == "list":
        leaves = [seeded(n, 3, seed=seed + k).requires_grad_(needs_grad) for k, n in enumerate(sizes)]
        return leaves, leaves, None, lambda k: leaves[k]
    batch = seeded(3, max(sizes), 3, seed=seed).requires_grad_(needs_grad)
    lengths = torch.tensor(sizes) if kind == "padded" else None
    return batch, [batch], lengths, lambda k: batch[k, : sizes[k] if kind == "padded" else None]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("x_kind, y_kind", list(itertools.product(KINDS, KINDS)))
@pytest.mark.parametrize("needs_grad", [(True, True), (True, False), (False, True)])
def test_every_pair_of_kinds(name, x_kind, y_kind, needs_grad):
    metric, options, formula = METRICS[name]
    x, x_leaves, x_lengths, x_cloud = make_side(x_kind, N, needs_grad[0], 0)
    y, y_leaves, y_lengths, y_cloud = make_side(y_kind, M, needs_grad[1], 10)
    leaves = [leaf for leaf in (*x_leaves, *y_leaves) if leaf.requires_grad]
    value = metric(x, y, lengths=(x_lengths, y_lengths), **options)
    expected = torch.stack([formula(x_cloud(k), y_cloud(k)) for k in range(3)])
    torch.testing.assert_close(value, expected)
    grads = torch.autograd.grad((value * UPSTREAM).sum(), leaves)
    torch.testing.assert_close(grads, torch.autograd.grad((expected * UPSTREAM).sum(), leaves))


@pytest.mark.parametrize("name", METRICS)
def test_single_clouds_and_clouds_in_two_places(name):
    metric, options, formula = METRICS[name]
    x, y = seeded(5, 3, seed=1).requires_grad_(), seeded(4, 3, seed=2).requires_grad_()
    grads = torch.autograd.grad(metric(x, y, **options) * 7, (x, y))
    torch.testing.assert_close(grads, torch.autograd.grad(formula(x, y) * 7, (x, y)))
    w = UPSTREAM
    value, expected = metric([x, y, x], [y, x, y + 1], **options), [formula(x, y), formula(y, x), formula(x, y + 1)]
    grads = torch.autograd.grad((value * w).sum(), (x, y))
    torch.testing.assert_close(grads, torch.autograd.grad((torch.stack(expected) * w).sum(), (x, y)))


@pytest.mark.parametrize("kinds", [("batch", "list"), ("list", "padded"), ("list", "list")])
def test_some_clouds_of_a_list_are_constant(kinds):
    x, x_leaves, x_lengths, x_cloud = make_side(kinds[0], N, True, 0)
    y, y_leaves, y_lengths, y_cloud = make_side(kinds[1], M, True, 10)
    for leaves in (x_leaves, y_leaves):
        if len(leaves) > 1:
            leaves[1].requires_grad_(False)
    leaves = [leaf for leaf in (*x_leaves, *y_leaves) if leaf.requires_grad]
    value = pmt.chamfer_distance(x, y, lengths=(x_lengths, y_lengths))
    expected = torch.stack([chamfer(x_cloud(k), y_cloud(k)) for k in range(3)])
    grads = torch.autograd.grad((value * UPSTREAM).sum(), leaves)
    torch.testing.assert_close(grads, torch.autograd.grad((expected * UPSTREAM).sum(), leaves))


@pytest.mark.parametrize("x_kind, y_kind", list(itertools.product(KINDS, KINDS)))
@pytest.mark.parametrize("convention, formula", [("cd-l2", chamfer), ("cd-l1", chamfer_l1)])
def test_weights(x_kind, y_kind, convention, formula):
    x, x_leaves, x_lengths, x_cloud = make_side(x_kind, N, True, 0)
    y, y_leaves, y_lengths, y_cloud = make_side(y_kind, M, True, 10)
    per_side = []
    for kind, sizes, seed in ((x_kind, N, 20), (y_kind, M, 30)):
        per_side.append(
            [seeded(n, seed=seed + k) for k, n in enumerate(sizes)]
            if kind == "list"
            else seeded(3, max(sizes), seed=seed)
        )
    value = pmt.chamfer_distance(x, y, lengths=(x_lengths, y_lengths), weights=tuple(per_side), convention=convention)
    expected = torch.stack(
        [
            formula(x_cloud(k), y_cloud(k), per_side[0][k][: len(x_cloud(k))], per_side[1][k][: len(y_cloud(k))])
            for k in range(3)
        ]
    )
    torch.testing.assert_close(value, expected)
    leaves = [*x_leaves, *y_leaves]
    grads = torch.autograd.grad((value * UPSTREAM).sum(), leaves)
    torch.testing.assert_close(grads, torch.autograd.grad((expected * UPSTREAM).sum(), leaves))


LOSSES = [
    (lambda how: pmt.ChamferLoss(batch_reduction=how), chamfer),
    (lambda how: pmt.DensityAwareChamferLoss(batch_reduction=how, alpha=2.0), dcd),
    (lambda how: pmt.HausdorffLoss(batch_reduction=how), hausdorff),
    (lambda how: pmt.HyperbolicChamferLoss(batch_reduction=how, alpha=3.0), hyperbolic),
    (lambda how: pmt.InfoChamferLoss(batch_reduction=how, tau=0.3, power=0.4), info),
]


@pytest.mark.parametrize("make_loss, formula", LOSSES)
@pytest.mark.parametrize("how", ["mean", "sum", None])
@pytest.mark.parametrize("x_kind, y_kind", list(itertools.product(KINDS, KINDS)))
def test_losses(make_loss, formula, how, x_kind, y_kind):
    x, x_leaves, x_lengths, x_cloud = make_side(x_kind, N, True, 0)
    y, y_leaves, y_lengths, y_cloud = make_side(y_kind, M, True, 10)
    expected = torch.stack([formula(x_cloud(k), y_cloud(k)) for k in range(3)])
    value = make_loss(how)(x, y, lengths=(x_lengths, y_lengths))
    if how is None:
        value, expected = (value * UPSTREAM).sum(), (expected * UPSTREAM).sum()
    else:
        expected = getattr(expected, how)()
    torch.testing.assert_close(value, expected)
    leaves = [*x_leaves, *y_leaves]
    torch.testing.assert_close(torch.autograd.grad(-3 * value, leaves), torch.autograd.grad(-3 * expected, leaves))


def test_dtypes_may_differ_and_each_gradient_has_its_own():
    x = [seeded(5, 3, seed=k).float().requires_grad_() for k in range(3)]
    y = seeded(3, 4, 3, seed=9).requires_grad_()
    value = pmt.chamfer_distance(x, y)
    expected = torch.stack([chamfer(a.double(), b) for a, b in zip(x, y, strict=True)])
    grads = torch.autograd.grad((value * UPSTREAM).sum(), [*x, y])
    assert value.dtype == torch.float64 and [g.dtype for g in grads] == [t.dtype for t in (*x, y)]
    for grad, right in zip(grads, torch.autograd.grad((expected * UPSTREAM).sum(), [*x, y]), strict=True):
        torch.testing.assert_close(grad, right, rtol=1e-5, atol=1e-5)


def test_a_prepared_cloud_beside_batches():
    cloud = seeded(6, 3, seed=5)
    for kind in ("batch", "padded"):
        x, leaves, lengths, take = make_side(kind, N, True, 0)
        value = pmt.chamfer_distance(x, pm.PreparedCloud(cloud), lengths=(lengths, None))
        expected = torch.stack([chamfer(take(k), cloud) for k in range(3)])
        torch.testing.assert_close(
            torch.autograd.grad((value * UPSTREAM).sum(), leaves),
            torch.autograd.grad((expected * UPSTREAM).sum(), leaves),
        )


def test_constants_in_numpy_are_refused_on_either_side_and_within_lists():
    x, y = seeded(5, 3, seed=0).requires_grad_(), seeded(4, 3, seed=1).numpy()
    for metric, options, _ in METRICS.values():
        for a, b in ((x, y), (y, x), (x, y.tolist())):
            with pytest.raises(TypeError, match="x and y must come from one library and device"):
                metric(a, b, **options)
        for clouds, place in (([x, y], "1"), ([y, x], "0"), ([x.detach(), x, y], "2")):
            with pytest.raises(TypeError, match=rf"clouds of x must all be tensors.*ndarray at x\[{place}\]"):
                metric(clouds, [x] * len(clouds), **options)
            with pytest.raises(TypeError, match=r"clouds of y must all be tensors"):
                metric([x] * len(clouds), clouds, **options)
    with pytest.raises(TypeError, match="clouds of x must come from one library"):
        pmt.chamfer_distance([x.detach(), y], [x.detach(), y])
    with pytest.raises(ValueError, match=r"x\[0\] must have shape \(n, d\), got \(3,\)"):
        pmt.chamfer_distance(list(x), x)


def test_gradients_are_taken_with_respect_to_clouds_alone():
    x, y = seeded(5, 3, seed=0).requires_grad_(), seeded(5, 3, seed=1)
    weights = torch.ones(5, requires_grad=True)
    for clouds in ((x, y), (x.detach(), y)):
        for metric in (pmt.chamfer_distance, pmt.earth_movers_distance):
            with pytest.raises(ValueError, match=r"weights requires grad.*x and y alone: pass it detached"):
                metric(*clouds, weights=(None, weights))
        with pytest.raises(ValueError, match=r"normals requires grad"):
            pmt.chamfer_distance(*clouds, normals=(x, y.clone().requires_grad_()))
    with pytest.raises(ValueError, match=r"x_weights requires grad.*x and y alone: pass it detached"):
        pm.chamfer_distance(y, y, weights=(weights, None))
    with torch.no_grad():
        assert not pmt.chamfer_distance(x, y, weights=(weights, weights)).requires_grad
    for option in ("return_grad", "return_details"):
        with pytest.raises(TypeError, match=f"{option} is no option"):
            pmt.chamfer_distance(x, y, **{option: True})


@pytest.mark.parametrize("name", METRICS)
def test_second_derivatives_are_refused(name):
    metric, options, _ = METRICS[name]
    x, y = [seeded(2, 5, 3, seed=k).requires_grad_() for k in range(2)]
    with pytest.raises(RuntimeError, match=r"no second derivatives"):
        torch.autograd.grad(metric(x, y, **options).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"no second derivatives"):
        (metric(list(x), y, **options).mean() + x.square().sum()).backward(create_graph=True)
    (metric(x, y, **options).sum()).backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", METRICS)
def test_half_precision_under_autocast(name, dtype):
    metric, options, formula = METRICS[name]
    x, y = seeded(3, 5, 3, seed=0).to(dtype).requires_grad_(), [seeded(4, 3, seed=k + 5).to(dtype) for k in range(3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = metric(x, y, **options)
    (value * UPSTREAM.float()).sum().backward()
    full = x.detach().double().requires_grad_()
    expected = torch.stack([formula(full[k], y[k].double()) for k in range(3)])
    (expected * UPSTREAM).sum().backward()
    assert value.dtype == torch.float32 and x.grad.dtype == dtype
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(x.grad.double(), full.grad.to(dtype).double(), rtol=2e-2, atol=1e-4)
    with pytest.raises(TypeError, match=r"y\[0\] has dtype|x has dtype"):
        metric(x, y, **options)
    with torch.autocast("cpu", enabled=False), pytest.raises(TypeError, match="has dtype"):
        metric(x.detach(), y, **options)


def test_a_layer_and_a_loss_under_autocast():
    torch.manual_seed(0)
    layer, y = torch.nn.Linear(8, 3), torch.rand(2, 6, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(torch.rand(2, 5, 8))
        loss = pmt.ChamferLoss(convention="cd-l1")(out, y)
        weighted = pmt.chamfer_distance(out, y, weights=(torch.ones(2, 5, dtype=torch.bfloat16), None))
    assert out.dtype == torch.bfloat16 and loss.dtype == weighted.dtype == torch.float32
    (loss + weighted.sum()).backward()
    assert layer.weight.grad.dtype == torch.float32 and (layer.weight.grad != 0).any()


def test_tensors_that_are_no_arrays_are_refused_by_name():
    y = seeded(4, 3, seed=0)
    for x in (y.to_sparse(), torch.nested.nested_tensor([y, y], layout=torch.jagged)):
        with pytest.raises(TypeError, match="x must be a dense tensor"):
            pmt.chamfer_distance(x, y)
    negated = torch.complex(y, y).conj().imag
    assert negated.is_neg()
    assert pmt.chamfer_distance(negated, -y) == 0


FUNCTIONS = (
    pmt.chamfer_distance,
    pmt.density_aware_chamfer_distance,
    pmt.earth_movers_distance,
    pmt.hausdorff_distance,
    pm.chamfer_distance,
    pm.sliced_wasserstein_distance,
)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch warns of itself
@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("metric", FUNCTIONS, ids=lambda metric: f"{metric.__module__}.{metric.__name__}")
def test_forward_mode_loses_no_tangent_in_silence(metric, side, as_list):
    clouds = [seeded(2, 4, 3, seed=0), seeded(2, 4, 3, seed=1)]
    with torch.autograd.forward_ad.dual_level():
        clouds[side] = torch.autograd.forward_ad.make_dual(clouds[side], torch.ones(2, 4, 3, dtype=torch.float64))
        with pytest.raises(TypeError, match=rf"^{'xy'[side]}.* carries a tangent of torch's forward mode"):
            metric(*(list(part) for part in clouds) if as_list else clouds)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch warns of itself
@pytest.mark.parametrize("transform", ["grad", "jacrev", "vmap"])
@pytest.mark.parametrize("metric", FUNCTIONS, ids=lambda metric: f"{metric.__module__}.{metric.__name__}")
def test_transforms_of_torch_func_are_refused_by_name(metric, transform):
    function = getattr(torch.func, transform)(metric)
    x, y = (
        (seeded(2, 4, 3, seed=0), seeded(2, 4, 3, seed=1))
        if transform == "vmap"
        else (seeded(4, 3, seed=0), seeded(4, 3, seed=1))
    )
    with pytest.raises(TypeError, match=r"x is a tensor within a transform of torch\.func"):
        function(x, y)


def test_tensors_deeper_in_lists_are_an_error_that_names_the_argument():
    x, y = [[seeded(4, 3, seed=0).requires_grad_()]], seeded(1, 4, 3, seed=1)
    for metric in FUNCTIONS:
        with pytest.raises(ValueError, match=r"x must have shape .* cannot be made an array"):
            metric(x, y)


def test_errors_survive_being_pickled():
    x = seeded(4, 3, seed=0).requires_grad_()
    with pytest.raises(ValueError, match="x requires grad, which this function would drop") as caught:
        pm.chamfer_distance(x, seeded(4, 3, seed=1))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
