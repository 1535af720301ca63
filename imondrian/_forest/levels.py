"""Levels of nominal columns as words: hash bits that stand in a row where others have numbers.

A word of a float64 forest is a level's BLAKE2b digest of 8 bytes, little-endian, with bit 62 cleared and bit 0 set,
read as a float64: finite, and never 0. A float32 forest has its upper 32 bits, with bit 0 set. So words are the same
in every process and version, and nobody keeps a table of levels: a million of them take no memory. NaN is missing.

What is hashed is a letter for the kind, and the value:

- ``t`` and the UTF-8 of a text. Case and Unicode form matter: "é" as one character and as two are two levels.
- ``b`` and the bytes of bytes.
- ``e`` and ``Class.NAME`` of a member of an enum. Members that are texts or numbers, too, are those.
- ``n`` and the fraction ``p/q`` in lowest terms, in hexadecimal digits, of a number or truth value: numbers that are
  equal are one level, of whatever type, and True is 1.
"""

from __future__ import annotations

import enum
import math
import numbers
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np

_KEPT, _SET = np.uint64(~(1 << 62) & (1 << 64) - 1), np.uint64(1)
_CACHED = 1 << 14
_LONGEST_CACHED = 256
_MOST_DIGITS = 400  # of a Decimal on either side of its point: as much as a float has


def is_level(value: Any) -> bool:
    """Return whether a value of a point is a category: text, bytes, a truth value, a member of an enum."""
    kind = type(value)
    return (
        kind is str
        or kind is bool
        or isinstance(value, (str, bytes, np.bool_))
        or (isinstance(value, enum.Enum) and not isinstance(value, numbers.Number))
    )


def form_of(value: Any) -> bytes:
    """Return what is hashed of a level; TypeError for what can be none, ValueError for a number out of range."""
    if isinstance(value, str):
        return b"t" + str.encode(value, "utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return b"b" + value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, enum.Enum) and not isinstance(value, numbers.Number):
        return b"e" + f"{type(value).__qualname__}.{value.name}".encode()
    if isinstance(value, Decimal):
        parts = value.as_tuple()
        if not value.is_finite() or abs(int(parts.exponent)) + len(parts.digits) > _MOST_DIGITS:
            raise ValueError
    elif not isinstance(value, (numbers.Rational, float)):
        raise TypeError
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    p, q = value.as_integer_ratio() if hasattr(value, "as_integer_ratio") else (value.numerator, value.denominator)
    return f"n{p:x}/{q:x}".encode()


def _words_of_forms(forms: Iterable[bytes]) -> np.ndarray:
    digests = b"".join([blake2b(form, digest_size=8).digest() for form in forms])
    bits = np.frombuffer(digests, "<u8").astype(np.uint64) & _KEPT | _SET
    return bits.view(np.float64)


def word_of(value: Any) -> float:
    """Return the word of one level, for float64."""
    return float(_words_of_forms([form_of(value)])[0])


_remembered = lru_cache(_CACHED)(word_of)


def word(value: Any) -> float:
    """Return the word of a level, of which :func:`is_level` holds; those of a stream come again and again."""
    if isinstance(value, (str, bytes)) and len(value) > _LONGEST_CACHED:
        return word_of(value)
    return _remembered(value)


TRUE, FALSE = word_of(True), word_of(False)


def numbers_of_truths(words: np.ndarray) -> np.ndarray | None:
    """Return the words of truth values as 1 and 0; None where others are among them."""
    missing, true = np.isnan(words), words == TRUE
    return np.where(missing, np.nan, true) if (missing | true | (words == FALSE)).all() else None


def words_of_levels(levels: Sequence[Any]) -> np.ndarray:
    """Return the words of distinct levels, NaN for what is missing, float64."""
    if all(type(level) is str for level in levels):
        return _words_of_forms([b"t" + level.encode("utf-8", "surrogatepass") for level in levels])
    found = np.full(len(levels), math.nan)
    there = [not _is_missing(level) for level in levels]
    found[there] = _words_of_forms([form_of(level) for level, is_there in zip(levels, there, strict=True) if is_there])
    return found


def words_of_codes(codes: np.ndarray, levels: Sequence[Any]) -> np.ndarray:
    """Return the words of ``levels[codes]``; -1 is missing."""
    return np.append(words_of_levels(levels), math.nan)[codes]


def words_of_numbers(values: np.ndarray) -> np.ndarray:
    """Return the words of numbers that are levels; NaN is missing, ValueError for infinite ones."""
    levels, codes = np.unique(values, return_inverse=True)
    return words_of_codes(codes.reshape(values.shape), levels.tolist())


def words_of(values: Sequence[Any] | np.ndarray, dtype: Any = np.float64) -> np.ndarray:
    """Return the words of levels (n,), in a forest's precision; None and NaN are missing.

    TypeError for what can be no level. Each distinct one is hashed once.
    """
    codes = np.full(len(values), -1)
    known: dict[Any, int] = {}
    for place, value in enumerate(values):
        if not _is_missing(value):
            codes[place] = known.setdefault(value, len(known))
    return narrowed(words_of_codes(codes, list(known)), dtype)


def narrowed(words: np.ndarray, dtype: Any) -> np.ndarray:
    """Return words of float64 in a forest's precision."""
    if np.dtype(dtype) == np.float64:
        return words
    bits = (np.ascontiguousarray(words).view(np.uint64) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    return np.where(np.isnan(words), np.float32(np.nan), bits.view(np.float32))


def _is_missing(value: Any) -> bool:
    return value is None or bool(value is np.ma.masked) or (not isinstance(value, (str, bytes)) and _is_nan(value))


def _is_nan(value: Any) -> bool:
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA
        return True
