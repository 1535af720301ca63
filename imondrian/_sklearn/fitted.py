"""What an estimator has fitted: its attributes, and the files and pickles that keep them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from imondrian._conformal.calibration import Calibration
from imondrian._forest.forest import Forest
from imondrian._forest.rwlock import gate_of
from imondrian._forest.validation import read_weight
from imondrian._models.batch import BatchModel
from imondrian._models.feedback import Verdicts
from imondrian._models.remote_fit import RemoteRows, fit_remote_model
from imondrian._models.settings import Settings
from imondrian._persist.model_file import SavedModel

Estimator = TypeVar("Estimator", bound="Fitted")


class Fitted(SavedModel):
    """The part of :class:`imondrian.IsolationMondrianForest` that holds the model it is around."""

    _model: BatchModel
    _FITTED: ClassVar[dict[str, Any]] = {
        "forest_": Forest,
        "max_samples_": int,
        "offset_": float,
        "n_features_in_": int,
        "feature_names_in_": np.ndarray,
        "_calibration": dict,
        "_verdicts": dict,
    }
    if TYPE_CHECKING:
        random_state: Any
        window: Any
        n_features_in_: int
        feature_names_in_: np.ndarray

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def _fitted(self) -> BatchModel:
        model: BatchModel | None = self.__dict__.get("_model")
        if model is None:
            check_is_fitted(self, "_model")
        assert model is not None
        return model

    @property
    def forest_(self) -> Forest:
        """The trees; absent before ``fit``, as are the others."""
        return self._fitted().forest

    @property
    def max_samples_(self) -> int:
        """Rows ``fit`` gave each tree (0 if only ``partial_fit`` was called)."""
        return self._fitted().max_samples

    @property
    def offset_(self) -> float:
        """``decision_function = score_samples - offset_``."""
        return self._fitted().offset

    @offset_.setter
    def offset_(self, value: float) -> None:
        self._fitted().offset = value

    # -- files -------------------------------------------------------------------------------------

    def _file_parameters(self) -> dict[str, Any]:
        Settings.of(self.__dict__)
        return self.get_params(deep=False)

    def _file_state(self) -> dict[str, Any]:
        state = self.__getstate__()
        return {name: state[name] for name in self._FITTED if name in state}

    def _take_state(self, fitted: dict[str, Any]) -> None:
        """Become what a file says, which is checked; ValueError where attributes contradict each other."""
        settings = Settings.of(self.__dict__)
        if self.random_state is not None and not isinstance(self.random_state, np.random.RandomState):
            np.random.RandomState(self.random_state)  # raises what fitting would
        if not fitted:
            return
        if missing := self._FITTED.keys() - fitted.keys() - {"feature_names_in_", "_verdicts"}:
            raise ValueError(f"{min(missing)} is missing")
        forest, n_features, max_samples = (fitted[name] for name in ("forest_", "n_features_in_", "max_samples_"))
        if n_features != forest.n_features or max_samples < 0:
            raise ValueError(
                f"{n_features} features and samples of {max_samples} rows for a forest of {forest.n_features} features"
            )
        names = fitted.get("feature_names_in_")
        if names is not None and (names.shape != (n_features,) or names.dtype != object):
            raise ValueError(f"feature_names_in_ must be {n_features} names, got {names.shape} {names.dtype}")
        calibration = Calibration.from_arrays(fitted["_calibration"], n_features, forest.dtype)
        state = {**self.__dict__, **fitted, "_calibration": calibration}
        if "_verdicts" in fitted:
            state["_verdicts"] = Verdicts.from_arrays(fitted["_verdicts"], n_features, forest.n_trees, forest.dtype)
        self.__setstate__(state)
        self._model.check_bytes(settings.max_bytes)

    # -- the object itself -------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes as they have been called since the first version, in pickles and in files."""
        found: Any = super().__getstate__()
        state = dict(found)
        model: BatchModel | None = state.pop("_model", None)
        if model is not None:
            state["forest_"], state["max_samples_"] = model.forest, model.max_samples
            state["offset_"], state["_calibration"] = model.offset, model.calibration
            if model.verdicts is not None:
                state["_verdicts"] = model.verdicts
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "forest_" in state:
            forest, calibration = state.pop("forest_"), state.pop("_calibration")
            max_samples, offset = state.pop("max_samples_"), state.pop("offset_")
            state["_model"] = BatchModel(forest, calibration, max_samples, offset, state.pop("_verdicts", None))
        super().__setstate__(state)  # type: ignore[misc]  # of scikit-learn

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + (sys.getsizeof(self._model) if "_model" in self.__dict__ else 0)


def model_of(estimator: Fitted) -> BatchModel:
    """Return what an estimator is around; NotFittedError where it is not fitted."""
    return estimator._fitted()


def put_around(estimator: Estimator, model: BatchModel, names: Sequence[Any]) -> Estimator:
    """Make an estimator the fitted one of a model that was fitted elsewhere; return it."""
    estimator.n_features_in_ = model.forest.n_features
    if all(isinstance(name, str) for name in names):
        estimator.feature_names_in_ = np.array(names, dtype=object)
    estimator._model = model
    return estimator


def fit_remote(estimator: Fitted, remote: RemoteRows, example: Any, sample_weight: Any) -> None:
    """Fit an estimator to rows that live elsewhere, which are like ``example``; if that fails, it stays as it was."""
    settings = Settings.of(estimator.__dict__)
    if settings.retention.points is not None:
        raise ValueError(
            f"window must be None to fit rows that live elsewhere, got {estimator.window!r}: a window "
            "learns every row, in order. Give the parts to partial_fit, one after another"
        )
    with gate_of(estimator).updating:
        before = estimator.__dict__.copy()
        try:
            validate_data(estimator, example, skip_check_array=True, reset=True)
            weight = kept = None
            if sample_weight is not None:
                rows = np.empty((remote.n_rows, 0))
                weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
                weight, kept = read_weight(weight)
            estimator._model = fit_remote_model(remote, weight, kept, settings)
        except BaseException:
            estimator.__dict__ = before
            raise
