"""The file a model is saved in: named arrays under a JSON header. No pickle: reading executes nothing.

Layout, version 1. Every number is little-endian::

    bytes 0-7    magic: 89 49 4D 4F 4E 0D 0A 1A ("\\x89IMON\\r\\n\\x1a")
    bytes 8-11   uint32, format version: 1
    bytes 12-15  uint32, length of the header in bytes, at most 4 MiB
    bytes 16-19  uint32, CRC-32 of bytes 8-15 and the header
    bytes 20-23  zero
    bytes 24-    header: ASCII JSON
    then         the arrays in the header's order, C-contiguous. Each begins at the next multiple of
                 64 bytes; what lies between is zero. The file ends with the last array's last byte.

The header is an object of three members. ``class`` names the class that saved. ``arrays`` lists every
array: ``name``, ``dtype`` ("<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "|u1", or "|b1", whose bytes are 0
or 1), ``shape``, ``offset`` from the end of the header rounded up to a multiple of 64, and ``crc32``
of its bytes. ``state`` is what ``_persist/model_file.py`` wrote; it refers to the arrays by name.

``header.py`` says what it shares with the short form.
"""

from __future__ import annotations

import math
import mmap as memory_map
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np

from .header import DTYPES, check_bools, check_version, checksum, dump, is_shape, little_endian, load
from .whole_file import check_not_held, open_regular, real_path, replacing

MAGIC = b"\x89IMON\r\n\x1a"
VERSION = 1
MAX_HEADER = 1 << 22
_ALIGNMENT = 64
_PREFIX = struct.Struct("<8sIII4s")


class _Span(NamedTuple):
    """Where an array lies in the file, and where the one before it (or the header) ends."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    after: int
    begin: int
    end: int
    crc32: int


# -- writing ---------------------------------------------------------------------------------------


def write(
    path: str | os.PathLike[str],
    kind: str,
    state: Any,
    arrays: dict[str, np.ndarray],
    verify: Callable[[str], None] | None = None,
) -> None:
    """Replace the file at ``path``, all at once: whatever happens, it holds the old model or the new one.

    Parameters
    ----------
    path : str or os.PathLike
        A symbolic link is followed. The permissions of a file that exists are kept.
    kind : str
        Name of the class that saves.
    state : JSON value
        Without NaN and infinities.
    arrays : dict of str to ndarray
        Float32, float64, 32- and 64-bit integers, uint8 and bool.
    verify : callable, optional
        Called with the name of the new file before it takes the place of the old one; what it raises prevents that.

    Raises
    ------
    BlockingIOError
        Another process is learning into the file.
    OSError
        The file cannot be written, or what is there is none; what was there before still is.
    ValueError
        The header would be longer than 4 MiB.
    """
    plain = {name: little_endian(name, array) for name, array in arrays.items()}
    header = _header(kind, state, plain)
    if len(header) > MAX_HEADER:
        raise ValueError(
            f"the model's names and settings take {len(header):,} bytes; a file has room for {MAX_HEADER:,}"
        )
    counts = struct.pack("<II", VERSION, len(header))
    real = real_path(path)
    check_not_held(real)
    with replacing(real, verify) as file:
        file.write(_PREFIX.pack(MAGIC, VERSION, len(header), checksum(counts, header), b"\0" * 4))
        file.write(header)
        for array in plain.values():
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            file.write(array.data if array.size else b"")


def _header(kind: str, state: Any, arrays: dict[str, np.ndarray]) -> bytes:
    listed, offset = [], 0
    for name, array in arrays.items():
        offset += -offset % _ALIGNMENT
        listed.append(
            {
                "name": name,
                "dtype": array.dtype.newbyteorder("<").str,
                "shape": array.shape,
                "offset": offset,
                "crc32": checksum(array.data if array.size else b""),
            }
        )
        offset += array.nbytes
    return dump({"class": kind, "state": state, "arrays": listed})


# -- reading ---------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str], *, mmap: bool = False) -> tuple[str, Any, dict[str, np.ndarray]]:
    """Return the class, the state and the arrays of a file.

    Parameters
    ----------
    path : str or os.PathLike
    mmap : bool, default=False
        Return the arrays as read-only maps of the file instead of copies in memory.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is no such file, has a newer version, or is damaged; the message says what is wrong.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        kind, state, spans = _parse(path, file, size)
        if mmap:
            content: Any = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_READ)
        else:
            content = np.empty(size, np.uint8)
            file.seek(0)
            if file.readinto(memoryview(content)) != size:
                _damaged(path, "it became shorter while it was read")
    _check_bytes(path, content, spans)
    return kind, state, {span.name: _array(content, span) for span in spans}


def _damaged(path: Any, what: str) -> NoReturn:
    raise ValueError(f"{os.fspath(path)!r} is damaged: {what}")


def _parse(path: Any, file: BinaryIO, size: int) -> tuple[str, Any, list[_Span]]:
    """Read and check everything but the arrays."""
    prefix = file.read(_PREFIX.size)
    if prefix[: len(MAGIC)] != MAGIC[: len(prefix)] or not prefix:
        raise ValueError(f"{os.fspath(path)!r} is not a file saved by imondrian")
    if len(prefix) < _PREFIX.size:
        _damaged(path, f"it ends after {len(prefix)} bytes")
    _, version, length, crc32, zero = _PREFIX.unpack(prefix)
    check_version(repr(os.fspath(path)), version, VERSION)
    if length > MAX_HEADER:
        _damaged(path, f"a header of {length} bytes, at most {MAX_HEADER} are possible")
    header = file.read(length)
    if len(header) < length:
        _damaged(path, f"it ends after {size} bytes, within the header")
    if checksum(prefix[8:16], header) != crc32 or any(zero):
        _damaged(path, "the header does not match its checksum")
    try:
        content = load(header)
    except ValueError as error:
        _damaged(path, f"the header is not JSON: {error}")
    if (
        not isinstance(content, dict)
        or content.keys() != {"class", "state", "arrays"}
        or not isinstance(content["class"], str)
        or not isinstance(content["arrays"], list)
    ):
        _damaged(path, "the header must have the members class (text), state and arrays (list), and no other")
    spans = list(_spans(path, content["arrays"], _PREFIX.size + length, size))
    end = spans[-1].end if spans else _PREFIX.size + length
    if end != size:
        _damaged(path, f"it has {size} bytes, its header tells of {end}")
    return content["class"], content["state"], spans


def _spans(path: Any, listed: Sequence[Any], after: int, size: int) -> Iterator[_Span]:
    """Check the list of arrays against the size of the file: nothing is allocated for what cannot be there."""
    names: set[str] = set()
    start, offset = after + -after % _ALIGNMENT, 0
    for entry in listed:
        if not isinstance(entry, dict) or entry.keys() != {"name", "dtype", "shape", "offset", "crc32"}:
            _damaged(path, "an array must have the members name, dtype, shape, offset and crc32, and no other")
        name, shape = entry["name"], entry["shape"]
        if not isinstance(name, str) or name in names:
            _damaged(path, f"the array name {name!r} must be text and occur once")
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
            raise ValueError(
                f"{os.fspath(path)!r} cannot be read: array {name!r} has the type {entry['dtype']!r}, "
                f"this format holds {', '.join(DTYPES)}"
            )
        dtype = np.dtype(entry["dtype"])
        if not is_shape(shape, size):
            _damaged(path, f"array {name!r} cannot have the shape {shape!r:.80} in a file of {size} bytes")
        offset += -offset % _ALIGNMENT
        if type(entry["offset"]) is not int or entry["offset"] != offset or type(entry["crc32"]) is not int:
            _damaged(path, f"array {name!r} must begin at {offset} and have a checksum")
        end = offset + math.prod(shape) * dtype.itemsize
        if start + end > size:
            _damaged(path, f"it has {size} bytes, array {name!r} would end at {start + end}")
        names.add(name)
        yield _Span(name, dtype, tuple(shape), after, start + offset, start + end, entry["crc32"])
        after, offset = start + end, end


def _check_bytes(path: Any, content: Any, spans: Sequence[_Span]) -> None:
    """Compare every array with its checksum, and see that nothing hides between them."""
    with memoryview(content) as view:
        for span in spans:
            with view[span.begin : span.end] as part:
                if checksum(part) != span.crc32:
                    _damaged(path, f"array {span.name!r} does not match its checksum")
                try:
                    check_bools(span.name, part, span.dtype)
                except ValueError as error:
                    _damaged(path, str(error))
            if any(view[span.after : span.begin]):
                _damaged(path, f"there is something before array {span.name!r}")


def _array(content: Any, span: _Span) -> np.ndarray:
    count = math.prod(span.shape)
    array = np.frombuffer(content, span.dtype, count, span.begin) if count else np.zeros(0, span.dtype)
    array = array.reshape(span.shape)
    return array if span.dtype.isnative else array.astype(span.dtype.newbyteorder("="))
