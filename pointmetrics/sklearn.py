"""Point metrics for scikit-learn: a transformer from clouds to features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._clouds.objects import points_of
from ._metrics.features import Features

__all__ = ["CloudDistances"]


class CloudDistances(TransformerMixin, BaseEstimator):
    """Turn each cloud into its distances to reference clouds, and to the cloud before it.

    Parameters
    ----------
    reference : array (n, d), array (k, n, d), list of (n_i, d) arrays or None, default=None
        What to measure against; indexed once. ``None`` leaves only the previous cloud.
    metrics : sequence of str, default=("cd-l1", "hausdorff")
        Keys of :func:`pointmetrics.conventions`, "dcd" and "hausdorff"; ":x_to_y" or ":y_to_x" behind a
        name (not "dcd") takes one direction, from the cloud or to it. "hausdorff@0.95" is a quantile, and
        "f-score@t", "precision@t" and "recall@t" have the threshold t.
    previous : bool, default=False
        Also measure against the cloud before in the sequence. The first one has itself.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Attributes
    ----------
    feature_names_out_ : list of str
        Such as "reference0 cd-l1" and "previous hausdorff".

    Examples
    --------
    >>> import numpy as np
    >>> from pointmetrics.sklearn import CloudDistances
    >>> rng = np.random.default_rng(0)
    >>> scans = [rng.random((50, 3)), rng.random((60, 3)) + 1]
    >>> CloudDistances(scans[0], metrics=["cd-l1"]).fit_transform(scans).round(2)
    array([[0.  ],
           [1.15]])
    """

    def __init__(
        self,
        reference: Any = None,
        metrics: Sequence[str] = ("cd-l1", "hausdorff"),
        *,
        previous: bool = False,
        n_threads: int | None = None,
    ) -> None:
        self.reference = reference
        self.metrics = metrics
        self.previous = previous
        self.n_threads = n_threads

    def fit(self, X: Any = None, y: Any = None) -> CloudDistances:
        """Index the references; nothing is learned from ``X``."""
        if self.reference is None and not self.previous:
            raise ValueError("reference is None and previous is False: there is nothing to measure against")
        self.features_ = Features(self.reference, self.metrics, self.n_threads)
        self.feature_names_out_ = self.features_.names(self.previous)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of each cloud.

        Parameters
        ----------
        X : array (k, n, d) or list of (n_i, d) arrays
            The clouds, in their order.

        Returns
        -------
        array (k, n_features)
            float64.
        """
        check_is_fitted(self)
        clouds = list(points_of(X, "X"))
        rows = [
            self.features_.values(cloud, *([clouds[max(i - 1, 0)]] if self.previous else []))
            for i, cloud in enumerate(clouds)
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.feature_names_out_))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features."""
        check_is_fitted(self)
        return np.asarray(self.feature_names_out_, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # X is a list of clouds, not a table.
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.no_validation = True
        tags.requires_fit = True
        return tags
