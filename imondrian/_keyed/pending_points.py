"""A key's first points, before there are enough of them for a score: kept as they came, and no model yet.

Most keys of a large fleet are rarely heard of. Until a model is ready it scores 0 whatever it has learnt, so learning
can wait until then, and is the same to the bit.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from imondrian._persist.model_file import decode, encode, is_key

_PREFIX = struct.Struct("<4sI")
_MAGIC = b"IMY\x01"


class Young:
    """Points in the order they came, in stretches that have the same features.

    Attributes
    ----------
    count : int
        Points that a model would have learnt.
    parts : list of (tuple of features, ndarray (n, n_features))
    """

    def __init__(self) -> None:
        self.count = 0
        self.parts: list[tuple[tuple[Any, ...], np.ndarray]] = []

    def learn(self, fields: Sequence[Any], values: np.ndarray) -> None:
        """Keep some more points."""
        fields = tuple(fields)
        if len(values) == 0 or (not self.parts and not fields):
            return  # nor would a model learn a point without features before it knows any
        self.count += len(values)
        if self.parts and self.parts[-1][0] == fields:
            self.parts[-1] = (fields, np.concatenate((self.parts[-1][1], values)))
        else:
            self.parts.append((fields, np.array(values)))

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + sum(400 + 100 * len(fields) + values.nbytes for fields, values in self.parts)

    def to_bytes(self) -> bytes:
        """Return the points as bytes: a magic number, a CRC-32, and JSON."""
        listed = [[encode(list(fields), "", {}), values.tolist()] for fields, values in self.parts]
        data = json.dumps(listed, separators=(",", ":")).encode("ascii")  # NaN and all digits, as Python reads them
        return _PREFIX.pack(_MAGIC, zlib.crc32(data)) + data

    @staticmethod
    def is_young(data: bytes) -> bool:
        """Tell whether bytes are such points."""
        return data[: len(_MAGIC)] == _MAGIC

    @classmethod
    def from_bytes(cls, data: bytes, most: int) -> Young:
        """Rebuild from ``to_bytes()``; ValueError tells what is damaged, such as more than ``most`` points."""
        young, text = cls(), data[_PREFIX.size :]
        if len(data) < _PREFIX.size or _PREFIX.unpack_from(data) != (_MAGIC, zlib.crc32(text)):
            raise ValueError("the checksum does not match")
        try:
            for fields, rows in json.loads(text):
                fields = decode(fields, {})
                values = np.array(rows, np.float64)
                if (
                    not isinstance(fields, list)
                    or not all(map(is_key, fields))
                    or len(set(fields)) != len(fields)
                    or values.shape != (len(rows), len(fields))
                    or np.isinf(values).any()
                    or not _are_numbers(rows)
                ):
                    raise ValueError("points do not fit their features")
                young.learn(fields, values)
        except (TypeError, KeyError, RecursionError, OverflowError, MemoryError) as error:
            raise ValueError(f"no points: {error}") from None
        if young.count > most:
            raise ValueError(f"{young.count} points, at most {most} wait to be learnt")
        return young


def _are_numbers(rows: list[list[Any]]) -> bool:
    """Whether JSON's rows hold numbers alone: numpy would also read texts as some."""
    return all(type(value) in (int, float) for row in rows for value in row)
