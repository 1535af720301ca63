"""Scores of rows on a CUDA device: what is uploaded of a forest, sizes and launches."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, proxy

import numpy as np

from imondrian._forest.checked_tables import first_infinity
from imondrian._forest.forest import Forest
from imondrian._forest.schema import COLUMNS
from imondrian._forest.scoring import anomaly_scores, spacing_scores
from imondrian._kit.device import Device
from imondrian._kit.kernel_source import Instance, Kernel

from .packed_forest import PackedForest, hidden_depths, pack

# By what share the CPU's scores of what a kernel measured may be off those of what the CPU measured.
_ERROR = {"depth": 0.0, "insertion": 1e-13, "spacing": 1e-12}

# The kernels of the scores that walk along boxes or points.
_WALKS = {"insertion": ("depth_score", "insertion_depths"), "spacing": ("spacing", "log_spacings")}

_THREADS = 256  # of a block of kernels/leaf_depth.cu
_PATH_THREADS = 128  # of a block of kernels/depth_score.cu
_ROWS_BYTES = 40 * 1024  # shared memory that a block's rows may take
_BLOCK_BYTES = 56 * 1024  # shared memory of a block of which four are to run side by side

_COLUMNS = [name for name, column in COLUMNS.items() if column.where == "device"]  # in the order of kernels/tree.cuh

_copies: WeakKeyDictionary[Forest, dict[Hashable, DeviceForest]] = WeakKeyDictionary()


def device_forest(device: Device, forest: Forest) -> DeviceForest:
    """Return the copy of a forest on a device: the one made before, unless the forest has changed since."""
    copies = _copies.setdefault(forest, {})
    copy = copies.get(device.key)
    if copy is None or copy.state != _state(forest):
        copy = copies[device.key] = DeviceForest(device, forest)
    return copy


def _state(forest: Forest) -> tuple[int, int]:
    return forest.n_updates, forest.n_features


class DeviceForest:
    """A forest on a device; its parts are uploaded when first needed, and kept."""

    def __init__(self, device: Device, forest: Forest) -> None:
        self.device, self.state = device, _state(forest)
        self.n_trees, self.n_features, self.dtype = forest.n_trees, forest.n_features, forest.dtype
        # The mean c(mass) of the trees, which comes beside the depths of no rows at all.
        self.norm = float(forest.depths(np.empty((0, forest.n_features), forest.dtype), "depth")[1])
        self._forest = proxy(forest)  # copies are kept as long as their forest, which must not be kept by them
        self._columns: dict[str, Any] = {}
        self._stand_ins: dict[np.dtype, Any] = {}
        self._hidden_depth: Any = None
        self._ways: dict[str, tuple[Any, ...]] = {}  # of rows with missing values, by score
        self._packed: PackedForest | None = None
        self._words: Any = None
        self._starts: Any = None
        self._groups: dict[Plan, Any] = {}

    def scores(self, x: Any, score: str, sign: float = 1.0) -> Any:
        """Return ``sign`` times the anomaly score, in [0, 1], of each row of ``x`` (n, d); (n,), float64.

        ValueError where a value is infinite; nothing else is checked.
        """
        measured, instance = self._measure(x, score)
        entry, numbers = (
            ("scores_of_spacings", self._usual()) if score == "spacing" else ("scores_of_depths", (self.norm,))
        )
        self.device.launch(
            Kernel(instance, entry),
            (-(-len(x) // 256),),
            (256,),
            (measured, np.int64(len(x)), *map(np.float64, (*numbers, sign))),
        )
        return measured

    def host_scores(self, x: Any, score: str) -> np.ndarray:
        """Return scores to be compared with the CPU's: in numpy, never above them, and equal where they can be."""
        measured = self.device.xp.asnumpy(self.measure(x, score))
        if score == "spacing":
            scores = spacing_scores(self._forest.spacing_excess(measured))
        else:
            scores = anomaly_scores(measured, self.norm)
        return scores * (1.0 - _ERROR[score])

    def measure(self, x: Any, score: str) -> Any:
        """Return the mean over the trees of each row's depth, or for "spacing" of its log spacing."""
        return self._measure(x, score)[0]

    def _measure(self, x: Any, score: str) -> tuple[Any, Instance]:
        """Return also which instance was used: others need not be compiled."""
        xp = self.device.xp
        if score == "spacing" and self._forest.wide:
            return self._wide_spacings(x), Instance("imondrian", "spacing", self.dtype)
        measured, missing = xp.empty(len(x), dtype=np.float64), xp.empty(len(x), dtype=np.int64)
        counts = xp.zeros(2, dtype=np.uint64)
        if score == "depth":
            instance = self._leaf_depths(x, measured, missing, counts)
        else:
            file, entry = _WALKS[score]
            instance = Instance("imondrian", file, self.dtype)
            self.device.launch(
                Kernel(instance, entry),
                (-(-len(x) // _PATH_THREADS),),
                (_PATH_THREADS,),
                (*self._column_args(file), x, np.int64(len(x)), measured, missing, counts),
            )
        n_missing, n_infinite = xp.asnumpy(counts).tolist()
        if n_infinite:
            raise self._too_large(xp.asnumpy(x))
        if n_missing:
            self._measure_missing(x, missing, n_missing, score, measured)
        return measured, instance

    def _too_large(self, rows: np.ndarray) -> ValueError:
        """Return the error that the CPU raises."""
        return ValueError(f"Input X contains infinity or a value too large for {self.dtype!r}.{first_infinity(rows)}")

    def _wide_spacings(self, x: Any) -> Any:
        """Return log spacings that count distances to clean points: the CPU measures a copy of the rows."""
        rows = self.device.xp.asnumpy(x)
        if np.isinf(rows).any():
            raise self._too_large(rows)
        middle, to_limit = self._usual()
        measured = (self._forest.depths(rows, "spacing")[0] + 1.0) * to_limit + middle
        return self.device.xp.asarray(measured)

    def _usual(self) -> tuple[float, float]:
        """Return the middle of recent log spacings, and how far above it the unusual begins.

        The core alone knows how it keeps them: what it makes of 0 and 1 tells which straight line it goes by.
        """
        at_0, at_1 = self._forest.spacing_excess(np.array([0.0, 1.0])).tolist()
        to_limit = 1.0 / (at_1 - at_0)
        return -(at_0 + 1.0) * to_limit, to_limit

    def _leaf_depths(self, x: Any, depth: Any, missing: Any, counts: Any) -> Instance:
        packed = self._pack()
        row_bytes = _THREADS * self.n_features * self.dtype.itemsize
        plan = Plan.choose(len(x), row_bytes, int(packed.tree_bytes.max()), self.device)
        if plan not in self._groups:
            self._groups[plan] = self._upload(plan.groups(packed.tree_bytes))
        groups = self._groups[plan]
        instance = Instance(
            "imondrian",
            "leaf_depth",
            self.dtype,
            (
                ("WIDE", int(packed.wide)),
                ("ROWS", plan.rows),
                ("SHARED_ROWS", int(plan.rows_bytes > 0)),
                ("SHARED_TREES", int(plan.trees_bytes > 0)),
            ),
        )
        self.device.launch(
            Kernel(instance, "leaf_depths"),
            (-(-len(x) // (_THREADS * plan.rows)),),
            (_THREADS,),
            (
                self._words,
                self._starts,
                groups,
                np.int32(len(groups) - 1),
                np.int32(self.n_trees),
                np.int32(packed.feature_bits),
                x,
                np.int64(len(x)),
                np.int32(self.n_features),
                depth,
                missing,
                counts,
            ),
            plan.rows_bytes + plan.trees_bytes,
        )
        return instance

    def _measure_missing(self, x: Any, missing: Any, n_missing: int, score: str, measured: Any) -> None:
        """Measure the rows that lack values, whose number and places are given."""
        file, entry, flags = (
            ("spacing", "mended_spacings", ())
            if score == "spacing"
            else ("depth_score", "mended_depths", (np.int32(score == "insertion"),))
        )
        if score not in self._ways:
            self._ways[score] = tuple(map(self._upload, self._forest.drawn_ways(score)))
        self.device.launch(
            Kernel(Instance("imondrian", file, self.dtype), entry),
            (-(-n_missing // _PATH_THREADS),),
            (_PATH_THREADS,),
            (
                *self._column_args(file, boxes=score != "depth"),
                x,
                missing,
                np.int64(n_missing),
                *flags,
                *self._ways[score],
                measured,
            ),
        )

    def _pack(self) -> PackedForest:
        if self._packed is None:
            packed = pack(self._forest.columns, self.n_features)
            self._words, self._starts = self._upload(packed.words), self._upload(packed.starts)
            self._packed = packed
        return self._packed

    def _column_args(self, file: str, boxes: bool = True) -> tuple[Any, ...]:
        """Return what a kernel file's parameters begin with; stand-ins for columns that the forest lacks, or boxes."""
        if boxes:
            self._forest.ensure_boxes(1)
        columns = self._forest.columns
        for name in _COLUMNS:
            if name not in self._columns and name in columns and (boxes or COLUMNS[name].when != "boxes"):
                self._columns[name] = self._upload(columns[name])
        arrays = [self._columns[name] if name in self._columns else self._stand_in(name) for name in _COLUMNS]
        sizes = np.int32(self.n_trees), np.int64(columns["feature"].shape[1]), np.int64(columns["points"].shape[1])
        return (*arrays, *sizes, np.int32(self.n_features), *([self._hidden()] if file == "depth_score" else []))

    def _stand_in(self, name: str) -> Any:
        dtype = COLUMNS[name].dtype(self.dtype)
        if dtype not in self._stand_ins:
            self._stand_ins[dtype] = self._upload(np.zeros(1, dtype))
        return self._stand_ins[dtype]

    def _hidden(self) -> Any:
        if self._hidden_depth is None:
            self._hidden_depth = self._upload(hidden_depths(self._forest.columns))
        return self._hidden_depth

    def _upload(self, array: np.ndarray) -> Any:
        uploaded = self.device.xp.asarray(np.ascontiguousarray(array))
        self.device.synchronize()  # whoever uses it next may do so on another stream
        return uploaded


@dataclass(frozen=True, slots=True)
class Plan:
    """How a block of kernels/leaf_depth.cu is laid out."""

    rows: int  # a thread
    rows_bytes: int  # of shared memory; 0: rows stay in global memory
    trees_bytes: int  # likewise

    @classmethod
    def choose(cls, n: int, row_bytes: int, largest_tree: int, device: Device) -> Plan:
        """Choose for ``n`` rows, of which a row a thread takes ``row_bytes`` in all.

        Several rows a thread hide the latency of each other, where enough blocks are left for every
        multiprocessor.
        """
        shared = device.shared_bytes
        most = min(_ROWS_BYTES, shared)
        rows = next(
            (
                rows
                for rows in (4, 2)
                if rows * row_bytes <= most and n >= rows * _THREADS * 2 * device.n_multiprocessors
            ),
            1,
        )
        rows_bytes = rows * row_bytes if rows * row_bytes <= most else 0
        if rows_bytes + largest_tree > shared >= largest_tree:
            rows, rows_bytes = 1, 0  # a tree is read more often than a row
        trees_bytes = max(min(_BLOCK_BYTES, shared) - rows_bytes, largest_tree)
        return cls(rows, rows_bytes, trees_bytes if rows_bytes + trees_bytes <= shared else 0)

    def groups(self, tree_bytes: np.ndarray) -> np.ndarray:
        """Return the first tree of each group that is in shared memory together, and the number of trees."""
        if self.trees_bytes == 0:
            return np.array([0, len(tree_bytes)], np.int32)
        firsts, held = [0], 0
        for t, size in enumerate(tree_bytes.tolist()):
            if held + size > self.trees_bytes:
                firsts.append(t)
                held = 0
            held += size
        return np.array([*firsts, len(tree_bytes)], np.int32)
