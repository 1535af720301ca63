"""What a stream's model says of rows, each before it is learnt, and the p-values that they have then."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imondrian._conformal.conformal import ScoreWindow

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
