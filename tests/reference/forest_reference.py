"""A Mondrian tree and its scores, slow and obvious: the oracle of the native core.

Nothing here comes from the package. The tree follows Lakshminarayanan, Roy and Teh (2014): Algorithms
1-2 (``build``) and 3-4 (``insert``, one exponential wait at every node of the path), with infinite
lifetime and a leaf for every distinct point; ``remove`` is their restriction to the survivors.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

Point = tuple[float, ...]


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
        child = self.left if x[self.feature] <= self.threshold else self.right
        assert child is not None
        return child


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
        node.lower = tuple(map(min, node.left.lower, node.right.lower))
        node.upper = tuple(map(max, node.left.upper, node.right.upper))

    # -- operations ----------------------------------------------------------------------------------

    def build(self, points: Sequence[Point]) -> MondrianTree:
        self.root = self._build(list(points), None)
        return self

    def _build(self, points: list[Point], parent: Node | None) -> Node:
        node = Node(tuple(map(min, *points, points[0])), tuple(map(max, *points, points[0])), parent)
        node.count = len(points)
        sides = [high - low for low, high in zip(node.lower, node.upper, strict=True)]
        if sum(sides) == 0:
            return node
        node.time = node.born + self.random.expovariate(sum(sides))
        node.feature = f = self.draw_feature(sides)
        node.threshold = self.random.uniform(node.lower[f], node.upper[f])
        node.left = self._build([x for x in points if x[f] <= node.threshold], node)
        node.right = self._build([x for x in points if x[f] > node.threshold], node)
        return node

    def insert(self, x: Point) -> None:
        if self.root is None:
            self.root = Node(x, x, None)
            return
        node = self.root
        while True:
            below = [max(low - value, 0.0) for low, value in zip(node.lower, x, strict=True)]
            above = [max(value - high, 0.0) for high, value in zip(node.upper, x, strict=True)]
            outside = [a + b for a, b in zip(below, above, strict=True)]
            if sum(outside) > 0:
                wait = self.random.expovariate(sum(outside))
                if wait < self.lifetime(node):
                    self._split_above(node, x, outside, node.born + wait)
                    return
            node.lower = tuple(map(min, node.lower, x))
            node.upper = tuple(map(max, node.upper, x))
            node.count += 1
            if node.is_leaf:
                return
            node = node.child_of(x)

    def _split_above(self, node: Node, x: Point, outside: list[float], time: float) -> None:
        above = Node(tuple(map(min, node.lower, x)), tuple(map(max, node.upper, x)), node.parent)
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
        node = self.root
        while not node.is_leaf:
            node = node.child_of(x)
        assert node.lower == x == node.upper
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


def _statistics(feature: int, threshold: float, time: float, depths: list[int],
                points: Sequence[Point]) -> dict[str, float]:
    goes_left = sum(1 << i for i, x in enumerate(points) if x[feature] <= threshold)
    return {"feature": feature, "threshold": threshold, "time": time, "split": goes_left,
            "first_depth": depths[0], "last_depth": depths[-1], "total_depth": sum(depths)}


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
    v, depth = int(columns["header"][t, 0]), 0
    while v >= 0:
        feature, threshold, left, right = cut(v, columns, t)
        v, depth = (left if x[feature] <= threshold else right), depth + 1
    return depth + hidden_depth(float(columns["leaf_mass"][t, ~v]))


def insertion_depth(columns: dict, t: int, x: Point) -> float:
    """Expected depth of x if it were inserted: separated at a node, it would hang one below."""
    v, depth, expected, reached, born = int(columns["header"][t, 0]), 0, 0.0, 1.0, 0.0
    while v >= 0:
        lower, upper = columns["lower"][t, v], columns["upper"][t, v]
        outside = _distance(x, lower.tolist(), upper.tolist())
        time = float(columns["time"][t, v])
        separates = -math.expm1(-outside * (time - born)) if outside > 0 else 0.0
        expected += reached * separates * (depth + 1)
        reached *= 1.0 - separates
        feature, threshold, left, right = cut(v, columns, t)
        v, depth, born = (left if x[feature] <= threshold else right), depth + 1, time
    point = columns["points"][columns["leaf_point"][t, ~v]].tolist()
    if _distance(x, point, point) > 0:
        return expected + reached * (depth + 1)
    return expected + reached * (depth + hidden_depth(float(columns["leaf_mass"][t, ~v])))


def _distance(x: Point, lower: Sequence[float], upper: Sequence[float]) -> float:
    return sum(max(low - value, value - high, 0.0)
               for value, low, high in zip(x, lower, upper, strict=False))


def mean_depths(columns: dict, rows: Sequence[Point], score: str) -> list[float]:
    """Each row's mean depth over the trees; a tree without points adds nothing."""
    depth_of = leaf_depth if score == "depth" else insertion_depth
    trees = [t for t in range(len(columns["header"])) if columns["header"][t, 1] > 0]
    return [math.fsum(depth_of(columns, t, x) for t in trees) / len(columns["header"]) for x in rows]


def mean_norm(columns: dict) -> float:
    """The mean over the trees of c(mass)."""
    n_trees = len(columns["header"])
    return math.fsum(hidden_depth(tree_mass(columns, t)) for t in range(n_trees)) / n_trees
