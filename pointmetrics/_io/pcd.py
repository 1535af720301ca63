"""Reader of the point cloud library's format (pcd): ascii, binary and compressed."""

from __future__ import annotations

import numpy as np

from .text import numbers


def read(data: bytes) -> tuple[np.ndarray, list[list[int]]]:
    """Return the points of a pcd file, with NaN where the sensor saw nothing, and no polygons."""
    header, body = _header(data)
    names, counts = header["FIELDS"], [int(c) for c in header.get("COUNT", ["1"] * len(header["FIELDS"]))]
    kinds = [k.lower() + s for k, s in zip(header["TYPE"], header["SIZE"], strict=True)]
    for axis in "xyz":
        if axis not in names:
            raise ValueError(f"has no field {axis}, only {' '.join(names)}")
    n = int(header["POINTS"][0]) if "POINTS" in header else int(header["WIDTH"][0]) * int(header["HEIGHT"][0])
    layout = header["DATA"][0]
    if layout == "ascii":
        return _ascii(body, names, counts, n), []
    fields = [(f"{i}", f"<{kind}", (count,)) for i, (kind, count) in enumerate(zip(kinds, counts, strict=True))]
    columns = [str(names.index(axis)) for axis in "xyz"]
    size = n * np.dtype(fields).itemsize
    if layout == "binary":
        _require(body, size)
        rows = np.frombuffer(body, np.dtype(fields), n)
        return np.column_stack([rows[c][:, 0] for c in columns]).astype(np.float64), []
    if layout != "binary_compressed":
        raise ValueError(f"DATA must be ascii, binary or binary_compressed, got {layout}")
    _require(body, 8)
    packed, unpacked = (int(v) for v in np.frombuffer(body, "<u4", 2))
    _require(body[8:], packed)
    if unpacked != size:
        raise ValueError(f"the compressed block unpacks to {unpacked} bytes where {size} are needed")
    block = _lzf(body[8 : 8 + packed], unpacked)
    # Compressed files keep each field's values together.
    starts = np.cumsum([0] + [np.dtype(f[1]).itemsize * f[2][0] * n for f in fields])
    points = [np.frombuffer(block, fields[int(c)][1], n * fields[int(c)][2][0], starts[int(c)]) for c in columns]
    return np.column_stack([p[:: fields[int(c)][2][0]] for p, c in zip(points, columns, strict=True)]).astype(float), []


def _header(data: bytes) -> tuple[dict[str, list[str]], bytes]:
    header: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in header:
        end = data.find(b"\n", at)
        if end < 0:
            raise ValueError("the header has no DATA line")
        tokens = data[at:end].decode("ascii", errors="replace").split()
        at = end + 1
        if tokens and not tokens[0].startswith("#"):
            header[tokens[0]] = tokens[1:]
    for name in ("FIELDS", "SIZE", "TYPE"):
        if name not in header:
            raise ValueError(f"the header has no {name} line")
    if "POINTS" not in header and not {"WIDTH", "HEIGHT"} <= header.keys():
        raise ValueError("the header does not say how many points there are")
    return header, data[at:]


def _ascii(body: bytes, names: list[str], counts: list[int], n: int) -> np.ndarray:
    rows = [line.split() for line in body.decode("ascii", errors="replace").splitlines() if line.strip()]
    if len(rows) < n:
        raise ValueError(f"ends after {len(rows)} of {n} points")
    starts = np.cumsum([0, *counts])
    columns = [int(starts[names.index(axis)]) for axis in "xyz"]
    if any(len(row) < starts[-1] for row in rows[:n]):
        raise ValueError(f"a point has fewer than the {starts[-1]} values of the header")
    return np.array([numbers([row[c] for c in columns], f"point {i}") for i, row in enumerate(rows[:n])])


def _require(body: bytes, size: int) -> None:
    if len(body) < size:
        raise ValueError(f"ends after {len(body)} of {size} bytes of points")


def _lzf(packed: bytes, size: int) -> bytes:
    """Unpack Marc Lehmann's LZF: runs of literal bytes, and copies from what was written."""
    out = bytearray()
    at = 0
    while at < len(packed):
        control = packed[at]
        at += 1
        if control < 32:
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += packed[at]
            at += 1
        start = len(out) - ((control & 31) << 8) - packed[at] - 1
        at += 1
        if start < 0:
            raise ValueError("the compressed block is damaged")
        # A copy may run into what it writes itself, so it is repeated rather than sliced.
        piece = out[start : start + length + 2]
        while len(piece) < length + 2:
            piece += piece[: length + 2 - len(piece)]
        out += piece
    if len(out) != size:
        raise ValueError(f"the compressed block unpacks to {len(out)} bytes where it says {size}")
    return bytes(out)
