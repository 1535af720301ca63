"""Alarms at a rate one asks for, and drift of scores: wrappers for any river anomaly detector.

Imported by ``imondrian.river`` alone, which reports a missing river.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from river.base import AnomalyDetector, AnomalyFilter, DriftDetector, Wrapper

from imondrian._conformal.conformal import ScoreWindow
from imondrian._forest.validation import open_share, positive_int


class AlarmFilter(AnomalyFilter):
    """Raise alarms at a requested rate, whatever the detector's scores look like and however they drift.

    A score is an alarm when its conformal p-value among the last scores is at most a level. The level
    adapts (adaptive conformal inference): each alarm lowers it by ``step * (1 - rate)``, each other point raises
    it by ``step * rate``.

    Parameters
    ----------
    anomaly_detector : river.base.AnomalyDetector
        Any detector, or pipeline that ends in one, whose high scores are anomalous.
    rate : float in (0, 1), default=0.05
        Share of points to call anomalous.
    window : int, default=1024
        Past scores that a score is ranked among. Ranks resolve a rate of no less than 1 / window.
    step : float, default=0.005
        How fast the level adapts. Larger steps follow drift faster, and scatter the level more.
    protect_anomaly_detector : bool, default=True
        Do not let the detector learn from alarms. Since at most about ``rate`` of the points are alarms in the
        long run, the detector still follows drift, which it does not behind a fixed threshold.

    Attributes
    ----------
    level : float
        The p-value at or below which a score is an alarm; starts at ``rate``.
    n_points, n_alarms : int
        Points learnt since the detector was ready, and how many of them were alarms.

    Notes
    -----
    After n points the share of alarms is within ``(1 + step) / (step * n)`` of ``rate``, for every sequence of
    scores (Gibbs and Candès 2021, proposition 4.1): within 0.004 after 50,000 points, by the defaults. That is
    the worst case: on scores that drift slowly ranks alone nearly hold the rate.

    Zeros before a detector's first other score count as "not ready": no alarm, not kept. So does NaN, at any time.
    ``score_one`` is the detector's; ``classify`` changes nothing. Cost: the detector's score, and a few
    microseconds. The window takes 8 bytes a score.

    References
    ----------
    I. Gibbs, E. Candès, "Adaptive conformal inference under distribution shift", NeurIPS 2021.

    Examples
    --------
    >>> from river import anomaly, datasets, preprocessing
    >>> from imondrian.river import AlarmFilter
    >>> model = AlarmFilter(preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42), rate=0.05)
    >>> for x, _ in datasets.Shuttle().take(4000):
    ...     alarm = model.classify(model.score_one(x))
    ...     model.learn_one(x)
    >>> round(model.n_alarms / model.n_points, 2)
    0.05
    """

    def __init__(self, anomaly_detector: AnomalyDetector, rate: float = 0.05, window: int = 1024, step: float = 0.005,
                 protect_anomaly_detector: bool = True) -> None:
        super().__init__(anomaly_detector=anomaly_detector, protect_anomaly_detector=protect_anomaly_detector)
        self.rate = rate
        self.window = window
        self.step = step
        self.level = open_share("rate", rate)
        self._step = open_share("step", step)
        self._recent = ScoreWindow(positive_int("window", window))
        self.n_points = 0
        self.n_alarms = 0

    def p_value(self, score: float) -> float:
        """Return the conformal p-value of a score among the last ones; 1 while there are none."""
        return self._recent.p_value(score)

    def classify(self, score: float) -> bool:
        """Return whether a score is an alarm at present."""
        return self._is_ready(score) and self._recent.p_value(score) <= self.level

    def learn_one(self, *args: Any, **learn_kwargs: Any) -> None:
        """Score a point, let the detector learn it unless it is an alarm, and adapt the level."""
        score = self.score_one(*args)
        alarm = self.classify(score)
        if not (alarm and self.protect_anomaly_detector):
            self.anomaly_detector.learn_one(*args, **learn_kwargs)
        if self._is_ready(score):
            self._recent.push_one(score)
            self.level += self._step * (self.rate - alarm)
            self.n_points += 1
            self.n_alarms += alarm

    def _is_ready(self, score: float) -> bool:
        return not math.isnan(score) and (score != 0.0 or self.n_points > 0)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        from river import anomaly, preprocessing

        yield {"anomaly_detector": preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42), "rate": 0.1}


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

    def __init__(self, anomaly_detector: AnomalyDetector, drift_detector: DriftDetector | None = None,
                 grace_period: int = 1024) -> None:
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
