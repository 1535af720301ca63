"""Windows of a series as rows of a table: the scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from imondrian._forest.types import Integers
from imondrian._forest.validation import padding_name, positive_int


class Shingle(TransformerMixin, BaseEstimator):
    """Turn a series into its windows: each row holds ``width`` observations in a row.

    A detector of odd rows then detects odd stretches of a series (Guha et al. 2016, section 4, call the
    windows shingles). ``imondrian.river.Shingle`` does the same for a stream.

    Parameters
    ----------
    width : int, default=8
        Observations in a window.
    step : int, default=1
        Observations from one window to the next.
    padding : {None, "missing"}, default=None
        None: only full windows; there are ``(n - width) // step + 1`` of them and X must have ``width`` rows.
        "missing": windows that begin before the series does have NaN there, so that with ``step=1`` row
        i belongs to observation i and there are as many rows as observations. Needs a detector that accepts NaN.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only when X had string column names.

    Notes
    -----
    A window of a series with d features is ``[x_1(t - width + 1), ..., x_d(t - width + 1), ..., x_1(t), ..., x_d(t)]``,
    named "x1_lag2" and so on. Rows of a C-contiguous series without padding are **views** of it, read-only and without
    any copying: they change with it. Missing values stay missing.

    Rows of X are an ordered series: unlike other transformers this one gives other windows for other orders, and
    without padding fewer rows than it got. ``y`` has to follow: ``y[shingle.window_ends(len(X))]``.

    References
    ----------
    S. Guha, N. Mishra, G. Roy, O. Schrijvers, "Robust Random Cut Forest Based Anomaly Detection on Streams", ICML 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from imondrian import Shingle
    >>> Shingle(3).fit_transform(np.arange(5.0))
    array([[0., 1., 2.],
           [1., 2., 3.],
           [2., 3., 4.]])
    """

    def __init__(self, width: int = 8, *, step: int = 1, padding: str | None = None) -> None:
        self.width = width
        self.step = step
        self.padding = padding

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any = None) -> Shingle:
        """Check the parameters and note the features of X; nothing else is learnt.

        Parameters
        ----------
        X : array-like or dataframe of shape (n,) or (n, n_features)
        y : ignored

        Returns
        -------
        self
        """
        positive_int("width", self.width)
        positive_int("step", self.step)
        padding_name(self.padding)
        self._series(X, reset=True)
        return self

    def transform(self, X: Any) -> Any:
        """Return the windows of a series.

        Parameters
        ----------
        X : array-like or dataframe of shape (n,) or (n, n_features)
            Observations in order. float32 and float64 are kept, anything else becomes float64.

        Returns
        -------
        ndarray of shape (n_windows, width * n_features)
            Read-only where it is a view of X. With ``set_output(transform="pandas")`` a dataframe, each window
            under the index of its last observation.

        Raises
        ------
        ValueError
            Fewer rows than ``width`` without padding; another number of features; infinite values.
        """
        check_is_fitted(self, "n_features_in_")
        index = getattr(X, "index", None)
        X = self._series(X, reset=False)
        ends = self.window_ends(len(X))
        if self.padding == "missing":
            X = np.concatenate((np.full((self.width - 1, X.shape[1]), np.nan, X.dtype), X))
        elif len(X) < self.width:
            raise ValueError(f"X must have at least width={self.width} rows, got {len(X)}")
        # Windows overlap in memory: `width` rows of a C-contiguous array follow one another.
        windows = np.lib.stride_tricks.sliding_window_view(X.reshape(-1), self.width * X.shape[1])
        windows = windows[:: self.step * X.shape[1]]
        if _get_output_config("transform", self)["dense"] != "pandas":
            return windows
        import pandas as pd  # there, since its output was asked for

        # scikit-learn would give the windows the whole series' index, which is too long.
        return pd.DataFrame(windows, index=None if index is None else index[ends], columns=self.get_feature_names_out())

    def window_ends(self, n: int) -> Integers:
        """Return for each window of a series of n observations the number of its last one, (n_windows,)."""
        return np.arange(0 if self.padding == "missing" else self.width - 1, n, self.step)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the windows' features, ``(width * n_features_in_,)``: "name_lag2", ..., "name_lag0"."""
        check_is_fitted(self, "n_features_in_")
        names = _check_feature_names_in(self, input_features)
        return np.array([f"{name}_lag{lag}" for lag in range(self.width - 1, -1, -1) for name in names], dtype=object)

    def _series(self, X: Any, reset: bool) -> np.ndarray:
        shape: tuple[int, ...] = np.shape(X) if isinstance(X, (list, tuple)) else getattr(X, "shape", ())
        if len(shape) == 1 and shape[0] > 0:
            X = np.asarray(X).reshape(-1, 1)
        return np.ascontiguousarray(
            validate_data(
                self, X, dtype=[np.float64, np.float32], order="C", reset=reset, ensure_all_finite="allow-nan"
            )
        )
