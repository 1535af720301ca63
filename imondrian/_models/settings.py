"""Parameters, checked, and the forests they ask for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imondrian._conformal.calibration import Calibration
from imondrian._conformal.conformal import CALIBRATION_SIZE, scores_kept
from imondrian._forest.footprint import OBJECTS, Layout
from imondrian._forest.forest import Forest, seed_states
from imondrian._forest.scoring import Score, resolve_score
from imondrian._forest.validation import (
    WARM_UP,
    Retention,
    byte_limit,
    category_weight,
    check_window_fits,
    contamination_share,
    is_scaled,
    positive_int,
    retention,
    sample_size,
    thread_count,
)
from imondrian._persist.model_file import is_key

from .feedback import Verdicts, nbytes_of

_OF_CATEGORIES = {"categorical_features": "auto", "categorical_weight": 1.0}


def with_defaults(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a pickle, with those that it lacks where it is from before there were categories."""
    return {**_OF_CATEGORIES, **params}


def count_of(nominal: np.ndarray | None) -> int:
    """Return how many features are nominal."""
    return 0 if nominal is None else int(np.count_nonzero(nominal))


def reserved_bytes(n_features: int, itemsize: int) -> int:
    """Return the most bytes that a model takes beside its forest: objects, and what p-values are read from."""
    return OBJECTS + CALIBRATION_SIZE * (16 + n_features * itemsize)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What the parameters of :class:`imondrian.river.OnlineIsolationMondrianForest` stand for."""

    n_trees: int
    retention: Retention
    score: Score
    scaled: bool
    seed: Any
    n_threads: int
    calibration: int | None
    half_life: float | None
    max_features: int
    max_bytes: int | None
    nominal_weight: float
    warm_up: int  # points from which scores mean something
    time: Any = None  # the key of a point's time, with a window by age

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> StreamSettings:
        """Check every parameter."""
        calibration, half_life = scores_kept(params["calibration"], params["calibration_half_life"])
        n_trees, kept = positive_int("n_trees", params["n_trees"]), retention(params["window"], params["horizon"])
        return cls(
            n_trees=n_trees,
            retention=kept,
            score=resolve_score(params["score"], stream=True),
            scaled=is_scaled(params["scale"]),
            seed=params["seed"],
            n_threads=thread_count(params["n_jobs"]),
            calibration=calibration,
            half_life=half_life,
            max_features=positive_int("max_features", params["max_features"]),
            max_bytes=byte_limit(params["max_bytes"]),
            nominal_weight=category_weight(params.get("categorical_weight", 1.0)),
            warm_up=min(WARM_UP, kept.points or WARM_UP),
            time=_time_key(params.get("time"), kept),
        )

    @property
    def spaced(self) -> bool:
        """Whether trees are grown for spacing scores."""
        return self.score == "spacing"

    def empty_forest(self, n_features: int, nominal: np.ndarray | None = None) -> Forest:
        """Return a forest that has learnt nothing yet; ``nominal`` (n_features,) says which features are."""
        states = seed_states(np.random.RandomState(self.seed), self.n_trees)
        memory, points, decay, age = self.retention
        return Forest.for_stream(
            n_features,
            np.float64,
            states,
            memory,
            points,
            decay,
            scaled=self.scaled,
            spaced=self.spaced,
            age=age,
            nominal=nominal,
            nominal_weight=self.nominal_weight,
        )

    def layout(self, n_features: int, nominal_count: int = 0) -> Layout:
        """Return what decides the size of the forest's columns, so many of whose features are nominal."""
        kept = self.retention
        is_timed = kept.age is not None
        return Layout(self.n_trees, n_features, 8, kept.memory, self.spaced, nominal=nominal_count, timed=is_timed)

    def object_bytes(self, n_features: int) -> int:
        """Return the most bytes that a model takes beside its forest and the scores it keeps."""
        return OBJECTS + 128 * n_features


def _time_key(key: Any, kept: Retention) -> Any:
    """Return the key of a point's time if there must be one."""
    if (key is None) != (kept.age is None):
        what = "a number of points" if kept.age is None else "an age"
        wanted = "None" if kept.age is None else "the key of a point that says when it was"
        raise ValueError(f"time must be {wanted} where horizon is {what}, got {key!r}")
    if not is_key(key):
        raise TypeError(f"time must be a feature's key, got {key!r}")
    return key


@dataclass(frozen=True)
class Settings:
    """What the parameters of :class:`imondrian.IsolationMondrianForest` stand for."""

    n_trees: int
    max_samples: Any
    retention: Retention
    score: Score
    scaled: bool
    contamination: float | None
    max_bytes: int | None
    nominal_weight: float
    n_threads: int
    random_state: Any

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Settings:
        """Check every parameter before anything changes."""
        sample_size(params["max_samples"], 1)
        window, points, horizon = params["window"], 256, params["horizon"]
        if isinstance(horizon, str):
            raise TypeError(
                f"horizon must be an int, got {horizon!r}: windows by age are those of "
                "imondrian.river.OnlineIsolationMondrianForest, whose points say when they were"
            )
        if isinstance(window, str) and params["max_samples"] != "auto":
            points = positive_int(f"max_samples with window={window!r}", params["max_samples"])
        return cls(
            n_trees=positive_int("n_estimators", params["n_estimators"]),
            max_samples=params["max_samples"],
            retention=retention(window, horizon, points),
            score=resolve_score(params["score"]),
            scaled=is_scaled(params["scale"]),
            contamination=contamination_share(params["contamination"]),
            max_bytes=byte_limit(params["max_bytes"]),
            nominal_weight=category_weight(params.get("categorical_weight", 1.0)),
            n_threads=thread_count(params["n_jobs"]),
            random_state=params["random_state"],
        )

    @property
    def spaced(self) -> bool:
        """Whether trees are grown for spacing scores."""
        return self.score == "spacing"

    def sample_size(self, n: int) -> int:
        """Return how many of ``n`` rows each tree draws."""
        return sample_size(self.max_samples, n)

    def states(self) -> np.ndarray:
        """Draw the trees' generator states from ``random_state``."""
        if type(self.random_state) is int:  # as below, without scikit-learn, which takes longer to import than to fit
            return seed_states(np.random.RandomState(self.random_state), self.n_trees)
        from sklearn.utils import check_random_state

        return seed_states(check_random_state(self.random_state), self.n_trees)

    def empty_forest(self, n_features: int, dtype: np.dtype, nominal: np.ndarray | None = None) -> Forest:
        """Return a forest that has learnt nothing yet; ValueError if its windows may pass ``max_bytes``."""
        self.check_windows_fit(n_features, dtype, nominal_count=count_of(nominal))
        memory, points, decay, _ = self.retention
        return Forest.for_stream(
            n_features,
            dtype,
            self.states(),
            memory,
            points,
            decay,
            scaled=self.scaled,
            spaced=self.spaced,
            nominal=nominal,
            nominal_weight=self.nominal_weight,
        )

    def check_windows_fit(self, n_features: int, dtype: np.dtype, more: int = 0, nominal_count: int = 0) -> None:
        """Raise ValueError if windows, with so many bytes more beside them, may pass ``max_bytes``."""
        memory, points = self.retention[:2]
        if self.max_bytes is not None and points is not None:
            layout = Layout(self.n_trees, n_features, dtype.itemsize, memory, self.spaced, nominal=nominal_count)
            check_window_fits(layout, points, self.max_bytes, reserved_bytes(n_features, dtype.itemsize) + more)

    def grow(
        self,
        X: np.ndarray,
        weight: np.ndarray | None,
        states: np.ndarray,
        size: int,
        drawn: np.ndarray | None = None,
        nominal: np.ndarray | None = None,
    ) -> Forest:
        """Build trees from samples of ``size`` rows of X; ``drawn``, if given, receives their numbers."""
        return Forest.build(
            X,
            weight,
            states,
            size,
            scaled=self.scaled,
            boxes=self.score == "insertion",
            spaced=self.score == "spacing",
            nominal=nominal,
            nominal_weight=self.nominal_weight,
            n_threads=self.n_threads,
            drawn=drawn,
        )

    def grow_samples(
        self, X: np.ndarray, weight: np.ndarray | None, states: np.ndarray, nominal: np.ndarray | None = None
    ) -> Forest:
        """Build trees from samples of X as large as ``fit`` would draw."""
        return self.grow(X, weight, states, self.sample_size(len(X)), nominal=nominal)

    def learn(
        self,
        forest: Forest,
        calibration: Calibration,
        X: np.ndarray,
        weight: np.ndarray | None,
        verdicts: Verdicts | None = None,
    ) -> None:
        """Learn rows in order, and remember for p-values how anomalous each was before."""
        warming_up = forest.arrivals_until(min(WARM_UP, self.retention.points or WARM_UP), weight)
        limit = self.max_bytes
        if limit is not None:
            limit -= reserved_bytes(forest.n_features, forest.dtype.itemsize) + nbytes_of(verdicts)
        scores = forest.learn(X, weight, score=self.score, n_threads=self.n_threads, max_bytes=limit)
        assert scores is not None
        if verdicts is not None:
            scores = verdicts.adjust(X, scores, self.n_threads)
        calibration.push(scores[warming_up:], self.score)

    def check_sample_fits(self, n: int, n_features: int, itemsize: int, nominal_count: int = 0) -> None:
        """Raise ValueError if a forest of samples of ``n`` rows may pass ``max_bytes``."""
        limit = self.max_bytes
        assert limit is not None
        # Scores may want boxes.
        layout = Layout(self.n_trees, n_features, itemsize, spaced=self.spaced, updates=False, nominal=nominal_count)
        reserved = reserved_bytes(n_features, itemsize)

        def needed(psi: int) -> int:
            return layout.size(psi, min(n, layout.n_trees * psi)) + reserved

        psi = self.sample_size(n)
        if needed(psi) > limit:
            fits = bisect_right(range(1, psi), limit, key=needed)
            advice = f"max_samples={fits} would fit" if fits else "no sample fits"
            raise ValueError(
                f"max_bytes must be at least {needed(psi)} for {layout.n_trees} trees of {psi} rows with "
                f"{n_features} features, got {limit}: {advice}"
            )
