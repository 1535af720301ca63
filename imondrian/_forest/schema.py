"""The table of columns as Python needs it: which a forest has, and how they are made.

The table itself, and what its words mean, is ``native/columns.hpp``.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from imondrian import _core

UNBOUNDED, SLIDING, RESERVOIR = 0, 1, 2  # what a tree keeps of a stream
LEARNING = "learning"
_OF_MEMORY = {
    UNBOUNDED: frozenset[str](),
    SLIDING: frozenset({"bounded"}),
    RESERVOIR: frozenset({"bounded", "reservoir"}),
}
_EMPTY_TREE = (-1, 0, -1, -1, 0, 0)

COLUMNS = {column.name: column for column in _core.COLUMNS}
EDITIONS_SINCE = 4  # states before have none: their forests are of edition 0
STATE_VERSION = max(EDITIONS_SINCE, *(column.since for column in _core.COLUMNS))


def kinds_of(
    memory: int,
    *,
    boxes: bool = False,
    spaced: bool = False,
    mixed: bool = False,
    learning: bool = False,
    timed: bool = False,
) -> frozenset[str]:
    """Return the kinds of columns that such a forest has."""
    asked = {"always": True, "boxes": boxes, "spaced": spaced, "mixed": mixed, LEARNING: learning}
    asked |= {"timed": timed, "aged": timed and memory == SLIDING}
    return _OF_MEMORY[memory].union(kind for kind, wanted in asked.items() if wanted)


def kinds_saved(memory: int, names: AbstractSet[str]) -> frozenset[str]:
    """Return the kinds of columns that a state with columns of these ``names`` has.

    What follows from the rest may be left out: it is there if the first of its kind is.
    """
    first = {column.when: column for column in reversed(_core.COLUMNS)}
    out = {kind for kind, column in first.items() if column.kept != "file" and column.name not in names}
    return kinds_of(memory) | (_core.kinds_of(names) - _OF_MEMORY[RESERVOIR] - out - {LEARNING})


def in_files(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns of a state that a file or a short form keeps; the others follow from them."""
    return {name: column for name, column in columns.items() if COLUMNS[name].kept == "file"}


def padded_width(n_features: int, dtype: np.dtype) -> int:
    """Return the values of a row, whole packs."""
    lanes = _core.PACK_BYTES // dtype.itemsize
    return -(-n_features // lanes) * lanes


def empty_columns(
    kinds: AbstractSet[str], dtype: np.dtype, trees: int, slots: int, width: int, rows: int, bag: int
) -> dict[str, np.ndarray]:
    """Return new columns of some kinds."""
    told = _core.columns_of(kinds, dtype, trees, slots, width, rows, slots - 1, bag)
    return {name: filled(shape, empty, kind) for _, name, kind, shape, empty in told}


def filled(shape: tuple[int, ...], value: int, dtype: np.dtype) -> np.ndarray:
    """Return an array full of a value."""
    return np.full(shape, value, dtype) if value else np.zeros(shape, dtype)  # zeros take no memory until written to


def new_forest(
    kinds: AbstractSet[str],
    n_features: int,
    dtype: Any,
    states: np.ndarray,
    slots: int,
    rows: int,
    scaled: bool,
    edition: int,
    nominal: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the columns of empty trees with these generators; ``nominal`` (n_features,): weights, 0 for numbers."""
    dtype = np.dtype(dtype)
    columns = empty_columns(
        kinds, dtype, len(states), slots, padded_width(n_features, dtype), rows, _core.bag_size(n_features, edition)
    )
    columns["header"][...] = _EMPTY_TREE
    columns["rng"][...] = states
    if nominal is not None:
        columns["nominal"][:n_features] = nominal
    begin_rates(columns, np.arange(n_features), scaled)
    if "member_time" in columns:  # a ring by age: all of its places are held, and blank
        columns["member_leaf"][...] = -1
        columns["stream"][:, _core.HELD] = columns["pace"][:, _core.BLANK] = columns["member_leaf"].shape[1]
    return columns


def nominal_weights(nominal: Any, weight: float) -> np.ndarray | None:
    """Return the weight of every feature, 0 of numbers; None where all are numbers."""
    if nominal is None or not np.any(nominal):
        return None
    return np.where(nominal, float(weight), 0.0)


def begin_rates(columns: dict[str, np.ndarray], new: Any, scaled: bool) -> None:
    """Give ``new`` features the rates of those that nothing is known of."""
    rate = 0.0 if scaled else 1.0
    columns["rate"][:, new] = rate
    if "nominal" in columns:
        weight, bits = columns["nominal"][new], 8 * columns["rate"].dtype.itemsize - _core.USELESS_BITS
        columns["rate"][:, new] = np.where(weight > 0, 0.0, rate)
        columns["bit_rate"][:, new] = rate * weight / bits
        columns["level_root"][:, new] = columns["entropy"][:, new] = 0.0
