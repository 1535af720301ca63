"""What a forest is made of: numpy columns, how they grow, and what of them is kept in pickles and files.

Their table is ``native/columns.hpp``, the invariants they keep are in ``native/base/view.hpp``; every tree is a
disjoint slice of each column.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Self

import numpy as np

from imondrian import _core

from .footprint import Layout
from .places import keeps_places, move_values, new_places, order_of, room_for, silent_in, with_room
from .schema import (
    COLUMNS,
    EDITIONS_SINCE,
    LEARNING,
    UNBOUNDED,
    begin_rates,
    empty_columns,
    filled,
    kinds_of,
    new_forest,
    nominal_weights,
    padded_width,
)
from .state import check_stream, live_leaves, restored, saved_columns, state_version
from .undo import Undo

UNKNOWN = -1
_DRAWN = ("bag", "rate", "stream", "rng")  # what drawing bags writes to
_BEGUN = ("rate", "nominal", "bit_rate", "level_root", "entropy")  # what new features are given
_TREES_AT_ONCE = 32


class ForestColumns:
    """The columns of Mondrian trees over shared points; :class:`imondrian._forest.forest.Forest` says what can be done.

    Parameters
    ----------
    n_features : int
    dtype : numpy.float32 or numpy.float64
        Precision of points, boxes and thresholds.
    states : ndarray (n_trees, 4), uint64
        Generator states.
    capacity : int
        Leaves a tree has room for; grows by itself while nothing bounds the forest. A bounded tree
        needs one more than it keeps: a point arrives before another one leaves.
    n_rows : int
        Rows the shared store has room for; grows by itself.
    memory : {UNBOUNDED, SLIDING, RESERVOIR}
        What each tree keeps of a stream; the last two keep ``capacity - 1`` points.
    decay : float
        Reservoir: a point's weight falls by ``exp(-decay)`` with every later one. Sliding: a point
        enters a full tree with probability ``1 - exp(-decay)``; 0 means always.
    scaled : bool
        Measure each feature in a unit found by each tree from its own points (``native/tree/scale.hpp``), renewed as
        a stream moves; else cuts fall in proportion to raw ranges.
    boxes : bool
        Keep boxes from the start. Depths and spacings need none; learning fills them in when it needs them.
    spaced : bool
        Keep what the spacing score needs: bags of features, clean masses and recent scores.
    age : float, optional
        Of a window by age, in seconds; ``decay`` is by horizons, learning needs times (``native/stream/clock.hpp``).
    edition : int
        The rules for units and wide data (``native/base/view.hpp``): a forest keeps those it was grown by.
    nominal : ndarray (n_features,), bool, optional
        Which features are nominal: their values are words (``native/base/words.hpp``).
    nominal_weight : float
        How much a nominal feature counts, against a number; above 0.
    """

    _max_rows: int | None = None  # of an unbounded store, while max_bytes limits it
    _max_bytes: int | None = UNKNOWN  # of an unbounded forest's columns
    _undo: Undo | None = None  # while a change is under way that will be undone if it is interrupted
    disposable = False  # whoever interrupts a change of it has no use for what it was before
    n_updates = 0  # calls that may have changed the trees; tells what was derived from them that it is stale

    def __init__(
        self,
        n_features: int,
        dtype: Any,
        states: np.ndarray,
        capacity: int,
        n_rows: int,
        *,
        memory: int = UNBOUNDED,
        decay: float = 0.0,
        scaled: bool = False,
        boxes: bool = True,
        spaced: bool = False,
        age: float | None = None,
        edition: int = _core.EDITION,
        nominal: np.ndarray | None = None,
        nominal_weight: float = 1.0,
    ) -> None:
        self.n_features, self.memory, self.decay, self.scaled = n_features, memory, decay, scaled
        self.edition = edition
        weight = nominal_weights(nominal, nominal_weight)
        kinds = kinds_of(memory, boxes=boxes, spaced=spaced, mixed=weight is not None, timed=age is not None)
        self.columns = new_forest(kinds, n_features, dtype, states, capacity, n_rows, scaled, edition, weight)
        if age is not None:
            self.columns["clock"][_core.HORIZON] = age
        self._renew_view()

    # -- columns -----------------------------------------------------------------------------------

    @property
    def n_trees(self) -> int:
        """Trees in the forest."""
        return len(self.columns["feature"])

    @property
    def dtype(self) -> np.dtype:
        """Precision of points, boxes and thresholds."""
        return self.columns["points"].dtype

    @property
    def spaced(self) -> bool:
        """Whether the forest can give spacing scores."""
        return "clean" in self.columns

    @property
    def nominal(self) -> np.ndarray:
        """Which features are nominal, (n_features,)."""
        weight = self.columns.get("nominal")
        return np.zeros(self.n_features, bool) if weight is None else weight[: self.n_features] > 0

    @property
    def mixed(self) -> bool:
        """Whether some feature is nominal, or might have been."""
        return "nominal" in self.columns

    @property
    def wide(self) -> bool:
        """Whether spacing scores count distances to the nearest clean points, too."""
        return _core.is_wide(self.n_features, self.edition)

    @property
    def n_leaves(self) -> np.ndarray:
        """Distinct points in each tree, (n_trees,)."""
        return self.columns["header"][:, _core.LEAVES]

    @property
    def mass(self) -> float:
        """Mass of the first tree: the points it holds, repeats counted."""
        header = self.columns["header"]
        root, n_leaves = header.item(0), header.item(1)
        if n_leaves == 0:
            return 0.0
        return float(self.columns["mass"].item(root) if root >= 0 else self.columns["leaf_mass"].item(~root))

    @property
    def n_seen(self) -> int:
        """Points learnt one by one so far."""
        return int(self.columns["stream"][0, 0])

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, and of what is kept for rows with missing values, and for nominal features."""
        return _bytes_of(self.columns) + self._view.means_held + self._view.levels_held

    @property
    def layout(self) -> Layout:
        """What decides the size of the columns."""
        return self._layout_of(self.columns)

    def _layout_of(self, columns: dict[str, np.ndarray]) -> Layout:
        return Layout(
            self.n_trees,
            self.n_features,
            self.dtype.itemsize,
            self.memory,
            self.spaced,
            "lower" in columns,
            "refs" in columns,
            int(np.count_nonzero(columns["nominal"])) if "nominal" in columns else 0,
            "clock" in columns,
        )

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + sys.getsizeof(self.columns) + self.nbytes

    def _view_of(self, columns: dict[str, np.ndarray]) -> _core.ForestView:
        view = _core.ForestView(columns, self.n_features, self.memory, self.decay, self.scaled, self.edition)
        view.keeps_means = self._means_fit(view)
        return view

    def _renew_view(self) -> None:
        self._view = self._view_of(self.columns)

    def _means_fit(self, view: _core.ForestView) -> bool:
        """Return whether ``view`` may keep means for rows with missing values, within the bytes that were promised.

        They take the place of what is bounded but not there yet: stored points, boxes. Else they last for one call.
        """
        limit = self._most_bytes(view.columns)
        if self.memory == UNBOUNDED and self._max_bytes != UNKNOWN:
            limit = self._max_bytes
        return limit is None or _bytes_of(view.columns) + view.means_bytes <= limit

    def _empty(self, kind: str, width: int | None = None) -> dict[str, np.ndarray]:
        """Return new columns of a kind that the forest has not had yet."""
        (trees, slots), (rows, old_width) = self.columns["feature"].shape, self.columns["points"].shape
        width = old_width if width is None else width
        return empty_columns(
            frozenset({kind}), self.dtype, trees, slots, width, rows, _core.bag_size(self.n_features, self.edition)
        )

    def ensure_boxes(self, n_threads: int) -> None:
        """Fill the boxes, where a fitted or loaded forest does without them."""
        if "lower" in self.columns:
            return
        # Threads that score may come here together: each fills boxes of its own, all equal, and nobody
        # sees them half filled. The view goes first: who finds boxes in the columns uses it next.
        columns = {**self.columns, **self._empty("boxes")}
        view = self._view_of(columns)
        _core.fill_boxes(view, n_threads)
        self._view = view
        self.columns = columns

    def _replace(self, columns: dict[str, np.ndarray]) -> None:
        """Go on with other columns: all of them, or after an interrupt none."""
        columns = {**self.columns, **columns}
        view = self._view_of(columns)
        self._view, self.columns = view, columns

    def _prepare_updates(self, n_threads: int) -> None:
        """Own every column, and count the leaves of every stored row; keep what can undo what follows."""
        self.n_updates += 1
        if "refs" not in self.columns:
            self._own_columns(n_threads)
        if self._undo is not None and not self._undo.keep():
            self._undo = None

    def _own_columns(self, n_threads: int) -> None:
        self.ensure_boxes(n_threads)
        columns = {name: column if column.flags.writeable else column.copy() for name, column in self.columns.items()}
        live = columns["leaf_point"][self._live_leaves()]
        n_rows = len(columns["points"])
        columns.update(self._empty(LEARNING))
        columns["refs"][...] = np.bincount(live, minlength=n_rows)
        self._replace(columns)

    def _live_leaves(self) -> np.ndarray:
        return live_leaves(self.columns)

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

    def _limit_bytes(self, max_bytes: int | None) -> None:
        """Note the most bytes that the columns of an unbounded forest may take."""
        if max_bytes != self._max_bytes:
            self._max_bytes = max_bytes
            self._view.keeps_means = self._means_fit(self._view)

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

    @property
    def padded(self) -> int:
        """Features that fit in the whole packs that rows need; they may have room for more."""
        return padded_width(self.n_features, self.dtype)

    def add_features(self, n_more: int, drop: Sequence[int] = (), **kinds: Any) -> tuple[np.ndarray, list[int]]:
        """Add features that no point so far has a value for; leave out those of ``drop``, which are silent.

        Returns the place that each old feature has now (-1: none), and the places of the new ones.
        """
        twin, places, new = self.widened(n_more, drop, **kinds)
        self.__dict__ = twin.__dict__
        return places, new

    def widened(
        self,
        n_more: int,
        drop: Sequence[int] = (),
        own: bool = False,
        *,
        nominal: np.ndarray | None = None,
        nominal_weight: float = 1.0,
    ) -> tuple[Self, np.ndarray, list[int]]:
        """Return the forest with features as after ``add_features``, in the place of this one, and what that returns.

        Nothing is written to this one's columns. With ``own`` the new one shares none of them, so that this one stays
        as it is; else it shares those that need not change, boxes and points among them while they have room.
        ``nominal`` (n_more,): which of the new ones are nominal, of that weight.
        """
        places, new = new_places(self.n_features, n_more, drop)
        twin = type(self).__new__(type(self))
        twin.__dict__ = {
            **self.__dict__,
            "n_features": self.n_features - len(drop) + n_more,
            "n_updates": self.n_updates + 1,
        }
        width, moved = twin._best_width(), not keeps_places(places, twin.n_features)
        columns = {}
        for name, column in self.columns.items():
            if COLUMNS[name].padded and (own or moved or name in _BEGUN or width != column.shape[-1]):
                columns[name] = twin._at_width(name, width, places)
            elif drop and COLUMNS[name].holds == "feature":
                columns[name] = np.where(column >= 0, places[column], column)
            else:
                columns[name] = column.copy() if own or (self.spaced and name in _DRAWN) else column
        weight = nominal_weights(nominal, nominal_weight)
        if weight is not None and not self.mixed:
            columns.update(twin._empty("mixed", width))
        if "nominal" in columns:
            columns["nominal"][new] = 0.0 if weight is None else weight
        begin_rates(columns, np.asarray(new, np.intp), self.scaled)
        if self.spaced:
            columns["bag"] = with_room(columns["bag"], _core.bag_size(twin.n_features, self.edition))
        twin.columns = columns
        twin._renew_view()
        if self.spaced:
            _core.draw_bags(twin._view, twin.n_features - n_more, order_of(places, new))
        return twin, places, new

    def _best_width(self) -> int:
        """Return the width that rows are to have: with room for more, so that growth is paid once, within promises."""
        width, needed = self.columns["points"].shape[1], self.padded
        most = self._most_bytes(self.columns)
        held = sum(column.nbytes for column in self.columns.values())
        if width >= needed and (width == needed or most is None or held <= most):
            return width
        padded = sum(column.nbytes for name, column in self.columns.items() if COLUMNS[name].padded)
        lanes = _core.PACK_BYTES // self.dtype.itemsize
        pack = padded // width * lanes
        spare = sys.maxsize if most is None else most - (held + (needed - width) // lanes * pack)
        return room_for(needed, lanes, pack, spare)

    def _at_width(self, name: str, width: int, places: np.ndarray) -> np.ndarray:
        """Return a copy of a padded column with rows of ``width``, in which features have gone to their ``places``."""
        column, told = self.columns[name], COLUMNS[name]
        wide = filled((*column.shape[:-1], width), told.empty, column.dtype)
        rows, old = wide, column
        if told.of in ("node", "leaf"):
            used = slice(self.columns["header"][:, _core.NODE_MARK if told.of == "node" else _core.LEAF_MARK].max())
            rows, old = wide[:, used], column[:, used]
        move_values(rows, old, places, self.n_features, np.nan if told.holds == "coordinate" else told.empty)
        return wide

    def _most_bytes(self, columns: dict[str, np.ndarray]) -> int | None:
        """Return the bytes that ``columns`` may take: what the layout of windows promises, or ``max_bytes``."""
        if self.memory != UNBOUNDED:
            layout = self._layout_of(columns)._replace(boxes=True, updates=True)
            return layout.window_size(columns["member_leaf"].shape[1])
        if self._max_bytes is None:
            return None
        return self._layout_of(columns)._replace(boxes=True).size(columns["feature"].shape[1], len(columns["points"]))

    def silent_features(self, n_threads: int = 1) -> list[int]:
        """Return the features that no stored point has a value for; no cut can use them."""
        self.ensure_boxes(n_threads)  # a file leaves them out; a loaded model must find the same features
        return silent_in(self.columns, self.n_features)

    def check(self, n_threads: int = 1) -> None:
        """Raise ValueError naming tree and slot if an invariant does not hold."""
        _core.audit(self._view, n_threads)

    def beside(self, columns: dict[str, np.ndarray]) -> Self:
        """Return the same forest on other columns; a change of it that is interrupted is not undone."""
        twin = type(self).__new__(type(self))
        twin.__dict__ = {**self.__dict__, "columns": columns, "disposable": True}
        twin._renew_view()
        return twin

    # -- state -------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return plain arrays without spare room, padding or what follows from the rest."""
        columns = saved_columns(self.columns, self.n_features)
        version = state_version(columns, self.edition)
        return {
            "version": version,
            "n_features": self.n_features,
            "memory": self.memory,
            "decay": self.decay,
            "scaled": self.scaled,
            **({"edition": self.edition} if version >= EDITIONS_SINCE else {}),
            "columns": columns,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild from plain arrays, trusting none of them: ValueError names what is damaged."""
        try:
            self._restore(state)
        except (KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
            raise ValueError(f"damaged forest: {type(error).__name__}: {error}") from None
        self.check()
        check_stream(self.columns)

    def _restore(self, state: dict[str, Any]) -> None:
        (
            self.n_features,
            self.memory,
            self.decay,
            self.scaled,
            self.edition,
            self.columns,
        ) = restored(state)
        self._renew_view()


def _bytes_of(columns: dict[str, np.ndarray]) -> int:
    return sum(map(attrgetter("nbytes"), columns.values()))
