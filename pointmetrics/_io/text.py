"""Readers of text formats: xyz, obj, off. Each takes bytes and returns vertices and polygons."""

from __future__ import annotations

import numpy as np

Polygons = list[list[int]]


def numbers(tokens: list[str], where: str) -> list[float]:
    """Turn tokens into floats, saying where one is none."""
    try:
        return [float(t) for t in tokens]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def decode(data: bytes) -> str:
    """Decode text, refusing binary content."""
    if b"\0" in data[:4096]:
        raise ValueError("is binary where text is expected")
    return data.decode("utf-8", errors="replace")


def read_xyz(data: bytes) -> tuple[np.ndarray, Polygons]:
    """Read one point a line, separated by blanks, commas or semicolons; ``#`` and ``//`` begin comments.

    Of more than three columns (colours, normals) the first three are taken; a heading line and a first
    line with only the number of points are skipped.
    """
    lines = decode(data).splitlines()
    plain = _read_plain(lines) if not any(mark in data for mark in (b",", b";", b"#", b"//")) else None
    if plain is not None:
        return plain, []
    rows: list[list[float]] = []
    for i, line in enumerate(lines, 1):
        tokens = line.split("#")[0].split("//")[0].replace(",", " ").replace(";", " ").split()
        if not tokens or (not rows and (len(tokens) == 1 or not _is_number(tokens[0]))):
            continue
        row = numbers(tokens[:3], f"line {i}")
        if rows and len(row) != len(rows[0]):
            raise ValueError(f"line {i}: {len(row)} coordinates where the first point has {len(rows[0])}")
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 3), []


def _read_plain(lines: list[str]) -> np.ndarray | None:
    """Read three or more numbers a line, and nothing else, ten times faster than line by line; None where more is."""
    width = len(lines[0].split()) if lines else 0
    if width < 3:
        return None
    try:
        return np.loadtxt(lines, comments=None, ndmin=2)[:, :3]
    except ValueError:
        return None


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def read_obj(data: bytes) -> tuple[np.ndarray, Polygons]:
    """Read the ``v`` and ``f`` lines of a Wavefront file."""
    vertices: list[list[float]] = []
    polygons: Polygons = []
    for i, line in enumerate(decode(data).splitlines(), 1):
        tokens = line.split()
        if not tokens:
            continue
        if tokens[0] == "v":
            if len(tokens) < 4:
                raise ValueError(f"line {i}: a vertex needs three coordinates")
            vertices.append(numbers(tokens[1:4], f"line {i}"))
        elif tokens[0] == "f":
            polygons.append([_obj_index(t, len(vertices), i) for t in tokens[1:]])
    return np.array(vertices, dtype=np.float64).reshape(-1, 3), polygons


def _obj_index(token: str, n_vertices: int, line: int) -> int:
    try:
        index = int(token.split("/")[0])
    except ValueError as error:
        raise ValueError(f"line {line}: {token!r} is no vertex index") from error
    if index == 0:
        raise ValueError(f"line {line}: vertex indices count from 1, got 0")
    # Negative indices count back from the last vertex read so far.
    return index - 1 if index > 0 else n_vertices + index


def read_off(data: bytes) -> tuple[np.ndarray, Polygons]:
    """Read an Object File Format file."""
    lines = [line.split("#")[0].split() for line in decode(data).splitlines()]
    lines = [line for line in lines if line]
    if not lines or "OFF" not in lines[0][0]:
        raise ValueError("does not begin with OFF")
    # ModelNet40 has files whose counts follow "OFF" without a line break or even a blank.
    head = [t for t in (lines[0][0].partition("OFF")[2], *lines[0][1:]) if t]
    body = lines[1:]
    if not head:
        head, body = (body[0] if body else []), body[1:]
    if len(head) < 2 or not all(t.isdigit() for t in head[:2]):
        raise ValueError("the numbers of vertices and faces are missing")
    n_vertices, n_faces = int(head[0]), int(head[1])
    if len(body) < n_vertices + n_faces:
        raise ValueError(f"ends after {len(body)} of {n_vertices + n_faces} vertices and faces")
    vertices = [numbers(row[:3], f"vertex {i}") for i, row in enumerate(body[:n_vertices])]
    if any(len(row) != 3 for row in vertices):
        raise ValueError("a vertex has fewer than three coordinates")
    polygons = []
    for i, row in enumerate(body[n_vertices : n_vertices + n_faces]):
        size = int(row[0])
        if len(row) < size + 1:
            raise ValueError(f"face {i}: {len(row) - 1} of {size} corners")
        polygons.append([int(t) for t in row[1 : size + 1]])
    return np.array(vertices, dtype=np.float64).reshape(-1, 3), polygons
