"""When a record is an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imondrian._conformal.alarm_rule import AlarmRule, UsualScores
from imondrian._models.prequential import Judged

DEFAULT_RATE = 0.01


class Alarms:
    """Tell alarms by score, or at a rate that is asked for, by the rule of ``imondrian.river.AlarmFilter``.

    Parameters
    ----------
    rate : float in (0, 1), optional
    threshold : float, optional
        Scores from here on are alarms; goes before ``rate``.
    fixed : bool
        The model stands still: p-values among the last scores that it learnt from, at most ``rate``, are alarms.
    usual : UsualScores, optional
        What is known of the model's scores beforehand.
    """

    def __init__(self, rate: float | None = None, threshold: float | None = None, fixed: bool = False,
                 usual: UsualScores | None = None) -> None:
        self._rate, self._threshold, self._fixed = rate, threshold, fixed
        self._rule = None if rate is None or threshold is not None else AlarmRule(rate, usual=usual)
        self.count = 0

    def judge(self, judged: Judged) -> list[bool]:
        """Return whether each record is an alarm, in order."""
        if self._threshold is not None:
            alarms = ((judged.scores >= self._threshold) & judged.ready).tolist()
        elif self._rule is None:
            alarms = [False] * len(judged.scores)
        elif self._fixed:
            alarms = ((judged.p_values <= self._rule.rate) & judged.ready).tolist()
        else:
            alarms = self._rule.judge(judged.scores.tolist(), judged.ready.tolist())
        self.count += sum(alarms)
        return alarms

    def state(self) -> dict[str, Any]:
        """Return what a later run needs to go on."""
        rule = None if self._rule is None else self._rule.state()
        return {"rate": self._rate, "threshold": self._threshold, "count": self.count, "rule": rule}

    @classmethod
    def resumed(cls, state: Mapping[str, Any], rate: float | None, threshold: float | None, fixed: bool,
                usual: UsualScores | None = None) -> Alarms:
        """Go on from a state; a rule that is asked for and differs starts afresh. ValueError: the state is damaged."""
        if rate is None and threshold is None:
            rate, threshold = state["rate"], state["threshold"]
        alarms = cls(rate, threshold, fixed, usual)
        if alarms._rule is not None and rate == state["rate"] and state["rule"] is not None:
            alarms._rule = AlarmRule.of_state(state["rule"], usual)
        alarms.count = state["count"]
        return alarms
