"""The forest: the operations of the native core on its columns.

A :class:`Forest` is the one representation behind batch fitting, streaming, scoring and pickling.
Arguments are trusted here: the public classes validate.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from imondrian import _core

from .columns import ForestColumns
from .footprint import BLOCK
from .schema import RESERVOIR, SLIDING, STATE_VERSION, UNBOUNDED
from .scoring import SCORES, anomaly_scores, depth_slope, spacing_scores, spacing_slope
from .undo import undo_of
from .validation import check_total_weight

__all__ = ["RESERVOIR", "SLIDING", "STATE_VERSION", "UNBOUNDED", "Forest", "not_held", "seed_states"]


def seed_states(rng: np.random.RandomState, n_trees: int) -> np.ndarray:
    """Draw every tree's generator state (n_trees, 4) at once, so that threads cannot change results."""
    states = rng.randint(0, np.iinfo(np.uint64).max, size=(n_trees, 4), dtype=np.uint64)
    states[:, 0] |= np.uint64(1)  # the all-zero state is the generator's only fixed point
    return states


def not_held(n_absent: int, n: int, first: int) -> ValueError:
    """Return the error for rows that cannot be forgotten."""
    return ValueError(
        f"X must hold points that some tree holds: {n_absent} of {n} not found, the first of them "
        f"row {first}; nothing was forgotten"
    )


_NONE = np.empty(0, np.intp)


def sum_values(cuts: dict[str, np.ndarray], X: np.ndarray, n_threads: int = 1) -> np.ndarray:
    """Return the sum over trees, given by their cuts, of the values where each row ends, (n,)."""
    return _core.sum_values(cuts, X, n_threads)


def _blank_rows(X: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows that have no value at all."""
    if len(X) == 1 and X[0, 0] == X[0, 0]:
        return _NONE
    places = np.flatnonzero(np.isnan(X[:, 0]))
    return places[np.isnan(X[places]).all(axis=1)]


class RowsElsewhere(Protocol):
    """Rows that are scored where they are: on a device."""

    def host_scores(self, forest: Forest, score: str) -> np.ndarray:
        """Return the rows' scores, in numpy."""


class Forest(ForestColumns):
    """Mondrian trees over shared points; the parameters are those of :class:`ForestColumns`."""

    # What a row without any value gets: after so many updates, for that score, ``depths``. Replaced, never changed:
    # copies share it.
    _nothing: tuple[int, str, float, float] | None = None

    def require_learning(self, what: str) -> None:
        """Raise ValueError, saying that ``what`` is impossible, if points cannot be added: here they can."""

    @classmethod
    def build(
        cls,
        X: np.ndarray,
        weight: np.ndarray | None,
        states: np.ndarray,
        max_samples: int,
        *,
        scaled: bool = False,
        boxes: bool = True,
        spaced: bool = False,
        nominal: np.ndarray | None = None,
        nominal_weight: float = 1.0,
        n_threads: int = 1,
        drawn: np.ndarray | None = None,
    ) -> Forest:
        """Build every tree from ``max_samples`` rows of X drawn without replacement, or from all.

        ``drawn`` (n_trees, max_samples), int64, receives the numbers of the rows drawn.
        """
        n, n_features = X.shape
        n_sample = min(n, max_samples)
        own_rows = n > len(states) * n_sample
        n_rows = len(states) * n_sample if own_rows else n
        forest = cls(
            n_features,
            X.dtype,
            states,
            n_sample,
            n_rows,
            scaled=scaled,
            boxes=boxes,
            spaced=spaced,
            nominal=nominal,
            nominal_weight=nominal_weight,
        )
        if spaced:
            _core.draw_bags(forest._view, 0)
        _core.fit(forest._view, X, weight, n_sample, own_rows, n_threads, drawn)
        return forest

    @classmethod
    def draw(
        cls,
        n: int,
        n_features: int,
        dtype: Any,
        states: np.ndarray,
        n_sample: int,
        *,
        weight: np.ndarray | None = None,
        scaled: bool = False,
        boxes: bool = True,
        spaced: bool = False,
        nominal: np.ndarray | None = None,
        nominal_weight: float = 1.0,
        n_threads: int = 1,
    ) -> tuple[Forest, np.ndarray]:
        """Return a forest without its rows, and which of n rows each tree gets, (n_trees, n_sample), int64.

        With ``build_drawn`` it becomes what ``build`` would make of all n rows, for ``n > n_trees * n_sample``.
        """
        n_rows = len(states) * n_sample
        forest = cls(
            n_features,
            dtype,
            states,
            n_sample,
            n_rows,
            scaled=scaled,
            boxes=boxes,
            spaced=spaced,
            nominal=nominal,
            nominal_weight=nominal_weight,
        )
        if spaced:
            _core.draw_bags(forest._view, 0)
        drawn = np.empty((len(states), n_sample), np.int64)
        _core.draw_rows(forest._view, n, weight, drawn, n_threads)
        return forest, drawn

    def build_drawn(self, X: np.ndarray, places: np.ndarray, n_threads: int = 1) -> None:
        """Build every tree from the rows it drew: ``places`` of them in X, whose rows are in their old order."""
        _core.fit(self._view, X, None, places.shape[1], True, n_threads, places, True)

    @classmethod
    def for_stream(
        cls,
        n_features: int,
        dtype: Any,
        states: np.ndarray,
        memory: int,
        points: int | None,
        decay: float,
        *,
        scaled: bool = False,
        spaced: bool = False,
        age: float | None = None,
        nominal: np.ndarray | None = None,
        nominal_weight: float = 1.0,
    ) -> Forest:
        """Return an empty forest that will keep ``points`` a tree (None: all)."""
        slots, rows = (64, 64) if points is None else (points + 1, points + 2 * BLOCK)
        if points is None:
            memory, decay, age = UNBOUNDED, 0.0, None
        forest = cls(
            n_features,
            dtype,
            states,
            slots,
            rows,
            memory=memory,
            decay=decay,
            scaled=scaled,
            spaced=spaced,
            age=age,
            nominal=nominal,
            nominal_weight=nominal_weight,
        )
        if spaced:
            _core.draw_bags(forest._view, 0)
        return forest

    def learn(
        self,
        X: np.ndarray,
        weight: np.ndarray | None = None,
        *,
        score: str | None = None,
        n_threads: int = 1,
        max_bytes: int | None = None,
        times: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Learn rows in order; with ``score``, return each row's score from just before it was learnt.

        A window by age needs ``times`` (n,), float64, in seconds. In an unbounded forest, MemoryError before anything
        is learnt if the columns might pass ``max_bytes``. An interrupt leaves the forest as it was (see ``undo.py``).
        """
        if score == "spacing":
            self.require_spaced()
        if self._undo is None and (undo := undo_of(self, len(X))) is not None:
            with undo:
                return self._learn(X, weight, score, n_threads, max_bytes, times)
        return self._learn(X, weight, score, n_threads, max_bytes, times)

    def arrivals_until(self, mass: float, weight: np.ndarray | None = None) -> int:
        """Return how many points are still to be learnt until there is so much mass; they weigh 1 each, or ``weight``.

        In a full window a point takes the place of the oldest, which may have been forgotten. Of windows that leave
        points out, what enters is not known beforehand: each is taken to.
        """
        lacking = mass - self.mass
        if lacking <= 0:
            return 0
        if weight is not None:
            return int(np.searchsorted(np.cumsum(weight), lacking)) + 1
        if self.memory == SLIDING and self.decay == 0.0:
            ring = self.columns["member_leaf"][0]
            _, held, _, oldest = self.columns["stream"][0, :4].tolist()
            forgotten = np.roll(ring[:held] == -1, -oldest)
            adds = np.flatnonzero(np.append(np.ones(len(ring) - held, bool), forgotten))
            if len(adds) >= lacking:  # else the window, given by other parameters, never has so much
                return int(adds[math.ceil(lacking) - 1]) + 1
        return math.ceil(lacking)

    def _learn(
        self,
        X: np.ndarray,
        weight: np.ndarray | None,
        score: str | None,
        n_threads: int,
        max_bytes: int | None,
        times: np.ndarray | None,
    ) -> np.ndarray | None:
        n = len(X)
        if weight is not None:
            check_total_weight(weight, self.mass)
        if self.memory == UNBOUNDED:
            self._make_room(n, max_bytes)
        self._prepare_updates(n_threads)
        depth = norm = None
        if score is not None:
            depth, norm = np.empty(n), np.empty(n)
        done = 0
        while True:
            part = slice(done, n)
            done += _core.learn(
                self._view,
                X[part],
                None if weight is None else weight[part],
                SCORES[score or "depth"],
                None if depth is None else depth[part],
                None if norm is None else norm[part],
                n_threads,
                self._undo is not None,
                None if times is None else times[part],
            )
            if done == n:
                break
            self._grow_rows(min(n - done, BLOCK) if self.memory else n - done)
        if depth is None or norm is None:
            return None
        return spacing_scores(depth) if score == "spacing" else anomaly_scores(depth, norm)

    def scores(self, X: np.ndarray | RowsElsewhere, score: str, n_threads: int = 1) -> np.ndarray:
        """Return the anomaly score of each row, in [0, 1], high for anomalies."""
        if not isinstance(X, np.ndarray):
            return X.host_scores(self, score)
        measured, norm = self.depths(X, score, n_threads)
        return spacing_scores(measured) if score == "spacing" else anomaly_scores(measured, norm)

    def depths(self, X: np.ndarray, score: str, n_threads: int = 1) -> tuple[np.ndarray, float]:
        """Return each row's mean depth over the trees, and the trees' mean c(mass).

        For "spacing": how far the mean log spacing is above the usual, and 1.
        """
        if score == "insertion":
            self.ensure_boxes(n_threads)
        if score == "spacing":
            self.require_spaced()
        blank = _blank_rows(X)
        if len(blank) == 0:
            return _core.score(self._view, X, SCORES[score], n_threads)
        nothing, norm = self._of_nothing(score)
        measured = np.full(len(X), nothing)
        if len(blank) < len(X):
            told = np.ones(len(X), bool)
            told[blank] = False
            measured[told], norm = _core.score(self._view, X[told], SCORES[score], n_threads)
        return measured, norm

    def _of_nothing(self, score: str) -> tuple[float, float]:
        """Return what ``depths`` says of a row without any value, found once between two changes of the trees."""
        known = self._nothing
        if known is None or known[:2] != (self.n_updates, score):
            row = np.full((1, self.n_features), np.nan, self.dtype)
            depth, norm = _core.score(self._view, row, SCORES[score], 1)
            known = self._nothing = (self.n_updates, score, float(depth[0]), norm)
        return known[2:]

    def drawn_ways(self, score: str) -> tuple[np.ndarray, np.ndarray]:
        """Return where rows without a value go on from each node, and what that gains, (n_trees, k): see means.hpp."""
        return _core.drawn_ways(self._view, SCORES[score])

    def cells(self, rows: np.ndarray, mass: float) -> np.ndarray:
        """Return the first node on each row's way down that holds at most ``mass``, (n, n_trees); ~leaf for leaves."""
        return _core.find_cells(self._view, rows, mass)

    def spacing_excess(self, spacing: np.ndarray) -> np.ndarray:
        """Return how far mean log spacings (n,) are above the usual: -1 at the median, 0 where the unusual begins."""
        return _core.spacing_excess(self._view, spacing)

    def explain(self, X: np.ndarray, score: str, n_threads: int = 1) -> tuple[np.ndarray, float]:
        """Return what each feature adds to each row's score from below and above, (n, d, 2), and the expected score.

        The contributions sum to the score less the expected one, the score of the mean over the stored points.
        """
        if score == "insertion":
            self.ensure_boxes(n_threads)
        if score == "spacing":
            self.require_spaced()
        parts, value, expected = _core.explain(self._view, X, SCORES[score], n_threads)
        if score == "spacing":
            unit = float(np.diff(self.spacing_excess(np.array([0.0, 1.0])))[0])
            excess = self.spacing_excess(np.append(value, expected))
            slope = unit * spacing_slope(excess[:-1], float(excess[-1]))
            usual = float(spacing_scores(excess[-1:])[0])
        else:
            norm = self.depths(X[:0], score)[1]
            slope = depth_slope(value, expected, norm)
            usual = float(anomaly_scores(np.array([expected]), norm)[0])
        parts *= slope[:, None, None]
        return parts, usual

    def expected_score(self, score: str) -> float:
        """Return the score of the mean over the stored points: where explanations start from."""
        return self.explain(np.empty((0, self.n_features), self.dtype), score)[1]

    def require_spaced(self) -> None:
        """Raise ValueError unless the forest can give spacing scores."""
        if not self.spaced:
            raise ValueError(
                "score 'default' ('spacing') needs trees that were grown for it: "
                "this forest was fitted for another score; fit it again"
            )

    @property
    def age(self) -> float | None:
        """How far back a window by age reaches, in seconds; None of others."""
        return float(self.columns["clock"][_core.HORIZON]) if "clock" in self.columns else None

    def rows_and_masses(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the store's rows (n, width), padding and unused ones included, and their mass in all trees, (n,)."""
        return self.columns["points"], _core.row_masses(self._view)

    def stored_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct rows some tree holds, (m, d), and their mass summed over the trees, (m,)."""
        live = self._live_leaves()
        rows, which = np.unique(self.columns["leaf_point"][live], return_inverse=True)
        mass = np.bincount(which, weights=self.columns["leaf_mass"][live])
        return np.ascontiguousarray(self.columns["points"][rows, : self.n_features]), mass

    def forget(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Remove each row once from every tree that holds it; return how many trees did, (n,).

        An interrupt leaves the forest as it was (see ``undo.py``).
        """
        if self._undo is None and (undo := undo_of(self, len(X))) is not None:
            with undo:
                return self.forget(X, n_threads)
        self._prepare_updates(n_threads)
        return _core.forget(self._view, X, True, n_threads, self._undo is not None)

    def holders(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return how many trees hold each row, (n,); of equal rows, the second where there are two, and so on.

        A row with missing values is also held by a leaf of several points whose own point agrees with it
        wherever both have values: it may have joined them.
        """
        return _core.forget(self._view, X, False, n_threads)

    def info(self) -> dict[str, Any]:
        """Return what the forest holds, and its size."""
        window = None if self.memory == UNBOUNDED else self.columns["member_leaf"].shape[1]
        return {
            "trees": self.n_trees,
            "features": self.n_features,
            "dtype": self.dtype.name,
            "scale": "robust" if self.scaled else None,
            "window_points": window,
            "points_a_tree": float(self.columns["leaf_mass"].sum(where=self._live_leaves()) / self.n_trees),
            "points_stored": int(np.count_nonzero(self._referenced())),
            "points_streamed": self.n_seen,
        }

    def require_held(self, X: np.ndarray, known: np.ndarray | None, n_threads: int = 1) -> None:
        """Raise ValueError unless every row is held by some tree, as often as X repeats it, and ``known``."""
        held = self.holders(X, n_threads) > 0
        absent = np.flatnonzero(~(held if known is None else held & known))
        if len(absent):
            raise not_held(len(absent), len(X), absent[0])

    def forget_all(self, X: np.ndarray, known: np.ndarray | None, missing_ok: bool, n_threads: int = 1) -> None:
        """Forget rows, but for those not ``known``, which no tree holds.

        Unless ``missing_ok``, raise ValueError and change nothing if any row is held by no tree.
        """
        if not missing_ok:
            self.require_held(X, known, n_threads)
        self.forget(X if known is None else np.ascontiguousarray(X[known]), n_threads)
