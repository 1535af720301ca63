"""CSV: which delimiter, which decimal mark, which columns hold numbers, and where a cell does not."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from imondrian._cli import Failure

from .reading import NUMBER, TEXT, TRUTH, Reading, errors_of, kind_of, unique

_CODECS = {b"\x1f\x8b": "gzip", b"BZ": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_MISSING = ("", "#N/A", "#N/A N/A", "#NA", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null", "-NaN", "-nan", "None",
            "<NA>")
_HEAD = 1 << 16
_BLOCK = 1 << 20
_COMMA, _POINT = re.compile(r"[-+]?\d+,\d+$"), re.compile(r"[-+]?\d*\.\d+$")


class CsvTable:
    """A file of delimited text, possibly compressed, of which one block at a time is in memory."""

    single: frozenset[str] = frozenset()

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self.reading = path, reading
        lines, longest = self._lines()
        self.delimiter = reading.delimiter or _delimiter(lines[0])
        first, *others = self._rows(lines)
        self.decimal = reading.decimal or _decimal(self.delimiter, others)
        if self.decimal == self.delimiter:
            raise Failure(f"{path}: the delimiter and the decimal mark cannot both be {self.decimal!r}")
        self.header = self._has_header(first) if reading.header is None else reading.header
        self.names = unique(path, first) if self.header else [f"column_{k}" for k in range(1, len(first) + 1)]
        self.block = min(max(_BLOCK, 16 * longest), 1 << 30)
        self.missing = [*_MISSING, *reading.missing]
        self.kinds = self._kinds()

    def batches(self, numbers: Sequence[str], verbatim: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        types = {name: pa.bool_() if self.kinds[name] == TRUTH else pa.float64() for name in numbers}
        wrong: list[Any] = []
        try:
            yield from self._read(types | dict.fromkeys(verbatim, pa.string()), wrong)
        except pa.ArrowInvalid as error:
            if wrong:
                raise self._wrong_width(wrong[0]) from error
            if "straddling" in str(error):
                raise Failure(f"{self.path}: has a row of more than {self.block >> 20} MiB: is a quotation mark not "
                              "closed, or is it not CSV?") from error
            self._find_bad_cell(numbers)
            with errors_of(self.path):
                raise

    def _read(self, types: dict[str, Any], wrong: list[Any]) -> Iterator[pa.RecordBatch]:
        with errors_of(self.path, (pa.ArrowInvalid,)), self._reader(types, wrong) as reader:
            for batch in reader:
                if len(batch):
                    yield batch.select(list(types))

    def _reader(self, types: dict[str, Any] | None, wrong: list[Any]) -> Any:
        def refuse(row: Any) -> str:
            wrong.append(row)
            return "error"

        return arrow_csv.open_csv(
            _stream(self.path),
            read_options=arrow_csv.ReadOptions(block_size=self.block, encoding=self.reading.encoding,
                                               column_names=None if self.header else self.names),
            parse_options=arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True,
                                                 invalid_row_handler=refuse),
            convert_options=arrow_csv.ConvertOptions(column_types=types, null_values=self.missing,
                                                     decimal_point=self.decimal,
                                                     include_columns=list(types) if types else None))

    # -- looking at the beginning ------------------------------------------------------------------

    def _lines(self) -> tuple[list[str], int]:
        """Return the lines at the beginning, and the bytes of the longest of them."""
        with _stream(self.path) as file:
            data = file.read(_HEAD)
            while b"\n" not in data and b"\r" not in data and (more := file.read(len(data))):
                data += more
            ended = not file.read(1)
        if self.reading.encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
            self._refuse_other_than_text(data)
        try:
            decoder = codecs.getincrementaldecoder(self.reading.encoding)()
            text = decoder.decode(data, final=ended).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise Failure(f"{self.path}: is not text in {self.reading.encoding} ({error.reason} at byte "
                          f"{error.start}): --encoding latin-1, or another name, says what it is") from error
        except LookupError as error:
            raise Failure(f"--encoding: {error}") from error
        lines = text.splitlines(keepends=True)
        lines = lines if ended or len(lines) == 1 else lines[:-1]
        while lines and not lines[0].strip():
            del lines[0]
        if not lines:
            raise Failure(f"{self.path}: holds blank lines only")
        return lines, max(len(line.encode("utf-8", "replace")) for line in lines)

    def _refuse_other_than_text(self, data: bytes) -> None:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise Failure(f"{self.path}: is text in UTF-16: --encoding utf-16 reads it")
        if b"\0" in data:
            raise Failure(f"{self.path}: is neither CSV nor Parquet nor Arrow")

    def _rows(self, lines: Sequence[str]) -> list[list[str]]:
        csv.field_size_limit(1 << 30)
        try:
            return list(csv.reader(lines, delimiter=self.delimiter))
        except csv.Error as error:
            raise Failure(f"{self.path}: cannot be read as CSV: {error}") from error

    def _has_header(self, first: Sequence[str]) -> bool:
        """Return True; Failure where the first row looks like data. Whole numbers may be names: counts of columns."""
        if all(self._number(cell) is not None for cell in first) and not all(cell.isdigit() for cell in first):
            raise Failure(f"{self.path}: its first row holds numbers, not names ({', '.join(first)[:60]}): "
                          "--no-header takes it for data, --header for names")
        return True

    def _kinds(self) -> dict[str, str]:
        """Return what each column holds, judged by the first block."""
        wrong: list[Any] = []
        try:
            with errors_of(self.path, (pa.ArrowInvalid,)), self._reader(None, wrong) as reader:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    raise Failure(f"{self.path}: has a header, but no rows") from None
        except pa.ArrowInvalid as error:
            if wrong:
                raise self._wrong_width(wrong[0]) from error
            if "Empty CSV" in str(error):  # a header without the end of its line
                raise Failure(f"{self.path}: has a header, but no rows") from error
            with errors_of(self.path):
                raise
        if len(batch) == 0:
            raise Failure(f"{self.path}: has a header, but no rows")
        kinds = {name: kind_of(batch.schema.field(name).type) for name in self.names}
        for name, kind in kinds.items():
            if kind == TEXT and self._mostly_numbers(batch.column(name)):
                kinds[name] = NUMBER  # the cells that are none will be found
        return kinds

    def _mostly_numbers(self, column: pa.Array) -> bool:
        cells = [cell for cell in column.slice(0, 10_000).to_pylist() if cell.strip() not in self.missing]
        return 2 * sum(self._number(cell) is not None for cell in cells) > len(cells)

    def _number(self, cell: str) -> float | None:
        text = cell.strip()
        if self.decimal == ",":
            text = text.replace(".", "x").replace(",", ".")
        try:
            return float(text) if "_" not in text else None
        except ValueError:
            return None

    # -- errors ------------------------------------------------------------------------------------

    def _wrong_width(self, row: Any) -> Failure:
        place = self._place_of_wrong_width(row.expected_columns)  # the parser itself does not tell it
        hint = "; if commas are decimal marks, --delimiter says what parts the cells" if self.delimiter == "," and \
            row.actual_columns > row.expected_columns else ""
        return Failure(f"{self.path}: {place} has {row.actual_columns} cells, not {row.expected_columns}: "
                       f"{row.text[:60]!r}{hint}")

    def _place_of_wrong_width(self, expected: int) -> str:
        """Return the number of the first row with another number of cells."""
        with _stream(self.path) as raw:
            text = io.TextIOWrapper(raw, encoding=self.reading.encoding, errors="replace", newline="")
            number = 0 if self.header else 1
            for row in csv.reader(text, delimiter=self.delimiter):
                if row and len(row) != expected:
                    return f"row {number}"
                number += bool(row)
        return "a row"

    def _find_bad_cell(self, names: Sequence[str]) -> None:
        """Raise Failure for the first cell of these columns that is no number, if there is one."""
        first = 1
        for batch in self._read(dict.fromkeys(names, pa.string()), []):
            found = [(row, name) for name in names if (row := self._first_bad(batch.column(name), name)) is not None]
            if found:
                row, name = min(found)
                raise self._bad_cell(name, first + row, batch.column(name)[row].as_py())
            first += len(batch)

    def _first_bad(self, column: pa.Array, name: str) -> int | None:
        truth = self.kinds[name] == TRUTH
        for row, cell in enumerate(column.to_pylist()):
            text = cell.strip()
            if text not in self.missing and (
                    text.lower() not in ("true", "false", "0", "1") if truth else self._number(text) is None):
                return row
        return None

    def _bad_cell(self, name: str, row: int, cell: str) -> Failure:
        what = "neither true nor false" if self.kinds[name] == TRUTH else "not a number"
        other = _COMMA if self.decimal == "." else _POINT
        hint = f"; --missing {cell.strip()!r} takes it for a missing value, --exclude {name!r} leaves the column out"
        if other.match(cell.strip()):
            hint = f" with the decimal mark {self.decimal!r}, which other rows have: a file must keep to one " \
                   f"(--decimal says which)"
        return Failure(f"{self.path}: row {row}, column {name!r}: {cell[:60]!r} is {what}{hint}")


def _stream(path: Path) -> Any:
    """Return the file as a stream of bytes, decompressed where it is compressed."""
    with open(path, "rb") as file:
        head = file.read(4)
    codec = next((name for magic, name in _CODECS.items() if head.startswith(magic)), None)
    file = pa.OSFile(os.fspath(path))
    return file if codec is None else pa.CompressedInputStream(file, codec)


def _delimiter(line: str) -> str:
    """Return the mark that parts the names; a comma where there is one name."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max((",", ";", "\t", "|"), key=bare.count)


def _decimal(delimiter: str, rows: Sequence[Sequence[str]]) -> str:
    """Return the decimal mark that most of the cells with one have."""
    if delimiter == ",":
        return "."
    cells = [cell.strip() for row in rows for cell in row]
    return "," if sum(map(bool, map(_COMMA.match, cells))) > sum(map(bool, map(_POINT.match, cells))) else "."
