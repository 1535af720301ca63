"""When a record is an alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imondrian._models.prequential import Judged

DEFAULT_RATE = 0.01
STEP = 0.005


class Alarms:
    """Tell alarms by score, or by p-value at a rate that is asked for.

    A rate is held as ``imondrian.river.AlarmFilter`` holds it (adaptive conformal inference): a record is an alarm when
    its p-value is at most a level, which each alarm lowers by ``step * (1 - rate)`` and every other record raises by
    ``step * rate``.

    Parameters
    ----------
    rate : float in (0, 1), optional
    threshold : float, optional
        Scores from here on are alarms; goes before ``rate``.
    fixed : bool
        Leave the level at the rate, for a model that stands still.
    """

    def __init__(self, rate: float | None = None, threshold: float | None = None, fixed: bool = False) -> None:
        self._rate, self._threshold, self._fixed = rate, threshold, fixed
        self._level = rate or 0.0
        self.count = 0

    def judge(self, judged: Judged) -> list[bool]:
        """Return whether each record is an alarm, in order."""
        ready = judged.ready.tolist()
        if self._threshold is not None:
            alarms = ((judged.scores >= self._threshold) & judged.ready).tolist()
        elif self._rate is None:
            alarms = [False] * len(ready)
        else:
            alarms = self._at_rate(judged.p_values.tolist(), ready, self._rate)
        self.count += sum(alarms)
        return alarms

    def _at_rate(self, p_values: Sequence[float], ready: Sequence[bool], rate: float) -> list[bool]:
        alarms, level, step = [], self._level, 0.0 if self._fixed else STEP
        for p_value, is_ready in zip(p_values, ready, strict=True):
            alarm = is_ready and p_value <= level
            alarms.append(alarm)
            if is_ready:
                level += step * (rate - alarm)
        self._level = level
        return alarms

    def state(self) -> dict[str, Any]:
        """Return what a later run needs to go on."""
        return {"rate": self._rate, "threshold": self._threshold, "level": self._level, "count": self.count}

    @classmethod
    def resumed(cls, state: Mapping[str, Any], rate: float | None, threshold: float | None, fixed: bool) -> Alarms:
        """Go on from a state; a rule that is asked for and differs starts afresh."""
        if rate is None and threshold is None:
            rate, threshold = state["rate"], state["threshold"]
        alarms = cls(rate, threshold, fixed)
        if not fixed and rate == state["rate"]:
            alarms._level = state["level"]
        alarms.count = state["count"]
        return alarms
