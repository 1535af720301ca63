"""Nominal features, slow and obvious: each useful bit of a word becomes a binary feature of its own.

So the references for numbers are references for words, too: what a mixed forest makes of rows is what a forest of
numbers makes of their bits. Nothing here comes from the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from reference import explain_reference as explain
from reference import spacing_reference as spacing

Row = Sequence[float]

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


class Costs:
    """What strange levels add to spacings, on expanded columns: takes the place of parts of the other references."""

    def __init__(self, expansion: Expansion, weight: float, d: int) -> None:
        self.expansion, self.weight, self.d = expansion, weight, d
        self.known: dict[tuple[int, int, int], dict[tuple[float, ...], float]] = {}  # of columns that stay as they are

    def plug_in(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(spacing, "extent", self.extent)
        monkeypatch.setattr(spacing, "value", self.value)
        monkeypatch.setattr(spacing, "steps_apart", self.steps_apart)
        near_weight = spacing.near_weight
        monkeypatch.setattr(spacing, "near_weight", lambda columns, d: near_weight(columns, self.d))
        monkeypatch.setattr(explain, "far", self.far)

    def seen(self, columns: dict, t: int) -> list[int]:
        bag = [int(j) for j in columns["bag"][t] if j >= 0]
        return bag if bag and self.d > len(columns["bag"][t]) else list(range(self.d))

    def group(self, j: int) -> slice:
        return slice(int(self.expansion.first[j]), int(self.expansion.first[j + 1]))

    def level(self, x: Row, j: int) -> tuple[float, ...] | None:
        bits = tuple(x[self.group(j)])
        return None if math.isnan(bits[0]) else bits

    def held_levels(self, columns: dict, t: int, j: int) -> dict[tuple[float, ...], float]:
        """The mass of every level in the tree."""
        if (known := self.known.get((id(columns), t, j))) is not None:
            return known
        found: dict[tuple[float, ...], float] = self.known.setdefault((id(columns), t, j), {})
        for leaf in spacing.leaves_below(columns, t, int(columns["header"][t, 0])):
            level = self.level(columns["points"][columns["leaf_point"][t, leaf]], j)
            if level is not None:
                found[level] = found.get(level, 0.0) + float(columns["leaf_mass"][t, leaf])
        return found

    def cost(self, columns: dict, t: int, j: int, level: tuple[float, ...], own: float) -> float:
        held = self.held_levels(columns, t, j)
        total = sum(held.values())
        shares = [mass / total for mass in held.values()]
        entropy = -math.fsum(share * math.log(share) for share in shares)
        rarity = -math.log((held.get(level, 0.0) - own + 0.5) / (total - own + 1.0)) - entropy
        return self.weight * 1.5 * max(3.0 * math.sqrt(math.fsum(share**2 for share in shares)), rarity)

    def strange(self, columns: dict, t: int, v: int, x: Row, but: int | None, own: float) -> dict[int, float]:
        """What x pays by nominal feature in the box of v."""
        clean = [
            columns["points"][columns["leaf_point"][t, leaf]]
            for leaf in spacing.leaves_below(columns, t, v)
            if leaf != but and columns["leaf_clean"][t, leaf] > 0
        ]
        paid = {}
        for j in self.seen(columns, t):
            level = self.level(x, j) if self.expansion.nominal[j] else None
            if level is not None and all(self.level(point, j) != level for point in clean):
                paid[j] = self.cost(columns, t, j, level, own)
        return paid

    def extent(self, columns: dict, t: int, v: int, x: Row, but: int | None = None, own: float = 0.0) -> float:
        rows = columns["points"][columns["leaf_point"][t, spacing.leaves_below(columns, t, v)]]
        total = spacing.FLOOR + sum(self.strange(columns, t, v, x, but, own).values())
        for j in self.seen(columns, t):
            if self.expansion.nominal[j]:
                continue
            at = self.expansion.first[j]
            values = [value for value in rows[:, at] if not math.isnan(value)]
            rate = float(columns["rate"][t, at])
            if not values:
                continue
            if rate == 0.0:
                total += spacing.ODD_CONSTANT * (not math.isnan(x[at]) and x[at] != values[0])
                continue
            values += [x[at]] * (not math.isnan(x[at]))
            total += (max(values) - min(values)) * rate
        return total

    def value(self, columns: dict, t: int, v: int, x: Row, *held: int | None) -> float:
        """As ``spacing_reference.value``; with ``held``, of a point that the tree holds, without one copy of it."""
        but, own = (held[0], 1.0) if held else (None, 0.0)
        log_extent, w = math.log(self.extent(columns, t, v, x, but, own)), spacing.near_weight(columns, self.d)
        if not w:
            return log_extent
        if near := spacing.nearest(columns, t, v, x, but):
            return (1 - w) * log_extent + w * math.log(near[0])
        nothing = [math.nan] * len(x)
        return log_extent + spacing.usual(columns, t, v, len(x)) - math.log(self.extent(columns, t, v, nothing))

    def steps_apart(self, columns: dict, t: int, a: Row, b: Row) -> dict[int, float]:
        seen = self.seen(columns, t)
        first = {j: int(self.expansion.first[j]) for j in seen}
        shared = [j for j in seen if not math.isnan(a[first[j]]) and not math.isnan(b[first[j]])]
        found = {}
        for j in shared:
            at, rate = first[j], float(columns["rate"][t, first[j]])
            if self.expansion.nominal[j]:
                step = self.cost(columns, t, j, self.level(a, j), 0.0) * (self.level(a, j) != self.level(b, j))
            else:
                step = abs(a[at] - b[at]) * rate if rate else spacing.ODD_CONSTANT * (a[at] != b[at])
            found[at] = step * len(seen) / len(shared)
        return found

    def far(self, columns: dict, t: int, v: int, x: Row, score: str) -> np.ndarray:
        out = np.zeros((len(x), 2))
        rows = columns["points"][columns["leaf_point"][t, spacing.leaves_below(columns, t, v)]].astype(np.float64)
        if score == "spacing":
            for j, paid in self.strange(columns, t, v, x, None, 0.0).items():
                out[self.expansion.first[j], 1] = paid
        for j in self.seen(columns, t) if score == "spacing" else range(self.d):
            if self.expansion.nominal[j] and score == "spacing":
                continue
            for at in range(self.group(j).start, self.group(j).stop):
                values = rows[~np.isnan(rows[:, at]), at]
                if len(values) == 0 or math.isnan(x[at]):
                    continue
                outside = np.array([max(values.min() - x[at], 0.0), max(x[at] - values.max(), 0.0)])
                rate = float(columns["rate"][t, at])
                odd = spacing.ODD_CONSTANT * (outside > 0) * (score == "spacing")
                out[at] = outside * rate if rate > 0 else odd
        return out
