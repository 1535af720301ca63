"""All rows scored: the scores kept in a temporary file, and the most anomalous rows as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imondrian._cli import Failure
from imondrian._cli.tables.arrow_arrays import take
from imondrian._cli.tables.columns import Columns, read_rows
from imondrian._cli.tables.reading import Table
from imondrian._kit import terminal

from .bottom_k import Smallest
from .detector import Detector

RECORD = np.dtype([("index", "<i8"), ("score", "<f8"), ("p_value", "<f8")])
_IN_MEMORY = 1 << 22  # bytes of records; more go to a file
_CHUNK = 1 << 16


class Records:
    """Records of all rows in order, outside memory where they are many."""

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=None if folder is None else str(folder))  # noqa: SIM115 - closed by close
        self._folder = folder
        self.n = 0

    def push(self, records: np.ndarray) -> None:
        """Add records."""
        try:
            self._file.write(records.tobytes())
        except OSError as error:
            raise Failure(f"cannot keep scores in {self._folder or tempfile.gettempdir()}: {error.strerror}") from error
        self.n += len(records)

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield all records, in pieces."""
        self._file.seek(0)
        while data := self._file.read(_CHUNK * RECORD.itemsize):
            yield np.frombuffer(data, RECORD)

    def column(self, name: str) -> np.ndarray:
        """Return one member of all records, (n,)."""
        values = np.empty(self.n, RECORD[name])
        start = 0
        for chunk in self.chunks():
            values[start : start + len(chunk)] = chunk[name]
            start += len(chunk)
        return values

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


@dataclass
class Scored:
    """What scoring found: records of all rows, and the most anomalous rows, the first first."""

    records: Records
    best: np.ndarray
    best_rows: np.ndarray
    n_outliers: int
    ends: list[int]  # of each file, the index after its last row
    threshold: float  # scores above are outliers ...
    most: float | None = None  # ... unless this decides: p-values up to it are

    def outliers(self, records: np.ndarray) -> np.ndarray:
        """Return which records are called outliers."""
        return records["score"] > self.threshold if self.most is None else records["p_value"] <= self.most

    def control(self, fdr: float) -> None:
        """Call those rows outliers that Benjamini and Hochberg's procedure rejects, as the estimator's ``reject``."""
        p_values = np.sort(self.records.column("p_value"))
        n = len(p_values)
        rejected = np.flatnonzero(p_values * (n / np.arange(1, n + 1)) <= fdr)
        self.most = float(p_values[rejected[-1]]) if len(rejected) else -1.0
        self.n_outliers = int(np.searchsorted(p_values, self.most, side="right"))


def score_all(
    tables: Sequence[Table],
    columns: Columns,
    detector: Detector,
    n_best: int,
    ends: list[int],
    folder: Path | None,
    quiet: bool,
) -> Scored:
    """Score every row; keep the ``n_best`` most anomalous ones. ``ends`` as in ``read_rows``."""
    records, best, n_outliers = Records(folder), Smallest(max(1, n_best)), 0
    try:
        total = ends[-1] if ends else None
        with terminal.progress("scoring", "rows", quiet) as report:
            for rows in read_rows(tables, columns, ends, label=False):
                part = np.empty(len(rows.X), RECORD)
                part["index"] = rows.index
                part["score"], part["p_value"] = detector.judge(rows.X)
                records.push(part)
                best.push(-part["score"], part, rows.X)
                n_outliers += int(np.count_nonzero(part["score"] > detector.threshold))
                report(records.n, total)
        if records.n == 0:
            raise Failure(f"{tables[0].path}: no rows are left")
    except BaseException:
        records.close()
        raise
    keys, kept, X = best.rows()
    order = np.argsort(keys, kind="stable")
    return Scored(records, kept[order], X[order], n_outliers, ends, detector.threshold)


class _Feed:
    """Records in the order of their index, taken up to an index at a time."""

    def __init__(self, chunks: Iterator[np.ndarray]) -> None:
        self._chunks, self._left = chunks, np.empty(0, RECORD)

    def piece(self, end: int) -> np.ndarray:
        """Take some records below ``end``; none where none are left."""
        if len(self._left) == 0:
            self._left = next(self._chunks, self._left)
        place = int(np.searchsorted(self._left["index"], end))
        piece, self._left = self._left[:place], self._left[place:]
        return piece

    def take(self, end: int) -> np.ndarray:
        """Take all records below ``end``."""
        pieces = [np.empty(0, RECORD)]
        while len(piece := self.piece(end)):
            pieces.append(piece)
        return np.concatenate(pieces)


def beside(
    chunks: Iterator[np.ndarray], tables: Sequence[Table], keep: Sequence[str], ends: Sequence[int]
) -> Iterator[tuple[int, np.ndarray, dict[str, Any]]]:
    """Yield the number of a table, some of its records, and their values of the columns ``keep``."""
    feed, start = _Feed(chunks), 0
    for number, (table, end) in enumerate(zip(tables, ends, strict=True)):
        if not keep:
            while len(records := feed.piece(end)):
                yield number, records, {}
            continue
        for batch in table.batches((), keep):
            records = feed.take(start + len(batch))
            if len(records):
                places = records["index"] - start
                yield number, records, {name: take(batch.column(j), places) for j, name in enumerate(keep)}
            start += len(batch)
        if start != end:
            raise Failure(f"{table.path}: has changed while it was read")


def levels_of_rows(
    records: np.ndarray, tables: Sequence[Table], columns: Columns, ends: Sequence[int]
) -> list[dict[int, Any]]:
    """Return the categories of some records as they are in the tables, by feature; these are read once more."""
    if not columns.nominal or len(records) == 0:
        return [{} for _ in records]
    order = np.argsort(records["index"], kind="stable")
    places = [columns.features.index(name) for name in columns.nominal]
    found: list[dict[int, Any]] = []
    for number, part, kept in beside(iter([records[order]]), tables, columns.nominal, ends):
        level = tables[number].level
        values = [[level(value) for value in kept[name].to_pylist()] for name in columns.nominal]
        found += [dict(zip(places, row, strict=True)) for row in zip(*values, strict=True)][: len(part)]
    return [found[i] for i in np.argsort(order).tolist()]
