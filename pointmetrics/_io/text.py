"""Numbers and lines of text files; the readers of obj and off, which take bytes and return vertices and polygons."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

Polygons = list[list[int]]

# What C runtimes print for the numbers that are none, and Fortran's exponents.
_NAN = re.compile(r"[+-]?(?:nan(?:\(\w*\))?|1\.#(?:IND|QNAN|SNAN)\d*)", re.IGNORECASE)
_INFINITE = re.compile(r"([+-]?)1\.#INF\d*", re.IGNORECASE)
_FORTRAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))[dD]([+-]?\d+)")
_AFTER_INDEX = re.compile(r"(?<=\d)/[\d/-]*")  # of a corner: its texture and normal
_COMMENT = re.compile(r"(?<!\d\.)#.*")  # a mark begins one, except in "1.#IND"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def number(token: str) -> float:
    """Read one number; ``1.0D+00`` and ``-nan(ind)`` are some, ``1_000`` is none."""
    try:
        if "_" not in token:
            return float(token)
    except ValueError:
        pass
    if match := _FORTRAN.fullmatch(token):
        return float(f"{match[1]}e{match[2]}")
    if _NAN.fullmatch(token):
        return math.nan
    if match := _INFINITE.fullmatch(token):
        return float(f"{match[1]}inf")
    raise ValueError(f"could not convert string to float: {token[:80]!r}")


def is_number(token: str) -> bool:
    """Tell whether :func:`number` reads a token."""
    try:
        number(token)
    except ValueError:
        return False
    return True


def integer(token: str) -> int:
    """Read one integer; ``1_000`` is none."""
    if "_" in token:
        raise ValueError(f"{token[:80]!r} is no integer")
    return int(token)


def numbers(tokens: list[str], where: str) -> list[float]:
    """Turn tokens into floats, saying where one is none."""
    try:
        return [number(t) for t in tokens]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def decode(data: bytes) -> str:
    """Decode text, in UTF-16 and UTF-32 where a byte-order mark says so, refusing binary content."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\0" in data:
        raise ValueError("is binary where text is expected")
    return data.decode("utf-8", errors="replace")


def join_lines(text: str) -> str:
    """End lines by line feeds alone."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def split_lines(text: str) -> list[str]:
    """Split at line feeds, carriage returns or both; unlike ``str.splitlines`` at nothing else."""
    return join_lines(text).split("\n")


def read_numbers(rows: list[str]) -> np.ndarray | None:
    """Read rows of equally many numbers ten times faster than one by one; None where they are something else."""
    if not rows or not rows[0].strip():
        return None
    try:
        found = np.loadtxt(rows, comments=None, ndmin=2)
    except ValueError:
        return None
    return found if len(found) == len(rows) else None  # it leaves out empty ones


def read_polygons(rows: list[str], counted: bool) -> np.ndarray | None:
    """Read rows of equally many corners, after their number where ``counted``; None where they are something else."""
    if any("." in row or "e" in row or "E" in row for row in rows):
        return None
    found = read_numbers(rows)
    if found is None or not (np.abs(found) < 2**53).all() or (counted and (found[:, 0] != found.shape[1] - 1).any()):
        return None
    return found[:, int(counted) :].astype(np.int64)


def read_obj(data: bytes) -> tuple[np.ndarray, Any]:
    """Read the ``v`` and ``f`` lines of a Wavefront file.

    Of a vertex the first three numbers are its place: the format's fourth is a weight that no polygon needs (it is not
    divided by), and colours may follow.
    """
    text = join_lines(decode(data))
    plain = _read_plain_obj(text)
    if plain is not None:
        return plain
    vertices: list[list[float]] = []
    polygons: Polygons = []
    for i, line in _obj_lines(text):
        tokens = line.split()
        if not tokens:
            continue
        if tokens[0] in ("v", "V"):
            if len(tokens) < 4:
                raise ValueError(f"line {i}: a vertex needs three coordinates")
            vertices.append(numbers(tokens[1:4], f"line {i}"))
        elif tokens[0] in ("f", "F", "fo"):
            polygons.append([_obj_index(t, len(vertices), i) for t in tokens[1:]])
    return np.array(vertices, dtype=np.float64).reshape(-1, 3), polygons


def _read_plain_obj(text: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Read a file of nothing unusual: vertices alike, and polygons of one size that count from the first vertex."""
    if "\\" in text:
        return None
    vertices: list[str] = []
    polygons: list[str] = []
    for line in text.split("\n"):
        if line.startswith("v "):
            vertices.append(line[2:])
        elif line.startswith("f "):
            polygons.append(line[2:])
        elif line.lstrip().lower().startswith(("v ", "v\t", "f ", "f\t", "fo")):
            return None
    at = read_numbers(vertices)
    if at is None or at.shape[1] < 3:
        return None
    if not polygons:
        return at[:, :3], np.empty((0, 3), np.int64)
    corners = read_polygons(_AFTER_INDEX.sub("", "\n".join(polygons)).split("\n"), counted=False)
    return None if corners is None or corners.min() < 1 else (at[:, :3], corners - 1)


def _obj_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines by number, without comments, those put together that a backslash continues."""
    begun, first = "", 0
    for i, line in enumerate(text.split("\n"), 1):
        line = _COMMENT.sub("", line) if "#" in line else line
        if not begun:
            first = i
        if "\\" in line and line.rstrip().endswith("\\"):
            begun += line.rstrip()[:-1] + " "
            continue
        yield first, begun + line
        begun = ""
    if begun:
        yield first, begun


def _obj_index(token: str, n_vertices: int, line: int) -> int:
    try:
        index = integer(token.split("/")[0])
    except ValueError as error:
        raise ValueError(f"line {line}: {token[:80]!r} is no vertex index") from error
    if index == 0:
        raise ValueError(f"line {line}: vertex indices count from 1, got 0")
    # Negative indices count back from the last vertex read so far.
    return index - 1 if index > 0 else n_vertices + index


# Texture coordinates, colours and normals follow a vertex's place; "4" is a weight to divide by, "n" any dimension.
_OFF = re.compile(r"(?:ST)?C?N?(?P<weight>4?)(?P<any>n?)OFF(?P<rest>.*)")


def read_off(data: bytes) -> tuple[np.ndarray, Any]:
    """Read an Object File Format file: OFF, and COFF, NOFF, STOFF, 4OFF and nOFF in their order."""
    lines = [(_COMMENT.sub("", line) if "#" in line else line).strip() for line in split_lines(decode(data))]
    lines = [line for line in lines if line]
    first = lines[0].split() if lines else [""]
    kind = _OFF.fullmatch(first[0]) or _OFF.fullmatch(first[0].upper())
    if kind is None:
        raise ValueError("does not begin with OFF")
    # ModelNet40 has files whose counts follow "OFF" without a line break or even a blank.
    tokens = [t for t in (kind["rest"], *first[1:]) if t]
    if tokens and tokens[0].upper() == "BINARY":
        raise ValueError("is a binary OFF file, which is not read: write it as text")
    body, dimension = lines[1:], 3
    if kind["any"]:
        if not tokens and body:
            tokens, body = body[0].split(), body[1:]
        if not tokens or not tokens[0].isdecimal() or int(tokens[0]) < 1:
            raise ValueError("the dimension is missing")
        dimension, tokens = int(tokens[0]), tokens[1:]
    if not tokens and body:
        tokens, body = body[0].split(), body[1:]
    if len(tokens) < 2 or not all(t.isdecimal() for t in tokens[:2]):
        raise ValueError("the numbers of vertices and faces are missing")
    n_vertices, n_faces = int(tokens[0]), int(tokens[1])
    if len(body) < n_vertices + n_faces:
        raise ValueError(f"ends after {len(body)} of {n_vertices + n_faces} vertices and faces")
    if len(body) > n_vertices + n_faces:
        raise ValueError(f"{len(body)} lines follow where the head counts {n_vertices} vertices and {n_faces} faces")
    vertices = _off_vertices(body[:n_vertices], dimension, bool(kind["weight"]))
    polygons = read_polygons(body[n_vertices:], counted=True)
    if polygons is not None:
        return vertices, polygons
    return vertices, [_off_face(row.split(), i) for i, row in enumerate(body[n_vertices:])]


def _off_vertices(lines: list[str], dimension: int, weighted: bool) -> np.ndarray:
    width = dimension + weighted
    values = read_numbers(lines)
    if values is None or values.shape[1] < width:
        rows = [line.split() for line in lines]
        if any(len(row) < width for row in rows):
            short = next(i for i, row in enumerate(rows) if len(row) < width)
            what = "three coordinates" if width == 3 else f"{width} numbers"
            raise ValueError(f"vertex {short} has fewer than {what}")
        values = np.array([numbers(row[:width], f"vertex {i}") for i, row in enumerate(rows)]).reshape(-1, width)
    values = values[:, :width]
    if not weighted:
        return values
    if (values[:, -1] == 0).any():
        raise ValueError(f"vertex {int(np.argmax(values[:, -1] == 0))} lies at infinity: its fourth number is 0")
    return values[:, :-1] / values[:, -1:]


def _off_face(row: list[str], i: int) -> list[int]:
    try:
        size = integer(row[0])
        corners = [integer(t) for t in row[1 : size + 1]]
    except ValueError as error:
        raise ValueError(f"face {i}: {error}") from error
    if size < 0 or len(corners) < size:
        raise ValueError(f"face {i}: {len(row) - 1} of {size} corners")
    return corners
