"""What the numbers of every metric are called: by formula, unit, call and who prints them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

from pointmetrics._backends.conventions import Convention
from pointmetrics._backends.conventions import conventions as _of_chamfer


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition of a number that is no Chamfer distance. a and b are the distances from x to y and from y to x."""

    name: str
    formula: str
    units: str
    call: str
    used_by: str

    @property
    def metric(self) -> str:
        """The function that computes it."""
        return self.call.partition("(")[0]


_TABLE = {
    row[0]: Definition(*row)
    for row in (
        (
            "dcd",
            "alpha 1000, lambda 1, distances squared",
            "1",
            "density_aware_chamfer_distance(x, y)",
            "evaluations of DCD and VRCNet",
        ),
        (
            "dcd-reference",
            "dcd with 1e-6 in the denominators",
            "1",
            "density_aware_chamfer_distance(x, y, reference_eps=True)",
            "the code of DCD",
        ),
        (
            "hyper-cd",
            "mean arcosh(1 + a^2) + mean arcosh(1 + b^2)",
            "1",
            "hyperbolic_chamfer_distance(x, y)",
            "HyperCD, as printed",
        ),
        (
            "hyper-cd-reference",
            "hyper-cd with a^2 and b^2 of 1e-5 or more",
            "1",
            "hyperbolic_chamfer_distance(x, y, reference_eps=True)",
            "HyperCD, calc_cd_like_hyperV2 of its code",
        ),
        (
            "info-cd",
            "contrastive, tau 2, power 1e-7, summed over points",
            "1",
            "info_chamfer_distance(x, y)",
            "InfoCD, calc_cd_like_InfoV2 of its code",
        ),
        (
            "info-cd-paper",
            "contrastive, tau 2, power 1",
            "1",
            "info_chamfer_distance(x, y, power=1.0)",
            "InfoCD, as printed",
        ),
        (
            "hausdorff",
            "max(max a, max b)",
            "length",
            "hausdorff_distance(x, y)",
            "most; max of PyTorch3D is its square",
        ),
        (
            "hd95",
            "the larger 0.95-quantile of a and of b",
            "length",
            "hausdorff_distance(x, y, quantile=0.95)",
            "medical imaging",
        ),
        (
            "f-score",
            "2 P R / (P + R), P and R the shares of a and of b below t",
            "1",
            "f_score(x, y, threshold=t)",
            "What3D, PoinTr, Tanks and Temples",
        ),
        (
            "f-score-squared",
            "the same of a^2 and b^2",
            "1",
            "f_score(x, y, threshold=t**0.5)",
            "ChamferDistancePytorch, the code of DCD, PVD",
        ),
        (
            "normal-consistency",
            "mean |n . n'| of nearest, both ways",
            "1",
            "normal_consistency(x, y, (u, v))",
            "Occupancy Networks",
        ),
        (
            "p2f",
            "mean distance to the surface",
            "length",
            "point_to_mesh_distance(x, vertices, faces)",
            "PU-GAN, PU-GCN, APU-LDI",
        ),
        (
            "p2f-std",
            "standard deviation of the distances to the surface",
            "length",
            "point_to_mesh_distance(x, vertices, faces, return_details=True).distance.std()",
            "PU-Net, evaluate.py of PU-GAN",
        ),
        (
            "uniformity",
            "imbalance times mean clutter, disks of 5 points or more",
            "length",
            "uniformity(x, area=area)",
            "PU-GAN and PU-GCN, evaluate.py",
        ),
        (
            "uniformity-paper",
            "imbalance times summed clutter, disks of 2 points or more",
            "length",
            "uniformity(x, area=area, convention='pu-gan-paper')",
            "PU-GAN, equation 6",
        ),
        ("psnr-d1", "10 log10(3 peak^2 / max(mean a^2, mean b^2))", "dB", "psnr_d1(x, y, peak=peak)", "MPEG, pc_error"),
        (
            "psnr-d1-unscaled",
            "psnr-d1 without the 3: 4.77 dB less",
            "dB",
            "psnr_d1(x, y, peak=peak, peak_factor=1)",
            "papers on learned compression",
        ),
        (
            "psnr-d2",
            "10 log10(3 peak^2 / MSE), MSE the larger mean of squares along normals",
            "dB",
            "psnr_d2(x, y, peak=peak)",
            "MPEG, pc_error",
        ),
        (
            "emd",
            "least mean |x - y| over all plans",
            "length",
            "earth_movers_distance(x, y)",
            "exact: what papers name EMD",
        ),
        (
            "emd-squared",
            "least mean |x - y|^2 over all plans",
            "length^2",
            "earth_movers_distance(x, y, cost='squared')",
            "exact",
        ),
        ("emd-msn", "auction that may end early", "length", "msn_auction_emd(x, y)", "MSN, VRCNet, DCD"),
        ("emd-approxmatch", "approxmatch with roots", "length", "approxmatch_emd(x, y)", "latent_3d_points, PointFlow"),
        (
            "emd-approxmatch-squared",
            "approxmatch of squares",
            "length^2",
            "approxmatch_emd(x, y, cost='squared')",
            "PVD, LION",
        ),
        ("sinkhorn", "debiased entropic transport", "length", "sinkhorn_divergence(x, y, epsilon=0.1)", "GeomLoss"),
        (
            "sliced-wasserstein",
            "mean over directions of the transport along them",
            "length",
            "sliced_wasserstein_distance(x, y)",
            "sliced Wasserstein losses",
        ),
        (
            "uhd",
            "mean over completions of max a, from the input",
            "length",
            "unidirectional_hausdorff_distance(x, clouds)",
            "Wu et al. 2020, evaluation/completeness.py",
        ),
        (
            "tmd",
            "sum over completions of the mean cd-l2 to the others",
            "length^2",
            "total_mutual_difference(clouds)",
            "Wu et al. 2020, evaluation/total_mutual_diff.py",
        ),
        ("fidelity", "mean a^2, from input to output", "length^2", "fidelity(x, y)", "PoinTr, KITTI_metric.py"),
        (
            "fidelity-pcn",
            "mean a, from input to output",
            "length",
            "fidelity(x, y, convention='cd-l1')",
            "PCN, section 5.3",
        ),
        (
            "consistency",
            "mean cd-l2 of consecutive frames",
            "length^2",
            "consistency(clouds)",
            "PoinTr, KITTI_metric.py",
        ),
        (
            "consistency-pcn",
            "mean cd-l1 of consecutive frames",
            "length",
            "consistency(clouds, convention='cd-l1')",
            "PCN, section 5.3",
        ),
        (
            "dtu",
            "means of a and of b below 20, x first thinned to 0.2",
            "length",
            "accuracy_completeness(x, y, max_distance=20, spacing=0.2)",
            "DTU, MVSNet",
        ),
        (
            "tanks-and-temples",
            "f-score of both reduced to voxels of t / 2",
            "1",
            "tanks_and_temples(x, y, t)",
            "Tanks and Temples",
        ),
        (
            "volumetric-iou",
            "samples inside both over samples inside either",
            "1",
            "volumetric_iou(*mesh, *mesh)",
            "Occupancy Networks",
        ),
        (
            "near-field",
            "occnet-l2 of what lies within a box",
            "length^2",
            "near_field_chamfer_distance(x, y, low, high)",
            "4D occupancy forecasting",
        ),
        (
            "ray-depth",
            "L1, AbsRel and their medians along rays",
            "length",
            "ray_depth_errors(x, y, origin=origin)",
            "4D occupancy forecasting",
        ),
        ("c2c", "a, for every point", "length", "cloud_to_cloud(x, y)", "CloudCompare"),
        (
            "m3c2",
            "difference along normals within cylinders",
            "length",
            "m3c2(x, y, radius=r, max_distance=h, normal_radius=r)",
            "Lague et al. 2013",
        ),
        (
            "mmd",
            "mean over references of the least distance to a sample",
            "that of the distance",
            "sets.evaluate(clouds, clouds).mmd",
            "PointFlow and after",
        ),
        (
            "cov",
            "share of references that are nearest to some sample",
            "1",
            "sets.evaluate(clouds, clouds).cov",
            "PointFlow and after",
        ),
        (
            "1-nna",
            "accuracy of 1-NN in telling samples from references",
            "1",
            "sets.evaluate(clouds, clouds).one_nna",
            "PointFlow and after",
        ),
        (
            "jsd",
            "28^3 cells of the unit cube within its ball, base 2",
            "1",
            "sets.jensen_shannon_divergence(clouds, clouds)",
            "latent_3d_points, PointFlow",
        ),
    )
}


@overload
def conventions(metric: Literal["chamfer_distance"]) -> dict[str, Convention]: ...
@overload
def conventions(metric: str | None = None) -> dict[str, Convention | Definition]: ...
def conventions(metric: str | None = None) -> dict[str, Convention] | dict[str, Convention | Definition]:
    """Return every named definition: those of the Chamfer distance, and one or more of each other metric.

    Parameters
    ----------
    metric : str, default=None
        Name of a function of this package: only what it computes. "chamfer_distance" has what its ``convention`` may
        be.

    Returns
    -------
    dict of str to Convention or Definition
        Key -> ``name, formula, units, used_by`` and ``metric``, the function. a and b stand for the Euclidean distances
        of the points of x to y and of y to x. A :class:`Convention` of the Chamfer distance has ``power``,
        ``reduction`` and ``factor``, too, a :class:`Definition` the ``call`` that computes it.

    Notes
    -----
    Beware of scale in published tables: captions multiply by 1e3 or 1e4, Occupancy Networks by 10.
    PyTorch3D's ``norm=1`` is the Manhattan distance and none of these; ``pdal`` grows with the number
    of points.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.conventions()["pcn"].formula
    '(mean a + mean b) / 2'
    >>> [d.used_by for d in pm.conventions("hausdorff_distance").values()]
    ['most; max of PyTorch3D is its square', 'medical imaging']
    """
    if metric == "chamfer_distance":
        return _of_chamfer()
    found: dict[str, Convention | Definition] = {**_of_chamfer(), **_TABLE}
    if metric is None:
        return found
    known = list(dict.fromkeys(definition.metric for definition in found.values()))
    if metric not in known:
        raise ValueError(f"metric must be one of {', '.join(known)}; got {metric!r}")
    return {name: definition for name, definition in found.items() if definition.metric == metric}
