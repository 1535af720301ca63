"""How CSV is read, by ``score``, ``explain`` and ``stream`` alike: what a cell, a name and a first line mean.

A cell is stripped of blanks, and is missing, a number, ``true`` or ``false`` (1 and 0), or text. Numbers are written in
ASCII digits with one decimal mark, point or comma, and an exponent if need be; nothing may separate thousands. The mark
is the first one that a file has, and it must keep to it. In a file whose cells are parted by commas the first quoted
number with one (``"1,5"``) must not look like thousands (``"1,234"``) to decide.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Collection, Iterable, Sequence

DELIMITERS = ",;\t|"
MISSING = (
    "",
    "#n/a",
    "#n/a n/a",
    "#na",
    "-1.#ind",
    "-1.#qnan",
    "-nan",
    "-nan(ind)",
    "1.#ind",
    "1.#qnan",
    "<na>",
    "n/a",
    "na",
    "nan",
    "none",
    "null",
)  # in any case
TRUTH = {"true": 1.0, "false": 0.0}  # in any case

_MISSING = frozenset(MISSING)
_NAN = re.compile(r"[+-]?nan(\(\w*\))?")
_QUOTED = re.compile(r'"[^"]*"')
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_DATE = re.compile(
    r"\d{4}-\d\d?-\d\d?([T ]\d\d?:\d\d.*)?|\d\d?[/.]\d\d?[/.]\d{4}([T ].*)?|\d\d?:\d\d(:\d\d.*)?", re.ASCII
)
_NUMBER_ELSEWHERE = re.compile(
    r"[+-]?(\d{1,3}([., '\u00a0\u202f_]\d{3})+([.,]\d+)?|\d*[.,]?\d+|\d+[.,])(e[+-]?\d+)?\s?%?",
    re.ASCII | re.IGNORECASE,
)
_MARKED = {
    ",": re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE | re.ASCII),
    ".": re.compile(r"[+-]?(\d+\.\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII),
}
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


def spellings(more: Iterable[str] = ()) -> list[str]:
    """Return every spelling of a missing value, in upper and lower case, for readers that compare texts."""
    words = (map("".join, itertools.product(*({letter, letter.upper()} for letter in word))) for word in MISSING)
    return sorted({*itertools.chain.from_iterable(words), *more})


def blanks_beside(delimiter: str) -> str:
    """Return the characters of a line that is no row; of tabs, where they part cells, one is made of missing values."""
    return " \t\n\r\x0b\x0c".replace(delimiter, "")


# -- cells -----------------------------------------------------------------------------------------


def cells_of(text: str, delimiter: str) -> list[str]:
    """Return the cells of one line; ValueError tells what is wrong."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        if "expected after" in str(error):  # something stands between a closing quotation mark and the delimiter
            cells = next(csv.reader([f"{text}{delimiter}end"], delimiter=delimiter), [])
            if cells[-1:] == ["end"]:  # not within a quotation
                return cells[:-1]
        raise ValueError(f"no CSV: {error} (a quoted field must end on its line)") from None


def number_of(cell: str, decimal: str, missing: Collection[str] = ()) -> float:
    """Return the number in a cell, NaN for a missing one, infinities as such; ValueError tells what is wrong."""
    text = cell.strip()
    lower = text.lower()
    if lower in _MISSING or cell in missing or text in missing or _NAN.fullmatch(lower):
        return math.nan
    if lower in TRUTH:
        return TRUTH[lower]
    if decimal == "," and "." in text:
        raise ValueError(f"has a decimal point where decimals have commas: {text!r:.60}")
    try:
        return float(text.replace(decimal, ".") if text.isascii() and "_" not in text else "")
    except ValueError:
        pass
    if decimal == "." and _MARKED[","].fullmatch(text):
        if _THOUSANDS.fullmatch(text):
            raise ValueError(
                f"has a comma that may part thousands or be a decimal one: {text!r:.60} (--decimal , "
                "reads decimal commas)"
            )
        raise ValueError(f"has a decimal comma where decimals have points: {text!r:.60} (--decimal , reads commas)")
    raise ValueError(f"must be a number, got the text {text!r:.60}")


def level_of(cell: str, missing: Collection[str] = ()) -> str | bool | None:
    """Return the category in a cell, None for a missing one."""
    text = cell.strip()
    lower = text.lower()
    if lower in _MISSING or cell in missing or text in missing:
        return None
    return bool(TRUTH[lower]) if lower in TRUTH else text


def is_date(text: str) -> bool:
    """Return whether a text is a date or a time of day, as far as can be seen."""
    return _DATE.fullmatch(text.strip()) is not None


def is_category(text: str) -> bool:
    """Return whether a text is likely a category: no number in another notation, no lone sign, no lost quotation."""
    text = text.strip()
    return any(map(str.isalnum, text)) and "\n" not in text and _NUMBER_ELSEWHERE.fullmatch(text) is None


def mark_of(cell: str, delimiter: str) -> str | None:
    """Return the decimal mark that a cell decides for, if any."""
    text = cell.strip()
    if _MARKED["."].fullmatch(text):
        return "."
    if _MARKED[","].fullmatch(text) and not (delimiter == "," and _THOUSANDS.fullmatch(text)):
        return ","
    return None


def decimal_of(rows: Iterable[Sequence[str]], delimiter: str) -> str | None:
    """Return the first decimal mark in rows; None where there is none."""
    return next((mark for row in rows for cell in row if (mark := mark_of(cell, delimiter)) is not None), None)


# -- first lines -----------------------------------------------------------------------------------


def separator_of(line: str) -> str | None:
    """Return what Excel's line ``sep=;`` names."""
    found = _SEP.fullmatch(line.removeprefix("\ufeff").strip(" \r\n"))
    return None if found is None else found[1]


def delimiter_of(line: str, n_columns: int | None = None) -> str:
    """Return the likeliest delimiter of a line, of ``n_columns`` cells where their number is known; else a comma."""
    counts = {each: _QUOTED.sub("", line).count(each) for each in DELIMITERS}
    if n_columns == 1:
        return min(DELIMITERS, key=counts.__getitem__)
    fitting = [each for each, count in counts.items() if count and n_columns in (None, count + 1)]
    for each in fitting:  # "1,5;2" is two numbers, and not three
        try:
            if all(_is_number(cell, each) for cell in cells_of(line.rstrip("\r\n"), each)):
                return each
        except ValueError:
            continue
    # Of marks that are as many, a comma is the likeliest to be part of a name.
    return max(fitting or DELIMITERS, key=lambda each: (counts[each], each != "," and counts[each] > 0))


def _is_number(cell: str, delimiter: str) -> bool:
    try:
        number_of(cell, mark_of(cell, delimiter) or ".")
    except ValueError:
        return False
    return True


def holds_numbers(cells: Sequence[str], delimiter: str) -> bool:
    """Tell whether a first row holds numbers, no names: 0, 1, 2, ... are the names of columns without others."""
    stripped = [cell.strip() for cell in cells]
    if not all(_is_number(cell, delimiter) for cell in stripped):
        return False
    if all(cell.lower() in _MISSING for cell in stripped):
        return False
    counted = stripped[1:] if stripped[0] == "" else stripped  # behind an index without a name
    return len(counted) < 2 or counted != [str(k) for k in range(len(counted))]


def names_of(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names in a header's cells."""
    return tuple(cell.removeprefix("\ufeff").strip() for cell in cells)


def numbered(n_columns: int) -> tuple[str, ...]:
    """Return the names of columns that have none."""
    return tuple(map(str, range(n_columns)))


def twice(names: Sequence[str]) -> str | None:
    """Return a name that occurs twice."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


NUMBERED = "the first row holds numbers and is taken for data: columns are named 0, 1, ...; --header takes it for names"
COUNTED = "the first row, 0, 1, ..., is taken for names of columns; --no-header takes it for data"


def note_of(first: Sequence[str], has_header: bool, asked: bool | None) -> str | None:
    """Return what to tell of a first row, if it was not clear."""
    if asked is not None:
        return None
    if not has_header:
        return NUMBERED
    counted = [cell.strip() for cell in first if cell.strip()]
    return COUNTED if len(counted) > 1 and counted == [str(k) for k in range(len(counted))] else None
