"""What lines of records become: tables of numbers, with what goes beside them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from imondrian._cli import Failure

_TOLD = 10  # bad lines that are told of one by one

Report = Callable[[int, str], None]  # called with (line number, what is wrong with it)


class Selection(NamedTuple):
    """Which fields of a record are what.

    Attributes
    ----------
    columns : tuple of str, optional
        The features. None: all fields that are nothing else.
    ignore : tuple of str
    keep : tuple of str
        Fields passed through to the output.
    key : str, optional
        The field that says which model a record belongs to.
    time : str, optional
        The field that says when a record was.
    """

    columns: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    key: str | None = None
    time: str | None = None
    nominal: tuple[str, ...] = ()  # features that shall be categories, ...
    numeric: tuple[str, ...] = ()  # ... and that shall be numbers, whatever they hold

    @property
    def carried(self) -> tuple[str, ...]:
        """Fields whose values go along with a record: those that are kept, then the time, if it is none of them."""
        return self.keep if self.time is None or self.time in self.keep else (*self.keep, self.time)

    @property
    def others(self) -> frozenset[str]:
        """Fields that are no features."""
        if self.columns is not None:
            return frozenset()
        return frozenset((*self.ignore, *self.carried, *([] if self.key is None else [self.key])))


class Rows(NamedTuple):
    """Lines that are not blank: what is on them, their numbers in the input, their numbers as records."""

    content: Sequence[Any]
    lines: Sequence[int]
    records: Sequence[int]

    def part(self, begin: int, end: int) -> Rows:
        """Return some of them."""
        return Rows(self.content[begin:end], self.lines[begin:end], self.records[begin:end])

    def only(self, chosen: Sequence[int]) -> Rows:
        """Return those in some places."""
        return Rows(*([column[i] for i in chosen] for column in self))


class Table(NamedTuple):
    """Records with the same fields."""

    fields: tuple[str, ...]
    values: np.ndarray  # (n, len(fields)), float64: numbers, words of categories, NaN where a value is missing
    records: Sequence[int]
    keys: Sequence[Any] | None
    kept: Sequence[tuple[Any, ...]] | None
    times: Sequence[float] | None = None  # seconds
    nominal: np.ndarray | None = None  # which fields are categories; None: none
    cells: Sequence[Sequence[Any]] | None = None  # the values as they came, where some are categories

    def present(self, i: int) -> dict[str, Any]:
        """Return a record as a dict of the values that are not missing, categories as they came."""
        found: dict[str, Any] = {}
        for j, (name, value) in enumerate(zip(self.fields, self.values[i].tolist(), strict=True)):
            if value == value:
                is_level = self.nominal is not None and self.cells is not None and self.nominal[j]
                found[name] = self.cells[i][j] if is_level and self.cells is not None else value
        return found

    def part(self, begin: int, end: int) -> Table:
        """Return some of its rows."""
        return Table(
            self.fields,
            self.values[begin:end],
            self.records[begin:end],
            None if self.keys is None else self.keys[begin:end],
            None if self.kept is None else self.kept[begin:end],
            None if self.times is None else self.times[begin:end],
            self.nominal,
            None if self.cells is None else self.cells[begin:end],
        )

    def only(self, chosen: np.ndarray) -> Table:
        """Return the rows in some places."""

        def some(column: Sequence[Any]) -> list[Any]:
            return [column[i] for i in chosen]

        return Table(
            self.fields,
            self.values[chosen],
            some(self.records),
            None if self.keys is None else some(self.keys),
            None if self.kept is None else some(self.kept),
            None if self.times is None else some(self.times),
            self.nominal,
            None if self.cells is None else some(self.cells),
        )


def without_too_large(table: Table, largest: float, rows: Rows, report: Report) -> Table:
    """Return the records without numbers that a model cannot hold; the others are bad lines."""
    if not len(table.values) or largest == sys.float_info.max:
        return table
    with np.errstate(over="ignore"):
        too_large = np.isinf(table.values.astype(np.float32))
    if table.nominal is not None:
        too_large[:, table.nominal] = False
    bad = too_large.any(axis=1)
    if not bad.any():
        return table
    lines = dict(zip(rows.records, rows.lines, strict=True))
    for i in np.flatnonzero(bad).tolist():
        j = int(np.argmax(too_large[i]))
        report(
            lines[table.records[i]],
            f"field {table.fields[j]!r} must be at most {largest:.4g} in size, as the "
            f"model has 32-bit floats, got {table.values[i, j]}",
        )
    return table.only(np.flatnonzero(~bad))


@dataclass
class Numbering:
    """Numbers lines, and records over all runs; passes over blank lines and records that were done before."""

    records: int = 0  # so far, bad ones and those of runs before included
    skip: int = 0  # records still to be passed over
    lines: int = 0
    blanks: bytes = b" \t\n\r\x0b\x0c"  # a line of these is no record

    def replay(self, records: int) -> None:
        """Pass over records that were done before: the input starts over."""
        self.skip = records

    def _is_blank(self, line: bytes | None) -> bool:
        return line is not None and (not line or line.isspace()) and not line.strip(self.blanks)

    def take(self, lines: Sequence[bytes | None]) -> Rows:
        """Return the lines that are records."""
        first = self.lines + 1
        self.lines += len(lines)
        if self.skip == 0 and all(lines) and not any(map(self._is_blank, lines)):
            numbers = range(self.records + 1, self.records + 1 + len(lines))
            self.records += len(lines)
            return Rows(lines, range(first, first + len(lines)), numbers)
        chosen = [i for i, line in enumerate(lines) if line is None or not self._is_blank(line)]
        passed = min(self.skip, len(chosen))
        self.skip -= passed
        chosen = chosen[passed:]
        numbers = range(self.records + 1, self.records + 1 + len(chosen))
        self.records += len(chosen)
        return Rows([lines[i] for i in chosen], [first + i for i in chosen], numbers)


class BadLine(Failure):
    """A bad line where none may be."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line


@dataclass
class BadLines:
    """Counts lines that are no records, and tells of the first.

    Attributes
    ----------
    count : int
    good : int
        Records that were good; kept by those who find out.
    last : tuple of int and str
        The last one's line number, and what is wrong with it.
    """

    strict: bool
    quiet: bool
    count: int = 0
    good: int = 0
    last: tuple[int, str] = (0, "")
    _advice: tuple[str, int] = ("", 0)  # what was advised last, and for which line

    def report(self, line: int, what: str) -> None:
        """Note one; :class:`BadLine` if there may be none."""
        if self.strict:
            raise BadLine(line, what)
        self.count += 1
        self.last = (line, what)
        if not self.quiet and self.count <= _TOLD:
            print(f"imondrian: line {line}: {self._shortened(line, what)}", file=sys.stderr)
            if self.count == _TOLD:
                print("imondrian: further bad lines are counted, and not told of", file=sys.stderr)

    def _shortened(self, line: int, what: str) -> str:
        """Say fields that hold no numbers once: every line of a stream may have them."""
        advice = what.rpartition("; ")[2]
        if advice.endswith("leaves them out"):
            if advice == self._advice[0]:
                return f"the same fields as in line {self._advice[1]}"
            self._advice = (advice, line)
        return what


def no_numbers(wrong: Sequence[tuple[str, str]]) -> str:
    """Say which fields of a record hold no numbers but what, and how to do without them."""
    first, held = wrong[0]
    if len(wrong) == 1:
        return f"field {first!r} must be a number, got {held}; --ignore leaves a field out"
    shown = ", ".join(f"{name!r} is {what}" for name, what in wrong[:_TOLD])
    more = f" and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
    names = [name for name, _ in wrong]
    # Names with commas or blanks cannot stand in a list as they are.
    if any("," in name or name != name.strip() or not name for name in names):
        return f"fields must be numbers: {shown}{more}; --ignore leaves a field out"
    return f"fields must be numbers: {shown}{more}; --ignore {shlex.quote(','.join(names))} leaves them out"


def columns_of(records: Sequence[Any], fields: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return what is found under each field, a tuple a record; KeyError or IndexError where something is not there."""
    if not fields:
        return [()] * len(records)
    if len(fields) == 1:
        return list(zip(map(itemgetter(fields[0]), records)))
    return list(map(itemgetter(*fields), records))
