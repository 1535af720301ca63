"""Why a row is anomalous, in words: its largest contributions beside what is usual among the stored points."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imondrian._forest.imported_forest import ImportedForest
from imondrian._forest.stored_points import StoredPoints as StoredPoints
from imondrian._forest.stored_points import Usual

MOST_REASONS = 3
NOT_READY = "not enough is known yet"
_LEAST_SHARE = 0.25  # of the largest contribution, for a value within what is usual to be told of
_MOST_NAMES = 3  # features named as usual, or as missing; more are counted
_LEAST_DIGITS, _MOST_DIGITS = 3, 17
_LONGEST_LEVEL = 40  # characters
_LEAST_PERCENT = 0.1
_SMALLEST, _LARGEST = 1e-4, 1e9  # numbers that are written without an exponent


def telling_parts(forest: Any, rows: np.ndarray, score: str, n_threads: int = 1) -> np.ndarray:
    """Return what to choose reasons by: contributions (n, d, 2) to the score "insertion", whichever score is in use.

    Only that one knows how far outside of all boxes a value lies. Of values moved by eight deviations it names 98 %
    first; "spacing" names 91 %, "depth", which is told by whichever cut comes first, 63 %. A forest without points has
    its own score alone.
    """
    return np.asarray(forest.explain(rows, score if isinstance(forest, ImportedForest) else "insertion", n_threads)[0])


def without_sides(contributions: np.ndarray, nominal: np.ndarray) -> np.ndarray:
    """Return contributions (..., d, 2) with all that categories contribute in one place: they are not low or high."""
    if not nominal.any():
        return contributions
    found = contributions.copy()
    found[..., nominal, 1] += found[..., nominal, 0]
    found[..., nominal, 0] = 0.0
    return found


def why(
    points: StoredPoints,
    row: np.ndarray,
    parts: np.ndarray,
    names: Sequence[Any],
    p_value: float | None = None,
    most: int = MOST_REASONS,
    new: Sequence[Any] = (),
    told: Mapping[int, Any] | None = None,
) -> str:
    """Return why a row has its score.

    Parameters
    ----------
    points : StoredPoints
    row : ndarray (d,)
        NaN where a value is missing.
    parts : ndarray (d, 2)
        What each feature contributes for being low and for being high, as of :func:`telling_parts`.
    names : sequence of d names
    p_value : float, optional
        The row's.
    most : int
        Features to tell of, those that contribute most.
    new : sequence
        Names of values that the forest knows nothing of.
    told : mapping, optional
        The row's values as they came, by feature: how categories are called.
    """
    beside = points.beside(row)
    sizes, fine = parts.max(axis=1), beside.is_usual
    order = [i for i in np.argsort(-sizes, kind="stable")[:most].tolist() if sizes[i] > 0.0 and row[i] == row[i]]
    order = [i for i in order if not fine[i] or sizes[i] >= _LEAST_SHARE * sizes[order[0]]]
    # No tree cuts what is always the same, so that another value contributes nothing.
    odd = np.flatnonzero(~fine & (row == row)).tolist()
    order += [i for i in odd if i not in order and sizes[i] == 0.0 and beside.is_constant[i]][:most]
    clauses = [
        _level_clause(_named(names[i]), (told or {}).get(i), points.share(i, row[i]))
        if points.nominal[i]
        else _clause(
            _named(names[i]),
            float(row[i]),
            "high" if parts[i, 1] >= parts[i, 0] else "low",
            points.usual(i),
            bool(beside.is_constant[i]),
            len(row) == 1,
        )
        for i in order
    ]
    text = "; ".join(clauses) if clauses else "nothing stands out"
    if p_value is not None:
        text += f" ({p_text(p_value)})"
    rest = np.ones(len(row), bool)
    rest[order] = False
    groups = {"missing": rest & np.isnan(row) & (beside.share >= 0.5), "usual": rest & fine & bool(order)}
    said = {what: [_named(names[i]) for i in np.flatnonzero(some).tolist()] for what, some in groups.items()}
    said["never seen before"] = [_named(name) for name in new]
    return "; ".join([text, *(f"{_listed(some)} {what}" for what, some in said.items() if some)])


def _named(name: Any) -> str:
    return name if isinstance(name, str) else f"feature {name}"


def level_text(value: Any) -> str:
    """Return a category as sentences have it: short, quoted where it would not be seen where it ends."""
    if isinstance(value, (np.bool_, np.generic)):
        value = value.item()
    text = str(value) if not isinstance(value, enum.Enum) else value.name
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        text = str.__str__(value)
    if len(text) > _LONGEST_LEVEL:
        text = text[: _LONGEST_LEVEL - 3] + "..."
    is_plain = text.isprintable() and text == text.strip() and text and not set(text) & set(";:=")
    return text if is_plain else repr(text)


def _level_clause(name: str, value: Any, share: float | None) -> str:
    called = f"{name} = {level_text(value)}" if value is not None else f"the value of {name}"
    if not share:
        return f"{called}: never seen"
    percent = 100.0 * share
    if percent < _LEAST_PERCENT:
        return f"{called}: less than {_LEAST_PERCENT} % of points"
    return f"{called}: {number_texts(round(percent, 1 if percent < 9.95 else 0))[0]} % of points"


def _clause(name: str, value: float, side: str, usual: Usual | None, is_constant: bool, alone: bool) -> str:
    if usual is None:
        return f"{name} {number_texts(value)[0]} is {side}"
    written, low, high = number_texts(value, usual.low, usual.high)
    span = low if usual.low == usual.high else f"{low} to {high}"
    if usual.low <= value <= usual.high:
        return f"{name} {written} is {'its' if usual.low == usual.high else 'within its'} usual {span}, but " + (
            "rare there" if alone else f"{side} given the others"
        )
    where = "above" if value > usual.high else "below"
    return f"{name} {written} is {where} its {'constant' if is_constant else 'usual'} {span}"


def number_texts(*values: float) -> list[str]:
    """Return numbers with three significant digits, or as many as it takes to tell those that differ apart."""
    texts: list[str] = []
    for digits in range(_LEAST_DIGITS, _MOST_DIGITS + 1):
        texts = [_written(value, digits) for value in values]
        if len(set(texts)) == len({value + 0.0 for value in values}) and all(
            map(math.isfinite, map(float, texts))
        ):  # -0.0 is 0.0; the largest double must not be rounded up
            break
    return texts


def _written(value: float, digits: int) -> str:
    size = abs(value)
    if size == 0.0 or math.isinf(size):
        return f"{value + 0.0:g}"
    if not _SMALLEST <= size < _LARGEST:
        return f"{value:.{digits}g}"
    text = f"{value:.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def p_text(p_value: float) -> str:
    """Return a p-value, as "p = .03"."""
    if p_value < 1e-4:
        return "p < .0001"
    if p_value >= 0.995:
        return "p = 1"
    digits = 2 if p_value >= 0.1 else 1 - math.floor(math.log10(p_value)) - 1
    return "p = " + f"{p_value:.{digits}f}".removeprefix("0")


def _listed(names: list[str]) -> str:
    if len(names) > _MOST_NAMES:
        return f"{len(names)} others"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
