"""Rows and weights as they come in: checked, categories made words, in the forest's precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import _check_sample_weight, validate_data

from imondrian._cuda.rows import refuse_device
from imondrian._forest.checked_tables import first_infinity, refuse_others
from imondrian._forest.validation import is_ready, read_weight

from .categories import read_categories
from .fitted import Fitted
from .sparse_rows import SparseRows, dense


class Validated(Fitted):
    """The part of :class:`imondrian.IsolationMondrianForest` that validates what it is given."""

    if TYPE_CHECKING:
        window: Any

    def _validated(self, X: Any, dtype: Any, n_threads: int, reset: bool = False) -> np.ndarray | SparseRows:
        return self._encoded(X, dtype, n_threads, reset)[0]

    def _encoded(
        self, X: Any, dtype: Any, n_threads: int, reset: bool
    ) -> tuple[np.ndarray | SparseRows, np.ndarray | None]:
        """Return X as rows of numbers and words, and which columns are words; None: none is."""
        forest = None if reset else self._fitted().forest
        asked = self.__dict__["categorical_features"]
        by_type = asked is None or (isinstance(asked, str) and asked == "auto")
        if type(X) is np.ndarray and by_type and not (forest is not None and forest.mixed):
            return self._checked(X, dtype, n_threads, reset), None
        refuse_device(X)
        found = read_categories(X, asked, forest, self.__dict__.get("feature_names_in_"))
        if found.nominal is None:
            return self._checked(X, dtype, n_threads, reset), None
        rows = self._checked(found.X, dtype, n_threads, reset)
        return found.put_into(dense(rows)), found.nominal

    def _checked(self, X: Any, dtype: Any, n_threads: int, reset: bool) -> np.ndarray | SparseRows:
        """Return X as scikit-learn's validation would, without its passes over arrays that are fine."""
        if is_ready(X, n_threads) and (reset or X.dtype == dtype):
            # An array of the right width without names needs no look at names either.
            same = not reset and X.shape[1] == self.n_features_in_ and not hasattr(self, "feature_names_in_")
            return X if same else validate_data(self, X, skip_check_array=True, reset=reset)
        refuse_device(X)
        X = refuse_others(X)
        # A value too large for float32 is refused as infinite, in one voice; sums of finite ones may leave the range.
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                X = validate_data(
                    self, X, accept_sparse="csr", dtype=dtype, order="C", ensure_all_finite="allow-nan", reset=reset
                )
                return SparseRows(X, n_threads) if issparse(X) else X
            except ValueError as error:
                if "infinity" not in str(error):
                    raise
                raise ValueError(f"{error}{first_infinity(X)}") from None

    def _weighted(
        self, X: np.ndarray | SparseRows, sample_weight: Any
    ) -> tuple[np.ndarray | SparseRows, np.ndarray | None]:
        """Drop rows of weight 0, and weights that say nothing."""
        if sample_weight is None:
            return X, None
        like = np.empty((X.n_rows, 0)) if isinstance(X, SparseRows) else X
        weight = _check_sample_weight(sample_weight, like, dtype=np.float64, ensure_non_negative=True)
        weight, kept = read_weight(weight)
        if kept is not None:
            X = X.kept(kept) if isinstance(X, SparseRows) else X[kept]
        if weight is not None and self.window is not None:
            raise ValueError(
                f"sample_weight must be 0 or 1 when window is set: a window keeps points, got {weight[weight != 1][0]}"
            )
        return X, weight
