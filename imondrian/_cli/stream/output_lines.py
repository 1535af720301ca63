"""From tables of records to lines of output: scores, p-values, alarms, and the reasons of alarms."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from imondrian._cli.reasons import ranked
from imondrian._models.prequential import Judged

from .alarms import Alarms
from .json_lines import dump_lines, is_plain
from .records import Selection, Table
from .stream_models import Follower

OUTPUT_FIELDS = ("record", "score", "p_value", "alarm", "reasons")


class Judge:
    """Judges records, lets the model learn them, and tells.

    Parameters
    ----------
    follower : Follower
    alarms : Alarms
    selection : Selection
    learn : bool
    reasons : int
        Features to name for an alarm, those that contribute most.
    skip_alarms : bool
        Do not learn records that are alarms; their scores still count for p-values.
    """

    def __init__(self, follower: Follower, alarms: Alarms, selection: Selection, *, learn: bool = True,
                 reasons: int = 0, skip_alarms: bool = False) -> None:
        self._follower, self._alarms = follower, alarms
        self._learn, self._n_reasons, self._skip_alarms = learn, reasons, skip_alarms
        self._key = () if selection.key is None else (selection.key,)
        self._keep = tuple(name for name in selection.keep if name not in self._key)
        self._places = [i for i, name in enumerate(selection.keep) if name not in self._key]

    def lines(self, table: Table) -> bytes:
        """Return a line a record, and leave the model after them."""
        if not self._learn:
            judged = self._follower.score(table)
            alarms = self._alarms.judge(judged)
            reasons = {i: self._reasons(table.part(i, i + 1)) for i, alarm in enumerate(alarms) if alarm}
        elif self._n_reasons or self._skip_alarms:
            judged, alarms, reasons = self._one_by_one(table)
        else:
            judged = self._follower.score_learn(table)
            alarms, reasons = self._alarms.judge(judged), {}
        return self._told(table, judged, alarms, reasons if self._n_reasons else {})

    def _one_by_one(self, table: Table) -> tuple[Judged, list[bool], dict[int, Any]]:
        # What follows from an alarm has to happen before the next record is scored.
        found, alarms, reasons = [], [], {}
        for i in range(len(table.records)):
            one = table.part(i, i + 1)
            judged = self._follower.score(one)
            (alarm,) = self._alarms.judge(judged)
            if alarm:
                reasons[i] = self._reasons(one)
            if alarm and self._skip_alarms:
                self._follower.keep_score(one, float(judged.scores[0]))
            else:
                self._follower.learn(one)
            found.append(judged)
            alarms.append(alarm)
        return Judged(*map(np.concatenate, zip(*found, strict=True))), alarms, reasons

    def _reasons(self, record: Table) -> list[dict[str, Any]]:
        if not self._n_reasons:
            return []
        names, parts = self._follower.explain(record)
        return [{"feature": names[place], "side": side, "contribution": size}
                for place, side, size in ranked(parts, self._n_reasons)]

    def _told(self, table: Table, judged: Judged, alarms: list[bool], reasons: dict[int, Any]) -> bytes:
        scores, p_values = judged.scores.tolist(), judged.p_values.tolist()
        objects: list[dict[str, Any]]
        shown = self._shown(table)
        if shown is None:
            objects = [{"record": number, "score": score, "p_value": p_value, "alarm": alarm}
                       for number, score, p_value, alarm in zip(table.records, scores, p_values, alarms, strict=True)]
        else:
            names = (*self._key, *self._keep)
            objects = [{"record": number, **dict(zip(names, values, strict=True)), "score": score, "p_value": p_value,
                        "alarm": alarm} for number, values, score, p_value, alarm
                       in zip(table.records, shown, scores, p_values, alarms, strict=True)]
        for i, why in reasons.items():
            objects[i]["reasons"] = why
        flat = not reasons and (shown is None or is_plain(list(chain.from_iterable(shown))))
        return dump_lines(objects, flat)

    def _shown(self, table: Table) -> list[tuple[Any, ...]] | None:
        if table.keys is None and table.kept is None:
            return None
        keys = [()] * len(table.records) if table.keys is None else [(key,) for key in table.keys]
        kept = [()] * len(table.records) if table.kept is None else table.kept
        return [(*key, *(values[i] for i in self._places)) if values else key
                for key, values in zip(keys, kept, strict=True)]
