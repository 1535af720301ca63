"""The schema of a stream: which features a model knows, and the place of each in its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from imondrian._forest.forest import Forest
from imondrian._forest.validation import in_precision, overflows

from .settings import StreamSettings

_MANY_SILENT = 0.25  # of all keys


def in_order(new: list[Any]) -> list[Any]:
    """Return keys in an order that does not depend on the one they came in."""
    try:
        return sorted(new)
    except TypeError:  # keys of several types
        return sorted(new, key=lambda key: (type(key).__name__, str(key)))


def check_precision(x: dict[Any, float], dtype: np.dtype) -> None:
    """Raise ValueError where ``dtype`` cannot hold a value of a point."""
    if dtype == np.float64:
        return
    for key in np.array(list(x), object)[overflows(np.array(list(x.values())), dtype)]:
        raise ValueError(f"x[{key!r}] must be finite in {dtype}, the forest's precision, got {x[key]}")


def placed(
    keys: dict[Any, int], fields: Sequence[Any], values: np.ndarray, n_features: int, dtype: np.dtype
) -> np.ndarray:
    """Return the columns named ``fields`` in the places of ``keys``; ValueError where ``dtype`` cannot hold a value."""
    values = in_precision(values, dtype, fields)
    places = [keys.get(key) for key in fields]
    if places == list(range(n_features)):
        return values
    rows = np.full((len(values), n_features), np.nan, dtype=dtype)
    for column, place in enumerate(places):
        if place is not None:
            rows[:, place] = values[:, column]
    return rows


def silent_keys(keys: dict[Any, int], forest: Forest | None, n_new: int, settings: StreamSettings) -> set[Any]:
    """Return the keys to drop for ``n_new`` others; none unless that saves room or width.

    Others take the places of as many as they are. More are dropped only where they are many: features move then,
    so that all boxes and points are copied.
    """
    if forest is None or settings.retention.points is None:
        return set()
    if len(keys) + n_new <= min(settings.max_features, forest.padded):
        return set()
    names, silent = list(keys), forest.silent_features(settings.n_threads)
    return {names[place] for place in (silent if len(silent) >= _MANY_SILENT * len(keys) else silent[:n_new])}
