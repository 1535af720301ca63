"""From tables of records to lines of output: scores, p-values, alarms, incidents, and the reasons of both."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from imondrian._cli.reasons import ranked
from imondrian._conformal.incidents import Incidents
from imondrian._models.prequential import Judged

from .alarms import Alarms
from .json_lines import dump_lines, is_plain
from .records import Selection, Table
from .stream_models import Follower, Reasons

OUTPUT_FIELDS = ("record", "score", "p_value", "alarm", "reasons", "why", "incident", "also_closed")
_NONE = {"state": "ongoing"}
SHOWN = ("all", "alarms", "incidents")


class Told(NamedTuple):
    """How records are told.

    Attributes
    ----------
    reasons : int
        Features to name for an alarm and an incident, those that contribute most.
    shown : {"all", "alarms", "incidents"}
        Which records have lines: all, those that are alarms, those at which an incident opens or closes.
    """

    reasons: int = 0
    shown: str = "all"


class Judge:
    """Judges records, lets the model learn them, and tells.

    Parameters
    ----------
    follower : Follower
    alarms : Alarms
    incidents : Incidents
    selection : Selection
    told : Told
    learn : bool
    skip_alarms : bool
        Do not learn records that are alarms; their scores still count for p-values.
    on_change : callable, optional
        Called with a record's number and an incident that it opened or closed, as an object of JSON.
    on_judged : callable, optional
        Called with every table, and for each of its records the p-value if it is an alarm, else None.
    """

    def __init__(
        self,
        follower: Follower,
        alarms: Alarms,
        incidents: Incidents,
        selection: Selection,
        told: Told,
        *,
        learn: bool = True,
        skip_alarms: bool = False,
        on_change: Callable[[int, dict[str, Any]], None] | None = None,
        on_judged: Callable[[Table, list[float | None]], None] | None = None,
    ) -> None:
        self._follower, self._alarms, self._incidents = follower, alarms, incidents
        self._on_judged = on_judged
        self._learn, self._skip_alarms, self._told, self._on_change = learn, skip_alarms, told, on_change
        self._key = () if selection.key is None else (selection.key,)
        self._keep = tuple(name for name in selection.keep if name not in self._key)
        self._places = [i for i, name in enumerate(selection.keep) if name not in self._key]

    def lines(self, table: Table) -> bytes:
        """Return the records' lines, and leave the model after them."""
        reasons: dict[int, Reasons] = {}
        if not self._learn:
            judged = self._follower.score(table)
            alarms = self._alarms.judge(judged)
            if self._told.reasons:
                reasons = {i: self._follower.explain(table.part(i, i + 1), self._told.reasons) for i in _places(alarms)}
        elif self._skip_alarms or (self._told.reasons and not self._follower.remember(table)):
            judged, alarms, reasons = self._one_by_one(table)
        else:
            judged = self._follower.score_learn(table)
            alarms = self._alarms.judge(judged)
            if self._told.reasons and (places := _places(alarms)):
                reasons = self._follower.reasons(table, judged, places, self._told.reasons)
        if self._on_judged is not None:
            self._on_judged(table, alarms)
        more: dict[int, dict[str, Any]] = {
            i: {"reasons": self._named(found), "why": found[2]} for i, found in reasons.items()
        }
        for i, incidents in self._grouped(table, judged, alarms, reasons).items():
            more.setdefault(i, {}).update(incidents)
        return self._lines(table, judged, alarms, more)

    def _one_by_one(self, table: Table) -> tuple[Judged, list[float | None], dict[int, Reasons]]:
        # What follows from an alarm has to happen before the next record is scored.
        found, alarms, reasons = [], [], {}
        for i in range(len(table.records)):
            one = table.part(i, i + 1)
            judged = self._follower.score(one)
            (alarm,) = self._alarms.judge(judged)
            if alarm is not None and self._told.reasons:
                reasons[i] = self._follower.explain(one, self._told.reasons)
            if alarm is not None and self._skip_alarms:
                self._follower.keep_score(one, float(judged.scores[0]))
            else:
                self._follower.learn(one)
            found.append(judged)
            alarms.append(alarm)
        return Judged(*map(np.concatenate, zip(*found, strict=True))), alarms, reasons

    def _named(self, parts: Reasons) -> list[dict[str, Any]]:
        names, sizes, _ = parts
        return [
            {"feature": names[place], "side": side, "contribution": size}
            for place, side, size in ranked(sizes, self._told.reasons)
        ]

    def _grouped(
        self, table: Table, judged: Judged, alarms: list[float | None], reasons: dict[int, Reasons]
    ) -> dict[int, dict[str, Any]]:
        """Return what is to be told of incidents, by place in the table."""
        found: dict[int, dict[str, Any]] = {}
        incidents, records = self._incidents, table.records
        for i, p_value in enumerate(alarms):
            if p_value is None and not incidents.any_open:
                continue
            key = None if table.keys is None else table.keys[i]
            time = None if table.times is None else table.times[i]
            if p_value is None:
                changed = incidents.quiet(key, time)
            else:
                names, sizes, _ = reasons.get(i, ([], np.empty((0, 2)), ""))
                parts = dict(zip(names, map(tuple, sizes.tolist()), strict=True))
                changed = incidents.alarm(records[i], p_value, float(judged.scores[i]), parts, key, time)
            if changed:
                mine, *others = [each.told(self._told.reasons) for each in changed]
                found[i] = {"incident": mine, **({"also_closed": others} if others else {})}
                for each in (mine, *others):
                    if self._on_change is not None and each["state"] != "ongoing":
                        self._on_change(records[i], each)
        return found

    def _lines(
        self, table: Table, judged: Judged, alarms: list[float | None], more: dict[int, dict[str, Any]]
    ) -> bytes:
        if self._told.shown != "all":
            chosen = (
                _places(alarms)
                if self._told.shown == "alarms"
                else [i for i, each in more.items() if each.get("incident", _NONE)["state"] != "ongoing"]
            )
            chosen.sort()
            if not chosen:
                return b""
            table, judged = table.only(np.array(chosen)), Judged(*(column[chosen] for column in judged))
            alarms = [alarms[i] for i in chosen]
            more = {place: more[i] for place, i in enumerate(chosen) if i in more}
        scores, p_values = judged.scores.tolist(), judged.p_values.tolist()
        is_alarm = [p_value is not None for p_value in alarms]
        objects: list[dict[str, Any]]
        shown = self._shown(table)
        if shown is None:
            objects = [
                {"record": number, "score": score, "p_value": p_value, "alarm": alarm}
                for number, score, p_value, alarm in zip(table.records, scores, p_values, is_alarm, strict=True)
            ]
        else:
            names = (*self._key, *self._keep)
            objects = [
                {
                    "record": number,
                    **dict(zip(names, values, strict=True)),
                    "score": score,
                    "p_value": p_value,
                    "alarm": alarm,
                }
                for number, values, score, p_value, alarm in zip(
                    table.records, shown, scores, p_values, is_alarm, strict=True
                )
            ]
        for i, each in more.items():
            objects[i].update(each)
        return dump_lines(objects, shown is None or is_plain(list(chain.from_iterable(shown))))

    def _shown(self, table: Table) -> list[tuple[Any, ...]] | None:
        if not self._key and not self._keep:
            return None
        keys = [()] * len(table.records) if table.keys is None else [(key,) for key in table.keys]
        kept = [()] * len(table.records) if table.kept is None else table.kept
        return [
            (*key, *(values[i] for i in self._places)) if values else key
            for key, values in zip(keys, kept, strict=True)
        ]


def _places(alarms: list[float | None]) -> list[int]:
    return [i for i, alarm in enumerate(alarms) if alarm is not None]
