"""Anomalies of a series with seasons: each value beside what it usually is at that time, and the time itself.

    python docs/guide/seasons.py

A forest does not know that four o'clock comes again: what is usual at noon and strange at night is not rare. Two
things tell it: how far a value is from what it was at the same time of the last seasons, and the time of day, as a
circle, so that 23:59 is near 0:00. Both look at what has come alone: nothing leaks from the future.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping
from statistics import median

import numpy as np

from imondrian.river import OnlineIsolationMondrianForest


class Seasons:
    """Adds to records what their values are less what is usual at that time, and the time of day.

    Times may be irregular and late: a value is compared with those nearest to one, two, ... seasons before it.

    Parameters
    ----------
    season : float
        Its length, in the unit of the times: a week if weekends differ from workdays.
    day : float
        Length of a day in that unit.
    tolerance : float
        How far from so many seasons ago a record may be to count as of that time.
    seasons : int, default=4
        To look back: the median of several knows an event of last week for what it was.
    keep : int, default=100_000
        Records remembered at most. Those of longer ago than that are forgotten anyway.
    """

    def __init__(self, season: float, day: float, tolerance: float, seasons: int = 4, keep: int = 100_000) -> None:
        if not 0 <= tolerance < season / 2:
            raise ValueError(f"tolerance must be from 0 to half a season, {season / 2}, got {tolerance}")
        self.season, self.day, self.tolerance, self.seasons, self.keep = season, day, tolerance, seasons, keep
        self._times: list[float] = []  # in order
        self._values: dict[float, Mapping[str, float]] = {}

    def __call__(self, when: float, x: Mapping[str, float]) -> dict[str, float] | None:
        """Return x and what is added; None for a time that has been: a duplicate, not to be learnt again."""
        if when in self._values:
            return None
        past = [self._near(when - k * self.season) for k in range(1, self.seasons + 1)]
        found = dict(x)
        for name, value in x.items():
            if known := [before[name] for before in past if name in before]:
                found[f"{name} less usual"] = value - median(known)  # missing in the first season, which forests bear
        turn = 2 * math.pi * when / self.day
        found |= {"day cos": math.cos(turn), "day sin": math.sin(turn)}
        self._remember(when, x)
        return found

    def _near(self, when: float) -> Mapping[str, float]:
        place = bisect_left(self._times, when)
        near = self._times[max(place - 1, 0) : place + 1]
        best = min(near, key=lambda time: abs(time - when), default=None)
        return {} if best is None or abs(best - when) > self.tolerance else self._values[best]

    def _remember(self, when: float, x: Mapping[str, float]) -> None:
        insort(self._times, when)
        self._values[when] = dict(x)
        reach = self._times[-1] - self.seasons * self.season - self.tolerance
        old = max(bisect_left(self._times, reach), len(self._times) - self.keep)
        for time in self._times[:old]:
            del self._values[time]
        del self._times[:old]


def main() -> int:
    """Find a day that is wrong in hourly values with seasons; return how many of the top ten hours are of it."""
    rng = np.random.default_rng(0)
    hours = np.arange(24 * 7 * 8)
    usual = np.sin(2 * np.pi * hours / 24) * np.where(hours // 24 % 7 < 5, 3.0, 1.0)
    wrong = (hours >= 24 * 39) & (hours < 24 * 40)  # night and day change places
    values = np.where(wrong, -usual, usual) + rng.normal(scale=0.3, size=len(hours))

    features = Seasons(season=24 * 7, day=24, tolerance=0.5)
    model = OnlineIsolationMondrianForest(50, seed=0)
    scores = np.zeros(len(hours))
    for hour, value in zip(hours.tolist(), values.tolist(), strict=True):
        x = features(hour, {"load": value})
        if x is not None:
            scores[hour] = model.score_one(x)
            model.learn_one(x)
    top = np.argsort(-scores[24 * 14 :])[:10] + 24 * 14
    found = int(wrong[top].sum())
    print(f"{found} of the 10 strangest hours are of the day that is wrong")
    return found


if __name__ == "__main__":
    main()
