"""What a fitted forest says of rows: scores, p-values, which to reject, reasons; and what it hears of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils._set_output import _get_container_adapter, _get_output_config

from imondrian._cuda.rows import device_rows, is_on_device, refuse_device
from imondrian._forest.rwlock import gate_of, reading
from imondrian._forest.scoring import resolve_score
from imondrian._forest.types import Booleans, Floats, Integers
from imondrian._forest.validation import open_share, positive_int, thread_count
from imondrian._models.feedback import require_cpu
from imondrian._models.settings import Settings
from imondrian._models.wording import MOST_REASONS

from .fitted import Fitted
from .sparse_rows import SparseRows, dense, each_block


class Inference(Fitted):
    """The part of :class:`imondrian.IsolationMondrianForest` that scores rows, judges them, and explains scores."""

    if TYPE_CHECKING:
        n_jobs: int | None

        def _validated(self, X: Any, dtype: Any, n_threads: int, reset: bool = False) -> np.ndarray | SparseRows: ...

    def score_samples(self, X: Any) -> Floats:
        """Return the score of each row: in [-1, 0), low is abnormal.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
            Cast to the precision the forest was fitted with. An array of CuPy or a torch tensor on a CUDA
            device is scored there (see Notes).

        Returns
        -------
        ndarray of shape (n_samples,), float64
            In the library and on the device of X where that is a CUDA device.

        Raises
        ------
        NotFittedError
            Before ``fit`` or ``partial_fit``.
        ValueError
            X is empty, has another width, or is infinite.

        Notes
        -----
        On a CUDA device, which CuPy must be able to use, depths have the bits of the CPU's, and scores are within 2
        units in the last place; with ``score="insertion"`` they are within a relative 1e-13 and with the default one
        within 1e-12 (the exponentials and logarithms of the two differ); p-values are never below the CPU's. The
        trees are uploaded at the first call, and again after ``partial_fit``; kernels are compiled when first used,
        and kept in the user's cache (``IMONDRIAN_CACHE_DIR``).
        ``decision_function``, ``predict`` and ``p_values`` take such arrays too.
        """
        with gate_of(self).reading:
            model, n_threads = self._fitted(), thread_count(self.n_jobs)
            score, dtype = resolve_score(self.__dict__["score"]), model.forest.dtype
            if type(X) is not np.ndarray and is_on_device(X):
                require_cpu(model.verdicts)
                with device_rows(self, X, dtype) as rows:
                    return rows.give_back(rows.scores(model.forest, score, -1.0))
            checked = self._validated(X, dtype, n_threads)
            return -each_block(checked, lambda block: model.scores(block, score, n_threads))

    def decision_function(self, X: Any) -> Floats:
        """Return ``score_samples(X) - offset_``: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Integers:
        """Return 1 for inliers and -1 for outliers, (n_samples,)."""
        return (self.decision_function(X) >= 0) * 2 - 1  # in numpy, CuPy and torch alike

    @property
    def calibration_(self) -> str:
        """Where ``p_values`` come from: "split", "cross" or "prequential"."""
        return self._fitted().calibration.source

    @reading
    def p_values(self, X: Any) -> Floats:
        """Return the conformal p-value of each row: small is anomalous.

        Under the hypothesis that the row is exchangeable with the calibration rows, its p-value is at most
        a with probability at most a.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), float64
            In (0, 1], never below 1 / (m + 1) with m calibration rows, m <= 1024.

        Raises
        ------
        NotFittedError, ValueError
            As for ``score_samples``.

        Notes
        -----
        ``p = (1 + #{calibration scores <= score}) / (m + 1)``; ties count against the row, so p-values of
        repeated rows are only ever too large. Calibration rows count with all the anomalies among them:
        p says how rare a row is in the data as they came. ``calibration_`` names the source of the rows:

        "split"
            Rows given to ``fit`` that no tree drew; there are enough of them from about 7,000 rows with 100
            trees of 256. The guarantee is exact, and p falls as ``score_samples`` falls.
        "cross"
            Fewer rows, or weights: five forests, each fitted without a fifth of (at most 1,024 of) the
            rows, score the fifth that they do not know, and X. What is proved is P(p <= a) <= 2 a + 8 / (m + 5);
            simulation finds P(p <= a) <= a. The forests are grown at the first call, from rows that the
            estimator keeps, and stay in memory (not in pickles) until the next ``fit``; scoring costs five
            times as much, and p follows ``score_samples`` but not row by row. With weights, calibration rows
            count by weight (scaled to mean 1) and the guarantee is approximate.
        "prequential"
            After ``partial_fit`` of at least 100 rows, or with a ``window``: the scores of the last 1,024 points
            learnt, each from just before it was learnt. p then follows a drifting stream. On exchangeable
            points the guarantee holds up to the forest's movement within these points. 1 while nothing was
            learnt. Weights of these points are not considered.

        References
        ----------
        V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", Springer 2005. V. Vovk,
        "Cross-conformal predictors", 2015. S. Bates et al., "Testing for outliers with conformal p-values",
        Annals of Statistics 51, 2023.

        Examples
        --------
        >>> import numpy as np
        >>> from imondrian import IsolationMondrianForest
        >>> X = np.random.default_rng(0).normal(size=(500, 2))
        >>> forest = IsolationMondrianForest(random_state=0).fit(X)
        >>> p = forest.p_values([[0.0, 0.0], [6.0, 6.0]])
        >>> bool(p[0] > 0.5 and p[1] < 0.01)
        True
        """
        model, settings = self._fitted(), Settings.of(self.__dict__)
        if is_on_device(X):
            require_cpu(model.verdicts)
            with device_rows(self, X, model.forest.dtype) as rows:
                return rows.give_back(model.p_values(rows, settings))
        checked = self._validated(X, model.forest.dtype, settings.n_threads)
        return each_block(checked, lambda block: model.p_values(block, settings))

    def reject(self, X: Any, *, fdr: float = 0.1) -> Booleans:
        """Return which rows are anomalies, at a false discovery rate of at most ``fdr``.

        Benjamini and Hochberg's procedure on ``p_values(X)``. With "split" calibration the p-values of rows like
        the training data are positively dependent, which is what the procedure's guarantee asks for (Bates et al.
        2023, theorem 2): among the rows called anomalies the expected share of rows that are like the training data
        is at most ``fdr``.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
        fdr : float in (0, 1), default=0.1

        Returns
        -------
        ndarray of shape (n_samples,), bool

        Notes
        -----
        With m calibration rows no p-value is below 1 / (m + 1), so at least ``n_samples / ((m + 1) * fdr)`` rows
        must reach it before any is rejected: test no more than some m * fdr rows at a time for one lone anomaly.
        """
        rate = open_share("fdr", fdr)
        refuse_device(X)
        from scipy.stats import false_discovery_control  # takes longer to import than most fits take

        return false_discovery_control(self.p_values(X), method="bh") <= rate

    @property
    @reading
    def expected_score_(self) -> float:
        """Score of the mean over the points in the trees; what explanations add up from."""
        return -self._fitted().forest.expected_score(resolve_score(self.__dict__["score"]))

    def explain(self, X: Any, *, by_direction: bool = False) -> Floats:
        """Return what each feature contributes to each row's score: they sum to its difference from the expected one.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
        by_direction : bool, default=False
            Tell what a feature contributes for being low from what it contributes for being high.

        Returns
        -------
        ndarray or dataframe of shape (n_samples, n_features), float64
            Sums over the features to ``score_samples(X) - expected_score_``: **negative makes abnormal**. With
            ``by_direction``, (n_samples, n_features, 2), from below and from above, which sum to the other. A dataframe
            after ``set_output(transform="pandas")`` or "polars"; directions are columns "name (low)", "name (high)".

        Raises
        ------
        NotFittedError
            Before ``fit`` or ``partial_fit``.
        ValueError
            As for ``score_samples``.

        Notes
        -----
        Exact, not sampled. In each tree, V(v) is the mean value (depth, or log spacing) of the points stored below
        node v. A row's step from v to the child it falls into contributes the difference of their V to the feature
        cut at v, on the side taken; where it is cut off outside a box (or stretches it), the rest is shared over
        the features in which it is outside, in proportion to how far. All of it telescopes to the row's value less
        V(root); the secant slope of the score, between the mean of V(root) and that of the row, takes it to
        the score's scale. A missing value contributes 0. O(depth + n_features) a row and tree, with
        "insertion" O(depth * n_features), after O(nodes) a call.
        """
        return self._in_container(self._contributions(X, by_direction), X)

    @reading
    def _contributions(self, X: Any, by_direction: bool = False) -> Floats:
        """Explain, into an array whatever ``set_output`` says."""
        forest, n_threads = self._fitted().forest, thread_count(self.n_jobs)
        score = resolve_score(self.__dict__["score"])

        def told(block: np.ndarray) -> np.ndarray:
            parts, _ = forest.explain(block, score, n_threads)
            return -parts if by_direction else -parts.sum(axis=2)

        return each_block(self._validated(X, forest.dtype, n_threads), told)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Say what ``explain`` returns, as transformers of scikit-learn have it; the scores stay arrays.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            "default" is an ndarray; None leaves what there was. ``sklearn.set_config(transform_output=...)`` holds
            where this was not called.

        Returns
        -------
        self

        Examples
        --------
        >>> import pandas as pd
        >>> from imondrian import IsolationMondrianForest
        >>> frame = pd.DataFrame({"heat": [1.0, 1.2, 0.9, 7.0], "load": [3.0, 3.1, 2.9, 3.0]})
        >>> forest = IsolationMondrianForest(random_state=0).set_output(transform="pandas").fit(frame)
        >>> forest.explain(frame).idxmin(axis=1).tail(1)
        3    heat
        dtype: str
        """
        if transform is not None:
            if transform not in ("default", "pandas", "polars"):
                raise ValueError(f"transform must be default, pandas or polars, got {transform!r}")
            self._sklearn_output_config = {"transform": transform}
        return self

    def _in_container(self, parts: Floats, X: Any) -> Any:
        """Return contributions as what ``set_output`` asks for."""
        if _get_output_config("transform", self)["dense"] == "default":
            return parts
        names = [str(name) for name in getattr(self, "feature_names_in_", map("x{}".format, range(parts.shape[1])))]
        if parts.ndim == 3:
            names = [f"{name} ({side})" for name in names for side in ("low", "high")]
            parts = parts.reshape(len(parts), -1)
        adapter = _get_container_adapter("transform", self)
        return adapter.create_container(parts, X, columns=names)

    def why(self, X: Any, *, most: int = MOST_REASONS) -> list[str]:
        """Return in words why each row has its score.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
        most : int, default=3
            Features to tell of: those that contribute most to the score "insertion", which knows best how far out a
            value lies. ``explain`` may name others, as it explains the forest's own score.

        Returns
        -------
        list of n_samples str
            Such as "vibration 3.1 is above its usual 0.2 to 1.4 (p = .002); temperature usual". Usual is what 90 % of
            the points in the trees have, 5 % being lower and 5 % higher; p is that of ``p_values``. Values that are
            missing, though half of the points have them, are told as such. A forest that was imported knows no points:
            it tells "high" and "low" alone.

        Raises
        ------
        NotFittedError, ValueError
            As for ``score_samples``.

        Examples
        --------
        >>> import numpy as np
        >>> from imondrian import IsolationMondrianForest
        >>> X = np.random.default_rng(0).normal(size=(500, 2))
        >>> IsolationMondrianForest(random_state=0).fit(X).why([[0.1, 6.0]])
        ['feature 1 6 is above its usual -1.52 to 1.57 (p = .002); feature 0 usual']
        """
        most = positive_int("most", most)
        p_values, n_threads = self.p_values(X), thread_count(self.n_jobs)
        model = self._fitted()
        rows = dense(self._validated(X, model.forest.dtype, n_threads))
        names = getattr(self, "feature_names_in_", range(rows.shape[1]))
        with gate_of(self).reading:
            return model.why(rows, p_values, names, resolve_score(self.__dict__["score"]), n_threads, most)

    # -- what a person says of rows ----------------------------------------------------------------

    def feedback(self, X: Any, y: Any) -> Self:
        """Take in what is known of rows: scores near them follow. The trees stay as they are.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
            Any rows that have some value; no tree need hold them.
        y : array-like of shape (n_samples,)
            1 for normal, -1 for an anomaly. Of several verdicts on a row the last counts.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            Before ``fit`` or ``partial_fit``.
        TypeError, ValueError
            Other values in y, or bad X; or verdicts that pass ``max_bytes``. The estimator is unchanged.

        Notes
        -----
        The logit of a row's score is shifted by the sum over the verdicts of b_v k(x, v), with k(x, v) the share of
        trees in which the row and v are in the same cell: the first node on the way down that holds at most 8
        points. The b solve (K + 0.1 I) b = r, where r is what v's logit lacks: 3 is wanted for an anomaly, -3 for a
        normal row. So verdicts in one place do not add up, and their order means nothing. Rows that share no cell
        with any verdict keep their score to the bit, and so do all when all verdicts are withdrawn.

        ``predict`` and ``p_values`` follow, as calibration rows are scored alike; ``offset_`` stays until the next
        ``partial_fit`` or ``forget``. ``explain`` tells of the forest's own score. ``partial_fit`` leaves verdicts as
        they are, ``forget`` withdraws those on its rows, ``fit`` all. At most 1,024 are kept; the oldest go. For m of
        them, taking in more costs O(t m^2 + m^3), a score O(t) more.

        See Also
        --------
        withdraw : Take verdicts back.

        Examples
        --------
        >>> import numpy as np
        >>> from imondrian import IsolationMondrianForest
        >>> X = np.random.default_rng(0).normal(size=(500, 2))
        >>> forest = IsolationMondrianForest(random_state=0).fit(X)
        >>> alarm = np.array([[3.5, 0.0]])
        >>> before = forest.predict(alarm)
        >>> before, forest.feedback(alarm, [1]).predict(alarm), forest.withdraw(alarm).predict(alarm)
        (array([-1]), array([1]), array([-1]))
        """
        with gate_of(self).updating:
            model, settings = self._fitted(), Settings.of(self.__dict__)
            rows = self._validated(X, model.forest.dtype, settings.n_threads)
            model.feedback(dense(rows), y, settings)
        return self

    def withdraw(self, X: Any, *, missing_ok: bool = False) -> Self:
        """Take back the verdicts on rows, as if they had never been given.

        Parameters
        ----------
        X : array-like, sparse matrix or dataframe of shape (n_samples, n_features)
        missing_ok : bool, default=False
            Pass over rows without a verdict; else ValueError, and none is withdrawn.

        Returns
        -------
        self
        """
        with gate_of(self).updating:
            model, settings = self._fitted(), Settings.of(self.__dict__)
            rows = self._validated(X, model.forest.dtype, settings.n_threads)
            model.withdraw(dense(rows), missing_ok, settings)
        return self
