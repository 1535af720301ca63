"""The trees of a forest as small tables, for formats that other libraries read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imondrian import _core

from .columns import ForestColumns


@dataclass(frozen=True, slots=True)
class TreeTable:
    """One tree: n nodes, the root first and parents before their children, and n + 1 leaves.

    A tree that is a lone leaf, or empty, has one cut between equal leaves: it always has a root.
    """

    feature: np.ndarray  # (n,), int64
    threshold: np.ndarray  # (n,), the forest's precision; x <= threshold goes left
    child: np.ndarray  # (n, 2), int64: left and right, a node or ~leaf
    heavier_left: np.ndarray  # (n,), bool: the left child weighs as much as the right one, or more
    leaf_depth: np.ndarray  # (n + 1,), float64: depth + c(mass)


def tree_tables(forest: ForestColumns) -> list[TreeTable]:
    """Return the cuts of every tree, and the depth that each of its leaves stands for."""
    return [
        _table(
            {
                name: column[t]
                for name, column in forest.columns.items()
                if name in ("header", "feature", "threshold", "child", "mass", "leaf_mass")
            }
        )
        for t in range(forest.n_trees)
    ]


def _table(tree: dict[str, np.ndarray]) -> TreeTable:
    root, n_leaves = tree["header"][:2]
    if n_leaves < 2:
        depth = _core.hidden_depth(float(tree["leaf_mass"][~root])) if n_leaves else 0.0
        return TreeTable(
            np.zeros(1, np.int64),
            np.zeros(1, tree["threshold"].dtype),
            np.array([[~0, ~1]]),
            np.ones(1, bool),
            np.full(2, depth),
        )
    slot, level = _level_order(tree["child"], int(root))
    number = np.full(len(tree["feature"]), -1, np.int64)
    number[slot] = np.arange(len(slot))
    below = tree["child"][slot].astype(np.int64)
    is_leaf = below < 0
    mass = np.where(is_leaf, tree["leaf_mass"][np.where(is_leaf, ~below, 0)], tree["mass"][np.where(is_leaf, 0, below)])
    hidden = np.array([_core.hidden_depth(m) for m in mass[is_leaf].tolist()])
    child = np.where(is_leaf, 0, number[below])
    child[is_leaf] = ~np.arange(len(hidden))
    return TreeTable(
        tree["feature"][slot].astype(np.int64),
        tree["threshold"][slot],
        child,
        mass[:, 0] >= mass[:, 1],
        np.broadcast_to(level[:, None], below.shape)[is_leaf] + 1.0 + hidden,
    )


def _level_order(child: np.ndarray, root: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the slots of a tree's nodes, level by level, and their levels."""
    slots, levels = [np.array([root])], [np.zeros(1)]
    while len(slots[-1]):
        below = child[slots[-1]].ravel()
        slots.append(below[below >= 0])
        levels.append(np.full(len(slots[-1]), float(len(levels))))
    return np.concatenate(slots), np.concatenate(levels)
