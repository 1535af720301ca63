"""One model a key, for more keys than memory has room for: :class:`KeyedForest`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from ._forest.numbers import record
from ._forest.scoring import Score, Window
from ._forest.times import split_table, timed_table, without_time
from ._forest.validation import positive_int
from ._keyed.models import KeyedModels, found_parameters
from ._kit.call_mistakes import explain_mistakes
from ._models.wording import MOST_REASONS, NOT_READY
from ._river.online_forest import OnlineForest, detector_of

__all__ = ["KeyedForest"]


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
    horizon, score, scale, calibration, calibration_half_life, time
        As for the models, which have fewer kept scores here (``calibration=256``). With a horizon that is an age, each
        key's time runs with its own points.
    max_features : int, default=100
    categorical_weight : float, default=1.0
        As for the models. Text and truth values are categories.
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

    @explain_mistakes({"n_estimators": "n_trees", "random_state": "seed"})
    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_models: int = 1000,
        max_bytes: int | None = None,
        n_trees: int = 24,
        window: Window = 64,
        horizon: int | str = 4096,
        score: Score = "default",
        scale: Literal["robust"] | None = "robust",
        seed: int | None = None,
        calibration: int | None = 256,
        calibration_half_life: float | None = None,
        max_features: int = 100,
        categorical_weight: float = 1.0,
        time: Any = None,
    ) -> None:
        self.max_models = positive_int("max_models", max_models)
        self.max_bytes = None if max_bytes is None else positive_int("max_bytes", max_bytes)
        parameters: dict[str, Any] = {
            "n_trees": n_trees,
            "window": window,
            "horizon": horizon,
            "score": score,
            "scale": scale,
            "calibration": calibration,
            "calibration_half_life": calibration_half_life,
            "max_features": max_features,
            "categorical_weight": categorical_weight,
        }
        if time is not None:
            parameters["time"] = time
        self._models = KeyedModels(path, parameters, seed, self.max_models, self.max_bytes)

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
        return cls(path, max_models=max_models, max_bytes=max_bytes, **found_parameters(path))

    # -- points ------------------------------------------------------------------------------------

    def learn_one(self, key: Any, x: dict[Any, Any]) -> None:
        """Let a key's model learn one point; a key that is new gets a model.

        Parameters
        ----------
        key : str, int or tuple of these
        x : dict
            Numbers, text and truth values by feature. TypeError or ValueError for anything else; nothing is learnt
            then.
        """
        self.score_learn_one(key, x)

    def score_learn_one(self, key: Any, x: dict[Any, Any]) -> float:
        """Return what ``score_one`` returns, and learn the point."""
        return self._models.learn_one(key, x)

    def score_one(self, key: Any, x: dict[Any, Any]) -> float:
        """Return the score of one point, in [0, 1]: high is anomalous, 0 is "not ready". Changes no model."""
        return self._models.ask(key, x, 0.0, lambda model: model.score_one(x))

    def p_value_one(self, key: Any, x: dict[Any, Any]) -> float:
        """Return the conformal p-value of one point among its key's last scores; 1 is "not ready"."""
        self._models.template.required_scores()
        return self._models.ask(key, x, 1.0, lambda model: model.p_value_one(x))

    def explain_one(self, key: Any, x: dict[Any, Any], *, by_direction: bool = False) -> dict[Any, Any]:
        """Return what each feature of x contributes to its score, as the model's ``explain_one``."""
        nothing = (0.0, 0.0) if by_direction else 0.0
        time = self._models.template.settings.time
        unready = dict.fromkeys(record(x) if time is None else without_time(x, time), nothing)
        return self._models.ask(key, x, unready, lambda model: model.explain_one(x, by_direction))

    def why_one(self, key: Any, x: dict[Any, Any], *, most: int = MOST_REASONS) -> str:
        """Return in words why x has its score, as the model's ``why_one``."""
        most = positive_int("most", most)
        return self._models.ask(key, x, NOT_READY, lambda model: model.why_one(x, most))

    def forget_one(self, key: Any, x: dict[Any, Any], *, missing_ok: bool = False) -> None:
        """Take one point out of its key's model, as the model's ``forget_one``."""
        self._models.forget_one(key, x, missing_ok)

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
        return self._models.judge_and_learn(keys, *timed_table(X, self._models.template.settings.time)).scores

    def score_many(self, keys: Sequence[Any], X: Any) -> np.ndarray:
        """Return the scores of rows as ``score_one`` would, ndarray (n,). Changes no model."""
        return self._models.judge(keys, *split_table(X, self._models.template.settings.time)[:3]).scores

    # -- the folder --------------------------------------------------------------------------------

    def flush(self) -> None:
        """Put every change on the disk: what a crash later on leaves is at least this.

        Raises
        ------
        OSError
            It cannot be written. The folder is as the last ``flush`` left it, and this object is closed.
        """
        self._models.flush()

    def close(self) -> None:
        """Put every change on the disk and let go of the folder; more than once, or in a forked child, do nothing."""
        self._models.close()

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
        return self._models.path

    def __len__(self) -> int:
        """Return how many keys have a model."""
        return len(self._models)

    def __contains__(self, key: Any) -> bool:
        return key in self._models

    def keys(self) -> Iterator[Any]:
        """Return an iterator over all keys, in no particular order."""
        return iter(self._models.keys())

    def model(self, key: Any) -> OnlineForest:
        """Return a copy of a key's model, to look at or to go on with elsewhere; KeyError where there is none.

        Where river is installed, an :class:`imondrian.river.OnlineIsolationMondrianForest`; else the same but for
        river's interface.
        """
        return detector_of(*self._models.model(key), _detector())

    def drop(self, key: Any) -> None:
        """Forget a key and all that its model has learnt; KeyError where there is none."""
        self._models.drop(key)

    def model_bytes(self, n_features: int) -> int | None:
        """Return the most bytes that a model of so many features ever takes; None without a window."""
        return self._models.template.most_bytes(n_features)

    def info(self) -> dict[str, Any]:
        """Return what the forest holds.

        Returns
        -------
        dict
            ``keys``; ``in_memory`` and ``young``: keys in memory, and how many of these have no model yet; ``bytes``
            of what is in memory, and ``max_bytes``; ``loads`` and ``spills`` since it was opened; ``disk_bytes``.
        """
        return self._models.info()


def models_of(forest: KeyedForest) -> KeyedModels:
    """Return what a forest is around."""
    return forest._models


def _detector() -> type[OnlineForest]:
    """Return river's detector, where river is installed."""
    try:
        from .river import OnlineIsolationMondrianForest
    except ImportError:
        return OnlineForest
    return OnlineIsolationMondrianForest


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
