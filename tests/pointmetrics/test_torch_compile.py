"""torch.compile around the metrics: the same values and gradients, and nothing compiled anew for new clouds."""

import sys

import pytest

torch = pytest.importorskip("torch", reason="needs torch")

import pointmetrics.torch as pmt  # noqa: E402

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs a C++ compiler that inductor finds"),
    pytest.mark.filterwarnings("default"),  # torch's own, of modules that it loads to compile
]
BACKENDS = ["eager", pytest.param("inductor", marks=pytest.mark.slow)]


class Step(torch.nn.Module):
    """A layer, and every metric behind it: as function and as loss, of batches and of lists."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 3).double()
        self.losses = torch.nn.ModuleList(
            [pmt.ChamferLoss(), pmt.DensityAwareChamferLoss(alpha=2.0), pmt.HausdorffLoss(quantile=0.9)]
        )

    def forward(self, x, y, clouds, weights):
        moved = torch.tanh(self.layer(x))
        total = pmt.earth_movers_distance(moved, y).mean() + pmt.earth_movers_distance(moved[0], clouds[0])
        for loss in self.losses:
            total = total + loss(moved, y) * 2
        total = total + pmt.chamfer_distance([moved[0], moved[1]], clouds, convention="cd-l1").sum()
        return total + pmt.chamfer_distance(moved, y, weights=(weights, None)).sum()


def batches(n):
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    for k in range(n):
        yield rand(2, 6, 3), rand(2, 6, 3), [rand(4 + k, 3), rand(5 + 2 * k, 3)], rand(2, 6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_compiled_step_is_the_step(backend):
    torch._dynamo.reset()
    torch.manual_seed(0)
    step = Step()
    compiled = torch.compile(step, backend=backend)
    n_graphs = []
    for batch in batches(6):
        expected = torch.autograd.grad(step(*batch), list(step.parameters()))
        value = compiled(*batch)
        torch.testing.assert_close(value, step(*batch))
        torch.testing.assert_close(torch.autograd.grad(value, list(step.parameters())), expected)
        n_graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    # The second batch shows which sizes vary; after that nothing is compiled again.
    assert n_graphs[0] > 0 and len(set(n_graphs[1:])) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_compiler_does_not_look_into_a_metric(backend):
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    metrics = (
        pmt.chamfer_distance,
        pmt.density_aware_chamfer_distance,
        pmt.hausdorff_distance,
        pmt.earth_movers_distance,
    )
    for metric in metrics:
        compiled = torch.compile(metric, backend=backend)
        for x, y, clouds, _ in batches(3):
            assert torch.equal(compiled(x, y), metric(x, y))
            assert torch.equal(compiled(list(x), clouds), metric(list(x), clouds))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before
