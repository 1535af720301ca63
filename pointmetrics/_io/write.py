"""Writers of point clouds."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np


def _ply(points: np.ndarray) -> bytes:
    kind = {"f4": "float", "f8": "double"}[points.dtype.str[1:]]
    properties = "".join(f"property {kind} {axis}\n" for axis in "xyz")
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{properties}end_header\n"
    return head.encode() + points.astype(points.dtype.newbyteorder("<")).tobytes()


def _pcd(points: np.ndarray) -> bytes:
    size = points.dtype.itemsize
    head = (
        f"# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z\nSIZE {size} {size} {size}\n"
        f"TYPE F F F\nCOUNT 1 1 1\nWIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\n"
        "DATA binary\n"
    )
    return head.encode() + points.astype(points.dtype.newbyteorder("<")).tobytes()


def _rows(points: np.ndarray, delimiter: str = " ", before: str = "") -> bytes:
    """Write as many digits as it takes to read the same numbers."""
    buffer = io.StringIO()
    digits = "%.17g" if points.dtype.itemsize == 8 else "%.9g"
    np.savetxt(buffer, points, fmt=before + delimiter.join([digits] * points.shape[1]))
    return buffer.getvalue().encode()


def _csv(points: np.ndarray) -> bytes:
    return ",".join("xyz"[: points.shape[1]]).encode() + b"\n" + _rows(points, ",")


def _pts(points: np.ndarray) -> bytes:
    return b"%d\n" % len(points) + _rows(points)


def _off(points: np.ndarray) -> bytes:
    return b"OFF\n%d 0 0\n" % len(points) + _rows(points)


def _obj(points: np.ndarray) -> bytes:
    return _rows(points, before="v ")


def _npy(points: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, points)
    return buffer.getvalue()


def _npz(points: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, points=points)
    return buffer.getvalue()


# Writers by suffix, each with the dimensions that the format can say.
WRITERS: dict[str, tuple[Callable[[np.ndarray], bytes], tuple[int, ...]]] = {
    ".ply": (_ply, (3,)), ".pcd": (_pcd, (3,)), ".obj": (_obj, (3,)), ".off": (_off, (3,)),
    ".xyz": (_rows, (2, 3)), ".txt": (_rows, (2, 3)), ".asc": (_rows, (2, 3)), ".pts": (_pts, (2, 3)),
    ".csv": (_csv, (2, 3)), ".npy": (_npy, (2, 3)), ".npz": (_npz, (2, 3)),
}  # fmt: skip
