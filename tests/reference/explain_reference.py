"""Contributions of features to a score, slow and obvious: the oracle of the native ones.

V(v) is averaged over the points stored below v one by one. Nothing here comes from the package.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from reference import forest_reference as slow
from reference import spacing_reference as spacing

Row = Sequence[float]


def stored_value(columns: dict, t: int, leaf: int, score: str, d: int) -> float:
    """What a point in this leaf gets itself."""
    path = [~leaf]
    up = int(columns["leaf_parent"][t, leaf])
    while up >= 0:
        path.append(up)
        up = int(columns["parent"][t, up])
    if score != "spacing":
        return len(path) - 1 + slow.hidden_depth(float(columns["leaf_mass"][t, leaf]))
    enough = [v for v in path if spacing.clean_of(columns, t, v) >= spacing.needed_in(columns, t)]
    return spacing.usual(columns, t, enough[0] if enough else path[-1], d)


def stored_mean(columns: dict, t: int, v: int, score: str, d: int) -> float:
    """V(v)."""
    leaves = spacing.leaves_below(columns, t, v)
    mass = [float(columns["leaf_mass"][t, leaf]) for leaf in leaves]
    values = [stored_value(columns, t, leaf, score, d) for leaf in leaves]
    return math.fsum(m * value for m, value in zip(mass, values, strict=True)) / math.fsum(mass)


def far(columns: dict, t: int, v: int, x: Row, score: str) -> np.ndarray:
    """How far outside v's box x is, by feature, from below and above, in units."""
    d = len(x)
    rows = columns["points"][columns["leaf_point"][t, spacing.leaves_below(columns, t, v)]][:, :d].astype(np.float64)
    out = np.zeros((d, 2))
    for j in spacing.seen_features(columns, t, d) if score == "spacing" else range(d):
        values = rows[~np.isnan(rows[:, j]), j]
        if len(values) == 0 or math.isnan(x[j]):
            continue
        out[j] = max(values.min() - x[j], 0.0), max(x[j] - values.max(), 0.0)
        rate = float(columns["rate"][t, j])
        out[j] = out[j] * rate if rate > 0 else spacing.ODD_CONSTANT * (out[j] > 0) * (score == "spacing")
    return out


class Split:
    """One tree's score of a row, split by feature, from below and above: ``parts`` (d, 2)."""

    def __init__(self, columns: dict, t: int, x: Row, score: str) -> None:
        self.columns, self.t, self.x, self.score, self.d = columns, t, x, score, len(x)
        self.parts = np.zeros((self.d, 2))

    def mean(self, v: int) -> float:
        return stored_mean(self.columns, self.t, v, self.score, self.d)

    def pay(self, amount: float, v: int) -> None:
        outside = far(self.columns, self.t, v, self.x, self.score)
        if outside.sum() > 0:
            self.parts += amount * outside / outside.sum()

    def lacks_clean_mass(self, v: int) -> bool:
        return spacing.clean_of(self.columns, self.t, v) < spacing.needed_in(self.columns, self.t)

    def walk(self, v: int, share: float, depth: int, born: float) -> None:
        if self.score == "spacing" and (v < 0 or self.lacks_clean_mass(v)):
            self.end(v, share)
            return
        if self.score == "insertion":
            time = float(self.columns["time"][self.t, v]) if v >= 0 else math.inf
            outside = far(self.columns, self.t, v, self.x, self.score).sum()
            separated = -math.expm1(-outside * (time - born)) if outside > 0 else 0.0
            self.pay(share * separated * (depth + 1 - self.mean(v)), v)
            share, born = share * (1.0 - separated), time
        if v < 0:
            return
        feature, threshold, _, _ = slow.cut(v, self.columns, self.t)
        child = slow.way(self.columns, self.t, v, self.x)
        if not math.isnan(self.x[feature]):
            self.parts[feature, int(self.x[feature] > threshold)] += share * (self.mean(child) - self.mean(v))
        if self.score == "spacing" and self.lacks_clean_mass(child):
            self.end(v, share)
        else:
            self.walk(child, share, depth + 1, born)

    def end(self, v: int, share: float) -> None:
        size = spacing.extent(self.columns, self.t, v, [math.nan] * self.d)
        w = spacing.near_weight(self.columns, self.d)
        near = spacing.nearest(self.columns, self.t, v, self.x) if w else None
        weight = 1.0 - w if near else 1.0
        self.pay(share * weight * (math.log(spacing.extent(self.columns, self.t, v, self.x)) - math.log(size)), v)
        if near:
            self.compare(share * w, v, near, spacing.among(self.columns, self.t, v, self.d) or (size, {}))

    def compare(self, share: float, v: int, near: tuple[float, int], others: tuple[float, dict[int, float]]) -> None:
        """Pay by how much farther x is from its nearest clean point, by feature, than such points from each other."""
        point = spacing.stored(self.columns, self.t, near[1], self.d)
        steps = spacing.steps_apart(self.columns, self.t, self.x, point)
        usual = {j: part for j, part in others[1].items() if not math.isnan(self.x[j])}
        total = sum(usual.values())
        more = {j: steps.get(j, 0.0) - part * (others[0] - spacing.FLOOR) / (total or 1.0) for j, part in usual.items()}
        amount = share * (math.log(near[0]) - math.log(others[0]))
        for j, part in more.items():
            if part:
                self.parts[j, int(self.x[j] > point[j])] += amount * part / (near[0] - others[0])


def contributions(columns: dict, t: int, x: Row, score: str) -> tuple[np.ndarray, float]:
    """One tree's (d, 2) contributions and its V(root)."""
    split, root = Split(columns, t, x, score), int(columns["header"][t, 0])
    split.walk(root, 1.0, 0, 0.0)
    return split.parts, split.mean(root)


def mean_contributions(columns: dict, x: Row, score: str) -> tuple[np.ndarray, float]:
    """Over the trees, none of them empty."""
    found = [contributions(columns, t, x, score) for t in range(len(columns["header"]))]
    return np.mean([parts for parts, _ in found], axis=0), float(np.mean([root for _, root in found]))
