"""The forest of endless streams: all of :class:`imondrian.river.OnlineIsolationMondrianForest` that needs no river.

``imondrian stream`` and :mod:`imondrian.keyed` use it where river is not installed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

import numpy as np

from imondrian import _core
from imondrian._conformal.alarm_rule import USUAL_SCORES, UsualScores
from imondrian._conformal.conformal import CALIBRATION_SIZE, ScoreWindow, score_window
from imondrian._forest.footprint import OBJECTS, Layout
from imondrian._forest.forest import Forest, not_held, seed_states
from imondrian._forest.numbers import record, table, values_of
from imondrian._forest.rwlock import Gate, gate_of, reading, updating
from imondrian._forest.scoring import Score, Window, resolve_score
from imondrian._forest.types import Floats
from imondrian._forest.validation import (
    WARM_UP,
    byte_limit,
    check_window_fits,
    in_precision,
    is_scaled,
    overflows,
    positive_int,
    retention,
    thread_count,
)
from imondrian._persist.model_file import SavedModel, is_key

from .feedback import Verdicts, nbytes_of, said_of, verdicts_given, verdicts_of, verdicts_withdrawn
from .wording import MOST_REASONS, NOT_READY, StoredPoints, telling_parts, why

if TYPE_CHECKING:
    from imondrian._sklearn.estimator import IsolationMondrianForest

_MANY_SILENT = 0.25  # of all keys


class OnlineForest(SavedModel):
    """Isolation Mondrian forest for endless streams.

    :class:`imondrian.river.OnlineIsolationMondrianForest` adds river's interface, and says it all. Both have the same
    files: each loads what the other saved.
    """

    _FILE_CLASS = "OnlineIsolationMondrianForest"
    _FITTED: ClassVar[dict[str, Any]] = {
        "_keys": dict,
        "_forest": (Forest, NoneType),
        "_recent": (dict, NoneType),
        "_n_ignored": int,
        "_n_dropped": int,
        "_stream": dict,
        "_verdicts": dict,
    }
    _verdicts: Verdicts | None = None
    _stream: dict[str, Any]  # where `imondrian stream` was, in a file that it saved
    _scored: tuple[Forest, int, np.ndarray, float] | None = None  # the last score_one; never pickled

    def __init__(
        self,
        n_trees: int = 100,
        window: Window = "thinned",
        horizon: int = 4096,
        score: Score = "default",
        scale: Literal["robust"] | None = "robust",
        seed: int | None = None,
        n_jobs: int | None = None,
        calibration: int | None = CALIBRATION_SIZE,
        calibration_half_life: float | None = None,
        max_features: int = 1000,
        max_bytes: int | None = None,
    ) -> None:
        self.n_trees = n_trees
        self.window = window
        self.horizon = horizon
        self.score = score
        self.scale = scale
        self.seed = seed
        self.n_jobs = n_jobs
        self.calibration = calibration
        self.calibration_half_life = calibration_half_life
        self.max_features = max_features
        self.max_bytes = max_bytes
        self._recent = score_window(calibration, calibration_half_life)
        self._n_trees = positive_int("n_trees", n_trees)
        self._retention = retention(window, horizon)
        self._score = resolve_score(score, stream=True)
        self._scaled = is_scaled(scale)
        self._n_threads = thread_count(n_jobs)
        self._max_features = positive_int("max_features", max_features)
        self._max_bytes = byte_limit(max_bytes)
        self._n_ignored = self._n_dropped = 0
        self._check_bytes(1)
        self._keys: dict[Any, int] = {}
        self._forest: Forest | None = None
        self._gate = Gate()

    # -- one point, or many ------------------------------------------------------------------------

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn one point, and forget the oldest if the window is full.

        Parameters
        ----------
        x : dict
            Numbers by feature; other mappings, a pandas Series and a record of NumPy do, too. Raises TypeError or
            ValueError for anything else, naming the field; nothing is learnt then.
        """
        with self._gate.updating:  # what @updating does, in a third of its time
            row = self._row(record(x), grow=True)
            if row is not None and self._forest is not None:
                self._learn(row)

    def score_one(self, x: dict[Any, Any]) -> float:
        """Return the score of one point, in [0, 1]; high is anomalous, 0 is "not ready". Changes nothing."""
        with self._gate.reading:
            return self._score_of(x)

    def _score_of(self, x: dict[Any, Any]) -> float:
        row = self._row(record(x), grow=False)
        if row is None or self._forest is None or not self._is_ready:
            return 0.0
        score = float(self._scores(row)[0])
        self._scored = (self._forest, self._forest.n_updates, row, score)
        return score

    @updating
    def learn_many(self, X: Any) -> None:
        """Learn rows in order: the same as a ``learn_one`` loop.

        Parameters
        ----------
        X : dataframe (pandas, polars, pyarrow, ...) or ndarray of shape (n, n_features)
            Columns of an array are named 0, 1, ...
        """
        with self._unwidened_on_error():
            rows = self._rows(X, grow=True)
            if rows is not None and self._forest is not None:
                self._learn(rows, n_threads=self._n_threads)

    @reading
    def score_many(self, X: Any) -> Floats:
        """Return the scores of rows as ``score_one`` would, ndarray (n,). Changes nothing."""
        return self._scores_of(X)

    def _scores_of(self, X: Any) -> np.ndarray:
        rows = self._rows(X, grow=False)
        if rows is None or self._forest is None or not self._is_ready:
            return np.zeros(len(X))
        return self._scores(rows, self._n_threads)

    def _scores(self, rows: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return the scores of rows as placed, with the verdicts heard."""
        assert self._forest is not None
        scores = self._forest.scores(rows, self._score, n_threads)
        return scores if self._verdicts is None else self._verdicts.adjust(rows, scores, n_threads)

    @updating
    def score_learn_many(self, X: Any) -> Floats:
        """Score each row, then learn it, in order; return the scores, ndarray (n,).

        The same as ``score_one`` and ``learn_one`` in turn, in one pass and several times as fast.
        """
        with self._unwidened_on_error():
            rows = self._rows(X, grow=True)
            if rows is None or self._forest is None:
                return np.zeros(len(X))
            scores = self._learn(rows, scored=True, n_threads=self._n_threads)
        assert scores is not None
        return scores

    @contextmanager
    def _unwidened_on_error(self) -> Iterator[None]:
        """Go back to the forest without the new keys of a table if an exception leaves the context."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            if self._forest is not before["_forest"]:
                self.__dict__ = before
            raise

    @updating
    def forget_one(self, x: dict[Any, Any], *, missing_ok: bool = False) -> None:
        """Take one point out of every tree that holds it, as if it had never been learnt.

        Parameters
        ----------
        x : dict
            The point as it was learnt; if it was learnt twice, one of the two is forgotten.
        missing_ok : bool, default=False
            Do nothing if no tree holds it, because it left the window or was never learnt; else ValueError.
        """
        x = record(x)
        row = self._row(x, grow=False)
        strange = any(key not in self._keys and value == value for key, value in values_of(x).items())
        self._forget(row, np.array([not strange]), missing_ok)

    @updating
    def forget_many(self, X: Any, *, missing_ok: bool = False) -> None:
        """Forget rows as ``forget_one`` would, or, unless ``missing_ok``, none of them if one is not held.

        Parameters
        ----------
        X : dataframe or ndarray of shape (n, n_features)
        missing_ok : bool, default=False
            Pass over rows that no tree holds; else ValueError says how many there are and where the first is.
        """
        keys, values = table(X)
        strange = [key not in self._keys for key in keys]
        known = np.isnan(values[:, strange]).all(axis=1)
        self._forget(self._placed(keys, values), known, missing_ok)

    def _forget(self, rows: np.ndarray | None, known: np.ndarray, missing_ok: bool) -> None:
        """Forget rows; those with values for keys that were never learnt (not ``known``) are held nowhere."""
        if len(self._keys) >= self._max_features:
            known = np.ones(len(known), bool)  # keys too many were ignored in learning, too
        if rows is None or self._forest is None:
            if len(known) and not missing_ok:
                raise not_held(len(known), len(known), 0)
            return
        self._forest.forget_all(rows, known, missing_ok, self._n_threads)
        if self._verdicts is not None:
            self._keep(self._verdicts_without(np.ascontiguousarray(rows[known]), missing_ok=True), withdrawing=True)

    @reading
    def p_value_one(self, x: dict[Any, Any]) -> float:
        """Return the conformal p-value of one point: small is anomalous. Changes nothing.

        If x and the points last learnt are exchangeable, the p-value is at most a with probability at most a,
        for every a, up to the forest's own movement within these points (``IsolationMondrianForest.p_values``
        tells more). Ties count against x.

        Returns
        -------
        float
            In (0, 1]: ``(1 + #{kept scores >= score_one(x)}) / (kept + 1)``, kept scores weighted by age if
            ``calibration_half_life`` is set. 1 during warm-up.

        Raises
        ------
        ValueError
            The model was made with ``calibration=None``.
        """
        recent = self._recent_scores()
        score = self._score_of(x)
        return recent.p_value(score) if self._is_ready else 1.0

    @reading
    def p_values_many(self, X: Any) -> Floats:
        """Return the p-values of rows as ``p_value_one`` would, ndarray (n,). Changes nothing."""
        recent = self._recent_scores()
        scores = self._scores_of(X)
        return recent.p_values(scores) if self._is_ready else np.ones(len(scores))

    def _recent_scores(self) -> ScoreWindow:
        if self._recent is None:
            raise ValueError("p-values need past scores: calibration must be an int, got None")
        return self._recent

    def _learn(self, rows: np.ndarray, *, scored: bool = False, n_threads: int = 1) -> np.ndarray | None:
        """Learn rows in order; return their scores from just before if ``scored``, and keep them for p-values."""
        forest = self._forest
        assert forest is not None
        limit = None if self._max_bytes is None else self._max_bytes - self._reserved(forest.n_features)
        if self._recent is None and not scored:
            forest.learn(rows, n_threads=n_threads, max_bytes=limit)
            return None
        warming_up = max(0, self._warm_up - int(forest.mass))
        known = None if scored else self._score_known(rows)
        scores = forest.learn(rows, score=None if known else self._score, n_threads=n_threads, max_bytes=limit)
        if scores is None:
            scores = np.array([known])
        elif self._verdicts is not None:
            scores = self._verdicts.adjust(rows, scores, n_threads)
        scores[:warming_up] = 0.0
        if self._recent is not None:
            self._recent.push(scores[warming_up:])
        return scores

    def _score_known(self, rows: np.ndarray) -> float | None:
        """Return the score of a single row if ``score_one`` has just computed it: most loops ask, then learn."""
        forest, n_updates, row, score = self._scored or (None, 0, rows, 0.0)
        if forest is None or forest is not self._forest or n_updates != forest.n_updates:
            return None
        return score if row.shape == rows.shape and row.tobytes() == rows.tobytes() else None

    @property
    @reading
    def expected_score(self) -> float:
        """Score of the mean over the points in the trees, which explanations add up from; 0 during warm-up."""
        return self._forest.expected_score(self._score) if self._forest is not None and self._is_ready else 0.0

    @overload
    def explain_one(self, x: dict[Any, Any], *, by_direction: Literal[False] = ...) -> dict[Any, float]: ...

    @overload
    def explain_one(self, x: dict[Any, Any], *, by_direction: bool) -> dict[Any, Any]: ...

    @reading
    def explain_one(self, x: dict[Any, Any], *, by_direction: bool = False) -> dict[Any, Any]:
        """Return what each key of x contributes to its score: they sum to ``score_one(x) - expected_score``.

        Parameters
        ----------
        x : dict
        by_direction : bool, default=False
            Tell what a key contributes for being low from what it contributes for being high.

        Returns
        -------
        dict
            A float by key, **positive makes anomalous**; with ``by_direction`` a pair of them, from below and from
            above. 0 for missing values, for keys never learnt, and during warm-up. How they are found:
            :meth:`imondrian.IsolationMondrianForest.explain`.
        """
        x = record(x)
        parts = self._parts_of(self._row(x, grow=False))
        nothing = np.zeros(2)
        found = {key: parts[self._keys[key]] if key in self._keys else nothing for key in x}
        if by_direction:
            return {key: (float(below), float(above)) for key, (below, above) in found.items()}
        return {key: float(pair.sum()) for key, pair in found.items()}

    def _parts_of(self, row: np.ndarray | None) -> np.ndarray:
        if row is None or self._forest is None or not self._is_ready:
            return np.zeros((len(self._keys), 2))
        return np.asarray(self._forest.explain(row, self._score)[0][0])

    @reading
    def why_one(self, x: dict[Any, Any], *, most: int = MOST_REASONS) -> str:
        """Return in words why x has its score. Changes nothing.

        Parameters
        ----------
        x : dict
        most : int, default=3
            Features to tell of: those that contribute most to the score "insertion", which knows best how far out a
            value lies. ``explain_one`` may name others, as it explains the model's own score.

        Returns
        -------
        str
            Such as "vibration 3.1 is above its usual 0.2 to 1.4 (p = .002); temperature usual". Usual is what 90 % of
            the points in the trees have, 5 % being lower and 5 % higher; p is ``p_value_one``, left out with
            ``calibration=None``. Values that are missing, though half of the points have them, and keys never learnt
            are told as such. "not enough is known yet" during warm-up.
        """
        most = positive_int("most", most)
        return self._why(record(x), most)

    @reading
    def _explain_why(self, x: dict[Any, Any], most: int) -> tuple[list[Any], np.ndarray, str]:
        """Return the keys of x, what each contributes from below and above, (d, 2), and the same in words."""
        parts, text = self._parts_of(self._row(x, grow=False)), self._why(x, most)
        nothing = np.zeros(2)
        found = [parts[self._keys[key]] if key in self._keys else nothing for key in x]
        return list(x), np.array(found).reshape(-1, 2), text

    def _why(self, x: dict[Any, Any], most: int) -> str:
        row = self._row(x, grow=False)
        if row is None or self._forest is None or not self._is_ready:
            return NOT_READY
        parts = telling_parts(self._forest, row, self._score)[0]
        p_value = None if self._recent is None else self._recent.p_value(self._score_of(x))
        new = [key for key, value in values_of(x).items() if key not in self._keys and value == value]
        text = why(StoredPoints(self._forest), row[0], parts, list(self._keys), p_value, most, new)
        return text + said_of(self._verdicts, row)[0]

    # -- what a person said ------------------------------------------------------------------------

    @updating
    def feedback_one(self, x: dict[Any, Any], verdict: int) -> None:
        """Take in what is known of a point: scores near it follow. The trees stay as they are.

        Parameters
        ----------
        x : dict
            Any point, whether it was learnt, is still in the window, or neither. A verdict on a point that has one
            replaces it.
        verdict : {1, -1}
            1 for normal, -1 for an anomaly.

        Raises
        ------
        TypeError, ValueError
            Another verdict; x has no values, or some for keys that were never learnt; too few points were learnt for
            scores; the verdicts would pass ``max_bytes``. The model is unchanged.

        Notes
        -----
        How scores follow: :meth:`imondrian.IsolationMondrianForest.feedback`. The cells that verdicts spread by are
        those of the trees at the last change of verdicts: what was said of a place stays said of it, as the trees go
        on. p-values rank new scores among kept ones, which are as they were told.
        """
        self._hear(self._judged_row(record(x)), np.array([verdict], object))

    @updating
    def feedback_many(self, X: Any, y: Any) -> None:
        """Take in verdicts on rows as ``feedback_one`` would, all or none.

        Parameters
        ----------
        X : dataframe or ndarray of shape (n, n_features)
        y : array-like of shape (n,)
            1 for normal, -1 for an anomaly.
        """
        self._hear(self._judged_rows(X), y)

    @updating
    def withdraw_one(self, x: dict[Any, Any], *, missing_ok: bool = False) -> None:
        """Take back the verdict on a point, as if it had never been given.

        Parameters
        ----------
        x : dict
        missing_ok : bool, default=False
            Do nothing if there is none; else ValueError.
        """
        self._keep(self._verdicts_without(self._judged_row(record(x)), missing_ok), withdrawing=True)

    @updating
    def withdraw_many(self, X: Any, *, missing_ok: bool = False) -> None:
        """Take back verdicts on rows as ``withdraw_one`` would, or, unless ``missing_ok``, none if one is not there."""
        self._keep(self._verdicts_without(self._judged_rows(X), missing_ok), withdrawing=True)

    def _judged_row(self, x: dict[Any, Any]) -> np.ndarray:
        self._refuse_unknown([key for key, value in values_of(x).items() if key not in self._keys and value == value])
        row = self._row(x, grow=False)
        assert row is not None
        return row

    def _judged_rows(self, X: Any) -> np.ndarray:
        keys, values = table(X)
        said = ~np.isnan(values).all(axis=0)
        self._refuse_unknown(
            [key for key, is_said in zip(keys, said, strict=True) if is_said and key not in self._keys]
        )
        rows = self._placed(keys, values)
        assert rows is not None
        return rows

    def _refuse_unknown(self, unknown: list[Any]) -> None:
        if self._forest is None:
            raise self._too_early()
        if unknown:
            raise ValueError(f"x[{unknown[0]!r}] is of a key that was never learnt: nothing is known of such points")

    def _too_early(self) -> ValueError:
        return ValueError(f"a verdict needs scores: learn at least {self._warm_up} points before")

    def _hear(self, rows: np.ndarray, y: Any) -> None:
        if not self._is_ready:
            raise self._too_early()
        verdict = verdicts_of(y, len(rows))
        if (np.isnan(rows).all(axis=1)).any():
            raise ValueError("a verdict must be on a point that has a value")
        if len(rows):
            assert self._forest is not None
            self._keep(verdicts_given(self._forest, self._score, self._verdicts, rows, verdict, self._n_threads))

    def _verdicts_without(self, rows: np.ndarray, missing_ok: bool) -> Verdicts | None:
        assert self._forest is not None
        return verdicts_withdrawn(self._forest, self._score, self._verdicts, rows, missing_ok, self._n_threads)

    def _keep(self, verdicts: Verdicts | None, withdrawing: bool = False) -> None:
        """Have these verdicts from now on; ValueError if more of them pass ``max_bytes``."""
        before = self.__dict__.pop("_verdicts", None)
        if verdicts is not None:
            self._verdicts = verdicts
        if verdicts is not None and not withdrawing:
            try:
                self._check_bytes(len(self._keys))
                if self._max_bytes is not None and sys.getsizeof(self) > self._max_bytes:
                    raise ValueError(f"max_bytes={self._max_bytes} leaves no room for {len(verdicts)} verdicts")
            except ValueError:
                self.__dict__.pop("_verdicts")
                if before is not None:
                    self._verdicts = before
                raise
        self._scored = None

    # -- to and from scikit-learn ------------------------------------------------------------------

    @classmethod
    def from_estimator(cls, estimator: IsolationMondrianForest, feature_names: Iterable[Any] | None = None) -> Self:
        """Continue a fitted scikit-learn forest under river; the estimator keeps its own copy.

        ``feature_names`` (default: the estimator's ``feature_names_in_``, or 0, 1, ...) are the keys of
        the dicts to come. Scores are those of ``-score_samples``.
        """
        import copy

        with gate_of(estimator).reading:
            estimator.forest_.require_learning("continuing on a stream")
            forest: Forest = copy.deepcopy(estimator.forest_)
        params = estimator.get_params()
        model = cls(
            n_trees=forest.n_trees,
            window=params["window"],
            horizon=params["horizon"],
            score=resolve_score(params["score"]),
            scale=params["scale"],
            n_jobs=params["n_jobs"],
            max_bytes=params["max_bytes"],
            max_features=max(1000, forest.n_features),
        )
        names = getattr(estimator, "feature_names_in_", range(forest.n_features))
        model._keys = {key: place for place, key in enumerate(names if feature_names is None else feature_names)}
        if len(model._keys) != forest.n_features:
            raise ValueError(f"feature_names must be {forest.n_features} distinct names, got {len(model._keys)}")
        model._forest = forest
        if estimator._verdicts is not None:
            model._verdicts = estimator._verdicts
        if model._recent is not None:
            with gate_of(estimator).reading:
                model._recent.push(estimator._calibration.for_stream(forest, model._score))
        return model

    @reading
    def to_estimator(self) -> IsolationMondrianForest:
        """Return the forest as a fitted scikit-learn estimator, which has its own copy."""
        import copy

        from imondrian._sklearn.estimator import IsolationMondrianForest

        if self._forest is None:
            raise ValueError("the model has learnt nothing yet")
        estimator = IsolationMondrianForest(
            self._n_trees,
            window=self.window,
            horizon=self.horizon,
            score=self._score,
            scale=self.scale,
            n_jobs=self.n_jobs,
            max_bytes=self.max_bytes,
            random_state=self.seed,
        )
        if self._verdicts is not None:
            estimator._verdicts = self._verdicts
        estimator._take(copy.deepcopy(self._forest), list(self._keys))
        if self._recent is not None:
            estimator._calibration.push(self._recent.in_order(), self._score)
        return estimator

    # -- files -------------------------------------------------------------------------------------

    def _file_parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PARAMETERS}

    @classmethod
    def _check_state(cls, parameters: dict[str, Any], fitted: dict[str, Any]) -> None:
        """Raise ValueError where parameters ask for more room than the attributes of a file take."""
        if missing := cls._FITTED.keys() - fitted.keys() - {"_stream", "_verdicts"}:
            raise ValueError(f"{min(missing)} is missing")
        recent = fitted["_recent"]
        held = (
            len(recent["scores"])
            if isinstance(recent, dict) and isinstance(recent.get("scores"), np.ndarray) and recent["scores"].ndim
            else None
        )
        calibration = parameters.get("calibration", CALIBRATION_SIZE)
        if calibration is not None and calibration != held:
            raise ValueError(f"{held} past scores do not go with calibration={calibration!r}")

    def _check_loaded(self) -> None:
        """Raise ValueError where attributes from a file contradict each other."""
        forest = self._forest
        if forest is not None:
            forest.require_learning("going on with a stream")
            if forest.n_trees != self._n_trees:
                raise ValueError(f"n_trees={self._n_trees} does not go with a forest of {forest.n_trees}")
            if self._score == "spacing" and not forest.spaced:
                raise ValueError(f"score={self.score!r} needs trees that were grown for it")
        if not (self.seed is None or (type(self.seed) is int and 0 <= self.seed < 2**32)):
            np.random.RandomState(self.seed)  # raises what learning would
        if min(self._n_ignored, self._n_dropped) < 0:
            raise ValueError(f"{self._n_ignored} keys ignored and {self._n_dropped} dropped")
        if strange := [key for key in self._keys if not is_key(key)]:
            raise ValueError(f"{strange[0]!r:.80} cannot be a feature")
        places = sorted(place for place in self._keys.values() if type(place) is int)
        width = 0 if self._forest is None else self._forest.n_features
        if places != list(range(width)) or len(self._keys) != width:
            raise ValueError(f"keys name the places {places!r:.80} of {width} features")
        if (self._recent is None) != (self.calibration is None):
            raise ValueError(f"calibration={self.calibration!r} does not go with the past scores that are there")
        if self.score == "default" and self._forest is not None and self._forest.spaced:
            self.score = self._score = "spacing"  # what "default" meant when it was saved
        if isinstance(self._recent, dict):
            self._recent = ScoreWindow.from_arrays(self._recent)
            if self._recent.size != self.calibration or self._recent.half_life != self.calibration_half_life:
                raise ValueError(f"{self._recent.size} past scores do not go with calibration={self.calibration!r}")
        if self._verdicts is not None:
            said: Any = self._verdicts
            if forest is None:
                raise ValueError("verdicts without a forest")
            self._verdicts = Verdicts.from_arrays(said, forest.n_features, forest.n_trees, forest.dtype)
        if forest is not None and self._max_bytes is not None and self._max_bytes < self._reserved(forest.n_features):
            raise ValueError(
                f"max_bytes={self._max_bytes} does not go with {forest.n_features} features, which take "
                f"{self._reserved(forest.n_features)} beside the trees"
            )

    # -- rows --------------------------------------------------------------------------------------

    @property
    def _usual_scores(self) -> UsualScores | None:
        return USUAL_SCORES.get(self._score)

    @property
    def _is_ready(self) -> bool:
        return self._forest is not None and self._forest.mass >= self._warm_up

    @property
    def _warm_up(self) -> int:
        return min(WARM_UP, self._retention.points or WARM_UP)

    def _row(self, x: dict[Any, Any], grow: bool) -> np.ndarray | None:
        """Return x as an array (1, d) in the schema's order; None while there is no schema."""
        if self._forest is not None and self._forest.dtype == np.float64:
            row = _core.row_of(x, self._keys)
            if row is not None:
                return row
        values = values_of(x)
        if self._forest is not None and self._forest.dtype != np.float64:
            too_large = overflows(np.array(list(values.values())), self._forest.dtype)
            for key in np.array(list(values), object)[too_large]:
                raise ValueError(
                    f"x[{key!r}] must be finite in {self._forest.dtype}, the forest's precision, got {values[key]}"
                )
        if grow and not values.keys() <= self._keys.keys():
            self._grow(values, 1)
        if self._forest is None:
            return None
        row = np.full((1, self._forest.n_features), np.nan, dtype=self._forest.dtype)
        for key, value in values.items():
            place = self._keys.get(key)
            if place is not None:
                row[0, place] = value
        return row

    def _rows(self, X: Any, grow: bool) -> np.ndarray | None:
        keys, values = table(X)
        if self._forest is not None:
            in_precision(values, self._forest.dtype, keys)  # before anything changes
        if grow and not set(keys) <= self._keys.keys():
            self._grow(keys, len(values))
        return self._placed(keys, values)

    def _placed(self, keys: list[Any], values: np.ndarray) -> np.ndarray | None:
        """Return the columns named ``keys`` in the schema's order; None while there is no schema."""
        if self._forest is None:
            return None
        places = [self._keys.get(key) for key in keys]
        if places == list(range(self._forest.n_features)):
            return in_precision(values, self._forest.dtype, keys)
        values = in_precision(values, self._forest.dtype, keys)
        rows = np.full((len(values), self._forest.n_features), np.nan, dtype=self._forest.dtype)
        for column, place in enumerate(places):
            if place is not None:
                rows[:, place] = values[:, column]
        return rows

    def _grow(self, keys: Iterable[Any], n_rows: int) -> None:
        """Add unseen keys, in an order that does not depend on the dict's."""
        new = [key for key in keys if key not in self._keys]
        try:
            new.sort()
        except TypeError:  # keys of several types
            new.sort(key=lambda key: (type(key).__name__, str(key)))
        silent = self._silent_keys(len(new))
        known = [key for key in self._keys if key not in silent]
        room = max(self._max_features - len(known), 0)
        n_ignored = n_rows * max(len(new) - room, 0)
        new = new[:room]
        if not new:
            self._n_ignored += n_ignored
            return
        self._check_bytes(len(known) + len(new))
        if self._forest is None:
            states = seed_states(np.random.RandomState(self.seed), self._n_trees)
            places = np.zeros(0, np.int32)
            forest = Forest.for_stream(
                len(new), np.float64, states, *self._retention, scaled=self._scaled, spaced=self._score == "spacing"
            )
        else:
            dropped = [self._keys[key] for key in silent]
            forest, places, added = self._forest.widened(len(new), dropped, n_rows > 1)
            moved = {int(places[self._keys[key]]): key for key in known} | dict(zip(added, new, strict=True))
            known, new = [moved[place] for place in range(len(moved))], []
        # Together: a signal that came in between would leave keys that do not go with the forest.
        self._forest, self._keys = forest, {key: place for place, key in enumerate([*known, *new])}
        self._n_ignored += n_ignored
        self._n_dropped += len(silent)
        if self._verdicts is not None:
            self._verdicts = self._verdicts.moved(places, forest.n_features)

    def _silent_keys(self, n_new: int) -> set[Any]:
        """Return the keys to drop for ``n_new`` others; none unless that saves room or width.

        Others take the places of as many as they are. More are dropped only where they are many: features move then,
        so that all boxes and points are copied.
        """
        forest, n_keys = self._forest, len(self._keys)
        if forest is None or self._retention.points is None:
            return set()
        if n_keys + n_new <= min(self._max_features, forest.padded):
            return set()
        forest._ensure_boxes(self._n_threads)  # a file leaves them out; a loaded model must drop the same keys
        names = list(self._keys)
        silent = forest.silent_features()
        return {names[place] for place in (silent if len(silent) >= _MANY_SILENT * n_keys else silent[:n_new])}

    def _reserved(self, n_features: int) -> int:
        """Return the most bytes that the model takes beside its forest."""
        return OBJECTS + 128 * n_features + sys.getsizeof(self._recent) + nbytes_of(self._verdicts)

    def _check_bytes(self, n_features: int) -> None:
        """Raise ValueError if windows over so many features may pass ``max_bytes``."""
        if self._max_bytes is None:
            return
        memory, points, _ = self._retention
        layout = Layout(self._n_trees, n_features, 8, memory, self._score == "spacing")
        if points is not None:
            check_window_fits(layout, points, self._max_bytes, self._reserved(n_features))

    @reading
    def info(self) -> dict[str, Any]:
        """Return what the model holds, and its size.

        Returns
        -------
        dict
            ``trees``, ``features``, ``dtype``, ``scale``; ``window_points`` (a tree, None without a window),
            ``points_a_tree`` (mean), ``points_stored`` (distinct, shared by all trees), ``points_streamed``; ``score``
            (what "default" stands for);
            ``keys_ignored`` (occurrences beyond ``max_features`` while learning), ``keys_dropped``; ``bytes``
            now, ``bytes_bound`` (the most that the present features ever need; None without a window) and
            ``max_bytes``.
        """
        forest, points = self._forest, self._retention.points
        about = {
            "trees": self._n_trees,
            "features": 0,
            "dtype": "float64",
            "scale": self.scale,
            "window_points": points,
            "points_a_tree": 0.0,
            "points_stored": 0,
            "points_streamed": 0,
        }
        bound = None
        if forest is not None:
            about = forest.info()
            bound = points and forest.layout.window_size(points) + self._reserved(forest.n_features)
        return {
            **about,
            "score": self._score,
            "keys_ignored": self._n_ignored,
            "keys_dropped": self._n_dropped,
            "bytes": sys.getsizeof(self),
            "bytes_bound": bound,
            "max_bytes": self._max_bytes,
        }

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_scored"}

    def __sizeof__(self) -> int:
        size = object.__sizeof__(self) + sys.getsizeof(self._keys) + sys.getsizeof(self._recent)
        size += nbytes_of(self._verdicts)
        return size + (sys.getsizeof(self._forest) if self._forest is not None else 0)


_PARAMETERS = tuple(inspect.signature(OnlineForest.__init__).parameters)[1:]
