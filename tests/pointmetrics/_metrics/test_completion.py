"""UHD, TMD, fidelity and consistency against loops over every distance."""

from itertools import pairwise

import numpy as np
import pytest
from points_oracles import chamfer, nearest

import pointmetrics as pm

RNG = np.random.default_rng(0)
PARTIAL = RNG.random((40, 3))
COMPLETIONS = RNG.random((4, 50, 3))
LENGTHS = np.array([50, 7, 30, 1])
RAGGED = [cloud[:n] for cloud, n in zip(COMPLETIONS, LENGTHS, strict=True)]
FORMS = [(COMPLETIONS, None, list(COMPLETIONS)), (COMPLETIONS, LENGTHS, RAGGED), (RAGGED, None, RAGGED)]


@pytest.mark.parametrize("given, lengths, clouds", FORMS)
@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_values_are_their_formulas(given, lengths, clouds, dtype, rtol):
    given = [c.astype(dtype) for c in given] if isinstance(given, list) else given.astype(dtype)
    uhd = np.mean([np.sqrt(nearest(PARTIAL, cloud)[0].max()) for cloud in clouds])
    np.testing.assert_allclose(
        pm.unidirectional_hausdorff_distance(PARTIAL.astype(dtype), given, lengths=lengths), uhd, rtol=rtol
    )
    for name in ("cd-l2", "cd-l1", "pdal"):
        tmd = sum(np.mean([chamfer(a, b, name) for j, b in enumerate(clouds) if j != i]) for i, a in enumerate(clouds))
        np.testing.assert_allclose(pm.total_mutual_difference(given, convention=name, lengths=lengths), tmd, rtol=rtol)
        steps = np.mean([chamfer(a, b, name) for a, b in pairwise(clouds)])
        np.testing.assert_allclose(pm.consistency(given, convention=name, lengths=lengths), steps, rtol=rtol)


def test_fidelity_is_one_direction():
    a2, *_ = nearest(PARTIAL, COMPLETIONS[0])
    np.testing.assert_allclose(pm.fidelity(PARTIAL, COMPLETIONS[0]), a2.mean(), rtol=1e-12)
    np.testing.assert_allclose(pm.fidelity(PARTIAL, COMPLETIONS[0], convention="cd-l1"), np.sqrt(a2).mean(), rtol=1e-12)


def test_one_completion_is_enough_for_uhd():
    found = pm.unidirectional_hausdorff_distance(PARTIAL, COMPLETIONS[0])
    assert found == pm.hausdorff_distance(PARTIAL, COMPLETIONS[0], direction="x_to_y")


@pytest.mark.parametrize("metric, name", [(pm.total_mutual_difference, "completions"), (pm.consistency, "frames")])
@pytest.mark.parametrize("few", [COMPLETIONS[0], COMPLETIONS[:1], [PARTIAL]])
def test_one_cloud_has_no_differences(metric, name, few):
    with pytest.raises(ValueError, match=f"{name} must be two clouds or more, got 1"):
        metric(few)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="one cloud"):
        pm.unidirectional_hausdorff_distance(COMPLETIONS, COMPLETIONS)
    with pytest.raises(ValueError, match="convention must be one of"):
        pm.total_mutual_difference(COMPLETIONS, convention="cd")


BAD = {
    "is empty": np.zeros((0, 3)),
    "must be finite": np.array([[0.0, np.nan, 0.0]]),
    "must have shape": np.zeros(3),
    "must hold float32": np.array([["a", "b", "c"]]),
}


@pytest.mark.parametrize("problem", BAD)
@pytest.mark.parametrize(
    "metric, names",
    [
        (pm.unidirectional_hausdorff_distance, ("partial", "completions")),
        (pm.fidelity, ("partial", "completion")),
        (lambda x, y: pm.tanks_and_temples(x, y, 0.1), ("x", "y")),
        (lambda x, y: pm.accuracy_completeness(x, y, spacing=0.1), ("x", "y")),
        (lambda x, y: pm.ball_query(x, y, 0.1), ("x", "centres")),
        (lambda x, y: pm.near_field_chamfer_distance(x, y, [0] * 3, [1] * 3), ("x", "y")),
        (lambda x, y: pm.m3c2(x, y, radius=1, max_distance=1, normal_radius=9), ("x", "y")),
        (lambda x, y: pm.geometry_distortion(x, y, peak=1), ("x", "y")),
    ],
)
def test_errors_name_the_argument_at_fault(metric, names, problem):
    for given, name in zip([(BAD[problem], PARTIAL), (PARTIAL, BAD[problem])], names, strict=True):
        with pytest.raises((TypeError, ValueError), match=f"^{name} {problem}"):
            metric(*given)


def test_on_a_device(cp):
    for found, expected in [
        (
            pm.unidirectional_hausdorff_distance(cp.asarray(PARTIAL), cp.asarray(COMPLETIONS)),
            pm.unidirectional_hausdorff_distance(PARTIAL, COMPLETIONS),
        ),
        (pm.consistency(cp.asarray(COMPLETIONS)), pm.consistency(COMPLETIONS)),
        (
            pm.fidelity(cp.asarray(COMPLETIONS), cp.asarray(COMPLETIONS[::-1])),
            pm.fidelity(COMPLETIONS, COMPLETIONS[::-1]),
        ),
    ]:
        np.testing.assert_allclose(cp.asnumpy(found), expected, rtol=1e-12)
    np.testing.assert_allclose(
        pm.total_mutual_difference(cp.asarray(COMPLETIONS)), pm.total_mutual_difference(COMPLETIONS), rtol=1e-12
    )


def test_tensors_stay_tensors():
    torch = pytest.importorskip("torch", reason="needs torch")
    found = pm.unidirectional_hausdorff_distance(torch.from_numpy(PARTIAL), torch.from_numpy(COMPLETIONS))
    assert isinstance(found, torch.Tensor)
    assert isinstance(pm.consistency(torch.from_numpy(COMPLETIONS)), torch.Tensor)
