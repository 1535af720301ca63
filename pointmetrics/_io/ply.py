"""Reader of the Stanford polygon format (ply), ascii and binary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .text import integer, number, read_polygons, split_lines

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8", "bool": "u1",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LINE = 1000  # bytes of the last line of a header that is cut


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
            axes = _axes(element)
            wanted = slice(None) if pick is None else pick(element.count)
            with np.errstate(invalid="ignore"):  # signalling NaNs
                vertices = np.column_stack([np.asarray(columns[axis])[wanted].astype(np.float64) for axis in axes])
            if pick is not None:
                break
        elif element.name == "face" and (name := _corners(element)) is not None:
            polygons = columns.get(name, [])
    return vertices, polygons


def read_normals(data: Any) -> np.ndarray | None:
    """Return the normals of a ply file's vertices; None where they have none."""
    order, elements, body = _header(data)
    read_element = _ascii_rows(bytes(body)) if order == "" else _binary_rows(body, order)
    for element in elements:
        if element.name == "vertex" and not {"nx", "ny", "nz"} <= {p.name for p in element.properties}:
            return None
        columns = read_element(element)
        if element.name == "vertex":
            return np.column_stack([np.asarray(columns[axis]).astype(np.float64) for axis in ("nx", "ny", "nz")])
    return None


def _axes(element: _Element) -> list[str]:
    """Return the names of x, y and z, in small letters or capitals."""
    scalars = {p.name: p for p in element.properties if p.count_kind is None}
    names = [axis if axis in scalars else axis.upper() for axis in "xyz"]
    missing = [axis for axis, name in zip("xyz", names, strict=True) if name not in scalars]
    if missing:
        raise ValueError(f"vertices have no property {', '.join(missing)}")
    if len(scalars) < sum(p.count_kind is None for p in element.properties):
        raise ValueError("vertices have two properties of one name")
    return names


def _corners(element: _Element) -> str | None:
    """Return the name of the list of a face's corners; None where faces have none."""
    lists = {p.name: p for p in element.properties if p.count_kind is not None}
    name = next((name for name in ("vertex_indices", "vertex_index") if name in lists), None)
    if name is not None and lists[name].kind[0] == "f":
        raise ValueError(f"faces must have integer corners, got {name} of type {lists[name].kind}")
    return name


def _header(data: Any) -> tuple[str, list[_Element], memoryview]:
    order = None
    elements: list[_Element] = []
    lines, end = _header_lines(data)
    for line in lines:
        tokens = line.split()
        if not tokens or tokens[0] in ("comment", "obj_info"):
            continue
        if tokens[0] == "format" and len(tokens) > 1 and tokens[1] in _ORDERS:
            order = _ORDERS[tokens[1]]
        elif tokens[0] == "element" and len(tokens) == 3 and tokens[2].isdecimal():
            elements.append(_Element(tokens[1], integer(tokens[2])))
        elif tokens[0] == "property" and elements:
            elements[-1].properties.append(_property(tokens, line))
        else:
            raise ValueError(f"the header line {line[:80]!r} is not understood")
    if order is None:
        raise ValueError("the header names no format")
    for name in ("vertex", "face"):
        if sum(element.name == name for element in elements) > 1:
            raise ValueError(f"the header has several elements {name}")
    return order, elements, memoryview(data)[end:]


def _header_lines(data: Any) -> tuple[list[str], int]:
    """Return the lines between the first and end_header, and where the next begins; they end as the first one does."""
    at = 3 if data[:3] == b"\xef\xbb\xbf" else 0  # an editor's mark
    if data[at : at + 3] != b"ply":
        raise ValueError("does not begin with 'ply'")
    first = bytes(data[at : at + 80])
    feed, back = (first.find(mark) for mark in (b"\n", b"\r"))
    mark = b"\r" if back >= 0 and (feed < 0 or back + 1 < feed) else b"\n"
    lines: list[str] = []
    while True:
        end = data.find(mark, at)
        line = data[at : at + _LINE if end < 0 else end].decode("ascii", errors="replace").strip()
        if end < 0:
            raise ValueError("ends after the header" if line == "end_header" else "the header has no end_header")
        at = end + 1
        if line == "end_header":
            return lines[1:], at
        lines.append(line)


def _property(tokens: list[str], line: str) -> _Property:
    kinds = tokens[2:4] if tokens[1:2] == ["list"] else tokens[1:2]
    if (
        len(tokens) != len(kinds) + (3 if len(kinds) == 2 else 2)
        or any(kind not in _TYPES for kind in kinds)
        or (len(kinds) == 2 and _TYPES[kinds[0]][0] == "f")
    ):
        raise ValueError(f"the header line {line[:80]!r} is not understood")
    if len(kinds) == 2:
        return _Property(tokens[4], _TYPES[kinds[1]], _TYPES[kinds[0]])
    return _Property(tokens[2], _TYPES[kinds[0]])


def _ascii_rows(body: bytes) -> Any:
    lines = [line for line in split_lines(body.decode("ascii", errors="replace")) if line.strip()]
    used = 0

    def read_element(element: _Element) -> dict[str, Any]:
        nonlocal used
        if not element.properties:
            return {}
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
        if len(element.properties) == 1 and element.properties[0].kind[0] != "f":
            lists = read_polygons(rows, counted=True)
            if lists is not None:
                return {element.properties[0].name: lists}
        columns: dict[str, list[Any]] = {p.name: [] for p in element.properties}
        for i, line in enumerate(rows):
            _read_row(line.split(), element, columns, f"row {i} of {element.name}")
        return columns

    return read_element


def _read_row(row: list[str], element: _Element, columns: dict[str, list[Any]], where: str) -> None:
    at = 0
    for prop in element.properties:
        size = 1
        try:
            if prop.count_kind is not None and at < len(row):
                size, at = _whole(row[at]), at + 1
            values = [number(t) if prop.kind[0] == "f" else _whole(t) for t in row[at : at + max(size, 0)]]
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if len(values) != size:
            raise ValueError(f"{where} is too short" if size > 0 else f"{where} has a list of {size} entries")
        columns[prop.name].append(values if prop.count_kind else values[0])
        at += size


def _whole(token: str) -> int:
    """Read an integer, which some write as ``3.0``."""
    try:
        return integer(token)
    except ValueError:
        value = number(token)
        if not value.is_integer():
            raise ValueError(f"{token[:80]!r} is no integer") from None
        return int(value)


def _binary_rows(body: memoryview, order: str) -> Any:
    used = 0

    def take(dtype: np.dtype, count: int, what: str) -> np.ndarray:
        nonlocal used
        if count < 0:
            raise ValueError(f"a list of {what} has {count} entries")
        if used + count * dtype.itemsize > len(body):
            raise ValueError(
                f"ends within the rows of {what}: {len(body) - used} bytes are left "
                f"where {count * dtype.itemsize} are needed"
            )
        values = np.frombuffer(body, dtype, count, used)
        used += count * dtype.itemsize
        return values

    def read_element(element: _Element) -> dict[str, Any]:
        nonlocal used
        if not element.properties:
            return {}
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
    return {
        p.name: np.concatenate([np.reshape(head, (1, *rest[p.name].shape[1:])), rest[p.name]])
        for p, head in zip(element.properties, first, strict=True)
    }
