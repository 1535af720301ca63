"""Clouds and meshes of Open3D, trimesh, PyVista and PyTorch3D: the arrays within them.

No such library is imported: their objects are told from others by what they offer.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from .libraries import SHAPES, warn_user

# Not looked at any closer. Numbers and sequences are most of what a list of points may hold.
_PLAIN = frozenset({np.ndarray, list, tuple, float, int, str, bytes, np.float64, np.float32, type(None)})
_ARRAY_MARKS = ("ndim", "__dlpack__", "__cuda_array_interface__")


def points_of(x: Any, name: str) -> Any:
    """Return the points of a cloud or mesh as an array, those of several as a list; all else as it is.

    Of a mesh these are the vertices, with a warning.
    """
    if isinstance(x, (list, tuple)):
        if all(type(part) in _PLAIN or not _is_object(part) for part in x):
            return x
        return [_one(part, f"{name}[{i}]") for i, part in enumerate(x)]
    if hasattr(x, "n_blocks"):  # PyVista's MultiBlock, which numpy would take for a sequence
        raise TypeError(f"{name} is {_kind(x)} of {x.n_blocks}: pass one of its blocks, or all as its combine()")
    return _points(x, name) if _is_object(x) else x


def mesh_of(x: Any, name: str) -> tuple[Any, Any] | None:
    """Return vertices and faces of a mesh, of several as two lists; None where ``x`` is neither."""
    if isinstance(x, (list, tuple)):
        meshes = [mesh_of(part, f"{name}[{i}]") if _is_object(part) else None for i, part in enumerate(x)]
        found = [mesh for mesh in meshes if mesh is not None]
        if not found:
            return None
        if len(found) < len(meshes):
            raise TypeError(f"{name} must be meshes or arrays of vertices, got both in one list")
        return [vertices for vertices, _ in found], [faces for _, faces in found]
    if not _is_object(x):
        return None
    vertices, faces = _vertices(x, name), _faces(x)
    if faces is None or (not isinstance(faces, list) and len(faces) == 0):
        raise ValueError(f"{name} is {_kind(x)} without faces: a mesh is wanted")
    return vertices, faces


def read_mesh(vertices: Any, faces: Any, names: tuple[str, str] = ("vertices", "faces")) -> tuple[Any, Any]:
    """Return vertices and faces of what is either a mesh alone, or its arrays."""
    mesh = mesh_of(vertices, names[0])
    if mesh is None:
        if faces is None:
            raise TypeError(f"{names[1]} must be given where {names[0]} are an array; a mesh brings its own")
        return vertices, faces
    if faces is not None:
        raise TypeError(f"{names[0]} is a mesh with faces of its own: leave {names[1]} out")
    return mesh


def _is_object(x: Any) -> bool:
    """Tell whether ``x`` is one that arrays are to be taken from."""
    if type(x) in _PLAIN or hasattr(x, "__array__"):
        return False
    if hasattr(x, "an_attribute_of_no_library"):  # has them all, as Dask's Delayed
        return False
    if _is_foreign_tensor(x):
        return True
    if any(hasattr(x, mark) for mark in _ARRAY_MARKS):
        return False
    return any(hasattr(x, offered) for offered in ("points_list", "verts_list", "vertices", "points")) or any(
        _has_positions(x, group) for group in ("point", "vertex")
    )


def _is_foreign_tensor(x: Any) -> bool:
    """Tell a tensor of Open3D, which numpy would read number by number."""
    return hasattr(x, "numpy") and hasattr(x, "cpu") and not hasattr(x, "__array__")


def _has_positions(x: Any, group: str) -> bool:
    """Tell whether ``x`` keeps its points in a map of tensors, as ``open3d.t.geometry`` does."""
    return hasattr(x, group) and hasattr(getattr(x, group), "primary_key")


def _one(x: Any, name: str) -> Any:
    """Return the points of one cloud in a list."""
    if type(x) in _PLAIN or not _is_object(x):
        return x
    points = _points(x, name)
    if isinstance(points, list):
        if len(points) != 1:
            raise ValueError(f"{name} is {_kind(x)} of {len(points)} clouds: pass it by itself, in no list")
        return points[0]
    return points


def _points(x: Any, name: str) -> Any:
    points, faces = _vertices(x, name), _faces(x)
    if faces is not None and len(faces):
        warn_user(
            f"{name} is {_kind(x)}, and its vertices are taken for points; io.sample_mesh draws points from a "
            f"mesh's surface, and passing the vertices themselves says that they are meant"
        )
    return points


def _vertices(x: Any, name: str) -> Any:
    """Return what an object has for points: an array, or a list of them."""
    for several in ("points_list", "verts_list"):
        if hasattr(x, several):
            return list(getattr(x, several)())
    if _is_foreign_tensor(x):
        return x.cpu().numpy()
    for group in ("point", "vertex"):
        if _has_positions(x, group):
            tensors = getattr(x, group)
            if "positions" not in tensors:
                raise ValueError(f"{name} is empty: {_kind(x)} without positions")
            return tensors["positions"].cpu().numpy()
    points = np.asarray(x.points if hasattr(x, "points") else x.vertices)
    if points.size == 0:
        raise ValueError(f"{name} is empty: {_kind(x)} without {'points' if hasattr(x, 'points') else 'vertices'}")
    return points


def _faces(x: Any) -> Any:
    """Return the triangles of a mesh, or a list of such; None of what has none."""
    if hasattr(x, "faces_list"):
        return list(x.faces_list())
    if hasattr(x, "triangle") and hasattr(x.triangle, "primary_key"):
        return x.triangle["indices"].cpu().numpy() if "indices" in x.triangle else None
    if hasattr(x, "is_all_triangles"):  # PyVista's
        return _packed_faces(x)
    for triangles in ("faces", "triangles"):  # trimesh has the latter, too, but as coordinates
        if hasattr(x, triangles):
            return np.asarray(getattr(x, triangles))
    return None


def _packed_faces(x: Any) -> Any:
    """Return the triangles of PyVista's PolyData, whose faces of any size lie one behind another."""
    if len(x.faces) == 0 and getattr(x, "n_strips", 0) == 0:
        return None
    if len(x.faces) % 4 or not (np.asarray(x.faces).reshape(-1, 4)[:, 0] == 3).all() or getattr(x, "n_strips", 0):
        x = x.triangulate()
    return np.asarray(x.faces).reshape(-1, 4)[:, 1:]


def _kind(x: Any) -> str:
    """Name the type of an object with its library, as ``an open3d PointCloud``."""
    if x is None:
        return "None"
    library = type(x).__module__.partition(".")[0]
    name = type(x).__name__ if library == "builtins" else f"{library} {type(x).__name__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def wrong_shape(shape: tuple[int, ...], name: str) -> ValueError:
    """Return the error of an array that holds no clouds."""
    way_out = f": {name}[:, None] for points of one coordinate, {name}[None] for a single point"
    return ValueError(f"{name} must have {SHAPES}, got shape {shape}{way_out if len(shape) == 1 and shape[0] else ''}")


def refuse_unknown(x: Any, array: np.ndarray, name: str) -> None:
    """Say what is wanted where numpy found something else than numbers in ``x``."""
    if array.ndim == 2 and hasattr(x, "columns"):
        for column, values in zip(x.columns, array.T, strict=True):
            if not all(isinstance(value, numbers.Real) for value in values):
                raise TypeError(f"{name}[{column!r}] must be numbers: leave the columns out that are no coordinates")
    if array.ndim != 0:
        return
    if isinstance(x, (str, bytes)) or hasattr(x, "__fspath__"):
        raise TypeError(
            f"{name} must have {SHAPES}, got the {type(x).__name__} {x!r}: where that is a file, "
            f"read it with pointmetrics.io.read_points"
        )
    advice = ": its to_mesh() is one mesh of all its parts" if hasattr(x, "to_mesh") else ""  # trimesh's Scene
    raise TypeError(
        f"{name} must have {SHAPES}, or be a cloud of Open3D, trimesh, PyVista or PyTorch3D, got {_kind(x)}{advice}"
    )
