"""The forest behind ``score`` and ``explain``: fitted to a sample of tables of any length, or read from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from imondrian._cli import USAGE, Failure
from imondrian._cli.tables.columns import Columns, read_rows
from imondrian._cli.tables.labels import Labels
from imondrian._cli.tables.reading import Table
from imondrian._kit import terminal
from imondrian._models.batch import BatchModel
from imondrian._models.settings import Settings
from imondrian._models.wording import MOST_REASONS, without_sides

from .bottom_k import Smallest

LEFT_OVER = 8192  # rows of the sample beyond those that the trees can hold: enough for p-values
_MOST_VALUES = 1 << 26  # of a sample of very wide rows


@dataclass(frozen=True)
class Fitting:
    """How a forest is fitted; None is the default. With ``model``, a file, everything but ``jobs`` must be None."""

    model: Path | None = None
    trees: int | None = None
    max_samples: int | None = None
    score: str | None = None
    seed: int | None = None
    contamination: float | None = None
    jobs: int = 1

    def check(self) -> None:
        """Raise Failure where options contradict each other."""
        given = [
            name
            for name in ("trees", "max_samples", "score", "seed", "contamination")
            if getattr(self, name) is not None
        ]
        if self.model is not None and given:
            raise Failure(f"--{given[0].replace('_', '-')} says how to fit a forest; that of --model is fitted", USAGE)


class Detector:
    """A fitted forest and the names of its features. Here **high scores are anomalous**.

    It does what ``IsolationMondrianForest(window=None)`` does with matrices that need no validation, without
    scikit-learn: importing that takes longer, and more memory, than scoring most files.

    Parameters
    ----------
    params : dict
        Parameters of the estimator.
    model : BatchModel
    names : list of str or None
        None: unknown.
    n_jobs : int
    """

    def __init__(self, params: dict[str, Any], model: BatchModel, names: list[str] | None, n_jobs: int) -> None:
        self.params, self.model, self.names = params, model, names
        self.settings = _settings(params, n_jobs)

    @property
    def threshold(self) -> float:
        """Scores above this are called outliers."""
        return -self.model.offset

    @classmethod
    def fit(cls, X: np.ndarray, params: dict[str, Any], n_jobs: int, nominal: np.ndarray | None = None) -> Detector:
        """Fit a forest to a matrix, the columns ``nominal`` of which are words, as the estimator does."""
        return cls(params, BatchModel.fit(X, None, _settings(params, n_jobs), nominal), None, n_jobs)

    @classmethod
    def load(cls, path: Path, n_jobs: int) -> Detector:
        """Return the forest of a file."""
        from imondrian._sklearn.estimator import IsolationMondrianForest
        from imondrian._sklearn.fitted import model_of

        try:
            found = IsolationMondrianForest.load(path)
        except OSError as error:
            raise Failure(f"{path}: {error.strerror or error}") from error
        except ValueError as error:
            raise Failure(f"--model: {error}; --save FILE writes one") from error
        if not hasattr(found, "forest_"):
            raise Failure(f"{path}: holds a forest that is not fitted")
        names = getattr(found, "feature_names_in_", None)
        return cls(found.get_params(), model_of(found), None if names is None else list(names), n_jobs)

    def save(self, path: Path, names: Sequence[str], n_rows: int) -> None:
        """Write the forest to a file that :meth:`load` and the estimator read, with the names of its features."""
        from imondrian._sklearn.estimator import IsolationMondrianForest
        from imondrian._sklearn.fitted import put_around

        self.model.max_samples = self.settings.sample_size(n_rows)
        fitted = put_around(IsolationMondrianForest(**self.params), self.model, names)
        try:
            fitted.save(path)
        except OSError as error:
            raise Failure(f"cannot write {path}: {error.strerror or error}") from error

    def judge(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the score and the p-value of each row."""
        return self.model.judge(X, self.settings)

    def share_called(self) -> float | None:
        """Return the share of usual rows that the threshold calls outliers; None where the forest kept none to tell."""
        return self.model.share_called(self.settings)

    def words(
        self,
        X: np.ndarray,
        p_values: np.ndarray,
        names: Sequence[str],
        most: int = MOST_REASONS,
        told: Sequence[Mapping[int, Any]] | None = None,
    ) -> list[str]:
        """Return in words why rows have their scores; ``told`` are their categories as they came, by feature."""
        return self.model.why(X, p_values, names, self.settings.score, self.settings.n_threads, most, told)

    def contributions(self, X: np.ndarray) -> np.ndarray:
        """Return what each feature adds to each row's score for being low and for being high, (n, d, 2).

        All that a category adds is in the second place.
        """
        forest = self.model.forest
        return without_sides(forest.explain(X, self.settings.score, self.settings.n_threads)[0], forest.nominal)

    def expected_score(self) -> float:
        """Return the score that contributions add up from."""
        return self.model.forest.expected_score(self.settings.score)


def _settings(params: dict[str, Any], n_jobs: int) -> Settings:
    return replace(Settings.of({**params, "n_jobs": None}), n_threads=n_jobs)


def check_width(detector: Detector, columns: Columns, model: Path) -> None:
    """Raise Failure where a model without names has another number of features than there are columns."""
    width = detector.model.forest.n_features
    if len(columns.features) != width:
        raise Failure(
            f"{model}: was fitted to {width} features without names; there are {len(columns.features)} "
            "columns with numbers: --columns says which to take, in its order"
        )


@dataclass
class Survey:
    """What a first pass over all rows finds."""

    sample: np.ndarray
    n_rows: int
    unused: list[str]


def survey(
    tables: Sequence[Table], columns: Columns, size: int, seed: int, labels: Labels | None, ends: list[int], quiet: bool
) -> Survey:
    """Read all rows once: check every value, draw a uniform sample of ``size`` rows, collect the labels."""
    rng = np.random.default_rng(seed)
    chosen = Smallest(size)
    used = np.zeros(len(columns.features), bool)
    with terminal.progress("reading", "rows", quiet) as report:
        for rows in read_rows(tables, columns, ends, label=labels is not None):
            # A row's random key depends on its place alone: equal tables give equal samples in any format.
            chosen.push(rng.random(len(rows.X)), rows.X)
            if not used.all():
                used |= ~np.isnan(rows.X).all(axis=0)
            if labels is not None:
                labels.push(rows.label)
            report(chosen.n_seen, None)
    if chosen.n_seen == 0:
        raise Failure(f"{tables[0].path}: no rows are left")
    if not used.any():
        raise Failure(f"{tables[0].path}: the columns with numbers hold no values at all")
    unused = [name for name, has_values in zip(columns.features, used, strict=True) if not has_values]
    return Survey(chosen.rows()[1], chosen.n_seen, unused)


def sample_size(trees: int, max_samples: int, n_features: int) -> int:
    """Return how many rows to fit on, at most.

    With ``trees * max_samples`` rows and some more, a forest fitted to a uniform sample draws what it would draw from
    all rows but for rows that two trees share; with fewer (of very wide rows) they share more. Every tree by itself
    always has the law that it has in a forest fitted to all rows: a uniform sample of a uniform sample is one.
    """
    return max(max_samples, min(trees * max_samples + LEFT_OVER, _MOST_VALUES // n_features))


def prepare(
    tables: Sequence[Table],
    choose: Callable[[Sequence[str] | None, np.ndarray | None], Columns],
    fitting: Fitting,
    labels: Labels | None,
    ends: list[int],
    quiet: bool,
) -> tuple[Detector, Columns]:
    """Load a forest, or fit one; return it and the columns that it takes. ``ends`` as in ``read_rows``."""
    fitting.check()
    if fitting.model is not None:
        detector = Detector.load(fitting.model, fitting.jobs)
        forest = detector.model.forest
        columns = replace(choose(detector.names, forest.nominal), dtype=forest.dtype)
        check_width(detector, columns, fitting.model)
        columns.tell(quiet, fitted=True)
        if labels is not None:
            survey(tables, columns, 1, 0, labels, ends, quiet)
            labels.meaning()
        return detector, columns
    columns = choose(None, None)
    columns.tell(quiet)
    if "" in columns.features:
        terminal.note(
            "a column without a name is taken for a feature; if it numbers the rows, --exclude '' leaves it out", quiet
        )
    trees, psi = fitting.trees or 100, fitting.max_samples or 256
    seed = fitting.seed or 0
    found = survey(tables, columns, sample_size(trees, psi, len(columns.features)), seed, labels, ends, quiet)
    if labels is not None:
        labels.meaning()
    for name in found.unused:
        terminal.note(f"the column {name!r} holds no values and decides nothing", quiet)
    if len(found.sample) < found.n_rows:
        terminal.note(f"fitted to {len(found.sample):,} of {found.n_rows:,} rows, drawn at random", quiet)
    params = {
        "n_estimators": trees,
        "max_samples": psi,
        "score": fitting.score or "default",
        "window": None,
        "horizon": 4096,
        "scale": "robust",
        "max_bytes": None,
        "random_state": seed,
        "contamination": "auto" if fitting.contamination is None else fitting.contamination,
    }
    return Detector.fit(found.sample, params, fitting.jobs, columns.mask), columns
