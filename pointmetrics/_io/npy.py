"""Reader of numpy's files, npy and npz, that believes nothing it has not checked.

``numpy.load`` raises whatever parsers and unpackers happen to raise, and allocates what a header claims. Here headers
are read first, sizes are compared with the bytes there are, members of archives are unpacked no further than their
own header says, and all damage is a ValueError.
"""

from __future__ import annotations

import ast
import io
import math
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .packed import check_ratio

_MAGIC = b"\x93NUMPY"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # unpackers of others do not stop at a size
_HEADER = 10_000  # bytes of it that are read at most, as numpy does


class Header(NamedTuple):
    """What an npy header says, and where the values begin."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    begin: int

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(data: Any) -> Header:
    """Read the header of an npy file from its first bytes."""
    start = bytes(data[:12])
    if not start.startswith(_MAGIC) or len(start) < 12:
        raise ValueError("is no npy file: it does not begin as one")
    if start[6] not in (1, 2, 3):
        raise ValueError(f"is an npy file of version {start[6]}, where 1 to 3 are known")
    length, begin = (
        (struct.unpack_from("<H", start, 8)[0], 10) if start[6] == 1 else (struct.unpack_from("<I", start, 8)[0], 12)
    )
    text = bytes(data[begin : begin + min(length, _HEADER)])
    if len(text) < length:
        raise ValueError(
            f"the npy header claims {length} bytes, and has {len(text)}"
            if length <= _HEADER
            else f"the npy header claims {length} bytes, more than any has"
        )
    try:
        # Python 2 wrote integers as 10L.
        said = ast.literal_eval(re.sub(r"(\d)L\b", r"\1", text.decode("utf-8" if start[6] == 3 else "latin-1")).strip())
        shape, fortran, descr = said["shape"], said["fortran_order"], said["descr"]
        dtype = np.lib.format.descr_to_dtype(descr)
    except Exception as error:  # whatever the parser makes of damage, up to MemoryError
        raise ValueError(f"the npy header is damaged: {text[:60]!r}") from error
    if (
        not isinstance(fortran, bool)
        or not isinstance(shape, tuple)
        or any(type(n) is not int or n < 0 for n in shape)
        or len(shape) > 32
    ):
        raise ValueError(f"the npy header is damaged: {text[:60]!r}")
    if dtype.hasobject:
        raise ValueError("holds Python objects, not numbers")
    if dtype.itemsize == 0:
        raise ValueError(f"holds values without a size, of dtype {dtype}")
    return Header(shape, fortran, dtype, begin + length)


def view(data: Any) -> np.ndarray:
    """Return the array of an npy file, its bytes or a map of them, without copying."""
    header = read_header(data)
    there = len(data) - header.begin
    if there < header.size:
        raise ValueError(f"ends after {len(data)} of {header.begin + header.size} bytes")
    if bytes(data[header.begin + header.size :][:6]) == _MAGIC:
        raise ValueError("holds several arrays")
    return _shaped(memoryview(data)[header.begin : header.begin + header.size], header)


def _shaped(values: Any, header: Header) -> np.ndarray:
    flat = np.frombuffer(values, header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


class Archive:
    """The arrays of an npz file by name, each unpacked when it is asked for."""

    def __init__(self, data: bytes) -> None:
        with _damage("is no npz archive"):
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._members = {info.filename.removesuffix(".npy"): info for info in self._zip.infolist()}
            if any(info.compress_type not in _METHODS for info in self._members.values()):
                raise ValueError("a member is packed by a method that numpy does not use")

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return list(self._members)

    def header(self, name: str) -> Header:
        """Read what a member is without unpacking it."""
        with _damage(f"member {name!r} is damaged"), self._zip.open(self._members[name]) as member:
            return read_header(member.read(_HEADER + 12))

    def read(self, name: str) -> np.ndarray:
        """Unpack a member, as far as its header says."""
        info = self._members[name]
        header = self.header(name)
        whole = header.begin + header.size
        if whole != info.file_size:
            raise ValueError(f"member {name!r} is damaged: its header asks for {whole} bytes of {info.file_size}")
        check_ratio(whole, info.compress_size, f"member {name!r}")
        with _damage(f"member {name!r} is damaged"), self._zip.open(info) as member:
            content = member.read(whole)
            if len(content) < whole or member.read(1):  # the end is where its checksum is compared
                raise ValueError("its size is not what it says")
        return _shaped(memoryview(content)[header.begin :], header)


@contextmanager
def _damage(what: str) -> Iterator[None]:
    """Turn whatever unpacking raises into a ValueError."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        text = str(error) or type(error).__name__
        raise ValueError(text if text.startswith(what) else f"{what}: {text}") from error


def read_archive(data: bytes) -> dict[str, np.ndarray]:
    """Return all arrays of an npz file; the array of an npy file is called ``""``."""
    if data[:6] == _MAGIC:
        return {"": view(data)}
    archive = Archive(data)
    # Members may share their packed bytes, so that each alone looks plausible.
    check_ratio(sum(archive.header(name).size for name in archive.names), len(data), "the archive")
    return {name: archive.read(name) for name in archive.names}


def read(data: Any, pick: Callable[[int], Any] | None = None) -> tuple[np.ndarray, Any]:
    """Return points and faces of an npy or npz file, told apart by how they begin."""
    if bytes(data[:2]) == b"PK":
        points, faces = _from_archive(Archive(bytes(data)))
    else:
        points, faces = view(data), []
    points = coordinates(points)
    if pick is not None and points.ndim == 2:
        points = points[pick(len(points))]
    # Not a view: it could not be written to, and pages of a map whose file is cut meanwhile would end the process.
    return _numbers(np.array(points, order="C")), faces


def _from_archive(archive: Archive) -> tuple[np.ndarray, Any]:
    for name in ("points", "pc", "arr_0", "vertices", "xyz"):
        if name in archive.names:
            faces = archive.read("faces") if "faces" in archive.names else np.empty((0, 3), np.int64)
            if faces.size and (faces.ndim != 2 or faces.dtype.kind not in "iu"):
                raise ValueError(f"faces must be integers of shape (f, k), got {faces.dtype} of shape {faces.shape}")
            return archive.read(name), faces
    if len(archive.names) == 1:
        return archive.read(archive.names[0]), []
    raise ValueError(f"holds the arrays {', '.join(archive.names[:20])}; call the one with the points 'points'")


def lies_across(shape: tuple[int, ...]) -> bool:
    """Tell whether an array of points looks as if its columns were the points."""
    return shape[-1] > 16 and shape[-2] <= 4


def coordinates(array: np.ndarray) -> np.ndarray:
    """Return the columns of an array that are called x, y and z, or else the first three of more than three."""
    names = {name.lower(): name for name in reversed(array.dtype.names or ())}
    if names:
        if not {"x", "y"} <= names.keys():
            raise ValueError(f"holds the fields {', '.join(array.dtype.names or ())}, of which none are called x and y")
        rows = array.reshape(-1)
        return np.column_stack([rows[names[axis]] for axis in "xyz" if axis in names])
    if array.ndim != 2:
        return array
    if array.shape[0] and lies_across(array.shape):
        raise ValueError(
            f"holds an array of shape {array.shape}, whose rows would be {array.shape[0]} points: store "
            f"one point a row, as the transpose has them"
        )
    return array[:, :3]


def _numbers(points: np.ndarray) -> np.ndarray:
    """Return numbers that are computed with: float32, float64 or integers in the machine's order."""
    kind = points.dtype
    if points.ndim != 2 or points.size == 0:
        return points  # the caller says what is wrong
    if kind.kind not in "fiu":
        raise ValueError(f"must hold numbers, got dtype {kind}")
    if kind.kind == "f" and kind.itemsize not in (4, 8):
        return points.astype(np.float32 if kind.itemsize == 2 else np.float64)
    return points.astype(kind.newbyteorder("="), copy=False)
