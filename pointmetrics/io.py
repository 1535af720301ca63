"""Read point clouds and meshes from files, write clouds, and sample points from meshes.

Formats by suffix: ``.ply`` (ascii and both binary orders), ``.pcd`` (ascii, binary, compressed), ``.obj``, ``.off``,
text (``.xyz``, ``.txt``, ``.csv``, ``.asc``, ``.pts``), ``.npy`` and ``.npz``, scans of KITTI (``.bin``) and nuScenes
(``.pcd.bin``); all but npz also with ``.gz``. ``.stl`` and ``.glb`` need trimesh, ``.las`` and ``.laz`` laspy; the
others numpy alone. A damaged file is a ValueError that names the file and what is wrong with it, and no file is
believed to be larger than it is. Large binary files are mapped into memory, so that a few points of a file that is
larger than memory can be taken (``max_points``).

Text has one point a line. A heading (or a comment before the first point) that names x, y and z says which columns they
are; other headings are refused unless ``columns`` says what is meant. Without a heading the first three columns are
taken. Decimal commas are read where semicolons, tabs or quotes separate the columns. What is ambiguous, an empty cell
and a row of another length are errors that name the line; comments begin with ``#`` or ``//``.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ._clouds.libraries import refuse_masked
from ._io import foreign, npy, table
from ._io import pcd as _io_pcd
from ._io import ply as _io_ply
from ._io.packed import unpack_gzip
from ._io.table import Columns
from ._io.text import read_obj, read_off

__all__ = ["Mesh", "read_mesh", "read_normals", "read_points", "sample_mesh", "write_points"]

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


def _read(path: Path, pick: _Pick, columns: Columns | None = None) -> Mesh:
    suffix = suffix_of(path)
    reader = _READERS.get(suffix.removesuffix(".gz"))
    if reader is None:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}; known are {', '.join(SUFFIXES)}, and .gz of most")
    if columns is not None and reader is not table.read:
        raise ValueError(f"{path}: columns can be chosen in text files, got {suffix}")
    data = _contents(path, suffix, scattered=pick is not None)
    try:
        if suffix.endswith(".gz"):
            data = unpack_gzip(data)
        argument = [columns] if reader is table.read else [pick] if reader in _PICKING else []
        vertices, polygons = reader(data, *argument)
        faces = _triangles(polygons if pick is None else [])
    except (ValueError, LookupError, ArithmeticError, OSError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error
    if vertices.size == 0:
        raise ValueError(f"{path}: holds no points")
    if vertices.ndim != 2:
        raise ValueError(f"{path}: must hold points of shape (n, d), got shape {vertices.shape}")
    if pick is not None and reader not in _PICKING:
        vertices = vertices[pick(len(vertices))]
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError(f"{path}: a face refers to a vertex that is not among the {len(vertices)}")
    return Mesh(vertices, faces)


def read_normals(path: _Path) -> np.ndarray | None:
    """Read the normals of a cloud's points from a ply file (nx, ny, nz), also compressed.

    Parameters
    ----------
    path : str or path-like
        A file that :func:`read_points` reads.

    Returns
    -------
    float64 array (n, 3) or None
        As they stand there, in the order of the points; None where there are none, or in another format.

    Examples
    --------
    >>> import pathlib, tempfile, pointmetrics as pm
    >>> head = "ply\\nformat ascii 1.0\\nelement vertex 1\\n"
    >>> names = "".join(f"property float {name}\\n" for name in ("x", "y", "z", "nx", "ny", "nz"))
    >>> path = pathlib.Path(tempfile.mkdtemp(), "one.ply")
    >>> _ = path.write_text(head + names + "end_header\\n5 6 7 0 0 1\\n")
    >>> pm.io.read_normals(path)
    array([[0., 0., 1.]])
    """
    path = Path(path)
    suffix = suffix_of(path)
    if _READERS.get(suffix.removesuffix(".gz")) is not _io_ply.read:
        return None
    data = _contents(path, suffix, scattered=False)
    try:
        return _io_ply.read_normals(unpack_gzip(data) if suffix.endswith(".gz") else data)
    except (ValueError, LookupError, ArithmeticError, OSError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error


def suffix_of(path: Path) -> str:
    """Return the part of a file's name that says its format, in small letters: ``.ply``, ``.ply.gz``, ``.pcd.bin``."""
    ends = [suffix.lower() for suffix in path.suffixes[-3:]]
    for length in (3, 2):
        joined = "".join(ends[-length:])
        if len(ends) >= length and joined.removesuffix(".gz") in _READERS and joined not in _UNPACKED:
            return joined
    return ends[-1] if ends else ""


def is_known(path: Path) -> bool:
    """Tell whether a file has the suffix of a format that is read."""
    return suffix_of(path).removesuffix(".gz") in _READERS


def is_text(path: Path) -> bool:
    """Tell whether a file has the suffix of a text format with columns."""
    return _READERS.get(suffix_of(path).removesuffix(".gz")) is table.read


def _contents(path: Path, suffix: str, scattered: bool) -> Any:
    """Return the bytes of a file, or a map of them where they are many."""
    with open(path, "rb") as file:
        if path.stat().st_size < _MAPPED or suffix not in (".ply", ".npy"):
            return file.read()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if scattered and hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)  # reading ahead of every row wanted would read most of the file
    return mapped


def read_points(
    path: _Path,
    *,
    drop_invalid: bool = False,
    max_points: int | None = None,
    seed: int | np.random.Generator | None = 0,
    columns: Columns | None = None,
) -> np.ndarray:
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
    columns : sequence of str or int, default=None
        Of a text file, the names in its heading (or the numbers, from 0) of the columns that are coordinates, in their
        order. ``None`` takes x, y and z where a heading names them, and the first three where there is no heading.

    Returns
    -------
    array (n, d)
        float64; float32 or integers where an npy or npz file holds such (float16 becomes float32), float32 from scans
        (``.bin``). d is 3, or less where a file has fewer columns: of more
        than three, those named x, y and z are taken, or else the first three; nOFF keeps all.

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

    if columns is not None:
        columns = _check_columns(columns)
    points = _read(Path(path), pick, columns).vertices
    if drop_invalid:
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) == 0:
            raise ValueError(f"{path}: every point has a NaN or infinite coordinate")
    return points


def _check_columns(columns: Any) -> Columns:
    listed = list(columns) if hasattr(columns, "__iter__") and not isinstance(columns, str) else []
    if not listed or any(isinstance(c, bool) or not isinstance(c, (str, int, np.integer)) for c in listed):
        raise ValueError(f"columns must be names or numbers, such as ('lon', 'lat', 'alt'), got {columns!r}")
    return listed


def write_points(path: _Path, points: Any) -> None:
    """Write a cloud to a file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Its suffix says the format: ``.ply`` and ``.pcd`` (binary), ``.obj`` and ``.off`` (vertices), ``.xyz``,
        ``.txt``, ``.asc``, ``.pts``, ``.csv`` (with a heading), ``.npy``, ``.npz``; all but npz also with ``.gz``.
    points : array (n, d)
        Numbers; all formats but npy and npz want d = 3, text also takes 2. float32 and float64 are kept, other numbers
        become float64 (float16 becomes float32) except in npy and npz.

    Raises
    ------
    ValueError
        Where the suffix is unknown or does not take such points. OSError where the file cannot be written.

    Notes
    -----
    :func:`read_points` reads the same numbers: text has as many digits as that takes, so those of a float32 cloud are
    the same once they are made float32 again.

    Examples
    --------
    >>> import pointmetrics.io, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pointmetrics.io.write_points(folder + "/cloud.ply", [[0.5, 1, 2], [3, 4, 5]])
    ...     pointmetrics.io.read_points(folder + "/cloud.ply")
    array([[0.5, 1. , 2. ],
           [3. , 4. , 5. ]])
    """
    from ._clouds.libraries import to_numpy
    from ._clouds.objects import points_of
    from ._io.write import WRITERS

    path = Path(path)
    suffix = suffix_of(path)
    if suffix.removesuffix(".gz") not in WRITERS:
        raise ValueError(f"{path}: unknown suffix {path.suffix!r}; written are {', '.join(WRITERS)}")
    if np.ma.is_masked(points):
        raise ValueError("points must not be masked: a file cannot say which of them are")
    array, _ = to_numpy(points_of(points, "points"), "points")
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise ValueError(f"points must be numbers of shape (n, d), got {array.dtype} of shape {array.shape}")
    writer, dimensions = WRITERS[suffix.removesuffix(".gz")]
    if array.shape[1] not in dimensions:
        raise ValueError(
            f"points must have {' or '.join(map(str, dimensions))} columns in {suffix} files, got {array.shape[1]}"
        )
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    content = writer(array)
    if suffix.endswith(".gz"):
        import gzip

        content = gzip.compress(content, mtime=0)
    # Written beside and moved into place, so that an interruption leaves what there was.
    target = path.resolve()
    part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(content)
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def sample_mesh(
    vertices: Any, faces: Any = None, n: Any = None, *, seed: int | np.random.Generator | None = None
) -> np.ndarray:
    """Draw points uniformly from the surface of a triangle mesh.

    Parameters
    ----------
    vertices : array (v, 3), or mesh
        Corners of the triangles; or a mesh of Open3D, trimesh or PyVista, and no ``faces``: ``sample_mesh(mesh, n)``.
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
    from ._clouds.objects import read_mesh
    from ._metrics.mesh import read_faces

    if n is None and np.ndim(faces) == 0:  # behind a mesh
        faces, n = None, faces
    vertices, faces = read_mesh(vertices, faces)
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
        fans = [
            np.column_stack([polygons[:, 0], polygons[:, k], polygons[:, k + 1]])
            for k in range(1, polygons.shape[1] - 1)
        ]
        return np.stack(fans, axis=1).reshape(-1, 3) if fans else np.empty((0, 3), dtype=np.int64)
    corners = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    try:
        return np.array(corners, dtype=np.int64).reshape(-1, 3)
    except OverflowError as error:
        raise ValueError("a face refers to a vertex beyond any number of them") from error


_PICKING = (_io_ply.read, npy.read)  # readers that leave out themselves what is not wanted
_READERS: dict[str, Callable[..., tuple[np.ndarray, Any]]] = {
    ".npy": npy.read, ".npz": npy.read, ".ply": _io_ply.read, ".pcd": _io_pcd.read, ".obj": read_obj,
    ".off": read_off, ".xyz": table.read, ".txt": table.read, ".csv": table.read, ".asc": table.read,
    ".pts": table.read, ".bin": foreign.read_kitti, ".pcd.bin": foreign.read_nuscenes,
    ".stl": foreign.read_stl, ".glb": foreign.read_glb, ".las": foreign.read_las,
    ".laz": foreign.read_las,
}  # fmt: skip
_UNPACKED = (".npz.gz", ".laz.gz")  # packed themselves
SUFFIXES = tuple(sorted(_READERS))  # in lower case, of the formats that are known
