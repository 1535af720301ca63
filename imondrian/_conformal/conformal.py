"""How unusual a score is: conformal p-values against scores of rows that the forest had not learnt.

A row's p-value is its rank among calibration rows, ``p = (1 + #{as anomalous or more}) / (m + 1)``. If
the row and the m calibration rows are exchangeable given the forest, ``P(p <= a) <= a`` for every a
(Vovk, Gammerman and Shafer 2005, proposition 2.2; Bates et al. 2023, section 2). Three ways to come by such rows:

- *split*: rows given to ``fit`` that no tree drew. Which rows are drawn does not depend on their
  values, so they are as good as new ones and the guarantee is exact.
- *cross* (Vovk 2015): where the trees drew nearly every row, forests refitted without one fold each
  score that fold. In simulation ``P(p <= a) <= a``; what is proved, for K folds of one size, is
  ``P(p <= a) <= 2 a + 2 (K - 1) / (m + K)`` (the argument of Barber et al. 2021, theorem 4, for CV+).
- *prequential*: scores of a stream's points, each from just before the point was learnt. Exact if the
  forest stood still; on exchangeable points it holds up to the forest's own movement over the window.

Throughout this module **high scores are anomalous** and ties count against the row, so ties only ever
make p-values larger.

References
----------
V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", Springer 2005.
V. Vovk, "Cross-conformal predictors", Ann. Math. Artif. Intell. 74 (2015).
R. F. Barber, E. J. Candès, A. Ramdas, R. J. Tibshirani, "Predictive inference with the jackknife+",
Ann. Statist. 49 (2021); "Conformal prediction beyond exchangeability", Ann. Statist. 51 (2023).
S. Bates, E. Candès, L. Lei, Y. Romano, M. Sesia, "Testing for outliers with conformal p-values",
Ann. Statist. 51 (2023).
"""

from __future__ import annotations

import numbers
from functools import lru_cache
from typing import Any

import numpy as np

from imondrian._forest.validation import positive_int

CALIBRATION_SIZE = 1024
_MOST_SEEN = 1 << 61  # more than a stream can have: a counter beyond it would soon overflow
ENOUGH = 100  # calibration scores from which a source of them is preferred


def mass_above(scores: np.ndarray, calibration: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return how many (how much weight) of the calibration scores are at least each score, (n,)."""
    if weight is None:
        return (len(calibration) - np.searchsorted(np.sort(calibration), scores, side="left")).astype(np.float64)
    order = np.argsort(calibration)
    below = np.concatenate(([0.0], np.cumsum(weight[order])))
    return below[-1] - below[np.searchsorted(calibration[order], scores, side="left")]


def share(mass: np.ndarray, total: float) -> np.ndarray:
    """Return p-values: a row's own weight is 1. Sums of the same weights in another order differ by their rounding."""
    return np.minimum((1.0 + mass) / (1.0 + total), 1.0)


class ScoreWindow:
    """The last scores of a stream, and the p-values that they give.

    Parameters
    ----------
    size : int
        Scores to keep.
    half_life : float, optional
        Points after which a score counts half as much as a new one. With weights fixed beforehand the
        p-value's error under drift is bounded by the weighted total variation between the past points
        and the present (Barber et al. 2023, theorem 2a). None: all count alike.
    """

    def __init__(self, size: int, half_life: float | None = None) -> None:
        self.scores = np.zeros(size)
        self.half_life = half_life
        self.n_seen = 0

    def copy(self) -> ScoreWindow:
        """Return one that goes on from here by itself."""
        twin = ScoreWindow(len(self.scores), self.half_life)
        twin.scores[:], twin.n_seen = self.scores, self.n_seen
        return twin

    @property
    def size(self) -> int:
        """Scores there is room for."""
        return len(self.scores)

    @property
    def held(self) -> int:
        """Scores kept at present."""
        return min(self.n_seen, len(self.scores))

    def push_one(self, score: float) -> None:
        """Keep one more score, in the place of the oldest."""
        if not self.scores.flags.writeable:  # a memory map
            self.scores = self.scores.copy()
        self.scores[self.n_seen % len(self.scores)] = score
        self.n_seen += 1

    def push(self, scores: np.ndarray) -> None:
        """Keep scores, in order."""
        if len(scores) == 1:
            return self.push_one(scores[0])
        if not self.scores.flags.writeable:
            self.scores = self.scores.copy()
        size = len(self.scores)
        last = scores[-size:]
        first = (self.n_seen + len(scores) - len(last)) % size
        end = min(len(last), size - first)
        self.scores[first : first + end] = last[:end]
        self.scores[: len(last) - end] = last[end:]
        self.n_seen += len(scores)

    def in_order(self) -> np.ndarray:
        """Return the kept scores, oldest first."""
        oldest = self.n_seen % len(self.scores) if self.held == len(self.scores) else 0
        return np.concatenate((self.scores[oldest : self.held], self.scores[:oldest]))

    def p_value(self, score: float) -> float:
        """Return the p-value of one score; 1 while nothing is known."""
        held, size = self.held, len(self.scores)
        above = self.scores[:held] >= score
        if self.half_life is None:
            return (1 + int(np.count_nonzero(above))) / (held + 1)
        fade, totals = _fading(size, self.half_life)
        oldest = self.n_seen % size if held == size else 0
        turn = size - oldest  # the ages of places 0, 1, ... begin here
        mass = fade[size - held : turn] @ above[oldest:] + fade[turn:] @ above[:oldest]
        return min(float((1.0 + mass) / (1.0 + totals[held])), 1.0)

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Return the p-value of each score, (n,)."""
        if len(scores) == 1:
            return np.array([self.p_value(float(scores[0]))])
        kept = self.scores[: self.held]
        if self.half_life is None:
            return (1.0 + mass_above(scores, kept)) / (1.0 + len(kept))
        age = 1 + (self.n_seen - 1 - np.arange(len(kept))) % len(self.scores)
        weight = np.exp2(-age / self.half_life)
        return share(mass_above(scores, kept, weight), weight.sum())

    # -- state -------------------------------------------------------------------------------------

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.scores.nbytes

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the state as plain arrays, for storing."""
        half_life = np.nan if self.half_life is None else self.half_life
        return {
            "scores": self.scores.copy(),
            "n_seen": np.array([self.n_seen], np.int64),
            "half_life": np.array([half_life]),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> ScoreWindow:
        """Rebuild from ``to_arrays()``; ValueError names what is damaged."""
        scores, n_seen, half_life = (
            stored(arrays, name, kind, 1)
            for name, kind in (("scores", np.float64), ("n_seen", np.int64), ("half_life", np.float64))
        )
        if (
            len(scores) < 1
            or len(n_seen) != 1
            or len(half_life) != 1
            or not 0 <= n_seen[0] <= _MOST_SEEN
            or not (half_life[0] > 0 or np.isnan(half_life[0]))
        ):
            raise ValueError("damaged calibration: sizes of the window of scores do not fit")
        if np.isnan(scores).any():
            raise ValueError("damaged calibration: a score is missing")
        window = cls(len(scores), None if np.isnan(half_life[0]) else float(half_life[0]))
        window.scores[:] = scores
        window.n_seen = int(n_seen[0])
        return window


def scores_kept(size: Any, half_life: Any) -> tuple[int | None, float | None]:
    """Return how many scores ``calibration`` asks for (None: none), and ``calibration_half_life``, both checked."""
    if half_life is not None and (isinstance(half_life, bool) or not isinstance(half_life, numbers.Real)):
        raise TypeError(f"calibration_half_life must be None or a number of points, got {half_life!r}")
    if half_life is not None and not 0.0 < float(half_life) < float("inf"):
        raise ValueError(f"calibration_half_life must be above 0 and finite, got {half_life}")
    return None if size is None else positive_int("calibration", size), None if half_life is None else float(half_life)


@lru_cache(maxsize=16)
def _fading(size: int, half_life: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of ages size, ..., 1 and the total weight of the 0, ..., size youngest."""
    fade = np.exp2(-np.arange(size, 0, -1) / half_life)
    return fade, np.concatenate(([0.0], np.cumsum(fade[::-1])))


def stored(arrays: dict[str, np.ndarray], name: str, dtype: Any, ndim: int) -> np.ndarray:
    array = arrays.get(name)
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != ndim:
        raise ValueError(f"damaged calibration: {name!r} must be a {np.dtype(dtype)} array with {ndim} axes")
    return array
