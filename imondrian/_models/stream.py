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
from imondrian._forest.numbers import record, row_of, values_of
from imondrian._forest.rwlock import Gate
from imondrian._forest.times import time_of, without_time
from imondrian._forest.validation import check_window_fits

from .features import check_precision, in_order, placed, silent_keys
from .feedback import Verdicts, nbytes_of, verdicts_given, verdicts_of, verdicts_withdrawn
from .prequential import Judged, prequential_p_values
from .reasons import Reasons as Reasons
from .reasons import contributions, in_words, reasons_of
from .settings import StreamSettings


class StreamModel:
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
        strange = any(key not in self.keys and value == value for key, value in values_of(x).items())
        self._forget(row, np.array([not strange]), missing_ok)

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

    def learn(
        self, fields: Sequence[Any], values: np.ndarray, scored: bool = False, times: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Learn rows in order; if ``scored``, return their scores from just before.

        A window by age needs ``times`` (n,), in seconds, here and below.
        """
        with self._unwidened_on_error():
            rows = self.rows(fields, values, grow=True)
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

    def scores(self, fields: Sequence[Any], values: np.ndarray) -> np.ndarray:
        """Return the scores of rows."""
        rows = self.rows(fields, values)
        if rows is None or not self.is_ready:
            return np.zeros(len(values))
        return self._scores(rows, self.settings.n_threads)

    def p_values(self, fields: Sequence[Any], values: np.ndarray) -> np.ndarray:
        """Return the p-values of rows."""
        recent, scores = self.required_scores(), self.scores(fields, values)
        return recent.p_values(scores) if self.is_ready else np.ones(len(scores))

    def forget(self, fields: Sequence[Any], values: np.ndarray, missing_ok: bool) -> None:
        """Forget rows, or, unless ``missing_ok``, none of them if one is not held."""
        known = np.isnan(values[:, [key not in self.keys for key in fields]]).all(axis=1)
        self._forget(self.rows(fields, values), known, missing_ok)

    def judge(self, fields: Sequence[Any], values: np.ndarray) -> Judged:
        """Score rows and change nothing."""
        rows = self.rows(fields, values)
        if rows is None or not self.is_ready or len(rows) == 0:
            return Judged.unready(len(values))
        scores = self._scores(rows, self.settings.n_threads)
        p_values = np.ones(len(rows)) if self.recent is None else self.recent.p_values(scores)
        return Judged(scores, p_values, np.ones(len(rows), bool))

    def judge_and_learn(self, fields: Sequence[Any], values: np.ndarray, times: np.ndarray | None = None) -> Judged:
        """Score each row, then learn it, in order: ``score_one``, ``p_value_one`` and ``learn_one`` in turn."""
        found, begin = [], 0
        while begin < len(values) and not self.keys.keys() >= set(fields):
            # Taking in a new key can change scores, so the row that brings it is scored before. If there is no room for
            # it, it is as new in the next row.
            one = values[begin : begin + 1]
            found.append(self.judge(fields, one))
            self.learn(fields, one, times=None if times is None else times[begin : begin + 1])
            begin += 1
        found.append(self._judge_and_learn(fields, values[begin:], None if times is None else times[begin:]))
        return found[0] if len(found) == 1 else Judged(*map(np.concatenate, zip(*found, strict=True)))

    def _judge_and_learn(self, fields: Sequence[Any], values: np.ndarray, times: np.ndarray | None) -> Judged:
        """Judge and learn rows without keys that are new."""
        judged = Judged.unready(len(values))
        rows = self.rows(fields, values)
        if rows is None or self.forest is None or len(rows) == 0:
            return judged
        first = min(self.forest.arrivals_until(self.settings.warm_up), len(rows))
        past = None if self.recent is None else self.recent.copy()
        scores = self._learn(rows, times, scored=True, n_threads=self.settings.n_threads)
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
        self._refuse_unknown(key for key, value in values_of(x).items() if value == value)
        row = self.row(x)
        assert row is not None
        return row

    def said_rows(self, fields: Sequence[Any], values: np.ndarray) -> np.ndarray:
        """Return points that verdicts are on as rows; ValueError for what no verdict can be on."""
        silent = np.isnan(values).all(axis=0)
        self._refuse_unknown(key for key, is_silent in zip(fields, silent, strict=True) if not is_silent)
        rows = self.rows(fields, values)
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

    # -- rows in the order of the features ---------------------------------------------------------

    def point(self, x: Any) -> dict[Any, Any]:
        """Return a point as a dict of features."""
        return record(x) if self.settings.time is None else without_time(x, self.settings.time)

    def row(self, x: Any, grow: bool = False) -> np.ndarray | None:
        """Return a point as a row (1, d); None while there are no features. ``grow``: take in those that are new."""
        if type(x) is not dict or self.settings.time is not None:
            x = self.point(x)
        forest = self.forest
        if forest is not None and forest.dtype == np.float64:
            row = row_of(x, self.keys)
            if row is not None:
                return row
        values = values_of(x)
        if forest is not None:
            check_precision(values, forest.dtype)
        if grow and not values.keys() <= self.keys.keys():
            self._grow(list(values), 1)
        if self.forest is None:
            return None
        return placed(
            self.keys, list(values), np.array([[*values.values()]]), self.forest.n_features, self.forest.dtype
        )

    def rows(self, fields: Sequence[Any], values: np.ndarray, grow: bool = False) -> np.ndarray | None:
        """Return a table as rows (n, d); None while there are no features."""
        forest = self.forest
        if not grow or self.keys.keys() >= set(fields):
            return None if forest is None else placed(self.keys, fields, values, forest.n_features, forest.dtype)
        if forest is not None:  # what its precision refuses changes nothing
            placed({}, fields, values, forest.n_features, forest.dtype)
        self._grow(fields, len(values))
        return self.rows(fields, values)

    def _grow(self, keys: Sequence[Any], n_rows: int) -> None:
        """Add unseen keys."""
        new, settings = in_order([key for key in keys if key not in self.keys]), self.settings
        silent = silent_keys(self.keys, self.forest, len(new), settings)
        known = [key for key in self.keys if key not in silent]
        room = max(settings.max_features - len(known), 0)
        n_ignored = n_rows * max(len(new) - room, 0)
        new = new[:room]
        if not new:
            self.n_ignored += n_ignored
            return
        self._check_bytes(len(known) + len(new))
        if self.forest is None:
            forest, places = settings.empty_forest(len(new)), np.zeros(0, np.int32)
        else:
            dropped = [self.keys[key] for key in silent]
            forest, places, added = self.forest.widened(len(new), dropped, n_rows > 1)
            moved = {int(places[self.keys[key]]): key for key in known} | dict(zip(added, new, strict=True))
            known, new = [moved[place] for place in range(len(moved))], []
        # Together: a signal that came in between would leave keys that do not go with the forest.
        self.forest, self.keys = forest, {key: place for place, key in enumerate([*known, *new])}
        self.n_ignored += n_ignored
        self.n_dropped += len(silent)
        if self.verdicts is not None:
            self.verdicts = self.verdicts.moved(places, forest.n_features)

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

    def most_bytes(self, n_features: int) -> int | None:
        """Return the most bytes that a model of so many features ever takes; None where nothing bounds them."""
        points = self.settings.retention.points
        return points and self.settings.layout(n_features).window_size(points) + self.reserved(n_features)

    def _check_bytes(self, n_features: int) -> None:
        """Raise ValueError if windows over so many features may pass ``max_bytes``."""
        limit, points = self.settings.max_bytes, self.settings.retention.points
        if limit is not None and points is not None:
            check_window_fits(self.settings.layout(n_features), points, limit, self.reserved(n_features))

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
