"""Distance from points to the surface of a triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from ._arrays import read_clouds, thread_count, to_numpy


@dataclass(frozen=True, slots=True)
class MeshDistances:
    """Distance of each point, the face that its closest surface point is on, and that point ``(n, 3)``."""

    distance: Any
    face: Any
    closest: Any


def read_faces(faces: Any, n_vertices: int) -> np.ndarray:
    """Read triangles ``(f, 3)`` of vertex indices into int32."""
    array, _ = to_numpy(faces, "faces")
    if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0:
        raise ValueError(f"faces must have shape (f, 3) with at least one face, got {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"faces must hold integer vertex indices, got dtype {array.dtype}")
    if array.min() < 0 or array.max() >= n_vertices:
        bad = np.argwhere((array < 0) | (array >= n_vertices))[0]
        raise ValueError(
            f"faces must index the {n_vertices} vertices, got {array[tuple(bad)]} at index "
            f"{tuple(int(i) for i in bad)}"
        )
    return np.ascontiguousarray(array, dtype=np.int32)


def _gradients(
    flow: np.ndarray, corners: np.ndarray, barycentric: np.ndarray, n_vertices: int
) -> tuple[np.ndarray, np.ndarray]:
    grad_vertices = np.empty((n_vertices, 3))
    pull = -flow[:, None, :] * barycentric[:, :, None]
    for axis in range(3):
        grad_vertices[:, axis] = np.bincount(corners.ravel(), pull[:, :, axis].ravel(), n_vertices)
    return flow, grad_vertices


def point_to_mesh_distance(
    points: Any,
    vertices: Any,
    faces: Any,
    *,
    reduction: str = "mean",
    squared: bool = False,
    return_details: bool = False,
    return_grad: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute how far points lie from the surface of a triangle mesh.

    Parameters
    ----------
    points : array (n, 3)
        One cloud; float32 or float64 is kept, integers become float64.
    vertices : array (v, 3)
        Corners of the triangles.
    faces : integer array (f, 3)
        Indices into ``vertices``. Faces without area count as the segments or points they are.
    reduction : {"mean", "max"}, default="mean"
        Over the points. "mean" is the point-to-surface distance ("P2F") of the upsampling papers.
    squared : bool, default=False
        Reduce squared distances.
    return_details : bool, default=False
        Return :class:`MeshDistances`, unreduced and unsquared.
    return_grad : bool, default=False
        Return ``value, (grad_points, grad_vertices)``.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or MeshDistances
        In the unit of the coordinates, or its square.

    Notes
    -----
    Exact to rounding, computed in float64. Unsigned: inside and outside are alike. Faces are found
    through a hierarchy of boxes along a Hilbert curve, O(n log f) for ordinary meshes. The closest
    surface point moves with its face's corners in the gradient; at distance 0 the unsquared gradient
    is 0.

    References
    ----------
    Li et al., "PU-GAN: a Point Cloud Upsampling Adversarial Network", ICCV 2019, section 4.1 (P2F).

    Examples
    --------
    >>> import pointmetrics as pm
    >>> vertices, faces = [[0.0, 0, 0], [1.0, 0, 0], [0.0, 1, 0]], [[0, 1, 2]]
    >>> float(pm.point_to_mesh_distance([[0.2, 0.2, 3.0], [-1.0, 0.0, 0.0]], vertices, faces))
    2.0
    """
    if reduction not in ("mean", "max"):
        raise ValueError(f"reduction must be 'mean' or 'max', got {reduction!r}")
    cloud, library = read_clouds(points, "points")
    mesh, mesh_library = read_clouds(vertices, "vertices")
    if library != mesh_library:
        raise TypeError(f"points and vertices must come from one library, got {library} and {mesh_library}")
    for name, side in (("points", cloud), ("vertices", mesh)):
        if side.kind != "single" or side.points.shape[1] != 3:
            raise ValueError(f"{name} must have shape (n, 3), got a {side.kind} of dimension {side.points.shape[1]}")
    corners = read_faces(faces, len(mesh.points))
    dtype = np.result_type(cloud.points, mesh.points)
    at = cloud.points.astype(np.float64, copy=False)
    surface = mesh.points.astype(np.float64, copy=False)
    sq_dist, face, barycentric = _core.nearest_on_mesh(at, surface, corners, thread_count(n_threads))
    on = corners[face]
    closest = np.einsum("nk,nka->na", barycentric, surface[on])
    distance = np.sqrt(sq_dist)
    if return_details:
        parts = (distance.astype(dtype), face.astype(np.int64), closest.astype(dtype))
        return MeshDistances(*(library.wrap(part) for part in parts))
    terms = sq_dist if squared else distance
    value = library.wrap((terms.mean() if reduction == "mean" else terms.max()).astype(dtype))
    if not return_grad:
        return value
    share = np.full(len(terms), 1 / len(terms))
    if reduction == "max":
        share = (np.arange(len(terms)) == terms.argmax()).astype(np.float64)
    scale = 2 * share if squared else np.divide(share, distance, out=np.zeros_like(share), where=distance > 0)
    grads = _gradients((at - closest) * scale[:, None], on, barycentric, len(surface))
    return value, tuple(library.wrap(g.astype(dtype)) for g in grads)
