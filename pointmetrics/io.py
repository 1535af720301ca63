"""Read point clouds and meshes from files, and sample points from meshes.

Formats by suffix: ``.ply`` (ascii and both binary orders), ``.pcd`` (ascii, binary, compressed),
``.obj``, ``.off``, ``.xyz`` / ``.txt`` / ``.csv``, ``.npy`` and ``.npz``. Only numpy is needed. Of more than three
columns those named x, y and z are the coordinates, or else the first three. A damaged
file is a ValueError that names the file and what is wrong with it. Large binary files are mapped into memory,
so that a few points of a file that is larger than memory can be taken (``max_points``).
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._clouds.arrays import lies_across
from ._clouds.libraries import refuse_masked
from ._io import pcd as _io_pcd
from ._io import ply as _io_ply
from ._io.text import read_obj, read_off, read_xyz

__all__ = ["Mesh", "read_mesh", "read_points", "sample_mesh"]

_Path = str | Path
_Pick = Callable[[int], Any] | None  # the rows wanted of so many
_MAPPED = 1 << 26  # bytes from which a file is mapped; smaller ones are read, which survives their being cut meanwhile


class Mesh(NamedTuple):
    """Vertices, float64 ``(v, 3)``, and triangles, int64 ``(f, 3)`` (no rows where a file has none)."""

    vertices: np.ndarray
    faces: np.ndarray


def read_mesh(path: _Path) -> Mesh:
    """Read vertices and triangles from a file.

    Parameters
    ----------
    path : str or Path
        A file of a format listed at the head of this module.

    Returns
    -------
    Mesh
        Polygons are cut into triangles that share the first corner. A file of points has no faces.

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is no such file, its suffix is unknown, or it is damaged.
    """
    return _read(Path(path), None)


def _read(path: Path, pick: _Pick) -> Mesh:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}; known are {', '.join(SUFFIXES)}")
    data = _contents(path, scattered=pick is not None)
    try:
        vertices, polygons = reader(data, pick) if reader in _PICKING else reader(data)
    except (ValueError, IndexError, KeyError, OSError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error
    if vertices.size == 0:
        raise ValueError(f"{path}: holds no points")
    if vertices.ndim != 2:
        raise ValueError(f"{path}: must hold points of shape (n, d), got shape {vertices.shape}")
    if pick is not None:
        return Mesh(vertices if reader in _PICKING else vertices[pick(len(vertices))], _triangles([]))
    faces = _triangles(polygons)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError(f"{path}: a face refers to a vertex that is not among the {len(vertices)}")
    return Mesh(vertices, faces)


def _contents(path: Path, scattered: bool) -> Any:
    """Return the bytes of a file, or a map of them where they are many."""
    with open(path, "rb") as file:
        if path.stat().st_size < _MAPPED or path.suffix.lower() not in (".ply", ".npy"):
            return file.read()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if scattered and hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # reading ahead of every row wanted would read most of the file
    return mapped


def read_points(path: _Path, *, drop_invalid: bool = False, max_points: int | None = None,
                seed: int | np.random.Generator | None = 0) -> np.ndarray:
    """Read the points (or the vertices of the mesh) of a file.

    Parameters
    ----------
    path : str or Path
        A file of a format listed at the head of this module.
    drop_invalid : bool, default=False
        Leave out points with a NaN or infinite coordinate, as depth cameras record where they see nothing.
    max_points : int, default=None
        Take at most so many, a random subset in the file's order. Of binary ply and npy files only these are
        read; other files are read whole first.
    seed : int, Generator or None, default=0
        Of the subset.

    Returns
    -------
    array (n, d)
        float64, or what an ``.npy`` or ``.npz`` file holds. d is 3, or less where a file has fewer columns: of more
        than three, those named x, y and z are taken, or else the first three. What has other columns is read by
        ``np.load``.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_mesh`; also where ``drop_invalid`` leaves nothing.
    """
    pick: _Pick = None
    if max_points is not None:
        if isinstance(max_points, bool) or not isinstance(max_points, (int, np.integer)) or max_points < 1:
            raise ValueError(f"max_points must be an integer, 1 or more, got {max_points!r}")
        most, rng = int(max_points), np.random.default_rng(seed)

        def pick(n: int) -> Any:
            return slice(None) if n <= most else np.sort(rng.choice(n, most, replace=False, shuffle=False))

    points = _read(Path(path), pick).vertices
    if drop_invalid:
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) == 0:
            raise ValueError(f"{path}: every point has a NaN or infinite coordinate")
    return points


def sample_mesh(vertices: Any, faces: Any, n: int, *, seed: int | np.random.Generator | None = None) -> np.ndarray:
    """Draw points uniformly from the surface of a triangle mesh.

    Parameters
    ----------
    vertices : array (v, 3)
        Corners of the triangles.
    faces : integer array (f, 3)
        Indices into ``vertices``.
    n : int
        Number of points.
    seed : int, Generator or None, default=None
        Makes the draw repeatable.

    Returns
    -------
    array (n, 3)
        float64.

    Notes
    -----
    A face is drawn in proportion to its area, then a point by the square-root map of the unit square.

    References
    ----------
    Osada, Funkhouser, Chazelle, Dobkin, "Shape Distributions", ACM Trans. Graphics 21, 2002, section 4.1.

    Examples
    --------
    >>> import pointmetrics.io
    >>> square = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    >>> pointmetrics.io.sample_mesh(square, [[0, 1, 2], [0, 2, 3]], 2, seed=0).round(2)
    array([[0.04, 0.2 , 0.  ],
           [0.13, 0.12, 0.  ]])
    """
    from ._metrics.mesh import read_faces

    refuse_masked(vertices, "vertices")
    at = np.asarray(vertices, dtype=np.float64)
    if at.ndim != 2 or at.shape[1] != 3 or not np.isfinite(at).all():
        raise ValueError(f"vertices must be finite and have shape (v, 3), got shape {at.shape}")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n must be an integer, 1 or more, got {n!r}")
    corners = at[read_faces(faces, len(at))]
    edges = corners[:, 1:] - corners[:, :1]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    if areas.sum() == 0:
        raise ValueError("the mesh has no area to draw points from")
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(corners), size=n, p=areas / areas.sum())
    root, along = np.sqrt(rng.random(n))[:, None], rng.random(n)[:, None]
    shares = np.stack([1 - root, root * (1 - along), root * along], axis=1)
    return (corners[drawn] * shares).sum(axis=1)


def _triangles(polygons: Any) -> np.ndarray:
    """Cut polygons (one array of equal ones, or a list) into fans."""
    if len(polygons) == 0:
        return np.empty((0, 3), dtype=np.int64)
    if isinstance(polygons, np.ndarray):
        polygons = polygons.astype(np.int64)
        fans = [np.column_stack([polygons[:, 0], polygons[:, k], polygons[:, k + 1]])
                for k in range(1, polygons.shape[1] - 1)]
        return np.stack(fans, axis=1).reshape(-1, 3) if fans else np.empty((0, 3), dtype=np.int64)
    corners = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return np.array(corners, dtype=np.int64).reshape(-1, 3)


def _read_npy(data: Any, pick: _Pick = None) -> tuple[np.ndarray, list[Any]]:
    from io import BytesIO

    if isinstance(data, bytes):
        points = np.load(BytesIO(data), allow_pickle=False)
    else:
        points = _map_npy(data)
    points = coordinates(points, pick)
    # Not a view of the map: pages of a file that is cut meanwhile would end the process.
    return np.ascontiguousarray(points) if isinstance(data, bytes) else np.array(points, order="C"), []


def coordinates(array: np.ndarray, pick: _Pick = None) -> np.ndarray:
    """Return the coordinates of (some of) an array's points, by the rule of all files: the columns named x, y and z,
    or else the first three of more than three."""
    names = {name.lower(): name for name in reversed(array.dtype.names or ())}
    if names:
        if not {"x", "y"} <= names.keys():
            raise ValueError(f"holds the fields {', '.join(array.dtype.names or ())}, of which none are called x and y")
        rows = array.reshape(-1)
        rows = rows if pick is None else rows[pick(len(rows))]
        return np.column_stack([rows[names[axis]] for axis in "xyz" if axis in names])
    if array.ndim != 2:
        return array
    if array.shape[0] and lies_across(array.shape):
        raise ValueError(f"holds an array of shape {array.shape}, whose rows would be {array.shape[0]} points: store "
                         f"one point a row, as the transpose has them")
    points = array[:, :3]
    return points if pick is None else points[pick(len(points))]


def _map_npy(data: mmap.mmap) -> np.ndarray:
    """View the array of a mapped npy file."""
    version = np.lib.format.read_magic(data)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(data)
    if dtype.hasobject:
        raise ValueError("holds Python objects, not numbers")
    count = int(np.prod(shape, dtype=np.int64))
    if data.tell() + count * dtype.itemsize > len(data):
        raise ValueError(f"ends after {len(data)} of {data.tell() + count * dtype.itemsize} bytes")
    flat = np.frombuffer(data, dtype, count, data.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _read_npz(data: bytes) -> tuple[np.ndarray, list[Any]]:
    from io import BytesIO
    from zipfile import BadZipFile

    try:
        archive = np.load(BytesIO(data), allow_pickle=False)
    except BadZipFile as error:
        raise ValueError(f"not an npz archive: {error}") from error
    for name in ("points", "pc", "arr_0", "vertices", "xyz"):
        if name in archive:
            return coordinates(archive[name]), archive.get("faces", [])
    if len(archive.files) == 1:
        return coordinates(archive[archive.files[0]]), []
    raise ValueError(f"holds the arrays {', '.join(archive.files)}; call the one with the points 'points'")


_PICKING = (_io_ply.read, _read_npy)  # readers that leave out themselves what is not wanted
_READERS: dict[str, Callable[..., tuple[np.ndarray, Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".ply": _io_ply.read,
    ".pcd": _io_pcd.read,
    ".obj": read_obj,
    ".off": read_off,
    ".xyz": read_xyz,
    ".txt": read_xyz,
    ".csv": read_xyz,
}
SUFFIXES = tuple(sorted(_READERS))  # in lower case, of the formats that are known
