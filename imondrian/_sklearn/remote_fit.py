"""Fit to rows that live elsewhere: the trees draw row numbers, and only those rows are asked for.

The result is to the last bit the forest of ``fit`` over all rows in one place, for the same ``random_state``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from imondrian._conformal.calibration import Calibration, room_for_drawn, rows_to_keep
from imondrian._forest.forest import Forest
from imondrian._forest.rwlock import gate_of
from imondrian._forest.scoring import lowest_share
from imondrian._models.settings import Settings

if TYPE_CHECKING:
    from .estimator import IsolationMondrianForest


class RemoteRows(Protocol):
    """Rows of one width and precision (float32 or float64), numbered from 0, without infinities."""

    n_features: int
    dtype: np.dtype

    @property
    def n_rows(self) -> int:
        """How many rows there are; ValueError if there are none."""

    def introduce(self, estimator: IsolationMondrianForest) -> None:
        """Let the estimator note the width and, where there are any, the names of the features."""

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by number, (m, d); the numbers rise."""

    def scores(self, forest: Forest, score: str) -> np.ndarray:
        """Return the anomaly score of every row, high for anomalies."""


def fit_remote(estimator: IsolationMondrianForest, remote: RemoteRows, sample_weight: Any = None) -> None:
    """Fit an estimator to remote rows; if that fails, the estimator stays as it was."""
    settings = estimator._settings()
    if estimator.window is not None:
        raise ValueError(
            f"window must be None to fit rows that live elsewhere, got {estimator.window!r}: a window "
            "learns every row, in order. Give the parts to partial_fit, one after another"
        )
    with gate_of(estimator).updating:
        before = estimator.__dict__.copy()
        try:
            remote.introduce(estimator)
            weight, kept = _read_weight(sample_weight, remote)
            _fit(estimator, remote, weight, kept, settings)
        except BaseException:
            estimator.__dict__ = before
            raise


def _read_weight(sample_weight: Any, remote: RemoteRows) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the weights above 0 and the rows that have them; None for weights that say nothing, and for all rows."""
    if sample_weight is None:
        return None, None
    weight = _check_sample_weight(
        sample_weight, np.empty((remote.n_rows, 0)), dtype=np.float64, ensure_non_negative=True
    )
    if not weight.any():
        raise ValueError("sample_weight must have at least one weight above 0, got only zeros")
    kept = None if weight.all() else np.flatnonzero(weight)
    weight = weight if kept is None else weight[kept]
    return (None if (weight == 1).all() else np.ascontiguousarray(weight)), kept


def _fit(
    estimator: IsolationMondrianForest,
    remote: RemoteRows,
    weight: np.ndarray | None,
    kept: np.ndarray | None,
    settings: Settings,
) -> None:
    estimator.__dict__.pop("_verdicts", None)
    n = remote.n_rows if kept is None else len(kept)
    n_sample, n_trees = settings.sample_size(n), settings.n_trees

    def fetch(rows: np.ndarray) -> np.ndarray:
        return remote.take(rows if kept is None else kept[rows])

    if n <= n_trees * n_sample:
        X = fetch(np.arange(n))  # the forest stores every row
        forest = estimator._build(X, weight, settings)
        estimator._adopt(forest, n_sample, settings, (X, weight))
        return
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
    estimator._calibration = Calibration.of_rows(
        X.take(np.searchsorted(wanted, judges), axis=0), None if weight is None else weight[judges], states, cross
    )
    estimator._adopt(forest, n_sample, replace(settings, contamination=None))
    if settings.contamination is not None:
        scores = -remote.scores(forest, settings.score)
        estimator.offset_ = lowest_share(scores if kept is None else scores[kept], weight, settings.contamination)
