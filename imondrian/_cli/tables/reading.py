"""Tables in files: what they hold, and their rows a batch at a time. Never is a whole table in memory.

``reading``, ``reading_csv`` and ``reading_json`` read, ``writing`` writes, ``arrow_arrays`` converts: the only modules
that import pyarrow.
"""

from __future__ import annotations

import atexit
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from imondrian._cli import Failure
from imondrian._kit import terminal

NUMBER, TRUTH, EMPTY, TEXT, DATE, OTHER = "numbers", "truth values", "no values", "text", "dates", "other things"
NUMERIC = (NUMBER, TRUTH, EMPTY)
FORMATS = ("auto", "csv", "json", "parquet", "arrow")
_STANDARD_INPUT = Path("-")
_BATCH_ROWS, _BATCH_CELLS = 1 << 14, 1 << 20


@dataclass(frozen=True)
class Reading:
    """How files shall be read; None finds out."""

    format: str = "auto"
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str = "utf-8"
    header: bool | None = None
    missing: tuple[str, ...] = ()


class Table(Protocol):
    """One file.

    ``kinds`` tells by name, in the file's order, what a column holds. ``batches(numbers, verbatim)`` reads from the
    beginning: record batches with the columns ``numbers`` (of numeric kinds) and ``verbatim``; no column is in both.
    ``single`` names the columns of 32-bit floats, ``typed`` says whether columns have types, and not cells. ``level``
    returns the category that a value of a verbatim column is, None for a missing one.
    """

    path: Path
    kinds: dict[str, str]
    single: frozenset[str]
    typed: bool

    def batches(self, numbers: Sequence[str], verbatim: Sequence[str] = ()) -> Iterator[pa.RecordBatch]: ...

    def level(self, value: Any) -> Any: ...


def open_table(path: Path, reading: Reading) -> Table:
    """Return the table of a file; its format is told by its content, else it is taken for CSV.

    ``-`` is standard input, which is put into a temporary file.
    """
    if path == _STANDARD_INPUT:
        return _open(path, _spooled(), reading)
    with errors_of(path):
        if path.is_dir():
            raise Failure(f"{path}: is a folder, not a file")
        if path.exists() and not path.is_file():
            raise Failure(
                f"{path}: is no regular file, and it is read more than once: save it in a file first, or "
                "follow it with imondrian stream"
            )
    return _open(path, path, reading)


def _open(path: Path, source: Path, reading: Reading) -> Table:
    """Return the table in the file ``source``, of which messages tell as ``path``."""
    with errors_of(path):
        found = _format(path, source)
        chosen = found if reading.format == "auto" else reading.format
        if chosen != found and {chosen, found} != {"csv", "json"}:
            raise Failure(f"{path}: is not of the format {chosen}" + ("" if found == "csv" else f", but {found}"))
        if chosen == "parquet":
            return _checked(ParquetTable(path, source))
        if chosen == "arrow":
            return _checked(ArrowTable(path, source))
        if chosen == "json":
            from imondrian._cli.tables.reading_json import JsonTable

            return _checked(JsonTable(path, source))
        from .reading_csv import CsvTable

        return _checked(CsvTable(path, reading, source))


def _spooled() -> Path:
    """Put standard input into a file, which is removed at the end: tables are read more than once."""
    with tempfile.NamedTemporaryFile(prefix="imondrian-", delete=False) as file:
        atexit.register(_remove, file.name)
        try:
            shutil.copyfileobj(sys.stdin.buffer, file)
        except OSError as error:
            raise Failure(f"cannot keep standard input in {file.name}: {error.strerror or error}") from error
    return Path(file.name)


def _remove(name: str) -> None:
    with suppress(OSError):
        os.unlink(name)


def _begins_as_json(source: Path) -> bool:
    """Whether the first byte that is no blank opens an object."""
    from .reading_csv import stream_of

    with stream_of(source) as file:
        head = file.read(1 << 12)
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def _format(path: Path, source: Path) -> str:
    with open(source, "rb") as file:
        head = file.read(8)
        if not head:
            raise Failure(f"{path}: is empty")
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 6))
        tail = file.read()
    if head[:4] == b"PARE":
        raise Failure(f"{path}: is encrypted Parquet, which cannot be read here")
    if head[:4] == b"FEA1":
        raise Failure(f"{path}: is Feather of version 1: save it again with version 2")
    if head[:4] == b"PAR1":
        if tail[-4:] != b"PAR1":
            raise Failure(f"{path}: begins as Parquet but does not end as such: it is cut off")
        return "parquet"
    if head[:6] == b"ARROW1":
        if tail != b"ARROW1":
            raise Failure(f"{path}: begins as Arrow but does not end as such: it is cut off")
        return "arrow"
    if head[:4] == b"\xff\xff\xff\xff":  # a stream of Arrow messages
        return "arrow"
    return "json" if _begins_as_json(source) else "csv"


def _checked(table: Any) -> Any:
    if not table.kinds:
        raise Failure(f"{table.path}: has no columns")
    return table


@contextmanager
def errors_of(path: Path, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Tell of any error in reading as one of the file ``path``, but for those ``passing``."""
    try:
        yield
    except pa.ArrowMemoryError:
        raise
    except pa.ArrowException as error:
        if isinstance(error, passing):
            raise
        text = str(error).splitlines()[0]
        raise Failure(f"{path}: cannot be read, it is damaged or cut off: {text[:300]}") from error
    except UnicodeDecodeError as error:  # in the name of a column
        raise Failure(f"{path}: cannot be read, it is damaged: a name in it is no text ({error.reason})") from error
    except OSError as error:
        damage = f"cannot be read, it is damaged or cut off: {str(error).splitlines()[0][:300]}"  # as pyarrow tells it
        raise Failure(f"{path}: {error.strerror or damage}") from error


def unique(path: Path, names: Sequence[str]) -> list[str]:
    """Return the names; Failure where one occurs twice."""
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Failure(f"{path}: two columns have the name {twice!r}")
    return list(names)


def kind_of(kind: pa.DataType) -> str:
    """Return what a column of this type holds."""
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    for tell, name in (
        (pa.types.is_integer, NUMBER),
        (pa.types.is_floating, NUMBER),
        (pa.types.is_decimal, NUMBER),
        (pa.types.is_boolean, TRUTH),
        (pa.types.is_null, EMPTY),
        (pa.types.is_string, TEXT),
        (pa.types.is_large_string, TEXT),
        (pa.types.is_string_view, TEXT),
        (pa.types.is_temporal, DATE),
    ):
        if tell(kind):
            return name
    return OTHER


def batch_rows(n_columns: int) -> int:
    """Return how many rows of so many columns make a batch."""
    return max(1, min(_BATCH_ROWS, _BATCH_CELLS // max(1, n_columns)))


def tell_note(table: Table, quiet: bool) -> None:
    """Tell what was not clear about a file, and how it was taken."""
    note = getattr(table, "note", None)
    if note is not None:
        terminal.note(f"{table.path}: {note}", quiet)


def use_threads(n_threads: int) -> None:
    """Read with at most ``n_threads`` threads."""
    pa.set_cpu_count(n_threads)


class _Typed:
    """A table of a format that tells its columns' types."""

    typed = True

    def __init__(self, path: Path, source: Path, schema: pa.Schema) -> None:
        self.path, self.source = path, source
        names = unique(path, schema.names)
        self.kinds = {name: kind_of(schema.field(name).type) for name in names}
        self.single = frozenset(name for name in names if schema.field(name).type == pa.float32())

    def level(self, value: Any) -> Any:
        """Return the category that a value is: itself."""
        return value


class ParquetTable(_Typed):
    """A Parquet file: of its row groups only the columns asked for are read, piece by piece."""

    def __init__(self, path: Path, source: Path) -> None:
        with self._open(source) as file:
            super().__init__(path, source, file.schema_arrow)

    @staticmethod
    def _open(path: Path) -> Any:
        from pyarrow import parquet

        # Without a buffer's size whole column chunks are read at once: all of the file where it is one row group.
        return parquet.ParquetFile(os.fspath(path), buffer_size=1 << 20, pre_buffer=False)

    def batches(self, numbers: Sequence[str], verbatim: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        wanted = [*numbers, *verbatim]
        with errors_of(self.path), self._open(self.source) as file:
            for batch in file.iter_batches(batch_rows(len(wanted)), columns=wanted):
                chosen = batch.select(wanted)
                if verbatim:
                    chosen.validate(full=True)  # damaged text is found by nobody else
                yield chosen


class ArrowTable(_Typed):
    """An Arrow file (Feather of version 2), or a stream of Arrow messages in a file."""

    def __init__(self, path: Path, source: Path) -> None:
        with self._open(source, None) as reader:
            super().__init__(path, source, reader.schema)

    @contextmanager
    def _open(self, path: Path, wanted: Sequence[str] | None) -> Iterator[Any]:
        with pa.memory_map(os.fspath(path)) as file:
            is_file = file.read(6) == b"ARROW1"
            file.seek(0)
            begin = pa.ipc.open_file if is_file else pa.ipc.open_stream
            fields = None if wanted is None else [list(self.kinds).index(name) for name in wanted]
            yield begin(file, options=pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False))

    def batches(self, numbers: Sequence[str], verbatim: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        wanted = [*numbers, *verbatim]
        rows = batch_rows(len(wanted))
        with errors_of(self.path), self._open(self.source, wanted) as reader:
            whole = (
                (reader.get_batch(k) for k in range(reader.num_record_batches))
                if hasattr(reader, "get_batch")
                else iter(reader)
            )
            for batch in whole:
                chosen = batch.select(wanted)
                chosen.validate(full=bool(verbatim))  # a damaged file may point anywhere
                for start in range(0, len(chosen), rows):
                    yield chosen.slice(start, rows)


def as_text(column: pa.Array) -> list[str | None]:
    """Return a column's values as text, whole numbers without a point; None for missing ones."""
    return [
        None
        if value is None or value != value
        else str(int(value))
        if isinstance(value, float) and value.is_integer()
        else str(value)
        for value in column.to_pylist()
    ]
