"""The model of streams: all of :class:`imondrian.river.OnlineIsolationMondrianForest` but its names and docs.

Points are dicts, tables the names and values of their columns: finite float64, or NaN. High scores are anomalous.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from imondrian._conformal.alarm_rule import USUAL_SCORES, UsualScores
from imondrian._conformal.conformal import ScoreWindow
from imondrian._forest.forest import Forest, not_held
from imondrian._forest.numbers import record
from imondrian._forest.rwlock import Gate
from imondrian._forest.times import time_of
from imondrian._forest.validation import check_window_fits

from .features import Fields
from .feedback import Verdicts, nbytes_of, verdicts_given, verdicts_of, verdicts_withdrawn
from .prequential import Judged, prequential_p_values
from .reasons import Reasons as Reasons
from .reasons import contributions, in_words, reasons_of
from .settings import StreamSettings, count_of
from .stream_rows import StreamRows


class StreamModel(StreamRows):
    """What has been learnt of a stream.

    Parameters
    ----------
    settings : StreamSettings

    Attributes
    ----------
    keys : dict
        The place of each feature in the forest's rows.
    forest : Forest or None
        None while no feature is known.
    recent : ScoreWindow or None
        What p-values are read from.
    n_ignored, n_dropped : int
        Values of features that there was no room for, and features that were given up for others.
    verdicts : Verdicts or None
        What a person said of points: heard in scores, p-values and words.
    note : dict or None
        Kept in files for whoever saves: where ``imondrian stream`` was.
    gate : Gate
        For those who share the model with other threads, or with handlers of signals: no method uses it.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self.keys: dict[Any, int] = {}
        self.forest: Forest | None = None
        self.recent = None if settings.calibration is None else ScoreWindow(settings.calibration, settings.half_life)
        self.n_ignored = self.n_dropped = 0
        self.note: dict[str, Any] | None = None
        self.gate = Gate()
        self.verdicts: Verdicts | None = None
        super().__init__()
        self._scored: tuple[Forest, int, np.ndarray, float] | None = None  # the last row that was scored alone
        self._check_bytes(1)

    # -- points ------------------------------------------------------------------------------------

    def learn_one(self, x: Any) -> None:
        """Learn a point."""
        times = None
        if self.settings.time is not None:
            x = record(x)
            times = np.array([time_of(x, self.settings.time)])
        row = self.row(x, grow=True)
        if row is not None:
            self._learn(row, times)

    def score_one(self, x: Any) -> float:
        """Return a point's score; 0 is "not ready"."""
        row = self.row(x)
        return float(self._scores(row)[0]) if row is not None and self.is_ready else 0.0

    def p_value_one(self, x: Any) -> float:
        """Return a point's p-value; 1 is "not ready"."""
        recent = self.required_scores()
        score = self.score_one(x)
        return recent.p_value(score) if self.is_ready else 1.0

    def forget_one(self, x: Any, missing_ok: bool) -> None:
        """Take a point out of every tree that holds it."""
        x = self.point(x)
        row = self.row(x)
        self._forget(row, np.array([not self.new_keys(x)]), missing_ok)

    def explain_one(self, x: Any, by_direction: bool = False) -> dict[Any, Any]:
        """Return what each feature of x contributes to its score."""
        return contributions(self, self.point(x), by_direction)

    def why_one(self, x: Any, most: int) -> str:
        """Return in words why x has its score."""
        return in_words(self, self.point(x), most)

    def reasons(self, x: dict[Any, Any], most: int) -> Reasons:
        """Return why x has its score."""
        return reasons_of(self, x, most)

    # -- tables ------------------------------------------------------------------------------------

    # Columns have names, ``fields``, and values (n, len(fields)); ``nominal`` says which are words, None that none is.
    # A window by age needs ``times`` (n,), in seconds.

    def learn(
        self,
        fields: Sequence[Any],
        values: np.ndarray,
        nominal: np.ndarray | None = None,
        *,
        scored: bool = False,
        times: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Learn rows in order; if ``scored``, return their scores from just before."""
        return self._learn_table(Fields.of(fields, values, nominal, times=times), scored)

    def _learn_table(self, table: Fields, scored: bool = False) -> np.ndarray | None:
        values, times = table.values, table.times
        with self._unwidened_on_error():
            rows = self._placed(table, grow=True)
            if rows is None or len(rows) == 0:
                return np.zeros(len(values)) if scored else None
            return self._learn(rows, times, scored=scored, n_threads=self.settings.n_threads)

    @contextmanager
    def _unwidened_on_error(self) -> Iterator[None]:
        """Go back to the forest without the new keys of a table if an exception leaves the context."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            if self.forest is not before["forest"]:
                self.__dict__ = before
            raise

    def scores(self, fields: Sequence[Any], values: np.ndarray, nominal: np.ndarray | None = None) -> np.ndarray:
        """Return the scores of rows."""
        rows = self.rows(fields, values, nominal)
        if rows is None or not self.is_ready:
            return np.zeros(len(values))
        return self._scores(rows, self.settings.n_threads)

    def p_values(self, fields: Sequence[Any], values: np.ndarray, nominal: np.ndarray | None = None) -> np.ndarray:
        """Return the p-values of rows."""
        recent, scores = self.required_scores(), self.scores(fields, values, nominal)
        return recent.p_values(scores) if self.is_ready else np.ones(len(scores))

    def forget(
        self, fields: Sequence[Any], values: np.ndarray, nominal: np.ndarray | None = None, missing_ok: bool = False
    ) -> None:
        """Forget rows, or, unless ``missing_ok``, none of them if one is not held."""
        table = Fields.of(fields, values, nominal)
        rows = self._placed(table)
        known = np.isnan(values[:, self.new_columns(table)]).all(axis=1)
        self._forget(rows, known, missing_ok)

    def judge(self, fields: Sequence[Any], values: np.ndarray, nominal: np.ndarray | None = None) -> Judged:
        """Score rows and change nothing."""
        return self._judge(Fields.of(fields, values, nominal))

    def _judge(self, table: Fields) -> Judged:
        rows = self._placed(table)
        if rows is None or not self.is_ready or len(rows) == 0:
            return Judged.unready(len(table.values))
        scores = self._scores(rows, self.settings.n_threads)
        p_values = np.ones(len(rows)) if self.recent is None else self.recent.p_values(scores)
        return Judged(scores, p_values, np.ones(len(rows), bool))

    def judge_and_learn(
        self,
        fields: Sequence[Any],
        values: np.ndarray,
        nominal: np.ndarray | None = None,
        point: dict[Any, Any] | None = None,
        times: np.ndarray | None = None,
    ) -> Judged:
        """Score each row, then learn it, in order: ``score_one``, ``p_value_one`` and ``learn_one`` in turn.

        ``point`` is the only row as it came, for messages.
        """
        table = Fields.of(fields, values, nominal, point, times)
        self.new_columns(table)  # values of another kind are told before the first row is learnt
        found, begin = [], 0
        while begin < len(values) and self.brings_features(table):
            # Taking in a new key can change scores, so the row that brings it is scored before. If there is no room for
            # it, it is as new in the next row.
            one = table.part(slice(1))
            found.append(self._judge(one))
            self._learn_table(one)
            begin += 1
            table = table.part(slice(1, None))
        found.append(self._judge_and_learn(table))
        return found[0] if len(found) == 1 else Judged(*map(np.concatenate, zip(*found, strict=True)))

    def _judge_and_learn(self, table: Fields) -> Judged:
        """Judge and learn rows without keys that are new."""
        judged = Judged.unready(len(table.values))
        rows = self._placed(table)
        if rows is None or self.forest is None or len(rows) == 0:
            return judged
        first = min(self.forest.arrivals_until(self.settings.warm_up), len(rows))
        past = None if self.recent is None else self.recent.copy()
        scores = self._learn(rows, table.times, scored=True, n_threads=self.settings.n_threads)
        assert scores is not None
        judged.scores[:] = scores
        judged.ready[first:] = True
        if past is not None:
            judged.p_values[first:] = prequential_p_values(past, scores[first:])
        return judged

    def keep_score(self, value: float) -> None:
        """Let later p-values count a score whose point is not learnt."""
        if self.recent is not None:
            self.recent.push_one(value)

    # -- what a person said ------------------------------------------------------------------------

    def said_row(self, x: Any) -> np.ndarray:
        """Return a point that a verdict is on as a row; ValueError for what no verdict can be on."""
        x = self.point(x)
        self._refuse_unknown(self.new_keys(x))
        row = self.row(x)
        assert row is not None
        return row

    def said_rows(self, fields: Sequence[Any], values: np.ndarray, nominal: np.ndarray | None = None) -> np.ndarray:
        """Return points that verdicts are on as rows; ValueError for what no verdict can be on."""
        table = Fields.of(fields, values, nominal)
        self._refuse_unknown(fields[j] for j in self.new_columns(table) if not np.isnan(values[:, j]).all())
        rows = self._placed(table)
        assert rows is not None
        return rows

    def _refuse_unknown(self, keys: Iterable[Any]) -> None:
        if self.forest is None:
            raise self._too_early()
        for key in keys:
            if key not in self.keys:
                raise ValueError(f"x[{key!r}] is of a key that was never learnt: nothing is known of such points")

    def _too_early(self) -> ValueError:
        return ValueError(f"a verdict needs scores: learn at least {self.settings.warm_up} points before")

    def hear(self, rows: np.ndarray, y: Any) -> None:
        """Take in verdicts on rows, all or none."""
        if not self.is_ready:
            raise self._too_early()
        verdict, forest, settings = verdicts_of(y, len(rows)), self.forest, self.settings
        if len(rows) and forest is not None:
            self._keep(verdicts_given(forest, settings.score, self.verdicts, rows, verdict, settings.n_threads))

    def withdraw_rows(self, rows: np.ndarray, missing_ok: bool) -> None:
        """Take back the verdicts on rows; unless ``missing_ok``, ValueError where there is none."""
        forest, settings = self.forest, self.settings
        assert forest is not None
        left = verdicts_withdrawn(forest, settings.score, self.verdicts, rows, missing_ok, settings.n_threads)
        self._keep(left, withdrawing=True)

    def _keep(self, verdicts: Verdicts | None, withdrawing: bool = False) -> None:
        before, limit, self.verdicts = self.verdicts, self.settings.max_bytes, verdicts
        if verdicts is not None and not withdrawing:
            try:
                self._check_bytes(len(self.keys))
                if limit is not None and sys.getsizeof(self) > limit:
                    raise ValueError(f"max_bytes={limit} leaves no room for {len(verdicts)} verdicts")
            except ValueError:
                self.verdicts = before
                raise
        self._scored = None

    # -- the forest --------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether scores mean something."""
        return self.forest is not None and self.forest.mass >= self.settings.warm_up

    def _scores(self, rows: np.ndarray, n_threads: int = 1) -> np.ndarray:
        forest = self.forest
        assert forest is not None
        scores = forest.scores(rows, self.settings.score, n_threads)
        if self.verdicts is not None:
            scores = self.verdicts.adjust(rows, scores, n_threads)
        if len(rows) == 1:
            self._scored = (forest, forest.n_updates, rows, float(scores[0]))  # learning it is next
        return scores

    def _score_known(self, rows: np.ndarray) -> float | None:
        """Return the score of a single row if it has just been computed: most loops ask, then learn."""
        forest, n_updates, row, score = self._scored or (None, 0, rows, 0.0)
        if forest is None or forest is not self.forest or n_updates != forest.n_updates:
            return None
        return score if row.shape == rows.shape and row.tobytes() == rows.tobytes() else None

    def _learn(
        self, rows: np.ndarray, times: np.ndarray | None = None, *, scored: bool = False, n_threads: int = 1
    ) -> np.ndarray | None:
        """Learn rows in order; return their scores from just before if ``scored``, and keep them for p-values."""
        forest, limit = self.forest, self.settings.max_bytes
        assert forest is not None
        if self.settings.time is None:
            times = None  # a record's may be of no use here
        if limit is not None:
            limit -= self.reserved(forest.n_features)
        if self.recent is None and not scored:
            forest.learn(rows, n_threads=n_threads, max_bytes=limit, times=times)
            return None
        warming_up = forest.arrivals_until(self.settings.warm_up)
        known = None if scored else self._score_known(rows)
        score = None if known else self.settings.score
        scores = forest.learn(rows, score=score, n_threads=n_threads, max_bytes=limit, times=times)
        if scores is None:
            scores = np.array([known])
        elif self.verdicts is not None:
            scores = self.verdicts.adjust(rows, scores, n_threads)
        scores[:warming_up] = 0.0
        if self.recent is not None:
            self.recent.push(scores[warming_up:])
        return scores

    def _forget(self, rows: np.ndarray | None, known: np.ndarray, missing_ok: bool) -> None:
        """Forget rows; those with values for keys that were never learnt (not ``known``) are held nowhere."""
        if len(self.keys) >= self.settings.max_features:
            known = np.ones(len(known), bool)  # keys too many were ignored in learning, too
        if rows is None or self.forest is None:
            if len(known) and not missing_ok:
                raise not_held(len(known), len(known), 0)
            return
        self.forest.forget_all(rows, known, missing_ok, self.settings.n_threads)
        if self.verdicts is not None:
            self.withdraw_rows(np.ascontiguousarray(rows[known]), missing_ok=True)

    def required_scores(self) -> ScoreWindow:
        """Return the past scores; ValueError where none are kept."""
        if self.recent is None:
            raise ValueError("p-values need past scores: calibration must be an int, got None")
        return self.recent

    @property
    def expected_score(self) -> float:
        """The score that explanations add up from; 0 is "not ready"."""
        return self.forest.expected_score(self.settings.score) if self.forest is not None and self.is_ready else 0.0

    @property
    def usual_scores(self) -> UsualScores | None:
        """What is known of scores beforehand."""
        return USUAL_SCORES.get(self.settings.score)

    @property
    def largest(self) -> float:
        """The largest number that the model can hold: one of 32-bit floats takes less than a stream may have."""
        return float(np.finfo(np.float64 if self.forest is None else self.forest.dtype).max)

    # -- bytes -------------------------------------------------------------------------------------

    def reserved(self, n_features: int) -> int:
        """Return the most bytes that the model takes beside its forest."""
        return self.settings.object_bytes(n_features) + sys.getsizeof(self.recent) + nbytes_of(self.verdicts)

    def most_bytes(self, n_features: int, nominal_count: int = 0) -> int | None:
        """Return the most bytes that a model of so many features ever takes; None where nothing bounds them."""
        points = self.settings.retention.points
        return points and self.settings.layout(n_features, nominal_count).window_size(points) + self.reserved(
            n_features
        )

    def _check_bytes(self, n_features: int, nominal_count: int | None = None) -> None:
        """Raise ValueError if windows over so many features may pass ``max_bytes``."""
        limit, points = self.settings.max_bytes, self.settings.retention.points
        if limit is not None and points is not None:
            nominal_count = self._nominal_among(self.keys) if nominal_count is None else nominal_count
            layout = self.settings.layout(n_features, nominal_count)
            check_window_fits(layout, points, limit, self.reserved(n_features))

    def _nominal_among(self, keys: Iterable[Any]) -> int:
        forest = self.forest
        return 0 if forest is None else count_of(forest.nominal[[self.keys[key] for key in keys]])

    def __sizeof__(self) -> int:
        size = object.__sizeof__(self) + sys.getsizeof(self.keys) + sys.getsizeof(self.recent)
        size += nbytes_of(self.verdicts)
        return size + (sys.getsizeof(self.forest) if self.forest is not None else 0)

    def info(self) -> dict[str, Any]:
        """Return what the model holds, and its size."""
        forest, settings = self.forest, self.settings
        points = settings.retention.points
        about = {
            "trees": settings.n_trees,
            "features": 0,
            "dtype": "float64",
            "scale": "robust" if settings.scaled else None,
            "window_points": points,
            "points_a_tree": 0.0,
            "points_stored": 0,
            "points_streamed": 0,
        }
        bound = None
        if forest is not None:
            about = forest.info()
            bound = points and forest.layout.window_size(points) + self.reserved(forest.n_features)
        return {
            **about,
            "score": settings.score,
            "keys_ignored": self.n_ignored,
            "keys_dropped": self.n_dropped,
            "bytes": sys.getsizeof(self),
            "bytes_bound": bound,
            "max_bytes": settings.max_bytes,
        }
