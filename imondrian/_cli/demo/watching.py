"""Alarms on a stream, with reasons in words, beside river's own way to raise them."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from river import anomaly, preprocessing

from imondrian._cli.reasons import ranked
from imondrian.river import AlarmFilter, OnlineIsolationMondrianForest

from .plant import Event, Stream

N_TREES = 50
RATE = 0.003  # of alarms, asked of both
GAP = 50  # alarms nearer than that are one incident
SEED = 0


class Found(NamedTuple):
    """What a detector made of a stream."""

    name: str
    scores: np.ndarray
    alarms: np.ndarray
    reasons: dict[int, str]  # by the record that an incident begins with
    us: float  # a record


class Tally(NamedTuple):
    """What alarms came to."""

    caught: int
    false: int
    alarms: int
    delay: float  # records from the beginning of an event to its first alarm, in the mean over those caught


def incidents(alarms: np.ndarray) -> list[int]:
    """Return the records where incidents begin."""
    places = np.flatnonzero(alarms)
    return places[np.diff(places, prepend=-GAP) >= GAP].tolist()


def tally(alarms: np.ndarray, events: list[Event]) -> Tally:
    """Count events with an alarm in them, and incidents outside of all events."""
    delays = [int(np.flatnonzero(alarms[e.begin : e.end])[0]) for e in events if alarms[e.begin : e.end].any()]
    false = sum(not any(e.begin <= start < e.end + GAP for e in events) for start in incidents(alarms))
    return Tally(len(delays), false, int(alarms.sum()), float(np.mean(delays)) if delays else float("nan"))


def in_words(parts: dict[str, tuple[float, float]]) -> str:
    """Say which sensors make a score, the largest first: those that add at least half as much as the first."""
    largest = ranked(np.array(list(parts.values())), 3)
    names = list(parts)
    return " and ".join(f"{names[j]} {side}" for j, side, size in largest if size >= 0.5 * largest[0][2])


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[alarms]} alarms"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def follow(console: Console, name: str, pipeline: Any, records: list[dict[str, float]]) -> Found:
    """Score each record, then learn it, with the filter that the pipeline ends in."""
    calls = pipeline[-1] if hasattr(pipeline, "steps") else pipeline
    forest: Any = calls.anomaly_detector if isinstance(calls, AlarmFilter) else None  # which gives reasons
    scores, alarms, reasons = np.zeros(len(records)), np.zeros(len(records), bool), {}
    last, spent = -GAP, 0.0
    with _bar(console) as bar:
        task = bar.add_task(name, total=len(records), alarms=0)
        for i, x in enumerate(records):
            began = time.perf_counter()
            scores[i] = pipeline.score_one(x)
            alarms[i] = calls.classify(scores[i])
            if alarms[i] and forest is not None and i - last >= GAP:
                reasons[i] = in_words(forest.explain_one(x, by_direction=True))
            pipeline.learn_one(x)
            spent += time.perf_counter() - began
            if alarms[i]:
                last = i
            if i % 20 == 0:
                bar.update(task, completed=i, alarms=int(alarms[: i + 1].sum()))
    return Found(name, scores, alarms, reasons, 1e6 * spent / len(records))


def _filled(records: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return records with the last value of each sensor that tells nothing, which half-space trees need."""
    filled: list[dict[str, float]] = []
    for x in records:
        filled.append({**(filled[-1] if filled else {}), **x})
    return filled


def show(console: Console, stream: Stream) -> Found:
    """Follow the stream with both detectors, print what they found, and return ours."""
    console.print(
        f"[bold]1. A stream[/]: {len(stream.records):,} records of five made-up sensors. The temperature "
        f"drifts by {stream.drift:.0f} degrees, one sensor\nis silent for {len(stream.silent)} records, and "
        f"{len(stream.events)} things fail. Alarms are asked for at {RATE:.1%} of the records.\n",
        soft_wrap=True,
    )
    forest = OnlineIsolationMondrianForest(n_trees=N_TREES, seed=SEED)
    ours = follow(console, "imondrian", AlarmFilter(forest, rate=RATE), stream.records)
    theirs = follow(
        console,
        "HalfSpaceTrees",
        preprocessing.MinMaxScaler()
        | anomaly.QuantileFilter(anomaly.HalfSpaceTrees(n_trees=N_TREES, seed=SEED), q=1 - RATE),
        _filled(stream.records),
    )
    console.print(_alarms(stream, ours))
    console.print(_side_by_side(stream, [ours, theirs]))
    return ours


def _alarms(stream: Stream, found: Found) -> Table:
    table = Table(title="Alarms of imondrian, and the reasons it gives", title_justify="left")
    for heading in ("record", "because of", "what was going on"):
        table.add_column(heading, justify="right" if heading == "record" else "left")
    for record, reason in found.reasons.items():
        truth = next((e.what for e in stream.events if e.begin <= record < e.end + GAP), None)
        table.add_row(f"{record:,}", reason, truth or "[red]nothing: a false alarm[/]")
    return table


def _side_by_side(stream: Stream, both: list[Found]) -> Table:
    table = Table(title=f"{N_TREES} trees each; delay: records to an event's first alarm", title_justify="left")
    table.add_column("")
    for heading in ("caught", "false", "alarms", "delay", "us/record"):
        table.add_column(heading, justify="right")
    names = ("imondrian, AlarmFilter", "HalfSpaceTrees, QuantileFilter")
    for name, found in zip(names, both, strict=True):
        counts = tally(found.alarms, stream.events)
        table.add_row(
            name,
            f"{counts.caught} of {len(stream.events)}",
            str(counts.false),
            str(counts.alarms),
            f"{counts.delay:.1f}",
            f"{found.us:,.0f}",
        )
    return table
