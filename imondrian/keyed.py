"""One model a key, for more keys than memory has room for: :class:`KeyedForest`."""

from __future__ import annotations

import copy
import json
import os
import secrets
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn

import numpy as np

from ._forest.footprint import Layout
from ._forest.numbers import record, table, values_of
from ._forest.scoring import Score, Window
from ._forest.validation import positive_int
from ._keyed.cache import Held, KeyMemory
from ._keyed.learners import Learners, key_text
from ._keyed.pending_points import Young
from ._keyed.store import KeyStore
from ._models import prequential as _prequential
from ._models.online import OnlineForest
from ._models.prequential import Judged
from ._models.wording import MOST_REASONS, NOT_READY
from ._persist.model_file import _encode
from ._persist.whole_file import TemporaryFolder

__all__ = ["KeyedForest"]

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


class KeyedForest:
    """An :class:`imondrian.river.OnlineIsolationMondrianForest` for each key, most of them on the disk.

    The models used last are in memory, at most ``max_models`` of them; the others are in a folder. What is returned is
    what a dict of models kept in memory would return, to the bit.

    Parameters
    ----------
    path : str or os.PathLike, optional
        The folder. One that is there is gone on with, and the parameters of its models must be the same. None: a
        temporary one, which ``close`` removes.
    max_models : int, default=1000
        Models in memory at a time, and ten times as many keys that have no model yet.
    max_bytes : int or None, default=None
        Bytes of both (as ``sys.getsizeof`` tells), but for the one in use, which may pass it alone.
    n_trees : int, default=24
    window : int, str or None, default=64
        Defaults for many small models: a quarter of a megabyte each with up to four features. Trees
        are grown eight abreast, so multiples of eight are the cheapest.
    horizon, score, scale, calibration, calibration_half_life
        As for the models, which have fewer kept scores here (``calibration=256``).
    max_features : int, default=100
    seed : int or None, default=None
        Each key's model has a seed of its own, which follows from this one and the key alone (BLAKE2b). None: drawn
        when the folder is made.

    Raises
    ------
    BlockingIOError
        The folder is open elsewhere.
    OSError, ValueError
        It cannot be opened; it holds other models, or something else, or is damaged.

    Notes
    -----
    A key is a str, an int, or a tuple of these; 1 and "1" are two keys.

    **What a crash costs.** All that happens between two calls of ``flush`` is one transaction of SQLite. After a crash
    of the process or of the machine the folder is as the last ``flush`` (or ``close``) left it, for all keys
    together. The folder grows by what is spilled in between. A write that fails (a full disk) has the same effect, and
    closes the object.

    **Memory** is at most ``max_models * model_bytes(d)`` for models of d features, and 8 MiB for SQLite's pages,
    whatever the number of keys; before its first score a key has no model, only its points, and for ten times as many
    of those add ``10 * max_models * (1000 + 356 * d)`` bytes at most if a key's points have the same features. On the
    disk a model takes a third of its memory.

    **Threads** may share a forest; their calls wait for each other. Two processes cannot share a folder: in a forked
    child every call raises RuntimeError.

    Examples
    --------
    >>> import random
    >>> from imondrian.keyed import KeyedForest
    >>> rng = random.Random(0)
    >>> with KeyedForest(max_models=10, seed=1) as forest:
    ...     for _ in range(100):
    ...         for sensor in range(20):
    ...             score = forest.score_learn_one(sensor, {"value": rng.gauss(sensor, 1)})
    ...     usual, strange = forest.score_one(7, {"value": 7}), forest.score_one(7, {"value": 19})
    >>> usual < 0.5 < strange
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_models: int = 1000,
        max_bytes: int | None = None,
        n_trees: int = 24,
        window: Window = 64,
        horizon: int = 4096,
        score: Score = "default",
        scale: Literal["robust"] | None = "robust",
        seed: int | None = None,
        calibration: int | None = 256,
        calibration_half_life: float | None = None,
        max_features: int = 100,
    ) -> None:
        self.max_models = positive_int("max_models", max_models)
        self.max_bytes = None if max_bytes is None else positive_int("max_bytes", max_bytes)
        self._parameters: dict[str, Any] = {
            "n_trees": n_trees,
            "window": window,
            "horizon": horizon,
            "score": score,
            "scale": scale,
            "calibration": calibration,
            "calibration_half_life": calibration_half_life,
            "max_features": max_features,
        }
        self._template = OnlineForest(**self._parameters)  # also checks them
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise TypeError(f"seed must be None or an int, got {seed!r}")
        self._temporary = TemporaryFolder() if path is None else None
        self._store = KeyStore(Path(self._temporary.name if self._temporary is not None else os.fspath(path or "")))
        try:
            self._seed = self._settle_settings(seed)
            self._learners = Learners(self._parameters, self._seed)
            self._n_keys = self._store.count()
        except BaseException:
            self._store.close()
            raise
        self._memory = KeyMemory(self.max_models, self.max_bytes, self._write)
        self._n_loads = 0
        self._lock: Any = threading.RLock()
        _OPEN.add(self)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, max_models: int = 1000, max_bytes: int | None = None) -> KeyedForest:
        """Go on with a folder that is there, with the parameters that its models have.

        Raises
        ------
        FileNotFoundError
            There is none.
        OSError, ValueError
            As for the class.
        """
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
            OnlineForest(**settings)
        except (ValueError, TypeError, OverflowError, MemoryError) as error:
            raise ValueError(
                f"{os.fspath(path)!r} is damaged: its models cannot have the settings there: {error}"
            ) from None
        return cls(path, max_models=max_models, max_bytes=max_bytes, **settings)

    def _settle_settings(self, seed: int | None) -> int:
        """Compare the parameters with those of the folder, or put them there; return the seed."""
        found = _read_settings(self._store)
        if found is None:
            self._settle_score(self._template._score)
            settings = {**self._parameters, "seed": secrets.randbits(63) if seed is None else seed}
            self._store.write_note(_SETTINGS, json.dumps(settings, default=lambda value: value.item()).encode())
            self._store.commit()
            return int(settings["seed"])
        if self._parameters["score"] == "default":  # what it means is settled when a folder begins
            self._settle_score(str(found.get("score")))
        for name, value in {**self._parameters, **({} if seed is None else {"seed": seed})}.items():
            if found.get(name) != value:
                raise ValueError(
                    f"{name} must be {found.get(name)!r}, as for the models in {os.fspath(self.path)!r}, got {value!r}"
                )
        return int(found["seed"])

    def _settle_score(self, score: str) -> None:
        self._parameters["score"] = score
        self._template = OnlineForest(**self._parameters)

    # -- points ------------------------------------------------------------------------------------

    def learn_one(self, key: Any, x: dict[Any, Any]) -> None:
        """Let a key's model learn one point; a key that is new gets a model.

        Parameters
        ----------
        key : str, int or tuple of these
        x : dict
            Numbers by feature. TypeError or ValueError for anything else; nothing is learnt then.
        """
        self.score_learn_one(key, x)

    def score_learn_one(self, key: Any, x: dict[Any, Any]) -> float:
        """Return what ``score_one`` returns, and learn the point."""
        with self._lock:
            fields, values = self._point(x)
            return float(self._learn(key_text(key), fields, values).scores[0])

    def score_one(self, key: Any, x: dict[Any, Any]) -> float:
        """Return the score of one point, in [0, 1]: high is anomalous, 0 is "not ready". Changes no model."""
        return self._ask(key, x, 0.0, lambda model: model.score_one(x))

    def p_value_one(self, key: Any, x: dict[Any, Any]) -> float:
        """Return the conformal p-value of one point among its key's last scores; 1 is "not ready"."""
        self._template._recent_scores()
        return self._ask(key, x, 1.0, lambda model: model.p_value_one(x))

    def explain_one(self, key: Any, x: dict[Any, Any], *, by_direction: bool = False) -> dict[Any, Any]:
        """Return what each feature of x contributes to its score, as the model's ``explain_one``."""
        nothing = (0.0, 0.0) if by_direction else 0.0
        return self._ask(
            key, x, dict.fromkeys(record(x), nothing), lambda model: model.explain_one(x, by_direction=by_direction)
        )

    def why_one(self, key: Any, x: dict[Any, Any], *, most: int = MOST_REASONS) -> str:
        """Return in words why x has its score, as the model's ``why_one``."""
        most = positive_int("most", most)
        return self._ask(key, x, NOT_READY, lambda model: model.why_one(x, most=most))

    def _explain_why(self, key: Any, x: dict[Any, Any], most: int) -> tuple[list[Any], np.ndarray, str]:
        """Return what the model's ``_explain_why`` does."""
        return self._ask(key, x, (list(x), np.zeros((len(x), 2)), NOT_READY), lambda model: model._explain_why(x, most))

    def forget_one(self, key: Any, x: dict[Any, Any], *, missing_ok: bool = False) -> None:
        """Take one point out of its key's model, as the model's ``forget_one``."""
        with self._lock:
            held = self._find(key_text(key))
            if held is None:
                self._template.forget_one(x, missing_ok=missing_ok)
                return
            self._grown(key_text(key), held).forget_one(x, missing_ok=missing_ok)
            held.changed = True
            self._memory.used(key_text(key), held)

    # -- tables ------------------------------------------------------------------------------------

    def learn_many(self, keys: Sequence[Any], X: Any) -> None:
        """Learn rows, each by its key's model: the same as a ``learn_one`` loop.

        Parameters
        ----------
        keys : sequence of n keys
        X : dataframe or ndarray of shape (n, n_features)
            Columns of an array are named 0, 1, ...
        """
        self.score_learn_many(keys, X)

    def score_learn_many(self, keys: Sequence[Any], X: Any) -> np.ndarray:
        """Score each row, then learn it, in order; return the scores, ndarray (n,)."""
        fields, values = table(X)
        return self._score_learn(keys, fields, np.asarray(values, np.float64)).scores

    def score_many(self, keys: Sequence[Any], X: Any) -> np.ndarray:
        """Return the scores of rows as ``score_one`` would, ndarray (n,). Changes no model."""
        fields, values = table(X)
        return self._score(keys, fields, np.asarray(values, np.float64)).scores

    def _score_learn(self, keys: Sequence[Any], fields: Sequence[Any], values: np.ndarray) -> Judged:
        """Score and learn rows of finite values and NaN; all have the features ``fields``."""
        _check_features(fields)
        return self._by_key(keys, values, lambda key, some: self._learn(key, fields, some))

    def _score(self, keys: Sequence[Any], fields: Sequence[Any], values: np.ndarray) -> Judged:
        def judge(key: str, some: np.ndarray) -> Judged:
            held = self._find(key)
            if held is None or isinstance(held.learner, Young):
                return Judged.unready(len(some))
            return _prequential.score(held.learner, fields, some)

        return self._by_key(keys, values, judge)

    def _by_key(self, keys: Sequence[Any], values: np.ndarray, judge: Callable[[str, np.ndarray], Judged]) -> Judged:
        """Judge the rows of each key together: models know nothing of each other."""
        if len(keys) != len(values):
            raise ValueError(f"keys must be as many as rows, got {len(keys)} for {len(values)}")
        places: dict[str, list[int]] = {}
        for i, text in enumerate(map(key_text, keys)):
            places.setdefault(text, []).append(i)
        judged = Judged.unready(len(values))
        with self._lock:
            for text, chosen in places.items():
                for column, some in zip(judged, judge(text, values[chosen]), strict=True):
                    column[chosen] = some
        return judged

    def _keep_score(self, key: Any, score: float) -> None:
        """Let later p-values of a key count a score whose point is not learnt."""
        with self._lock:
            held = self._find(key_text(key))
            if held is not None and not isinstance(held.learner, Young):
                _prequential.keep_score(held.learner, score)
                held.changed = True

    # -- one key's model ---------------------------------------------------------------------------

    def _learn(self, key: str, fields: Sequence[Any], values: np.ndarray) -> Judged:
        held = self._find(key)
        if held is None:
            held = self._memory.hold(key, Held(Young(), True))
            self._n_keys += 1
        held.changed = True
        held.learner, judged = self._learners.learn(key, held.learner, fields, values)
        self._memory.used(key, held)
        return judged

    def _ask(self, key: Any, x: dict[Any, Any], unready: Any, ask: Callable[[OnlineForest], Any]) -> Any:
        with self._lock:
            held = self._find(key_text(key))
            if held is None or isinstance(held.learner, Young):
                self._template.score_one(x)  # says what is wrong with x
                return unready
            return ask(held.learner)

    def _point(self, x: dict[Any, Any]) -> tuple[tuple[Any, ...], np.ndarray]:
        values = values_of(record(x))
        fields = tuple(values)
        _check_features(fields)
        return fields, np.array([list(values.values())]).reshape(1, -1)

    def _grown(self, key: str, held: Held) -> OnlineForest:
        """Return the model of a key; of a young one, once it has learnt what waited for it."""
        held.learner = grown = self._learners.grown(key, held.learner)
        return grown

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

    def _decoded(self, key: str, data: bytes) -> Young | OnlineForest:
        try:
            return self._learners.from_bytes(key, data)
        except (ValueError, TypeError) as error:
            raise ValueError(f"the model of {_key(key)!r} in {os.fspath(self.path)!r} is damaged: {error}") from None

    def _write(self, key: str, held: Held) -> None:
        if held.changed:
            self._store.write(key, self._encoded(key, held.learner))
            held.changed = False

    def _encoded(self, key: str, learner: Young | OnlineForest) -> bytes:
        """Return the bytes of what is sound: nothing else may take the place of the last good state."""
        try:
            return self._learners.to_bytes(learner)
        except ValueError as error:
            raise ValueError(
                f"the model of {_key(key)!r} cannot be saved: {error}; what is in "
                f"{os.fspath(self.path)!r} is left as it was"
            ) from None

    def flush(self) -> None:
        """Put every change on the disk: what a crash later on leaves is at least this.

        Raises
        ------
        OSError
            It cannot be written. The folder is as the last ``flush`` left it, and this object is closed.
        """
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
                self._abandon()

    def _leave_to_parent(self) -> None:
        """In a forked child: the folder, the lock and what is in memory are the parent's."""
        self._lock = _OfParent()
        self._store.leave_to_parent()
        if self._temporary is not None:
            self._temporary.leave_to_parent()
            self._temporary = None

    def _abandon(self) -> None:
        """Let go of the folder as the last ``flush`` left it."""
        self._store.close()
        self._memory.clear()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> KeyedForest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- looking in --------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder."""
        return self._store.path.parent

    def __len__(self) -> int:
        """Return how many keys have a model."""
        return self._n_keys

    def __contains__(self, key: Any) -> bool:
        text = key_text(key)
        with self._lock:
            return self._memory.get(text) is not None or self._store.read(text) is not None

    def keys(self) -> Iterator[Any]:
        """Return an iterator over all keys, in no particular order."""
        with self._lock:
            texts = {*self._store.keys(), *(text for text, _ in self._memory.items())}
        return map(_key, texts)

    def model(self, key: Any) -> OnlineForest:
        """Return a copy of a key's model, to look at or to go on with elsewhere; KeyError where there is none.

        Where river is installed, an :class:`imondrian.river.OnlineIsolationMondrianForest`; else the same but for
        river's interface.
        """
        with self._lock:
            held = self._find(key_text(key))
            if held is None:
                raise KeyError(key)
            if isinstance(held.learner, Young):
                model = self._grown(key_text(key), Held(held.learner, False))
            else:
                model = copy.deepcopy(held.learner)
        return _as_detector(model)

    def drop(self, key: Any) -> None:
        """Forget a key and all that its model has learnt; KeyError where there is none."""
        text = key_text(key)
        with self._lock:
            if key not in self:
                raise KeyError(key)
            self._store.delete(text)
            self._memory.remove(text)
            self._n_keys -= 1

    def model_bytes(self, n_features: int) -> int | None:
        """Return the most bytes that a model of so many features ever takes; None without a window."""
        template = self._template
        memory, points, _ = template._retention
        if points is None:
            return None
        layout = Layout(template._n_trees, n_features, 8, memory, template._score == "spacing")
        return layout.window_size(points) + template._reserved(n_features)

    def info(self) -> dict[str, Any]:
        """Return what the forest holds.

        Returns
        -------
        dict
            ``keys``; ``in_memory`` and ``young``: keys in memory, and how many of these have no model yet; ``bytes``
            of what is in memory, and ``max_bytes``; ``loads`` and ``spills`` since it was opened; ``disk_bytes``.
        """
        with self._lock:
            learners = [held.learner for _, held in self._memory.items()]
            disk = sum(entry.stat().st_size for entry in self.path.iterdir())
        return {
            "keys": self._n_keys,
            "in_memory": len(learners),
            "young": sum(isinstance(learner, Young) for learner in learners),
            "bytes": sum(map(sys.getsizeof, learners)),
            "max_models": self.max_models,
            "max_bytes": self.max_bytes,
            "loads": self._n_loads,
            "spills": self._memory.n_spills,
            "disk_bytes": disk,
        }


_OPEN: weakref.WeakSet[KeyedForest] = weakref.WeakSet()


class _OfParent:
    """In the place of a forest's lock in a forked child, where the lock may never be free again."""

    def __enter__(self) -> NoReturn:
        raise RuntimeError(
            "this KeyedForest was opened before the process was forked, and belongs to the parent: "
            "close it before forking, or open the folder in the child once the parent has closed it"
        )

    def __exit__(self, *error: object) -> None:
        """Do nothing: nobody comes in."""


def _leave_all_to_parent() -> None:
    for forest in list(_OPEN):
        forest._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_to_parent)


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
        or settings.keys() != _NAMES
        or type(settings["seed"]) is not int
        or not all(value is None or type(value) in (int, float, str) for value in settings.values())
    ):
        raise ValueError(f"{os.fspath(store.path)!r} is damaged: it does not say what its models are")
    if settings.get("score") == "default":
        settings["score"] = "spacing"  # what it meant in folders that do not say
    return settings


def _key(text: str) -> Any:
    def tupled(part: Any) -> Any:
        return tuple(map(tupled, part)) if isinstance(part, list) else part

    return tupled(json.loads(text))


def _check_features(fields: Iterable[Any]) -> None:
    """Raise TypeError for a feature that cannot be put on the disk."""
    for name in fields:
        if type(name) is not str:
            _encode(name, f"the feature {name!r:.80}", {})


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def _as_detector(model: OnlineForest) -> OnlineForest:
    """Return the model as river's detector, where river is installed."""
    try:
        from .river import OnlineIsolationMondrianForest
    except ImportError:
        return model
    model.__class__ = OnlineIsolationMondrianForest
    return model
