"""Write tables a batch at a time, as CSV, Parquet or Arrow: a file whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from imondrian._cli import USAGE, Failure, output

from .arrow_arrays import from_numpy

Write = Callable[[Mapping[str, Any]], None]
_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow"}


def check_suffix(path: Path | None) -> None:
    """Raise Failure where a file's suffix does not say its format."""
    if path is not None and path.suffix.lower() not in _SUFFIXES:
        raise Failure(f"{path}: the suffix must say what to write: {', '.join(_SUFFIXES)}", USAGE)


@contextmanager
def table_writer(path: Path | None) -> Iterator[Write]:
    """Yield a function that writes columns of equal length by name; to standard output, as CSV, without a ``path``."""
    try:
        if path is None:
            with _Writer(_StandardOutput(), "csv") as writer:
                yield writer.write
        else:
            with output.whole_file(path) as file, _Writer(file, _SUFFIXES[path.suffix.lower()]) as writer:
                yield writer.write
    except pa.ArrowMemoryError:
        raise
    except pa.ArrowException as error:
        raise Failure(f"cannot write {path or 'standard output'}: {str(error).splitlines()[0][:300]}") from error


class _StandardOutput:
    """A file for pyarrow: :func:`output.print_bytes` tells of readers that went away."""

    closed = False

    def write(self, data: Any) -> int:
        output.print_bytes(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """Leave standard output open."""


class _Writer:
    """A writer of one format, begun when the first batch says which columns there are."""

    def __init__(self, file: Any, kind: str) -> None:
        self._file, self._kind = file, kind
        self._writer: Any = None
        self._schema: Any = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._writer is not None and (error is None or self._kind != "csv"):
            try:
                self._writer.close()
            except Exception:
                if error is None:
                    raise

    def write(self, columns: Mapping[str, Any]) -> None:
        table = pa.table(dict(columns))
        if self._writer is None:
            self._schema = table.schema
            self._writer = self._begin()
        self._writer.write_table(table.cast(self._schema))

    def _begin(self) -> Any:
        if self._kind == "parquet":
            from pyarrow import parquet

            return parquet.ParquetWriter(self._file, self._schema)
        if self._kind == "arrow":
            return pa.ipc.new_file(self._file, self._schema)
        return arrow_csv.CSVWriter(self._file, self._schema)


def joined(parts: list[Mapping[str, Any]], order: np.ndarray) -> dict[str, Any]:
    """Return the rows of several parts in another order."""
    table = pa.concat_tables([pa.table(dict(part)) for part in parts], promote_options="permissive")
    table = table.take(from_numpy(order))
    return dict(zip(table.column_names, table.columns, strict=True))
