"""Distances between point clouds: exact, fast, and each under the name its numbers were published with.

Clouds are ``(n, d)`` arrays, batches ``(b, n, d)`` arrays (with ``lengths`` where clouds are padded) or
lists of ``(n_i, d)`` arrays; a pair gives a scalar, a batch ``(b,)``. float32 and float64 are kept,
integers become float64, half precision and masked values are refused. Where the squares of float32
coordinates would leave float32 (beyond 1e19 or below 1e-15), the result is float64. numpy and CuPy arrays
and torch tensors come back as what they were; those on a CUDA device are computed on it (:func:`info` says
whether it can be used). Clouds of Open3D, trimesh and PyVista count as numpy arrays of their points, PyTorch3D's
``Pointclouds`` as lists of tensors; their meshes go where a mesh is wanted, and stand for their vertices elsewhere.

``return_grad=True`` gives ``value, (grad_x, grad_y)``: nearest neighbours (and match counts) count as
fixed, a distance of zero has gradient zero, sums run in a fixed order. :mod:`pointmetrics.torch` offers
the same functions to autograd.

:mod:`pointmetrics.sets` compares whole sets of clouds, :mod:`pointmetrics.io` reads files,
:mod:`pointmetrics.plot` draws errors, and :mod:`pointmetrics.sklearn` and :mod:`pointmetrics.river` turn
clouds into features.

Everything is exact: of equally near points the one of lowest index wins, and neither the number of
threads nor the machine's instruction set changes a bit of the neighbours or their distances.
"""

from importlib import import_module
from typing import Any

from imondrian._kit import old_names as _old_names

from ._backends.conventions import Convention
from ._clouds.info import Info, info
from ._metrics.chamfer import ChamferResult, chamfer_distance, normal_consistency
from ._metrics.compare import Comparison, compare
from ._metrics.completion import consistency, fidelity, total_mutual_difference, unidirectional_hausdorff_distance
from ._metrics.dcd import density_aware_chamfer_distance
from ._metrics.definitions import Definition, conventions
from ._metrics.emd import EmdResult, Plan, earth_movers_distance
from ._metrics.emd_audit import EmdApproximation, EmdAudit, approxmatch_emd, audit_emd, msn_auction_emd
from ._metrics.f_score import FScore, f_score
from ._metrics.hausdorff import hausdorff_distance
from ._metrics.hyper_cd import hyperbolic_chamfer_distance
from ._metrics.info_cd import info_chamfer_distance
from ._metrics.mesh import MeshDistances, point_to_mesh_distance
from ._metrics.neighbors import Neighbor, Neighbors, PreparedCloud, nearest_neighbors
from ._metrics.normals import estimate_normals
from ._metrics.preset_tables import Column, Preset
from ._metrics.presets import measure_preset, presets
from ._metrics.psnr import Distortion, Distortions, geometry_distortion, psnr_d1, psnr_d2
from ._metrics.reconstruction import (
    Reconstruction,
    accuracy_completeness,
    tanks_and_temples,
    thin_points,
    voxel_downsample,
)
from ._metrics.sampling import Balls, ball_query, farthest_points
from ._metrics.scans import M3C2, RayErrors, cloud_to_cloud, m3c2, near_field_chamfer_distance, ray_depth_errors
from ._metrics.sinkhorn import sinkhorn_divergence
from ._metrics.sliced import sliced_wasserstein_distance
from ._metrics.uniformity import uniformity
from ._metrics.volume import volumetric_iou
from ._version import __version__ as __version__

_old_names.look_up()
__all__ = [
    "M3C2",
    "Balls",
    "ChamferResult",
    "Column",
    "Comparison",
    "Convention",
    "Definition",
    "Distortion",
    "Distortions",
    "EmdApproximation",
    "EmdAudit",
    "EmdResult",
    "FScore",
    "Info",
    "MeshDistances",
    "Neighbor",
    "Neighbors",
    "Plan",
    "PreparedCloud",
    "Preset",
    "RayErrors",
    "Reconstruction",
    "Table",
    "accuracy_completeness",
    "approxmatch_emd",
    "audit_emd",
    "ball_query",
    "chamfer_distance",
    "cloud_to_cloud",
    "compare",
    "consistency",
    "conventions",
    "density_aware_chamfer_distance",
    "earth_movers_distance",
    "estimate_normals",
    "f_score",
    "farthest_points",
    "fidelity",
    "geometry_distortion",
    "hausdorff_distance",
    "hyperbolic_chamfer_distance",
    "info",
    "info_chamfer_distance",
    "m3c2",
    "measure_preset",
    "msn_auction_emd",
    "near_field_chamfer_distance",
    "nearest_neighbors",
    "normal_consistency",
    "point_to_mesh_distance",
    "presets",
    "psnr_d1",
    "psnr_d2",
    "ray_depth_errors",
    "sinkhorn_divergence",
    "sliced_wasserstein_distance",
    "table",
    "tanks_and_temples",
    "thin_points",
    "total_mutual_difference",
    "unidirectional_hausdorff_distance",
    "uniformity",
    "volumetric_iou",
    "voxel_downsample",
]

# Loaded when first asked for: each may need a package that is not installed, or time.
_MODULES = ("dask", "io", "plot", "river", "sets", "sklearn", "torch")
_LATER = {"Table": "_tables.table", "table": "_tables.build"}  # they stand on the metrics and on files


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    if name in _MODULES:
        try:
            return import_module(f".{name}", __name__)
        except ImportError as error:
            # Whoever only looks (hasattr, help, inspect.getmembers) goes on; an import statement says the same.
            raise AttributeError(f"pointmetrics.{name} cannot be loaded: {error}") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES})
