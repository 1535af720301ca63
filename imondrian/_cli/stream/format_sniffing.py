"""The beginning of a stream: which format it has, and the header of a CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from imondrian._cli import Failure

from .csv_records import CsvRecords, Layout, cells_of, find_delimiter, is_data, read_header
from .json_records import JsonRecords
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

    Attributes
    ----------
    header : tuple of str, optional
        Names of a CSV's columns: those of the run before, until this one's are known.
    advice : str
        What may be wrong if nothing can be read.
    """

    def __init__(self, format: str, layout: Layout, selection: Selection, report: Report,
                 known: Callable[[], Sequence[Any]] | None) -> None:
        self._format, self._layout, self._selection = format, layout, selection
        self._report, self._known = report, known
        self.header: tuple[str, ...] | None = None
        self.advice = ""

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

    def _decoder(self, line: bytes, place: int) -> tuple[Decoder, int]:
        head = line.lstrip()[:1]
        if self._format == "auto" and head == b"[":
            raise Failure("standard input begins with '[': one JSON object a line is expected, no list")
        if self._format == "json" or (self._format == "auto" and head == b"{"):
            self.advice = "; is it CSV? --read-as csv reads that" if self._format == "json" else ""
            return JsonRecords(self._selection, self._known, self._report), place
        self.advice = "; is it JSON? --read-as json reads that" if self._format == "auto" else ""
        layout = self._layout
        names = layout.header or self.header
        delimiter = layout.delimiter or find_delimiter(line, None if names is None else len(names))
        passed = place
        if layout.header is not None or (self.header is not None and self._is_data(line, delimiter, self.header)):
            header = layout.header or self.header
            assert header is not None
        else:
            header, passed = read_header(line, delimiter, layout.decimal), place + 1
        self.header = header
        return CsvRecords(header, delimiter, layout.decimal, self._selection, self._report), passed

    def _is_data(self, line: bytes, delimiter: str, header: Sequence[str]) -> bool:
        try:
            cells = cells_of(line, delimiter)
        except ValueError:
            return False
        return is_data(cells, header, self._selection, self._layout.decimal)
