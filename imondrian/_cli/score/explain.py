"""``imondrian explain``: what every feature contributes to the score of some rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imondrian._cli import Failure, output
from imondrian._cli.reasons import CATEGORY, SIDES, ranked
from imondrian._cli.tables.columns import Columns, Selection, choose, read_rows
from imondrian._cli.tables.reading import Reading, Table, open_table, tell_note, use_threads
from imondrian._kit import terminal
from imondrian._models.wording import level_text

from .detector import Detector, Fitting, prepare
from .scored_rows import RECORD, levels_of_rows, score_all

_HEADER = ("row", "score", "p_value", "feature", "value", "side", "contribution")


@dataclass(frozen=True)
class Settings:
    """The command line, checked."""

    file: Path
    reading: Reading
    selection: Selection
    fitting: Fitting
    rows: tuple[int, ...] = ()
    top: int = 1
    features: int = 10
    layout: str = "table"
    output: Path | None = None
    plot: Path | None = None
    quiet: bool = False


@dataclass(frozen=True)
class _Explained:
    """One row: its number, values and verdict, contributions (d, 2), and the same in words."""

    row: int
    score: float
    p_value: float
    values: list[Any]  # None where missing
    contributions: np.ndarray
    why: str


def run(settings: Settings) -> int:
    """Explain rows of the file and return the exit code."""
    _check(settings)
    use_threads(settings.fitting.jobs)
    table = open_table(settings.file, settings.reading)
    tell_note(table, settings.quiet)
    ends: list[int] = []
    detector, columns = prepare(
        [table],
        lambda names, nominal: choose([table], settings.selection, names, nominal),
        settings.fitting,
        None,
        ends,
        settings.quiet,
    )
    records, X = (
        _numbered(table, columns, detector, settings.rows, ends)
        if settings.rows
        else _most_anomalous(table, columns, detector, settings.top, ends, settings.quiet)
    )
    found = _explained(table, columns, detector, records, X, ends)
    expected = detector.expected_score()
    write = {"json": _as_json, "csv": _as_csv, "table": _as_tables}[settings.layout]
    output.write(write(found, columns.features, expected, settings), settings.output)
    if settings.plot is not None:
        first = found[0]
        from .picture import draw_explanation

        draw_explanation(
            first.contributions,
            first.values,
            columns.features,
            f"{settings.file.name}, row {first.row}: score {first.score:.4f}",
            settings.plot,
        )
    return 0


def _check(settings: Settings) -> None:
    """Refuse places that cannot be written before any work is done."""
    taken = [settings.file, *([settings.fitting.model] if settings.fitting.model else [])]
    output.check_writable(settings.output, taken)
    if settings.plot is not None:
        from .picture import check_plot

        output.check_writable(settings.plot, [*taken, *([settings.output] if settings.output else [])])
        check_plot(settings.plot)


def _numbered(
    table: Table, columns: Columns, detector: Detector, numbers: Sequence[int], ends: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the records and values of rows by their numbers from 1, in the order asked for."""
    wanted, found = np.array(numbers) - 1, {}
    for rows in read_rows([table], columns, ends, label=False):
        for place in np.flatnonzero(np.isin(rows.index, wanted)):
            found[int(rows.index[place])] = rows.X[place].copy()
    if missing := [index + 1 for index in wanted.tolist() if index not in found]:
        left_out = " that was not left out" if missing[0] <= ends[0] else ""
        raise Failure(f"{table.path}: has no row {missing[0]}{left_out}; it has {ends[0]:,} rows")
    X = np.array([found[index] for index in wanted.tolist()])
    records = np.empty(len(X), RECORD)
    records["index"] = wanted
    records["score"], records["p_value"] = detector.judge(X)
    return records, X


def _most_anomalous(
    table: Table, columns: Columns, detector: Detector, top: int, ends: list[int], quiet: bool
) -> tuple[np.ndarray, np.ndarray]:
    scored = score_all([table], columns, detector, top, ends, None, quiet)
    scored.records.close()
    return scored.best, scored.best_rows


def _explained(
    table: Table, columns: Columns, detector: Detector, records: np.ndarray, X: np.ndarray, ends: list[int]
) -> list[_Explained]:
    contributions = detector.contributions(X)
    told = levels_of_rows(records, [table], columns, ends)
    words = detector.words(X, records["p_value"], columns.features, told=told)
    return [
        _Explained(
            int(record["index"]) + 1,
            float(record["score"]),
            float(record["p_value"]),
            [None if value != value else levels.get(j, value) for j, value in enumerate(x.tolist())],
            parts,
            text,
        )
        for record, x, parts, text, levels in zip(records, X, contributions, words, told, strict=True)
    ]


def _as_json(found: Sequence[_Explained], names: Sequence[str], expected: float, settings: Settings) -> str:
    return output.to_json(
        {
            "expected_score": expected,
            "rows": [
                {
                    "row": one.row,
                    "score": one.score,
                    "p_value": one.p_value,
                    "why": one.why,
                    "features": [
                        {
                            "feature": name,
                            "value": value,
                            **dict(zip(SIDES, pair, strict=True)),
                            "contribution": float(sum(pair)),
                        }
                        for name, value, pair in zip(names, one.values, one.contributions.tolist(), strict=True)
                    ],
                }
                for one in found
            ],
        }
    )


def _as_csv(found: Sequence[_Explained], names: Sequence[str], expected: float, settings: Settings) -> str:
    return output.to_csv(
        _HEADER,
        (
            [one.row, one.score, one.p_value, name, value, _side(one, j, side), size]
            for one in found
            for j, (name, value, pair) in enumerate(zip(names, one.values, one.contributions.tolist(), strict=True))
            for side, size in zip(SIDES, pair, strict=True)
            if size != 0
        ),
    )


def _as_tables(found: Sequence[_Explained], names: Sequence[str], expected: float, settings: Settings) -> str:
    rich = settings.output is None and terminal.shows_tables()
    return "\n".join(_as_table(one, names, expected, settings.features, rich) for one in found)


def _as_table(one: _Explained, names: Sequence[str], expected: float, most: int, rich: bool) -> str:
    parts = one.contributions
    largest = ranked(np.abs(parts), most)
    rows: list[list[Any]] = [
        [names[j], _shown(one.values[j]), _side(one, j, side), f"{parts[j, SIDES.index(side)]:+.4f}"]
        for j, side, _ in largest
    ]
    rest = parts.sum() - sum(parts[j, SIDES.index(side)] for j, side, _ in largest)
    n_others = int(np.count_nonzero(parts)) - len(largest)
    if n_others:
        rows.append([f"{n_others} others", "", "", f"{rest:+.4f}"])
    title = f"row {one.row}: score {one.score:.4f} (expected {expected:.4f}), p-value {one.p_value:.4g}"
    table = terminal.table(["feature", "value", "for being", "contribution"], rows, [1, 3], title=title, rich=rich)
    words = one.why.replace("\n", " ")
    return f"{table}{words}\n"


def _side(one: _Explained, feature: int, side: str) -> str:
    return side if isinstance(one.values[feature], float | None) else CATEGORY


def _shown(value: Any) -> str:
    if value is None:
        return "nan"
    return f"{value:.6g}" if isinstance(value, float) else level_text(value)
