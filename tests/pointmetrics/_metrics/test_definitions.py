"""Every named number: its call runs, and gives what its formula says."""

import dataclasses

import numpy as np
import pytest
from points_oracles import nearest

import pointmetrics as pm
from pointmetrics._metrics import by_name

RNG = np.random.default_rng(0)
X, Y = RNG.random((60, 3)) - 0.5, RNG.random((60, 3)) - 0.5
CLOUDS = RNG.random((4, 30, 3)) - 0.5
CUBE = (
    np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], dtype=float),
    np.array(
        [
            [0, 2, 3], [0, 3, 1], [4, 5, 7], [4, 7, 6], [0, 1, 5], [0, 5, 4],
            [2, 6, 7], [2, 7, 3], [0, 4, 6], [0, 6, 2], [1, 3, 7], [1, 7, 5],
        ]
    ),
)  # fmt: skip
GIVEN = {
    "x": X, "y": Y, "clouds": CLOUDS, "mesh": CUBE, "vertices": CUBE[0], "faces": CUBE[1], "u": X + 2, "v": Y + 2,
    "t": 0.1, "area": 60.0, "peak": 7.0, "low": [-0.3] * 3, "high": [0.3] * 3, "origin": [0.0] * 3, "r": 0.4, "h": 0.5,
}  # fmt: skip
OTHERS = {name: found for name, found in pm.conventions().items() if isinstance(found, pm.Definition)}


def by_formula():
    a2, _, b2, _ = nearest(X, Y)
    a, b = np.sqrt(a2), np.sqrt(b2)

    def f(one, two):
        return 2 * one * two / (one + two)

    return {
        "hyper-cd": np.arccosh(1 + a2).mean() + np.arccosh(1 + b2).mean(),
        "hausdorff": max(a.max(), b.max()),
        "hd95": max(np.quantile(a, 0.95), np.quantile(b, 0.95)),
        "f-score": f((a < 0.1).mean(), (b < 0.1).mean()),
        "f-score-squared": f((a2 < 0.1).mean(), (b2 < 0.1).mean()),
        "psnr-d1": 10 * np.log10(3 * 49 / max(a2.mean(), b2.mean())),
        "psnr-d1-unscaled": 10 * np.log10(49 / max(a2.mean(), b2.mean())),
        "fidelity": a2.mean(),
        "fidelity-pcn": a.mean(),
        "uhd": np.mean([np.sqrt(nearest(X, cloud)[0].max()) for cloud in CLOUDS]),
        "volumetric-iou": 1.0,
        "c2c": a,
        "mmd": 0.0,
        "cov": 1.0,
        "jsd": 0.0,
    }


@pytest.mark.parametrize("name", OTHERS)
def test_the_call_of_a_definition_gives_what_its_formula_says(name):
    definition = OTHERS[name]
    assert definition.name == name
    assert definition.formula and definition.units and definition.used_by
    value = eval(definition.call, {**vars(pm), "sets": pm.sets, **GIVEN})
    assert callable(eval(definition.metric, {**vars(pm), "sets": pm.sets}))
    value = value.f_score if isinstance(value, pm.FScore) else value
    expected = by_formula().get(name)
    if expected is not None:
        np.testing.assert_allclose(getattr(value, "value", value), expected, rtol=1e-9, atol=1e-12)


def test_every_metric_has_a_definition():
    """What is public and computes a number of clouds; the others prepare, look up or put together."""
    no_metric = {
        "ball_query", "compare", "conventions", "estimate_normals", "farthest_points", "info", "measure_preset",
        "nearest_neighbors", "presets", "thin_points", "voxel_downsample", "audit_emd", "geometry_distortion", "table",
    }  # fmt: skip
    public = {name for name in pm.__all__ if name[0].islower() and callable(getattr(pm, name))}
    assert public - no_metric == {d.metric for d in pm.conventions().values() if not d.metric.startswith("sets.")}


def test_definitions_of_one_metric():
    assert list(pm.conventions("uniformity")) == ["uniformity", "uniformity-paper"]
    assert all(isinstance(found, pm.Convention) for found in pm.conventions("chamfer_distance").values())
    with pytest.raises(ValueError, match="metric must be one of chamfer_distance, density_aware"):
        pm.conventions("chamfer")
    with pytest.raises(dataclasses.FrozenInstanceError):
        pm.conventions()["dcd"].formula = ""


BY_NAME = {
    "hyper-cd": lambda x, y: pm.hyperbolic_chamfer_distance(x, y),
    "info-cd": lambda x, y: pm.info_chamfer_distance(x, y),
    "emd": lambda x, y: pm.earth_movers_distance(x, y),
    "emd-squared": lambda x, y: pm.earth_movers_distance(x, y, cost="squared"),
    "sliced-wasserstein": lambda x, y: pm.sliced_wasserstein_distance(x, y),
    "psnr-d1@7": lambda x, y: pm.psnr_d1(x, y, peak=7),
    "psnr-d2@7": lambda x, y: pm.psnr_d2(x, y, peak=7),
    "uniformity@0.3": lambda x, y: pm.uniformity(x, percentages=[0.3])[0],
    "fidelity": lambda x, y: pm.fidelity(y, x),
    "dtu-accuracy": lambda x, y: pm.accuracy_completeness(x, y, max_distance=20, spacing=0.2).accuracy,
    "dtu-completeness": lambda x, y: pm.accuracy_completeness(x, y, max_distance=20, spacing=0.2).completeness,
    "dtu-overall": lambda x, y: pm.accuracy_completeness(x, y, max_distance=20, spacing=0.2).overall,
    "tnt-f-score@0.3": lambda x, y: pm.tanks_and_temples(x, y, 0.3).f_score,
    "tnt-precision@0.3": lambda x, y: pm.tanks_and_temples(x, y, 0.3).precision,
    "tnt-recall@0.3": lambda x, y: pm.tanks_and_temples(x, y, 0.3).recall,
    "pcn": lambda x, y: pm.chamfer_distance(x, y, convention="pcn"),
    "cd-l2:y_to_x": lambda x, y: pm.chamfer_distance(x, y, direction="y_to_x"),
    "hausdorff@0.5": lambda x, y: pm.hausdorff_distance(x, y, quantile=0.5),
    "recall@0.2": lambda x, y: pm.f_score(x, y, threshold=0.2, return_details=True).recall,
}


def test_names_are_all_tested():
    assert {name.partition("@")[0] for name in by_name.names()} <= {name.partition("@")[0] for name in BY_NAME}


@pytest.mark.parametrize("name", BY_NAME)
def test_compare_reports_by_name(name):
    found = pm.compare(X, Y, metrics=[name])
    np.testing.assert_allclose(found[name], BY_NAME[name](X, Y), rtol=1e-12)
    assert found.units[name]
    many = pm.compare(CLOUDS, CLOUDS[::-1], metrics=[name])
    np.testing.assert_allclose(
        many[name], [BY_NAME[name](a, b) for a, b in zip(CLOUDS, CLOUDS[::-1], strict=True)], rtol=1e-12
    )


@pytest.mark.parametrize(
    "metrics, error, message",
    [
        ("dcd", TypeError, "metrics must be a sequence of names"),
        ([3], TypeError, "a metric must be a name, got int"),
        (["hausdorff@7"], ValueError, r"the quantile of 'hausdorff@7' must be .* between 0 and 1, got 7\.0$"),
        (["psnr"], ValueError, r"got 'psnr'; or hyper-cd, .*psnr-d1@PEAK"),
        (["psnr-d1"], ValueError, "needs the peak as a number"),
        (["psnr-d1@x"], ValueError, "needs the peak as a number"),
        (["psnr-d1@0"], ValueError, "must be above 0"),
        (["uniformity@nan"], ValueError, "must be finite"),
        (["emd@3"], ValueError, "takes no number"),
    ],
)
def test_names_that_mean_nothing_are_refused(metrics, error, message):
    with pytest.raises(error, match=message):
        pm.compare(X, Y, metrics=metrics)
