"""Values and arrays as a short string of bytes, quick to write and to read: the short form of ``header.py``.

Layout, little-endian: three letters that say what it is, a byte for its version, uint32 length of the header, uint32
CRC-32 of all that follows, the header (JSON), then its arrays one after another. An array is stored in the narrowest
type that holds every one of its values to the bit (counts and places take a byte or two instead of four or eight),
without the zeros at its end.

Reading executes nothing and trusts nothing: sizes are held against what there is, and the forest checks its invariants.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import numpy as np

from imondrian._forest.schema import COLUMNS

from .header import DTYPES, check_bools, check_version, checksum, dump, is_shape, little_endian, load
from .model_file import decode, encode

_PREFIX = struct.Struct("<3sBII")
_NARROWER = {"<i4": ("|i1", "<i2"), "<i8": ("|i1", "<i2", "<i4"), "<f8": ("|u1", "<u2")}
_COUNTS = {name for name, column in COLUMNS.items() if column.holds == "count"}
_ROOM = 1 << 20  # bytes that zeros left out may stand for, beside ...
_MOST_TIMES = 64  # ... so many times the bytes there are, where nobody says what a model may take


class Form(NamedTuple):
    """What is kept in the short form, and the version of it that is written and read."""

    letters: bytes
    version: int

    def is_of(self, data: bytes) -> bool:
        """Whether bytes say that they are this, in whatever version."""
        return data[: len(self.letters)] == self.letters


STATE = Form(b"IMK", 1)  # what a model has learnt, or where a stream was


def pack(state: Any, form: Form = STATE) -> bytes:
    """Return the bytes of plain values and arrays."""
    arrays: dict[str, np.ndarray] = {}
    encoded = encode(state, "", arrays)
    listed, parts = [], []
    for name, array in arrays.items():
        plain = little_endian(name, array)
        narrow = _narrowed(name, plain.reshape(-1), plain.dtype.str)
        data = narrow.tobytes().rstrip(b"\0")
        listed.append((name, plain.dtype.str, narrow.dtype.newbyteorder("<").str, array.shape, len(data)))
        parts.append(data)
    header = dump({"state": encoded, "arrays": listed})
    return b"".join((_PREFIX.pack(*form, len(header), checksum(header, *parts)), header, *parts))


def _narrowed(name: str, flat: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "<f8" and name.rsplit(".", 1)[-1] not in _COUNTS:
        return flat
    for kind in _NARROWER.get(dtype, ()) if len(flat) else ():
        limits = np.iinfo(kind)
        if limits.min <= flat.min() and flat.max() <= limits.max:
            narrow = flat.astype(kind)
            if dtype[1] == "i" or np.array_equal(narrow.astype(dtype).view("<i8"), flat.view("<i8")):
                return narrow
            break
    return flat


def unpack(data: bytes, most_bytes: int | None = None, form: Form = STATE) -> Any:
    """Return what was packed; ValueError tells what is damaged, such as more than ``most_bytes`` of arrays."""
    try:
        state = _unpacked(data, most_bytes or _ROOM + _MOST_TIMES * len(data), form)
    except (ValueError, KeyError, TypeError, struct.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"damaged: {error}") from None
    if form is STATE and not isinstance(state, dict):
        raise ValueError(f"damaged: no attributes: {state!r:.80}")
    return state


def _unpacked(data: bytes, room: int, form: Form) -> Any:
    letters, version, length, crc32 = _PREFIX.unpack_from(data)
    if letters != form.letters:
        raise ValueError(f"it begins with {letters!r}, not with {form.letters!r}")
    check_version("it", version, form.version)
    body = memoryview(data)[_PREFIX.size :]
    if length > len(body) or checksum(body) != crc32:
        raise ValueError("the checksum does not match")
    header = load(bytes(body[:length]))
    arrays, begin = {}, length
    for name, dtype, narrow, shape, size in header["arrays"]:
        if type(size) is not int or not 0 <= size <= len(body) - begin or name in arrays:
            raise ValueError(f"the array {name!r:.80} of {size!r:.80} bytes")
        arrays[name] = _widened(name, bytes(body[begin : begin + size]), dtype, narrow, shape, room)
        room -= arrays[name].nbytes
        begin += size
    state = decode(header["state"], arrays)
    if arrays or begin != len(body):
        raise ValueError("something belongs to nothing")
    return state


def _widened(name: str, data: bytes, dtype: Any, narrow: Any, shape: Any, room: int) -> np.ndarray:
    if dtype not in DTYPES or not (narrow == dtype or narrow in _NARROWER.get(dtype, ())):
        raise ValueError(f"an array of the type {dtype!r:.80} kept as {narrow!r:.80}")
    if not is_shape(shape, room):
        raise ValueError(f"an array of shape {shape!r:.80}")
    count, wide, kept = math.prod(shape), np.dtype(dtype), np.dtype(narrow)
    if count * wide.itemsize > room or len(data) > count * kept.itemsize:  # nothing is allocated before
        raise ValueError(f"an array of shape {shape!r:.80} in {len(data)} bytes")
    check_bools(name, data, wide)
    flat = np.frombuffer(data.ljust(count * kept.itemsize, b"\0"), kept)
    return flat.reshape(shape).astype(wide, copy=False)
