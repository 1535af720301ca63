"""Rows of a stream scored and learnt in one pass, each with the p-value it had just before it was learnt.

What :mod:`imondrian.river` offers a point at a time, for those inside the package who have a table of many
(``keyed.py``, the command line): values are trusted to be finite or NaN, and nothing is converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imondrian._conformal.conformal import ScoreWindow
from imondrian._forest.rwlock import gate_of

if TYPE_CHECKING:
    from imondrian._models.online import OnlineForest

_BLOCK = 128  # scores ranked at a time: less pays for more calls, more for comparing each with all others


class Judged(NamedTuple):
    """What a stream's model said of rows before it learnt them; one entry a row in each."""

    scores: np.ndarray  # float64, high is anomalous, 0 while warming up
    p_values: np.ndarray  # float64, 1 while warming up
    ready: np.ndarray  # bool, False while warming up

    @classmethod
    def unready(cls, n: int) -> Judged:
        """Return what is said of ``n`` rows before there is anything to say."""
        return cls(np.zeros(n), np.ones(n), np.zeros(n, bool))


def score_learn(model: OnlineForest, keys: Sequence[Any], values: np.ndarray) -> Judged:
    """Score each row, then learn it, in order: ``score_one``, ``p_value_one`` and ``learn_one`` in turn.

    Parameters
    ----------
    model : OnlineForest
    keys : sequence of n_keys features
        All rows have them; a value that is not there is NaN.
    values : ndarray (n, n_keys), float64, without infinities
    """
    found, begin = [], 0
    while begin < len(values) and not model._keys.keys() >= set(keys):
        # Taking in a new key can change scores, so the row that brings it is scored before. If there is no room for it,
        # it is as new in the next row.
        one = values[begin : begin + 1]
        found.append(score(model, keys, one))
        learn(model, keys, one)
        begin += 1
    found.append(_score_learn(model, keys, values[begin:]))
    return found[0] if len(found) == 1 else Judged(*map(np.concatenate, zip(*found, strict=True)))


def _score_learn(model: OnlineForest, keys: Sequence[Any], values: np.ndarray) -> Judged:
    """Score and learn rows without keys that are new."""
    judged = Judged.unready(len(values))
    with gate_of(model).updating:
        rows = model._placed(list(keys), values)
        if rows is None or model._forest is None or len(rows) == 0:
            return judged
        first = min(max(0, model._warm_up - int(model._forest.mass)), len(rows))
        past = None if model._recent is None else _copied(model._recent)
        scores = model._learn(rows, scored=True, n_threads=model._n_threads)
        assert scores is not None
        judged.scores[:] = scores
        judged.ready[first:] = True
        if past is not None:
            judged.p_values[first:] = prequential_p_values(past, scores[first:])
    return judged


def score(model: OnlineForest, keys: Sequence[Any], values: np.ndarray) -> Judged:
    """Score rows and change nothing; arguments as for :func:`score_learn`."""
    with gate_of(model).reading:
        rows = model._placed(list(keys), values)
        if rows is None or model._forest is None or not model._is_ready or len(rows) == 0:
            return Judged.unready(len(values))
        scores = model._scores(rows, model._n_threads)
        if len(rows) == 1:
            model._scored = (model._forest, model._forest.n_updates, rows, float(scores[0]))  # learning it is next
        p_values = np.ones(len(rows)) if model._recent is None else model._recent.p_values(scores)
        return Judged(scores, p_values, np.ones(len(rows), bool))


def learn(model: OnlineForest, keys: Sequence[Any], values: np.ndarray) -> None:
    """Learn rows in order; arguments as for :func:`score_learn`. A single row that was just scored is not again."""
    with gate_of(model).updating:
        if not model._keys.keys() >= set(keys):
            model._placed(list(keys), values)  # what the forest's precision refuses changes nothing
            model._grow(keys, len(values))
        rows = model._placed(list(keys), values)
        if rows is not None and len(rows):
            model._learn(rows, n_threads=model._n_threads)


def keep_score(model: OnlineForest, value: float) -> None:
    """Let later p-values count a score whose point is not learnt."""
    with gate_of(model).updating:
        if model._recent is not None:
            model._recent.push_one(value)


def prequential_p_values(window: ScoreWindow, scores: np.ndarray) -> np.ndarray:
    """Return each score's p-value among those kept before it, each of which is kept for those after it.

    The same as the window's ``p_value`` and ``push_one`` in turn, which is left as it was or changed, as
    comes handy.
    """
    found = np.empty(len(scores))
    if window.half_life is not None:
        for i, value in enumerate(scores.tolist()):
            found[i] = window.p_value(value)
            window.push_one(value)
        return found
    past, block = window.in_order(), min(_BLOCK, window.size)
    for begin in range(0, len(scores), block):
        some = scores[begin : begin + block]
        found[begin : begin + block] = _block_p_values(past, some, window.size)
        past = np.concatenate((past, some))[-window.size :]
    return found


def _copied(window: ScoreWindow) -> ScoreWindow:
    twin = ScoreWindow(window.size, window.half_life)
    twin.scores[:], twin.n_seen = window.scores, window.n_seen
    return twin


def _block_p_values(past: np.ndarray, scores: np.ndarray, size: int) -> np.ndarray:
    """Return the p-values of at most ``size`` scores."""
    n, held = len(scores), len(past)
    if n == 1:
        return np.array([(1 + np.count_nonzero(past >= scores[0])) / (held + 1)])
    above = held - np.searchsorted(np.sort(past), scores, side="left")
    place = np.arange(n)
    column = scores[:, None]
    above += ((scores >= column) & (place < place[:, None])).sum(axis=1)  # those before it in this block
    leaving = past[: max(0, held + n - 1 - size)]
    if len(leaving):
        left = np.arange(len(leaving)) < (held + place - size)[:, None]
        above -= ((leaving >= column) & left).sum(axis=1)
    return (1 + above) / (1 + np.minimum(held + place, size))
