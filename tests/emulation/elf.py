"""As much of ELF as tells how large kernels are: a cubin's sections, and a host library's symbols."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SYMTAB, _OBJECT = 2, 1


@dataclass(frozen=True)
class Section:
    name: str
    kind: int
    offset: int
    size: int
    link: int
    info: int


def extent(content: bytes) -> int:
    """Return how many bytes the file must have: the end of its last section or table."""
    _check(content)
    segments, sections = struct.unpack_from("<QQ", content, 32)
    segment_size, n_segments, section_size, n_sections = struct.unpack_from("<HHHH", content, 54)
    nobits = 8
    ends = [s.offset + s.size for s in sections_of(content) if s.kind != nobits]
    return max(segments + segment_size * n_segments, sections + section_size * n_sections, *ends)


def _check(content: bytes) -> None:
    if content[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"expected a little-endian ELF of 64 bits, got {content[:6]!r}")


def sections_of(content: bytes) -> list[Section]:
    """Return all sections."""
    _check(content)
    (table,) = struct.unpack_from("<Q", content, 40)
    size, count, names = struct.unpack_from("<HHH", content, 58)
    rows = [struct.unpack_from("<IIQQQQII", content, table + i * size) for i in range(count)]
    return [
        Section(_text(content, rows[names][4] + name), kind, offset, length, link, info)
        for name, kind, _, _, offset, length, link, info in rows
    ]


def objects_of(content: bytes) -> dict[str, int]:
    """Return the size of every variable, by its name as the linker has it."""
    sections = sections_of(content)
    found = {}
    for table in sections:
        if table.kind != _SYMTAB:
            continue
        for at in range(table.offset, table.offset + table.size, 24):
            name, info, _, _, _, size = struct.unpack_from("<IBBHQQ", content, at)
            if info & 15 == _OBJECT:
                found[_text(content, sections[table.link].offset + name)] = size
    return found


def _text(content: bytes, at: int) -> str:
    return content[at : content.index(b"\0", at)].decode()
