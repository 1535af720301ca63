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

from imondrian._models.features import Fields
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
    nominal : list of ndarray (n_features,), bool
        Which features of a part are words.
    """

    def __init__(self) -> None:
        self.count = 0
        self.parts: list[tuple[tuple[Any, ...], np.ndarray]] = []
        self.nominal: list[np.ndarray] = []

    def tables(self) -> Iterator[Fields]:
        """Yield the stretches."""
        for (names, values), nominal in zip(self.parts, self.nominal, strict=True):
            yield Fields(names, values, nominal)

    def learn(
        self,
        fields: Sequence[Any],
        values: np.ndarray,
        nominal: np.ndarray | None = None,
        point: dict[Any, Any] | None = None,
        times: None = None,
    ) -> None:
        """Keep some more points; TypeError, and nothing is kept, where values are of another kind than those before."""
        names, values, nominal, *_ = self._settled(Fields.of(tuple(fields), values, nominal, point))
        if len(values) == 0 or (not self.parts and not names):
            return  # nor would a model learn a point without features before it knows any
        self.count += len(values)
        if self.parts and self.parts[-1][0] == names and (self.nominal[-1] == nominal).all():
            self.parts[-1] = (self.parts[-1][0], np.concatenate((self.parts[-1][1], values)))
        else:
            self.parts.append((tuple(names), np.array(values)))
            self.nominal.append(nominal)

    def _settled(self, table: Fields) -> Fields:
        """Return a table whose columns are of the kinds before, as a model would."""
        kinds: dict[Any, bool] = {}
        for names, values, nominal, *_ in self.tables():
            told = ~np.isnan(values).all(axis=0)
            kinds.update((name, kind) for name, kind, has in zip(names, nominal.tolist(), told, strict=True) if has)
        others = [
            j
            for j, name in enumerate(table.names)
            if kinds.get(name, table.nominal[j]) != table.nominal[j] and not np.isnan(table.values[:, j]).all()
        ]
        for j in others:
            if not table.holds_truths(j):
                raise table.kind_error(j)
        return table.with_numbers(others)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + sum(400 + 101 * len(fields) + values.nbytes for fields, values in self.parts)

    def to_bytes(self) -> bytes:
        """Return the points in the short form of ``_persist/codec.py``: features and values by turns.

        What is nominal stands between the two where something is.
        """
        parts: list[Any] = []
        for names, values, nominal, *_ in self.tables():
            parts += [list(names), *([nominal] if nominal.any() else []), values]
        return pack(parts, _FORM)

    @staticmethod
    def is_young(data: bytes) -> bool:
        """Tell whether bytes are such points."""
        return _FORM.is_of(data)

    @classmethod
    def from_bytes(cls, data: bytes, most: int) -> Young:
        """Rebuild from ``to_bytes()``; ValueError tells what is damaged, such as more than ``most`` points."""
        young = cls()
        try:
            for fields, kinds, values in _parts_1(data) if data[3:4] == b"\1" else _parts(data):
                nominal = np.zeros(len(fields), bool) if kinds is None else kinds
                if (
                    not isinstance(fields, list)
                    or not isinstance(values, np.ndarray)
                    or not all(map(is_key, fields))
                    or len(set(fields)) != len(fields)
                    or values.dtype != np.float64
                    or values.ndim != 2
                    or values.shape[1] != len(fields)
                    or np.isinf(values).any()
                    or nominal.dtype != bool
                    or nominal.shape != (len(fields),)
                ):
                    raise ValueError("points do not fit their features")
                young.learn(fields, values, nominal)
        except (TypeError, KeyError, AttributeError, RecursionError, OverflowError, MemoryError) as error:
            raise ValueError(f"no points: {error}") from None
        if young.count > most:
            raise ValueError(f"{young.count} points, at most {most} wait to be learnt")
        return young


def _parts(data: bytes) -> Iterator[tuple[Any, Any, Any]]:
    state = unpack(data, form=_FORM)
    if not isinstance(state, list):
        raise ValueError(f"no points: {state!r:.80}")
    rest = iter(state)
    for fields in rest:
        kinds, values = None, next(rest, None)
        if isinstance(values, np.ndarray) and values.dtype == bool:
            kinds, values = values, next(rest, None)
        yield fields, kinds, values


def _parts_1(data: bytes) -> Iterator[tuple[Any, Any, Any]]:
    """Read version 1."""
    text = data[_PREFIX_1.size :]
    if len(data) < _PREFIX_1.size or _PREFIX_1.unpack_from(data) != (_FORM.letters, 1, checksum(text)):
        raise ValueError("the checksum does not match")
    for fields, rows in json.loads(text):
        values = np.array(rows, np.float64)
        if values.shape != (len(rows), len(fields)) or not _are_numbers(rows):
            raise ValueError("points do not fit their features")
        yield decode(fields, {}), None, values


def _are_numbers(rows: list[list[Any]]) -> bool:
    """Whether JSON's rows hold numbers alone: numpy would also read texts as some."""
    return all(type(value) in (int, float) for row in rows for value in row)
