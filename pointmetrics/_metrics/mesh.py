"""Distance from points to the surface of a triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmetrics import _core
from pointmetrics._clouds.arrays import Clouds, read_clouds
from pointmetrics._clouds.libraries import Library, check_cpu, to_numpy
from pointmetrics._clouds.numbers import thread_count
from pointmetrics._clouds.objects import read_mesh


@dataclass(frozen=True, slots=True)
class MeshDistances:
    """Distance of each point, the face that its closest surface point is on, and that point ``(n, 3)``.

    Shaped like the caller's clouds: arrays, or lists of arrays where they came in a list.
    """

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
            f"faces must index the {n_vertices} vertices, got {array[tuple(bad)]} at index {tuple(int(i) for i in bad)}"
        )
    return np.ascontiguousarray(array, dtype=np.int32)


def point_to_mesh_distance(
    points: Any,
    vertices: Any,
    faces: Any = None,
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
    points : array (n, 3) or (b, n, 3), or list of (n_i, 3) arrays
        One cloud or several; float32 or float64 is kept, integers become float64.
    vertices : array (v, 3), mesh, or list of b such
        Corners of the triangles. Several clouds share one mesh or have a list of one mesh each. A mesh of Open3D,
        trimesh, PyVista or PyTorch3D brings its own faces.
    faces : integer array (f, 3), or list of b such, default=None
        Indices into ``vertices``. Faces without area count as the segments or points they are.
    reduction : {"mean", "max"}, default="mean"
        Over the points. "mean" is the point-to-surface distance ("P2F") of the upsampling papers.
    squared : bool, default=False
        Reduce squared distances.
    return_details : bool, default=False
        Return :class:`MeshDistances`, unreduced and unsquared.
    return_grad : bool, default=False
        Return ``value, (grad_points, grad_vertices)``. For several clouds ``grad_vertices`` is a list: the
        gradient of each cloud's value, also where they share a mesh.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or (b,) array, or (value, grads), or MeshDistances
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
    check_cpu(library, "points")
    if cloud.points.shape[1] != 3:
        raise ValueError(f"points must have shape (n, 3), got dimension {cloud.points.shape[1]}")
    meshes = _read_meshes(*read_mesh(vertices, faces), cloud, library)
    dtype = np.result_type(cloud.points, *(mesh for mesh, _ in meshes))
    threads = thread_count(n_threads)
    found = [_measure(cloud[i], *meshes[i], threads) for i in range(len(cloud))]

    def give(parts: list[np.ndarray], kind: Any) -> Any:
        packed = cloud.unpack(np.concatenate(parts).astype(kind))
        return [library.wrap(part) for part in packed] if isinstance(packed, list) else library.wrap(packed)

    if return_details:
        return MeshDistances(
            give([np.sqrt(f.sq_dist) for f in found], dtype),
            give([f.face for f in found], np.int64),
            give([f.closest for f in found], dtype),
        )
    values = np.array([_reduced(f.sq_dist if squared else np.sqrt(f.sq_dist), reduction) for f in found]).astype(dtype)
    value = library.wrap(values[0] if cloud.kind == "single" else values)
    if not return_grad:
        return value
    grads = [_gradients(f, reduction, squared) for f in found]
    grad_vertices = [library.wrap(grad.astype(dtype)) for _, grad in grads]
    grad_points = give([grad for grad, _ in grads], dtype)
    return value, (grad_points, grad_vertices[0] if cloud.kind == "single" else grad_vertices)


def _read_meshes(vertices: Any, faces: Any, cloud: Clouds, library: Library) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read one mesh a cloud: float64 or float32 vertices, int32 faces."""
    mesh, mesh_library = read_clouds(vertices, "vertices")
    if library != mesh_library:
        raise TypeError(f"points and vertices must come from one library, got {library} and {mesh_library}")
    if mesh.points.shape[1] != 3:
        raise ValueError(f"vertices must have shape (v, 3), got dimension {mesh.points.shape[1]}")
    if mesh.kind == "single":
        return [(mesh.points, read_faces(faces, len(mesh.points)))] * len(cloud)
    if cloud.kind == "single" or mesh.kind != "list" or len(mesh) != len(cloud):
        raise ValueError(
            f"vertices must be one array (v, 3) or a list of one for each cloud, got a {mesh.kind} of "
            f"{len(mesh)} for a {cloud.kind} of {len(cloud)}"
        )
    if not isinstance(faces, (list, tuple)) or len(faces) != len(mesh):
        raise ValueError(f"faces must be a list of {len(mesh)} arrays, one for each array of vertices")
    return [(mesh[i], read_faces(faces[i], len(mesh[i]))) for i in range(len(mesh))]


@dataclass(frozen=True, slots=True)
class _Measured:
    at: np.ndarray
    n_vertices: int
    sq_dist: np.ndarray
    face: np.ndarray
    corners: np.ndarray  # (n, 3) vertices of each point's face
    barycentric: np.ndarray
    closest: np.ndarray


def _measure(cloud: np.ndarray, vertices: np.ndarray, faces: np.ndarray, n_threads: int) -> _Measured:
    at, surface = (np.ascontiguousarray(side, dtype=np.float64) for side in (cloud, vertices))
    sq_dist, face, barycentric = _core.nearest_on_mesh(at, surface, faces, n_threads)
    corners = faces[face]
    closest = np.einsum("nk,nka->na", barycentric, surface[corners])
    return _Measured(at, len(surface), sq_dist, face, corners, barycentric, closest)


def _reduced(terms: np.ndarray, reduction: str) -> float:
    return float(terms.mean() if reduction == "mean" else terms.max())


def _gradients(found: _Measured, reduction: str, squared: bool) -> tuple[np.ndarray, np.ndarray]:
    n, distance = len(found.at), np.sqrt(found.sq_dist)
    share = np.full(n, 1 / n)
    if reduction == "max":
        share = (np.arange(n) == distance.argmax()).astype(np.float64)
    scale = 2 * share if squared else np.divide(share, distance, out=np.zeros_like(share), where=distance > 0)
    flow = (found.at - found.closest) * scale[:, None]
    pull = -flow[:, None, :] * found.barycentric[:, :, None]
    columns = [np.bincount(found.corners.ravel(), pull[:, :, axis].ravel(), found.n_vertices) for axis in range(3)]
    return flow, np.stack(columns, axis=1)
