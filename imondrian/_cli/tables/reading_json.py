"""Tables of JSON: an object a line, as ``stream`` reads them. What a line lacks is missing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from imondrian._cli import Failure
from imondrian._cli.stream.json_lines import JSONDecodeError, loads

from .arrow_arrays import from_numpy, from_texts
from .reading import EMPTY, NUMBER, OTHER, TEXT, TRUTH, batch_rows, errors_of

_BOM = b"\xef\xbb\xbf"
_LONGEST = 1 << 24  # bytes of a line
_KINDS: dict[type, str] = {float: NUMBER, int: NUMBER, bool: TRUTH, str: TEXT, type(None): EMPTY}
_NUMBERS = {float, int, bool, type(None)}


class JsonTable:
    """A file of JSON lines, of which some at a time are in memory.

    Lines need not have the same fields, so the file is read once to find them all.
    """

    single: frozenset[str] = frozenset()
    typed = False

    def __init__(self, path: Path, source: Path | None = None) -> None:
        self.path, self.source = path, source or path
        counts: dict[str, dict[str, int]] = {}
        n_rows = 0
        for row in self._rows():
            n_rows += 1
            for name, value in row.items():
                kinds = counts.setdefault(name, {})
                kind = _KINDS.get(type(value), OTHER)
                kinds[kind] = kinds.get(kind, 0) + 1
        if n_rows == 0:
            raise Failure(f"{path}: has no rows")
        self.kinds = {name: _kind(found) for name, found in counts.items()}

    def batches(self, numbers: Sequence[str], verbatim: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the rows, some at a time."""
        size, held, first = batch_rows(len(numbers) + len(verbatim)), [], 1
        for row in self._rows():
            held.append(row)
            if len(held) == size:
                yield self._batch(held, numbers, verbatim, first)
                first += len(held)
                held = []
        if held:
            yield self._batch(held, numbers, verbatim, first)

    def level(self, value: Any) -> str | bool | None:
        """Return the category in a value, which comes as text."""
        return {"true": True, "false": False}.get(value, value)

    def _batch(
        self, rows: list[dict[str, Any]], numbers: Sequence[str], verbatim: Sequence[str], first: int
    ) -> pa.RecordBatch:
        columns = []
        for name in numbers:
            values = [row.get(name) for row in rows]
            if not set(map(type, values)) <= _NUMBERS:
                i = next(i for i, value in enumerate(values) if type(value) not in _NUMBERS)
                raise Failure(
                    f"{self.path}: row {first + i}, column {name!r}: {values[i]!r:.60} is not a number; "
                    f"--exclude {name!r} leaves the column out, --nominal {name!r} takes it for categories"
                )
            columns.append(from_numpy(np.array(values, np.float64)))
        for name in verbatim:
            texts = [row.get(name) for row in rows]
            columns.append(from_texts([None if value is None else _text(value) for value in texts]))
        return pa.RecordBatch.from_arrays(columns, names=[*numbers, *verbatim])

    def _rows(self) -> Iterator[dict[str, Any]]:
        with errors_of(self.path), self._open() as file:
            number = 0
            while line := file.readline(_LONGEST):
                number += 1
                if number == 1:
                    line = line.removeprefix(_BOM)
                if not line.strip():
                    continue
                try:
                    row = loads(line)
                except JSONDecodeError as error:
                    long = len(line) == _LONGEST
                    what = f"is longer than {_LONGEST >> 20} MiB" if long else f"no JSON: {error.msg}"
                    raise Failure(f"{self.path}: line {number}: {what}") from error
                if type(row) is not dict:
                    raise Failure(f"{self.path}: line {number} must be a JSON object, got {row!r:.60}")
                yield row

    def _open(self) -> Any:
        with open(self.source, "rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
        return gzip.open(self.source) if is_gzip else open(self.source, "rb")


def _kind(counts: dict[str, int]) -> str:
    """Return what a column holds: numbers if most of its values are some, so that the others will be found."""
    kinds = counts.keys() - {EMPTY}
    if len(kinds) <= 1:
        return next(iter(kinds), EMPTY)
    numbers = counts.get(NUMBER, 0) + counts.get(TRUTH, 0)
    others = sum(counts[kind] for kind in kinds - {NUMBER, TRUTH})
    return NUMBER if numbers > others else TEXT if TEXT in kinds else OTHER


def _text(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return value if type(value) is str else str(value)
