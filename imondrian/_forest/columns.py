"""What a forest is made of: numpy columns, how they grow, and what of them is kept in pickles and files.

Their layout and the invariants they keep are in ``native/base/view.hpp``; every tree is a disjoint slice of each
column.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from imondrian import _core

from .footprint import Layout
from .places import keeps_places, move_values, new_places, order_of, room_for
from .undo import Undo

UNBOUNDED, SLIDING, RESERVOIR = 0, 1, 2
UNKNOWN = -1
_NODE_COLUMNS = ("feature", "threshold", "child", "parent", "time", "mass", "clean", "lower", "upper")
_LEAF_COLUMNS = ("leaf_parent", "leaf_mass", "leaf_clean", "leaf_point")
_PADDED = ("lower", "upper", "rate", "points")
_DRAWN = ("bag", "rate", "stream", "rng")  # what drawing bags writes to
_DERIVED = ("refs", "free_rows", "n_free_rows")
_TREES_AT_ONCE = 32
_NODE_MARK, _LEAF_MARK, _LEAVES = 4, 5, 1
_MOST_DECAY = 64.0  # windows and horizons give 22 at most; with far more, the weights of later points overflow
_MOST_SEEN = 1 << 60  # half of what the audit bears: a stream goes on
STATE_VERSION = 4  # 3 had no editions: its forests are of edition 0


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
    edition : int
        The rules for units and wide data (``native/base/view.hpp``): a forest keeps those it was grown by.
    """

    _max_rows: int | None = None  # of an unbounded store, while max_bytes limits it
    _max_bytes: int | None = UNKNOWN  # of an unbounded forest's columns
    _undo: Undo | None = None  # while a change is under way that will be undone if it is interrupted
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
        edition: int = _core.EDITION,
    ) -> None:
        dtype = np.dtype(dtype)
        n_trees = len(states)
        lanes = _core.PACK_BYTES // dtype.itemsize
        width = -(-n_features // lanes) * lanes
        self.n_features, self.memory, self.decay, self.scaled = n_features, memory, decay, scaled
        self.edition = edition
        shape = (n_trees, capacity)
        self.columns: dict[str, np.ndarray] = {
            "feature": np.zeros(shape, np.int32),
            "threshold": np.zeros(shape, dtype),
            "child": np.zeros((*shape, 2), np.int32),
            "parent": np.zeros(shape, np.int32),
            "time": np.zeros(shape),
            "mass": np.zeros(shape),
            "leaf_parent": np.zeros(shape, np.int32),
            "leaf_mass": np.zeros(shape),
            "leaf_point": np.zeros(shape, np.int32),
            "header": np.tile(np.array([-1, 0, -1, -1, 0, 0], np.int32), (n_trees, 1)),
            "rng": np.array(states, dtype=np.uint64, order="C"),
            "rate": np.zeros((n_trees, width), dtype),
            "points": np.zeros((n_rows, width), dtype),
            "stream": np.zeros((n_trees, _core.STREAM_SIZE), np.int64),
        }
        self.columns["rate"][:, :n_features] = 0 if scaled else 1
        if memory != UNBOUNDED:
            self.columns["member_leaf"] = np.zeros((n_trees, capacity - 1), np.int32)
        if memory == RESERVOIR:
            self.columns["member_key"] = np.zeros((n_trees, capacity - 1))
        if boxes:
            self.columns.update(self._empty_boxes())
        if spaced:
            self.columns["bag"] = np.full((n_trees, _core.bag_size(n_features, edition)), -1, np.int32)
            self.columns["clean"], self.columns["leaf_clean"] = np.zeros(shape), np.zeros(shape)
            self.columns["recent"] = np.zeros((-(-n_trees // _core.TREES_ABREAST) + 1, _core.RECENT_SIZE))
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
    def wide(self) -> bool:
        """Whether spacing scores count distances to the nearest clean points, too."""
        return _core.is_wide(self.n_features, self.edition)

    @property
    def n_leaves(self) -> np.ndarray:
        """Distinct points in each tree, (n_trees,)."""
        return self.columns["header"][:, _LEAVES]

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
        """Bytes of all columns, and of what is kept for rows with missing values."""
        return sum(column.nbytes for column in self.columns.values()) + self._view.means_held

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
        )

    def info(self) -> dict[str, Any]:
        """Return what the forest holds, and its size."""
        window = None if self.memory == UNBOUNDED else self.columns["member_leaf"].shape[1]
        return {
            "trees": self.n_trees,
            "features": self.n_features,
            "dtype": self.dtype.name,
            "scale": "robust" if self.scaled else None,
            "window_points": window,
            "points_a_tree": float(self.columns["leaf_mass"].sum(where=self._live_leaves()) / self.n_trees),
            "points_stored": int(np.count_nonzero(self._referenced())),
            "points_streamed": self.n_seen,
        }

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
        return limit is None or sum(column.nbytes for column in view.columns.values()) + view.means_bytes <= limit

    def _empty_boxes(self) -> dict[str, np.ndarray]:
        shape = (*self.columns["feature"].shape, self.columns["points"].shape[1])
        return {"lower": np.zeros(shape, self.dtype), "upper": np.zeros(shape, self.dtype)}

    def _ensure_boxes(self, n_threads: int) -> None:
        if "lower" in self.columns:
            return
        # Threads that score may come here together: each fills boxes of its own, all equal, and nobody
        # sees them half filled. The view goes first: who finds boxes in the columns uses it next.
        columns = {**self.columns, **self._empty_boxes()}
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
        self._ensure_boxes(n_threads)
        columns = {name: column if column.flags.writeable else column.copy() for name, column in self.columns.items()}
        live = columns["leaf_point"][self._live_leaves()]
        n_rows = len(columns["points"])
        columns["refs"] = np.bincount(live, minlength=n_rows).astype(np.int32)
        columns["free_rows"] = np.zeros(n_rows, np.int32)
        columns["n_free_rows"] = np.zeros(1, np.int64)
        self._replace(columns)

    def _live_leaves(self) -> np.ndarray:
        marks = self.columns["header"][:, _LEAF_MARK, None]
        points = self.columns["leaf_point"]
        return (np.arange(points.shape[1]) < marks) & (points >= 0)

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
        for name in (*_NODE_COLUMNS, *_LEAF_COLUMNS):
            if name in self.columns:
                column = self.columns[name]
                columns[name] = grown = np.zeros((len(column), capacity, *column.shape[2:]), column.dtype)
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
        for name in ("points", "refs", "free_rows"):
            column = columns.get(name, self.columns[name])
            columns[name] = grown = np.zeros((n_rows, *column.shape[1:]), column.dtype)
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
        return {name: self._at_width(name, width, stay) for name in _PADDED if name in self.columns}

    @property
    def padded(self) -> int:
        """Features that fit in the whole packs that rows need; they may have room for more."""
        return self._packs(self.n_features)

    def _packs(self, n_features: int) -> int:
        lanes = _core.PACK_BYTES // self.dtype.itemsize
        return -(-n_features // lanes) * lanes

    def add_features(self, n_more: int, drop: Sequence[int] = ()) -> tuple[np.ndarray, list[int]]:
        """Add features that no point so far has a value for; leave out those of ``drop``, which are silent.

        Returns the place that each old feature has now (-1: none), and the places of the new ones.
        """
        twin, places, new = self.widened(n_more, drop)
        self.__dict__ = twin.__dict__
        return places, new

    def widened(self, n_more: int, drop: Sequence[int] = (), own: bool = False) -> tuple[Self, np.ndarray, list[int]]:
        """Return the forest with features as after ``add_features``, in the place of this one, and what that returns.

        Nothing is written to this one's columns. With ``own`` the new one shares none of them, so that this one stays
        as it is; else it shares those that need not change, boxes and points among them while they have room.
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
            if name in _PADDED and (own or moved or name == "rate" or width != column.shape[-1]):
                columns[name] = twin._at_width(name, width, places)
            elif drop and name in ("feature", "bag"):
                columns[name] = np.where(column >= 0, places[column], column)
            else:
                columns[name] = column.copy() if own or (self.spaced and name in _DRAWN) else column
        columns["rate"][:, new] = 0 if self.scaled else 1
        if self.spaced:
            columns["bag"] = twin._with_room(columns["bag"])
        twin.columns = columns
        twin._renew_view()
        if self.spaced:
            _core.draw_bags(twin._view, twin.n_features - n_more, order_of(places, new))
        return twin, places, new

    def _with_room(self, bag: np.ndarray) -> np.ndarray:
        """Return bags with the room they need now: where that is less, they are drawn anew."""
        size = _core.bag_size(self.n_features, self.edition)
        if size == bag.shape[1]:
            return bag
        room = np.full((len(bag), size), -1, np.int32)
        if size > bag.shape[1]:
            room[:, : bag.shape[1]] = bag
        return room

    def _best_width(self) -> int:
        """Return the width that rows are to have: with room for more, so that growth is paid once, within promises."""
        width, needed = self.columns["points"].shape[1], self.padded
        most = self._most_bytes(self.columns)
        held = sum(column.nbytes for column in self.columns.values())
        if width >= needed and (width == needed or most is None or held <= most):
            return width
        padded = sum(self.columns[name].nbytes for name in _PADDED if name in self.columns)
        lanes = _core.PACK_BYTES // self.dtype.itemsize
        pack = padded // width * lanes
        spare = sys.maxsize if most is None else most - (held + (needed - width) // lanes * pack)
        return room_for(needed, lanes, pack, spare)

    def _at_width(self, name: str, width: int, places: np.ndarray) -> np.ndarray:
        """Return a copy of a padded column with rows of ``width``, in which features have gone to their ``places``."""
        column = self.columns[name]
        used = slice(self.columns["header"][:, _NODE_MARK].max() if name in _NODE_COLUMNS else None)
        wide = np.zeros((*column.shape[:-1], width), self.dtype)
        rows, old = (wide[:, used], column[:, used]) if column.ndim == 3 else (wide, column)
        move_values(rows, old, places, self.n_features, 0 if name == "rate" else np.nan)
        return wide

    def _most_bytes(self, columns: dict[str, np.ndarray]) -> int | None:
        """Return the bytes that ``columns`` may take: what the layout of windows promises, or ``max_bytes``."""
        if self.memory != UNBOUNDED:
            layout = self._layout_of(columns)._replace(boxes=True, updates=True)
            return layout.window_size(columns["member_leaf"].shape[1])
        if self._max_bytes is None:
            return None
        return self._layout_of(columns)._replace(boxes=True).size(columns["feature"].shape[1], len(columns["points"]))

    def silent_features(self) -> list[int]:
        """Return the features that no stored point has a value for; no cut can use them."""
        header, points = self.columns["header"], self.columns["points"]
        trees = np.flatnonzero(header[:, _LEAVES] > 0)
        roots = header[trees, 0]
        shown = np.where(
            (roots >= 0)[:, None],
            self.columns["lower"][trees, roots],
            points[self.columns["leaf_point"][trees, ~roots]],
        )
        silent = np.isnan(shown[:, : self.n_features]).all(axis=0)
        if silent.any():  # a point that has joined a fuller one may have left a cut behind
            marks = header[:, _NODE_MARK, None]
            live = np.arange(self.columns["feature"].shape[1]) < marks
            used = self.columns["feature"][live]
            silent[used[used >= 0]] = False
        return np.flatnonzero(silent).tolist()

    def check(self, n_threads: int = 1) -> None:
        """Raise ValueError naming tree and slot if an invariant does not hold."""
        _core.audit(self._view, n_threads)

    # -- state -------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return plain arrays without spare room, padding or what follows from the rest."""
        marks = self.columns["header"].max(axis=0)
        live = self._live_leaves()
        used = self.columns["leaf_point"][live]
        held = np.zeros(len(self.columns["points"]), bool)
        held[used] = True
        rows, renumbered = np.flatnonzero(held), (np.cumsum(held) - 1)[used]
        state = {}
        for name, column in self.columns.items():
            if name in _DERIVED:
                continue
            if name in _NODE_COLUMNS:
                column = column[:, : marks[_NODE_MARK]]
            elif name in _LEAF_COLUMNS:
                column = column[:, : marks[_LEAF_MARK]]
            elif name == "points":
                column = column[rows]
            state[name] = column[..., : self.n_features] if name in _PADDED else column
        leaf_point = self.columns["leaf_point"].copy()
        leaf_point[live] = renumbered
        state["leaf_point"] = leaf_point[:, : marks[_LEAF_MARK]]
        return {
            "version": STATE_VERSION,
            "n_features": self.n_features,
            "memory": self.memory,
            "decay": self.decay,
            "scaled": self.scaled,
            "edition": self.edition,
            "columns": {name: np.ascontiguousarray(column) for name, column in state.items()},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild from plain arrays, trusting none of them: ValueError names what is damaged."""
        try:
            self._restore(state)
        except (KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
            raise ValueError(f"damaged forest: {type(error).__name__}: {error}") from None
        self.check()
        if self.columns["stream"][:, 0].max(initial=0) > _MOST_SEEN:
            raise ValueError(f"damaged forest: {self.columns['stream'][:, 0].max()} points seen")

    def _restore(self, state: dict[str, Any]) -> None:
        if state["version"] not in (STATE_VERSION, 3):
            raise ValueError(
                f"this forest has state version {state['version']!r}; this imondrian reads version {STATE_VERSION}"
            )
        edition = state["edition"] if state["version"] == STATE_VERSION else 0
        if type(edition) is not int or not 0 <= edition <= _core.EDITION:
            raise ValueError(f"damaged forest: edition {edition!r}, this imondrian knows 0 to {_core.EDITION}")
        saved = state["columns"]
        for name, kinds in (("n_features", int), ("memory", int), ("decay", (int, float)), ("scaled", bool)):
            if not isinstance(state[name], kinds):
                raise ValueError(f"damaged forest: {name} {state[name]!r}")
        if saved["points"].dtype not in (np.float32, np.float64):
            raise ValueError(
                f"damaged forest: column 'points' has {saved['points'].dtype}, expected float32 or float64"
            )
        if saved["rng"].dtype != np.uint64:
            raise ValueError(f"damaged forest: column 'rng' has {saved['rng'].dtype}, expected uint64")
        self.n_features, self.memory, self.decay = int(state["n_features"]), int(state["memory"]), float(state["decay"])
        self.scaled, self.edition = state["scaled"], edition
        if self.memory not in (UNBOUNDED, SLIDING, RESERVOIR) or not 0 <= self.decay <= _MOST_DECAY:
            raise ValueError(f"damaged forest: memory {self.memory!r} with decay {self.decay!r}")
        bounded = self.memory != UNBOUNDED
        slots = saved["member_leaf" if bounded else "leaf_point"]
        if slots.ndim != 2 or len(slots) != len(saved["rng"]) or not saved["rng"].any(axis=1).all():
            raise ValueError(
                f"damaged forest: generators of shape {saved['rng'].shape} for {slots.shape} slots, "
                "or one that is all zero"
            )
        capacity = max(1, slots.shape[1] + bounded)
        n_rows = max(1, len(saved["points"]))
        lanes = _core.PACK_BYTES // saved["points"].dtype.itemsize
        widths = (self.n_features, -(-self.n_features // lanes) * lanes)  # a file holds padded rows
        if self.n_features < 1 or saved["points"].shape[1] not in widths:
            raise ValueError(f"damaged forest: {self.n_features} features, points of shape {saved['points'].shape}")
        for name in ("rate", *(("lower", "upper") if "lower" in saved else ())):
            if saved[name].shape[-1] not in widths:  # before room is made that the columns do not have
                raise ValueError(
                    f"damaged forest: {self.n_features} features, column {name!r} of shape {saved[name].shape}"
                )
        spare = ForestColumns(
            self.n_features,
            saved["points"].dtype,
            saved["rng"],
            capacity,
            n_rows,
            memory=self.memory,
            decay=self.decay,
            scaled=self.scaled,
            boxes="lower" in saved,
            spaced="clean" in saved,
            edition=edition,
        )
        self.columns = spare.columns
        if unknown := saved.keys() - self.columns.keys() - {"upper"}:
            raise ValueError(f"damaged forest: there is no column {min(unknown)!r}")
        for name, column in self.columns.items():
            source = saved[name]
            if source.dtype != column.dtype or source.ndim != column.ndim:
                raise ValueError(
                    f"damaged forest: column {name!r} has {source.dtype} {source.shape}, "
                    f"expected {column.dtype} with {column.ndim} axes"
                )
            if not _fits(name, source.shape, column.shape, self.n_features):
                raise ValueError(f"damaged forest: column {name!r} has shape {source.shape}, room for {column.shape}")
            if source.shape == column.shape and not source.flags.writeable and source.flags.c_contiguous:
                self.columns[name] = np.asarray(source)  # mapped from a file: the first update copies it
                continue
            column[tuple(slice(size) for size in source.shape)] = source
            if name in _PADDED and name != "rate":
                column[..., self.n_features :] = np.nan
        for name in ("feature", "bag"):  # also where no tree has a cut: they are renumbered together
            if name in saved and saved[name].max(initial=-1) >= self.n_features:
                raise ValueError(
                    f"damaged forest: column {name!r} names the feature {saved[name].max()} of {self.n_features}"
                )
        self._renew_view()


def _fits(name: str, have: tuple[int, ...], room: tuple[int, ...], n_features: int) -> bool:
    """Whether a saved column has the shape of a new one, but for spare slots and rows, and padding."""
    if name in _PADDED:
        have, room = (*have[:-1], min(have[-1], n_features)), (*room[:-1], n_features)
    if name == "points":
        return have[1:] == room[1:] and have[0] <= room[0]
    if name in (*_NODE_COLUMNS, *_LEAF_COLUMNS):
        return have[0] == room[0] and have[1] <= room[1] and have[2:] == room[2:]
    return have == room
