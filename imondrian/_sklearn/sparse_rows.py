"""Rows of a sparse matrix, which become dense a block at a time: what is absent is 0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from imondrian._forest.forest import Forest
from imondrian._forest.scoring import lowest_share
from imondrian._models.batch import BatchModel
from imondrian._models.remote_fit import fit_remote_model
from imondrian._models.settings import Settings

_BLOCK_BYTES = 1 << 23


class SparseRows:
    """The rows of a CSR matrix (n, d) of float32 or float64; ``RemoteRows`` to whoever fits them.

    Parameters
    ----------
    matrix : scipy.sparse CSR array or matrix
        Checked: without infinities, entries that occur twice, or rows without features.
    n_threads : int
    """

    def __init__(self, matrix: Any, n_threads: int) -> None:
        self._matrix, self._n_threads = matrix, n_threads
        self.n_features, self.dtype = int(matrix.shape[1]), matrix.dtype

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return int(self._matrix.shape[0])

    def __len__(self) -> int:
        return self.n_rows

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by number, (m, d), dense."""
        return self._matrix[rows].toarray(order="C")

    def kept(self, rows: np.ndarray | None) -> SparseRows:
        """Return these rows alone; None: all."""
        return self if rows is None else SparseRows(self._matrix[rows], self._n_threads)

    def dense(self) -> np.ndarray:
        """Return all rows, (n, d)."""
        return self._matrix.toarray(order="C")

    def places(self) -> Iterator[slice]:
        """Yield where blocks lie that are a few megabytes when they are dense."""
        size = max(1, _BLOCK_BYTES // (self.n_features * self.dtype.itemsize))
        for begin in range(0, self.n_rows, size):
            yield slice(begin, min(begin + size, self.n_rows))

    def block(self, place: slice) -> np.ndarray:
        """Return the rows that lie there, dense."""
        return self._matrix[place].toarray(order="C")

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the rows in order, dense."""
        return map(self.block, self.places())

    def scores(self, forest: Forest, score: str) -> np.ndarray:
        """Return the anomaly score of every row, high for anomalies."""
        return np.concatenate([forest.scores(block, score, self._n_threads) for block in self.blocks()])


def fit_rows(rows: np.ndarray | SparseRows, weight: np.ndarray | None, settings: Settings) -> BatchModel:
    """Return the model of the rows, which ``BatchModel.fit`` makes of dense ones."""
    if not isinstance(rows, SparseRows):
        return BatchModel.fit(rows, weight, settings)
    if settings.retention.points is None:
        return fit_remote_model(rows, weight, None, settings)
    model = BatchModel.empty(rows.n_features, rows.dtype, settings)
    model.learn(rows, weight, settings)
    model.max_samples = settings.sample_size(rows.n_rows)
    if settings.contamination is not None:
        model.offset = lowest_share(-rows.scores(model.forest, settings.score), weight, settings.contamination)
    return model


def each_block(rows: np.ndarray | SparseRows, told: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return what is told of rows, an entry a row, sparse ones a block at a time."""
    return np.concatenate([told(block) for block in rows.blocks()]) if isinstance(rows, SparseRows) else told(rows)


def dense(rows: np.ndarray | SparseRows) -> np.ndarray:
    """Return rows as an array."""
    return rows.dense() if isinstance(rows, SparseRows) else rows
