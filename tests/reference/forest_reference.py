"""A Mondrian tree and its scores, slow and obvious: the oracle of the native core.

Nothing here comes from the package. The tree follows Lakshminarayanan, Roy and Teh (2014): Algorithms
1-2 (``build``) and 3-4 (``insert``, one exponential wait at every node of the path), with infinite
lifetime and a leaf for every distinct point; ``remove`` is their restriction to the survivors.

A coordinate that is NaN is missing. It extends no box and decides no side: a point that is built or
inserted follows the side with more points (in a build, of those that have the value; ties: left), and
a point that is scored goes one way, drawn in proportion, and what that gains on average is taken off.
Points that agree wherever both have a value may share a leaf, which shows the fullest of them in a
build, else the last that had a value it lacked.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np

Point = tuple[float, ...]


def least(*values: float) -> float:
    """The smallest value present."""
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def most(*values: float) -> float:
    """The largest value present."""
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def gap(x: float, low: float, high: float) -> float:
    """How far x is outside an interval; 0 where anything is missing."""
    return max(a for a in (low - x, x - high, 0.0) if not math.isnan(a))


def present(x: Point) -> list[bool]:
    return [not math.isnan(value) for value in x]


class Node:
    """A box, its cut and its children; a leaf has neither cut nor children."""

    def __init__(self, lower: Point, upper: Point, parent: Node | None) -> None:
        self.lower, self.upper, self.parent = lower, upper, parent
        self.left: Node | None = None
        self.right: Node | None = None
        self.feature, self.threshold, self.time, self.count = -1, math.nan, math.inf, 1

    @property
    def is_leaf(self) -> bool:
        return self.left is None

    @property
    def born(self) -> float:
        return 0.0 if self.parent is None else self.parent.time

    def child_of(self, x: Point) -> Node:
        assert self.left is not None and self.right is not None
        if math.isnan(x[self.feature]):
            return self.right if self.right.count > self.left.count else self.left
        return self.left if x[self.feature] <= self.threshold else self.right


class MondrianTree:
    """One tree with its own generator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.root: Node | None = None

    # -- the three choices, so that tests can make them wrongly -----------------------------------------

    def draw_feature(self, sides: Sequence[float]) -> int:
        return self.random.choices(range(len(sides)), weights=sides)[0]

    def lifetime(self, node: Node) -> float:
        return node.time - node.born

    def tighten(self, node: Node) -> None:
        node.lower = tuple(map(least, node.left.lower, node.right.lower))
        node.upper = tuple(map(most, node.left.upper, node.right.upper))

    # -- operations ----------------------------------------------------------------------------------

    def build(self, points: Sequence[Point]) -> MondrianTree:
        self.root = self._build(list(points), None)
        return self

    def _build(self, points: list[Point], parent: Node | None) -> Node:
        node = Node(tuple(map(least, *points, points[0])), tuple(map(most, *points, points[0])), parent)
        node.count = len(points)
        sides = [gap(high, low, low) for low, high in zip(node.lower, node.upper, strict=True)]
        if sum(sides) == 0:
            node.lower = node.upper = max(points, key=lambda x: (sum(present(x)), present(x)))
            return node
        node.time = node.born + self.random.expovariate(sum(sides))
        node.feature = f = self.draw_feature(sides)
        node.threshold = self.random.uniform(node.lower[f], node.upper[f])
        left = [x for x in points if x[f] <= node.threshold]
        right = [x for x in points if x[f] > node.threshold]
        missing = [x for x in points if math.isnan(x[f])]
        if len(right) > len(left):
            right += missing
        else:
            left += missing
        node.left, node.right = self._build(left, node), self._build(right, node)
        self.tighten(node)
        return node

    def insert(self, x: Point) -> None:
        if self.root is None:
            self.root = Node(x, x, None)
            return
        node, path = self.root, []
        while True:
            outside = [gap(value, low, high) for value, low, high in zip(x, node.lower, node.upper, strict=True)]
            if sum(outside) > 0:
                wait = self.random.expovariate(sum(outside))
                if wait < self.lifetime(node):
                    self._split_above(node, x, outside, node.born + wait)
                    break
            node.count += 1
            if node.is_leaf:
                if any(math.isnan(b) and not math.isnan(a) for a, b in zip(x, node.lower, strict=True)):
                    node.lower = node.upper = x
                break
            path.append(node)
            node = node.child_of(x)
        for above in reversed(path):
            self.tighten(above)

    def _split_above(self, node: Node, x: Point, outside: list[float], time: float) -> None:
        above = Node(tuple(map(least, node.lower, x)), tuple(map(most, node.upper, x)), node.parent)
        above.count, above.time = node.count + 1, time
        above.feature = f = self.draw_feature(outside)
        leaf = Node(x, x, above)
        if x[f] > node.upper[f]:
            above.threshold = self.random.uniform(node.upper[f], x[f])
            above.left, above.right = node, leaf
        else:
            above.threshold = self.random.uniform(x[f], node.lower[f])
            above.left, above.right = leaf, node
        self._replace(node, above)
        node.parent = above

    def remove(self, x: Point) -> None:
        node = self._find(self.root, x)
        if node.count > 1:
            node.count -= 1
            up = node.parent
        elif node.parent is None:
            self.root = None
            return
        else:
            parent = node.parent
            sibling = parent.right if parent.left is node else parent.left
            self._replace(parent, sibling)
            sibling.parent = up = parent.parent
        while up is not None:
            up.count -= 1
            self.tighten(up)
            up = up.parent

    def _find(self, node: Node, x: Point) -> Node | None:
        """A leaf that shows x."""
        if node.is_leaf:
            same = all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(x, node.lower, strict=True))
            return node if same else None
        if math.isnan(x[node.feature]):
            return self._find(node.left, x) or self._find(node.right, x)
        return self._find(node.child_of(x), x)

    def _replace(self, old: Node, new: Node) -> None:
        if old.parent is None:
            self.root = new
        elif old.parent.left is old:
            old.parent.left = new
        else:
            old.parent.right = new


# -- what the laws are tested on: the same numbers from a reference tree and from native columns ---------


def cut(v: int, columns: dict, t: int) -> tuple[int, float, int, int]:
    """Feature, threshold, left and right of node v of tree t."""
    left, right = columns["child"][t, v].tolist()
    return int(columns["feature"][t, v]), float(columns["threshold"][t, v]), left, right


def reference_statistics(tree: MondrianTree, points: Sequence[Point]) -> dict[str, float]:
    """Root cut, which points it sends left, the first point's depth, and the sum of all depths."""
    depths = []
    for x in points:
        node, depth = tree.root, 0
        while not node.is_leaf:
            node, depth = node.child_of(x), depth + 1
        depths.append(depth)
    root = tree.root
    return _statistics(root.feature, root.threshold, root.time, depths, points)


def native_statistics(columns: dict, t: int, points: Sequence[Point]) -> dict[str, float]:
    """The same of tree t of a native forest."""
    depths = []
    for x in points:
        v, depth = int(columns["header"][t, 0]), 0
        while v >= 0:
            feature, threshold, left, right = cut(v, columns, t)
            v, depth = (left if x[feature] <= threshold else right), depth + 1
        depths.append(depth)
    root = int(columns["header"][t, 0])
    feature, threshold, _, _ = cut(root, columns, t)
    return _statistics(feature, threshold, float(columns["time"][t, root]), depths, points)


def _statistics(
    feature: int, threshold: float, time: float, depths: list[int], points: Sequence[Point]
) -> dict[str, float]:
    goes_left = sum(1 << i for i, x in enumerate(points) if x[feature] <= threshold)
    return {
        "feature": feature,
        "threshold": threshold,
        "time": time,
        "split": goes_left,
        "first_depth": depths[0],
        "last_depth": depths[-1],
        "total_depth": sum(depths),
    }


# -- scores: plain walks over a forest's columns ---------------------------------------------------------


def hidden_depth(n: float) -> float:
    """c(n) of Liu, Ting and Zhou (2008), equation 1; a straight line between 1 and 2."""
    if n <= 1:
        return 0.0
    if n <= 2:
        return n - 1.0
    return 2.0 * (math.log(n - 1.0) + 0.5772156649015329) - 2.0 * (n - 1.0) / n


def tree_mass(columns: dict, t: int) -> float:
    root, n_leaves = columns["header"][t, :2].tolist()
    if n_leaves == 0:
        return 0.0
    return float(columns["mass"][t, root] if root >= 0 else columns["leaf_mass"][t, ~root])


def leaf_depth(columns: dict, t: int, x: Point) -> float:
    """The paper's: depth of the leaf that x falls in, plus c of the leaf's mass."""

    def below(v: int, depth: int) -> float:
        if v < 0:
            return depth + hidden_depth(float(columns["leaf_mass"][t, ~v]))
        child = way(columns, t, v, x)
        return below(child, depth + 1) - gain(columns, t, v, x, child, mean_levels)

    return below(int(columns["header"][t, 0]), 0)


def mass_of(columns: dict, t: int, v: int) -> float:
    return float(columns["mass"][t, v] if v >= 0 else columns["leaf_mass"][t, ~v])


def way(columns: dict, t: int, v: int, x: Point) -> int:
    """Where x goes from node v; for want of a value, to a child drawn in proportion to the masses."""
    feature, threshold, left, right = cut(v, columns, t)
    if not math.isnan(x[feature]):
        return left if x[feature] <= threshold else right
    return left if cut_number(columns, t, v) * mass_of(columns, t, v) < mass_of(columns, t, left) else right


def cut_number(columns: dict, t: int, v: int) -> float:
    """The number in [0, 1) of a cut: a hash of its time, without the 40 bits that rounding might touch."""
    wrap = (1 << 64) - 1
    z = ((int(np.float64(columns["time"][t, v]).view(np.uint64)) >> 40) + 0x9E3779B97F4A7C15) & wrap
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & wrap
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & wrap
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53


def gain(columns: dict, t: int, v: int, x: Point, child: int, mean_below: Callable) -> float:
    """What points stored below that child of v have more than those below v, if x came there for want of a value."""
    if not math.isnan(x[int(columns["feature"][t, v])]):
        return 0.0
    children = columns["child"][t, v].tolist()
    mass = [mass_of(columns, t, c) for c in children]
    counts = [mean_below(columns, t, v, c) for c in children]
    return counts[children.index(child)] - (mass[0] * counts[0] + mass[1] * counts[1]) / (mass[0] + mass[1])


def mean_levels(columns: dict, t: int, v: int, child: int) -> float:
    """How far below v the points stored below its child are, on average over their masses, c included."""

    def total(at: int, level: int) -> float:
        if at < 0:
            mass = float(columns["leaf_mass"][t, ~at])
            return mass * (level + hidden_depth(mass))
        return math.fsum(total(c, level + 1) for c in columns["child"][t, at].tolist())

    return total(child, 1) / mass_of(columns, t, child)


def insertion_depth(columns: dict, t: int, x: Point) -> float:
    """Expected depth of x if it were inserted: separated at a node, it would hang one below."""

    def below(v: int, depth: int, born: float) -> float:
        if v < 0:
            point = columns["points"][columns["leaf_point"][t, ~v]].tolist()
            if _distance(x, point, point, columns["rate"][t]) > 0:
                return depth + 1
            return depth + hidden_depth(float(columns["leaf_mass"][t, ~v]))
        outside = _distance(x, columns["lower"][t, v].tolist(), columns["upper"][t, v].tolist(), columns["rate"][t])
        time = float(columns["time"][t, v])
        separates = -math.expm1(-outside * (time - born)) if outside > 0 else 0.0
        child = way(columns, t, v, x)
        on = below(child, depth + 1, time) - gain(columns, t, v, x, child, mean_levels)
        return separates * (depth + 1) + (1.0 - separates) * on

    return below(int(columns["header"][t, 0]), 0, 0.0)


def _distance(x: Point, lower: Sequence[float], upper: Sequence[float], rate: Sequence[float]) -> float:
    return sum(
        gap(value, low, high) * float(per_unit)
        for value, low, high, per_unit in zip(x, lower, upper, rate, strict=False)
    )


def mean_depths(columns: dict, rows: Sequence[Point], score: str) -> list[float]:
    """Each row's mean depth over the trees; a tree without points adds nothing."""
    depth_of = leaf_depth if score == "depth" else insertion_depth
    trees = [t for t in range(len(columns["header"])) if columns["header"][t, 1] > 0]
    return [math.fsum(depth_of(columns, t, x) for t in trees) / len(columns["header"]) for x in rows]


def mean_norm(columns: dict) -> float:
    """The mean over the trees of c(mass)."""
    n_trees = len(columns["header"])
    return math.fsum(hidden_depth(tree_mass(columns, t)) for t in range(n_trees)) / n_trees
