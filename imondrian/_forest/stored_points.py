"""What is usual among the points of a forest: what reasons in words compare a row with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from imondrian import _core

from .imported_forest import ImportedForest

_TAIL = 0.05  # of the stored points below, and above, what is usual


class Usual(NamedTuple):
    """What a feature's stored values are like."""

    low: float  # 5 % are below, at most
    high: float  # 5 % are above, at most


class Beside(NamedTuple):
    """How a row compares with the stored points, by feature."""

    share: np.ndarray  # of the mass, that has a value
    is_usual: np.ndarray  # whether the row's value lies within what is usual
    is_constant: np.ndarray  # whether all stored values are the same


class StoredPoints:
    """The points of a forest, by their mass in all trees.

    Parameters
    ----------
    forest : Forest or ImportedForest
        An imported one has no points: nothing is known of its features.
    """

    def __init__(self, forest: Any) -> None:
        is_known = not isinstance(forest, ImportedForest)
        self._points: np.ndarray
        self._mass: np.ndarray
        self._points, self._mass = (
            forest.rows_and_masses() if is_known else (np.empty((0, forest.n_features)), np.empty(0))
        )
        self.nominal: np.ndarray = forest.nominal
        self._usual: dict[int, Usual | None] = {}

    def beside(self, row: np.ndarray) -> Beside:
        """Return how a row (d,) compares."""
        known = _core.compare(self._points, self._mass, np.ascontiguousarray(row, np.float64))
        present, below, until, least, most = known.T
        is_usual = (present > 0.0) & (until >= _TAIL * present) & (below < (1.0 - _TAIL) * present)
        for feature in np.flatnonzero(self.nominal).tolist():
            is_usual[feature] = self._is_usual_level(feature, row[feature])
        return Beside(
            share=present / max(self._mass.sum(), 1e-300),
            is_usual=is_usual,
            is_constant=(present > 0.0) & (least == most),
        )

    def share(self, feature: int, word: float) -> float | None:
        """Return the share of the mass with a value that has this level; None where no point has a value."""
        column = self._points[:, feature]
        total = self._mass[column == column].sum()
        return float(self._mass[column == word].sum() / total) if total > 0.0 else None

    def _is_usual_level(self, feature: int, word: float) -> bool:
        """Return whether levels that are no more frequent than this one have 5 % of the mass."""
        column = self._points[:, feature]
        there = column == column
        levels, which = np.unique(column[there], return_inverse=True)
        masses = np.bincount(which.reshape(-1), self._mass[there], len(levels))
        own = masses[levels == word].sum()
        return bool(own > 0.0 and masses[masses <= own].sum() >= _TAIL * masses.sum())

    def usual(self, feature: int) -> Usual | None:
        """Return what is usual for a feature; None where no point has a value."""
        if feature not in self._usual:
            found = _core.usual_range(self._points, self._mass, feature, _TAIL)
            self._usual[feature] = None if found is None else Usual(*found)
        return self._usual[feature]
