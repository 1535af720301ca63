"""What a stream's records are judged by: one model, or one for each key."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from imondrian._cli import USAGE, Failure
from imondrian._conformal.alarm_rule import AlarmRule, UsualScores
from imondrian._conformal.incidents import Incidents
from imondrian._keyed.models import KeyedModels
from imondrian._keyed.store import FILE
from imondrian._models.features import Fields
from imondrian._models.prequential import Judged
from imondrian._models.replay import Replay
from imondrian._models.stream import Reasons
from imondrian._persist.codec import pack, unpack
from imondrian._river.online_forest import OnlineForest, model_of
from imondrian.keyed import KeyedForest, models_of

from .records import Table
from .verdicts import is_state

STATE_VERSION, VERDICTS_VERSION = 3, 4  # the second has "feedback" as well
_NOTE = "stream"
_MOST_RECORDS = 1 << 61  # more than there can be: a number beyond it would soon overflow


class Follower(Protocol):
    """What the stream needs of what judges its records."""

    def known(self) -> Sequence[Any]:
        """Return the features that a model has learnt of."""

    def kinds(self) -> dict[Any, bool]:
        """Return whether features are nominal, as far as that is known of all models."""

    def usual(self) -> UsualScores | None:
        """Return what is known of scores beforehand."""

    def largest(self) -> float:
        """Return the largest number that the models can hold."""

    def time(self) -> Any:
        """Return the field by which windows by age go; None of others."""

    def score(self, table: Table) -> Judged:
        """Score records and change nothing."""

    def score_learn(self, table: Table) -> Judged:
        """Score records and learn each of them after it was scored."""

    def learn(self, table: Table) -> None:
        """Learn records."""

    def keep_score(self, table: Table, score: float) -> None:
        """Let later p-values count the score of a record that is not learnt."""

    def explain(self, table: Table, most: int) -> Reasons:
        """Return why a single record has its score; in words ``most`` features are told of."""

    def remember(self, table: Table) -> bool:
        """Get ready to tell reasons of records that are about to be learnt together; False: only one by one."""

    def reasons(self, table: Table, judged: Judged, places: Sequence[int], most: int) -> dict[int, Reasons]:
        """Return why some of the records that have just been learnt had their scores, by place."""

    def save(self, state: dict[str, Any]) -> None:
        """Put the models and the stream's state on the disk, both or neither; OSError where that fails."""

    def close(self) -> None:
        """Let go of what is open."""


class OneModel:
    """One model in one file, which ``OnlineIsolationMondrianForest.load`` reads, too.

    Parameters
    ----------
    detector : OnlineForest
    path : Path, optional
        Where to save it.
    """

    def __init__(self, detector: OnlineForest, path: Path | None) -> None:
        self._detector, self._path = detector, path
        self.model = model_of(detector)
        self._before = Replay(self.model)

    def known(self) -> Sequence[Any]:
        """Return the features that the model has learnt of."""
        return list(self.model.keys)

    def kinds(self) -> dict[Any, bool]:
        """Return whether features are nominal; those without values may become either."""
        forest = self.model.forest
        if forest is None:
            return {}
        silent, nominal = set(forest.silent_features()), forest.nominal.tolist()
        return {key: nominal[place] for key, place in self.model.keys.items() if place not in silent}

    def usual(self) -> UsualScores | None:
        """Return what is known of the model's scores beforehand."""
        return self.model.usual_scores

    def largest(self) -> float:
        """Return the largest number that the model can hold."""
        return self.model.largest

    def time(self) -> Any:
        """Return the field by which the model's window by age goes; None of others."""
        return self.model.settings.time

    def score(self, table: Table) -> Judged:
        """Score records and change nothing."""
        return self.model.judge(table.fields, table.values, table.nominal)

    def score_learn(self, table: Table) -> Judged:
        """Score records and learn each of them after it was scored."""
        return self.model.judge_and_learn(table.fields, table.values, table.nominal, times=_times(table))

    def learn(self, table: Table) -> None:
        """Learn records."""
        self.model.learn(table.fields, table.values, table.nominal, times=_times(table))

    def keep_score(self, table: Table, score: float) -> None:
        """Let later p-values count the score of a record that is not learnt."""
        self.model.keep_score(score)

    def explain(self, table: Table, most: int) -> Reasons:
        """Return why a single record has its score; in words ``most`` features are told of."""
        return self.model.reasons(table.present(0), most)

    def remember(self, table: Table) -> bool:
        """Get ready to tell reasons of records that are about to be learnt together; False: only one by one."""
        return self._before.keep(_fields(table))

    def reasons(self, table: Table, judged: Judged, places: Sequence[int], most: int) -> dict[int, Reasons]:
        """Return why some of the records that have just been learnt had their scores, by place."""
        return self._before.reasons(_fields(table), table.present, judged, places, most)

    def save(self, state: dict[str, Any]) -> None:
        """Put the model and the stream's state into the file, at once."""
        if self._path is None:
            return
        self.model.note = state
        try:
            self._detector.save(self._path)
        finally:
            self.model.note = None

    def close(self) -> None:
        """Nothing is open."""


def open_model(path: Path | None, parameters: dict[str, Any]) -> tuple[OneModel, dict[str, Any] | None]:
    """Return the model of a file and the stream's state in it; a new model and None where there is no file.

    Parameters
    ----------
    path : Path, optional
    parameters : dict
        Those of ``OnlineIsolationMondrianForest`` that are asked for: a file's must be the same.
    """
    if path is None or not path.exists():
        return OneModel(OnlineForest(**parameters), path), None
    detector = OnlineForest.load(path)
    found = OneModel(detector, path)
    check_parameters(path, vars(detector), parameters)
    state, found.model.note = found.model.note, None
    return found, None if state is None else checked(path, state)


class ModelsByKey:
    """One model a key, in a folder that ``imondrian.keyed.KeyedForest`` reads, too.

    Parameters
    ----------
    models : KeyedModels
    """

    def __init__(self, models: KeyedModels) -> None:
        self.models = models

    def known(self) -> Sequence[Any]:
        """Return nothing: each model knows features of its own."""
        return ()

    def kinds(self) -> dict[Any, bool]:
        """Return nothing: each model knows features of its own."""
        return {}

    def usual(self) -> UsualScores | None:
        """Return what is known of all models' scores beforehand."""
        return self.models.template.usual_scores

    def largest(self) -> float:
        """Return the largest double: these models are made here."""
        return self.models.template.largest

    def time(self) -> Any:
        """Return the field by which windows by age go; None of others."""
        return self.models.template.settings.time

    def score(self, table: Table) -> Judged:
        """Score records and change nothing."""
        return self.models.judge(table.keys or (), table.fields, table.values, table.nominal)

    def score_learn(self, table: Table) -> Judged:
        """Score records and learn each of them after it was scored."""
        return self.models.judge_and_learn(
            table.keys or (), table.fields, table.values, table.nominal, times=_times(table)
        )

    def learn(self, table: Table) -> None:
        """Learn records."""
        self.score_learn(table)

    def keep_score(self, table: Table, score: float) -> None:
        """Let later p-values count the score of a record that is not learnt."""
        (key,) = table.keys or ()
        self.models.keep_score(key, score)

    def explain(self, table: Table, most: int) -> Reasons:
        """Return why a single record has its score; in words ``most`` features are told of."""
        (key,) = table.keys or ()
        return self.models.reasons(key, table.present(0), most)

    def remember(self, table: Table) -> bool:
        """Return False: models of keys are many, and small."""
        return False

    def reasons(self, table: Table, judged: Judged, places: Sequence[int], most: int) -> dict[int, Reasons]:
        """Nothing is remembered."""
        raise NotImplementedError

    def save(self, state: dict[str, Any]) -> None:
        """Put all models and the stream's state on the disk, in one transaction."""
        self.models.write_note(_NOTE, pack(state))
        self.models.flush()

    def close(self) -> None:
        """Let go of the folder, which stays as the last ``save`` left it."""
        self.models.abandon()


def open_models(
    path: Path | None, parameters: dict[str, Any], max_models: int
) -> tuple[ModelsByKey, dict[str, Any] | None]:
    """Return the models of a folder and the stream's state in it; none and None where there is no folder.

    Parameters
    ----------
    path : Path, optional
        None: a folder that is removed at the end.
    parameters : dict
        Those of ``KeyedForest`` that are asked for: a folder's must be the same.
    max_models : int
        Models in memory at a time.
    """
    if path is None or not (path / FILE).exists():
        return ModelsByKey(models_of(KeyedForest(path, max_models=max_models, **parameters))), None
    models = models_of(KeyedForest.open(path, max_models=max_models))
    try:
        check_parameters(path, models.parameters, parameters)
        note = models.read_note(_NOTE)
        return ModelsByKey(models), None if note is None else checked(path, unpack(note))
    except BaseException:
        models.abandon()
        raise


def check_parameters(path: Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse settings that a saved model does not have."""
    for name, value in asked.items():
        if name != "n_jobs" and found.get(name) != value and (name, value) != ("score", "default"):
            raise Failure(
                f"{path} holds a model with {name}={found.get(name)!r}, not {value!r}: leave the option out, or "
                "begin with another file",
                USAGE,
            )


def checked(path: str | os.PathLike[str], state: dict[str, Any]) -> dict[str, Any]:
    """Return a stream's state from a file if it is one; ValueError tells what is wrong."""
    name = repr(os.fspath(path))
    if not isinstance(state, dict):
        raise ValueError(f"{name} is damaged: no state of a stream: {state!r:.80}")
    if state.get("version") == 1 and isinstance(state.get("alarms"), dict):  # its rule was another: it starts afresh
        alarms = {key: value for key, value in state["alarms"].items() if key != "level"}
        state = {**state, "alarms": {**alarms, "rule": None}}
    if state.get("version") in (1, 2) and "incidents" not in state:  # nothing was known of incidents
        state = {**state, "version": STATE_VERSION, "incidents": Incidents().state()}
    if state.get("version") not in (STATE_VERSION, VERDICTS_VERSION):
        raise ValueError(
            f"{name} has a stream's state of version {state.get('version')!r}; "
            f"this imondrian reads versions 1 to {VERDICTS_VERSION}"
        )
    kinds: dict[str, Any] = {
        "version": int,
        "records": int,
        "alarms": dict,
        "header": (list, type(None)),
        "pending": np.ndarray,
        "incidents": dict,
        **({"feedback": dict} if state["version"] == VERDICTS_VERSION else {}),
    }
    if (
        state.keys() != kinds.keys()
        or not all(isinstance(state[name], kind) for name, kind in kinds.items())
        or not _is_sound(state)
    ):
        raise ValueError(f"{name} is damaged: no state of a stream: {state!r:.80}")
    return state


def _is_sound(state: dict[str, Any]) -> bool:
    alarms, header, pending = state["alarms"], state["header"] or [], state["pending"]
    if "feedback" in state and not is_state(state["feedback"]):
        return False
    if alarms.keys() != {"rate", "threshold", "count", "rule"} or not all(
        value is None or (type(value) in (int, float) and abs(value) <= sys.float_info.max)
        for key, value in alarms.items()
        if key != "rule"
    ):
        return False  # nor is NaN at most anything
    if not (
        type(state["records"]) is int
        and 0 <= state["records"] <= _MOST_RECORDS
        and pending.dtype == np.uint8
        and pending.ndim == 1
        and all(isinstance(name, str) for name in header)
        and len(set(header)) == len(header)
        and (alarms["rate"] is None or 0 < alarms["rate"] < 1)
        and type(alarms["count"]) is int
        and 0 <= alarms["count"] <= _MOST_RECORDS
    ):
        return False
    try:
        if any(each.end > state["records"] for each in Incidents.of_state(state["incidents"])):
            return False
        return alarms["rule"] is None or AlarmRule.of_state(alarms["rule"]).rate == alarms["rate"]
    except (ValueError, TypeError, AttributeError):
        return False


def _fields(table: Table) -> Fields:
    return Fields.of(table.fields, table.values, table.nominal, times=_times(table))


def _times(table: Table) -> np.ndarray | None:
    return None if table.times is None else np.array(table.times, np.float64)
