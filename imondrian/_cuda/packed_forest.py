"""Trees as the kernel of leaf depths reads them (``kernels/leaf_depth.cu``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imondrian import _core

_LINK_BITS = 32  # of a narrow node, for the first child and the feature


@dataclass(frozen=True, slots=True)
class PackedForest:
    """All trees, one after another.

    A tree is its nodes, one word each (two where ``wide``), then their values, one word each, rounded up to an
    even number of words.
    """

    words: np.ndarray  # uint64
    starts: np.ndarray  # (n_trees + 1,), int64: first word of each tree
    feature_bits: int
    wide: bool
    height: int  # levels below the highest root

    @property
    def tree_bytes(self) -> np.ndarray:
        """Bytes of each tree, (n_trees,)."""
        return np.diff(self.starts) * 8


def hidden_depths(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return c(mass) of every leaf slot, (n_trees, capacity): the core's own numbers."""
    mass, which = np.unique(columns["leaf_mass"], return_inverse=True)
    return np.array([_core.hidden_depth(m) for m in mass])[which].reshape(columns["leaf_mass"].shape)


def pack(columns: dict[str, np.ndarray], n_features: int) -> PackedForest:
    """Pack all trees at once, level by level."""
    header = columns["header"]
    n_slots = np.maximum(2 * header[:, _core.LEAVES].astype(np.int64) - 1, 1)  # an empty tree: a leaf of depth 0
    offsets = np.concatenate([[0], np.cumsum(n_slots)])
    threshold = np.full(offsets[-1], np.nan, columns["threshold"].dtype)
    feature, child = np.zeros((2, offsets[-1]), np.uint64)
    value = np.zeros(offsets[-1])
    hidden = hidden_depths(columns)
    tree = np.flatnonzero(header[:, _core.LEAVES])
    node, slot = header[tree, _core.ROOT], np.zeros(len(tree), np.int64)
    free = np.ones(len(header), np.int64)
    depth = 0
    while len(tree):
        at, inner = offsets[tree] + slot, node >= 0
        leaf_tree, leaf = tree[~inner], ~node[~inner]
        value[at[~inner]] = depth + hidden[leaf_tree, leaf]
        child[at[~inner]] = slot[~inner].astype(np.uint64)  # leads back to itself: NaN is never exceeded
        tree, node, at = tree[inner], node[inner], at[inner]
        rank = np.arange(len(tree)) - np.searchsorted(tree, tree)  # trees stay in order
        first = free[tree] + 2 * rank
        free += 2 * np.bincount(tree, minlength=len(free))
        child[at], feature[at] = first.astype(np.uint64), columns["feature"][tree, node].astype(np.uint64)
        threshold[at] = columns["threshold"][tree, node]
        node, slot = columns["child"][tree, node].reshape(-1), np.stack([first, first + 1], axis=1).reshape(-1)
        tree = np.repeat(tree, 2)
        depth += len(tree) > 0
    bits = (n_features - 1).bit_length()
    wide = threshold.dtype == np.float64 or int(n_slots.max()) << bits > 1 << _LINK_BITS
    words, starts = _words(n_slots, threshold, child << np.uint64(bits) | feature, value, wide)
    return PackedForest(words, starts, bits, wide, depth)


def _words(
    n_slots: np.ndarray, threshold: np.ndarray, link: np.ndarray, value: np.ndarray, wide: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and values, tree by tree, and where each tree starts."""
    per_node = 1 + wide
    size = n_slots * (per_node + 1)
    starts = np.concatenate([[0], np.cumsum(size + size % 2)])
    words = np.zeros(starts[-1], np.uint64)
    of_tree = np.repeat(np.arange(len(n_slots)), n_slots)
    slot = np.arange(len(of_tree)) - np.repeat(np.cumsum(n_slots) - n_slots, n_slots)
    node = starts[of_tree] + slot * per_node
    bits = threshold.view(f"u{threshold.itemsize}").astype(np.uint64)
    words[node] = bits if wide else link << np.uint64(32) | bits
    if wide:
        words[node + 1] = link
    words[starts[of_tree] + n_slots[of_tree] * per_node + slot] = value.view(np.uint64)
    return words, starts
