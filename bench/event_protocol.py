"""The events protocol: every detector's scores through every rule's alarms, on streams with labelled events."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import event_rules as rules
import numpy as np
from event_measures import BUDGETS, FIRST, READ_AT, Counts, counted, interval, pooled, read
from event_streams import NO_STREAMS, event_streams, folder_of_streams
from forest_data import DataSet
from forest_detectors import Detector, Entry, _half_space_trees, _online, available
from markdown_table import markdown
from sklearn.metrics import average_precision_score, roc_auc_score

N_TREES = 50


def _random_cut_forest(seed: int) -> Detector:
    import rcf3
    from forest_detectors import Rcf3

    return Rcf3(lambda d: rcf3.Forest(d, num_trees=N_TREES, capacity=256, seed=seed))


def _online_iforest(seed: int) -> Detector:
    import rcf3
    from forest_detectors import Rcf3

    return Rcf3(lambda d: rcf3.OnlineIForest(d, num_trees=N_TREES, seed=seed))


# Each detector with the name of our score, or None.
DETECTORS: dict[str, tuple[Entry, str | None]] = {
    "ours": (Entry("river", partial(_online, n_trees=N_TREES)), "default"),
    "ours, depth": (Entry("river", partial(_online, n_trees=N_TREES, score="depth")), "depth"),
    "ours, insertion": (Entry("river", partial(_online, n_trees=N_TREES, score="insertion")), "insertion"),
    "ours, spacing": (Entry("river", partial(_online, n_trees=N_TREES, score="spacing")), "spacing"),
    "HalfSpaceTrees": (Entry("river", _half_space_trees), None),
    "rcf3 Forest": (Entry("rcf3", _random_cut_forest), None),
    "OnlineIForest": (Entry("rcf3", _online_iforest), None),
}
QUICK = (("bursts 0", "seasons 0"), ("ours", "HalfSpaceTrees"))


class Row(NamedTuple):
    """One detector with one rule and one seed on one stream: counts at every budget, AUC and AP of the scores."""

    method: str
    group: str
    stream: str
    seed: int
    counts: tuple[Counts, ...]
    auc: float
    ap: float


def filled(X: np.ndarray) -> np.ndarray:
    """Return X with the last value, or 0, for each that is missing: what detectors that refuse NaN are given."""
    if not np.isnan(X).any():
        return X
    last = np.maximum.accumulate(np.where(np.isnan(X), -1, np.arange(len(X))[:, None]), axis=0)
    return np.where(last >= 0, np.take_along_axis(X, np.maximum(last, 0), axis=0), 0.0)


def rules_for(score: str | None) -> dict[str, rules.Rule]:
    """Return the rules that a detector's scores are tried with; ours know the law of our scores."""
    if score is None:
        return rules.PEER_RULES
    if score == "default":
        from imondrian._forest.scoring import resolve_score

        return {"AlarmFilter": partial(rules.ours, score=resolve_score(score, stream=True))}
    return {
        "AlarmFilter": partial(rules.ours, score=score),
        "AlarmFilter(mode='rate')": partial(rules.ours, score=score, mode="rate"),
        "QuantileFilter": rules.quantile_filter,
    }


def measured(data: DataSet, group: str, name: str, seed: int) -> list[Row]:
    """Score a stream, then learn it, row by row; return a row for every rule."""
    entry, score = DETECTORS[name]
    scores = entry.make(seed).stream(data.X if score else filled(data.X))
    seen = slice(FIRST, None)
    y, kept = data.y[seen], np.nan_to_num(scores[seen])
    mixed = 0 < y.sum() < len(y)
    auc, ap = (roc_auc_score(y, kept), average_precision_score(y, kept)) if mixed else (np.nan, np.nan)
    return [
        Row(
            f"{name}, {rule}",
            group,
            data.name,
            seed,
            tuple(counted(alarms(scores, budget), data.y) for budget in BUDGETS),
            float(auc),
            float(ap),
        )
        for rule, alarms in rules_for(score).items()
    ]


def run(
    data: str | None,
    names: Sequence[str] | None,
    detectors: Sequence[str] | None,
    seeds: int,
    n_rows: int | None,
    note: Callable[[str], None],
    progress: Any = None,
) -> list[Row]:
    """Return a row for every stream, detector, rule and seed, and for alarms at random."""
    folder = folder_of_streams(data)
    if folder is None:
        note(NO_STREAMS)
    known = {name: entry for name, (entry, _) in DETECTORS.items()}
    found, missing = available(known, detectors)
    if missing:
        note("not installed, left out: " + "; ".join(missing))
    rows: list[Row] = []
    streams = list(event_streams(folder, names, n_rows))
    total = len(streams) * len(found) * seeds
    for i, (group, load) in enumerate(streams):
        stream = load()
        rng = tuple(counted(rules.at_random(stream.y, budget), stream.y) for budget in BUDGETS)
        rows.append(Row("at random", group, stream.name, 0, rng, 0.5, float(stream.y[FIRST:].mean())))
        for j, name in enumerate(found):
            for seed in range(seeds):
                if progress:
                    progress((i * len(found) + j) * seeds + seed, total, f"{stream.name}: {name}")
                rows += measured(stream, group, name, seed)
    return rows


def table(rows: Sequence[Row]) -> str:
    """Return one table a group of streams; readings are means over the seeds."""
    parts = [_table(rows, [group]) for group in dict.fromkeys(row.group for row in rows)]
    real = [group for group in dict.fromkeys(row.group for row in rows) if group.endswith("half")]
    return "\n\n".join(([_table(rows, real)] if len(real) > 1 else []) + parts)


def _table(rows: Sequence[Row], groups: Sequence[str]) -> str:
    rows = [row for row in rows if row.group in groups]
    lines = [
        _line(method, [row for row in rows if row.method == method])
        for method in dict.fromkeys(row.method for row in rows)
    ]
    streams = {row.stream: row.counts[0] for row in rows}
    header = [
        "method",
        *(f"at {at:g}" for at in READ_AT),
        "mean",
        "95 %",
        "median delay",
        "alarms / budget",
        "AUC",
        "AP",
    ]
    n_events, n_rows = sum(c.events for c in streams.values()), sum(c.rows for c in streams.values())
    title = (
        f"{' and '.join(groups)}: {len(streams)} streams, {n_events} events, {n_rows:,} rows; share of events "
        "caught at so many false incidents per 10,000 rows"
    )
    return title + "\n\n" + markdown(header, lines)


def _line(method: str, rows: Sequence[Row]) -> list[str]:
    seeds = sorted({row.seed for row in rows})
    curves = [[row.counts for row in rows if row.seed == seed] for seed in seeds]
    readings = np.mean([read(pooled(curve)) for curve in curves], axis=0)
    bounds = np.mean([interval(curve) for curve in curves], axis=0)
    middle = [pooled(curve)[len(BUDGETS) // 2] for curve in curves]
    delay = np.mean([np.median(counts.delays) if counts.delays else np.nan for counts in middle])
    strays = [
        np.mean([counts.alarms / counts.rows / BUDGETS[k] for counts in (pooled(curve)[k] for curve in curves)])
        for k in (0, len(BUDGETS) // 2, -1)
    ]
    return [
        method,
        *(f"{value:.2f}" for value in readings),
        f"{readings.mean():.3f}",
        f"{bounds[0]:.2f} to {bounds[1]:.2f}",
        f"{delay:.0f}",
        " ".join(f"{value:.1f}" for value in strays),
        f"{np.nanmean([row.auc for row in rows]):.3f}",
        f"{np.nanmean([row.ap for row in rows]):.3f}",
    ]


def store(rows: Sequence[Row], path: Path) -> None:
    """Write all counts as JSON."""
    path.write_text(json.dumps({"budgets": BUDGETS, "fields": Counts._fields, "rows": [row._asdict() for row in rows]}))
