"""Readers of formats that other packages know (stl and glb through trimesh, las and laz through laspy), and KITTI's."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np

from .packed import check_ratio

_RECORD, _LATE_RECORD = 54, 60  # bytes at least of a las file's records before and behind its points
_FARTHEST = 1e6  # metres, beyond what any laser sees


def read_stl(data: bytes) -> tuple[np.ndarray, Any]:
    """Read a mesh of triangles; corners that they share are taken once."""
    return _read_trimesh(data, "stl")


def read_glb(data: bytes) -> tuple[np.ndarray, Any]:
    """Read the meshes and points of a scene, put where the scene has them."""
    return _read_trimesh(data, "glb")


def _read_trimesh(data: bytes, kind: str) -> tuple[np.ndarray, Any]:
    try:
        import trimesh
    except ImportError as error:
        raise ValueError(f"reading .{kind} files needs trimesh: pip install 'imondrian[formats]'") from error
    try:
        scene = trimesh.load_scene(BytesIO(data), file_type=kind)
        vertices: list[np.ndarray] = [np.empty((0, 3))]
        faces: list[np.ndarray] = [np.empty((0, 3), np.int64)]
        for node in scene.graph.nodes_geometry:
            transform, name = scene.graph[node]
            geometry = scene.geometry[name]
            if hasattr(geometry, "faces"):
                faces.append(np.asarray(geometry.faces, dtype=np.int64) + sum(map(len, vertices)))
            vertices.append(trimesh.transform_points(np.asarray(geometry.vertices, dtype=np.float64), transform))
    except Exception as error:  # whatever trimesh makes of damage
        raise ValueError(f"cannot be read by trimesh: {type(error).__name__}: {error}") from error
    return np.concatenate(vertices), np.concatenate(faces)


def read_las(data: bytes) -> tuple[np.ndarray, Any]:
    """Read the places of the points of a laser scan."""
    try:
        import laspy
    except ImportError as error:
        raise ValueError("reading .las and .laz files needs laspy: pip install 'imondrian[formats]'") from error
    if _check_las(data) and not laspy.LazBackend.detect_available():
        raise ValueError("reading .laz files needs lazrs: pip install 'imondrian[formats]'")
    try:
        return np.array(laspy.read(BytesIO(data)).xyz, dtype=np.float64), []
    except Exception as error:  # whatever laspy makes of damage
        raise ValueError(f"cannot be read by laspy: {type(error).__name__}: {error}") from error


def _check_las(data: bytes) -> bool:
    """Check what the head claims, as laspy allocates it unseen; tell whether the points are packed."""
    if data[:4] != b"LASF" or len(data) < 227:
        raise ValueError("does not begin as a las file")
    head, begin, n_records, kind, size, n = struct.unpack_from("<HIIBHI", data, 94)
    if data[25] >= 4 and len(data) >= 375:
        first, n_late, n = struct.unpack_from("<QIQ", data, 235)
        if n_late * _LATE_RECORD > max(0, len(data) - first):
            raise ValueError(f"claims {n_late} extended records, more than it has bytes for")
    if n_records * _RECORD > max(0, min(begin, len(data)) - head):
        raise ValueError(f"claims {n_records} records before its points, more than it has bytes for")
    packed = kind >= 128
    if packed:
        check_ratio(n * size, len(data), "the file")
    elif begin + n * size > len(data):
        raise ValueError(f"ends after {len(data)} bytes where {n} points of {size} bytes follow {begin}")
    return packed


def read_kitti(data: bytes) -> tuple[np.ndarray, Any]:
    """Read a scan of KITTI: float32 x, y, z and reflectance, and no head."""
    return _read_floats(data, 4)


def read_nuscenes(data: bytes) -> tuple[np.ndarray, Any]:
    """Read a scan of nuScenes: float32 x, y, z, intensity and ring, and no head."""
    return _read_floats(data, 5)


def _read_floats(data: bytes, width: int) -> tuple[np.ndarray, Any]:
    if len(data) % (4 * width):
        raise ValueError(f"must hold {width} float32 numbers a point, {4 * width} bytes, got {len(data)} bytes")
    rows = np.frombuffer(data, "<f4").reshape(-1, width)
    # Nothing else in the file tells a scan from any other bytes.
    if not (np.abs(rows[:, :3]) < _FARTHEST).all() or not (rows[:, 3] >= 0).all():
        raise ValueError(
            f"is no laser scan: of {width} float32 numbers a point the first three must be below "
            f"{_FARTHEST:g}, and the fourth 0 or more"
        )
    return np.array(rows[:, :3], dtype=np.float32), []
