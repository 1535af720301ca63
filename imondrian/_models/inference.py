"""What a fitted forest says of rows beyond their scores: p-values, which to reject, and reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from imondrian._cuda.rows import device_rows, is_on_device, refuse_device
from imondrian._forest.rwlock import gate_of, reading
from imondrian._forest.types import Booleans, Floats
from imondrian._forest.validation import open_share, positive_int, thread_count

from .feedback import require_cpu, said_of
from .wording import MOST_REASONS, StoredPoints, telling_parts, why

if TYPE_CHECKING:
    from imondrian._conformal.calibration import Calibration
    from imondrian._forest.forest import Forest

    from .feedback import Verdicts
    from .settings import Settings


class Judgement:
    """The part of :class:`imondrian.IsolationMondrianForest` that judges rows, and explains scores."""

    if TYPE_CHECKING:
        forest_: Forest
        _calibration: Calibration
        _verdicts: Verdicts | None
        n_jobs: int | None

        def _fitted(self) -> tuple[Forest, int]: ...
        def _settings(self) -> Settings: ...
        def _score_name(self) -> str: ...
        def _validated(self, X: Any, dtype: Any, n_threads: int, reset: bool) -> np.ndarray: ...

    @property
    def calibration_(self) -> str:
        """Where ``p_values`` come from: "split", "cross" or "prequential"."""
        self._fitted()
        return self._calibration.source

    @reading
    def p_values(self, X: Any) -> Floats:
        """Return the conformal p-value of each row: small is anomalous.

        Under the hypothesis that the row is exchangeable with the calibration rows, its p-value is at most
        a with probability at most a.

        Parameters
        ----------
        X : array-like or dataframe of shape (n_samples, n_features)

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
        forest, n_threads = self._fitted()
        settings = self._settings()
        if is_on_device(X):
            require_cpu(self._verdicts)
            with device_rows(self, X, forest.dtype) as rows:
                found = self._calibration.p_values(rows, forest, settings.score, settings.grow, n_threads)
                return rows.give_back(found)
        X = self._validated(X, forest.dtype, n_threads, reset=False)
        adjust = None if self._verdicts is None else self._verdicts.adjust
        return self._calibration.p_values(X, forest, settings.score, settings.grow, n_threads, adjust=adjust)

    def reject(self, X: Any, *, fdr: float = 0.1) -> Booleans:
        """Return which rows are anomalies, at a false discovery rate of at most ``fdr``.

        Benjamini and Hochberg's procedure on ``p_values(X)``. With "split" calibration the p-values of rows like
        the training data are positively dependent, which is what the procedure's guarantee asks for (Bates et al.
        2023, theorem 2): among the rows called anomalies the expected share of rows that are like the training data
        is at most ``fdr``.

        Parameters
        ----------
        X : array-like or dataframe of shape (n_samples, n_features)
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
        check_is_fitted(self, "forest_")
        return -self.forest_.expected_score(self._score_name())

    @reading
    def explain(self, X: Any, *, by_direction: bool = False) -> Floats:
        """Return what each feature contributes to each row's score: they sum to its difference from the expected one.

        Parameters
        ----------
        X : array-like or dataframe of shape (n_samples, n_features)
        by_direction : bool, default=False
            Tell what a feature contributes for being low from what it contributes for being high.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float64
            Sums over the features to ``score_samples(X) - expected_score_``: **negative makes abnormal**. With
            ``by_direction``, (n_samples, n_features, 2), from below and from above, which sum to the other.

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
        check_is_fitted(self, "forest_")
        n_threads = thread_count(self.n_jobs)
        X = self._validated(X, self.forest_.dtype, n_threads, reset=False)
        parts, _ = self.forest_.explain(X, self._score_name(), n_threads)
        return -parts if by_direction else -parts.sum(axis=2)

    def why(self, X: Any, *, most: int = MOST_REASONS) -> list[str]:
        """Return in words why each row has its score.

        Parameters
        ----------
        X : array-like or dataframe of shape (n_samples, n_features)
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
        rows = self._validated(X, self.forest_.dtype, n_threads, reset=False)
        names = getattr(self, "feature_names_in_", range(rows.shape[1]))
        with gate_of(self).reading:
            parts = telling_parts(self.forest_, rows, self._score_name(), n_threads)
            points, said = StoredPoints(self.forest_), said_of(self._verdicts, rows)
        return [
            why(points, row, pair, names, p_value, most) + heard
            for row, pair, p_value, heard in zip(rows, parts, p_values.tolist(), said, strict=True)
        ]
