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


def contributions(columns: dict, t: int, x: Row, score: str) -> tuple[np.ndarray, float]:
    """One tree's (d, 2) contributions and its V(root)."""
    d = len(x)
    parts = np.zeros((d, 2))

    def mean(v: int) -> float:
        return stored_mean(columns, t, v, score, d)

    def pay(amount: float, v: int) -> None:
        outside = far(columns, t, v, x, score)
        if outside.sum() > 0:
            parts[:] += amount * outside / outside.sum()

    def walk(v: int, share: float, depth: int, born: float) -> None:
        if score == "spacing" and (v < 0 or spacing.clean_of(columns, t, v) < spacing.needed_in(columns, t)):
            end(v, share)
            return
        if score == "insertion":
            time = float(columns["time"][t, v]) if v >= 0 else math.inf
            outside = far(columns, t, v, x, score).sum()
            separated = -math.expm1(-outside * (time - born)) if outside > 0 else 0.0
            pay(share * separated * (depth + 1 - mean(v)), v)
            share, born = share * (1.0 - separated), time
        if v < 0:
            return
        feature, threshold, _, _ = slow.cut(v, columns, t)
        child = slow.way(columns, t, v, x)
        if not math.isnan(x[feature]):
            parts[feature, int(x[feature] > threshold)] += share * (mean(child) - mean(v))
        if score == "spacing" and spacing.clean_of(columns, t, child) < spacing.needed_in(columns, t):
            end(v, share)
        else:
            walk(child, share, depth + 1, born)

    def end(v: int, share: float) -> None:
        size = spacing.extent(columns, t, v, [math.nan] * d)
        w = spacing.near_weight(columns, d)
        near = spacing.nearest(columns, t, v, x) if w else None
        weight = 1.0 - w if near else 1.0
        pay(share * weight * (math.log(spacing.extent(columns, t, v, x)) - math.log(size)), v)
        if near:
            compare(share * w, x, v, near, spacing.among(columns, t, v, d) or (size, {}))

    def compare(share: float, x: Row, v: int, near: tuple[float, int], others: tuple[float, dict[int, float]]) -> None:
        """Pay by how much farther x is from its nearest clean point, by feature, than such points from each other."""
        point = spacing.stored(columns, t, near[1], d)
        steps = spacing.steps_apart(columns, t, x, point)
        usual = {j: part for j, part in others[1].items() if not math.isnan(x[j])}
        total = sum(usual.values())
        more = {j: steps.get(j, 0.0) - part * (others[0] - spacing.FLOOR) / (total or 1.0) for j, part in usual.items()}
        amount = share * (math.log(near[0]) - math.log(others[0]))
        for j, part in more.items():
            if part:
                parts[j, int(x[j] > point[j])] += amount * part / (near[0] - others[0])

    root = int(columns["header"][t, 0])
    walk(root, 1.0, 0, 0.0)
    return parts, mean(root)


def mean_contributions(columns: dict, x: Row, score: str) -> tuple[np.ndarray, float]:
    """Over the trees, none of them empty."""
    found = [contributions(columns, t, x, score) for t in range(len(columns["header"]))]
    return np.mean([parts for parts, _ in found], axis=0), float(np.mean([root for _, root in found]))
