"""Unpack gzip files, and say how much a packed file may unpack to."""

from __future__ import annotations

import zlib

_FREE, _RATIO = 1 << 26, 100  # bytes to unpack that are always allowed, and how often the packed ones beyond that
_STEP = 1 << 20


def check_ratio(unpacked: int, packed: int, what: str) -> None:
    """Refuse to unpack what no points are packed to: a small file that claims, or becomes, gigabytes."""
    if unpacked > max(_FREE, _RATIO * packed):
        raise ValueError(f"{what} unpacks to {unpacked:,} bytes or more from {packed:,}, which no points do")


def unpack_gzip(data: bytes) -> bytes:
    """Unpack a gzip file, of one member or several."""
    parts: list[bytes] = []
    unpacked, rest = 0, data
    try:
        while rest.strip(b"\0"):  # zeros may pad it
            unpacker = zlib.decompressobj(31)
            while not unpacker.eof:
                part = unpacker.decompress(rest, _STEP)
                rest = unpacker.unconsumed_tail
                if not part and not unpacker.eof and not rest:
                    raise ValueError("ends within its packed content")
                unpacked += len(part)
                check_ratio(unpacked, len(data), "the file")
                parts.append(part)
            rest = unpacker.unused_data
    except zlib.error as error:
        raise ValueError(f"is no gzip file, or damaged: {error}") from error
    return b"".join(parts)
