"""The forest as a river anomaly detector. The only module that imports river."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

try:
    from river.base import AnomalyDetector
    from river.utils.dataframe import into_frame, to_numpy
except ImportError as error:
    raise ImportError("imondrian.river needs river: pip install 'imondrian[river]'") from error

from ._forest import Forest, seed_states
from ._gate import Gate, gate_of, reading, updating
from ._model_file import load_model, save_model
from ._scoring import resolve_score
from ._validation import is_scaled, positive_int, retention, thread_count

if TYPE_CHECKING:
    from ._estimator import IsolationMondrianForest

__all__ = ["OnlineIsolationMondrianForest"]

_WARM_UP = 32


class OnlineIsolationMondrianForest(AnomalyDetector):
    """Isolation Mondrian forest for endless streams, in bounded memory.

    ``score_one`` is in [0, 1] and **high for anomalies**; it is exactly 0 during warm-up (until 32
    points were learnt, or the window is full if it is shorter).

    Parameters
    ----------
    n_trees : int, default=100
    window : "thinned", "decayed", "reservoir", int or None, default="thinned"
        What every tree keeps. The names keep 256 points, different ones in each tree, which is what
        makes an ensemble: "thinned" draws them from about the last ``horizon`` points and lets the oldest
        leave first, "decayed" is a sample in which a point's odds fall by a factor of e every
        ``horizon`` points, "reservoir" a uniform sample of all points seen. An int keeps exactly the
        last ``window`` points in every tree; None keeps every point, in memory that grows.
    horizon : int, default=1024
        How far back, in points, "thinned" and "decayed" windows reach.
    score : {"default", "depth", "insertion"}, default="default"
        As in :class:`imondrian.IsolationMondrianForest`.
    scale : "robust" or None, default="robust"
        As in :class:`imondrian.IsolationMondrianForest`: by default units mean nothing, and no scaler is needed
        before the forest.
    seed : int or None, default=None
    n_jobs : int or None, default=None
        Threads for ``learn_many`` and ``score_many``. Results do not depend on it.

    Notes
    -----
    An absent key, None and NaN all mean "missing". A missing value separates its point from nothing,
    and follows the side of a cut where more points are. A key that was never seen before widens the
    forest; nothing is forgotten. The order of keys means nothing.

    Memory is bounded: ``t (w + 1) (68 + 16 d)`` bytes of trees and at most ``8 t w d`` of points, for t
    trees of w points and d features rounded up to a multiple of four (6.6 MB by default with nine).
    Trees share the points they have in common. ``sys.getsizeof(model)`` tells the sum.

    Threads may share a model: scoring runs beside scoring, in parallel where batches are long; learning
    waits for it and has the model alone, as does ``save`` but for scoring. ``pickle`` and ``copy`` do not
    wait: keep learning off while they run, or use ``save``.

    river's ``ThresholdFilter(protect_anomaly_detector=False)`` never trains the detector it wraps
    (as of river 0.26): leave that option at its default.

    References
    ----------
    See :class:`imondrian.IsolationMondrianForest`.

    Examples
    --------
    >>> from river import datasets
    >>> from imondrian.river import OnlineIsolationMondrianForest
    >>> model = OnlineIsolationMondrianForest(n_trees=25, seed=1)
    >>> for x, _ in datasets.Shuttle().take(500):
    ...     score = model.score_one(x)
    ...     model.learn_one(x)
    >>> bool(model.score_one(x) < 0.6 < model.score_one({key: 500 for key in x}))
    True
    """

    _FILE_CLASS = "OnlineIsolationMondrianForest"
    _FITTED: ClassVar[dict[str, Any]] = {"_keys": dict, "_forest": (Forest, NoneType)}

    def __init__(self, n_trees: int = 100, window: Any = "thinned", horizon: int = 1024,
                 score: str = "default", scale: str | None = "robust", seed: int | None = None,
                 n_jobs: int | None = None) -> None:
        self.n_trees = n_trees
        self.window = window
        self.horizon = horizon
        self.score = score
        self.scale = scale
        self.seed = seed
        self.n_jobs = n_jobs
        self._n_trees = positive_int("n_trees", n_trees)
        self._retention = retention(window, horizon)
        self._score = resolve_score(score)
        self._scaled = is_scaled(scale)
        self._n_threads = thread_count(n_jobs)
        self._keys: dict[Any, int] = {}
        self._forest: Forest | None = None
        self._gate = Gate()

    # -- river's interface -------------------------------------------------------------------------

    @property
    def _is_stochastic(self) -> bool:
        return True

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn one point, and forget the oldest if the window is full.

        Parameters
        ----------
        x : dict
            Numbers by feature. Raises TypeError or ValueError for anything else; nothing is learnt then.
        """
        with self._gate.updating:  # what @updating does, in a third of its time
            row = self._row(x, grow=True)
            if row is not None and self._forest is not None:
                self._forest.learn(row)

    def score_one(self, x: dict[Any, Any]) -> float:
        """Return the score of one point, in [0, 1]; high is anomalous, 0 is "not ready". Changes nothing."""
        with self._gate.reading:
            row = self._row(x, grow=False)
            if row is None or self._forest is None or not self._is_ready:
                return 0.0
            return float(self._forest.scores(row, self._score)[0])

    @updating
    def learn_many(self, X: Any) -> None:
        """Learn rows in order: the same as a ``learn_one`` loop.

        Parameters
        ----------
        X : dataframe (pandas, polars, pyarrow, ...) or ndarray of shape (n, n_features)
            Columns of an array are named 0, 1, ...
        """
        rows = self._rows(X, grow=True)
        if rows is not None and self._forest is not None:
            self._forest.learn(rows, n_threads=self._n_threads)

    @reading
    def score_many(self, X: Any) -> np.ndarray:
        """Return the scores of rows as ``score_one`` would, ndarray (n,). Changes nothing."""
        rows = self._rows(X, grow=False)
        if rows is None or self._forest is None or not self._is_ready:
            return np.zeros(len(X))
        return self._forest.scores(rows, self._score, self._n_threads)

    @updating
    def score_learn_many(self, X: Any) -> np.ndarray:
        """Score each row, then learn it, in order; return the scores, ndarray (n,).

        The same as ``score_one`` and ``learn_one`` in turn, in one pass and several times as fast.
        """
        rows = self._rows(X, grow=True)
        if rows is None or self._forest is None:
            return np.zeros(len(X))
        warming_up = max(0, self._warm_up - int(self._forest.mass))
        scores = self._forest.learn(rows, score=self._score, n_threads=self._n_threads)
        assert scores is not None
        scores[:warming_up] = 0.0
        return scores

    # -- to and from scikit-learn ------------------------------------------------------------------

    @classmethod
    def from_estimator(cls, estimator: IsolationMondrianForest,
                       feature_names: Iterable[Any] | None = None) -> OnlineIsolationMondrianForest:
        """Continue a fitted scikit-learn forest under river; the estimator keeps its own copy.

        ``feature_names`` (default: the estimator's ``feature_names_in_``, or 0, 1, ...) are the keys of
        the dicts to come. Scores are those of ``-score_samples``.
        """
        import copy

        with gate_of(estimator).reading:
            forest: Forest = copy.deepcopy(estimator.forest_)
        params = estimator.get_params()
        model = cls(n_trees=forest.n_trees, window=params["window"], horizon=params["horizon"],
                    score=params["score"], scale=params["scale"], n_jobs=params["n_jobs"])
        names = getattr(estimator, "feature_names_in_", range(forest.n_features))
        model._keys = {key: place for place, key in enumerate(names if feature_names is None else feature_names)}
        if len(model._keys) != forest.n_features:
            raise ValueError(f"feature_names must be {forest.n_features} distinct names, got {len(model._keys)}")
        model._forest = forest
        return model

    @reading
    def to_estimator(self) -> IsolationMondrianForest:
        """Return the forest as a fitted scikit-learn estimator, which has its own copy."""
        import copy

        from ._estimator import IsolationMondrianForest

        if self._forest is None:
            raise ValueError("the model has learnt nothing yet")
        estimator = IsolationMondrianForest(self._n_trees, window=self.window, horizon=self.horizon,
                                            score=self.score, scale=self.scale, n_jobs=self.n_jobs,
                                            random_state=self.seed)
        estimator._take(copy.deepcopy(self._forest), list(self._keys))
        return estimator

    # -- files -------------------------------------------------------------------------------------

    @reading
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file that :meth:`load` reads: versioned, checked, and not a pickle.

        Whatever was learnt, and every generator's state, is kept: a loaded model goes on to the last bit as
        this one would.

        Parameters
        ----------
        path : str or os.PathLike
            Replaced all at once: whatever happens, there is the old file or the new one. A process that
            is killed may leave a file ``.<name>.<random>.tmp`` beside it.

        Raises
        ------
        OSError
            The file cannot be written. What was there before is unharmed.
        TypeError
            A feature's key is neither None, bool, int, float, str, nor a tuple of these.
        """
        save_model(self, path, self._get_params())

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> OnlineIsolationMondrianForest:
        """Return the model of a file; nothing in a file is executed.

        Parameters
        ----------
        path : str or os.PathLike
        mmap : bool, default=False
            Map the forest's columns instead of copying them, so that processes that only score share
            their memory. The first point learnt copies them; the file is never changed. While it is
            mapped, replace the file (as :meth:`save` does), but do not write into it.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It was not saved by this class, has a newer format, or is damaged; the message says which.
        """
        return load_model(cls, path, mmap, cls._check_loaded)

    def _check_loaded(self) -> None:
        """Raise ValueError where attributes from a file contradict each other."""
        places = sorted(place for place in self._keys.values() if type(place) is int)
        width = 0 if self._forest is None else self._forest.n_features
        if places != list(range(width)) or len(self._keys) != width:
            raise ValueError(f"keys name the places {places!r:.80} of {width} features")

    # -- rows --------------------------------------------------------------------------------------

    @property
    def _is_ready(self) -> bool:
        return self._forest is not None and self._forest.mass >= self._warm_up

    @property
    def _warm_up(self) -> int:
        return min(_WARM_UP, self._retention.points or _WARM_UP)

    def _row(self, x: dict[Any, Any], grow: bool) -> np.ndarray | None:
        """Return x as an array (1, d) in the schema's order; None while there is no schema."""
        try:
            values = {key: float("nan") if value is None else float(value) for key, value in x.items()}
        except (TypeError, ValueError):
            bad = next((key, value) for key, value in x.items() if not _is_number(value))
            raise TypeError(f"x[{bad[0]!r}] must be a number, got {bad[1]!r}") from None
        infinite = [key for key, value in values.items() if value in (float("inf"), float("-inf"))]
        if infinite:
            raise ValueError(f"x[{infinite[0]!r}] must be finite, got {values[infinite[0]]}")
        if grow and not values.keys() <= self._keys.keys():
            self._grow(values)
        if self._forest is None:
            return None
        row = np.full((1, self._forest.n_features), np.nan, dtype=self._forest.dtype)
        for key, value in values.items():
            place = self._keys.get(key)
            if place is not None:
                row[0, place] = value
        return row

    def _rows(self, X: Any, grow: bool) -> np.ndarray | None:
        if isinstance(X, np.ndarray):
            if X.ndim != 2:
                raise ValueError(f"X must have shape (n, n_features), got {X.shape}")
            keys: list[Any] = list(range(X.shape[1]))
            values = X if np.iscomplexobj(X) else np.asarray(X, dtype=np.float64)
        else:
            frame = into_frame(X)
            keys, values = list(frame.columns), to_numpy(frame)
        if np.iscomplexobj(values):
            raise TypeError(f"X must be real numbers, got {values.dtype}")
        if np.isinf(values).any():
            row, column = np.argwhere(np.isinf(values))[0]
            raise ValueError(f"X must be finite, got {values[row, column]} in row {row}, column {keys[column]!r}")
        if grow and not set(keys) <= self._keys.keys():
            self._grow(keys)
        if self._forest is None:
            return None
        places = [self._keys.get(key) for key in keys]
        if places == list(range(self._forest.n_features)):
            return np.ascontiguousarray(values, dtype=self._forest.dtype)
        rows = np.full((len(values), self._forest.n_features), np.nan, dtype=self._forest.dtype)
        for column, place in enumerate(places):
            if place is not None:
                rows[:, place] = values[:, column]
        return rows

    def _grow(self, keys: Iterable[Any]) -> None:
        """Add unseen keys, in an order that does not depend on the dict's."""
        new = [key for key in keys if key not in self._keys]
        try:
            new.sort()
        except TypeError:  # keys of several types
            new.sort(key=lambda key: (type(key).__name__, str(key)))
        if self._forest is None:
            states = seed_states(np.random.RandomState(self.seed), self._n_trees)
            self._forest = Forest.for_stream(len(new), np.float64, states, *self._retention, scaled=self._scaled)
        else:
            self._forest.add_features(len(new))
        for key in new:
            self._keys[key] = len(self._keys)

    def __sizeof__(self) -> int:
        size = object.__sizeof__(self) + sys.getsizeof(self._keys)
        return size + (sys.getsizeof(self._forest) if self._forest is not None else 0)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"n_trees": 10, "seed": 42}


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return value is None
    return True
