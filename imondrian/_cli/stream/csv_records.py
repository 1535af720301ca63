"""Records from lines of CSV. A record is a line: quoted fields may hold the delimiter, but no line feed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from imondrian._cli import Failure, dialect

from .records import Report, Rows, Selection, Table, columns_of, no_numbers


class Layout(NamedTuple):
    """How a CSV is written. None: to be found out."""

    delimiter: str | None = None
    decimal: str | None = None
    header: tuple[str, ...] | None = None  # names of the columns, for want of a line that has them
    first: bool | None = None  # whether the first line holds names
    missing: tuple[str, ...] = ()


def cells_of(line: bytes, delimiter: str) -> list[str]:
    """Return the cells of one line; ValueError tells what is wrong."""
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8: byte {line[error.start]:#04x} at column {error.start + 1}") from None
    return dialect.cells_of(text, delimiter)


def is_data(cells: Sequence[str], header: Sequence[str], selection: Selection, delimiter: str, layout: Layout) -> bool:
    """Tell whether a line is a record of a known header, and no header itself."""
    if len(cells) != len(header):
        return False
    features = [cell for name, cell in zip(header, cells, strict=True) if name in _features(header, selection)]
    try:
        values = [
            dialect.number_of(cell, layout.decimal or dialect.mark_of(cell, delimiter) or ".", layout.missing)
            for cell in features
        ]
    except ValueError:
        return False
    return not all(map(math.isnan, values))


class CsvRecords:
    """Make tables of lines; Failure where a column that is asked for is not there.

    Parameters
    ----------
    header : sequence of str
    delimiter : str
    decimal : str, optional
        None: the first mark that comes.
    selection : Selection
    report : callable
        Called with the number of a line that is no record, and what is wrong with it.
    missing : sequence of str
        What means a missing value, beside ``dialect.MISSING``.

    Attributes
    ----------
    blanks : bytes
        A line of these is no record.
    """

    def __init__(
        self,
        header: Sequence[str],
        delimiter: str,
        decimal: str | None,
        selection: Selection,
        report: Report,
        missing: Sequence[str] = (),
    ) -> None:
        self._delimiter, self._report, self._missing = delimiter, report, frozenset(missing)
        self._is_decided, self._decimal = decimal is not None, decimal or "."
        self._width = len(header)
        self.blanks = dialect.blanks_beside(delimiter).encode()
        asked = [*(selection.columns or ()), *selection.carried, *([] if selection.key is None else [selection.key])]
        for name in asked:
            if name not in header:
                raise Failure(f"there is no column {name!r}; there are {', '.join(map(repr, header))}")
        self._fields = _features(header, selection)
        places = {name: place for place, name in enumerate(header)}
        self._places = [places[name] for name in self._fields]
        self._keep = [places[name] for name in selection.carried]
        self._key_name = selection.key
        self._key_place = [] if selection.key is None else [places[selection.key]]

    def tables(self, rows: Rows) -> Iterator[Table]:
        """Yield the records of some lines, in order."""
        if not self._is_decided:
            self._decide(rows)
        found = self._read_together(rows)
        if found is None:
            found = self._read_one_by_one(rows)
        rows, values = found
        if len(rows.records):
            kept = columns_of(rows.content, self._keep) if self._keep else None
            keys = [cells[place] for place in self._key_place for cells in rows.content] if self._key_place else None
            yield Table(self._fields, values, rows.records, keys, kept)

    def _decide(self, rows: Rows) -> None:
        """Take the first decimal mark in these lines for that of all."""
        for line in rows.content:
            try:
                mark = dialect.decimal_of([self._cells(line)], self._delimiter)
            except ValueError:
                continue
            if mark is not None:
                self._is_decided, self._decimal = True, mark
                return

    def _read_together(self, rows: Rows) -> tuple[Rows, np.ndarray] | None:
        """Return cells and values of lines that have nothing peculiar about them; None if one has."""
        if not all(rows.content):
            return None
        try:
            text = b"\n".join(rows.content).decode().replace("\r\n", "\n").removesuffix("\r")
        except UnicodeDecodeError:
            return None
        if not text.isascii() or '"' in text or "_" in text or "\r" in text or (self._decimal == "," and "." in text):
            return None
        cells = [line.split(self._delimiter) for line in text.split("\n")]
        if set(map(len, cells)) != {self._width} or not self._have_keys(cells):
            return None
        flat: Any = list(chain.from_iterable(columns_of(cells, self._places)))
        if self._missing and not self._missing.isdisjoint(map(str.strip, flat)):
            return None
        if self._decimal != ".":
            flat = [cell.replace(self._decimal, ".") for cell in flat]
        try:
            values = np.array([float(cell) if cell else math.nan for cell in flat])
        except ValueError:
            return None
        if np.isinf(values).any():
            return None
        return rows._replace(content=cells), values.reshape(len(cells), len(self._fields))

    def _read_one_by_one(self, rows: Rows) -> tuple[Rows, np.ndarray]:
        good, cells, values = [], [], []
        for i, line in enumerate(rows.content):
            try:
                read = self._cells(line)
                values.append(self._values(read))
            except ValueError as error:
                self._report(rows.lines[i], str(error))
                continue
            good.append(i)
            cells.append(read)
        table = np.array(values, np.float64).reshape(len(good), len(self._fields))
        return rows.only(good)._replace(content=cells), table

    def _cells(self, line: bytes | None) -> list[str]:
        if line is None:
            raise ValueError("is too long to be a record")
        cells = cells_of(line, self._delimiter)
        if len(cells) != self._width:
            raise ValueError(f"has {len(cells)} fields, the header has {self._width}")
        if not self._have_keys([cells]):
            raise ValueError(f"lacks the key field {self._key_name!r}")
        return cells

    def _have_keys(self, rows: Sequence[Sequence[str]]) -> bool:
        return all(cells[place] for place in self._key_place for cells in rows)

    def _values(self, cells: Sequence[str]) -> list[float]:
        found, texts = [], []
        for name, place in zip(self._fields, self._places, strict=True):
            try:
                value = dialect.number_of(cells[place], self._decimal, self._missing)
            except ValueError as error:
                if "got the text" not in str(error):
                    raise ValueError(f"field {name!r} {error}") from None
                texts.append((name, str(error).partition("got ")[2]))
                continue
            if math.isinf(value):
                raise ValueError(f"field {name!r} must be finite, got {cells[place].strip()!r:.60}")
            found.append(value)
        if texts:
            raise ValueError(no_numbers(texts))
        return found


def _features(header: Sequence[str], selection: Selection) -> tuple[str, ...]:
    if selection.columns is not None:
        return selection.columns
    return tuple(name for name in header if name not in selection.others)
