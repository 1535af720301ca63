"""Nominal features, slow and obvious: each useful bit of a word becomes a binary feature of its own.

So the references for numbers are references for words, too: what a mixed forest makes of rows is what a forest of
numbers makes of their bits. Nothing here comes from the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SIZE = {np.dtype(np.float64): 64, np.dtype(np.float32): 32}


def words(levels: Sequence[object], seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    """Values of a nominal column: a random word for every level, the lowest bit set and the last but one not."""
    size = SIZE[np.dtype(dtype)]
    kind = np.dtype(f"u{size // 8}").type
    distinct, which = np.unique(np.asarray(levels), return_inverse=True)
    drawn = np.random.default_rng(seed).integers(0, 2**size, size=len(distinct), dtype=kind)
    drawn = (drawn & ~(kind(1) << kind(size - 2))) | kind(1)
    return drawn[which].view(dtype)


def useful_bits(dtype: np.dtype) -> list[int]:
    size = SIZE[np.dtype(dtype)]
    return [bit for bit in range(1, size) if bit != size - 2]


def bits_of(column: np.ndarray) -> np.ndarray:
    """The useful bits of words (n, b) as 0.0 or 1.0; NaN where a word is missing."""
    size = SIZE[column.dtype]
    raw = np.ascontiguousarray(column).view(f"u{size // 8}")
    found = np.stack([(raw >> raw.dtype.type(bit)) & raw.dtype.type(1) for bit in useful_bits(column.dtype)], axis=-1)
    return np.where(np.isnan(column)[..., None], np.nan, found.astype(np.float64))


class Expansion:
    """Where the features of a mixed forest lie once words are bits."""

    def __init__(self, nominal: np.ndarray, dtype: np.dtype) -> None:
        self.nominal, self.dtype = np.asarray(nominal, bool), np.dtype(dtype)
        self.bits = useful_bits(dtype)
        width = np.where(self.nominal, len(self.bits), 1)
        self.first = np.concatenate([[0], np.cumsum(width)])
        self.of = np.repeat(np.arange(len(width)), width)  # by expanded feature

    def rows(self, X: np.ndarray) -> np.ndarray:
        """Rows (..., d), expanded."""
        X = np.asarray(X, self.dtype)
        parts = [
            bits_of(X[..., j]) if nominal else X[..., j, None].astype(np.float64)
            for j, nominal in enumerate(self.nominal)
        ]
        return np.concatenate(parts, axis=-1)

    def columns(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A forest's columns as if it had been grown on expanded rows."""
        d = len(self.nominal)
        found = dict(columns)
        for name in ("points", "lower", "upper"):
            if name in columns:
                found[name] = self.rows(columns[name][..., :d])
        rates = [np.repeat(columns["rate"][:, [j]], 1, axis=1) for j in range(d)]
        for j in np.flatnonzero(self.nominal):
            rates[j] = np.repeat(columns["bit_rate"][:, [j]], len(self.bits), axis=1)
        found["rate"] = np.concatenate(rates, axis=1)
        feature, threshold = columns["feature"].copy(), columns["threshold"].astype(np.float64)
        for at in np.argwhere(columns["feature"] >= 0):
            t, v = at.tolist()
            j = columns["feature"][t, v]
            feature[t, v] = self.first[j]
            if self.nominal[j] and int(threshold[t, v]) in self.bits:  # else a slot that was freed, or never used
                feature[t, v] += self.bits.index(int(threshold[t, v]))
                threshold[t, v] = 0.5
        found["feature"], found["threshold"] = feature, threshold
        return found

    def scaled_points(self, X: np.ndarray, rate: Sequence[float]) -> list[tuple[float, ...]]:
        """Expanded rows in which every side is as long as it is often cut: what the reference trees take."""
        length = np.asarray(rate, float)[self.of]
        return [tuple(row) for row in (self.rows(X) * length).tolist()]


def set_bits(low: float, high: float, dtype: np.dtype) -> int:
    """How many bits a box has both set and not."""
    if math.isnan(low):
        return 0
    pair = np.array([low, high], dtype).view(f"u{SIZE[np.dtype(dtype)] // 8}").tolist()
    return bin(pair[1] & ~pair[0]).count("1")
