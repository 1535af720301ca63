"""The beginning of a stream: which format it has, and the header of a CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from imondrian._cli import Failure, dialect

from .csv_records import CsvRecords, Layout, cells_of, is_data
from .json_records import JsonRecords
from .kinds import Kinds
from .records import Report, Rows, Selection, Table

_BOM = b"\xef\xbb\xbf"


class Decoder(Protocol):
    """What makes tables of lines."""

    def tables(self, rows: Rows) -> Iterator[Table]:
        """Yield the records of some lines, in order."""


class Opening:
    """Finds out how to read a stream.

    Parameters
    ----------
    format : {"auto", "json", "csv"}
    layout : Layout
    selection : Selection
    report : callable
        As for the decoders.
    known : callable, optional
        As for :class:`JsonRecords`.
    kinds : Kinds, optional

    Attributes
    ----------
    header : tuple of str, optional
        Names of a CSV's columns: those of the run before, until this one's are known.
    advice : str
        What may be wrong if nothing can be read.
    note : str, optional
        What to tell of a first line that was not clear.
    """

    def __init__(
        self,
        format: str,
        layout: Layout,
        selection: Selection,
        report: Report,
        known: Callable[[], Sequence[Any]] | None,
        kinds: Kinds | None = None,
    ) -> None:
        self._kinds = kinds
        self._format, self._layout, self._selection = format, layout, selection
        self._report, self._known = report, known
        self.header: tuple[str, ...] | None = None
        self.advice = ""
        self.note: str | None = None
        self._separator: str | None = None

    def read(self, lines: list[bytes | None], is_first: bool) -> tuple[Decoder | None, int]:
        """Return what reads the stream, if that is clear by now, and how many lines are no records."""
        if is_first and lines[0] is not None:
            lines[0] = lines[0].removeprefix(_BOM)
        for i, line in enumerate(lines):
            if line is None or b"\0" in line:
                raise Failure("standard input is no text: lines of CSV or JSON are expected")
            if line.strip():
                return self._decoder(line, i)
        return None, len(lines)

    def _decoder(self, line: bytes, place: int) -> tuple[Decoder | None, int]:
        head = line.lstrip()[:1]
        if self._format == "auto" and head == b"[":
            raise Failure("standard input begins with '[': one JSON object a line is expected, no list")
        if self._format == "json" or (self._format == "auto" and head == b"{"):
            self.advice = "; is it CSV? --read-as csv reads that" if self._format == "json" else ""
            return JsonRecords(self._selection, self._known, self._report, self._kinds), place
        self.advice = "; is it JSON? --read-as json reads that" if self._format == "auto" else ""
        if b"\r" in line.rstrip(b"\r"):
            raise Failure("standard input has lines that end with a carriage return alone: tr '\\r' '\\n' mends that")
        text = line.decode(errors="replace")
        if self._separator is None and (separator := dialect.separator_of(text)) is not None:
            self._separator = separator
            return None, place + 1
        return self._csv(line, text, place)

    def _csv(self, line: bytes, text: str, place: int) -> tuple[Decoder, int]:
        layout = self._layout
        names = layout.header or self.header
        delimiter = (
            layout.delimiter or self._separator or dialect.delimiter_of(text, None if names is None else len(names))
        )
        cells = _first_cells(line, delimiter)
        is_row = layout.first is False or (layout.first is None and self._is_row(cells, delimiter))
        if layout.header is not None:
            header, passed = layout.header, place + bool(layout.first)
        elif is_row:
            header, passed = self.header or dialect.numbered(len(cells)), place
        else:
            header, passed = dialect.names_of(cells), place + 1
        if layout.header is None and self.header is None:
            self.note = dialect.note_of(cells, passed > place, layout.first)
        if (name := dialect.twice(header)) is not None:
            raise Failure(f"the header names the column {name!r} twice")
        self.header = header
        decoder = CsvRecords(
            header, delimiter, layout.decimal, self._selection, self._report, layout.missing, self._kinds
        )
        return decoder, passed

    def _is_row(self, cells: Sequence[str], delimiter: str) -> bool:
        known = self.header
        if known is not None and dialect.names_of(cells) == known:
            return False
        return dialect.holds_numbers(cells, delimiter) or (
            known is not None and is_data(cells, known, self._selection, delimiter, self._layout, self._kinds)
        )


def _first_cells(line: bytes, delimiter: str) -> list[str]:
    try:
        return cells_of(line, delimiter)
    except ValueError as error:
        raise Failure(f"the header line cannot be read: {error}") from None
