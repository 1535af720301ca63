"""The protocols of mixed tables: "planted" (flags as categories and as numbers, batches and streams), and "nominal"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from forest_data import data_folder
from forest_detectors import N_TREES, Entry, available
from forest_protocols import Figure, measure
from forest_tables import short, summary
from markdown_table import markdown
from mixed_detectors import MIXED, frame
from mixed_tables import CATEGORICAL, NUISANCE, PLANTED, MixedTable, nominal_tables, planted, split_70_30

QUICK = ("flag of 3 %, 8 sd", "rare levels")
SOLVED_FROM = 0.5  # a kind that nearest neighbours do not solve is shown, not counted
_SOLVER = "kNN(5), mismatch 3"
_AS_NUMBERS = "flags as numbers"


class OnlineOurs:
    """Our streaming detector by river's calls: levels are text."""

    def __init__(self, seed: int) -> None:
        from imondrian.river import OnlineIsolationMondrianForest

        self.model = OnlineIsolationMondrianForest(N_TREES, seed=seed)

    def stream(self, table: MixedTable) -> np.ndarray:
        """Score each row, then learn it; return the scores, (n,)."""
        scores = []
        for x in frame(table).to_dict("records"):
            scores.append(self.model.score_one(x))
            self.model.learn_one(x)
        return np.array(scores)


class OnlineOneHot:
    """A river detector behind a one-hot encoding of levels and river's scaler."""

    def __init__(self, seed: int, name: str) -> None:
        from river import anomaly, preprocessing

        if name == "HalfSpaceTrees":
            self.model: Any = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(25, 8, seed=seed)
        else:
            from imondrian.river import OnlineIsolationMondrianForest

            self.model = OnlineIsolationMondrianForest(N_TREES, seed=seed)

    def stream(self, table: MixedTable) -> np.ndarray:
        """Score each row, then learn it; return the scores, (n,)."""
        columns = [(j, level) for j, column in enumerate(table.levels.T) for level in np.unique(column).tolist()]
        hot = np.array([table.levels[:, j] == level for j, level in columns], dtype=np.float64)
        rows = np.column_stack((table.numbers, hot.T)) if columns else table.numbers
        scores = []
        for row in rows.tolist():
            x = dict(enumerate(row))
            scores.append(self.model.score_one(x))
            self.model.learn_one(x)
        return np.array(scores)


STREAMS: dict[str, Entry] = {
    "ours, stream": Entry("pandas", OnlineOurs),
    "ours, stream, one-hot": Entry("river", lambda seed: OnlineOneHot(seed, "ours")),
    "HalfSpaceTrees, one-hot": Entry("river", lambda seed: OnlineOneHot(seed, "HalfSpaceTrees")),
}


def batch(table: MixedTable, name: str, make: Callable[[int], Any], seed: int) -> Figure:
    """Fit without labels on a stratified 70 %, measure on the other 30 %."""
    train, test = split_70_30(table, seed)
    return measure(table.name, name, "test", seed, test.y, make(seed).fit(train).scores(test))


def stream(table: MixedTable, name: str, make: Callable[[int], Any], seed: int) -> Figure:
    """Score each row, then learn it."""
    return measure(table.name, name, "test", seed, table.y, make(seed).stream(table))


def _at_most(table: MixedTable, n_rows: int, seed: int) -> MixedTable:
    if len(table.y) <= n_rows:
        return table
    return table.part(np.random.default_rng(seed).choice(len(table.y), n_rows, replace=False))


def _tables(protocol: str, data: str | None, names: Sequence[str] | None, seed: int) -> Iterator[MixedTable]:
    """Yield the tables of a protocol, drawn by the seed where they are planted.

    Raises
    ------
    ValueError
        A name is not known.
    FileNotFoundError
        There is no folder of nominal sets.
    """
    if protocol == "nominal":
        folder = data_folder(data, "nominal")
        if folder is None:
            raise FileNotFoundError("no folder of nominal sets: name one with --data or IMONDRIAN_DATA")
        found = {table.name: table for table in nominal_tables(folder)}
    else:
        found = dict.fromkeys(PLANTED)
    for name in found if names is None else names:
        if name not in found:
            raise ValueError(f"no table named {name!r}; there are {'; '.join(found)}")
        yield planted(name, seed) if protocol == "planted" else found[name]


def run(
    protocol: str,
    data: str | None,
    names: Sequence[str] | None,
    detectors: Sequence[str] | None,
    seeds: int,
    max_rows: int,
    note: Callable[[str], None],
    progress: Any = None,
) -> list[Figure]:
    """Return the figures of every table, detector and seed; a seed draws the planted table, too."""
    streaming = STREAMS if protocol == "planted" else {}
    found, missing = available({**MIXED, **streaming}, detectors)
    if missing:
        note("not installed, left out: " + "; ".join(missing))
    figures: list[Figure] = []
    for seed in range(seeds):
        for table in _tables(protocol, data, names, seed):
            sampled = _at_most(table, max_rows, seed)
            for name, entry in found.items():
                if progress:
                    progress(seed, seeds, f"{table.name}: {name}")
                figures.append((stream if name in streaming else batch)(sampled, name, entry.make, seed))
            as_numbers = sampled.with_flags_as_numbers()
            if "ours" in found and protocol == "planted" and as_numbers.levels.shape != sampled.levels.shape:
                figures.append(batch(as_numbers, f"ours, {_AS_NUMBERS}", found["ours"].make, seed))
    return figures


def table(protocol: str, figures: Sequence[Figure]) -> str:
    """Return the tables as text."""
    return summary(figures) if protocol == "nominal" else markdown(*planted_table(figures))


def planted_table(figures: Sequence[Figure]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: average precision by kind and method, the mean over the seeds, then means over the kinds.

    Where flags are as numbers, a kind without flags counts as it is. Kinds that nearest neighbours solve below .5 are
    shown in brackets, and not counted.
    """
    values: dict[tuple[str, str], list[float]] = {}
    for figure in figures:
        values.setdefault((figure.data, figure.method), []).append(figure.ap)
    methods = list(dict.fromkeys(method for _, method in values))
    as_it_is = {f"ours, {_AS_NUMBERS}": "ours"}
    kinds = [kind for kind in PLANTED if any(kind == data for data, _ in values)]

    def ap(kind: str, method: str) -> float:
        found = values.get((kind, method)) or values.get((kind, as_it_is.get(method, method))) or [np.nan]
        return float(np.mean(found))

    solved = [kind for kind in kinds if not ap(kind, _SOLVER) < SOLVED_FROM]
    rows = [
        [kind if kind in solved else f"({kind})", *(_cell(values.get((kind, method), [])) for method in methods)]
        for kind in kinds
    ]
    for title, group in (("nuisance, mean", NUISANCE), ("categorical, mean", CATEGORICAL), ("all, mean", PLANTED)):
        counted = [kind for kind in solved if kind in group]
        if counted:
            rows.append([title, *(short(float(np.mean([ap(kind, method) for kind in counted]))) for method in methods)])
    return ["average precision", *methods], rows


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {short(float(np.std(values)))}" if len(values) > 1 else ""
    return short(float(np.mean(values))) + spread
