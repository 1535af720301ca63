"""Every metric on CuPy arrays: on the emulated device, and on a real one where there is one."""

import numpy as np
import pytest

import pointmetrics as pm

RNG = np.random.default_rng(0)
SINGLE = RNG.random((90, 3)), RNG.random((60, 3))
BATCH = RNG.random((3, 40, 3)), RNG.random((3, 50, 3))
LIST = [RNG.random((n, 2)) for n in (30, 1, 17)], [RNG.random((n, 2)) for n in (5, 44, 17)]
LENGTHS = np.array([40, 3, 17]), np.array([1, 50, 50])
WEIGHTS = RNG.random((3, 40)), RNG.random((3, 50))

CASES = {
    "nearest": (pm.nearest_neighbors, BATCH, {"lengths": LENGTHS}),
    "nearest list": (pm.nearest_neighbors, LIST, {}),
    "cd-l2": (pm.chamfer_distance, BATCH, {"return_grad": True}),
    "cd-l1 single": (pm.chamfer_distance, SINGLE, {"return_grad": True, "convention": "cd-l1"}),
    "pdal one way": (pm.chamfer_distance, LIST, {"convention": "pdal", "direction": "x_to_y", "return_grad": True}),
    "weighted": (
        pm.chamfer_distance,
        BATCH,
        {"weights": WEIGHTS, "lengths": LENGTHS, "return_details": True, "return_grad": True, "convention": "cd-l1"},
    ),
    "normals": (pm.chamfer_distance, BATCH, {"normals": BATCH[::1], "batch_reduction": "mean", "return_grad": True}),
    "normals of lists": (pm.normal_consistency, (*LIST, LIST), {}),
    "dcd": (pm.density_aware_chamfer_distance, BATCH, {"alpha": 3.0, "return_grad": True, "n_lambda": 0.5}),
    "dcd list": (pm.density_aware_chamfer_distance, LIST, {"non_reg": True, "batch_reduction": "sum"}),
    "hyperbolic": (pm.hyperbolic_chamfer_distance, BATCH, {"return_grad": True, "alpha": 5.0}),
    "hyperbolic list": (pm.hyperbolic_chamfer_distance, LIST, {"reference_eps": True, "batch_reduction": "mean"}),
    "info": (pm.info_chamfer_distance, BATCH, {"return_grad": True, "tau": 0.2, "power": 0.5}),
    "info padded": (pm.info_chamfer_distance, BATCH, {"lengths": LENGTHS, "return_grad": True, "reference_eps": True}),
    "farthest": (pm.farthest_points, (BATCH[0],), {"k": 20}),
    "farthest padded": (pm.farthest_points, (BATCH[0],), {"k": 3, "lengths": LENGTHS[0], "start": 2}),
    "uniformity": (pm.uniformity, (BATCH[0],), {"percentages": [0.2], "convention": "pu-gan-paper"}),
    "hausdorff": (pm.hausdorff_distance, BATCH, {"return_grad": True}),
    "hd90 padded": (pm.hausdorff_distance, BATCH, {"quantile": 0.9, "lengths": LENGTHS, "return_grad": True}),
    "f-score": (pm.f_score, SINGLE, {"threshold": [0.05, 0.2], "return_details": True}),
    "f-score padded": (pm.f_score, BATCH, {"threshold": 0.1, "lengths": LENGTHS, "squared": True}),
    "sliced": (pm.sliced_wasserstein_distance, BATCH, {"n_projections": 7, "lengths": LENGTHS, "p": 1.5}),
    "matrix": (pm.sets.pairwise_distances, BATCH, {"metric": "cd-l1"}),
    "matrix of one set": (pm.sets.pairwise_distances, (LIST[0],), {}),
    "matrix of dcd": (pm.sets.pairwise_distances, LIST, {"metric": "dcd"}),
    "normalize": (pm.sets.normalize, (BATCH[0], "shape-std"), {}),
    "compare": (pm.compare, BATCH, {"quantiles": [0.5]}),
}


def to(library, value):
    """Put every array of a structure on a device; lengths may stay where they are."""
    if isinstance(value, np.ndarray):
        return library.asarray(value)
    if isinstance(value, (list, tuple)):
        return type(value)(to(library, v) for v in value)
    return {k: to(library, v) for k, v in value.items()} if isinstance(value, dict) else value


def parts(value):
    """Take a result apart into its arrays."""
    if isinstance(value, (list, tuple)):
        return [a for v in value for a in parts(v)]
    if isinstance(value, dict):
        return [a for v in value.values() for a in parts(v)]
    if hasattr(value, "__dataclass_fields__"):
        return [a for name in value.__dataclass_fields__ for a in parts(getattr(value, name))]
    return [] if value is None or type(value) in (str, int, float) else [value]


def assert_equal_results(library, function, clouds, options, dtype):
    def cast(value):
        if isinstance(value, np.ndarray):
            return value.astype(dtype) if value.dtype == np.float64 else value
        return (
            [cast(v) for v in value]
            if isinstance(value, list)
            else tuple(cast(v) for v in value)
            if isinstance(value, tuple)
            else value
        )

    clouds, options = cast(tuple(clouds)), {k: cast(v) for k, v in options.items()}
    expected = parts(function(*clouds, **options))
    found = parts(function(*to(library, clouds), **to(library, options)))
    assert len(expected) == len(found) > 0
    # Sums over a cloud run in another order (their error is some rounding of float64), exp is another.
    for a, b in zip(expected, found, strict=True):
        assert isinstance(b, library.ndarray)
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(
            library.asnumpy(b),
            a,
            rtol=4 * np.finfo(a.dtype).eps if a.dtype.kind == "f" else 0,
            atol=1e-15 if a.dtype == np.float64 else 0,
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_results_are_the_cpus(cp, name, dtype):
    assert_equal_results(cp, *CASES[name], dtype)


def test_sets_are_evaluated_alike(cp):
    sets = BATCH[0][:, :20] - 0.5, BATCH[1][:, :20] - 0.5
    expected = pm.sets.evaluate(*sets, normalization="shape-box", n_bootstrap=20)
    found = pm.sets.evaluate(*(cp.asarray(s) for s in sets), normalization="shape-box", n_bootstrap=20)
    assert str(found) == str(expected)
    np.testing.assert_allclose(found.rr, expected.rr, rtol=1e-14)


def test_a_comparison_prints(cp):
    pair = cp.asarray(SINGLE[0]), cp.asarray(SINGLE[1])
    assert str(pm.compare(*pair)) == str(pm.compare(*SINGLE))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_results_on_a_device_are_the_cpus(cupy_device, name, dtype):
    assert_equal_results(cupy_device, *CASES[name], dtype)
