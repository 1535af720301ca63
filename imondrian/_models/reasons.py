"""Why a point of a stream has its score: what its features contribute, and the same in words."""

from __future__ import annotations

from typing import Any

import numpy as np

from imondrian._forest.forest import Forest

from .feedback import said_of
from .wording import NOT_READY, StoredPoints, telling_parts, why, without_sides

StreamModel = Any  # that of stream.py, which imports this

# A point's features, what each contributes to its score from below and above, (d, 2), and the same in words.
Reasons = tuple[list[Any], np.ndarray, str]


def contributions(model: StreamModel, x: dict[Any, Any], by_direction: bool) -> dict[Any, Any]:
    """Return what each feature of x contributes to its score."""
    row, parts = model.row(x), np.zeros((len(x), 2))
    if row is not None and model.forest is not None and model.is_ready:
        parts = _parts(model, model.forest, x, row)
    found = zip(x, parts, strict=True)
    if by_direction:
        return {key: (float(below), float(above)) for key, (below, above) in found}
    return {key: float(pair.sum()) for key, pair in found}


def in_words(model: StreamModel, x: dict[Any, Any], most: int) -> str:
    """Return in words why x has its score."""
    row = model.row(x)
    if row is None or model.forest is None or not model.is_ready:
        return NOT_READY
    return _words(model, model.forest, x, row, _p_value(model, x), most)


def reasons_of(model: StreamModel, x: dict[Any, Any], most: int) -> Reasons:
    """Return why x has its score."""
    row = model.row(x)
    if row is None or model.forest is None or not model.is_ready:
        return list(x), np.zeros((len(x), 2)), NOT_READY
    return reasons_in(model, model.forest, x, row, _p_value(model, x), most)


def reasons_in(
    model: StreamModel, forest: Forest, x: dict[Any, Any], row: np.ndarray, p_value: float | None, most: int
) -> Reasons:
    """Return why x, which is that row, has its score in a forest with the features of the model's."""
    return list(x), _parts(model, forest, x, row), _words(model, forest, x, row, p_value, most)


def _p_value(model: StreamModel, x: dict[Any, Any]) -> float | None:
    return None if model.recent is None else model.recent.p_value(model.score_one(x))


def _parts(model: StreamModel, forest: Forest, x: dict[Any, Any], row: np.ndarray) -> np.ndarray:
    """Return what each feature of x contributes from below and above, (len(x), 2)."""
    parts = np.zeros((len(model.keys) + 1, 2))  # the last for what is not known
    parts[:-1] = without_sides(forest.explain(row, model.settings.score)[0][0], forest.nominal)
    return parts[[model.keys.get(key, -1) for key in x]]


def _words(
    model: StreamModel, forest: Forest, x: dict[Any, Any], row: np.ndarray, p_value: float | None, most: int
) -> str:
    parts = telling_parts(forest, row, model.settings.score)[0]
    told = {model.keys[key]: value for key, value in x.items() if key in model.keys}
    points = StoredPoints(forest)
    text = why(points, row[0], parts, list(model.keys), p_value, most, model.new_keys(x), told)
    return text + said_of(model.verdicts, row)[0]
