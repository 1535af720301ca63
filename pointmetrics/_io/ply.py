"""Reader of the Stanford polygon format (ply), ascii and binary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class _Property:
    name: str
    kind: str
    count_kind: str | None = None  # of a list


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)

    @property
    def has_lists(self) -> bool:
        return any(p.count_kind for p in self.properties)


def read(data: Any, pick: Callable[[int], Any] | None = None) -> tuple[np.ndarray, Any]:
    """Return vertices and polygons of a ply file, its bytes or a memory map of them.

    ``pick`` returns the vertices wanted of so many; the polygons are then left out, and of a binary file only the
    rows wanted are read.
    """
    order, elements, body = _header(data)
    read_element = _ascii_rows(bytes(body)) if order == "" else _binary_rows(body, order)
    vertices, polygons = np.empty((0, 3)), []
    for element in elements:
        columns = read_element(element)
        if element.name == "vertex":
            missing = [axis for axis in "xyz" if axis not in columns]
            if missing:
                raise ValueError(f"vertices have no property {', '.join(missing)}")
            wanted = slice(None) if pick is None else pick(element.count)
            vertices = np.column_stack([np.asarray(columns[axis])[wanted].astype(np.float64) for axis in "xyz"])
            if pick is not None:
                break
        elif element.name == "face":
            polygons = columns.get("vertex_indices", columns.get("vertex_index", []))
    return vertices, polygons


def _header(data: Any) -> tuple[str, list[_Element], memoryview]:
    if data[:3] != b"ply":
        raise ValueError("does not begin with 'ply'")
    end = data.find(b"end_header")
    if end < 0:
        raise ValueError("the header has no end_header")
    order = None
    elements: list[_Element] = []
    for line in data[:end].decode("ascii", errors="replace").splitlines()[1:]:
        tokens = line.split()
        if not tokens or tokens[0] in ("comment", "obj_info"):
            continue
        if tokens[0] == "format" and len(tokens) > 1 and tokens[1] in _ORDERS:
            order = _ORDERS[tokens[1]]
        elif tokens[0] == "element" and len(tokens) == 3 and tokens[2].isdigit():
            elements.append(_Element(tokens[1], int(tokens[2])))
        elif tokens[0] == "property" and elements:
            elements[-1].properties.append(_property(tokens, line))
        else:
            raise ValueError(f"the header line {line!r} is not understood")
    if order is None:
        raise ValueError("the header names no format")
    newline = data.find(b"\n", end)
    if newline < 0:
        raise ValueError("ends after the header")
    return order, elements, memoryview(data)[newline + 1 :]


def _property(tokens: list[str], line: str) -> _Property:
    kinds = tokens[2:4] if tokens[1:2] == ["list"] else tokens[1:2]
    if len(tokens) != len(kinds) + (3 if len(kinds) == 2 else 2) or any(kind not in _TYPES for kind in kinds):
        raise ValueError(f"the header line {line!r} is not understood")
    if len(kinds) == 2:
        return _Property(tokens[4], _TYPES[kinds[1]], _TYPES[kinds[0]])
    return _Property(tokens[2], _TYPES[kinds[0]])


def _ascii_rows(body: bytes) -> Any:
    lines = [line for line in body.decode("ascii", errors="replace").splitlines() if line.strip()]
    used = 0

    def read_element(element: _Element) -> dict[str, Any]:
        nonlocal used
        rows = lines[used : used + element.count]
        used += element.count
        if len(rows) < element.count:
            raise ValueError(f"ends after {len(rows)} of {element.count} rows of {element.name}")
        if rows and not element.has_lists:
            try:
                table = np.loadtxt(rows, comments=None, ndmin=2, usecols=range(len(element.properties)))
                return {p.name: column for p, column in zip(element.properties, table.T, strict=True)}
            except ValueError:
                pass  # the loop below says what is wrong
        columns: dict[str, list[Any]] = {p.name: [] for p in element.properties}
        for i, line in enumerate(rows):
            row, at = line.split(), 0
            for prop in element.properties:
                size = 1 if prop.count_kind is None else int(row[at])
                at += prop.count_kind is not None
                values = [float(t) if prop.kind[0] == "f" else int(float(t)) for t in row[at : at + size]]
                if len(values) < size:
                    raise ValueError(f"row {i} of {element.name} is too short")
                columns[prop.name].append(values if prop.count_kind else values[0])
                at += size
        return columns

    return read_element


def _binary_rows(body: memoryview, order: str) -> Any:
    used = 0

    def take(dtype: np.dtype, count: int, what: str) -> np.ndarray:
        nonlocal used
        if used + count * dtype.itemsize > len(body):
            raise ValueError(f"ends within the rows of {what}: {len(body) - used} bytes are left "
                             f"where {count * dtype.itemsize} are needed")
        values = np.frombuffer(body, dtype, count, used)
        used += count * dtype.itemsize
        return values

    def read_element(element: _Element) -> dict[str, Any]:
        nonlocal used
        if not element.has_lists:
            dtype = np.dtype([(p.name, order + p.kind) for p in element.properties])
            rows = take(dtype, element.count, element.name)
            return {p.name: rows[p.name] for p in element.properties}
        start = used
        columns = _equal_lists(element, order, take) if element.count else {}
        if columns is not None:
            return columns
        used = start
        columns = {p.name: [] for p in element.properties}
        for _ in range(element.count):
            for prop in element.properties:
                size = 1
                if prop.count_kind is not None:
                    size = int(take(np.dtype(order + prop.count_kind), 1, element.name)[0])
                values = take(np.dtype(order + prop.kind), size, element.name).tolist()
                columns[prop.name].append(values if prop.count_kind else values[0])
        return columns

    return read_element


def _equal_lists(element: _Element, order: str, take: Any) -> dict[str, Any] | None:
    """Read rows whose lists all have the length of the first row's at once; None where they differ."""
    fields: list[Any] = []
    first: list[np.ndarray] = []
    for prop in element.properties:
        if prop.count_kind is not None:
            size = int(take(np.dtype(order + prop.count_kind), 1, element.name)[0])
            fields += [("n " + prop.name, order + prop.count_kind), (prop.name, order + prop.kind, (size,))]
            first.append(take(np.dtype(order + prop.kind), size, element.name))
        else:
            fields.append((prop.name, order + prop.kind))
            first.append(take(np.dtype(order + prop.kind), 1, element.name))
    dtype = np.dtype(fields)
    try:
        rest = take(dtype, element.count - 1, element.name)
    except ValueError:
        return None
    for prop in element.properties:
        if prop.count_kind and (rest["n " + prop.name] != dtype[prop.name].shape[0]).any():
            return None
    return {p.name: np.concatenate([np.reshape(head, (1, *rest[p.name].shape[1:])), rest[p.name]])
            for p, head in zip(element.properties, first, strict=True)}
