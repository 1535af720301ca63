"""The feedback protocol: what an analyst finds by looking at the top of the ranking, one verdict at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from forest_data import NO_FOLDER, DataSet, at_most, data_folder, data_sets
from forest_detectors import Entry, available
from markdown_table import markdown

READ_AT = (20, 50, 100)
QUICK = ("wine_class0", "breast_cancer")
_RESAMPLES = 2000


class Listener(Protocol):
    """A detector that is told of one row after another."""

    def scores(self) -> np.ndarray:
        """Return the present score of every row, high for anomalies."""

    def hear(self, row: int, is_anomaly: bool) -> None:
        """Take in what a row was found to be."""


class Ours:
    """Our forest; without verdicts it does not listen."""

    def __init__(self, X: np.ndarray, seed: int, score: str = "default", listens: bool = True) -> None:
        from imondrian import IsolationMondrianForest

        self.X, self.listens = X, listens
        self.forest = IsolationMondrianForest(score=score, random_state=seed).fit(X)

    def scores(self) -> np.ndarray:
        """Return the present scores."""
        return -self.forest.score_samples(self.X)

    def hear(self, row: int, is_anomaly: bool) -> None:
        """Take in a verdict."""
        if self.listens:
            self.forest.feedback(self.X[row : row + 1], [-1 if is_anomaly else 1])


class Coniferest:
    """AAD (Das et al. 2017) or Pine forest, with the library's own settings."""

    def __init__(self, X: np.ndarray, seed: int, name: str) -> None:
        import coniferest.aadforest
        import coniferest.pineforest

        module = coniferest.aadforest if name == "AADForest" else coniferest.pineforest
        self.X = X
        self.forest = getattr(module, name)(n_subsamples=min(256, len(X)), random_seed=seed, n_jobs=1).fit(X)
        self.rows: list[int] = []
        self.labels: list[int] = []

    def scores(self) -> np.ndarray:
        """Return the present scores."""
        return -np.asarray(self.forest.score_samples(self.X), np.float64)

    def hear(self, row: int, is_anomaly: bool) -> None:
        """Fit to all verdicts so far."""
        self.rows.append(row)
        self.labels.append(-1 if is_anomaly else 1)
        self.forest.fit_known(self.X, self.X[self.rows], np.array(self.labels))


LISTENERS: dict[str, Entry] = {
    "ours": Entry("sklearn", Ours),
    "ours, depth": Entry("sklearn", partial(Ours, score="depth")),
    "ours, no verdicts": Entry("sklearn", partial(Ours, listens=False)),
    "AADForest": Entry("coniferest", partial(Coniferest, name="AADForest")),
    "PineForest": Entry("coniferest", partial(Coniferest, name="PineForest")),
}


class Curve(NamedTuple):
    """Which of the rows looked at, in this order, were anomalies."""

    data: str
    method: str
    seed: int
    found: tuple[int, ...]
    anomalies: int  # there are


def curve(data: DataSet, listener: Listener, n_looks: int) -> tuple[int, ...]:
    """Look at the row of highest score that was not looked at yet, and tell what it is; ``n_looks`` times."""
    found: list[int] = []
    unseen = np.ones(len(data.X), bool)
    for _ in range(min(n_looks, len(data.X))):
        row = int(np.argmax(np.where(unseen, listener.scores(), -np.inf)))
        unseen[row] = False
        found.append(int(data.y[row]))
        listener.hear(row, bool(data.y[row]))
    return tuple(found)


def run(
    data: str | None,
    names: Sequence[str] | None,
    detectors: Sequence[str] | None,
    seeds: int,
    max_rows: int,
    note: Callable[[str], None],
    progress: Any = None,
) -> list[Curve]:
    """Return a curve for every set, listener and seed."""
    folder = data_folder(data)
    if folder is None:
        note(NO_FOLDER)
    found, missing = available(LISTENERS, detectors)
    if missing:
        note("not installed, left out: " + "; ".join(missing))
    loaders = list(data_sets(folder, names, bundled=folder is None))
    curves: list[Curve] = []
    total = len(loaders) * len(found) * seeds
    for load in loaders:
        whole = load()
        for seed in range(seeds):
            sampled = at_most(whole, max_rows, seed)
            for name, entry in found.items():
                if progress:
                    progress(len(curves), total, f"{sampled.name}: {name}")
                looks = curve(sampled, entry.make(sampled.X, seed), READ_AT[-1])
                curves.append(Curve(sampled.name, name, seed, looks, int(sampled.y.sum())))
    return curves


def found_at(curves: Iterable[Curve], looks: int) -> dict[str, float]:
    """Return by set the anomalies found among the first ``looks``, the mean over the seeds."""
    by_set: dict[str, list[int]] = {}
    for each in curves:
        by_set.setdefault(each.data, []).append(sum(each.found[:looks]))
    return {name: float(np.mean(counts)) for name, counts in by_set.items()}


def table(curves: Sequence[Curve]) -> str:
    """Return means over the sets, and each set's anomalies among the first 50."""
    methods = list(dict.fromkeys(each.method for each in curves))
    by_method = {name: [each for each in curves if each.method == name] for name in methods}
    lines = []
    for name in methods:
        means = [np.mean(list(found_at(by_method[name], looks).values())) for looks in READ_AT]
        lines.append([name, *(f"{mean:.2f}" for mean in means), _against(by_method[methods[0]], by_method[name])])
    header = ["method", *(f"first {looks}" for looks in READ_AT), f"{methods[0]} less this, first 50 (95 %)"]
    sets = list(dict.fromkeys(each.data for each in curves))
    title = f"{len(sets)} sets, {len({each.seed for each in curves})} seeds: anomalies among the rows looked at"
    counts = {each.data: each.anomalies for each in curves}
    at_50 = {name: found_at(by_method[name], 50) for name in methods}
    details = [[name, str(counts[name]), *(f"{at_50[method][name]:.1f}" for method in methods)] for name in sets]
    return "\n\n".join((title, markdown(header, lines), markdown(["first 50", "anomalies", *methods], details)))


def _against(ours: Sequence[Curve], theirs: Sequence[Curve]) -> str:
    """Return the mean difference among the first 50, with a bootstrap interval over the sets."""
    first, second = found_at(ours, 50), found_at(theirs, 50)
    difference = np.array([first[name] - second[name] for name in first])
    draws = np.random.default_rng(0).integers(len(difference), size=(_RESAMPLES, len(difference)))
    low, high = np.percentile(difference[draws].mean(axis=1), [2.5, 97.5])
    return f"{difference.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def store(curves: Sequence[Curve], path: Path) -> None:
    """Write all curves as JSON."""
    path.write_text(json.dumps([each._asdict() for each in curves]))


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Draw anomalies found against rows looked at, the mean over sets and seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name in dict.fromkeys(each.method for each in curves):
        mine = [
            np.cumsum(np.pad(each.found, (0, READ_AT[-1] - len(each.found)))) for each in curves if each.method == name
        ]
        axes.plot(np.arange(1, READ_AT[-1] + 1), np.mean(mine, axis=0), label=name)
    axes.set(xlabel="rows looked at", ylabel="anomalies among them", xlim=(0, READ_AT[-1]), ylim=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
