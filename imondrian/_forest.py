"""The forest: numpy columns, and the operations of the native core on them.

A :class:`Forest` is the one representation behind batch fitting, streaming, scoring and pickling.
Its columns are named and laid out in ``native/view.hpp``, with the invariants they keep; every tree
is a disjoint slice of each column. Arguments are trusted here: the public classes validate.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._memory import BLOCK, Layout
from ._scoring import SCORES, anomaly_scores, depth_slope, spacing_scores, spacing_slope

if TYPE_CHECKING:
    from ._device_rows import DeviceRows

UNBOUNDED, SLIDING, RESERVOIR = 0, 1, 2
_NODE_COLUMNS = ("feature", "threshold", "child", "parent", "time", "mass", "clean", "lower", "upper")
_LEAF_COLUMNS = ("leaf_parent", "leaf_mass", "leaf_clean", "leaf_point")
_PADDED = ("lower", "upper", "rate", "points")
_DERIVED = ("refs", "free_rows", "n_free_rows")
_NODE_MARK, _LEAF_MARK, _LEAVES = 4, 5, 1
STATE_VERSION = 3


def seed_states(rng: np.random.RandomState, n_trees: int) -> np.ndarray:
    """Draw every tree's generator state (n_trees, 4) at once, so that threads cannot change results."""
    states = rng.randint(0, np.iinfo(np.uint64).max, size=(n_trees, 4), dtype=np.uint64)
    states[:, 0] |= np.uint64(1)  # the all-zero state is the generator's only fixed point
    return states


def not_held(n_absent: int, n: int, first: int) -> ValueError:
    """Return the error for rows that cannot be forgotten."""
    return ValueError(f"X must hold points that some tree holds: {n_absent} of {n} not found, the first of them "
                      f"row {first}; nothing was forgotten")


class Forest:
    """Mondrian trees over shared points.

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
        Measure each feature in a unit found by each tree from its own points (``native/scale.hpp``), renewed as
        a stream moves; else cuts fall in proportion to raw ranges.
    boxes : bool
        Keep boxes from the start. Depths and spacings need none; learning fills them in when it needs them.
    spaced : bool
        Keep what the spacing score needs: bags of features, clean masses and recent scores.
    """

    _max_rows: int | None = None  # of an unbounded store, while max_bytes limits it
    n_updates = 0  # calls that may have changed the trees; tells what was derived from them that it is stale

    def __init__(self, n_features: int, dtype: Any, states: np.ndarray, capacity: int, n_rows: int, *,
                 memory: int = UNBOUNDED, decay: float = 0.0, scaled: bool = False, boxes: bool = True,
                 spaced: bool = False) -> None:
        dtype = np.dtype(dtype)
        n_trees = len(states)
        lanes = _core.PACK_BYTES // dtype.itemsize
        width = -(-n_features // lanes) * lanes
        self.n_features, self.memory, self.decay, self.scaled = n_features, memory, decay, scaled
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
            self.columns["bag"] = np.full((n_trees, _core.BAG_SIZE), -1, np.int32)
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
    def n_leaves(self) -> np.ndarray:
        """Distinct points in each tree, (n_trees,)."""
        return self.columns["header"][:, _LEAVES]

    @property
    def mass(self) -> float:
        """Mass of the first tree: the points it holds, repeats counted."""
        root, n_leaves = self.columns["header"][0, :2]
        if n_leaves == 0:
            return 0.0
        return float(self.columns["mass"][0, root] if root >= 0 else self.columns["leaf_mass"][0, ~root])

    @property
    def n_seen(self) -> int:
        """Points learnt one by one so far."""
        return int(self.columns["stream"][0, 0])

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self.columns.values())

    @property
    def layout(self) -> Layout:
        """What decides the size of the columns."""
        return Layout(self.n_trees, self.n_features, self.dtype.itemsize, self.memory, self.spaced,
                      "lower" in self.columns, "refs" in self.columns)

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
        return _core.ForestView(columns, self.n_features, self.memory, self.decay, self.scaled)

    def _renew_view(self) -> None:
        self._view = self._view_of(self.columns)

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

    def _prepare_updates(self, n_threads: int) -> None:
        """Own every column, and count the leaves of every stored row."""
        self.n_updates += 1
        if "refs" in self.columns:
            return
        for name, column in self.columns.items():
            if not column.flags.writeable:
                self.columns[name] = column.copy()
        live = self.columns["leaf_point"][self._live_leaves()]
        n_rows = len(self.columns["points"])
        self.columns["refs"] = np.bincount(live, minlength=n_rows).astype(np.int32)
        self.columns["free_rows"] = np.zeros(n_rows, np.int32)
        self.columns["n_free_rows"] = np.zeros(1, np.int64)
        self._renew_view()
        self._ensure_boxes(n_threads)

    def _live_leaves(self) -> np.ndarray:
        marks = self.columns["header"][:, _LEAF_MARK, None]
        points = self.columns["leaf_point"]
        return (np.arange(points.shape[1]) < marks) & (points >= 0)

    def _make_room(self, n_more: int, max_bytes: int | None) -> None:
        """Let every tree of an unbounded forest take ``n_more`` leaves, within ``max_bytes`` of columns."""
        old = self.columns["feature"].shape[1]
        slots = max(old, int(self.n_leaves.max()) + n_more)
        most = self._max_rows = None
        if max_bytes is not None:
            rows = max(len(self.columns["points"]), int(np.count_nonzero(self._referenced())) + n_more)
            layout = self.layout._replace(boxes=True, updates=True)
            if layout.size(slots, rows) > max_bytes:
                raise MemoryError(f"max_bytes={max_bytes} of trees and points is too little for {n_more} more points: "
                                  f"they may need {layout.size(slots, rows)}; nothing was learnt")
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
        for name in (*_NODE_COLUMNS, *_LEAF_COLUMNS):
            if name in self.columns:
                column = self.columns[name]
                grown = np.zeros((len(column), capacity, *column.shape[2:]), column.dtype)
                grown[:, :old] = column
                self.columns[name] = grown
        self._renew_view()

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
        for name in ("points", "refs", "free_rows"):
            column = self.columns[name]
            grown = np.zeros((n_rows, *column.shape[1:]), column.dtype)
            grown[:old] = column
            self.columns[name] = grown
        self._renew_view()

    # -- operations --------------------------------------------------------------------------------

    @classmethod
    def build(cls, X: np.ndarray, weight: np.ndarray | None, states: np.ndarray, max_samples: int, *,
              scaled: bool = False, boxes: bool = True, spaced: bool = False,
              n_threads: int = 1, drawn: np.ndarray | None = None) -> Forest:
        """Build every tree from ``max_samples`` rows of X drawn without replacement, or from all.

        ``drawn`` (n_trees, max_samples), int64, receives the numbers of the rows drawn.
        """
        n, n_features = X.shape
        n_sample = min(n, max_samples)
        own_rows = n > len(states) * n_sample
        n_rows = len(states) * n_sample if own_rows else n
        forest = cls(n_features, X.dtype, states, n_sample, n_rows, scaled=scaled, boxes=boxes, spaced=spaced)
        if spaced:
            _core.draw_bags(forest._view, 0)
        _core.fit(forest._view, X, weight, n_sample, own_rows, n_threads, drawn)
        return forest

    @classmethod
    def draw(cls, n: int, n_features: int, dtype: Any, states: np.ndarray, n_sample: int, *,
             weight: np.ndarray | None = None, scaled: bool = False, boxes: bool = True, spaced: bool = False,
             n_threads: int = 1) -> tuple[Forest, np.ndarray]:
        """Return a forest without its rows, and which of n rows each tree gets, (n_trees, n_sample), int64.

        With ``build_drawn`` it becomes what ``build`` would make of all n rows, for ``n > n_trees * n_sample``.
        """
        forest = cls(n_features, dtype, states, n_sample, len(states) * n_sample, scaled=scaled, boxes=boxes,
                     spaced=spaced)
        if spaced:
            _core.draw_bags(forest._view, 0)
        drawn = np.empty((len(states), n_sample), np.int64)
        _core.draw_rows(forest._view, n, weight, drawn, n_threads)
        return forest, drawn

    def build_drawn(self, X: np.ndarray, places: np.ndarray, n_threads: int = 1) -> None:
        """Build every tree from the rows it drew: ``places`` of them in X, whose rows are in their old order."""
        _core.fit(self._view, X, None, places.shape[1], True, n_threads, places, True)

    @classmethod
    def for_stream(cls, n_features: int, dtype: Any, states: np.ndarray, memory: int, points: int | None,
                   decay: float, *, scaled: bool = False, spaced: bool = False) -> Forest:
        """Return an empty forest that will keep ``points`` a tree (None: all)."""
        if points is None:
            forest = cls(n_features, dtype, states, 64, 64, scaled=scaled, spaced=spaced)
        else:
            forest = cls(n_features, dtype, states, points + 1, points + 2 * BLOCK, memory=memory, decay=decay,
                         scaled=scaled, spaced=spaced)
        if spaced:
            _core.draw_bags(forest._view, 0)
        return forest

    def learn(self, X: np.ndarray, weight: np.ndarray | None = None, *, score: str | None = None,
              n_threads: int = 1, max_bytes: int | None = None) -> np.ndarray | None:
        """Learn rows in order; with ``score``, return each row's score from just before it was learnt.

        In an unbounded forest, MemoryError before anything is learnt if the columns might pass ``max_bytes``.
        """
        if score == "spacing":
            self._require_spaced()
        n = len(X)
        if self.memory == UNBOUNDED:
            self._make_room(n, max_bytes)
        self._prepare_updates(n_threads)
        depth = norm = None
        if score is not None:
            depth, norm = np.empty(n), np.empty(n)
        done = 0
        while True:
            part = slice(done, n)
            done += _core.learn(self._view, X[part], None if weight is None else weight[part],
                                SCORES[score or "depth"], None if depth is None else depth[part],
                                None if norm is None else norm[part], n_threads)
            if done == n:
                break
            self._grow_rows(min(n - done, BLOCK) if self.memory else n - done)
        if depth is None or norm is None:
            return None
        return spacing_scores(depth) if score == "spacing" else anomaly_scores(depth, norm)

    def scores(self, X: np.ndarray | DeviceRows, score: str, n_threads: int = 1) -> np.ndarray:
        """Return the anomaly score of each row, in [0, 1], high for anomalies."""
        if not isinstance(X, np.ndarray):
            return X.host_scores(self, score)
        measured, norm = self.depths(X, score, n_threads)
        return spacing_scores(measured) if score == "spacing" else anomaly_scores(measured, norm)

    def depths(self, X: np.ndarray, score: str, n_threads: int = 1) -> tuple[np.ndarray, float]:
        """Return each row's mean depth over the trees, and the trees' mean c(mass).

        For "spacing": how far the mean log spacing is above the usual, and 1.
        """
        if score == "insertion":
            self._ensure_boxes(n_threads)
        if score == "spacing":
            self._require_spaced()
        return _core.score(self._view, X, SCORES[score], n_threads)

    def explain(self, X: np.ndarray, score: str, n_threads: int = 1) -> tuple[np.ndarray, float]:
        """Return what each feature adds to each row's score from below and above, (n, d, 2), and the expected score.

        The contributions sum to the score less the expected one, the score of the mean over the stored points.
        """
        if score == "insertion":
            self._ensure_boxes(n_threads)
        if score == "spacing":
            self._require_spaced()
        parts, value, expected = _core.explain(self._view, X, SCORES[score], n_threads)
        if score == "spacing":
            unit = float(np.diff(_core.spacing_excess(self._view, np.array([0.0, 1.0])))[0])
            excess = _core.spacing_excess(self._view, np.append(value, expected))
            slope = unit * spacing_slope(excess[:-1], float(excess[-1]))
            usual = float(spacing_scores(excess[-1:])[0])
        else:
            norm = _core.score(self._view, X[:0], SCORES[score], 1)[1]
            slope = depth_slope(value, expected, norm)
            usual = float(anomaly_scores(np.array([expected]), norm)[0])
        parts *= slope[:, None, None]
        return parts, usual

    def expected_score(self, score: str) -> float:
        """Return the score of the mean over the stored points: where explanations start from."""
        return self.explain(np.empty((0, self.n_features), self.dtype), score)[1]

    def _require_spaced(self) -> None:
        if not self.spaced:
            raise ValueError("score 'default' ('spacing') needs trees that were grown for it: "
                             "this forest was fitted for another score; fit it again")

    def stored_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct rows some tree holds, (m, d), and their mass summed over the trees, (m,)."""
        live = self._live_leaves()
        rows, which = np.unique(self.columns["leaf_point"][live], return_inverse=True)
        mass = np.bincount(which, weights=self.columns["leaf_mass"][live])
        return np.ascontiguousarray(self.columns["points"][rows, :self.n_features]), mass

    def add_features(self, n_more: int, drop: Sequence[int] = ()) -> None:
        """Append features that no point so far has a value for; leave out those of ``drop``, which are silent."""
        kept = [j for j in range(self.n_features) if j not in set(drop)]
        old, new = len(kept), len(kept) + n_more
        lanes = _core.PACK_BYTES // self.dtype.itemsize
        width = -(-new // lanes) * lanes
        for name in _PADDED:
            if name not in self.columns or (not drop and width == self.columns[name].shape[-1] and name != "rate"):
                continue  # padding is missing values: it need not be made
            column = self.columns[name]
            wide = np.full((*column.shape[:-1], width), 0 if name == "rate" else np.nan, self.dtype)
            wide[..., :old] = column[..., kept]
            if name == "rate":
                wide[..., old:new] = 0 if self.scaled else 1
            self.columns[name] = wide
        if drop:
            places = np.full(self.n_features, -1, np.int32)
            places[kept] = np.arange(old, dtype=np.int32)
            for name in ("feature", "bag"):
                if name in self.columns:
                    column = self.columns[name]
                    self.columns[name] = np.where(column >= 0, places[column], column)
        self.n_features = new
        self.n_updates += 1
        self._renew_view()
        if self.spaced:
            _core.draw_bags(self._view, old)

    def silent_features(self) -> list[int]:
        """Return the features that no stored point has a value for; no cut can use them."""
        header, points = self.columns["header"], self.columns["points"]
        trees = np.flatnonzero(header[:, _LEAVES] > 0)
        roots = header[trees, 0]
        shown = np.where((roots >= 0)[:, None], self.columns["lower"][trees, roots],
                         points[self.columns["leaf_point"][trees, ~roots]])
        silent = np.isnan(shown[:, :self.n_features]).all(axis=0)
        if silent.any():  # a point that has joined a fuller one may have left a cut behind
            marks = header[:, _NODE_MARK, None]
            live = np.arange(self.columns["feature"].shape[1]) < marks
            used = self.columns["feature"][live]
            silent[used[used >= 0]] = False
        return np.flatnonzero(silent).tolist()

    def forget(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Remove each row once from every tree that holds it; return how many trees did, (n,)."""
        self._prepare_updates(n_threads)
        return _core.forget(self._view, X, True, n_threads)

    def holders(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return how many trees hold each row, (n,); of equal rows, the second where there are two, and so on.

        A row with missing values is also held by a leaf of several points whose own point agrees with it
        wherever both have values: it may have joined them.
        """
        return _core.forget(self._view, X, False, n_threads)

    def forget_all(self, X: np.ndarray, known: np.ndarray | None, missing_ok: bool, n_threads: int = 1) -> None:
        """Forget rows, but for those not ``known``, which no tree holds.

        Unless ``missing_ok``, raise ValueError and change nothing if any row is held by no tree.
        """
        if not missing_ok:
            held = self.holders(X, n_threads) > 0
            absent = np.flatnonzero(~(held if known is None else held & known))
            if len(absent):
                raise not_held(len(absent), len(X), absent[0])
        self.forget(X if known is None else np.ascontiguousarray(X[known]), n_threads)

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
                column = column[:, :marks[_NODE_MARK]]
            elif name in _LEAF_COLUMNS:
                column = column[:, :marks[_LEAF_MARK]]
            elif name == "points":
                column = column[rows]
            state[name] = column[..., :self.n_features] if name in _PADDED else column
        leaf_point = self.columns["leaf_point"].copy()
        leaf_point[live] = renumbered
        state["leaf_point"] = leaf_point[:, :marks[_LEAF_MARK]]
        return {"version": STATE_VERSION, "n_features": self.n_features, "memory": self.memory,
                "decay": self.decay, "scaled": self.scaled,
                "columns": {name: np.ascontiguousarray(column) for name, column in state.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild from plain arrays, trusting none of them: ValueError names what is damaged."""
        try:
            self._restore(state)
        except (KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
            raise ValueError(f"damaged forest: {type(error).__name__}: {error}") from None
        self.check()

    def _restore(self, state: dict[str, Any]) -> None:
        if state["version"] != STATE_VERSION:
            raise ValueError(f"this forest has state version {state['version']!r}; "
                             f"this imondrian reads version {STATE_VERSION}")
        saved = state["columns"]
        for name, kinds in (("n_features", int), ("memory", int), ("decay", (int, float)), ("scaled", bool)):
            if not isinstance(state[name], kinds):
                raise ValueError(f"damaged forest: {name} {state[name]!r}")
        if saved["points"].dtype not in (np.float32, np.float64):
            raise ValueError(f"damaged forest: column 'points' has {saved['points'].dtype}, "
                             "expected float32 or float64")
        if saved["rng"].dtype != np.uint64:
            raise ValueError(f"damaged forest: column 'rng' has {saved['rng'].dtype}, expected uint64")
        self.n_features, self.memory, self.decay = int(state["n_features"]), int(state["memory"]), float(state["decay"])
        self.scaled = state["scaled"]
        if self.memory not in (UNBOUNDED, SLIDING, RESERVOIR) or not 0 <= self.decay < np.inf:
            raise ValueError(f"damaged forest: memory {self.memory!r} with decay {self.decay!r}")
        bounded = self.memory != UNBOUNDED
        slots = saved["member_leaf" if bounded else "leaf_point"]
        if slots.ndim != 2 or len(slots) != len(saved["rng"]) or not saved["rng"].any(axis=1).all():
            raise ValueError(f"damaged forest: generators of shape {saved['rng'].shape} for {slots.shape} slots, "
                             "or one that is all zero")
        capacity = max(1, slots.shape[1] + bounded)
        n_rows = max(1, len(saved["points"]))
        lanes = _core.PACK_BYTES // saved["points"].dtype.itemsize
        widths = (self.n_features, -(-self.n_features // lanes) * lanes)  # a file holds padded rows
        if self.n_features < 1 or saved["points"].shape[1] not in widths:
            raise ValueError(f"damaged forest: {self.n_features} features, points of shape {saved['points'].shape}")
        spare = Forest(self.n_features, saved["points"].dtype, saved["rng"], capacity, n_rows,
                       memory=self.memory, decay=self.decay, scaled=self.scaled, boxes="lower" in saved,
                       spaced="clean" in saved)
        self.columns = spare.columns
        if unknown := saved.keys() - self.columns.keys() - {"upper"}:
            raise ValueError(f"damaged forest: there is no column {min(unknown)!r}")
        for name, column in self.columns.items():
            source = saved[name]
            if source.dtype != column.dtype or source.ndim != column.ndim:
                raise ValueError(f"damaged forest: column {name!r} has {source.dtype} {source.shape}, "
                                 f"expected {column.dtype} with {column.ndim} axes")
            if any(have > room for have, room in zip(source.shape, column.shape, strict=True)) or \
                    (len(source) != len(column) and name != "points"):
                raise ValueError(f"damaged forest: column {name!r} has shape {source.shape}, room for {column.shape}")
            if source.shape == column.shape and not source.flags.writeable and source.flags.c_contiguous:
                self.columns[name] = source  # mapped from a file: the first update copies it
                continue
            column[tuple(slice(size) for size in source.shape)] = source
            if name in _PADDED and name != "rate":
                column[..., self.n_features:] = np.nan
        self._renew_view()
