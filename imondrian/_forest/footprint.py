"""How many bytes a forest takes, before it takes them.

The counts are those of the columns that ``Forest`` allocates; a test holds them together.
"""

from __future__ import annotations

from typing import NamedTuple

from imondrian import _core

BLOCK = 256  # rows the core learns at a time
# Room for what is not in the forest's columns: Python objects, numpy's headers.
OBJECTS = 16_384

_NODE_AND_LEAF = 48  # bytes of a slot, but for what depends on the precision


class Layout(NamedTuple):
    """What decides the size of a slot, a row and a tree."""

    n_trees: int
    n_features: int
    itemsize: int
    memory: int = 0  # UNBOUNDED, SLIDING or RESERVOIR
    spaced: bool = False  # for spacing scores
    boxes: bool = True
    updates: bool = True  # False while a fitted forest has learnt nothing more

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of ``n_features`` values, padded."""
        lanes = _core.PACK_BYTES // self.itemsize
        return -(-self.n_features // lanes) * _core.PACK_BYTES

    @property
    def slot_bytes(self) -> int:
        """Bytes of one node and one leaf."""
        clean = 16 if self.spaced else 0
        return _NODE_AND_LEAF + clean + self.itemsize + (2 * self.row_bytes if self.boxes else 0)

    @property
    def stored_bytes(self) -> int:
        """Bytes of one point in the shared store."""
        return self.row_bytes + (8 if self.updates else 0)

    @property
    def fixed_bytes(self) -> int:
        """Bytes that depend on neither slots nor rows."""
        tree = 4 * _core.HEADER_SIZE + 32 + 8 * _core.STREAM_SIZE + self.row_bytes
        spaced = 0
        if self.spaced:
            groups = -(-self.n_trees // _core.TREES_ABREAST)
            spaced = self.n_trees * 4 * _core.bag_size(self.n_features) + (groups + 1) * 8 * _core.RECENT_SIZE
        return self.n_trees * tree + spaced + (8 if self.updates else 0)

    def size(self, slots: int, rows: int) -> int:
        """Return the bytes of a forest with room for ``slots`` leaves a tree and ``rows`` stored points."""
        members = (0, 4, 12)[self.memory] * max(slots - 1, 0)
        return self.fixed_bytes + self.n_trees * (slots * self.slot_bytes + members) + rows * self.stored_bytes

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
        left = max_bytes - self.size(slots, rows)
        return slots + left // (self.n_trees * self.slot_bytes + self.stored_bytes)
