"""The quality protocols, as functions from one data set and one detector to figures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from forest_data import DataSet, TooFewAnomaliesError, at_most, split_70_30
from forest_detectors import Detector
from forest_streams import thinned_to
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

N_FOLDS = 10
N_STAGES = 5


class Figure(NamedTuple):
    """One measurement; ``part`` is what was scored ("test", "stage 3"), ``repeat`` the fold or seed."""

    data: str
    method: str
    part: str
    repeat: int
    auc: float
    ap: float
    fit_s: float = math.nan
    row_s: float = math.nan  # to score a row, of all that were scored at once


def measure(data: str, method: str, part: str, repeat: int, y: np.ndarray, scores: np.ndarray) -> Figure:
    """Compare scores (high = anomalous) with labels.

    Raises
    ------
    ValueError
        A score is not finite: an average over the rest would hide it.
    """
    if not np.isfinite(scores).all():
        n_bad = int((~np.isfinite(scores)).sum())
        raise ValueError(f"{method} gave {n_bad} scores of {data} that are not finite")
    auc, ap = roc_auc_score(y, scores), average_precision_score(y, scores)
    return Figure(data, method, part, repeat, float(auc), float(ap))


def folds(y: np.ndarray, n_folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield training and test rows of a shuffled stratified k-fold; fewer folds if anomalies are fewer."""
    n_folds = min(n_folds, int(np.bincount(y, minlength=2).min()))
    if n_folds < 2:
        raise TooFewAnomaliesError(
            f"{int(y.sum())} anomalies among {len(y)} rows (seed {seed}); stratified folds need 2 of each kind"
        )
    yield from StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y[:, None], y)


def stages(y: np.ndarray, n_stages: int, seed: int) -> list[np.ndarray]:
    """Split the rows into stratified stages: disjoint, all rows, each with its share of anomalies."""
    if y.sum() < n_stages:
        raise TooFewAnomaliesError(
            f"{int(y.sum())} anomalies among {len(y)} rows (seed {seed}); {n_stages} stages need one each"
        )
    return [test for _, test in folds(y, n_stages, seed)]


def batch(
    data: DataSet,
    name: str,
    make: Callable[[int], Detector],
    seed: int = 0,
    *,
    n_folds: int = N_FOLDS,
    max_rows: int | None = None,
) -> Iterator[Figure]:
    """Cross-validate: fit without labels on the training folds; AUC on them and on the fold left out."""
    data = at_most(data, max_rows, seed)
    for fold, (train, test) in enumerate(folds(data.y, n_folds, seed)):
        detector = make(seed * n_folds + fold).fit(data.X[train])
        for part, rows in (("train", train), ("test", test)):
            scores = detector.scores(data.X[rows])
            yield measure(data.name, name, part, seed * n_folds + fold, data.y[rows], scores)


def online(
    data: DataSet,
    name: str,
    make: Callable[[int], Detector],
    seed: int = 0,
    *,
    n_stages: int = N_STAGES,
    max_rows: int | None = None,
) -> Iterator[Figure]:
    """Fit the first stage, learn every later one in addition; after each, AUC on everything seen so far."""
    data = at_most(data, max_rows, seed)
    detector = make(seed)
    seen = np.empty(0, dtype=np.int64)
    for stage, rows in enumerate(stages(data.y, n_stages, seed), 1):
        seen = np.concatenate([seen, rows])
        if stage == 1:
            detector.fit(data.X[rows])
        else:
            detector.learn(data.X[rows])
        yield measure(data.name, name, f"stage {stage}", seed, data.y[seen], detector.scores(data.X[seen]))


def adbench(
    data: DataSet, name: str, make: Callable[[int], Detector], seed: int = 0, *, max_rows: int | None = 10_000
) -> Iterator[Figure]:
    """Fit without labels on a stratified 70 %, measure on the other 30 %."""
    X_train, X_test, _, y_test = split_70_30(at_most(data, max_rows, seed), seed)
    yield measure(data.name, name, "test", seed, y_test, make(seed).fit(X_train).scores(X_test))


def embeddings(
    data: DataSet, name: str, make: Callable[[int], Detector], seed: int = 0, *, max_rows: int | None = 10_000
) -> Iterator[Figure]:
    """As adbench, and how long it took."""
    X_train, X_test, _, y_test = split_70_30(at_most(data, max_rows, seed), seed)
    start = time.perf_counter()
    detector = make(seed).fit(X_train)
    fitted = time.perf_counter()
    scores = detector.scores(X_test)
    row_s = (time.perf_counter() - fitted) / len(X_test)
    yield measure(data.name, name, "test", seed, y_test, scores)._replace(fit_s=fitted - start, row_s=row_s)


def prequential(
    data: DataSet, name: str, make: Callable[[int], Detector], seed: int = 0, *, max_rows: int | None = None
) -> Iterator[Figure]:
    """Score each point, then learn it, in the stream's order; measure all of these scores."""
    data = thinned_to(data, max_rows)
    yield measure(data.name, name, "stream", seed, data.y, make(seed).stream(data.X))
