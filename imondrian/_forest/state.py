"""A forest as plain arrays, without spare room, padding or what follows from the rest; and back, trusting none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from imondrian import _core

from .schema import COLUMNS, RESERVOIR, SLIDING, STATE_VERSION, UNBOUNDED, kinds_saved, new_forest, padded_width

_OLDEST = min(column.since for column in COLUMNS.values())
_MOST_DECAY = 64.0  # windows and horizons give 22 at most; with far more, the weights of later points overflow
_MOST_SEEN = 1 << 60  # half of what the audit bears: a stream goes on
_SETTINGS = (("n_features", int), ("memory", int), ("decay", (int, float)), ("scaled", bool))


class Restored(NamedTuple):
    """What a forest is made of."""

    n_features: int
    memory: int
    decay: float
    scaled: bool
    columns: dict[str, np.ndarray]


def live_leaves(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Return which slots of leaves are in use, (n_trees, capacity)."""
    marks = columns["header"][:, _core.LEAF_MARK, None]
    points = columns["leaf_point"]
    return (np.arange(points.shape[1]) < marks) & (points >= 0)


def saved_columns(columns: dict[str, np.ndarray], n_features: int) -> dict[str, np.ndarray]:
    """Return what is kept of columns: slots that were ever used, stored points that a leaf points at."""
    marks = columns["header"].max(axis=0)
    used = {"node": marks[_core.NODE_MARK], "leaf": marks[_core.LEAF_MARK]}
    live = live_leaves(columns)
    held = np.zeros(len(columns["points"]), bool)
    held[columns["leaf_point"][live]] = True
    leaf_point = columns["leaf_point"].copy()
    leaf_point[live] = (np.cumsum(held) - 1)[leaf_point[live]]
    found = {}
    for name, column in {**columns, "leaf_point": leaf_point}.items():
        told = COLUMNS[name]
        if told.kept == "never":
            continue
        if told.of in used:
            column = column[:, : used[told.of]]
        elif told.of == "row":
            column = column[held]
        found[name] = np.ascontiguousarray(column[..., :n_features] if told.padded else column)
    return found


def state_version(names: Any) -> int:
    """Return the version of states with columns of these names: older programs read what they know."""
    return max(COLUMNS[name].since for name in names)


def restored(state: dict[str, Any]) -> Restored:
    """Return what a forest of this state is made of, or ValueError; whether its columns make trees is to be seen."""
    if type(state["version"]) is not int or not _OLDEST <= state["version"] <= STATE_VERSION:
        versions = f"version {_OLDEST}" if _OLDEST == STATE_VERSION else f"versions {_OLDEST} to {STATE_VERSION}"
        raise ValueError(f"this forest has state version {state['version']!r}; this imondrian reads {versions}")
    saved = state["columns"]
    _check_settings(state, saved)
    n_features, memory, decay = int(state["n_features"]), int(state["memory"]), float(state["decay"])
    slots = saved["leaf_point" if memory == UNBOUNDED else "member_leaf"]
    rng = saved["rng"]
    if slots.ndim != 2 or rng.shape != (len(slots), COLUMNS["rng"].each) or not rng.any(axis=1).all():
        raise ValueError(
            f"damaged forest: generators of shape {rng.shape} for {slots.shape} slots, or one that is all zero"
        )
    _check_widths(saved, n_features)
    columns = new_forest(
        kinds_saved(memory, saved.keys()),
        n_features,
        saved["points"].dtype,
        rng,
        max(1, slots.shape[1] + (memory != UNBOUNDED)),
        max(1, len(saved["points"])),
        state["scaled"],
    )
    if unknown := {name for name in saved.keys() - columns.keys() if not _follows(name)}:
        raise ValueError(f"damaged forest: there is no column {min(unknown)!r}")
    for name, column in columns.items():
        if name in saved or COLUMNS[name].since <= state["version"]:
            columns[name] = _filled(name, column, saved[name], n_features)
    for name, column in saved.items():  # also where no tree has a cut: features are renumbered everywhere
        if COLUMNS[name].holds == "feature" and column.max(initial=-1) >= n_features:
            raise ValueError(f"damaged forest: column {name!r} names the feature {column.max()} of {n_features}")
    return Restored(n_features, memory, decay, state["scaled"], columns)


def _follows(name: str) -> bool:
    return name in COLUMNS and COLUMNS[name].kept == "pickle"


def check_stream(columns: dict[str, np.ndarray]) -> None:
    """Raise ValueError where a stream can't go on."""
    seen = columns["stream"][:, 0].max(initial=0)
    if seen > _MOST_SEEN:
        raise ValueError(f"damaged forest: {seen} points seen")


def _check_settings(state: dict[str, Any], saved: dict[str, np.ndarray]) -> None:
    for name, kinds in _SETTINGS:
        if not isinstance(state[name], kinds):
            raise ValueError(f"damaged forest: {name} {state[name]!r}")
    if saved["points"].dtype not in (np.float32, np.float64):
        raise ValueError(f"damaged forest: column 'points' has {saved['points'].dtype}, expected float32 or float64")
    if saved["rng"].dtype != np.uint64:
        raise ValueError(f"damaged forest: column 'rng' has {saved['rng'].dtype}, expected uint64")
    memory, decay = state["memory"], state["decay"]
    if memory not in (UNBOUNDED, SLIDING, RESERVOIR) or not 0 <= decay <= _MOST_DECAY:
        raise ValueError(f"damaged forest: memory {int(memory)!r} with decay {float(decay)!r}")


def _check_widths(saved: dict[str, np.ndarray], n_features: int) -> None:
    """Before room is made that the columns do not have."""
    widths = (n_features, padded_width(n_features, saved["points"].dtype))  # a file holds padded rows
    if n_features < 1 or saved["points"].shape[1] not in widths:
        raise ValueError(f"damaged forest: {n_features} features, points of shape {saved['points'].shape}")
    for name, column in saved.items():
        if name in COLUMNS and COLUMNS[name].padded and column.shape[-1] not in widths:
            raise ValueError(f"damaged forest: {n_features} features, column {name!r} of shape {column.shape}")


def _filled(name: str, room: np.ndarray, source: np.ndarray, n_features: int) -> np.ndarray:
    """Return a saved column with the room of a new one."""
    told = COLUMNS[name]
    if source.dtype != room.dtype or source.ndim != room.ndim:
        raise ValueError(
            f"damaged forest: column {name!r} has {source.dtype} {source.shape}, "
            f"expected {room.dtype} with {room.ndim} axes"
        )
    if not _fits(told, source.shape, room.shape, n_features):
        raise ValueError(f"damaged forest: column {name!r} has shape {source.shape}, room for {room.shape}")
    if source.shape == room.shape and not source.flags.writeable and source.flags.c_contiguous:
        return np.asarray(source)  # mapped from a file: the first update copies it
    room[tuple(slice(size) for size in source.shape)] = source
    if told.padded and told.holds == "coordinate":
        room[..., n_features:] = np.nan
    return room


def _fits(told: _core.Column, have: tuple[int, ...], room: tuple[int, ...], n_features: int) -> bool:
    """Whether a saved column has the shape of a new one, but for spare slots and rows, and padding."""
    if told.padded:
        have, room = (*have[:-1], min(have[-1], n_features)), (*room[:-1], n_features)
    if told.of == "row":
        return have[1:] == room[1:] and have[0] <= room[0]
    if told.of in ("node", "leaf"):
        return have[0] == room[0] and have[1] <= room[1] and have[2:] == room[2:]
    return have == room
