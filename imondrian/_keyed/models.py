"""One stream model for each key: the most recently used in memory, all others in a folder."""

from __future__ import annotations

import copy
import json
import os
import secrets
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from imondrian._forest.numbers import record
from imondrian._forest.times import time_of, without_time
from imondrian._models.features import Fields
from imondrian._models.prequential import Judged
from imondrian._models.settings import StreamSettings
from imondrian._models.stream import Reasons, StreamModel
from imondrian._models.wording import NOT_READY
from imondrian._persist.whole_file import TemporaryFolder

from .cache import Held, KeyMemory
from .keys import check_features, key_of, text_of
from .learners import Learner, Learners
from .pending_points import Young
from .store import KeyStore

_SETTINGS = "settings"
_NAMES = {
    "n_trees",
    "window",
    "horizon",
    "score",
    "scale",
    "calibration",
    "calibration_half_life",
    "max_features",
    "seed",
}
_MORE = {"time", "categorical_weight"}  # of folders that have it


class KeyedModels:
    """What :class:`imondrian.keyed.KeyedForest` does, and what commands need beside it.

    Parameters
    ----------
    path : str, os.PathLike or None
        The folder; None: a temporary one.
    parameters : dict
        Of every model, but for its seed.
    seed : int or None
        None: that of the folder, or one that is drawn.
    max_models, max_bytes : int, int or None
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        parameters: dict[str, Any],
        seed: int | None,
        max_models: int,
        max_bytes: int | None,
    ) -> None:
        self._parameters = dict(parameters)
        settings = StreamModel(self._settings()).settings  # also checks them
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise TypeError(f"seed must be None or an int, got {seed!r}")
        self._temporary = TemporaryFolder() if path is None else None
        self._store = KeyStore(Path(self._temporary.name if self._temporary is not None else os.fspath(path or "")))
        try:
            seed = self._settle_settings(seed, settings.score)
            self._learners = Learners(self._settings(), seed)
            self._n_keys = self._store.count()
        except BaseException:
            self._store.close()
            raise
        self._memory = KeyMemory(max_models, max_bytes, self._write)
        self._n_loads = 0
        self._lock: Any = threading.RLock()
        _OPEN.add(self)

    @property
    def parameters(self) -> dict[str, Any]:
        """What all models have, and the seed that theirs follow from."""
        return {**self._parameters, "seed": self._learners.seed}

    @property
    def template(self) -> StreamModel:
        """A model that has learnt nothing."""
        return self._learners.template

    def _settings(self) -> StreamSettings:
        return StreamSettings.of({**self._parameters, "seed": None, "n_jobs": None, "max_bytes": None})

    def _settle_settings(self, seed: int | None, score: str) -> int:
        """Compare the parameters with those of the folder, or put them there; return the seed."""
        found = _read_settings(self._store)
        if found is None:
            self._parameters["score"] = score
            settings = {**self._parameters, "seed": secrets.randbits(63) if seed is None else seed}
            self._store.write_note(_SETTINGS, json.dumps(settings, default=lambda value: value.item()).encode())
            self._store.commit()
            return int(settings["seed"])
        if self._parameters["score"] == "default":  # what it means is settled when a folder begins
            self._parameters["score"] = str(found.get("score"))
        for name, value in {**self._parameters, **({} if seed is None else {"seed": seed})}.items():
            if found.get(name) != value:
                raise ValueError(
                    f"{name} must be {found.get(name)!r}, as for the models in {os.fspath(self.path)!r}, got {value!r}"
                )
        return int(found["seed"])

    # -- points ------------------------------------------------------------------------------------

    def learn_one(self, key: Any, x: Any) -> float:
        """Score a point, let its key's model learn it, return the score."""
        with self._lock:
            time, times, x = self.template.settings.time, None, record(x)
            if time is not None:
                times = np.array([time_of(x, time)])
                x = without_time(x, time)
            point = Fields.of_point(x)._replace(times=times)
            check_features(point.names)
            return float(self._judge_and_learn(text_of(key), point).scores[0])

    def ask(self, key: Any, x: Any, unready: Any, question: Callable[[StreamModel], Any]) -> Any:
        """Return what a key's model answers; ``unready`` where there is none yet."""
        with self._lock:
            held = self._find(text_of(key))
            if held is None or isinstance(held.learner, Young):
                self.template.score_one(x)  # says what is wrong with x
                return unready
            with held.learner.gate.reading:
                return question(held.learner)

    def reasons(self, key: Any, x: dict[Any, Any], most: int) -> Reasons:
        """Return why x has its score."""
        unready = (list(x), np.zeros((len(x), 2)), NOT_READY)
        return self.ask(key, x, unready, lambda model: model.reasons(x, most))

    def forget_one(self, key: Any, x: Any, missing_ok: bool) -> None:
        """Take one point out of its key's model."""
        text = text_of(key)
        with self._lock:
            held = self._find(text)
            if held is None:
                self.template.forget_one(x, missing_ok)
                return
            model = self._grown(text, held)
            with model.gate.updating:
                model.forget_one(x, missing_ok)
            held.changed = True
            self._memory.used(text, held)

    def keep_score(self, key: Any, score: float) -> None:
        """Let later p-values of a key count a score whose point is not learnt."""
        with self._lock:
            held = self._find(text_of(key))
            if held is not None and not isinstance(held.learner, Young):
                with held.learner.gate.updating:
                    held.learner.keep_score(score)
                held.changed = True

    # -- tables of finite values and NaN; all rows have the features ``fields``, ``nominal`` of which are words ---

    def judge_and_learn(
        self,
        keys: Sequence[Any],
        fields: Sequence[Any],
        values: np.ndarray,
        nominal: np.ndarray | None = None,
        times: np.ndarray | None = None,
    ) -> Judged:
        """Score and learn rows, each by its key's model; windows by age need ``times`` (n,), in seconds."""
        check_features(fields)
        table = Fields.of(fields, values, nominal, times=times)
        return self._by_key(keys, values, lambda key, chosen: self._judge_and_learn(key, table.part(chosen)))

    def judge(
        self, keys: Sequence[Any], fields: Sequence[Any], values: np.ndarray, nominal: np.ndarray | None = None
    ) -> Judged:
        """Score rows; change no model."""

        def judge(key: str, chosen: list[int]) -> Judged:
            held = self._find(key)
            if held is None or isinstance(held.learner, Young):
                return Judged.unready(len(chosen))
            with held.learner.gate.reading:
                return held.learner.judge(fields, values[chosen], nominal)

        return self._by_key(keys, values, judge)

    def _by_key(self, keys: Sequence[Any], values: np.ndarray, judge: Callable[[str, list[int]], Judged]) -> Judged:
        """Judge the rows of each key together: models know nothing of each other."""
        if len(keys) != len(values):
            raise ValueError(f"keys must be as many as rows, got {len(keys)} for {len(values)}")
        places: dict[str, list[int]] = {}
        for i, text in enumerate(map(text_of, keys)):
            places.setdefault(text, []).append(i)
        judged = Judged.unready(len(values))
        with self._lock:
            for text, chosen in places.items():
                for column, some in zip(judged, judge(text, chosen), strict=True):
                    column[chosen] = some
        return judged

    # -- one key's model ---------------------------------------------------------------------------

    def _judge_and_learn(self, key: str, table: Fields) -> Judged:
        held = self._find(key)
        if held is None:
            held = self._memory.hold(key, Held(Young(), True))
            self._n_keys += 1
        held.changed = True
        held.learner, judged = self._learners.learn(key, held.learner, table)
        self._memory.used(key, held)
        return judged

    def _grown(self, key: str, held: Held) -> StreamModel:
        """Return the model of a key; of a young one, once it has learnt what waited for it."""
        held.learner = grown = self._learners.grown(key, held.learner)
        return grown

    def model(self, key: Any) -> tuple[StreamModel, dict[str, Any]]:
        """Return a copy of a key's model, and its parameters; KeyError where there is none."""
        text = text_of(key)
        with self._lock:
            held = self._find(text)
            if held is None:
                raise KeyError(key)
            is_young = isinstance(held.learner, Young)
            model = self._grown(text, Held(held.learner, False)) if is_young else copy.deepcopy(held.learner)
        assert isinstance(model, StreamModel)
        return model, {**self._parameters, "seed": self._learners.seed_of(text)}

    # -- memory and disk ---------------------------------------------------------------------------

    def _find(self, key: str) -> Held | None:
        """Return what is known of a key, from now on in memory."""
        held = self._memory.get(key)
        if held is not None and self._store.is_open:
            return held
        state = self._store.read(key)
        if state is None:
            return None
        learner = self._decoded(key, state)
        self._n_loads += 1
        held = self._memory.hold(key, Held(learner, False))
        self._memory.used(key, held)
        return held

    def _decoded(self, key: str, data: bytes) -> Learner:
        try:
            return self._learners.from_bytes(key, data)
        except (ValueError, TypeError) as error:
            raise ValueError(f"the model of {key_of(key)!r} in {os.fspath(self.path)!r} is damaged: {error}") from None

    def _write(self, key: str, held: Held) -> None:
        if held.changed:
            self._store.write(key, self._encoded(key, held.learner))
            held.changed = False

    def _encoded(self, key: str, learner: Learner) -> bytes:
        """Return the bytes of what is sound: nothing else may take the place of the last good state."""
        try:
            return self._learners.to_bytes(learner)
        except ValueError as error:
            raise ValueError(
                f"the model of {key_of(key)!r} cannot be saved: {error}; what is in "
                f"{os.fspath(self.path)!r} is left as it was"
            ) from None

    def write_note(self, name: str, note: bytes) -> None:
        """Keep a note beside the models, until the next ``flush`` with what they have learnt."""
        self._store.write_note(name, note)

    def read_note(self, name: str) -> bytes | None:
        """Return a note; None where there is none."""
        return self._store.read_note(name)

    def flush(self) -> None:
        """Put every change on the disk."""
        with self._lock:
            for key, held in self._memory.items():
                self._write(key, held)
            self._store.commit()

    def close(self) -> None:
        """Put every change on the disk and let go of the folder; more than once, or in a forked child, do nothing."""
        if isinstance(self._lock, _OfParent):
            return
        with self._lock:
            try:
                if self._store.is_open and self._temporary is None:
                    self.flush()
            finally:
                self.abandon()

    def abandon(self) -> None:
        """Let go of the folder as the last ``flush`` left it."""
        self._store.close()
        self._memory.clear()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _leave_to_parent(self) -> None:
        """In a forked child: the folder, the lock and what is in memory are the parent's."""
        self._lock = _OfParent()
        self._store.leave_to_parent()
        if self._temporary is not None:
            self._temporary.leave_to_parent()
            self._temporary = None

    # -- looking in --------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder."""
        return self._store.path.parent

    def __len__(self) -> int:
        return self._n_keys

    def __contains__(self, key: Any) -> bool:
        text = text_of(key)
        with self._lock:
            return self._memory.get(text) is not None or self._store.read(text) is not None

    def keys(self) -> Iterable[Any]:
        """Return all keys."""
        with self._lock:
            texts = {*self._store.keys(), *(text for text, _ in self._memory.items())}
        return map(key_of, texts)

    def drop(self, key: Any) -> None:
        """Forget a key and all that its model has learnt; KeyError where there is none."""
        text = text_of(key)
        with self._lock:
            if key not in self:
                raise KeyError(key)
            self._store.delete(text)
            self._memory.remove(text)
            self._n_keys -= 1

    def info(self) -> dict[str, Any]:
        """Return how many keys and bytes there are, in memory and on the disk."""
        with self._lock:
            learners = [held.learner for _, held in self._memory.items()]
            disk = sum(entry.stat().st_size for entry in self.path.iterdir())
        return {
            "keys": self._n_keys,
            "in_memory": len(learners),
            "young": sum(isinstance(learner, Young) for learner in learners),
            "bytes": sum(map(sys.getsizeof, learners)),
            "max_models": self._memory.max_models,
            "max_bytes": self._memory.max_bytes,
            "loads": self._n_loads,
            "spills": self._memory.n_spills,
            "disk_bytes": disk,
        }


def found_parameters(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the parameters of a folder's models; FileNotFoundError, OSError or ValueError where there are none."""
    if not Path(path).is_dir():
        raise FileNotFoundError(f"there is no folder {os.fspath(path)!r}")
    store = KeyStore(Path(path))
    try:
        settings = _read_settings(store)
        if settings is None:
            raise ValueError(f"{os.fspath(path)!r} holds no models")
    finally:
        store.close()
    try:
        StreamModel(StreamSettings.of({**settings, "n_jobs": None, "max_bytes": None}))
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is damaged: its models cannot have the settings there: {error}"
        ) from None
    return settings


def _read_settings(store: KeyStore) -> dict[str, Any] | None:
    note = store.read_note(_SETTINGS)
    if note is None:
        return None
    try:
        settings = json.loads(note)
    except (ValueError, TypeError, RecursionError):
        settings = None
    if (
        not isinstance(settings, dict)
        or settings.keys() - _MORE != _NAMES
        or type(settings["seed"]) is not int
        or not all(value is None or type(value) in (int, float, str) for value in settings.values())
    ):
        raise ValueError(f"{os.fspath(store.path)!r} is damaged: it does not say what its models are")
    if settings.get("score") == "default":
        settings["score"] = "spacing"  # what it meant in folders that do not say
    return {"categorical_weight": 1.0, **settings}


_OPEN: weakref.WeakSet[KeyedModels] = weakref.WeakSet()


class _OfParent:
    """In the place of a lock in a forked child, where the lock may never be free again."""

    def __enter__(self) -> NoReturn:
        raise RuntimeError(
            "this KeyedForest was opened before the process was forked, and belongs to the parent: "
            "close it before forking, or open the folder in the child once the parent has closed it"
        )

    def __exit__(self, *error: object) -> None:
        """Do nothing: nobody comes in."""


def _leave_all_to_parent() -> None:
    for models in list(_OPEN):
        models._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_to_parent)
