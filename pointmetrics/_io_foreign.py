"""Readers of formats that other packages know (stl and glb through trimesh, las and laz through laspy), and KITTI's."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np

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
        raise ValueError(f"reading .{kind} files needs trimesh: pip install trimesh") from error
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
        raise ValueError("reading .las and .laz files needs laspy: pip install 'laspy[lazrs]'") from error
    try:
        with laspy.open(BytesIO(data)) as file:
            head = file.header
            size = head.point_count * head.point_format.size
            if not head.are_points_compressed and size > len(data):
                raise ValueError(f"ends after {len(data)} bytes where {head.point_count} points take {size}")
            if head.are_points_compressed and not file.laz_backend:
                raise ValueError("reading .laz files needs lazrs: pip install 'laspy[lazrs]'")
            return np.array(file.read().xyz, dtype=np.float64), []
    except ValueError:
        raise
    except Exception as error:  # whatever laspy makes of damage
        raise ValueError(f"cannot be read by laspy: {type(error).__name__}: {error}") from error


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
        raise ValueError(f"is no laser scan: of {width} float32 numbers a point the first three must be below "
                         f"{_FARTHEST:g}, and the fourth 0 or more")
    return np.array(rows[:, :3], dtype=np.float32), []
