"""Columns of pyarrow as numpy arrays and back.

pyarrow's own conversions import pandas wherever it is installed, which takes longer, and more memory, than scoring most
files does; these go by the buffers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def to_numpy(column: pa.Array) -> np.ndarray:
    """Return a view of a column of numbers without nulls."""
    dtype = np.dtype(_NUMPY[column.type])
    buffer = column.buffers()[1]
    return (
        np.frombuffer(buffer, dtype, len(column), column.offset * dtype.itemsize) if len(column) else np.empty(0, dtype)
    )


def to_floats(column: pa.Array, single: bool) -> np.ndarray:
    """Return a column of numbers or truth values as floats; nulls become NaN, digits that floats lack are rounded."""
    kind = pa.float32() if single else pa.float64()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.uint8())
    if column.type != kind:
        column = pc.cast(column, kind, safe=False)
    if column.null_count:
        column = pc.fill_null(column, from_numpy(np.full(1, np.nan, _NUMPY[kind]))[0])  # pa.scalar imports pandas, too
    return to_numpy(column)


def levels_of(column: pa.Array) -> tuple[np.ndarray, list[object]]:
    """Return the distinct values of a column, and which of them each value is; -1 where it is missing."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    places = pc.cast(coded.indices, pa.int32())
    if places.null_count:
        places = pc.fill_null(places, from_numpy(np.full(1, -1, np.int32))[0])
    return to_numpy(places), coded.dictionary.to_pylist()


def from_numpy(values: np.ndarray) -> pa.Array:
    """Return an array of numbers or truth values as a column."""
    n = len(values)
    if values.dtype == bool:
        return pa.Array.from_buffers(pa.bool_(), n, [None, pa.py_buffer(np.packbits(values, bitorder="little"))])
    return pa.Array.from_buffers(_ARROW[values.dtype.str[1:]], n, [None, pa.py_buffer(np.ascontiguousarray(values))])


def from_texts(values: Sequence[str | None]) -> pa.Array:
    """Return texts as a column; None is a missing one."""
    held = np.array([value is not None for value in values], bool)
    data = [b"" if value is None else value.encode() for value in values]
    ends = np.cumsum([0, *map(len, data)], dtype=np.int64)
    buffers = [np.packbits(held, bitorder="little"), ends, b"".join(data)]
    return pa.Array.from_buffers(pa.large_string(), len(values), [pa.py_buffer(buffer) for buffer in buffers])


def take(column: pa.Array, places: np.ndarray) -> pa.Array:
    """Return the values at some places, those of a dictionary as they are: files may not change it on the way."""
    taken = column.take(from_numpy(places))
    return taken.dictionary_decode() if pa.types.is_dictionary(taken.type) else taken


_ARROW = {"f8": pa.float64(), "f4": pa.float32(), "i8": pa.int64(), "i4": pa.int32(), "u1": pa.uint8()}
_NUMPY = {kind: name for name, kind in _ARROW.items()}
