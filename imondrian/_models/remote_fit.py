"""Fit to rows that live elsewhere: the trees draw row numbers, and only those rows are asked for.

The result is to the last bit the forest of ``fit`` over all rows in one place, for the same ``random_state``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from imondrian._conformal.calibration import Calibration, room_for_drawn, rows_to_keep
from imondrian._forest.forest import Forest
from imondrian._forest.scoring import lowest_share

from .batch import BatchModel
from .settings import Settings


class RemoteRows(Protocol):
    """Rows of one width and precision (float32 or float64), numbered from 0, without infinities."""

    n_features: int
    dtype: np.dtype

    @property
    def n_rows(self) -> int:
        """How many rows there are; ValueError if there are none."""

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by number, (m, d); the numbers rise."""

    def scores(self, forest: Forest, score: str) -> np.ndarray:
        """Return the anomaly score of every row, high for anomalies."""


def fit_remote_model(
    remote: RemoteRows, weight: np.ndarray | None, kept: np.ndarray | None, settings: Settings
) -> BatchModel:
    """Return the model of all remote rows, or of those ``kept``; both as ``read_weight`` has them."""
    n = remote.n_rows if kept is None else len(kept)
    n_sample, n_trees = settings.sample_size(n), settings.n_trees

    def fetch(rows: np.ndarray) -> np.ndarray:
        return remote.take(rows if kept is None else kept[rows])

    if n <= n_trees * n_sample:
        return BatchModel.fit(fetch(np.arange(n)), weight, settings)  # the forest stores every row
    if settings.max_bytes is not None:
        settings.check_sample_fits(n, remote.n_features, remote.dtype.itemsize)
    states = settings.states()
    forest, drawn = Forest.draw(
        n,
        remote.n_features,
        remote.dtype,
        states,
        n_sample,
        weight=weight,
        scaled=settings.scaled,
        boxes=settings.score == "insertion",
        spaced=settings.spaced,
        n_threads=settings.n_threads,
    )
    cross = room_for_drawn(n, n_sample, n_trees, weight) is None
    judges = rows_to_keep(n, None if cross else drawn)
    wanted = np.union1d(drawn, judges)
    X = fetch(wanted)
    forest.build_drawn(X, np.searchsorted(wanted, drawn), settings.n_threads)
    calibration = Calibration.of_rows(
        X.take(np.searchsorted(wanted, judges), axis=0), None if weight is None else weight[judges], states, cross
    )
    model = BatchModel(forest, calibration, n_sample)
    if settings.contamination is not None:
        scores = -remote.scores(forest, settings.score)
        model.offset = lowest_share(scores if kept is None else scores[kept], weight, settings.contamination)
    return model
