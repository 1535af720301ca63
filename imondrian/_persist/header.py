"""What all binary forms share: a magic number, a version, and a header of JSON under a checksum, which lists arrays.

There are two framings of it. The file (``container.py``) can be mapped: each array begins at a multiple of 64 bytes,
as it lies in memory, and has a checksum of its own. The short form (``codec.py``) is one string under one checksum, its
arrays narrowed; models of keys, their first points, and where a stream was are kept in it. Whatever the framing:

- the magic number says what it is, and the version which reader it needs: others are refused in words that say so;
- the header is ASCII JSON without NaN and infinities, and the CRC-32 covers it together with what says how long it is;
- arrays are little-endian and of a type in ``DTYPES``; their bytes have a checksum, and nothing lies between them;
- what is declared is held against the bytes that there are before anything is allocated.

CRC-32 finds every flipped bit and nearly every other accident. It is no defence against forgery: whoever reads must
check what the arrays say. A reader refuses versions it does not know. What is added within a version must be such that
an older reader still refuses what it would misread; everything else raises the version.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Any, NoReturn

import numpy as np

DTYPES = ("<f4", "<f8", "<i4", "<i8", "<u4", "<u8", "|u1", "|b1")
MAX_AXES = 8


def checksum(*parts: Any) -> int:
    """Return the CRC-32 of some bytes, one after another."""
    found = 0
    for part in parts:
        found = zlib.crc32(part, found)
    return found


def check_version(what: str, found: int, known: int) -> None:
    """Raise ValueError where a form is of another version than the one that is read."""
    if found != known:
        raise ValueError(f"{what} has format version {found}; this imondrian reads version {known}")


def dump(header: dict[str, Any]) -> bytes:
    """Return a header as bytes."""
    return json.dumps(header, allow_nan=False, separators=(",", ":")).encode("ascii")


def load(data: bytes) -> Any:
    """Return what is in a header; ValueError if it is not such JSON."""
    try:
        return json.loads(data.decode("ascii"), parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_constant(text)


def little_endian(name: str, array: np.ndarray) -> np.ndarray:
    """Return an array as its bytes are to lie there; TypeError where no form holds its type."""
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise TypeError(f"array {name!r} must have one of the types {', '.join(DTYPES)}, got {array.dtype}")
    return np.ascontiguousarray(array, dtype)


def is_shape(shape: Any, most: int) -> bool:
    """Whether a header's shape is one, of axes no longer than ``most``."""
    return (
        isinstance(shape, list)
        and len(shape) <= MAX_AXES
        and all(type(length) is int and 0 <= length <= most for length in shape)
    )


def check_bools(name: str, data: Any, dtype: np.dtype) -> None:
    """Raise ValueError where bytes of truths hold something else."""
    if dtype == np.bool_ and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise ValueError(f"array {name!r} holds what is neither true nor false")
