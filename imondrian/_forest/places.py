"""Where a forest keeps its features when some come and others go: as few as possible move, and room grows ahead."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from imondrian import _core

_AHEAD = 1.5  # room for features against what is needed, where the bytes that were promised allow it


def new_places(n_old: int, n_more: int, drop: Collection[int]) -> tuple[np.ndarray, list[int]]:
    """Return the place that each old feature has after a change (-1: none), and those of ``n_more`` new ones.

    Places stay without gaps: features from the end, and new ones, fill those of features that go.
    """
    dropped = set(drop)
    n_new = n_old - len(dropped) + n_more
    places = np.arange(n_old, dtype=np.int32)
    places[list(dropped)] = -1
    free = sorted({j for j in dropped if j < n_new} | set(range(n_old, n_new)))
    moving = [j for j in range(n_new, n_old) if j not in dropped]
    places[moving] = free[: len(moving)]
    return places, free[len(moving) :]


def room_for(width: int, lanes: int, pack_bytes: int, spare_bytes: int) -> int:
    """Return how many padded values a row gets when ``width`` are needed, whole packs of ``lanes``.

    A pack takes ``pack_bytes`` in all columns together; ``spare_bytes`` are left beside those that are needed.
    """
    ahead = int(width * _AHEAD) // lanes * lanes
    return width + min(ahead - width, max(spare_bytes, 0) // pack_bytes * lanes)


def keeps_places(places: np.ndarray, n_new: int) -> bool:
    """Whether ``n_new`` features can stand beside values that stay where they are.

    Features without a place have no values that anybody looks at: new ones take their places as they are.
    """
    kept = places >= 0
    return n_new >= len(places) and bool(np.array_equal(places[kept], np.flatnonzero(kept)))


def move_values(to: np.ndarray, column: np.ndarray, places: np.ndarray, n_new: int, fill: float) -> None:
    """Copy a column along its last axis, each feature to its place; beyond ``n_new`` of them there is ``fill``."""
    n = min(to.shape[-1], column.shape[-1])
    to[..., :n] = column[..., :n]
    to[..., n:] = fill
    for old in np.flatnonzero((places >= 0) & (places != np.arange(len(places)))).tolist():
        to[..., places[old]] = column[..., old]
    to[..., n_new:n] = fill


def order_of(places: np.ndarray, new: Sequence[int]) -> np.ndarray:
    """Return all places, those of old features first, int32."""
    return np.concatenate([np.sort(places[places >= 0]), np.asarray(new, np.int32)]).astype(np.int32)


def with_room(bag: np.ndarray, size: int) -> np.ndarray:
    """Return bags with the room they need now: where that is less, they are drawn anew."""
    if size == bag.shape[1]:
        return bag
    room = np.full((len(bag), size), -1, np.int32)
    if size > bag.shape[1]:
        room[:, : bag.shape[1]] = bag
    return room


def silent_in(columns: dict[str, np.ndarray], n_features: int) -> list[int]:
    """Return the features that no point of a forest with boxes has a value for; no cut can use them."""
    header, points = columns["header"], columns["points"]
    trees = np.flatnonzero(header[:, _core.LEAVES] > 0)
    roots = header[trees, _core.ROOT]
    shown = np.where(
        (roots >= 0)[:, None], columns["lower"][trees, roots], points[columns["leaf_point"][trees, ~roots]]
    )
    silent = np.isnan(shown[:, :n_features]).all(axis=0)
    if silent.any():  # a point that has joined a fuller one may have left a cut behind
        marks = header[:, _core.NODE_MARK, None]
        live = np.arange(columns["feature"].shape[1]) < marks
        used = columns["feature"][live]
        silent[used[used >= 0]] = False
    return np.flatnonzero(silent).tolist()
