"""The spacing score, slow and obvious: the oracle of the native one. Nothing here comes from the package.

It reads a forest's columns, but never a stored box: boxes are computed from the points below a node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from reference import forest_reference as slow

ENOUGH_CLEAN, FLOOR, ODD_CONSTANT, MOST = 4.0, 0.1, 3.0, 2.0**1000
Row = Sequence[float]


def flagged_share(columns: dict) -> float:
    return 0.05 if columns["bag"].shape[1] == 64 else 0.2


def clean_of(columns: dict, t: int, v: int) -> float:
    return float(columns["clean"][t, v] if v >= 0 else columns["leaf_clean"][t, ~v])


def clean_needed(total: float) -> float:
    """Four, or all but one where there are fewer than five."""
    return min(max(total - 1.0, 1.0), ENOUGH_CLEAN)


def needed_in(columns: dict, t: int) -> float:
    return clean_needed(clean_of(columns, t, int(columns["header"][t, 0])))


def children(columns: dict, t: int, v: int) -> list[int]:
    return columns["child"][t, v].tolist()


def leaves_below(columns: dict, t: int, v: int) -> list[int]:
    return [~v] if v < 0 else [leaf for c in children(columns, t, v) for leaf in leaves_below(columns, t, c)]


def seen_features(columns: dict, t: int, d: int) -> list[int]:
    bag = [int(j) for j in columns["bag"][t] if j >= 0]
    return bag if bag and d > len(columns["bag"][t]) else list(range(d))


def extent(columns: dict, t: int, v: int, x: Row) -> float:
    """The floor, and the sides, in units, of the box of the points below v after x has joined them."""
    rows = columns["points"][columns["leaf_point"][t, leaves_below(columns, t, v)]].astype(np.float64)
    total = FLOOR
    for j in seen_features(columns, t, len(x)):
        values = [value for value in rows[:, j] if not math.isnan(value)]
        if not values:
            continue
        rate = float(columns["rate"][t, j])
        if rate == 0.0:  # constant in this tree: three units for whatever is different
            total += ODD_CONSTANT * (not math.isnan(x[j]) and x[j] != values[0])
            continue
        values += [x[j]] * (not math.isnan(x[j]))
        total += (max(values) - min(values)) * rate
    return total if total < MOST else MOST


# -- wide forests: distances to the nearest clean points ----------------------------------------------------


def near_weight(columns: dict, d: int) -> float:
    return 1.0 - 64.0 / d if columns["bag"].shape[1] == 64 else 0.0


def stored(columns: dict, t: int, leaf: int, d: int) -> list[float]:
    return columns["points"][columns["leaf_point"][t, leaf], :d].astype(np.float64).tolist()


def steps_apart(columns: dict, t: int, a: Row, b: Row) -> dict[int, float]:
    """What each feature that the tree sees and both have adds to their distance, as if they had all."""
    seen = seen_features(columns, t, len(a))
    shared = [j for j in seen if not math.isnan(a[j]) and not math.isnan(b[j])]
    rate = {j: float(columns["rate"][t, j]) for j in shared}
    return {
        j: (abs(a[j] - b[j]) * rate[j] if rate[j] else ODD_CONSTANT * (a[j] != b[j])) * len(seen) / len(shared)
        for j in shared
    }


def nearest(columns: dict, t: int, v: int, x: Row, but: int | None = None) -> tuple[float, int] | None:
    """The floor and the distance to the nearest other clean point below v, and its leaf."""
    best = None
    for leaf in leaves_below(columns, t, v):
        if leaf != but and columns["leaf_clean"][t, leaf] > 0:
            point = stored(columns, t, leaf, len(x))
            steps = steps_apart(columns, t, x, point)
            if columns["leaf_clean"][t, leaf] <= 1 and np.array_equal(x, point, equal_nan=True):
                continue  # the point itself
            away = FLOOR + math.fsum(steps.values())
            if steps and (best is None or away < best[0]):
                best = away, leaf
    return best


def among(columns: dict, t: int, v: int, d: int) -> tuple[float, dict[int, float]] | None:
    """How far up to four clean points below v are from the nearest other one, on average, and by feature."""
    clean = [leaf for leaf in leaves_below(columns, t, v) if columns["leaf_clean"][t, leaf] > 0]
    found, parts = [], dict.fromkeys(range(d), 0.0)
    for i in range(some := min(len(clean), 4)):
        own = clean[i * len(clean) // some]
        x = stored(columns, t, own, d)
        if columns["leaf_clean"][t, own] > 1:  # its copies
            found.append(FLOOR)
        elif other := nearest(columns, t, v, x, own):
            found.append(other[0])
            for j, step in steps_apart(columns, t, x, stored(columns, t, other[1], d)).items():
                parts[j] += step
    return (sum(found) / len(found), {j: part / len(found) for j, part in parts.items()}) if found else None


def value(columns: dict, t: int, v: int, x: Row, but: int | None = None) -> float:
    """What x gets in the box of v."""
    d, log_extent = len(x), math.log(extent(columns, t, v, x))
    w = near_weight(columns, d)
    if not w:
        return log_extent
    if near := nearest(columns, t, v, x, but):
        return (1 - w) * log_extent + w * math.log(near[0])
    nothing = [math.nan] * d
    return log_extent + usual(columns, t, v, d) - math.log(extent(columns, t, v, nothing))


def usual(columns: dict, t: int, v: int, d: int) -> float:
    """What points stored below v get if they end in its box, on average."""
    log_size, w = math.log(extent(columns, t, v, [math.nan] * d)), near_weight(columns, d)
    others = among(columns, t, v, d) if w else None
    return (1 - w) * log_size + w * math.log(others[0]) if others else log_size


def spacing(columns: dict, t: int, x: Row) -> float:
    """What x gets in the smallest box on its way with enough clean mass, less what that way gains."""

    def below(v: int) -> float:
        if v < 0:
            return value(columns, t, v, x)
        c = slow.way(columns, t, v, x)
        found = below(c) if clean_of(columns, t, c) >= needed else value(columns, t, v, x)
        return found - slow.gain(columns, t, v, x, c, lambda columns, t, v, c: mean_size(columns, t, v, c, len(x)))

    root, needed = int(columns["header"][t, 0]), needed_in(columns, t)
    return below(root) if clean_of(columns, t, root) >= needed else value(columns, t, root, x)


def mean_size(columns: dict, t: int, v: int, child: int, d: int) -> float:
    """Log size of the box that a point stored below that child of v gets itself, on average over their masses."""
    needed = needed_in(columns, t)

    def total(up: int, at: int) -> float:
        if clean_of(columns, t, at) < needed:
            return slow.mass_of(columns, t, at) * usual(columns, t, up, d)
        if at < 0:
            return slow.mass_of(columns, t, at) * math.log(FLOOR)
        return math.fsum(total(at, c) for c in children(columns, t, at))

    return total(v, child) / slow.mass_of(columns, t, child)


def mean_spacing(columns: dict, x: Row) -> float:
    """Over the trees that hold any point; NaN if there are none."""
    trees = [t for t in range(len(columns["header"])) if columns["header"][t, 1] > 0]
    return math.fsum(spacing(columns, t, x) for t in trees) / len(trees) if trees else math.nan


def excess(value: float, usual: Sequence[float]) -> float:
    """How far above the usual: -1 at its median, 0 where the unusual begins."""
    q25, q50, q75, q90 = np.quantile(usual, [0.25, 0.5, 0.75, 0.9])
    return (value - q50) / max(min(q50 + 2 * (q75 - q25), q90) - q50, 0.25) - 1.0


def score(value: float, usual: Sequence[float]) -> float:
    return 1.0 / (1.0 + 4.0 ** -min(max(excess(value, usual), -500.0), 500.0))


# -- a batch: who is flagged, and what is usual ----------------------------------------------------------


def holdings(columns: dict) -> dict[bytes, dict[int, int]]:
    """The leaf that holds each distinct point, by tree."""
    held: dict[bytes, dict[int, int]] = {}
    for t, (_, n_leaves) in enumerate(columns["header"][:, :2].tolist()):
        if n_leaves:
            for leaf in leaves_below(columns, t, int(columns["header"][t, 0])):
                held.setdefault(columns["points"][columns["leaf_point"][t, leaf]].tobytes(), {})[t] = leaf
    return held


def levels(columns: dict, t: int, leaf: int) -> int:
    up, n = int(columns["leaf_parent"][t, leaf]), 0
    while up >= 0:
        up, n = int(columns["parent"][t, up]), n + 1
    return n


def flagged_points(columns: dict, d: int) -> set[bytes]:
    """Of all points held, the shallowest fifth (by copies), their own copy left out of every leaf's mass.

    Not so values of many copies that are as deep as others of that kind.
    """
    dtype, n_trees = columns["points"].dtype, len(columns["header"])
    depth, mass = {}, {}
    for point, leaf_in in holdings(columns).items():
        x = np.frombuffer(point, dtype)[:d].tolist()
        depth[point] = round(
            2.0**20
            * math.fsum(
                levels(columns, t, leaf_in[t]) + slow.hidden_depth(float(columns["leaf_mass"][t, leaf_in[t]]) - 1.0)
                if t in leaf_in
                else slow.leaf_depth(columns, t, x)
                for t in range(n_trees)
            )
        )
        mass[point] = max(float(columns["leaf_mass"][t, leaf]) for t, leaf in leaf_in.items())
    total, passed, least = sum(mass.values()), 0.0, -math.inf
    for point in sorted(depth, key=depth.get):
        passed += mass[point]
        if passed > flagged_share(columns) * total:
            least = depth[point]
            break
    flagged = {point for point in depth if depth[point] < least}
    return flagged - like_those_kept(columns, flagged, depth)


def like_those_kept(columns: dict, flagged: set[bytes], depth: dict[bytes, int]) -> set[bytes]:
    """Which of the flagged points that are five or more are as deep as others of that kind that are kept."""
    held, above, n_trees = holdings(columns), {}, len(columns["header"])
    for point, leaf_in in held.items():
        if max(float(columns["leaf_mass"][t, leaf]) for t, leaf in leaf_in.items()) >= ENOUGH_CLEAN + 1.0:
            above[point] = sum(levels(columns, t, leaf) for t, leaf in leaf_in.items()) / len(leaf_in)
    kept = [point for point in above if point not in flagged]
    if not kept:
        return set()
    first = min(depth[point] for point in kept)
    level = max(above[point] for point in kept if depth[point] == first)
    return {
        point
        for point in flagged & above.keys()
        if first - depth[point] <= round(2.0**20 * 2.0 * math.sqrt((above[point] + level) * n_trees))
    }


def usual_spacings(columns: dict, d: int) -> list[float]:
    """The mean spacing of each copy of each point, where every tree holds all: without one copy of it."""
    found = []
    for point, leaf_in in holdings(columns).items():
        x, total = np.frombuffer(point, columns["points"].dtype)[:d].tolist(), 0.0
        for t, leaf in leaf_in.items():
            v, up, own = ~leaf, int(columns["leaf_parent"][t, leaf]), float(columns["leaf_clean"][t, leaf] > 0)
            needed = clean_needed(clean_of(columns, t, int(columns["header"][t, 0])) - own)
            while up >= 0 and clean_of(columns, t, v) - own < needed:
                v, up = up, int(columns["parent"][t, up])
            alone = leaf if columns["leaf_clean"][t, leaf] <= 1 else None
            total += value(columns, t, v, x, alone)
        found += [total / len(leaf_in)] * round(float(columns["leaf_mass"][0, leaf_in[0]]))
    return found


# -- a stream --------------------------------------------------------------------------------------------


class Remembered:
    """The last values: at first the later half of all, at least 32 and at most 512."""

    def __init__(self) -> None:
        self.all: list[float] = []
        self.held = 0

    def add(self, value: float) -> None:
        self.held = min(self.held + 1, min(max(len(self.all) // 2, 32), 512))
        self.all.append(value)

    @property
    def values(self) -> list[float]:
        return self.all[len(self.all) - self.held :]


class Judge:
    """One group of trees: flags an arrival by the rank of its mean depth among the last ones."""

    def __init__(self) -> None:
        self.recent = Remembered()

    def flags(self, columns: dict, trees: Sequence[int], x: Row) -> bool:
        depths = [slow.leaf_depth(columns, t, x) for t in trees if columns["header"][t, 1] > 0]
        if not depths:
            return False
        depth, before = math.fsum(depths) / len(depths), self.recent.values
        self.recent.add(depth)
        return len(before) >= 32 and depth < np.quantile(before, flagged_share(columns))
