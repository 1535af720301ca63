"""``pointmetrics compare`` as a table for a paper: methods side by side, sub-folders as classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pointmetrics import __version__
from pointmetrics._metrics.presets import presets as table_presets
from pointmetrics._tables.build import class_of
from pointmetrics._tables.folders import Matched, match
from pointmetrics._tables.table import Column, Row, Table, read_scale

from . import PARTLY, USAGE, Failure, compare, output, presets, terminal

LAYOUTS = ("latex", "markdown")
_Done = tuple[str, "Mapping[str, float | None] | None", "str | None"]  # pair, values, error


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of columns, and what fills them pair by pair."""

    columns: list[Column]
    measure: Callable[[Matched, Path], Iterator[_Done]]
    note: str


def read_methods(arguments: Sequence[Path]) -> dict[str, Path]:
    """Return folders by the method's name: what stands before ``=``, or else the folder's own."""
    found: dict[str, Path] = {}
    for path in arguments:
        name, equals, rest = str(path).partition("=")
        if equals and name and not path.exists():
            name, path = name, Path(rest)
        else:
            same = [other for other in arguments if other.resolve().name == path.resolve().name]
            name = path.resolve().name if len(same) == 1 else str(path)
        if name in found:
            raise Failure(f"two methods have the name {name!r}: give them names, as in NAME={path}", USAGE)
        found[name] = path
    return found


def run(settings: compare.Settings | presets.Settings, methods: dict[str, Path], scales: Sequence[str]) -> int:
    """Fill the table, write it, and return the exit code."""
    output.check_writable(settings.output, (*methods.values(), settings.b))
    source = _source(settings)
    columns = read_scales(scales, source.columns)
    matched = _match_all(settings, methods)
    values: dict[str, dict[str, Mapping[str, float | None]]] = {}
    errors: dict[str, str] = {}
    for method, pairs in matched.items():
        values[method] = {}
        with terminal.progress(method, "pairs", settings.quiet) as report:
            for done, (pair, found, error) in enumerate(source.measure(pairs, methods[method])):
                if found is not None:
                    values[method][pair] = found
                else:
                    errors[f"{method}: {pair}"] = error or ""
                report(done + 1, len(pairs.pairs))
    shared = [name for name, _, _ in matched[next(iter(methods))].pairs if all(name in v for v in values.values())]
    if not shared:
        raise Failure(f"no pair could be compared for every method; the first: {next(iter(errors.values()))}")
    columns = _without_missing(columns, [values[m][name] for m in methods for name in shared], settings.quiet)
    rows = [
        Row(method, class_of(name), name, {c.name: values[method][name][c.name] or 0.0 for c in columns})
        for method in methods
        for name in shared
    ]
    output.write(_lay_out(Table(columns, rows, list(methods)), settings, source.note), settings.output)
    for name, error in errors.items():
        terminal.note(f"{name}: {error}" + ("; left out for every method" if len(methods) > 1 else ""))
    return PARTLY if errors else 0


def read_scales(scales: Sequence[str], columns: list[Column]) -> list[Column]:
    """Read ``1e3`` and ``NAME=1e3``."""
    factors: dict[str, float] = {}
    try:
        for entry in scales:
            name, _, number = entry.rpartition("=")
            factors |= {name: float(number)} if name else {c.name: float(number) for c in columns if c.unit != "1"}
        return read_scale(factors, columns)
    except ValueError as error:
        text = str(error)
        raise Failure(
            text.replace("scale", "--scale", 1)
            if text.startswith("scale")
            else f"--scale must be a number or NAME=NUMBER, got {entry!r}",
            USAGE,
        ) from error


def _source(settings: compare.Settings | presets.Settings) -> Source:
    if isinstance(settings, presets.Settings):
        preset = table_presets()[settings.preset]
        if preset.of == "sets":
            raise Failure(
                f"--preset {preset.name} compares whole sets: one folder of samples, -f table, csv or json", 2
            )
        return Source(
            [Column(c.title, "1", c.better == "higher") for c in preset.columns],
            lambda matched, a: presets.measure_pairs(matched, replace(settings, a=a)),
            f"{preset.paper}. {preset.notes}",
        )
    if settings.html is not None or settings.sort_by is not None:
        raise Failure("--html and --sort-by are of one method, and of -f table, csv or json", USAGE)
    return Source(
        [Column(metric.name, compare.unit_of(metric, settings), metric.high_is_good) for metric in settings.metrics],
        lambda matched, a: (
            (result.name, result.values if result.error is None else None, result.error)
            for result in compare.measure_pairs(matched, replace(settings, a=a))
        ),
        "; ".join(f"{metric.name}: {metric.formula}" for metric in settings.metrics)
        + "; a, b: distances from the points of A to B and of B to A",
    )


def _match_all(settings: compare.Settings | presets.Settings, methods: dict[str, Path]) -> dict[str, Matched]:
    """Match every method with the truth, and keep the pairs that all have: only such means can be compared."""
    matched = {}
    for method, folder in methods.items():
        matched[method] = match(folder, settings.b)
        compare.check_unmatched(matched[method], folder, settings.b, settings.strict, settings.quiet)
    if not all(found.folders for found in matched.values()):
        if len(methods) > 1:
            raise Failure("several methods are compared by folders, not by single files", USAGE)
        return matched
    common = set.intersection(*({name for name, _, _ in found.pairs} for found in matched.values()))
    if not common:
        raise Failure(f"no cloud of {settings.b} has a partner in every method")
    for method, found in matched.items():
        left_out = len(found.pairs) - len(common)
        if left_out:
            terminal.note(f"{left_out} pairs of {method} are left out, as another method lacks them", settings.quiet)
    return {
        method: Matched([pair for pair in found.pairs if pair[0] in common], found.only_a, found.only_b, True)
        for method, found in matched.items()
    }


def _without_missing(columns: list[Column], values: list[Mapping[str, float | None]], quiet: bool) -> list[Column]:
    """Leave out columns that need what the files do not hold."""
    kept = [column for column in columns if all(found.get(column.name) is not None for found in values)]
    missing = [column.name for column in columns if column not in kept]
    if not kept:
        raise Failure(f"the files hold nothing to compute {', '.join(missing)} from")
    if missing:
        terminal.note(f"{', '.join(missing)}: left out, as the files do not hold what it needs", quiet)
    return kept


def _lay_out(table: Table, settings: compare.Settings | presets.Settings, note: str) -> str:
    if settings.layout == "latex":
        return f"% pointmetrics {__version__}: {' '.join(note.split())}\n{table.to_latex()}"
    if settings.layout == "markdown":
        return table.to_markdown()
    if settings.layout == "csv":
        return table.to_csv()
    if settings.layout == "json":
        pairs = [
            {"method": row.method, "pair": row.pair, "class": row.group, "metrics": row.values} for row in table.rows
        ]
        content = {"program": f"pointmetrics {__version__}", "notes": note, "truth": str(settings.b)}
        return output.to_json(_finite(content | table.to_dict() | {"values": pairs}))
    return f"{table.count():,} pairs of {settings.b}; {note}\n\n{table}\n"


def _finite(value: Any) -> Any:
    """Leave out what JSON has no number for, such as the PSNR of clouds that are the same."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
