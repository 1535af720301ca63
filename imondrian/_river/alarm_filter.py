"""Alarms at a rate one asks for, and drift of scores: wrappers for any river anomaly detector.

Imported by ``imondrian.river`` alone, which reports a missing river.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

from river.base import AnomalyDetector, AnomalyFilter, DriftDetector, Wrapper

from imondrian._conformal.alarm_rule import HISTORY, STEP, AlarmRule, UsualScores
from imondrian._conformal.incidents import GAP, Incident, Incidents

from .online_forest import OnlineForest, model_of


class AlarmFilter(AnomalyFilter):
    """Raise alarms at a requested rate, whatever the detector's scores look like and however they drift.

    A score is an alarm when its p-value among the last scores, with a modelled tail, is at most a level. The level
    starts at the rate, falls as alarms overdraw the budget of ``rate`` a point, rises as they fall short, and at
    rates below 4 % is up to four times as high in the four points after an alarm: a burst is told whole. For the same
    end only every fourth of such near alarms joins the scores that later ones are ranked among.

    Parameters
    ----------
    anomaly_detector : river.base.AnomalyDetector
        Any detector, or pipeline that ends in one, whose high scores are anomalous.
    rate : float in (0, 1), default=0.05
        Share of points to call anomalous.
    window : int, default=8192
        Past scores that a score is ranked among.
    step : float, default=0.005
        Bounds how far alarms may stray from ``rate * n``: by ``1 + 0.25 / step``.
    protect_anomaly_detector : bool, default=True
        Do not let the detector learn from alarms. Since at most about ``rate`` of the points are alarms in the
        long run, the detector still follows drift, which it does not behind a fixed threshold.
    mode : {"p-value", "rate"}, default="p-value"
        "p-value": nothing need be an alarm. The level is at most three times ``rate``; where scores fall for long,
        there are fewer alarms, and never lastingly more. "rate": that share of the points is, in the long run, in calm
        stretches as well.
    gap : int, default=50
        Alarms less than so many points apart are one incident.

    Attributes
    ----------
    level : float
        The p-value at or below which the next score is an alarm; starts at ``rate``.
    n_points, n_alarms : int
        Points learnt since the detector was ready, and how many of them were alarms.
    incidents : list of Incident
        What the alarms come to: the last 100 incidents that are closed, then the one that is open, if one is. Each has
        ``id``, ``state``, ``start``, ``peak``, ``end`` (places of points in the stream, 0 is the first that was
        learnt), ``n_alarms``, ``p_value`` (the peak's; small is severe), ``score`` (the peak's), and ``reasons``: where
        the detector is a forest of this package, or a pipeline that ends in one, features with the side ("low" or
        "high") and the size of what they contributed to all its alarms, the largest first.

    Notes
    -----
    After n points there are at most ``rate * n + slack`` alarms (one more at most), ``slack = min(5000 * rate + 3, 0.25
    / step)``, and in "rate" mode no fewer than ``rate * n - slack``, for every sequence of scores: by the defaults the
    share is within 51 / n of ``rate``, and nearer for rates below 1 %. That is the worst case: a lasting debt lowers
    the level for good.

    For the scores "insertion" and "depth" of this package's forests it is known beforehand what is usual, which counts
    as two thousand scores beside those of the stream: a young stream's records are not all alarms.

    Zeros before a detector's first other score count as "not ready": no alarm, not kept. So does NaN, at any time.
    ``score_one`` is the detector's; ``classify`` changes nothing. Cost: the detector's score, and a few
    microseconds. The window takes 16 bytes a score.

    References
    ----------
    A. Siffer, P.-A. Fouque, A. Termier, C. Largouet, "Anomaly detection in streams with extreme value theory", KDD
    2017, for tails beyond the highest score; I. Gibbs, E. Candès, "Adaptive conformal inference under distribution
    shift", NeurIPS 2021, for levels that follow the alarms.

    Examples
    --------
    >>> from river import anomaly, datasets, preprocessing
    >>> from imondrian.river import AlarmFilter
    >>> model = AlarmFilter(preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42), rate=0.05, mode="rate")
    >>> for x, _ in datasets.Shuttle().take(4000):
    ...     alarm = model.classify(model.score_one(x))
    ...     model.learn_one(x)
    >>> round(model.n_alarms / model.n_points, 2)
    0.05

    Alarms near each other are one incident:

    >>> import random
    >>> from imondrian.river import OnlineIsolationMondrianForest
    >>> rng = random.Random(0)
    >>> model = AlarmFilter(OnlineIsolationMondrianForest(25, seed=0), rate=0.005)
    >>> for i in range(2000):
    ...     model.learn_one({"flow": rng.gauss(0, 1) + 9 * (1000 <= i < 1010), "heat": rng.gauss(0, 1)})
    >>> worst = max(model.incidents, key=lambda incident: incident.n_alarms)
    >>> worst.start, worst.end, worst.n_alarms, worst.reasons[0][:2]
    (1000, 1009, 10, ('flow', 'high'))
    """

    def __init__(
        self,
        anomaly_detector: AnomalyDetector,
        rate: float = 0.05,
        window: int = HISTORY,
        step: float = STEP,
        protect_anomaly_detector: bool = True,
        mode: Literal["p-value", "rate"] = "p-value",
        gap: int = GAP,
    ) -> None:
        if not hasattr(anomaly_detector, "score_one") or not hasattr(anomaly_detector, "learn_one"):
            raise TypeError(
                f"anomaly_detector must score and learn one point at a time, as those of river and imondrian.river do, "
                f"got {type(anomaly_detector).__name__}"
            )
        super().__init__(anomaly_detector=anomaly_detector, protect_anomaly_detector=protect_anomaly_detector)
        self.rate = rate
        self.window = window
        self.step = step
        self.mode = mode
        self.gap = gap
        self._rule = AlarmRule(rate, mode, window, step, usual_scores(anomaly_detector))
        self._incidents = Incidents(gap)
        self._n_learnt = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_rule" in state:
            more = {} if "_incidents" in state else {"gap": GAP, "_incidents": Incidents(), "_n_learnt": 0}
            self.__dict__.update(more | state)
        else:  # of version 0.1.0: its rule was another; the present one starts afresh
            AlarmFilter.__init__(
                self,
                state["anomaly_detector"],
                state["rate"],
                state["window"],
                state["step"],
                state["protect_anomaly_detector"],
            )

    @property
    def level(self) -> float:
        """The p-value at or below which the next score is an alarm."""
        return self._rule.level

    @property
    def n_points(self) -> int:
        """Points learnt since the detector was ready."""
        return self._rule.n_scores

    @property
    def n_alarms(self) -> int:
        """How many of them were alarms."""
        return self._rule.n_alarms

    @property
    def incidents(self) -> list[Incident]:
        """The last incidents that are closed, then the one that is open, if one is; each as it is now."""
        return list(self._incidents)

    def p_value(self, score: float) -> float:
        """Return the conformal p-value of a score among the last ones; 1 while there are none."""
        return self._rule.rank_p_value(score)

    def classify(self, score: float) -> bool:
        """Return whether a score is an alarm at present."""
        return self._is_ready(score) and self._rule.is_alarm(score)

    def learn_one(self, *args: Any, **learn_kwargs: Any) -> None:
        """Score a point, let the detector learn it unless it is an alarm, and adapt the level."""
        score = self.score_one(*args)
        alarm = self.classify(score)
        parts = _parts(self.anomaly_detector, args[0]) if alarm else {}
        if not (alarm and self.protect_anomaly_detector):
            self.anomaly_detector.learn_one(*args, **learn_kwargs)
        if alarm:
            self._incidents.alarm(self._n_learnt, self._rule.p_value(score), score, parts)
        else:
            self._incidents.quiet()
        self._n_learnt += 1
        if self._is_ready(score):
            self._rule.take(score, alarm)

    def _is_ready(self, score: float) -> bool:
        try:
            return not math.isnan(score) and (score != 0.0 or self.n_points > 0)
        except TypeError:
            raise TypeError(f"score must be a number, as from score_one, got {type(score).__name__}") from None

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        from river import anomaly, preprocessing

        yield {"anomaly_detector": preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42), "rate": 0.1}


def usual_scores(detector: Any) -> UsualScores | None:
    """Return what is known of a detector's scores beforehand: of ours, behind wrappers and at a pipeline's end, too."""
    if hasattr(detector, "steps"):
        return usual_scores(next(reversed(detector.steps.values()), None))
    if isinstance(detector, Wrapper):
        return usual_scores(detector._wrapped_model)
    return model_of(detector).usual_scores if isinstance(detector, OnlineForest) else None


def _parts(detector: Any, x: Any) -> dict[Any, tuple[float, float]]:
    """Return what each feature contributes to x's score, from below and above; nothing for detectors of others."""
    if hasattr(detector, "steps"):
        *before, last = detector.steps.values()
        for step in before:
            x = step.transform_one(x)
        return _parts(last, x)
    if isinstance(detector, Wrapper):
        return _parts(detector._wrapped_model, x)
    return detector.explain_one(x, by_direction=True) if isinstance(detector, OnlineForest) else {}


class DriftMonitor(Wrapper, AnomalyDetector):
    """Watch a detector's scores with one of river's drift detectors: a signal that the stream has changed.

    The wrapper is the detector in every other respect.

    Parameters
    ----------
    anomaly_detector : river.base.AnomalyDetector
    drift_detector : river.base.DriftDetector, optional
        Any of ``river.drift``; by default ``river.drift.ADWIN()``. It sees every score from just before
        its point is learnt.
    grace_period : int, default=1024
        Points learnt before the drift detector sees its first score. While a forest fills its window its
        scores move without any drift.

    Attributes
    ----------
    drift_detected : bool
        Whether the last point learnt completed a drift.
    n_drifts : int
        Drifts so far.

    Notes
    -----
    What is promised about delays and false alarms is what the drift detector promises, for scores that are
    independent. A detector that adapts shows drift only for a while, and again, as its scores fall back, when it has
    learnt the new regime. If it adapts within some 200 points (a forest with ``window=256``), drift detectors that
    compare means over long stretches (ADWIN, Page-Hinkley) may miss what ``river.drift.KSWIN`` finds.

    Examples
    --------
    >>> import random
    >>> from imondrian.river import DriftMonitor, OnlineIsolationMondrianForest
    >>> rng = random.Random(0)
    >>> model = DriftMonitor(OnlineIsolationMondrianForest(25, seed=0))
    >>> for i in range(2500):
    ...     model.learn_one({"a": rng.gauss(0 if i < 2300 else 3, 1), "b": rng.gauss(0, 1)})
    ...     if model.drift_detected:
    ...         print(2300 < i < 2400)
    True
    """

    def __init__(
        self, anomaly_detector: AnomalyDetector, drift_detector: DriftDetector | None = None, grace_period: int = 1024
    ) -> None:
        self.anomaly_detector = anomaly_detector
        self.drift_detector = drift_detector
        self.grace_period = grace_period
        if isinstance(grace_period, bool) or not isinstance(grace_period, int) or grace_period < 0:
            raise ValueError(f"grace_period must be an int of at least 0, got {grace_period!r}")
        self._watch = _adwin() if drift_detector is None else drift_detector
        self.n_points = 0
        self.n_drifts = 0

    @property
    def _wrapped_model(self) -> AnomalyDetector:
        return self.anomaly_detector

    @property
    def drift_detected(self) -> bool:
        """Whether the last point learnt completed a drift."""
        return bool(self._watch.drift_detected)

    def score_one(self, *args: Any, **kwargs: Any) -> float:
        """Return the detector's score. Changes nothing."""
        return self.anomaly_detector.score_one(*args, **kwargs)

    def learn_one(self, *args: Any, **kwargs: Any) -> None:
        """Show the point's score to the drift detector, then let the anomaly detector learn the point."""
        self.n_points += 1
        if self.n_points > self.grace_period:
            score = self.anomaly_detector.score_one(*args)
            if not math.isnan(score):
                self._watch.update(score)
                self.n_drifts += self.drift_detected
        self.anomaly_detector.learn_one(*args, **kwargs)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        from river import anomaly, preprocessing

        yield {"anomaly_detector": preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42)}


def _adwin() -> DriftDetector:
    from river.drift import ADWIN

    return ADWIN()
