"""Detectors of tables with categories: ``fit(table)``, ``scores(table)``, high for anomalies; and numeric codes.

A peer that is not installed is left out (``forest_detectors.available``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from forest_detectors import N_TREES, Entry
from mixed_tables import MixedTable

from imondrian import IsolationMondrianForest

# -- encodings: made from the training part, applied to both ---------------------------------------------------

Encoding = Callable[[np.ndarray], np.ndarray]


def one_hot(training: np.ndarray) -> Encoding:
    """A column of 0 and 1 for every level seen; others have none."""
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(training).transform


def ordinal(training: np.ndarray) -> Encoding:
    """The level's number; -1 for others."""
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(training).transform


def frequency(training: np.ndarray) -> Encoding:
    """The share of the rows that have the level; 0 for others."""
    shares = [dict(zip(*_shares(column), strict=True)) for column in training.T]

    def encode(levels: np.ndarray) -> np.ndarray:
        columns = [
            [share.get(level, 0.0) for level in column] for share, column in zip(shares, levels.T.tolist(), strict=True)
        ]
        return np.array(columns, dtype=np.float64).T.reshape(levels.shape)

    return encode


def _shares(column: np.ndarray) -> tuple[list[int], list[float]]:
    levels, counts = np.unique(column, return_counts=True)
    return levels.tolist(), (counts / len(column)).tolist()


# -- detectors -------------------------------------------------------------------------------------------------


class Encoded:
    """A detector of numbers behind an encoding of the levels."""

    def __init__(self, model: Any, encoding: Callable[[np.ndarray], Encoding]) -> None:
        self.model, self.encoding = model, encoding

    def fit(self, table: MixedTable) -> Encoded:
        """Learn the encoding and the table."""
        self.encode = self.encoding(table.levels) if table.levels.shape[1] else lambda levels: levels
        self.model.fit(self._numbers(table))
        return self

    def scores(self, table: MixedTable) -> np.ndarray:
        """Return the score of each row, (n,)."""
        return -self.model.score_samples(self._numbers(table))

    def _numbers(self, table: MixedTable) -> np.ndarray:
        return np.column_stack((table.numbers, self.encode(table.levels)))


class Ours:
    """Our forest, told which columns are categories."""

    def __init__(self, model: IsolationMondrianForest) -> None:
        self.model = model

    def fit(self, table: MixedTable) -> Ours:
        """Learn the table."""
        self.model.fit(frame(table))
        return self

    def scores(self, table: MixedTable) -> np.ndarray:
        """Return the score of each row, (n,)."""
        return -self.model.score_samples(frame(table))


def frame(table: MixedTable) -> Any:
    """Return a DataFrame whose levels are text."""
    import pandas as pd

    columns = {f"x{j}": column for j, column in enumerate(table.numbers.T)}
    columns |= {
        f"c{j}": pd.array([f"level {code}" for code in column], dtype="str") for j, column in enumerate(table.levels.T)
    }
    return pd.DataFrame(columns)


class NativeIsotree:
    """isotree with its own splits of categories, by its settings for outliers."""

    def __init__(self, seed: int) -> None:
        from isotree import IsolationForest

        self.model = IsolationForest(ntrees=N_TREES, sample_size=256, ndim=1, random_seed=seed + 1, nthreads=1)

    def fit(self, table: MixedTable) -> NativeIsotree:
        """Learn the table."""
        self.known = [np.unique(column) for column in table.levels.T]
        self.model.fit(self._frame(table))
        return self

    def scores(self, table: MixedTable) -> np.ndarray:
        """Return the score of each row, (n,)."""
        return self.model.predict(self._frame(table))

    def _frame(self, table: MixedTable) -> Any:
        import pandas as pd

        columns = {f"x{j}": column for j, column in enumerate(table.numbers.T)}
        for j, (known, column) in enumerate(zip(self.known, table.levels.T, strict=True)):
            columns[f"c{j}"] = pd.Categorical(column, categories=known)
        return pd.DataFrame(columns)


class MixedNeighbours:
    """Mean distance to the five nearest training rows: L1 over standardised numbers, 3 for each level that differs."""

    MISMATCH = 3.0

    def fit(self, table: MixedTable) -> MixedNeighbours:
        """Keep the table."""
        from sklearn.preprocessing import StandardScaler

        self.scaler = StandardScaler().fit(table.numbers) if table.numbers.shape[1] else None
        self.numbers, self.levels = self._scaled(table), table.levels
        return self

    def scores(self, table: MixedTable, n_neighbors: int = 5) -> np.ndarray:
        """Return the score of each row, (n,)."""
        numbers, found = self._scaled(table), np.empty(len(table.y))
        for begin in range(0, len(found), 256):
            part = slice(begin, begin + 256)
            distance = self.MISMATCH * (table.levels[part, None] != self.levels).sum(axis=2)
            distance = distance + np.abs(numbers[part, None] - self.numbers).sum(axis=2)
            found[part] = np.partition(distance, n_neighbors, axis=1)[:, :n_neighbors].mean(axis=1)
        return found

    def _scaled(self, table: MixedTable) -> np.ndarray:
        return table.numbers if self.scaler is None else self.scaler.transform(table.numbers)


class Spad:
    """SPAD (Aryal, Ting and Haffari 2016): the sum of the log shares of the row's levels, numbers in bins."""

    def fit(self, table: MixedTable) -> Spad:
        """Count levels, and numbers in log2(n) + 1 bins over three standard deviations either side."""
        n = len(table.y)
        n_bins = int(np.log2(n)) + 1
        mean, deviation = table.numbers.mean(axis=0), table.numbers.std(axis=0)
        self.edges = [np.linspace(m - 3 * s, m + 3 * s, n_bins + 1)[1:-1] for m, s in zip(mean, deviation, strict=True)]
        self.shares = []
        for column in self._binned(table).T:
            levels, counts = np.unique(column, return_counts=True)
            n_levels = max(len(levels), n_bins if len(self.shares) < len(self.edges) else 0)
            seen = {
                level: np.log((count + 1) / (n + n_levels))
                for level, count in zip(levels.tolist(), counts.tolist(), strict=True)
            }
            self.shares.append((seen, np.log(1 / (n + n_levels))))
        return self

    def scores(self, table: MixedTable) -> np.ndarray:
        """Return the score of each row, (n,)."""
        total = np.zeros(len(table.y))
        for (seen, unseen), column in zip(self.shares, self._binned(table).T.tolist(), strict=True):
            total -= [seen.get(level, unseen) for level in column]
        return total

    def _binned(self, table: MixedTable) -> np.ndarray:
        bins = [np.digitize(column, edges) for column, edges in zip(table.numbers.T, self.edges, strict=True)]
        return np.column_stack((*bins, table.levels)) if bins else table.levels


def _ours(seed: int, **params: Any) -> Ours:
    return Ours(IsolationMondrianForest(N_TREES, random_state=seed, **params))


def _encoded(seed: int, encoding: Callable[[np.ndarray], Encoding], ours: bool) -> Encoded:
    from sklearn.ensemble import IsolationForest

    model = (
        IsolationMondrianForest(N_TREES, random_state=seed)
        if ours
        else IsolationForest(n_estimators=N_TREES, random_state=seed)
    )
    return Encoded(model, encoding)


MIXED: dict[str, Entry] = {
    "ours": Entry("pandas", _ours),
    "ours, depth": Entry("pandas", partial(_ours, score="depth")),
    **{
        f"{name}, {how.__name__.replace('_', '-')}": Entry(
            "sklearn", partial(_encoded, encoding=how, ours=name == "ours")
        )
        for name in ("ours", "IsolationForest")
        for how in (one_hot, ordinal, frequency)
    },
    "isotree, native": Entry("isotree", NativeIsotree),
    "SPAD": Entry("sklearn", lambda seed: Spad()),
    "kNN(5), mismatch 3": Entry("sklearn", lambda seed: MixedNeighbours()),
}
