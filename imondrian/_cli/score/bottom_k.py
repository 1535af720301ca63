"""The rows with the smallest keys of a table that is read once: a uniform sample, or the most anomalous rows."""

from __future__ import annotations

import numpy as np


class Smallest:
    """Keep the ``size`` rows with the smallest keys, in the order they came; of equal keys the first ones.

    With uniform random keys these are a uniform sample without replacement, whatever the batches were. Memory is
    that of about twice as many rows, and of a batch.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int) -> None:
        self.size, self.n_seen = size, 0
        self._limit = np.inf
        self._held = 0
        self._parts: list[tuple[np.ndarray, ...]] = []

    def push(self, keys: np.ndarray, *columns: np.ndarray) -> None:
        """Add rows: their keys, and arrays whose first axis runs over the rows."""
        self.n_seen += len(keys)
        taken = np.flatnonzero(keys < self._limit) if np.isfinite(self._limit) else np.arange(len(keys))
        if len(taken) == 0:
            return
        self._parts.append(tuple(column[taken] for column in (keys, *columns)))
        self._held += len(taken)
        if self._held >= 2 * self.size:
            self._prune()

    def _prune(self) -> None:
        parts = tuple(np.concatenate(part) for part in zip(*self._parts, strict=True))
        self._parts, self._held = [parts], len(parts[0])
        if self._held > self.size:
            kept = np.sort(np.argsort(parts[0], kind="stable")[: self.size])
            self._parts, self._held = [tuple(part[kept] for part in parts)], self.size
        if self._held == self.size:
            self._limit = self._parts[0][0].max(initial=-np.inf)

    def rows(self) -> tuple[np.ndarray, ...]:
        """Return keys and arrays of the rows kept, of which there is at least one."""
        self._prune()
        return self._parts[0]
