"""Reader of the point cloud library's format (pcd): ascii, binary and compressed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .text import integer, numbers, split_lines

_KINDS = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}


@dataclass(frozen=True, slots=True)
class _Header:
    kinds: list[str]  # numpy's types, one a field
    counts: list[int]
    axes: list[int]  # the fields x, y, z
    n: int
    layout: str


def read(data: bytes) -> tuple[np.ndarray, list[list[int]]]:
    """Return the points of a pcd file, with NaN where the sensor saw nothing, and no polygons."""
    lines, body = _header_lines(data)
    header = _header(lines)
    if header.n == 0:
        return np.empty((0, 3)), []
    if header.layout == "ascii":
        return _ascii(body, header), []
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return np.column_stack(_columns(body, header)).astype(np.float64), []


def _columns(body: bytes, header: _Header) -> list[np.ndarray]:
    """Return the values of x, y and z of a binary file."""
    fields = [
        (f"{i}", f"<{kind}", (count,)) for i, (kind, count) in enumerate(zip(header.kinds, header.counts, strict=True))
    ]
    dtype = np.dtype(fields)
    size = header.n * dtype.itemsize
    if header.layout == "binary":
        _require(body, size)
        rows = np.frombuffer(body, dtype, header.n)
        return [rows[str(axis)][:, 0] for axis in header.axes]
    _require(body, 8)
    packed, unpacked = (int(v) for v in np.frombuffer(body, "<u4", 2))
    _require(body[8:], packed)
    if unpacked != size:
        raise ValueError(f"the compressed block unpacks to {unpacked} bytes where {size} are needed")
    block = _lzf(body[8 : 8 + packed], unpacked)
    # Compressed files keep each field's values together, those of a field with several point by point.
    starts = np.cumsum([0] + [dtype[f"{i}"].itemsize * header.n for i in range(len(fields))])
    return [
        np.frombuffer(block, f"<{header.kinds[axis]}", header.n * header.counts[axis], starts[axis])[
            :: header.counts[axis]
        ]
        for axis in header.axes
    ]


def _header_lines(data: bytes) -> tuple[dict[str, list[str]], bytes]:
    """Return the words of the header's lines by the first one in capitals, and what follows DATA."""
    feed, back = data.find(b"\n"), data.find(b"\r")
    mark = b"\r" if back >= 0 and (feed < 0 or back + 1 < feed) else b"\n"
    header: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in header:
        end = data.find(mark, at)
        if end < 0:
            raise ValueError("the header has no DATA line")
        tokens = data[at:end].decode("utf-8-sig" if at == 0 else "ascii", errors="replace").split()
        at = end + 1
        if tokens and not tokens[0].startswith("#"):
            header[tokens[0].upper()] = tokens[1:]
    return header, data[at:]


def _header(lines: dict[str, list[str]]) -> _Header:
    if "FIELDS" not in lines and "COLUMNS" in lines:  # until version 0.5
        lines = {**lines, "FIELDS": lines["COLUMNS"]}
    for name in ("FIELDS", "SIZE", "TYPE"):
        if name not in lines:
            raise ValueError(f"the header has no {name} line")
    names = lines["FIELDS"]
    words = {name: lines.get(name, ["1"] * len(names)) for name in ("SIZE", "TYPE", "COUNT")}
    for name, found in words.items():
        if len(found) != len(names):
            raise ValueError(f"{name} has {len(found)} entries where FIELDS has {len(names)}")
    counts, sizes = ([_natural(token, name) for token in words[name]] for name in ("COUNT", "SIZE"))
    if 0 in counts:
        raise ValueError(f"COUNT must be 1 or more, got {' '.join(words['COUNT'])}")
    kinds = [kind.upper() for kind in words["TYPE"]]
    for kind, size in zip(kinds, sizes, strict=True):
        if kind not in _KINDS or size not in _KINDS[kind]:
            raise ValueError(f"TYPE and SIZE must be F 4, F 8, or I or U with 1, 2, 4 or 8, got {kind} {size}")
    layout = " ".join(lines["DATA"]).lower()
    if layout not in ("ascii", "binary", "binary_compressed"):
        raise ValueError(f"DATA must be ascii, binary or binary_compressed, got {layout}")
    return _Header(
        [f"{kind.lower()}{size}" for kind, size in zip(kinds, sizes, strict=True)],
        counts,
        [_axis(names, axis) for axis in "xyz"],
        _count(lines),
        layout,
    )


def _axis(names: list[str], axis: str) -> int:
    """Return the number of the field of an axis, in small letters or a capital."""
    for name in (axis, axis.upper()):
        if names.count(name) > 1:
            raise ValueError(f"has several fields {name}")
        if name in names:
            return names.index(name)
    raise ValueError(f"has no field {axis}, only {' '.join(names)}")


def _count(lines: dict[str, list[str]]) -> int:
    """Return the number of points, said by POINTS, by WIDTH and HEIGHT, or by both alike."""
    said = {name: _natural(" ".join(lines[name]), name) for name in ("POINTS", "WIDTH", "HEIGHT") if name in lines}
    if "WIDTH" not in said and "POINTS" not in said:
        raise ValueError("the header does not say how many points there are")
    grid = said["WIDTH"] * said.get("HEIGHT", 1) if "WIDTH" in said else said["POINTS"]
    if said.get("POINTS", grid) != grid:
        raise ValueError(f"POINTS is {said['POINTS']} where WIDTH x HEIGHT are {grid}")
    return grid


def _natural(token: str, name: str) -> int:
    if not token.isdecimal():
        raise ValueError(f"{name} must be a number, got {token[:80]!r}")
    return integer(token)


def _ascii(body: bytes, header: _Header) -> np.ndarray:
    n, lines = header.n, split_lines(body.decode("ascii", errors="replace"))
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if len(rows) != n:
        raise ValueError(
            f"ends after {len(rows)} of {n} points"
            if len(rows) < n
            else f"{len(rows)} points follow where the header counts {n}"
        )
    starts = np.cumsum([0, *header.counts])
    columns = [int(starts[axis]) for axis in header.axes]
    if any(len(row) < starts[-1] for row in rows):
        raise ValueError(f"a point has fewer than the {starts[-1]} values of the header")
    return np.array([numbers([row[c] for c in columns], f"point {i}") for i, row in enumerate(rows)])


def _require(body: bytes, size: int) -> None:
    if len(body) < size:
        raise ValueError(f"ends after {len(body)} of {size} bytes of points")


def _lzf(packed: bytes, size: int) -> bytes:
    """Unpack Marc Lehmann's LZF: runs of literal bytes, and copies from what was written."""
    out = bytearray()
    at = 0
    while at < len(packed) and len(out) <= size:
        control = packed[at]
        at += 1
        if control < 32:
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        length, behind = control >> 5, packed[at : at + 2]
        at += 2 if length == 7 else 1
        if at > len(packed):
            raise ValueError("the compressed block is damaged: it ends within a copy")
        if length == 7:
            length += behind[0]
        start = len(out) - ((control & 31) << 8) - packed[at - 1] - 1
        if start < 0:
            raise ValueError("the compressed block is damaged: it copies from before its begin")
        # A copy may run into what it writes itself, so it is repeated rather than sliced.
        piece = out[start : start + length + 2]
        while len(piece) < length + 2:
            piece += piece[: length + 2 - len(piece)]
        out += piece
    if len(out) != size:
        raise ValueError(f"the compressed block unpacks to {len(out)} bytes where it says {size}")
    return bytes(out)
