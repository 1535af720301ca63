"""A made-up stream with a truth: five sensors of a pump that drifts, fails now and then, and loses a sensor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

N_ROWS = 8_000  # a record a minute, five and a half days
SENSORS = ("temperature", "pressure", "flow", "current", "vibration")
SILENT = "vibration"


class Event(NamedTuple):
    """A stretch of records in which something is wrong."""

    what: str
    begin: int
    end: int


class Stream(NamedTuple):
    """Records without the values that are missing, and what went on."""

    records: list[dict[str, float]]
    events: list[Event]
    silent: range  # where a sensor tells nothing: no event, and no reason for an alarm
    drift: float  # degrees that the temperature rises by over the stream: no event, either


_UNITS = {
    "temperature": (60.0, 1.0),
    "pressure": (4.0, 0.1),
    "flow": (20.0, 0.5),
    "current": (11.0, 0.4),
    "vibration": (2.0, 0.2),
}  # of each sensor: its middle, and its deviation
_FAILURES = {  # what fails, for how many records, and by how many deviations each sensor is off
    "blocked valve": (8, {"flow": -6.0, "pressure": 5.0}),
    "dry run": (5, {"flow": -6.0, "current": -7.0}),
    "worn bearing": (10, {"current": 5.0, "temperature": 5.0, "vibration": 6.0}),
    "leak": (8, {"pressure": -7.0, "flow": 5.0}),
    "surge": (4, {"current": 9.0, "temperature": 4.0}),
    "hot oil": (10, {"temperature": 7.0, "pressure": -5.0}),
}


def stream(n: int = N_ROWS, seed: int = 0) -> Stream:
    """Draw the stream: a load with a daily wave, sensors that follow it, and noise of deviation 1 in each."""
    rng = np.random.default_rng(seed)
    load = 1.5 * np.sin(2 * np.pi * np.arange(n) / 1440)
    follows = {"temperature": 0.8, "pressure": 0.5, "flow": 0.7, "current": 1.0, "vibration": 0.3}
    values = {name: follows[name] * load + rng.normal(size=n) for name in SENSORS}
    drift = 8.0
    values["temperature"] += np.linspace(0.0, drift, n)
    events = []
    for place, (what, (length, shifts)) in zip(np.linspace(0.28, 0.94, len(_FAILURES)), _FAILURES.items(), strict=True):
        begin = int(place * n) + int(rng.integers(-n // 60, n // 60 + 1))
        events.append(Event(what, begin, begin + length))
        for name, shift in shifts.items():
            values[name][begin : begin + length] += shift
    silent = range(int(0.6 * n), int(0.72 * n))
    units = {name: middle + size * values[name] for name, (middle, size) in _UNITS.items()}
    records = [
        {name: round(float(units[name][i]), 3) for name in SENSORS if name != SILENT or i not in silent}
        for i in range(n)
    ]
    return Stream(records, events, silent, drift * _UNITS["temperature"][1])
