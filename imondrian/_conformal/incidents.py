"""From alarms to incidents: alarms that are near each other are one event, which a person is told of once.

Behind ``AlarmFilter.incidents`` and the command line's ``"incident"``; needs no river.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imondrian._forest.validation import positive_int

GAP = 50
_KEPT, _MOST_OPEN = 100, 1000
_MOST_FEATURES = 64  # whose contributions an incident sums
_LARGEST = 1 << 62


@dataclass
class Incident:
    """Alarms near each other.

    Attributes
    ----------
    id : int
        1 for the first of a stream, and so on.
    state : {"open", "ongoing", "closed"}
        "open" at its first alarm, "ongoing" at later ones, "closed" once no further alarm can belong to it.
    start, peak, end : int
        Rows of the first alarm, of the most striking one and of the last one.
    n_alarms : int
    p_value : float
        How severe it is: the peak's p-value, with the modelled tail. Small is severe.
    score : float
        The peak's.
    parts : dict
        For every feature what it contributed to the alarms' scores, summed, from below and from above.
    key : hashable
        Of the model that raised it, where there are several.
    since, until : float, optional
        Times of the first alarm and of the last one, in seconds, where rows have times.
    """

    id: int
    start: int
    peak: int
    end: int
    p_value: float
    score: float
    n_alarms: int = 1
    state: str = "open"
    parts: dict[Any, tuple[float, float]] = field(default_factory=dict)
    key: Hashable = None
    since: float | None = None
    until: float | None = None
    quiet: int = field(default=0, repr=False)  # rows since its last alarm; those of its key, where there are several

    @property
    def reasons(self) -> list[tuple[Any, str, float]]:
        """Features with the side ("low" or "high") and the size of what they contributed, the largest first."""
        sized = [
            (name, side, size)
            for name, pair in self.parts.items()
            for side, size in zip(("low", "high"), pair, strict=True)
            if size > 0.0
        ]
        return sorted(sized, key=lambda each: -each[2])

    def told(self, n_reasons: int = 0) -> dict[str, Any]:
        """Return it as a JSON object, with so many reasons at most."""
        found = {
            "id": self.id,
            "state": self.state,
            "start": self.start,
            "peak": self.peak,
            "end": self.end,
            "alarms": self.n_alarms,
            "p_value": self.p_value,
            "score": self.score,
        }
        if self.key is not None:
            found["key"] = self.key
        if self.since is not None and self.until is not None:
            found["seconds"] = self.until - self.since
        if n_reasons:
            found["reasons"] = [
                {"feature": name, "side": side, "contribution": size} for name, side, size in self.reasons[:n_reasons]
            ]
        return found

    def _join(self, row: int, p_value: float, score: float, parts: Mapping[Any, tuple[float, float]]) -> None:
        self.state, self.end, self.quiet = "ongoing", row, 0
        self.n_alarms += 1
        if (p_value, -score) < (self.p_value, -self.score):
            self.peak, self.p_value, self.score = row, p_value, score
        self.parts = _summed(self.parts, parts)


class Incidents:
    """Group alarms, row by row.

    Parameters
    ----------
    gap : int or float
        Alarms less than so many rows apart belong together; where rows have keys, rows of the same key count. A float:
        alarms less than so many seconds apart. Each key has incidents of its own.
    kept : int
        Closed incidents that are kept, the last ones.
    most_open : int
        Incidents open at a time, at most: for another one, that whose last alarm is longest ago is closed.

    Attributes
    ----------
    count : int
        Incidents so far.
    by_time : bool
        Whether ``gap`` is in seconds.
    """

    def __init__(self, gap: float = GAP, kept: int = _KEPT, most_open: int = _MOST_OPEN) -> None:
        self.gap = gap if isinstance(gap, float) and 0.0 < gap < math.inf else positive_int("gap", gap)
        self.by_time = isinstance(self.gap, float)
        self.count = 0
        self._now: float | None = None  # the latest time so far: what comes late does not turn it back
        self._most_open = most_open
        self._open: dict[Hashable, Incident] = {}  # by key, in the order of their last alarms
        self._closed: deque[Incident] = deque(maxlen=kept)

    def __iter__(self) -> Iterator[Incident]:
        """Iterate over the closed incidents that are kept, then the open ones; each as it is now."""
        return iter([replace(each) for each in (*self._closed, *self._open.values())])

    @property
    def any_open(self) -> bool:
        """Whether rows without alarms matter at present."""
        return bool(self._open)

    def alarm(
        self,
        row: int,
        p_value: float,
        score: float,
        parts: Mapping[Any, tuple[float, float]] | None = None,
        key: Hashable = None,
        time: float | None = None,
    ) -> list[Incident]:
        """Take a row that is an alarm; return its incident, then those that are closed for it, all as they are now.

        Parameters
        ----------
        row : int
            Its number; later rows have higher ones.
        p_value, score : float
        parts : mapping, optional
            What each feature contributed to the score, from below and from above.
        key : hashable, optional
        time : float, optional
            Seconds; needed where ``gap`` is.
        """
        changed = self._expire(time)
        mine = self._open.pop(key, None)
        if mine is not None and not self.by_time and mine.quiet >= self.gap - 1:
            changed.append(self._close(mine))
            mine = None
        if mine is None:
            self.count += 1
            mine = Incident(self.count, row, row, row, p_value, score, parts=_summed({}, parts or {}), key=key)
            if len(self._open) >= self._most_open:
                changed.append(self._close(self._open.pop(next(iter(self._open)))))
        else:
            mine._join(row, p_value, score, parts or {})
        if time is not None:
            mine.since, mine.until = (self._now if mine.n_alarms == 1 else mine.since), self._now
        self._open[key] = mine
        return [replace(mine), *changed]

    def quiet(self, key: Hashable = None, time: float | None = None) -> list[Incident]:
        """Take a row that is no alarm; return the incidents that are over, if any are."""
        changed = self._expire(time)
        mine = self._open.get(key)
        if mine is None or self.by_time:
            return changed
        mine.quiet += 1
        return [self._close(self._open.pop(key))] if mine.quiet >= self.gap - 1 else []

    def _expire(self, time: float | None) -> list[Incident]:
        """Go on to a time; return the incidents that are over by then."""
        if time is None:
            if self.by_time:
                raise ValueError("time must be given where gap is in seconds")
            return []
        self._now = time if self._now is None else max(self._now, time)
        over = []
        while self.by_time and self._open:  # the first one's last alarm is the oldest
            key, mine = next(iter(self._open.items()))
            if mine.until is not None and self._now - mine.until < self.gap:
                break
            over.append(self._close(self._open.pop(key)))
        return over

    def _close(self, incident: Incident) -> Incident:
        incident.state = "closed"
        self._closed.append(incident)
        return replace(incident)

    # -- state -------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what it takes to go on elsewhere: plain values. Closed incidents are left out."""
        return {
            "gap": self.gap,
            "count": self.count,
            "now": self._now,
            "open": [
                [
                    each.key,
                    each.id,
                    each.start,
                    each.peak,
                    each.end,
                    each.n_alarms,
                    each.quiet,
                    each.p_value,
                    each.score,
                    each.since,
                    each.until,
                    [[name, *pair] for name, pair in each.parts.items()],
                ]
                for each in self._open.values()
            ],
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Any], gap: float | None = None) -> Incidents:
        """Go on from a state, with another gap if one is given; ValueError tells what is damaged."""
        if (
            not isinstance(state, dict)
            or state.keys() != {"gap", "count", "now", "open"}
            or type(state["count"]) is not int
            or not 0 <= state["count"] <= _LARGEST
            or type(state["gap"]) not in (int, float)
            or not 0 < state["gap"] <= _LARGEST
            or not _is_time(state["now"])
            or type(state["open"]) is not list
        ):
            raise ValueError(f"damaged incidents: {state!r:.80}")
        found = cls(state["gap"] if gap is None else gap, kept=0)
        found.count, found._now = state["count"], state["now"]
        for entry in state["open"]:
            incident = _incident(entry, found.count, state["gap"], state["now"])
            if incident is None or incident.key in found._open:
                raise ValueError(f"damaged incidents: {entry!r:.80}")
            found._open[incident.key] = incident
        open_ones = list(found._open.values())
        ends = [each.end for each in open_ones]
        times = [each.until for each in open_ones if each.until is not None]
        if (
            len({each.id for each in open_ones}) < len(ends)
            or len(ends) > _MOST_OPEN
            or sorted(set(ends)) != ends
            or sorted(times) != times
            or (None in found._open and len(ends) > 1)
        ):
            raise ValueError("damaged incidents: they do not fit each other")
        return found


def _incident(entry: Any, count: int, gap: float, now: float | None) -> Incident | None:
    """Return the open incident of a state's entry; None if it is none."""
    if type(entry) is not list or len(entry) != 12:
        return None
    key, *counts, p_value, score, since, until, parts = entry
    if type(key) not in (str, int, type(None)) or any(type(n) is not int or not 0 <= n <= _LARGEST for n in counts):
        return None
    number, start, peak, end, n_alarms, quiet = counts
    if not (_are_counts(counts, count, gap) and _is_share(p_value) and type(score) is float and math.isfinite(score)):
        return None
    if not (_is_time(since) and _is_time(until)) or (until is None and (since is not None or isinstance(gap, float))):
        return None
    if until is not None and (now is None or until > now or (since is not None and since > until)):
        return None
    if type(parts) is not list or len(parts) > _MOST_FEATURES or not all(map(_is_part, parts)):
        return None
    pairs = {name: (low, high) for name, low, high in parts}
    if len(pairs) < len(parts):
        return None
    state = "open" if n_alarms == 1 else "ongoing"
    return Incident(number, start, peak, end, p_value, score, n_alarms, state, pairs, key, since, until, quiet)


def _are_counts(counts: list[int], count: int, gap: float) -> bool:
    number, start, peak, end, n_alarms, quiet = counts
    return (
        1 <= number <= count
        and start <= peak <= end
        and quiet <= (_LARGEST if isinstance(gap, float) else max(gap - 2, 0))
        and 1 <= n_alarms <= end - start + 1
        and (n_alarms > 1) >= (end > start)
    )


def _is_share(value: Any) -> bool:
    return type(value) is float and 0.0 <= value <= 1.0


def _is_time(time: Any) -> bool:
    return time is None or (type(time) is float and math.isfinite(time))


def _is_part(part: Any) -> bool:
    return (
        type(part) is list
        and len(part) == 3
        and type(part[0]) is str
        and all(type(size) is float and math.isfinite(size) for size in part[1:])
    )


def _summed(
    parts: Mapping[Any, tuple[float, float]], more: Mapping[Any, Iterable[float]]
) -> dict[Any, tuple[float, float]]:
    """Return sums by feature, of the largest ones if there are too many."""
    found = dict(parts)
    for name, (low, high) in more.items():
        below, above = found.get(name, (0.0, 0.0))
        found[name] = (below + float(low), above + float(high))
    if len(found) > _MOST_FEATURES:
        first = sorted(found, key=lambda name: -max(found[name]))[:_MOST_FEATURES]
        found = {name: found[name] for name in found if name in set(first)}
    return found
