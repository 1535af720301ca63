"""Reader of points as text, one a line: xyz, txt, csv, asc, pts.

What a file leaves open is an error, never a guess: which columns are meant where a heading names others than x, y and
z, whether a comma is a decimal one, what belongs in an empty cell.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .text import Polygons, decode, is_number, join_lines, number

Columns = Sequence[str | int]

_COMMENT = re.compile(r"(?<!\d\.)#.*|//.*")  # but not in "1.#IND", a number that is none
_UNIT = re.compile(r"[\[(][^\])]*[\])]")
_WORD = r"(?:points?|coords?|coordinates?|pos|position|location)"
_AXIS = re.compile(rf"(?:{_WORD}[\s_.:-]*)?([xyz])(?:[\s_.:-]*(?:coord|coordinate))?|{_WORD}[:_]([012])")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # as well as a decimal comma
_GROUPED = re.compile(r"(?:[+-]?[1-9]\d{0,2},\d{3}(?:\.\d*)?(?:,|$))+")
_PADDED = re.compile(r",0\d")
_BLANKS = "\u00a0\u2007\u2009\u202f"  # that group digits
_BREAKS = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")  # which split() takes for blanks, and some for line ends
_REMARKS = 20  # comments before the first row that may be its heading
_LOOKED_AT = 1000  # rows whose writing says what the commas between them are


@dataclass(slots=True)
class _Layout:
    """Where the rows begin and which columns are wanted."""

    first: int
    delimiter: str | None
    width: int
    picks: list[int]
    headed: bool  # a heading says how many columns there are
    count: int | None  # of points, as the file says in its first line


def read(data: bytes, columns: Columns | None = None) -> tuple[np.ndarray, Polygons]:
    """Read one point a line, separated by blanks, tabs, commas or semicolons; ``#`` and ``//`` begin comments.

    Without a heading the first three columns are taken (of two, both). A first line with nothing but the number of
    points must be right. ``columns`` are the names or numbers, from 0, of those that are wanted instead.
    """
    text = join_lines(decode(data))
    lines = text.split("\n")
    layout = _lay_out(lines, columns)
    if layout is None:
        return np.empty((0, 3)), []
    start = sum(len(line) + 1 for line in lines[: layout.first])
    text, lines = text[start:] if start else text, lines[layout.first :]
    points = _read_plain(text, lines, layout)
    if points is None:
        points = _read_rows(lines, layout)
    if not layout.headed:
        _check_first(lines, layout)
    if layout.delimiter == "," and not layout.headed:
        _check_commas(text, lines, layout)
    if layout.count is not None and layout.count != len(points):
        raise ValueError(f"begins with the number {layout.count}, and {len(points)} points follow")
    return points, []


def _strip(line: str) -> str:
    """Leave a comment out."""
    if "#" in line or "//" in line:
        line = _COMMENT.sub("", line)
    return line.strip()


def _lay_out(lines: list[str], columns: Columns | None) -> _Layout | None:
    """Read what comes before the first point; None where there is none."""
    remarks: list[str] = []  # comments that may be headings
    names: list[str] | None = None
    count = None
    for i, line in enumerate(lines):
        text = _strip(line)
        if not text:
            if remark := line.strip(" \t#/"):
                remarks.append(remark)
            continue
        if text.isdecimal() and count is None and names is None and _more_follows(lines, i):
            count = int(text)
            continue
        if text.lower().strip('"').startswith("sep=") and names is None:  # a hint that spreadsheets read
            continue
        if names is None and (heading := _heading(text, columns)) is not None:
            names = heading
            continue
        if found := _BREAKS.search(text):  # rows after it are as wide, or errors
            raise ValueError(
                f"line {i + 1}: {text[:80]!r} has the character {found[0]!r}, which may end a line: end "
                "lines by line feeds"
            )
        delimiter = _delimiter(text, i, names)
        cells = _split(text, delimiter)
        width = len(cells) - (len(cells) > 1 and cells[-1] == "" and (names is None or len(names) < len(cells)))
        if names is not None and len(names) != width:
            raise ValueError(f"line {i + 1}: {width} columns where the heading names {len(names)}: {_listed(names)}")
        return _Layout(i, delimiter, width, *_choose(cells[:width], names, remarks, columns, i), count)
    if names is not None:
        raise ValueError("holds no points, only a heading")
    return None


def _more_follows(lines: list[str], i: int) -> bool:
    """Tell whether the next row has several columns: a single number before it counts the rows."""
    following = next((text for text in map(_strip, lines[i + 1 :]) if text), "")
    return len(re.split(r"[\s,;]+", following.strip(",; \t"))) > 1


def _names(text: str) -> list[str]:
    """Split a heading, whatever separates its names."""
    delimiter = next((mark for mark in ";,\t" if mark in text), None)
    cells = _split(text if delimiter else _UNIT.sub("", text) or text, delimiter)
    cells = [cell.strip("'\" \t") for cell in cells]
    return cells[:-1] if len(cells) > 1 and cells[-1] == "" else cells


def _remark_names(remark: str) -> list[str]:
    try:
        return _names(remark)
    except ValueError:  # it says what it likes
        return []


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12])[:200]


def _axes(names: list[str]) -> list[int] | None:
    """Return the columns of x, y and z (x and y where there are no others) among names; None where not all are."""
    found: dict[int, int] = {}
    for column, name in enumerate(names):
        match = _AXIS.fullmatch(_UNIT.sub("", name.lower()).strip())
        if match is None:
            continue
        axis = "xyz".index(match[1]) if match[1] else int(match[2])
        if axis in found:
            raise ValueError(
                f"the heading names {'xyz'[axis]} twice: {names[found[axis]][:80]} and "
                f"{name[:80]}; say which with columns="
            )
        found[axis] = column
    if len(found) == 3 or (set(found) == {0, 1} and len(names) == 2):
        return [found[axis] for axis in sorted(found)]
    return None


def _heading(text: str, columns: Columns | None) -> list[str] | None:
    """Return the names of a heading; None where the line is a row of numbers."""
    names = _names(text)
    if columns is not None and all(column in names for column in columns):
        return names
    try:
        named = _axes(names) is not None
    except ValueError:
        named = True
    return names if named or not any(is_number(name.replace(",", ".")) for name in names) else None


def _choose(
    cells: list[str], names: list[str] | None, remarks: list[str], columns: Columns | None, i: int
) -> tuple[list[int], bool]:
    """Return the columns to read, and whether a heading names them."""
    fitting = [found for found in map(_remark_names, remarks[: -_REMARKS - 1 : -1]) if len(found) == len(cells)]
    if columns is not None:
        return _chosen(len(cells), names or (fitting[0] if fitting else []), columns)
    if names is not None:
        axes = _axes(names)
        if axes is None:
            raise ValueError(
                f"the heading names {_listed(names)} and not x, y and z: pass the names of the "
                "columns that are meant as columns= (--columns), or name them so"
            )
        return axes, True
    for remark in fitting:
        if (axes := _axes(remark)) is not None:
            return axes, True
    if len(cells) == 1:
        raise ValueError(f"line {i + 1}: {cells[0][:80]!r} alone is no point")
    return list(range(min(3, len(cells)))), False


def _chosen(width: int, names: list[str], columns: Columns) -> tuple[list[int], bool]:
    picks = []
    for column in columns:
        if isinstance(column, str) and not names:
            raise ValueError(f"has no heading that names {column!r}: pass the numbers of the columns, from 0")
        if isinstance(column, str) and names.count(column) != 1:
            what = "several columns" if column in names else "no column"
            raise ValueError(f"has {what} {column!r}: the heading names {_listed(names)}")
        picks.append(names.index(column) if isinstance(column, str) else int(column))
        if not 0 <= picks[-1] < width:
            raise ValueError(f"has no column {column}: there are {width}, counted from 0")
    return picks, bool(names)


def _delimiter(text: str, i: int, names: list[str] | None) -> str | None:
    """Return what separates the columns of a row; None for blanks."""
    if ";" in text:
        return ";"
    if "," not in text:
        # Blanks may belong to a cell.
        by_tabs = names and "\t" in text and len(text.split("\t")) == len(names) != len(text.split())
        return "\t" if by_tabs else None
    if names and len(_split(text, ",")) == len(names):
        return ","
    if '"' in text or not any(re.search(r"[\d.]\s+[-+.\d]", cell) for cell in text.split(",")):
        return "\t" if '"' in text and "\t" in text else ","
    if "\t" in text:
        return "\t"
    raise ValueError(
        f"line {i + 1}: {text[:80]!r} has commas and blanks between digits: write decimal points, no "
        "thousands separators, and one kind of separator"
    )


def _split(text: str, delimiter: str | None) -> list[str]:
    if '"' in text:
        try:
            row = text if delimiter else " ".join(text.split())
            return [cell.strip() for cell in next(csv.reader([row], delimiter=delimiter or " "))]
        except csv.Error as error:
            raise ValueError(f"{text[:80]!r}: {error}") from error
    return text.split() if delimiter is None else [cell.strip() for cell in text.split(delimiter)]


def _read_plain(text: str, lines: list[str], layout: _Layout) -> np.ndarray | None:
    """Read rows of nothing but numbers ten times faster than one by one; None where there is more."""
    # Single marks are found ten times faster than pairs.
    if layout.delimiter == "\t" or not text.isascii() or any(mark in text for mark in '#/"'):
        return None
    if "\t" in text and "\t\t" in text:
        return None
    try:
        table = np.loadtxt(lines, comments=None, ndmin=2, delimiter=layout.delimiter)
    except ValueError:
        return None  # _read_rows says what is wrong, or reads it
    if layout.picks == [0, 1, 2] and table.shape[1] == layout.width:
        return table[:, :3]
    return table[:, layout.picks] if table.shape[1] == layout.width else None


def _read_rows(lines: list[str], layout: _Layout) -> np.ndarray:
    points: list[list[float]] = []
    commas, doubtful, points_seen = 0, 0, 0  # lines that have a decimal comma, one that may be none, a decimal point
    width, delimiter, picks = layout.width, layout.delimiter, layout.picks
    for i, line in enumerate(lines, layout.first + 1):
        text = _strip(line)
        if not text:
            continue
        if not text.isascii() and any(blank in text for blank in _BLANKS):
            raise ValueError(f"line {i}: {text[:80]!r} has blanks that group digits: write numbers without")
        if delimiter is None and "\t\t" in text:
            _check_tabs(text, i)
        cells = _split(text, delimiter)
        if len(cells) != width and not (len(cells) == width + 1 and delimiter and cells[-1] == ""):
            raise ValueError(f"line {i}: {len(cells)} columns where {width} are expected")
        chosen = [cells[pick] for pick in picks]
        for k, cell in enumerate(chosen):
            if delimiter and "," in cell and _DECIMAL_COMMA.fullmatch(cell):
                if not _THOUSANDS.fullmatch(cell):
                    commas = commas or i
                else:
                    doubtful = doubtful or i
                chosen[k] = cell.replace(",", ".")
            elif "." in cell:
                points_seen = points_seen or i
        points.append(_row(chosen, i))
    if points_seen and (commas or doubtful):
        raise ValueError(f"line {points_seen} has decimal points and line {commas or doubtful} commas in its numbers")
    if doubtful and not commas:
        raise ValueError(f"line {doubtful}: a comma may be a decimal one or group thousands: write decimal points")
    return np.array(points, dtype=np.float64).reshape(len(points), len(picks))


def _check_tabs(text: str, i: int) -> None:
    """Refuse a tab after a tab, except where there are two between all columns."""
    cells = [cell.strip() for cell in text.split("\t")]
    if any(cells[1::2]) or not all(cells[::2]) or len(cells) == 3:  # x, nothing and z
        raise ValueError(f"line {i}: {text[:80]!r} may have an empty cell between two tabs")


def _row(cells: list[str], i: int) -> list[float]:
    try:
        return [number(cell) for cell in cells]
    except ValueError as error:
        if "" in cells:
            raise ValueError(f"line {i}: an empty cell where a coordinate is expected") from error
        raise ValueError(f"line {i}: {error}") from error


def _check_commas(text: str, lines: list[str], layout: _Layout) -> None:
    """Refuse rows without a heading whose commas may be no separators."""
    rows = [row for row in map(_strip, lines[:_LOOKED_AT]) if row]
    advice = "separate columns by semicolons or blanks, or name them in a heading"
    for match in _PADDED.finditer(text) if layout.width > 2 else ():  # a fraction such as 05
        begin = max(text.rfind(mark, 0, match.start()) for mark in ",\n") + 1
        if text[begin : match.start()].strip().lstrip("+-").isdecimal():
            i = text.count("\n", 0, begin)
            raise ValueError(
                f"line {layout.first + i + 1}: {lines[i].strip()[:80]!r} may have decimal commas or "
                f"grouped thousands: {advice}"
            )
    if layout.width % 2 == 0 and layout.width > 2 and all(_GROUPED.fullmatch(row) for row in rows):
        raise ValueError(f"line {layout.first + 1}: {rows[0][:80]!r} may have thousands grouped by commas: {advice}")


def _check_first(lines: list[str], layout: _Layout) -> None:
    """Refuse a first row that may be the numbers pandas gives to nameless columns."""
    numbered = [str(k) for k in range(layout.width)]
    head = [cell.strip('"') for cell in _split(_strip(lines[0]), layout.delimiter)]
    if head not in (numbered, ["", *numbered[:-1]]):
        return
    rest = [row for row in map(_strip, lines[1:_LOOKED_AT]) if row]
    # pandas never writes a float without a point (or decimal comma), an exponent or a name.
    mark = re.compile(r"[.en]" if layout.delimiter == "," else r"[.,en]")
    if not head[0] or (rest and all(mark.search(cell) for row in rest for cell in _split(row, layout.delimiter))):
        raise ValueError(
            f"line {layout.first + 1}: {lines[0].strip()[:80]!r} may be a heading or a point: leave it "
            "out, or write it as x,y,z or with decimal points"
        )
