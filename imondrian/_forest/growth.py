"""How the columns of a forest grow when points come: leaves in every tree, rows in the store they share."""

from __future__ import annotations

import numpy as np

from .columns import ForestColumns
from .schema import COLUMNS, UNBOUNDED, filled

_TREES_AT_ONCE = 32


class GrowingColumns(ForestColumns):
    """Columns with room made for what is learnt, within the bytes that were promised."""

    _max_rows: int | None = None  # of an unbounded store, while max_bytes limits it

    def _make_room(self, n_more: int, max_bytes: int | None) -> None:
        """Let every tree of an unbounded forest take ``n_more`` leaves, within ``max_bytes`` of columns."""
        old = self.columns["feature"].shape[1]
        slots = max(old, int(self.n_leaves.max()) + n_more)
        most = self._max_rows = None
        self._limit_bytes(max_bytes)
        if max_bytes is not None:
            rows = max(len(self.columns["points"]), int(np.count_nonzero(self._referenced())) + n_more)
            layout = self.layout._replace(boxes=True, updates=True)
            if layout.size(slots, rows) > max_bytes:
                raise MemoryError(
                    f"max_bytes leaves {max(max_bytes, 0)} for trees and points, too little for {n_more} "
                    f"more points: they may need {layout.size(slots, rows)}; nothing was learnt"
                )
            most = layout.slots_that_fit(max_bytes, slots, rows)
            self._max_rows = rows + most - slots
        if slots > old:
            self._grow_slots(max(slots, 2 * old if most is None else min(2 * old, most)))

    def _referenced(self) -> np.ndarray:
        """Return which stored rows some tree holds."""
        if "refs" in self.columns:
            return self.columns["refs"] > 0
        return np.bincount(self.columns["leaf_point"][self._live_leaves()], minlength=len(self.columns["points"])) > 0

    def _grow_slots(self, capacity: int) -> None:
        old = self.columns["feature"].shape[1]
        columns = {}
        for name, column in self.columns.items():
            told = COLUMNS[name]
            if told.of in ("node", "leaf"):
                shape = (len(column), capacity, *column.shape[2:])
                columns[name] = grown = filled(shape, told.empty, column.dtype)
                for first in range(0, len(column), _TREES_AT_ONCE):  # between them signals are heard
                    some = slice(first, first + _TREES_AT_ONCE)
                    grown[some, :old] = column[some]
        self._replace(columns)

    def _grow_rows(self, n_more: int) -> None:
        old = len(self.columns["points"])
        n_rows = max(old + n_more, old + old // 2)
        most = self._max_rows
        if self.memory != UNBOUNDED:
            most = self.layout.window_rows(self.columns["member_leaf"].shape[1])
        if most is not None:
            n_rows = max(old + 1, min(n_rows, most))  # `most` is enough, sweeping included
        if n_rows > np.iinfo(np.int32).max:
            raise MemoryError(f"a forest stores at most {np.iinfo(np.int32).max} points, not {n_rows}")
        columns = self._narrowed(self._width_for_rows(n_rows - old))
        for name, column in {**self.columns, **columns}.items():
            told = COLUMNS[name]
            if told.of == "row":
                columns[name] = grown = filled((n_rows, *column.shape[1:]), told.empty, column.dtype)
                grown[:old] = column
        self._replace(columns)

    def _width_for_rows(self, n_more: int) -> int:
        """Return the width of rows that leaves bytes for ``n_more`` of them: room for features is given up."""
        width, most = self.columns["points"].shape[1], self._most_bytes(self.columns)
        if width > self.padded and most is not None:
            held = sum(column.nbytes for column in self.columns.values())
            if held + n_more * (width * self.dtype.itemsize + 8) > most:
                return self.padded
        return width

    def _narrowed(self, width: int) -> dict[str, np.ndarray]:
        """Return the columns that change if rows are to have ``width``."""
        if width == self.columns["points"].shape[1]:
            return {}
        stay = np.arange(self.n_features, dtype=np.int32)
        return {name: self._at_width(name, width, stay) for name in self.columns if COLUMNS[name].padded}
