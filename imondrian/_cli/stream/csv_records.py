"""Records from lines of CSV. A record is a line: quoted fields may hold the delimiter, but no line feed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from imondrian._cli import Failure, dialect
from imondrian._forest.levels import word

from .kinds import LEFT_OUT, NOMINAL, NUMBER, Kinds, settled
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


def is_data(
    cells: Sequence[str],
    header: Sequence[str],
    selection: Selection,
    delimiter: str,
    layout: Layout,
    kinds: Kinds | None = None,
) -> bool:
    """Tell whether a line is a record of a known header, and no header itself: its numbers are."""
    if len(cells) != len(header):
        return False
    names = [
        name for name in _features(header, selection) if kinds is None or kinds.of(name) not in (NOMINAL, LEFT_OUT)
    ]
    features = [cell for name, cell in zip(header, cells, strict=True) if name in names]
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
    kinds : Kinds, optional
        What columns hold, as far as it is known. None: numbers alone.

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
        kinds: Kinds | None = None,
    ) -> None:
        # Lines of text are no table of one column.
        self._kinds = Kinds.of_numbers() if kinds is None or (len(header) == 1 and not selection.nominal) else kinds
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
        self._kinds.tell()
        if len(rows.records):
            kept = columns_of(rows.content, self._keep) if self._keep else None
            keys = [cells[place] for place in self._key_place for cells in rows.content] if self._key_place else None
            table = Table(self._fields, values, rows.records, keys, kept)
            yield self._with_kinds(table, rows) if self._kinds.has_categories(self._fields) else table

    def _with_kinds(self, table: Table, rows: Rows) -> Table:
        """Return a table without what is left out, and with what is nominal."""
        chosen, nominal = settled(self._kinds, table.fields, table.values)
        if len(chosen) < len(table.fields):
            table = table._replace(fields=tuple(table.fields[j] for j in chosen), values=table.values[:, chosen])
        if not nominal.any():
            return table
        places = [self._places[j] for j in chosen]
        cells = [[dialect.level_of(line[place], self._missing) for place in places] for line in rows.content]
        return table._replace(nominal=nominal, cells=cells)

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
        kinds = [self._kinds.of(name) for name in self._fields]
        numeric = [j for j, kind in enumerate(kinds) if kind in (None, NUMBER)]
        flat: Any = list(chain.from_iterable(columns_of(cells, [self._places[j] for j in numeric])))
        if self._missing and not self._missing.isdisjoint(map(str.strip, flat)):
            return None
        if self._decimal != ".":
            flat = [cell.replace(self._decimal, ".") for cell in flat]
        try:
            found = np.array([float(cell) if cell else math.nan for cell in flat])
        except ValueError:
            return None
        if np.isinf(found).any():
            return None
        found = found.reshape(len(cells), len(numeric))
        self._kinds.learn_numbers([self._fields[j] for j in numeric], found)
        if len(numeric) == len(kinds):
            return rows._replace(content=cells), found
        values = np.full((len(cells), len(kinds)), math.nan)
        values[:, numeric] = found
        for j in [j for j, kind in enumerate(kinds) if kind == NOMINAL]:
            name, place = self._fields[j], self._places[j]
            for i, line in enumerate(cells):
                level = dialect.level_of(line[place], self._missing)
                if level is not None:
                    values[i, j] = word(level)
                    self._kinds.learn({name: (NOMINAL, level)})
        return rows._replace(content=cells), values

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

    def _values(self, cells: list[str]) -> list[float]:
        found, texts = [], []
        told: dict[str, tuple[str, Any]] = {}
        for name, place in zip(self._fields, self._places, strict=True):
            kind, cell = self._kinds.of(name), cells[place]
            level = dialect.level_of(cell, self._missing)
            if kind == LEFT_OUT or level is None:
                found.append(math.nan)
                continue
            if kind != NOMINAL:
                try:
                    value = dialect.number_of(cell, self._decimal, self._missing)
                except ValueError as error:
                    if "got the text" not in str(error):
                        raise ValueError(f"field {name!r} {error}") from None
                    kind = kind or self._kinds.guess(name, level)
                    if kind == NUMBER:
                        texts.append((name, str(error).partition("got ")[2]))
                        continue
                else:
                    if math.isinf(value):
                        raise ValueError(f"field {name!r} must be finite, got {cell.strip()!r:.60}")
                    kind = NUMBER
                    found.append(value)
            told[name] = kind, level
            if kind != NUMBER:
                found.append(word(level) if kind == NOMINAL else math.nan)
        if texts:
            raise ValueError(no_numbers(texts))
        self._kinds.learn(told)
        return found


def _features(header: Sequence[str], selection: Selection) -> tuple[str, ...]:
    if selection.columns is not None:
        return selection.columns
    return tuple(name for name in header if name not in selection.others)
