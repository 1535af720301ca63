"""CSV: which delimiter, which decimal mark, which columns hold numbers, and where a cell does not."""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from imondrian._cli import Failure, dialect

from .arrow_arrays import from_numpy
from .reading import NUMBER, TEXT, TRUTH, Reading, errors_of, kind_of, unique

_CODECS = {b"\x1f\x8b": "gzip", b"BZ": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_HEAD = 1 << 16
_BLOCK = 1 << 20
_BLANKS = dialect.blanks_beside("")


class CsvTable:
    """A file of delimited text, possibly compressed, of which one block at a time is in memory."""

    single: frozenset[str] = frozenset()
    typed = False

    def __init__(self, path: Path, reading: Reading, source: Path | None = None) -> None:
        self.path, self.reading, self.source = path, reading, source or path
        lines, longest, passed = self._lines()
        separator = dialect.separator_of(lines[0])
        if separator is not None and len(lines) > 1:
            blank = _blank_at(lines[1:])
            passed, lines = passed + 1 + blank, lines[1 + blank :]
            if not lines:
                raise Failure(f"{path}: has a header, but no rows")
        self.delimiter = reading.delimiter or separator or dialect.delimiter_of(lines[0])
        if reading.decimal == reading.delimiter is not None:
            raise Failure(f"{path}: the delimiter and the decimal mark cannot both be {self.delimiter!r}")
        (first, n_first), *others = self._rows(lines)
        self.header = not dialect.holds_numbers(first, self.delimiter) if reading.header is None else reading.header
        rows = [cells for cells, _ in others] if self.header else [first, *(cells for cells, _ in others)]
        self.decimal = reading.decimal or dialect.decimal_of(rows, self.delimiter) or "."
        self.names = unique(path, dialect.names_of(first) if self.header else dialect.numbered(len(first)))
        self.note = dialect.note_of(first, self.header, reading.header)
        self._passed = passed + (n_first if self.header else 0)  # lines before the first row
        self.block = min(max(_BLOCK, 16 * longest), 1 << 30)
        self._check_end()
        self.missing = frozenset(reading.missing)
        self._null_values = dialect.spellings(reading.missing)
        self._blank_lines = len(self.names) == 1 and self._has_blank_lines()
        # pyarrow strips a cell of blanks after it has compared it with what is missing.
        self._by_cell = self._blank_lines or any(map(self._is_number, reading.missing))
        self.kinds = self._kinds()

    def batches(self, numbers: Sequence[str], verbatim: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        if self._by_cell:
            yield from self._cell_by_cell(numbers, verbatim, 0)
            return
        types = {name: pa.bool_() if self.kinds[name] == TRUTH else pa.float64() for name in numbers}
        wrong: list[Any] = []
        done = 0
        try:
            for batch in self._read(types | dict.fromkeys(verbatim, pa.string()), wrong):
                yield batch
                done += len(batch)
        except pa.ArrowInvalid as error:
            if wrong:
                raise self._wrong_width(wrong[0]) from error
            if "straddling" in str(error):
                raise Failure(
                    f"{self.path}: has a row of more than {self.block >> 20} MiB: is a quotation mark not "
                    "closed, or is it not CSV?"
                ) from error
            yield from self._cell_by_cell(numbers, verbatim, done)

    def level(self, value: Any) -> str | bool | None:
        """Return the category in a cell."""
        return None if value is None else dialect.level_of(value, self.missing)

    def _cell_by_cell(self, numbers: Sequence[str], verbatim: Sequence[str], done: int) -> Iterator[pa.RecordBatch]:
        """Yield what comes after ``done`` rows, by the dialect's own reading of cells that pyarrow does not know."""
        first = 1
        wrong: list[Any] = []
        try:
            for batch in self._read(dict.fromkeys((*numbers, *verbatim), pa.string()), wrong):
                passed = min(max(done + 1 - first, 0), len(batch))
                part = batch.slice(passed)
                if len(part):
                    columns = self._numbers(part, numbers, first + passed)
                    yield pa.RecordBatch.from_arrays([*columns, *part.columns[len(numbers) :]], names=part.schema.names)
                first += len(batch)
        except pa.ArrowInvalid as error:
            if wrong:
                raise self._wrong_width(wrong[0]) from error
            with errors_of(self.path):
                raise

    def _numbers(self, part: pa.RecordBatch, names: Sequence[str], first: int) -> list[pa.Array]:
        found, bad = [], []
        for j, name in enumerate(names):
            cells = part.column(j).to_pylist()
            values = np.full(len(cells), np.nan)
            try:
                for i, cell in enumerate(cells):
                    values[i] = dialect.number_of(cell, self.decimal, self.missing)
            except ValueError as error:
                bad.append((i, j, name, cells[i], str(error)))
            found.append(from_numpy(values))
        if bad:
            row, _, name, cell, what = min(bad)
            raise self._bad_cell(name, first + row, cell, what)
        return found

    def _read(self, types: dict[str, Any], wrong: list[Any]) -> Iterator[pa.RecordBatch]:
        with errors_of(self.path, (pa.ArrowInvalid,)), self._reader(types, wrong) as reader:
            for batch in reader:
                if self._blank_lines:  # rows to pyarrow, where a row is one cell
                    batch = batch.filter(
                        pa.array(
                            [not cell or bool(cell.strip(_BLANKS)) for cell in batch.column(0).to_pylist()], pa.bool_()
                        )
                    )
                if len(batch):
                    yield batch

    def _reader(self, types: dict[str, Any] | None, wrong: list[Any]) -> Any:
        def refuse(row: Any) -> str:
            if not row.text.strip(dialect.blanks_beside(self.delimiter)):  # a line of blanks
                return "skip"
            wrong.append(row)
            return "error"

        return arrow_csv.open_csv(
            stream_of(self.source),
            read_options=arrow_csv.ReadOptions(
                block_size=self.block, encoding=self.reading.encoding, skip_rows=self._passed, column_names=self.names
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types,
                null_values=self._null_values,
                decimal_point=self.decimal,
                include_columns=list(types) if types else None,
            ),
        )

    # -- looking at the beginning ------------------------------------------------------------------

    def _lines(self) -> tuple[list[str], int, int]:
        """Return the lines at the beginning, the bytes of the longest of them, and how many blank ones came before."""
        with stream_of(self.source) as file:
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
            raise Failure(
                f"{self.path}: is not text in {self.reading.encoding} ({error.reason} at byte "
                f"{error.start}): --encoding latin-1, or another name, says what it is"
            ) from error
        except LookupError as error:
            raise Failure(f"--encoding: {error}") from error
        lines = list(io.StringIO(text, newline=""))  # splitlines would part them at other characters, too
        lines = lines if ended or len(lines) == 1 else lines[:-1]
        passed = _blank_at(lines)
        if passed == len(lines):
            raise Failure(f"{self.path}: holds blank lines only")
        return lines[passed:], max(len(line.encode("utf-8", "replace")) for line in lines), passed

    def _has_blank_lines(self) -> bool:
        """Tell whether a line behind the first row's has blanks, and nothing else."""
        with stream_of(self.source) as raw:
            text = io.TextIOWrapper(raw, encoding=self.reading.encoding, errors="replace", newline="")
            return any(not line.strip(_BLANKS) and line.strip("\r\n") for line in islice(text, self._passed, None))

    def _is_number(self, text: str) -> bool:
        try:
            return not math.isnan(dialect.number_of(text, self.decimal))
        except ValueError:
            return False

    def _check_end(self) -> None:
        """Raise Failure where the last line ends within a quotation, which pyarrow would close by itself."""
        with open(self.source, "rb") as file:
            if _codec_of(file.read(4)) is not None:
                return  # which ends with a check of its own
            file.seek(max(0, file.seek(0, io.SEEK_END) - _HEAD))
            last = file.read().rstrip(b"\r\n").rpartition(b"\n")[2]
        try:
            dialect.cells_of(last.decode(self.reading.encoding, "replace").rstrip("\r"), self.delimiter)
        except ValueError as error:
            if "unexpected end" in str(error):
                raise Failure(f"{self.path}: its last line ends within a quotation: is it cut off?") from error

    def _refuse_other_than_text(self, data: bytes) -> None:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise Failure(f"{self.path}: is text in UTF-16: --encoding utf-16 reads it")
        if b"\0" in data:
            raise Failure(f"{self.path}: is neither CSV nor Parquet nor Arrow")

    def _rows(self, lines: Sequence[str]) -> list[tuple[list[str], int]]:
        """Return the cells of each row, and how many lines had been read by then."""
        csv.field_size_limit(1 << 30)
        reader = csv.reader(lines, delimiter=self.delimiter)
        try:
            return [(cells, reader.line_num) for cells in reader]
        except csv.Error as error:
            raise Failure(f"{self.path}: cannot be read as CSV: {error}") from error

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
            if "Empty CSV" in str(error) or "skip initial" in str(error):  # a header without the end of its line
                raise Failure(f"{self.path}: has a header, but no rows") from error
            with errors_of(self.path):
                raise
        if len(batch) == 0 or (self._blank_lines and next(self._read({self.names[0]: pa.string()}, []), None) is None):
            raise Failure(f"{self.path}: has a header, but no rows")
        kinds = {name: kind_of(batch.schema.field(name).type) for name in self.names}
        for name, kind in kinds.items():
            if kind == TEXT and self._mostly_numbers(batch.column(name)):
                kinds[name] = NUMBER  # the cells that are none will be found
        return kinds

    def _mostly_numbers(self, column: pa.Array) -> bool:
        numbers = texts = 0
        for cell in column.slice(0, 10_000).to_pylist():
            try:
                value = dialect.number_of(cell, self.decimal, self.missing)
                numbers += not math.isnan(value) and cell.strip().lower() not in dialect.TRUTH
            except ValueError:
                texts += 1
        return numbers > texts or texts == 0

    # -- errors ------------------------------------------------------------------------------------

    def _wrong_width(self, row: Any) -> Failure:
        place = self._place_of_wrong_width(row.expected_columns)  # the parser itself does not tell it
        hint = (
            "; if commas are decimal marks, --delimiter says what parts the cells"
            if self.delimiter == "," and row.actual_columns > row.expected_columns
            else ""
        )
        return Failure(
            f"{self.path}: {place} has {row.actual_columns} cells, not {row.expected_columns}: {row.text[:60]!r}{hint}"
        )

    def _place_of_wrong_width(self, expected: int) -> str:
        """Return the number of the first row with another number of cells."""
        with stream_of(self.source) as raw:
            text = io.TextIOWrapper(raw, encoding=self.reading.encoding, errors="replace", newline="")
            number = 1
            for row in csv.reader(islice(text, self._passed, None), delimiter=self.delimiter):
                if not self.delimiter.join(row).strip(dialect.blanks_beside(self.delimiter)) and expected > 1:
                    continue
                if len(row) != expected:
                    return f"row {number}"
                number += 1
        return "a row"

    def _bad_cell(self, name: str, row: int, cell: str, what: str) -> Failure:
        hint = (
            f"; --missing {cell.strip()!r} takes it for a missing value, --exclude {name!r} leaves the column out, "
            f"--nominal {name!r} takes it for categories"
        )
        other = dialect.mark_of(cell, ";")
        if "thousands" in what:
            hint = ": its comma may part thousands or be a decimal one (--decimal says which)"
        elif other is not None and other != self.decimal:
            hint = (
                f" with the decimal mark {self.decimal!r}, which other rows have: a file must keep to one "
                f"(--decimal says which)"
            )
        kind = "neither true nor false" if self.kinds[name] == TRUTH else "not a number"
        return Failure(f"{self.path}: row {row}, column {name!r}: {cell[:60]!r} is {kind}{hint}")


def _blank_at(lines: Sequence[str]) -> int:
    """Return how many lines of blanks are at the beginning."""
    return next((i for i, line in enumerate(lines) if line.strip(_BLANKS)), len(lines))


def stream_of(path: Path) -> Any:
    """Return the file as a stream of bytes, decompressed where it is compressed."""
    with open(path, "rb") as file:
        head = file.read(4)
    codec = _codec_of(head)
    file = pa.OSFile(os.fspath(path))
    return file if codec is None else pa.CompressedInputStream(file, codec)


def _codec_of(head: bytes) -> str | None:
    return next((name for magic, name in _CODECS.items() if head.startswith(magic)), None)
