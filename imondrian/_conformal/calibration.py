"""What a fitted estimator judges new rows against: see ``conformal.py`` for what the three sources promise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from imondrian._forest.forest import Forest, seed_states
from imondrian._forest.scoring import SCORES

from .conformal import CALIBRATION_SIZE, ENOUGH, ScoreWindow, mass_above, share, stored

if TYPE_CHECKING:
    from imondrian._cuda.rows import DeviceRows

N_FOLDS = 5

# (rows, their weights, generator states) -> a forest grown with the estimator's own settings
Grower = Callable[[np.ndarray, "np.ndarray | None", np.ndarray], Forest]
# (rows, their scores) -> what the scores become
Adjust = Callable[[np.ndarray, np.ndarray], np.ndarray]


def room_for_drawn(n: int, n_sample: int, n_trees: int, weight: np.ndarray | None) -> np.ndarray | None:
    """Return where ``fit`` shall note the rows it draws; None when too few would be left over.

    Weights decide which rows are left over, so these would not be as good as new ones.
    """
    if weight is not None or n * (1.0 - n_sample / n) ** n_trees < ENOUGH:
        return None
    return np.empty((n_trees, n_sample), np.int64)


def rows_to_keep(n: int, drawn: np.ndarray | None) -> np.ndarray:
    """Return the numbers of the rows that p-values are read from; ``drawn`` as ``room_for_drawn`` gave it."""
    return spread(n, CALIBRATION_SIZE) if drawn is None else left_over(n, drawn)


def left_over(n: int, drawn: np.ndarray) -> np.ndarray:
    """Return up to CALIBRATION_SIZE rows that no tree drew, spread evenly, in time independent of n."""
    taken = np.zeros(n, bool)
    taken[drawn.ravel()] = True
    share = (1.0 - drawn.shape[1] / n) ** len(drawn)
    candidates = spread(n, int(1.1 * CALIBRATION_SIZE / share) + 64)
    free = candidates[~taken[candidates]]
    return free[spread(len(free), CALIBRATION_SIZE)]


def spread(n: int, k: int) -> np.ndarray:
    """Return ``k`` of the numbers below n, evenly spaced; all of them when k >= n."""
    return np.arange(n) if k >= n else np.arange(k) * n // k


class Calibration:
    """Calibration rows of the last ``fit``, and scores of the points learnt since.

    Parameters
    ----------
    rows : ndarray (m, d), optional
        Rows of the training data: held out of every tree, or (``cross``) to be held out in turn.
    weight : ndarray (m,), optional
    seed : ndarray (4,), uint64
        Decides the folds and their forests; only used by ``cross``.
    cross : bool
    """

    def __init__(
        self,
        rows: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        seed: np.ndarray | None = None,
        cross: bool = False,
    ) -> None:
        self.rows, self.weight, self.seed, self.cross = rows, weight, seed, cross
        self.recent = ScoreWindow(CALIBRATION_SIZE)
        self.recent_score: str | None = None
        self._cache: tuple[Any, Any] | None = None

    @classmethod
    def of_fit(
        cls, X: np.ndarray, weight: np.ndarray | None, drawn: np.ndarray | None, states: np.ndarray
    ) -> Calibration:
        """Remember rows of the training data; ``drawn`` names those that trees hold, if any are left over."""
        kept = rows_to_keep(len(X), drawn)
        return cls.of_rows(X.take(kept, axis=0), None if weight is None else weight[kept], states, drawn is None)

    @classmethod
    def of_rows(cls, rows: np.ndarray, weight: np.ndarray | None, states: np.ndarray, cross: bool) -> Calibration:
        """Remember ``rows_to_keep``; ``cross`` unless they were left over."""
        return cls(rows, weight, states[0].copy(), cross=True) if cross else cls(rows)

    @property
    def source(self) -> str:
        """Where p-values come from: "split", "cross" or "prequential"."""
        if self.rows is None or self.recent.held >= ENOUGH:
            return "prequential"
        return "cross" if self.cross else "split"

    def push(self, scores: np.ndarray, score: str) -> None:
        """Keep the scores that points had just before they were learnt."""
        if score != self.recent_score:
            self.recent, self.recent_score = ScoreWindow(self.recent.size), score
        self.recent.push(scores)

    def for_stream(self, forest: Forest, score: str) -> np.ndarray:
        """Return scores to start a stream's window with, oldest first; folds have none that compare."""
        if self.source == "prequential":
            return self.recent.in_order() if self.recent_score == score else np.zeros(0)
        return np.zeros(0) if self.cross or self.rows is None else forest.scores(self.rows, score)

    def forget(self, X: np.ndarray) -> None:
        """Drop each row of X once, where it is kept, so that nothing of a forgotten row stays behind."""
        if self.rows is None:
            return
        kept = np.ones(len(self.rows), bool)
        for x in X:
            same = (self.rows == x) | (np.isnan(self.rows) & np.isnan(x))
            kept[np.flatnonzero(kept & same.all(axis=1))[:1]] = False
        if not kept.all():
            self.rows = self.rows[kept]
            self.weight = None if self.weight is None else self.weight[kept]
            self._cache = None

    def branch(self) -> Calibration:
        """Return one that goes on from here by itself."""
        twin = Calibration.__new__(Calibration)
        twin.__dict__ = {**self.__dict__, "recent": copy.deepcopy(self.recent)}
        return twin

    def p_values(
        self,
        X: np.ndarray | DeviceRows,
        forest: Forest,
        score: str,
        grow: Grower,
        n_threads: int,
        scores: np.ndarray | None = None,
        adjust: Adjust | None = None,
    ) -> np.ndarray:
        """Return the p-value of each row of X.

        ``scores`` are the rows' own, where they are known already; ``adjust(rows, scores)`` what scores become before
        they are ranked (those of a stream were, when they were kept).
        """
        source = self.source
        if source == "prequential":
            forest.require_learning("p_values without rows held out (held_out=...)")
            if scores is None or self.recent_score not in (None, score):
                scores = _adjusted(adjust, X, forest.scores(X, self.recent_score or score, n_threads))
            return self.recent.p_values(scores)
        rows = self.rows
        assert rows is not None
        if source == "split":
            calibration = self._once((score, forest.n_updates), lambda: forest.scores(rows, score, n_threads))
            calibration = _adjusted(adjust, rows, calibration)
            scores = _adjusted(adjust, X, forest.scores(X, score, n_threads)) if scores is None else scores
            above, total = mass_above(scores, calibration), float(len(calibration))
        else:
            folds = self._once((score, forest.n_trees), lambda: self._folds(forest.n_trees, score, grow, n_threads))
            above, total = np.zeros(len(X)), 0.0
            number = self._fold_numbers(self._fold_random())
            for k, (held_from, calibration, weight) in enumerate(folds):
                found = _adjusted(adjust, X, held_from.scores(X, score, n_threads))
                above += mass_above(found, _adjusted(adjust, rows[number == k], calibration), weight)
                total += len(calibration) if weight is None else weight.sum()
        return share(above, total)

    def share_above(
        self,
        threshold: float,
        forest: Forest,
        score: str,
        grow: Grower,
        n_threads: int,
        adjust: Adjust | None = None,
    ) -> float | None:
        """Return the share of calibration rows whose score is above a threshold; None where there are none."""
        above, total = 0.0, 0.0
        for scores, weight in self._held_out(forest, score, grow, n_threads, adjust):
            weight = np.ones(len(scores)) if weight is None else weight
            above, total = above + float(weight[scores > threshold].sum()), total + float(weight.sum())
        return above / total if total > 0 else None

    def _held_out(
        self, forest: Forest, score: str, grow: Grower, n_threads: int, adjust: Adjust | None
    ) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Return scores of rows that the trees which scored them do not know, with their weights."""
        source, rows = self.source, self.rows
        if source == "prequential":
            return [(self.recent.in_order(), None)]
        assert rows is not None
        if source == "split":
            scores = self._once((score, forest.n_updates), lambda: forest.scores(rows, score, n_threads))
            return [(_adjusted(adjust, rows, scores), None)]
        folds = self._once((score, forest.n_trees), lambda: self._folds(forest.n_trees, score, grow, n_threads))
        number = self._fold_numbers(self._fold_random())
        return [(_adjusted(adjust, rows[number == k], scores), weight) for k, (_, scores, weight) in enumerate(folds)]

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what ``make`` returned for this key; kept in memory, never pickled."""
        cache = self._cache
        if cache is None or cache[0] != key:
            cache = self._cache = (key, make())
        return cache[1]

    def _fold_random(self) -> np.random.RandomState:
        assert self.seed is not None
        return np.random.RandomState(self.seed.view(np.uint32))

    def _fold_numbers(self, rng: np.random.RandomState) -> np.ndarray:
        """Return the fold of each row: the generator's first draw."""
        assert self.rows is not None
        return rng.permutation(len(self.rows)) % max(min(N_FOLDS, len(self.rows)), 1)

    def _folds(self, n_trees: int, score: str, grow: Grower, n_threads: int) -> list[Any]:
        """Return for each fold a forest of the other rows, the fold's scores and its weights (mean 1)."""
        assert self.rows is not None and self.seed is not None
        m = len(self.rows)
        if m < 2:
            return []
        rng = self._fold_random()
        fold = self._fold_numbers(rng)
        weight = None if self.weight is None else self.weight / self.weight.mean()
        folds = []
        for k in range(min(N_FOLDS, m)):
            inside, outside = fold == k, fold != k
            forest = grow(
                self.rows[outside], None if self.weight is None else self.weight[outside], seed_states(rng, n_trees)
            )
            scores = forest.scores(self.rows[inside], score, n_threads)
            folds.append((forest, scores, None if weight is None else weight[inside]))
        return folds

    # -- state -------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None}

    def __sizeof__(self) -> int:
        size = object.__sizeof__(self) + self.recent.__sizeof__()
        return size + sum(array.nbytes for array in (self.rows, self.weight, self.seed) if array is not None)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the state as plain arrays, for storing; a missing array stands for None."""
        arrays = {f"recent.{name}": array for name, array in self.recent.to_arrays().items()}
        arrays["cross"] = np.array([self.cross])
        arrays["recent_score"] = np.frombuffer((self.recent_score or "").encode(), np.uint8).copy()
        arrays |= {name: array for name in ("rows", "weight", "seed") if (array := getattr(self, name)) is not None}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], n_features: int, dtype: Any) -> Calibration:
        """Rebuild from ``to_arrays()`` of a forest of that width and precision; ValueError names what is damaged."""
        cross = stored(arrays, "cross", np.bool_, 1)
        rows = stored(arrays, "rows", dtype, 2) if "rows" in arrays else None
        weight = stored(arrays, "weight", np.float64, 1) if "weight" in arrays else None
        seed = stored(arrays, "seed", np.uint64, 1) if "seed" in arrays else None
        if (
            len(cross) != 1
            or (rows is not None and rows.shape[1] != n_features)
            or (weight is not None and (rows is None or len(weight) != len(rows)))
            or (cross[0] and (rows is None or seed is None or len(seed) != 4))
        ):
            raise ValueError("damaged calibration: its arrays do not fit together")
        if (rows is not None and np.isinf(rows).any()) or (
            weight is not None and not (np.isfinite(weight) & (weight > 0)).all()
        ):
            raise ValueError("damaged calibration: a row or a weight is not finite")
        calibration = cls(rows, weight, seed, bool(cross[0]))
        recent = {name.removeprefix("recent."): array for name, array in arrays.items() if name.startswith("recent.")}
        calibration.recent = ScoreWindow.from_arrays(recent)
        name = stored(arrays, "recent_score", np.uint8, 1).tobytes().decode("ascii", "replace")
        if name and name not in SCORES:
            raise ValueError(f"damaged calibration: score {name!r}")
        calibration.recent_score = name or None
        return calibration


def _adjusted(adjust: Adjust | None, rows: Any, scores: np.ndarray) -> np.ndarray:
    return scores if adjust is None else adjust(rows, scores)
