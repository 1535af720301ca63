"""The model of tables: a fitted forest and what goes with it. Rows come checked, in the forest's precision."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np

from imondrian._conformal.calibration import Calibration, room_for_drawn
from imondrian._cuda.rows import DeviceRows
from imondrian._forest.forest import Forest
from imondrian._forest.scoring import AUTO_OFFSET, lowest_share
from imondrian._forest.undo import undo_of

from .feedback import Verdicts, nbytes_of, said_of, verdicts_given, verdicts_of, verdicts_withdrawn
from .settings import Settings, reserved_bytes
from .wording import StoredPoints, telling_parts, why


class Blocks(Protocol):
    """Rows of which some at a time are an array."""

    def __len__(self) -> int: ...

    def places(self) -> Iterator[slice]:
        """Yield where the blocks lie, in order."""

    def block(self, place: slice) -> np.ndarray:
        """Return the rows that lie there."""


def _blocks_of(X: np.ndarray | Blocks, weight: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield rows with their weights."""
    if isinstance(X, np.ndarray):
        yield X, weight
        return
    for place in X.places():
        yield X.block(place), None if weight is None else weight[place]


class BatchModel:
    """What is fitted. Settings come with each call, since those of an estimator may change in between.

    Parameters
    ----------
    forest : Forest or ImportedForest
    calibration : Calibration
        What p-values are read from.
    max_samples : int
        Rows that ``fit`` gave each tree.
    offset : float
        Outliers have scores below it (**low is abnormal**, as for scikit-learn; forests have the other sign).
    verdicts : Verdicts, optional
        What a person said of rows: heard in scores, p-values and words.
    """

    def __init__(
        self,
        forest: Forest,
        calibration: Calibration,
        max_samples: int = 0,
        offset: float = AUTO_OFFSET,
        verdicts: Verdicts | None = None,
    ) -> None:
        self.forest, self.calibration, self.max_samples, self.offset = forest, calibration, max_samples, offset
        self.verdicts = verdicts

    @classmethod
    def empty(cls, n_features: int, dtype: np.dtype, settings: Settings) -> BatchModel:
        """Return a model that has learnt nothing yet."""
        return cls(settings.empty_forest(n_features, dtype), Calibration())

    @classmethod
    def fit(cls, X: np.ndarray, weight: np.ndarray | None, settings: Settings) -> BatchModel:
        """Build every tree from a sample of X; with a window, let them learn X in order."""
        n, n_features = X.shape
        size = settings.sample_size(n)
        if settings.retention.points is not None:
            model = cls.empty(n_features, X.dtype, settings)
            settings.learn(model.forest, model.calibration, X, weight)
        else:
            if settings.max_bytes is not None:
                settings.check_sample_fits(n, n_features, X.itemsize)
            states = settings.states()
            drawn = room_for_drawn(n, size, len(states), weight)
            forest = settings.grow(X, weight, states, size, drawn)
            model = cls(forest, Calibration.of_fit(X, weight, drawn, states))
        model.max_samples = size
        if settings.contamination is not None:
            model.offset = model.quantile(X, weight, settings)
        return model

    def learn(self, X: np.ndarray | Blocks, weight: np.ndarray | None, settings: Settings) -> None:
        """Learn rows in order; the model stays as it was if that fails."""
        before = self.__dict__.copy()
        with undo_of(self.forest, len(X)) or nullcontext() as undo:
            try:
                if undo is not None:
                    self.calibration = self.calibration.branch()
                for block, weight_there in _blocks_of(X, weight):
                    settings.learn(self.forest, self.calibration, block, weight_there, self.verdicts)
                self._renew_offset(settings)
            except BaseException:
                self.__dict__ = before
                raise

    def forget(self, X: np.ndarray, missing_ok: bool, settings: Settings) -> None:
        """Remove each row once from every tree that holds it; ValueError, and nothing happens, if none does."""
        forest = self.forest
        if not missing_ok:
            forest.require_held(X, None, settings.n_threads)
        calibration = self.calibration.branch()
        calibration.forget(X)
        before, n_updates = self.__dict__.copy(), forest.n_updates
        with undo_of(forest, len(X)) or nullcontext() as undo:
            try:
                self.calibration = calibration  # first: nothing of what is forgotten may stay, whatever comes
                forest.forget(X, settings.n_threads)
                self.withdraw(X, True, settings)
                self._renew_offset(settings)
            except BaseException:
                if undo is not None or forest.n_updates == n_updates:
                    self.__dict__ = before
                raise

    def feedback(self, X: np.ndarray, y: Any, settings: Settings) -> None:
        """Take in verdicts on rows; ValueError, and nothing happens, where they would pass ``max_bytes``."""
        verdict = verdicts_of(y, len(X))
        self._keep(verdicts_given(self.forest, settings.score, self.verdicts, X, verdict, settings.n_threads), settings)

    def withdraw(self, X: np.ndarray, missing_ok: bool, settings: Settings) -> None:
        """Take back the verdicts on rows; unless ``missing_ok``, ValueError where there is none."""
        kept = verdicts_withdrawn(self.forest, settings.score, self.verdicts, X, missing_ok, settings.n_threads)
        self._keep(kept, settings, withdrawing=True)

    def _keep(self, verdicts: Verdicts | None, settings: Settings, withdrawing: bool = False) -> None:
        """Have these verdicts from now on; ValueError if more of them pass ``max_bytes``."""
        more = 0 if withdrawing else nbytes_of(verdicts) - nbytes_of(self.verdicts)
        if verdicts is not None and more > 0:
            if settings.max_bytes is not None and sys.getsizeof(self) + more > settings.max_bytes:
                raise ValueError(
                    f"max_bytes={settings.max_bytes} leaves no room for {len(verdicts)} verdicts, "
                    f"which take {verdicts.nbytes}"
                )
            settings.check_windows_fit(self.forest.n_features, self.forest.dtype, verdicts.nbytes)
        self.verdicts = verdicts

    def _renew_offset(self, settings: Settings) -> None:
        """Set the offset as after learning: of what was given to ``fit`` a stream has only what it kept."""
        self.offset = AUTO_OFFSET
        if settings.contamination is not None:
            points, mass = self.forest.stored_points()
            if len(points):
                self.offset = self.quantile(points, mass, settings)

    def quantile(self, X: np.ndarray, weight: np.ndarray | None, settings: Settings) -> float:
        """Return the score that the share ``contamination`` of the rows stay below."""
        assert settings.contamination is not None
        scores = self.scores(X, settings.score, settings.n_threads)
        return lowest_share(-scores, weight, settings.contamination)

    # -- what it says of rows: high scores are anomalous here --------------------------------------

    def scores(self, X: np.ndarray, score: str, n_threads: int) -> np.ndarray:
        """Return the score of each row."""
        scores = self.forest.scores(X, score, n_threads)
        return scores if self.verdicts is None else self.verdicts.adjust(X, scores, n_threads)

    def p_values(self, X: np.ndarray | DeviceRows, settings: Settings, scores: np.ndarray | None = None) -> np.ndarray:
        """Return the p-value of each row; ``scores`` are the rows' own, where they are known already."""
        adjust = None if self.verdicts is None else self.verdicts.adjust
        return self.calibration.p_values(
            X, self.forest, settings.score, settings.grow_samples, settings.n_threads, scores, adjust
        )

    def share_called(self, settings: Settings) -> float | None:
        """Return the share of usual rows that are called outliers; None where none were kept to tell."""
        adjust = None if self.verdicts is None else self.verdicts.adjust
        return self.calibration.share_above(
            -self.offset, self.forest, settings.score, settings.grow_samples, settings.n_threads, adjust
        )

    def judge(self, X: np.ndarray, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
        """Return the score and the p-value of each row."""
        scores = self.scores(X, settings.score, settings.n_threads)
        return scores, self.p_values(X, settings, scores)

    def why(
        self, X: np.ndarray, p_values: np.ndarray, names: Sequence[Any], score: str, n_threads: int, most: int
    ) -> list[str]:
        """Return in words why rows have their scores."""
        points, parts = StoredPoints(self.forest), telling_parts(self.forest, X, score, n_threads)
        return [
            why(points, row, pair, names, p_value, most) + heard
            for row, pair, p_value, heard in zip(X, parts, p_values.tolist(), said_of(self.verdicts, X), strict=True)
        ]

    # -- the object itself -------------------------------------------------------------------------

    def check_bytes(self, max_bytes: int | None) -> None:
        """Raise ValueError where even an empty forest would pass ``max_bytes``."""
        n_features = self.forest.n_features
        reserved = reserved_bytes(n_features, self.forest.dtype.itemsize)
        if max_bytes is not None and max_bytes < reserved:
            raise ValueError(
                f"max_bytes={max_bytes} does not go with {n_features} features, which take {reserved} beside the trees"
            )

    def __sizeof__(self) -> int:
        size = object.__sizeof__(self) + sys.getsizeof(self.forest) + sys.getsizeof(self.calibration)
        return size + nbytes_of(self.verdicts)
