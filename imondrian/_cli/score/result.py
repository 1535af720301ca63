"""Scored rows as the columns of an output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from imondrian._cli import USAGE, Failure
from imondrian._cli.reasons import in_words
from imondrian._cli.tables.arrow_arrays import from_numpy, from_texts
from imondrian._cli.tables.columns import Columns
from imondrian._cli.tables.reading import Table
from imondrian._cli.tables.writing import joined

from .detector import Detector
from .scored_rows import Scored, beside, levels_of_rows

_AT_ONCE = 1 << 13  # rows whose contributions are in memory


class Result:
    """Scored rows as columns of the output: place, copied columns, score, p-value, verdict, reasons."""

    def __init__(
        self,
        tables: Sequence[Table],
        columns: Columns,
        detector: Detector,
        scored: Scored,
        explained: int,
        n_reasons: int,
        in_sentences: bool = False,
    ) -> None:
        self.tables, self.columns, self.detector, self.scored = tables, columns, detector, scored
        n_reasons = n_reasons if explained else 0
        self._names = [f"reason_{k + 1}" for k in range(n_reasons)] if not (in_sentences and n_reasons) else ["why"]
        reserved = ["file", "row", "score", "p_value", "outlier", *self._names]
        if clash := [name for name in columns.keep if name in reserved]:
            raise Failure(f"--keep {clash[0]}: the output has a column of that name; --keep names all others", USAGE)
        chosen = scored.best[:explained]
        order = np.argsort(chosen["index"])
        self._explained = chosen["index"][order]
        rows, p_values = scored.best_rows[:explained][order], chosen["p_value"][order]
        told = levels_of_rows(chosen[order], tables, columns, scored.ends) if in_sentences else []
        words: list[list[str | None]] = [[] for _ in self._names]
        for start in range(0, len(rows) if n_reasons else 0, _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            texts = (
                [list[str | None](detector.words(rows[some], p_values[some], columns.features, n_reasons, told[some]))]
                if in_sentences
                else in_words(detector.contributions(rows[some]), columns.features, n_reasons, columns.mask)
            )
            for column, more in zip(words, texts, strict=True):
                column += more
        self._reasons = [np.array([*column, None], dtype=object) for column in words]

    def all_rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield all rows, in order."""
        return self._with_kept(self.scored.records.chunks())

    def best_rows(self, top: int) -> Mapping[str, Any]:
        """Return the most anomalous rows, the first first."""
        records = self.scored.best[:top]
        order = np.argsort(records["index"])
        parts = list(self._with_kept(iter([records[order]])))
        return joined(parts, np.argsort(order))

    def _with_kept(self, chunks: Iterator[np.ndarray]) -> Iterator[Mapping[str, Any]]:
        """Yield output columns for records in the order of their index, which is that of the rows in the files."""
        ends = self.scored.ends
        for number, records, kept in beside(chunks, self.tables, self.columns.keep, ends):
            start = ends[number - 1] if number else 0
            place: dict[str, Any] = (
                {"file": from_texts([str(self.tables[number].path)] * len(records))} if len(self.tables) > 1 else {}
            )
            yield {
                **place,
                "row": from_numpy(records["index"] - start + 1),
                **kept,
                "score": from_numpy(records["score"]),
                "p_value": from_numpy(records["p_value"]),
                "outlier": from_numpy(self.scored.outliers(records)),
                **self._reasons_of(records["index"]),
            }

    def _reasons_of(self, index: np.ndarray) -> dict[str, Any]:
        if not self._names:
            return {}
        place = np.minimum(np.searchsorted(self._explained, index), len(self._explained) - 1)
        place = np.where(self._explained[place] == index, place, -1)
        return {name: from_texts(words[place].tolist()) for name, words in zip(self._names, self._reasons, strict=True)}
