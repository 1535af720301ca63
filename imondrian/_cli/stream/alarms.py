"""When a record is an alarm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

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

    def __init__(
        self,
        rate: float | None = None,
        threshold: float | None = None,
        fixed: bool = False,
        usual: UsualScores | None = None,
    ) -> None:
        self._rate, self._threshold, self._fixed = rate, threshold, fixed
        self._rule = None if rate is None or threshold is not None else AlarmRule(rate, usual=usual)
        self.count = 0

    def judge(self, judged: Judged) -> list[float | None]:
        """Return for each record that is an alarm its p-value, by which it is one or beside it; None for others."""
        if self._threshold is None and self._rule is not None and not self._fixed:
            found = self._rule.alarm_p_values(judged.scores.tolist(), judged.ready.tolist())
        else:
            alarms = self._fixed_alarms(judged) & judged.ready
            found = [
                p_value if alarm else None
                for p_value, alarm in zip(judged.p_values.tolist(), alarms.tolist(), strict=True)
            ]
        self.count += len(found) - found.count(None)
        return found

    def _fixed_alarms(self, judged: Judged) -> np.ndarray:
        if self._threshold is not None:
            return judged.scores >= self._threshold
        return judged.p_values <= (-1.0 if self._rule is None else self._rule.rate)

    def state(self) -> dict[str, Any]:
        """Return what a later run needs to go on."""
        rule = None if self._rule is None else self._rule.state()
        return {"rate": self._rate, "threshold": self._threshold, "count": self.count, "rule": rule}

    @classmethod
    def resumed(
        cls,
        state: Mapping[str, Any],
        rate: float | None,
        threshold: float | None,
        fixed: bool,
        usual: UsualScores | None = None,
    ) -> Alarms:
        """Go on from a state; a rule that is asked for and differs starts afresh. ValueError: the state is damaged."""
        if rate is None and threshold is None:
            rate, threshold = state["rate"], state["threshold"]
        alarms = cls(rate, threshold, fixed, usual)
        if alarms._rule is not None and rate == state["rate"] and state["rule"] is not None:
            alarms._rule = AlarmRule.of_state(state["rule"], usual)
        alarms.count = state["count"]
        return alarms
