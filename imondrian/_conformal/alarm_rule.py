"""From a stream of scores to alarms: the one rule behind ``AlarmFilter`` and ``imondrian stream``.

A score's p-value is its rank among the last scores of the stream (8,192 by default), carried on beyond the highest by
a modelled tail. It is an alarm if that is at most a level: the rate that is asked for, less what earlier alarms have
overdrawn, and more for a few rows after an alarm, so that an event is told whole.

Why so (``docs/guide/alarms.md`` has the figures): a short window ranks calm stretches as high as events; a new stream
has no history, so that its record scores would all be alarms, unless something is known of such scores beforehand
(``usual``); and a level that every alarm lowers steeply falls silent inside a burst, as does one among scores that the
burst itself has filled.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from imondrian._forest.validation import open_share, positive_int

MODES = ("p-value", "rate")
HISTORY = 8192
STEP = 0.005
_READY = 32  # scores held before there are alarms
_SLACK_ROWS, _SLACK = 5000.0, 3.0  # alarms that may be overdrawn or saved: the budget of so many rows, and some
_YOUNG, _YOUNG_GROWTH = 12.0, 2.0  # of a young stream only so many, and more by so many times the budget so far
_PULL = 1.5  # a debt of all that may be overdrawn lowers the level by a factor of exp(_PULL)
_DRIFT = 0.2 / _SLACK_ROWS  # how fast a lasting debt lowers the level for good, without overshooting
_LEAST_DRIFT, _MOST_DRIFT = -3.0, 3.0
_MOST_RAISED = math.log(3.0)  # in "p-value" mode the level is at most so many times the rate
_NEAR, _NEARNESS = 4, 4.0  # rows after an alarm in which the level is this many times as high
_KEPT = 4  # of alarms so near another, only every so many-th joins the history, which a burst could fill otherwise
_MOST_NEAR = 0.04  # at rates above this an alarm is no news, and most come soon after another
_TAIL = math.log(10.0)


class UsualScores(NamedTuple):
    """What scores of a kind are like on streams where nothing happens: an exponential tail beyond ``start``.

    A tenth of the scores are above ``start``, a hundredth above ``start + scale * log(10)``. It counts as ``mass``
    scores beside those of the stream itself.
    """

    start: float
    scale: float
    mass: float = 2000.0

    def above(self, score: float) -> float:
        """Return the share of usual scores from ``score`` on, at most 1."""
        return min(0.1 * math.exp(min((self.start - score) / self.scale, _TAIL)), 1.0)


# Scores of Gaussian points in 1, 2, 3, 5, 8 and 16 dimensions, together. Spacing scores have no such law: they are
# measured against the last ones already.
USUAL_SCORES = {"insertion": UsualScores(0.523, 0.048), "depth": UsualScores(0.531, 0.045)}


class AlarmRule:
    """Tell which scores of a stream are alarms, at a rate.

    Parameters
    ----------
    rate : float in (0, 1)
    mode : {"p-value", "rate"}
        "p-value": the rate is what scores that are exchangeable give, and a bound in the long run. "rate": it is held
        from below, too; calm stretches have their share of alarms.
    history : int
        Scores that a score is ranked among.
    step : float in (0, 1)
        Alarms never differ from ``rate * n`` by more than ``1 + 0.25 / step`` (in "p-value" mode: exceed it).
    usual : UsualScores, optional
        What is known of the scores before the first.

    Notes
    -----
    The debt is alarms less ``rate * n``, and stays within ``slack = min(5000 * rate + 3, 0.25 / step)``: at ``slack``
    (while a stream is young, at ``12 + 2 * rate * n``) there are no alarms; in "rate" mode there are only alarms at
    ``-slack``, in "p-value" mode no more is saved up. A step takes O(log n) comparisons and moves at most
    ``8 * history`` bytes; 16 bytes a score are held.
    """

    def __init__(
        self,
        rate: float,
        mode: str = "p-value",
        history: int = HISTORY,
        step: float = STEP,
        usual: UsualScores | None = None,
    ) -> None:
        self.rate = open_share("rate", rate)
        if mode not in MODES:
            raise ValueError(f"mode must be one of {list(MODES)}, got {mode!r}")
        self.mode, self.usual = mode, usual
        self.history = positive_int("window", history)
        self.slack = min(_SLACK_ROWS * self.rate + _SLACK, 0.25 / open_share("step", step))
        self.n_scores = self.n_alarms = 0
        self._n_kept = self._run = 0  # scores in the history so far; near alarms without a break
        self._sorted, self._ring = array("d"), array("d")
        self._debt = self._drift = 0.0
        self._last = -_NEAR - 1  # the number of the last alarm

    # -- asking ------------------------------------------------------------------------------------

    @property
    def level(self) -> float:
        """The p-value at or below which the next score is an alarm."""
        debt = self._debt / self.slack
        if debt > 0.0:
            debt = self._debt / min(self.slack, _YOUNG + _YOUNG_GROWTH * self.rate * self.n_scores)
        if debt >= 1.0:
            return 0.0
        shift = self._drift - _PULL * debt
        if self.mode == "p-value":
            level = min(self.rate * math.exp(min(shift, _MOST_RAISED)), 1.0)
        elif debt <= -1.0:
            return 1.0
        else:
            level = min(self.rate * math.exp(shift), 1.0)
            if debt < 0.0:  # as the debt nears its bound, the level nears 1
                level = max(level, self.rate ** (1.0 + debt))
        if self.n_scores - self._last < _NEAR:
            level = max(level, min(level * _NEARNESS, _MOST_NEAR))
        return level

    def p_value(self, score: float) -> float:
        """Return the p-value of a score, with its modelled tail; 1 while too few scores are known."""
        held = len(self._sorted)
        if held < min(_READY, self.history) or score != score:
            return 1.0
        above = held - bisect_left(self._sorted, score)
        if self.usual is not None:
            mass = self.usual.mass
            return (mass * self.usual.above(score) + above) / (mass + held)
        return (above + (1.0 if above else self._beyond(score))) / (held + 1.0)

    def rank_p_value(self, score: float) -> float:
        """Return the conformal p-value of a score among those held, which is at least ``1 / (held + 1)``."""
        held = len(self._sorted)
        return (1 + held - bisect_left(self._sorted, score)) / (held + 1)

    def is_alarm(self, score: float) -> bool:
        """Return whether a score would be an alarm; changes nothing."""
        return self.p_value(score) <= self.level

    def _beyond(self, score: float) -> float:
        """Return how a score above all others thins out the tail, by the slope between two high quantiles."""
        held = self._sorted
        scale = (held[99 * len(held) // 100] - held[9 * len(held) // 10]) / _TAIL
        beyond = (score - held[-1]) / scale if scale > 0.0 else 0.0
        return math.exp(-beyond) if beyond == beyond else 1.0

    # -- going on ----------------------------------------------------------------------------------

    def take(self, score: float, alarm: bool) -> None:
        """Go on to the next score, after this one was an alarm or was none."""
        self.n_scores += 1
        self._debt += alarm - self.rate
        most = _MOST_DRIFT
        if self.mode == "p-value":
            self._debt, most = max(self._debt, -self.slack), _MOST_RAISED
        self._drift = min(max(self._drift - _DRIFT * self._debt / self.slack, _LEAST_DRIFT), most)
        near = alarm and self.rate < _MOST_NEAR and self.n_scores - self._last <= _NEAR
        self._run = self._run + 1 if near else 0
        if alarm:
            self.n_alarms += 1
            self._last = self.n_scores
        if self._run % _KEPT == 0:
            self._keep(score)

    def judge(self, scores: Iterable[float], ready: Iterable[bool] | None = None) -> list[bool]:
        """Return which scores are alarms, each judged and then taken; those not ready, and NaN, are passed over."""
        return [p_value is not None for p_value in self.alarm_p_values(scores, ready)]

    def alarm_p_values(self, scores: Iterable[float], ready: Iterable[bool] | None = None) -> list[float | None]:
        """Return the p-values of scores that are alarms, None for others; otherwise as :meth:`judge`."""
        found: list[float | None] = []
        for score in scores if ready is None else (s if r else math.nan for s, r in zip(scores, ready, strict=True)):
            if score != score:
                found.append(None)
                continue
            p_value = self.p_value(score)
            alarm = p_value <= self.level
            self.take(score, alarm)
            found.append(p_value if alarm else None)
        return found

    def _keep(self, score: float) -> None:
        if len(self._ring) < self.history:
            self._ring.append(score)
        else:
            place = self._n_kept % self.history
            self._sorted.pop(bisect_left(self._sorted, self._ring[place]))
            self._ring[place] = score
        insort(self._sorted, score)
        self._n_kept += 1

    # -- state -------------------------------------------------------------------------------------

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + 8 * (len(self._ring) + len(self._sorted))

    def state(self) -> dict[str, Any]:
        """Return what it takes to go on elsewhere: numbers, and the held scores as they lie."""
        return {
            "rate": self.rate,
            "mode": self.mode,
            "history": self.history,
            "slack": self.slack,
            "n_scores": self.n_scores,
            "n_alarms": self.n_alarms,
            "debt": self._debt,
            "drift": self._drift,
            "last": self._last,
            "n_kept": self._n_kept,
            "run": self._run,
            "scores": np.array(self._ring, np.float64),
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any], usual: UsualScores | None = None) -> AlarmRule:
        """Go on from a state; ValueError tells what is damaged."""
        kinds = {
            "rate": float,
            "mode": str,
            "history": int,
            "slack": float,
            "n_scores": int,
            "n_alarms": int,
            "debt": float,
            "drift": float,
            "last": int,
            "n_kept": int,
            "run": int,
            "scores": np.ndarray,
        }
        bad = [name for name, kind in kinds.items() if type(state.get(name)) is not kind]
        if bad or state.keys() != kinds.keys():
            raise ValueError(f"damaged alarms: {bad or sorted(state)!r}")
        rule = cls(state["rate"], state["mode"], state["history"], usual=usual)
        scores, n = state["scores"], state["n_scores"]
        counts = -_NEAR - 1 <= state["last"] <= n and all(
            0 <= state[name] <= n for name in ("n_alarms", "n_kept", "run")
        )
        levels = (
            math.isfinite(state["debt"])
            and _LEAST_DRIFT <= state["drift"] <= _MOST_DRIFT
            and 0.0 < state["slack"] < math.inf
        )
        if (
            not (counts and levels)
            or scores.dtype != np.float64
            or scores.ndim != 1
            or np.isnan(scores).any()
            or len(scores) != min(state["n_kept"], rule.history)
        ):
            raise ValueError("damaged alarms: numbers that do not fit each other")
        rule.slack, rule.n_scores, rule.n_alarms = state["slack"], n, state["n_alarms"]
        rule._debt, rule._drift, rule._last = state["debt"], state["drift"], state["last"]
        rule._n_kept, rule._run = state["n_kept"], state["run"]
        rule._ring, rule._sorted = array("d", scores.tolist()), array("d", np.sort(scores).tolist())
        return rule
