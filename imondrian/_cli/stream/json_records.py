"""Records from lines of JSON, an object a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from .json_lines import JSONDecodeError, loads
from .kinds import LEFT_OUT, NOMINAL, NUMBER, Kinds, level_word, settled
from .records import Report, Rows, Selection, Table, columns_of, no_numbers

_NUMBERS = {float, int, type(None)}
_LEVELS = {str, bool}
_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


class JsonRecords:
    """Make tables of lines.

    Parameters
    ----------
    selection : Selection
    known : callable, optional
        Returns the features that need no telling: a record that lacks some of them goes into one table with those that
        have all, as it has in every respect the same meaning. A record with others begins a new table, before which
        the caller is done with those before it. None: every table has records with exactly its fields.
    report : callable
        Called with the number of a line that is no record, and what is wrong with it.
    kinds : Kinds, optional
        What fields hold, as far as it is known. None: numbers alone.
    """

    def __init__(
        self,
        selection: Selection,
        known: Callable[[], Sequence[str]] | None,
        report: Report,
        kinds: Kinds | None = None,
    ) -> None:
        self._selection, self._known, self._report = selection, known, report
        self._kinds = Kinds.of_numbers() if kinds is None else kinds
        self._others = selection.others
        self._fields: tuple[str, ...] = ()

    def tables(self, rows: Rows) -> Iterator[Table]:
        """Yield the records of some lines, in order."""
        rows = self._objects(rows)
        if self._selection.key is not None:
            rows = self._with_key(rows, self._selection.key)
        for fields, part, cells in self._runs(rows):
            if len(part.content):
                table = self._table(fields, part, cells)
                if len(table.records):
                    yield table

    # -- lines to objects --------------------------------------------------------------------------

    def _objects(self, rows: Rows) -> Rows:
        try:
            objects = list(map(loads, rows.content))
        except JSONDecodeError:
            rows = rows.only([i for i, line in enumerate(rows.content) if self._is_json(line, rows.lines[i])])
            objects = list(map(loads, rows.content))
        rows = rows._replace(content=objects)
        if set(map(type, objects)) <= {dict}:
            return rows
        good = []
        for i, found in enumerate(objects):
            if type(found) is dict:
                good.append(i)
            else:
                self._report(rows.lines[i], f"must be a JSON object, got {_named(found)}")
        return rows.only(good)

    def _is_json(self, line: bytes | None, number: int) -> bool:
        if line is None:
            self._report(number, "is too long to be a record")
            return False
        try:
            loads(line)
        except JSONDecodeError as error:
            advice = ""
            if b"NaN" in line or b"Infinity" in line:
                advice = "; NaN and Infinity are no JSON, a missing value is null or left out"
            self._report(number, f"no JSON: {error.msg} at column {error.colno}{advice}")
            return False
        return True

    def _with_key(self, rows: Rows, key: str) -> Rows:
        found = [each.get(key) for each in rows.content]
        if set(map(type, found)) <= {str, int}:
            return rows
        good = []
        for i, value in enumerate(found):
            if type(value) in (str, int):
                good.append(i)
            elif key not in rows.content[i]:
                self._report(rows.lines[i], f"lacks the key field {key!r}")
            else:
                self._report(rows.lines[i], f"the key field {key!r} must be text or an integer, got {_named(value)}")
        return rows.only(good)

    # -- objects to tables -------------------------------------------------------------------------

    def _runs(self, rows: Rows) -> Iterator[tuple[tuple[str, ...], Rows, list[tuple[Any, ...]] | None]]:
        """Yield stretches of records that go into one table, its fields, and its cells if they are at hand."""
        if self._selection.columns is not None:
            yield self._selection.columns, rows, None
            return
        fields = self._current()
        cells = self._uniform(rows.content, fields)
        if cells is not None:
            yield fields, rows, cells
            return
        begin, names = 0, set(fields)
        for i, record in enumerate(rows.content):
            found = record.keys() - self._others
            if found == names or (self._known is not None and names and found <= names):
                continue
            yield fields, rows.part(begin, i), None
            begin, fields = i, tuple(name for name in record if name in found)
            if self._known is None:
                self._fields = fields
            else:
                yield fields, rows.part(i, i + 1), None
                begin, fields = i + 1, self._current()
            names = set(fields)
        yield fields, rows.part(begin, len(rows.content)), None

    def _current(self) -> tuple[str, ...]:
        return self._fields if self._known is None else tuple(self._known())

    def _uniform(self, records: Sequence[dict[str, Any]], fields: Sequence[str]) -> list[tuple[Any, ...]] | None:
        """Return the values of ``fields`` if every record has these, every other field there is, and no more."""
        if set(map(len, records)) != {len(fields) + len(self._others)}:
            return None
        try:
            columns_of(records, tuple(self._others))
            return columns_of(records, fields)
        except KeyError:
            return None

    def _table(self, fields: tuple[str, ...], rows: Rows, cells: list[tuple[Any, ...]] | None) -> Table:
        if cells is None:
            cells = [tuple(map(record.get, fields)) for record in rows.content]
        flat = list(chain.from_iterable(cells))
        if self._kinds.has_categories(fields) or not set(map(type, flat)) <= _NUMBERS:
            return self._mixed_table(fields, rows, cells)
        values = np.array(flat, np.float64).reshape(len(cells), len(fields))
        self._kinds.learn_numbers(fields, values)
        return self._made(fields, rows, values)

    def _made(self, fields: tuple[str, ...], rows: Rows, values: np.ndarray) -> Table:
        keep, key = self._selection.carried, self._selection.key
        kept = [tuple(map(record.get, keep)) for record in rows.content] if keep else None
        keys = None if key is None else [record[key] for record in rows.content]
        return Table(fields, values, rows.records, keys, kept)

    def _mixed_table(self, fields: tuple[str, ...], rows: Rows, cells: list[tuple[Any, ...]]) -> Table:
        """Return a table some of whose fields may be categories, or hold what is none and no number."""
        good, values = [], []
        for i, record in enumerate(cells):
            read = self._read(fields, record, rows.lines[i])
            if read is not None:
                good.append(i)
                values.append(read)
        self._kinds.tell()
        if self._kinds.left_out:
            self._others = self._selection.others | self._kinds.left_out
        found = np.array(values, np.float64).reshape(len(good), len(fields))
        chosen, nominal = settled(self._kinds, fields, found)
        table = self._made(tuple(fields[j] for j in chosen), rows.only(good), found[:, chosen])
        if not nominal.any():
            return table
        return table._replace(nominal=nominal, cells=[[cells[i][j] for j in chosen] for i in good])

    def _read(self, fields: Sequence[str], record: Sequence[Any], number: int) -> list[float] | None:
        """Return the values of a record as numbers and words; None where it is none, which is told."""
        kinds, found, wrong = self._kinds, [], []
        told: dict[str, tuple[str, Any]] = {}
        for name, value in zip(fields, record, strict=True):
            kind = kinds.of(name)
            if value is None or kind == LEFT_OUT:
                found.append(math.nan)
                continue
            if kind is None:
                kind = kinds.guess(name, value)
            told[name] = kind, value
            if kind == LEFT_OUT:
                found.append(math.nan)
            elif kind == NOMINAL and (type(value) in _LEVELS or (type(value) in _NUMBERS and kinds.is_forced(name))):
                found.append(level_word(value))
            elif kind == NUMBER and (type(value) in _NUMBERS or type(value) is bool):
                found.append(float(value))
            elif kind == NOMINAL:
                self._report(number, f"field {name!r} must be a category, as before, got {_told(value)}")
                return None
            else:
                wrong.append((name, _told(value)))
        if wrong:
            self._report(number, no_numbers(wrong))
            return None
        kinds.learn(told)
        return found


def _told(value: Any) -> str:
    return f"the text {value!r:.60}" if type(value) is str else _named(value)


def _named(value: Any) -> str:
    return _NAMES.get(type(value), f"{value!r:.60}")
