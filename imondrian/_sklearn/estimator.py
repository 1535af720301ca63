"""The forest as a scikit-learn outlier detector."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import _check_sample_weight, validate_data

from imondrian._conformal.calibration import Calibration, spread
from imondrian._conformal.conformal import CALIBRATION_SIZE
from imondrian._cuda.rows import refuse_device
from imondrian._forest.numbers import first_infinity, refuse_others
from imondrian._forest.rwlock import gate_of, reading
from imondrian._forest.scoring import Score, Window
from imondrian._forest.validation import is_ready, read_weight, warn_of_little_mass
from imondrian._kit.call_mistakes import explain_mistakes
from imondrian._models.batch import BatchModel
from imondrian._models.settings import Settings

from .from_isolation_forest import checked_isolation_forest, imported_forest
from .inference import Inference
from .sparse_rows import SparseRows, dense, fit_rows

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

_FLOATS = [np.float64, np.float32]  # what a forest keeps; anything else becomes the first


class IsolationMondrianForest(Inference, OutlierMixin, BaseEstimator):
    """Isolation Mondrian forest: an outlier detector that can also learn from a stream.

    Every tree is a Mondrian tree over a subsample of the data: boxes are cut at times and places
    drawn in proportion to their sides, until every distinct point stands alone. Outliers are cut off
    early, near the root. New points extend the trees exactly: after ``partial_fit`` a tree has the
    law of one built from all its points at once.

    Parameters
    ----------
    n_estimators : int, default=100
        Trees.
    max_samples : "auto", int or float, default="auto"
        Rows drawn without replacement for each tree by ``fit``: "auto" is ``min(256, n)``, a float
        a share of the rows. ``partial_fit`` gives every row to every tree.
    score : {"default", "spacing", "depth", "insertion"}, default="default"
        "depth" is the paper's score: the mean of leaf depth + c(leaf mass) over the trees.
        "insertion" is the mean depth at which the point would hang if it were inserted, so it also
        sees how far outside the boxes a point lies. "spacing" is the room a point has against points known to be
        usual (see Notes). "default" is the best of them over many tables: "spacing", here also with a window; a
        model of ``imondrian.river`` takes it for "depth", the best on streams. On windows of a series, where the odd
        ones resemble each other, "depth" may see more as well.
    window : None, int, "reservoir", "decayed" or "thinned", default=None
        What the trees keep. None: everything ``fit`` sampled and ``partial_fit`` added. An int: exactly
        the last ``window`` points, in every tree. The names keep ``max_samples`` points (256 for
        "auto", else an int), different ones in each tree. "reservoir": a uniform sample of all points
        seen. "decayed": a sample in which a point's odds fall by a factor of e every ``horizon``
        points. "thinned": points drawn from about the last ``horizon``, the oldest leaving first.
    horizon : int, default=4096
        How far back, in points, "decayed" and "thinned" windows reach.
    scale : "robust" or None, default="robust"
        The unit that ranges are measured in, since cuts are drawn in proportion to ranges. "robust": each
        tree's own range from the 5th to the 95th percentile, so that units mean nothing; it is renewed as a
        stream moves (see Notes). None: the data's units, as in the paper.
    contamination : "auto" or float in (0, 0.5], default="auto"
        "auto" calls a point an outlier when its score is below -0.5, as the paper does; a share
        sets ``offset_`` to that quantile of the scores of the points learnt.
    max_bytes : int or None, default=None
        A hard bound on the size of the fitted model (what ``sys.getsizeof`` tells). ``fit``, or the first
        ``partial_fit``, raises ValueError if what the parameters ask for may pass it, and says what would fit;
        without a window ``partial_fit`` raises MemoryError before it learns rows that might. None: no bound.
    n_jobs : int or None, default=None
        Threads. None is 1, -1 is all cores. Results do not depend on it.
    random_state : int, RandomState instance or None, default=None
        Seeds the trees.

    Attributes
    ----------
    offset_ : float
        ``decision_function = score_samples - offset_``.
    max_samples_ : int
        Rows ``fit`` gave each tree (0 if only ``partial_fit`` was called).
    calibration_ : {"split", "cross", "prequential"}
        What ``p_values`` judges rows against.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only when X had string column names.

    Notes
    -----
    Scores follow scikit-learn's sign: **low is abnormal**. For "depth" and "insertion" they are
    ``-2 ** (-E[h] / c(n))``, in [-1, 0), as in isolation forests.

    "spacing" is this project's. In each tree, B is the smallest box on the row's path that holds a clean mass
    of 4 (of all but 1 in a tree with less than 5), and its extent the sum of its sides, stretched to take the row
    in, in the tree's units; L is the mean over the trees of log(0.1 + extent). *Clean mass* leaves out points that
    are flagged: the fifth of the points that lies shallowest in the forest, each without its own mass, so that
    anomalies in a cluster cannot vouch for each other; values of five or more copies that lie as deep as others
    that are kept, within the noise of the trees, are kept with them. Under ``partial_fit`` a point is flagged on
    arrival, for good, if its depth is among the shallowest fifth of the last 512. Every other tree sees a bag of 5
    features only, drawn at random (others are cut after all of those; extents leave them out). The score is
    ``-1 / (1 + 4 ** ((m - L) / w + 1))`` with m the median of L over recent points (after ``fit``: over up to 1,024
    of its points, without themselves) and w = min(2 (q75 - q25), q90 - m), at least 0.25: about -0.2 for the median
    point, -0.5 where the unusual begins. All-constant data gives every row the same score, above -0.5. Trees grown
    for another score lack bags and flags: they cannot give this one.

    Fitting costs O(t psi (d + log psi)) and scoring O(t log psi) a row for "depth", O(t (d + log psi)) for
    "spacing" (whose ``fit`` also scores up to t psi rows by depth), O(t d log psi) for "insertion", with t
    trees of psi points. Memory is O(t psi d) with "insertion", O(t (psi + d)) and the sampled rows with the
    others; all of them keep boxes, O(t psi d), from the first ``partial_fit`` on.

    With ``scale="robust"`` a tree divides feature j by s_j = (q95 - q5) / 3.29, from linear percentiles of
    its own points; where that is 0, by what makes a value that differs lie as far out as a normal value that is as
    rare (3 %: 2.2 units). A feature that is constant in a tree
    takes part from the first point that differs. Under ``partial_fit`` a tree keeps its scale, and the exact
    law given that scale, until it looks at its points again: when they are 8, 16, 32, ... and, in a full
    window, every four windows of points, the trees in turn. If its scale has moved then (by a factor of 1.25
    in the root mean square over the features, or of 2 in any) it is built anew from the points it holds.

    NaN means missing. A missing value separates a row from nothing and widens no box. In scoring the row goes
    to one side at a cut whose value it lacks, drawn in proportion to the masses there, and what that changes for
    the stored points on average is taken off: in expectation over the trees as if it went both ways, at the cost
    of a full row. One without any value gets the mean over the stored points. In ``fit`` it goes where most rows
    that have the value went (ties: left), in ``partial_fit`` to the heavier child. Rows that agree wherever both
    have values may share a leaf; it is represented by the one with the most values, in ``partial_fit`` by the last
    that had one it lacked.

    Threads may share an estimator: scoring and ``save`` run beside scoring, and in parallel; ``fit``,
    ``partial_fit`` and ``forget`` wait for them and have the forest alone. ``pickle``, ``copy`` and
    ``set_params`` do not wait: keep learning off while they run. A forked child goes on with what it has; if another
    thread was changing the forest at that moment, its methods raise RuntimeError there.

    Ctrl-C is heard within a second, and the estimator is as it was before the call. ``fit`` builds aside; a long
    ``partial_fit`` or ``forget`` copies what it will write to, which costs a quarter of its time at most. Where it
    would cost more (few rows for forests of gigabytes), and in the last moments of a short call, the call is done
    first, and the signal is answered then.

    With at most ``max_samples`` rows a weight w counts as w copies of the row; when rows are
    subsampled, weights are the odds of being drawn and a drawn row counts once.

    References
    ----------
    .. [1] H. Ma, B. Ghojogh, M. N. Samad, D. Zheng, M. Crowley, "Isolation Mondrian Forest for Batch and
       Online Anomaly Detection", IEEE SMC 2020, arXiv:2003.03692.
    .. [2] B. Lakshminarayanan, D. M. Roy, Y. W. Teh, "Mondrian Forests: Efficient Online Random
       Forests", NeurIPS 2014, Algorithms 1-4.
    .. [3] F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008, equations 1-2.

    Examples
    --------
    >>> import numpy as np
    >>> from imondrian import IsolationMondrianForest
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> forest = IsolationMondrianForest(random_state=0).fit(X)
    >>> forest.predict([[0.0, 0.0], [6.0, 6.0]])
    array([ 1, -1])
    >>> forest.partial_fit(X + 6.0).predict([[6.0, 6.0]])
    array([1])
    """

    _FILE_CLASS = "IsolationMondrianForest"

    @explain_mistakes({"n_trees": "n_estimators", "seed": "random_state", "window_size": "window"})
    def __init__(
        self,
        n_estimators: int = 100,
        *,
        max_samples: int | float | str = "auto",
        score: Score = "default",
        window: Window = None,
        horizon: int = 4096,
        scale: Literal["robust"] | None = "robust",
        contamination: float | str = "auto",
        max_bytes: int | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.score = score
        self.window = window
        self.horizon = horizon
        self.scale = scale
        self.contamination = contamination
        self.max_bytes = max_bytes
        self.n_jobs = n_jobs
        self.random_state = random_state

    # -- parameters --------------------------------------------------------------------------------

    @property
    def score(self) -> str:
        """Always absent: scikit-learn takes an attribute of this name for a scoring *method*.

        The parameter is kept in the instance's dictionary and read with ``get_params()["score"]``.
        """
        raise AttributeError(
            "'score' is a parameter of IsolationMondrianForest, not a method: read it with get_params()['score']"
        )

    @score.setter
    def score(self, value: str) -> None:
        self.__dict__["score"] = value

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; ``deep`` changes nothing, no parameter is an estimator."""
        return {name: self.__dict__[name] for name in self._get_param_names()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        return tags

    # -- learning ----------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> IsolationMondrianForest:
        """Build every tree from a subsample of X; forget what was learnt before.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
            float32 and float64 are kept, other numbers become float64. NaN is a missing value (see Notes).
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative. Rows of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            X holds what is no number: text, dates, durations, categories.
        ValueError
            Bad parameters; X empty, infinite, complex or not two-dimensional;
            negative weights, or none above 0.
        """
        with gate_of(self).updating:
            settings, before = Settings.of(self.__dict__), self.__dict__.copy()
            try:
                rows = self._validated(X, _FLOATS, settings.n_threads, reset=True)
                rows, weight = self._weighted(rows, sample_weight)
                warn_of_little_mass(weight)
                self._model = fit_rows(rows, weight, settings)
            except BaseException:
                self.__dict__ = before  # validation notes the width and names at once
                raise
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> IsolationMondrianForest:
        """Add rows to the trees, in order.

        Several calls over chunks give exactly the forest of one call over their concatenation. The
        first call on an unfitted forest starts from empty trees.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
            Non-negative; with a ``window``, only 0 and 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As for ``fit``, and when X has other features than before. The forest is unchanged.
        """
        with gate_of(self).updating:
            settings, before = Settings.of(self.__dict__), self.__dict__.copy()
            model: BatchModel | None = before.get("_model")
            try:
                dtype = _FLOATS if model is None else model.forest.dtype
                rows = self._validated(X, dtype, settings.n_threads, reset=model is None)
                rows, weight = self._weighted(rows, sample_weight)
                if model is None:
                    model = BatchModel.empty(self.n_features_in_, rows.dtype, settings)
                model.learn(rows, weight, settings)
                self._model = model
            except BaseException:
                self.__dict__ = before
                raise
        return self

    def forget(self, X: Any, *, missing_ok: bool = False) -> IsolationMondrianForest:
        """Remove each row of X once from every tree that holds it.

        What is left has the law of trees that never saw these points, given the trees' scales. A window or
        reservoir holds so many points fewer until the forgotten ones would have left; the others stay the last
        points, or a sample of the points that were not forgotten.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
            Points as they were learnt. One that was learnt twice can be forgotten twice. A row with missing
            values is matched exactly if it can be, else with a point it may have shared a leaf with: one that
            agrees wherever both have values. Once that one is forgotten, such a row stays in the tree in its place.
        missing_ok : bool, default=False
            Pass over rows that no tree holds: ``fit`` may not have sampled them, a window may have moved on.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            Before ``fit`` or ``partial_fit``.
        ValueError
            Some row is held by no tree (as often as X repeats it); nothing is forgotten then. Also for bad X.

        Notes
        -----
        O(depth * n_features) a row and tree. Trees keep their scale until they next look at it. A weight above
        1 counts as copies: forgetting takes weight 1, or what is left if that is less.
        """
        with gate_of(self).updating:
            model, settings = self._fitted(), Settings.of(self.__dict__)
            rows = self._validated(X, model.forest.dtype, settings.n_threads)
            model.forget(dense(rows), missing_ok, settings)
        return self

    def _validated(self, X: Any, dtype: Any, n_threads: int, reset: bool = False) -> np.ndarray | SparseRows:
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

    @reading
    def info(self) -> dict[str, Any]:
        """Return what the model holds, and its size.

        Returns
        -------
        dict
            ``trees``, ``features``, ``dtype``, ``scale``; ``window_points`` (a tree, None without a window),
            ``points_a_tree`` (mean mass), ``points_stored`` (distinct, shared by all trees), ``points_streamed``
            (by ``partial_fit``, or by ``fit`` with a window); ``bytes`` now, and ``max_bytes``.
        """
        return {**self._fitted().forest.info(), "bytes": sys.getsizeof(self), "max_bytes": self.max_bytes}

    @classmethod
    def from_isolation_forest(cls, model: IsolationForest, held_out: Any = None) -> IsolationMondrianForest:
        """Return a fitted ``sklearn.ensemble.IsolationForest`` as a fitted forest that gives the same scores.

        Its trees are kept as they are: cuts, and how many points each leaf holds. So the result scores, explains,
        saves, exports and runs on a GPU, but cannot learn or forget points (see Notes). ``fit`` starts afresh, with
        Mondrian trees.

        Parameters
        ----------
        model : sklearn.ensemble.IsolationForest
            Fitted. It is not changed.
        held_out : array-like of shape (n, n_features), optional
            Rows that ``model`` was not fitted on, to judge new rows by: what ``p_values`` and ``reject`` need. At most
            1,024 of them are kept, spread evenly.

        Returns
        -------
        IsolationMondrianForest
            With ``score="depth"``, the model's ``offset_``, names of features and parameters of the same name.

        Raises
        ------
        TypeError
            ``model`` is no IsolationForest.
        NotFittedError
            It is not fitted.
        ValueError
            ``held_out`` is empty, infinite, or has other features.

        Notes
        -----
        Every row without missing values ends in the leaf that scikit-learn finds for it, and ``score_samples`` is equal
        to a relative 1e-13. Rows are rounded to float32, as scikit-learn does. A row with a missing value goes both
        ways at a cut whose value it lacks, as in every forest here, where scikit-learn sends it to one side: its score
        differs. Infinite values, which scikit-learn lets through, are refused.

        ``partial_fit``, ``forget``, ``score="insertion"`` and ``"spacing"``, and continuing under river raise
        ValueError. They need the times of cuts and the boxes of points, which isolation trees do not have: they
        cut a feature drawn uniformly where Mondrian trees draw features by their ranges, and stop at a height. Trees
        with times made up for them would have the law of neither, so no exactness could be promised.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.ensemble import IsolationForest
        >>> from imondrian import IsolationMondrianForest
        >>> X = np.random.default_rng(0).normal(size=(500, 2))
        >>> model = IsolationForest(random_state=0).fit(X)
        >>> forest = IsolationMondrianForest.from_isolation_forest(model)
        >>> bool(np.allclose(forest.score_samples(X), model.score_samples(X), rtol=1e-13, atol=0))
        True
        """
        model = checked_isolation_forest(model)
        estimator = cls(
            n_estimators=len(model.estimators_),
            max_samples=model.max_samples,
            score="depth",
            contamination=model.contamination,
            n_jobs=model.n_jobs,
            random_state=model.random_state,
        )
        estimator.n_features_in_ = int(model.n_features_in_)
        if hasattr(model, "feature_names_in_"):
            estimator.feature_names_in_ = model.feature_names_in_.copy()
        rows = None
        if held_out is not None:
            rows = validate_data(
                estimator, held_out, dtype=np.float32, order="C", ensure_all_finite="allow-nan", reset=False
            )
            rows = rows[spread(len(rows), CALIBRATION_SIZE)]
        forest: Any = imported_forest(model)
        estimator._model = BatchModel(forest, Calibration(rows), int(model.max_samples_), float(model.offset_))
        return estimator
