"""A key's first points, before there are enough of them for a score: kept as they came, and no model yet.

Most keys of a large fleet are rarely heard of. Until a model is ready it scores 0 whatever it has learnt, so learning
can wait until then, and is the same to the bit.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from imondrian._persist.codec import Form, pack, unpack
from imondrian._persist.header import checksum
from imondrian._persist.model_file import decode, is_key

_FORM = Form(b"IMY", 2)
_PREFIX_1 = struct.Struct("<3sBI")  # of version 1: then JSON, in which points are numbers


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
        """Return the points in the short form of ``_persist/codec.py``: features and values by turns."""
        return pack([part for fields, values in self.parts for part in (list(fields), values)], _FORM)

    @staticmethod
    def is_young(data: bytes) -> bool:
        """Tell whether bytes are such points."""
        return _FORM.is_of(data)

    @classmethod
    def from_bytes(cls, data: bytes, most: int) -> Young:
        """Rebuild from ``to_bytes()``; ValueError tells what is damaged, such as more than ``most`` points."""
        young = cls()
        try:
            for fields, values in _parts_1(data) if data[3:4] == b"\1" else _parts(data):
                if (
                    not isinstance(fields, list)
                    or not all(map(is_key, fields))
                    or len(set(fields)) != len(fields)
                    or values.dtype != np.float64
                    or values.ndim != 2
                    or values.shape[1] != len(fields)
                    or np.isinf(values).any()
                ):
                    raise ValueError("points do not fit their features")
                young.learn(fields, values)
        except (TypeError, KeyError, AttributeError, RecursionError, OverflowError, MemoryError) as error:
            raise ValueError(f"no points: {error}") from None
        if young.count > most:
            raise ValueError(f"{young.count} points, at most {most} wait to be learnt")
        return young


def _parts(data: bytes) -> Iterator[tuple[Any, Any]]:
    state = unpack(data, form=_FORM)
    if not isinstance(state, list) or len(state) % 2:
        raise ValueError(f"no points: {state!r:.80}")
    yield from zip(state[::2], state[1::2], strict=True)


def _parts_1(data: bytes) -> Iterator[tuple[Any, Any]]:
    """Read version 1."""
    text = data[_PREFIX_1.size :]
    if len(data) < _PREFIX_1.size or _PREFIX_1.unpack_from(data) != (_FORM.letters, 1, checksum(text)):
        raise ValueError("the checksum does not match")
    for fields, rows in json.loads(text):
        values = np.array(rows, np.float64)
        if values.shape != (len(rows), len(fields)) or not _are_numbers(rows):
            raise ValueError("points do not fit their features")
        yield decode(fields, {}), values


def _are_numbers(rows: list[list[Any]]) -> bool:
    """Whether JSON's rows hold numbers alone: numpy would also read texts as some."""
    return all(type(value) in (int, float) for row in rows for value in row)
