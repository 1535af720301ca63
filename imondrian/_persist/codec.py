"""Plain values and arrays as a short string of bytes, quick to write and to read: how keyed stores hold models.

Layout, version 1, little-endian: ``b"IMK\\1"``, uint32 length of the header, uint32 CRC-32 of all that follows, the
header (JSON), then its arrays one after another. An array is stored in the narrowest type that holds every one of
its values to the bit (counts and places take a byte or two instead of four or eight), without the zeros at its end.

Reading executes nothing and trusts nothing: sizes are held against what there is, and the forest checks its invariants.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import Any

import numpy as np

from .container import MAX_AXES, finite, no_constant
from .model_file import decode, encode

_PREFIX = struct.Struct("<4sII")
_MAGIC = b"IMK\x01"
_NARROWER = {"<i4": ("|i1", "<i2"), "<i8": ("|i1", "<i2", "<i4"), "<f8": ("|u1", "<u2")}
_WHOLE = {"mass", "clean", "leaf_mass", "leaf_clean"}  # float64 that hold whole numbers, nearly always
_DTYPES = ("<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "|u1", "|b1")
_ROOM = 1 << 20  # bytes that zeros left out may stand for, beside ...
_MOST_TIMES = 64  # ... so many times the bytes there are, where nobody says what a model may take


def pack(state: dict[str, Any]) -> bytes:
    """Return the bytes of plain values and arrays."""
    arrays: dict[str, np.ndarray] = {}
    encoded = encode(state, "", arrays)
    listed, parts = [], []
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<").str
        flat = np.ascontiguousarray(array).reshape(-1)
        narrow = _narrowed(name, flat, dtype)
        data = narrow.tobytes().rstrip(b"\0")
        listed.append((name, dtype, narrow.dtype.newbyteorder("<").str, array.shape, len(data)))
        parts.append(data)
    header = json.dumps({"state": encoded, "arrays": listed}, allow_nan=False, separators=(",", ":")).encode("ascii")
    body = b"".join((header, *parts))
    return _PREFIX.pack(_MAGIC, len(header), zlib.crc32(body)) + body


def _narrowed(name: str, flat: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "<f8" and name.rsplit(".", 1)[-1] not in _WHOLE:
        return flat
    for kind in _NARROWER.get(dtype, ()) if len(flat) else ():
        limits = np.iinfo(kind)
        if limits.min <= flat.min() and flat.max() <= limits.max:
            narrow = flat.astype(kind)
            if dtype[1] == "i" or np.array_equal(narrow.astype(dtype).view("<i8"), flat.view("<i8")):
                return narrow
            break
    return flat


def unpack(data: bytes, most_bytes: int | None = None) -> dict[str, Any]:
    """Return what was packed; ValueError tells what is damaged, such as more than ``most_bytes`` of arrays."""
    left = most_bytes or _ROOM + _MOST_TIMES * len(data)
    try:
        magic, length, checksum = _PREFIX.unpack_from(data)
        body = memoryview(data)[_PREFIX.size :]
        if magic != _MAGIC or length > len(body) or zlib.crc32(body) != checksum:
            raise ValueError("the checksum does not match")
        header = json.loads(bytes(body[:length]), parse_constant=no_constant, parse_float=finite)
        arrays, begin = {}, length
        for name, dtype, narrow, shape, size in header["arrays"]:
            if type(size) is not int or not 0 <= size <= len(body) - begin or name in arrays:
                raise ValueError(f"the array {name!r:.80} of {size!r:.80} bytes")
            arrays[name] = _widened(bytes(body[begin : begin + size]), dtype, narrow, shape, left)
            left -= arrays[name].nbytes
            begin += size
        state = decode(header["state"], arrays)
        if arrays or begin != len(body):
            raise ValueError("something belongs to nothing")
        if not isinstance(state, dict):
            raise ValueError(f"no attributes: {state!r:.80}")
    except (ValueError, KeyError, TypeError, struct.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"damaged: {error}") from None
    return state


def _widened(data: bytes, dtype: Any, narrow: Any, shape: Any, most_bytes: int) -> np.ndarray:
    if dtype not in _DTYPES or not (narrow == dtype or narrow in _NARROWER.get(dtype, ())):
        raise ValueError(f"an array of the type {dtype!r:.80} kept as {narrow!r:.80}")
    if (
        not isinstance(shape, list)
        or len(shape) > MAX_AXES
        or not all(type(length) is int and length >= 0 for length in shape)
    ):
        raise ValueError(f"an array of shape {shape!r:.80}")
    count, wide, kept = math.prod(shape), np.dtype(dtype), np.dtype(narrow)
    if count * wide.itemsize > most_bytes or len(data) > count * kept.itemsize:  # nothing is allocated before
        raise ValueError(f"an array of shape {shape!r:.80} in {len(data)} bytes")
    flat = np.frombuffer(data.ljust(count * kept.itemsize, b"\0"), kept)
    if dtype == "|b1" and flat.view(np.uint8).max(initial=0) > 1:
        raise ValueError("what is neither true nor false")
    return flat.reshape(shape).astype(wide, copy=False)
