"""The forest of endless streams without river: names, documentation, locks and files around the model.

``imondrian stream`` and :mod:`imondrian.keyed` give it to those who have no river.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast, overload

import numpy as np

from imondrian._conformal.calibration import Calibration
from imondrian._conformal.conformal import CALIBRATION_SIZE
from imondrian._forest.forest import Forest
from imondrian._forest.rwlock import gate_of, reading, updating
from imondrian._forest.scoring import Score, Window, resolve_score
from imondrian._forest.times import split_table, timed_table
from imondrian._forest.types import Floats
from imondrian._forest.validation import positive_int
from imondrian._kit.call_mistakes import explain_mistakes
from imondrian._models.batch import BatchModel
from imondrian._models.settings import StreamSettings
from imondrian._models.stream import StreamModel
from imondrian._models.stream_state import TYPES, give_checked_state, give_state, state_of
from imondrian._models.wording import MOST_REASONS
from imondrian._persist.model_file import SavedModel

if TYPE_CHECKING:
    from imondrian._sklearn.estimator import IsolationMondrianForest


class OnlineForest(SavedModel):
    """Isolation Mondrian forest for endless streams.

    :class:`imondrian.river.OnlineIsolationMondrianForest` adds river's interface, and says it all. Both have the same
    files: each loads what the other saved.
    """

    _FILE_CLASS = "OnlineIsolationMondrianForest"
    _FITTED: ClassVar[dict[str, Any]] = {**TYPES, "_stream": dict, "_verdicts": dict}

    @explain_mistakes({"n_estimators": "n_trees", "random_state": "seed", "window_size": "window"})
    def __init__(
        self,
        n_trees: int = 100,
        window: Window = "thinned",
        horizon: int | str = 4096,
        score: Score = "default",
        scale: Literal["robust"] | None = "robust",
        seed: int | None = None,
        n_jobs: int | None = None,
        calibration: int | None = CALIBRATION_SIZE,
        calibration_half_life: float | None = None,
        max_features: int = 1000,
        max_bytes: int | None = None,
        categorical_weight: float = 1.0,
        time: Any = None,
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
        self.categorical_weight = categorical_weight
        self.time = time
        self._put_around(StreamModel(StreamSettings.of(vars(self))))

    def _put_around(self, model: StreamModel) -> None:
        self._model, self._gate = model, model.gate

    # -- one point, or many ------------------------------------------------------------------------

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn one point, and forget the oldest if the window is full.

        Parameters
        ----------
        x : dict
            Numbers, text and truth values by feature; other mappings, a pandas Series and a record of NumPy do, too.
            Raises TypeError or ValueError for anything else, naming the field; nothing is learnt then. Where
            ``horizon`` is an age, the point must say when it was (``time``).
        """
        with self._gate.updating:  # what @updating does, in a third of its time
            self._model.learn_one(x)

    def score_one(self, x: dict[Any, Any]) -> float:
        """Return the score of one point, in [0, 1]; high is anomalous, 0 is "not ready". Changes nothing."""
        with self._gate.reading:
            return self._model.score_one(x)

    @updating
    def learn_many(self, X: Any) -> None:
        """Learn rows in order: the same as a ``learn_one`` loop.

        Parameters
        ----------
        X : dataframe (pandas, polars, pyarrow, ...) or ndarray of shape (n, n_features)
            Columns of an array are named 0, 1, ...
        """
        fields, values, nominal, times = timed_table(X, self.time)
        self._model.learn(fields, values, nominal, times=times)

    @reading
    def score_many(self, X: Any) -> Floats:
        """Return the scores of rows as ``score_one`` would, ndarray (n,). Changes nothing."""
        return self._model.scores(*split_table(X, self.time)[:3])

    @updating
    def score_learn_many(self, X: Any) -> Floats:
        """Score each row, then learn it, in order; return the scores, ndarray (n,).

        The same as ``score_one`` and ``learn_one`` in turn, in one pass and several times as fast.
        """
        fields, values, nominal, times = timed_table(X, self.time)
        scores = self._model.learn(fields, values, nominal, scored=True, times=times)
        assert scores is not None
        return scores

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
        self._model.forget_one(x, missing_ok)

    @updating
    def forget_many(self, X: Any, *, missing_ok: bool = False) -> None:
        """Forget rows as ``forget_one`` would, or, unless ``missing_ok``, none of them if one is not held.

        Parameters
        ----------
        X : dataframe or ndarray of shape (n, n_features)
        missing_ok : bool, default=False
            Pass over rows that no tree holds; else ValueError says how many there are and where the first is.
        """
        self._model.forget(*split_table(X, self.time)[:3], missing_ok=missing_ok)

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
        return self._model.p_value_one(x)

    @reading
    def p_values_many(self, X: Any) -> Floats:
        """Return the p-values of rows as ``p_value_one`` would, ndarray (n,). Changes nothing."""
        return self._model.p_values(*split_table(X, self.time)[:3])

    @property
    @reading
    def expected_score(self) -> float:
        """Score of the mean over the points in the trees, which explanations add up from; 0 during warm-up."""
        return self._model.expected_score

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
        return self._model.explain_one(x, by_direction)

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
            are told as such; of a category, how many points have it: "site = X9: never seen". "not enough is known yet"
            during warm-up.
        """
        return self._model.why_one(x, positive_int("most", most))

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
        self._model.hear(self._model.said_row(x), np.array([verdict], object))

    @updating
    def feedback_many(self, X: Any, y: Any) -> None:
        """Take in verdicts on rows as ``feedback_one`` would, all or none.

        Parameters
        ----------
        X : dataframe or ndarray of shape (n, n_features)
        y : array-like of shape (n,)
            1 for normal, -1 for an anomaly.
        """
        self._model.hear(self._model.said_rows(*split_table(X, self.time)[:3]), y)

    @updating
    def withdraw_one(self, x: dict[Any, Any], *, missing_ok: bool = False) -> None:
        """Take back the verdict on a point, as if it had never been given.

        Parameters
        ----------
        x : dict
        missing_ok : bool, default=False
            Do nothing if there is none; else ValueError.
        """
        self._model.withdraw_rows(self._model.said_row(x), missing_ok)

    @updating
    def withdraw_many(self, X: Any, *, missing_ok: bool = False) -> None:
        """Take back verdicts on rows as ``withdraw_one`` would, or, unless ``missing_ok``, none if one is not there."""
        self._model.withdraw_rows(self._model.said_rows(*split_table(X, self.time)[:3]), missing_ok)

    # -- to and from scikit-learn ------------------------------------------------------------------

    @classmethod
    def from_estimator(cls, estimator: IsolationMondrianForest, feature_names: Iterable[Any] | None = None) -> Self:
        """Continue a fitted scikit-learn forest under river; the estimator keeps its own copy.

        ``feature_names`` (default: the estimator's ``feature_names_in_``, or 0, 1, ...) are the keys of
        the dicts to come. Scores are those of ``-score_samples``.
        """
        from imondrian._sklearn.fitted import model_of

        with gate_of(estimator).reading:
            fitted = model_of(estimator)
            fitted.forest.require_learning("continuing on a stream")
            forest: Forest = copy.deepcopy(fitted.forest)
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
            categorical_weight=params["categorical_weight"],
        )
        names = getattr(estimator, "feature_names_in_", range(forest.n_features))
        keys = {key: place for place, key in enumerate(names if feature_names is None else feature_names)}
        if len(keys) != forest.n_features:
            raise ValueError(f"feature_names must be {forest.n_features} distinct names, got {len(keys)}")
        found = model._model
        found.forest, found.keys, found.verdicts = forest, keys, fitted.verdicts
        if found.recent is not None:
            with gate_of(estimator).reading:
                found.recent.push(fitted.calibration.for_stream(forest, found.settings.score))
        return model

    @reading
    def to_estimator(self) -> IsolationMondrianForest:
        """Return the forest as a fitted scikit-learn estimator, which has its own copy."""
        from imondrian._sklearn.estimator import IsolationMondrianForest
        from imondrian._sklearn.fitted import put_around

        found = self._model
        if found.forest is None:
            raise ValueError("the model has learnt nothing yet")
        if self.time is not None:
            raise ValueError(f"horizon={self.horizon!r}: scikit-learn's forest has no windows by age")
        estimator = IsolationMondrianForest(
            found.settings.n_trees,
            window=self.window,
            horizon=cast(int, self.horizon),
            score=found.settings.score,
            scale=self.scale,
            n_jobs=self.n_jobs,
            max_bytes=self.max_bytes,
            categorical_weight=self.categorical_weight,
            random_state=self.seed,
        )
        fitted = BatchModel(copy.deepcopy(found.forest), Calibration(), verdicts=found.verdicts)
        if found.recent is not None:
            fitted.calibration.push(found.recent.in_order(), found.settings.score)
        return put_around(estimator, fitted, list(found.keys))

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

    def _file_state(self) -> dict[str, Any]:
        more = {"_stream": self._model.note, "_verdicts": self._model.verdicts}
        return state_of(self._model) | {name: value for name, value in more.items() if value is not None}

    def _take_state(self, fitted: dict[str, Any]) -> None:
        """Become what a file says; ValueError where parts of it contradict each other."""
        if not (self.seed is None or (type(self.seed) is int and 0 <= self.seed < 2**32)):
            np.random.RandomState(self.seed)  # raises what learning would
        self._settle_score(fitted["_forest"])
        give_checked_state(self._model, fitted)
        self._model.note = fitted.get("_stream")

    def _settle_score(self, forest: Forest | None) -> None:
        if self.score == "default" and forest is not None and forest.spaced:
            self.score = "spacing"  # what "default" meant when it was saved
            self._put_around(StreamModel(StreamSettings.of(vars(self))))

    # -- the object itself -------------------------------------------------------------------------

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
        return {**self._model.info(), "bytes": sys.getsizeof(self)}

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes, and what was learnt by the names that files have for it."""
        own = {name: value for name, value in self.__dict__.items() if name not in ("_model", "_gate")}
        return own | self._file_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.time = None  # of versions before it
        self.__dict__.update({name: value for name, value in state.items() if name not in _OF_MODEL})
        self.__dict__.setdefault("categorical_weight", 1.0)  # in pickles from before there were categories
        if self.score == "default" and state.get("_score") == "spacing":
            self.score = "spacing"  # in version 0.1.0
        self._put_around(StreamModel(StreamSettings.of(vars(self))))
        self._settle_score(state["_forest"])
        give_state(self._model, state)
        self._model.note = state.get("_stream")

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + sys.getsizeof(self._model)


def model_of(detector: OnlineForest) -> StreamModel:
    """Return what a detector is around."""
    return detector._model


def detector_of(
    model: StreamModel, parameters: dict[str, Any], kind: type[OnlineForest] = OnlineForest
) -> OnlineForest:
    """Return a detector around a model that has these parameters."""
    detector = kind(**parameters)
    detector._put_around(model)
    return detector


# Attributes of pickles that are the model's, or follow from parameters.
_OF_MODEL = {*OnlineForest._FITTED, "_gate", "_n_trees", "_retention", "_score", "_scaled", "_n_threads"} | {
    "_max_features",
    "_max_bytes",
    "_scored",
}
_PARAMETERS = tuple(inspect.signature(OnlineForest.__init__).parameters)[1:]
