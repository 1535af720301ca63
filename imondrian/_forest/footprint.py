"""How many bytes a forest takes, before it takes them: those of its columns, as their table says."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from imondrian import _core

from .schema import kinds_of, padded_width

BLOCK = 256  # rows the core learns at a time
# Room for what is not in the forest's columns: Python objects, numpy's headers.
OBJECTS = 16_384


class _Places(NamedTuple):
    """Bytes of a place in all columns of a kind, by what it is a place for (``Of`` in ``native/columns.hpp``)."""

    node: int = 0
    leaf: int = 0
    tree: int = 0
    member: int = 0
    row: int = 0
    group: int = 0
    forest: int = 0


class Layout(NamedTuple):
    """What decides the size of a slot, a row and a tree."""

    n_trees: int
    n_features: int
    itemsize: int
    memory: int = 0  # UNBOUNDED, SLIDING or RESERVOIR
    spaced: bool = False  # for spacing scores
    boxes: bool = True
    updates: bool = True  # False while a fitted forest has learnt nothing more
    nominal: int = 0  # features that are
    timed: bool = False  # a window by age

    def size(self, slots: int, rows: int) -> int:
        """Return the bytes of a forest with room for ``slots`` leaves a tree and ``rows`` stored points."""
        each = _places(self)
        groups = 1 + -(-self.n_trees // _core.TREES_ABREAST)
        tree = each.tree + slots * (each.node + each.leaf) + max(slots - 1, 0) * each.member + self._levels(slots)
        return each.forest + groups * each.group + self.n_trees * tree + rows * each.row

    def _levels(self, slots: int) -> int:
        """Return the bytes of a tree's tables of levels (``native/tree/levels.hpp``), which spacings ask for."""
        return 8 * self.nominal * _core.level_words(slots) if self.spaced else 0

    def window_rows(self, points: int) -> int:
        """Return the stored rows that always suffice for windows of ``points``."""
        return max(points + 2 * BLOCK, self.n_trees * points + BLOCK)

    def window_size(self, points: int) -> int:
        """Return the most bytes that a forest with windows of ``points`` ever takes."""
        return self.size(points + 1, self.window_rows(points))

    def window_that_fits(self, max_bytes: int) -> int:
        """Return the largest window within ``max_bytes``, 0 if there is none."""
        low, high = 0, max(max_bytes, 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.window_size(middle) <= max_bytes else (low, middle - 1)
        return low

    def slots_that_fit(self, max_bytes: int, slots: int, rows: int) -> int:
        """Return how many slots fit if every further one brings a stored row along; ``slots`` with ``rows`` fit."""
        each = _places(self)
        levels = 16 * self.nominal * self.spaced  # at most, as tables grow
        left = max_bytes - self.size(slots, rows) - self.n_trees * 2 * levels
        return slots + left // (self.n_trees * (each.node + each.leaf + each.member + levels) + each.row)


@lru_cache(256)
def _places(layout: Layout) -> _Places:
    real = np.dtype(f"f{layout.itemsize}")
    width = padded_width(layout.n_features, real)
    kinds = kinds_of(
        layout.memory,
        boxes=layout.boxes,
        spaced=layout.spaced,
        mixed=layout.nominal > 0,
        learning=layout.updates,
        timed=layout.timed,
    )
    found = dict.fromkeys(_Places._fields, 0)
    for column in _core.COLUMNS:
        if column.when in kinds:
            each = column.values(width, _core.bag_size(layout.n_features))
            found[column.of] += each * column.dtype(real).itemsize
    return _Places(**found)
