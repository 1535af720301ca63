"""``imondrian score``: how anomalous every row of tables is, and why.

Three passes, none of which holds a table in memory: draw a sample to fit on, score, and write. The last one reads the
tables only for columns that are copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imondrian._cli import USAGE, Failure, output
from imondrian._cli.tables.columns import Selection, choose
from imondrian._cli.tables.labels import Labels
from imondrian._cli.tables.reading import Reading, open_table, tell_note, use_threads
from imondrian._cli.tables.writing import check_suffix, table_writer
from imondrian._kit import terminal

from .detector import Fitting, prepare
from .result import Result
from .scored_rows import score_all

SHOWN = 20  # rows of a table on a terminal


@dataclass(frozen=True)
class Settings:
    """The command line, checked."""

    files: tuple[Path, ...]
    reading: Reading
    selection: Selection
    fitting: Fitting
    anomalies: tuple[str, ...] = ()
    layout: str = "auto"
    output: Path | None = None
    top: int | None = None
    fdr: float | None = None
    reasons: int = 3
    words: bool = False
    explained: int = 1000
    save: Path | None = None
    plot: Path | None = None
    summary: Path | None = None
    quiet: bool = False


def run(settings: Settings) -> int:
    """Score the files and return the exit code."""
    _check(settings)
    use_threads(settings.fitting.jobs)
    tables = [open_table(path, settings.reading) for path in settings.files]
    for table in tables:
        tell_note(table, settings.quiet)
    labels = None if settings.selection.label is None else Labels(settings.selection.label, settings.anomalies)
    ends: list[int] = []
    detector, columns = prepare(
        tables,
        lambda names, nominal: choose(tables, settings.selection, names, nominal),
        settings.fitting,
        labels,
        ends,
        settings.quiet,
    )
    as_table = _is_shown(settings)
    top = settings.top or (SHOWN if as_table else None)
    explained = min(settings.explained, top or settings.explained) if settings.reasons else 0
    scored = score_all(
        tables,
        columns,
        detector,
        max(explained, top or 0),
        ends,
        settings.output and settings.output.parent,
        settings.quiet,
    )
    try:
        if settings.fdr is not None:
            scored.control(settings.fdr)
        result = Result(tables, columns, detector, scored, explained, settings.reasons, settings.words)
        if as_table:
            _show(result, top or SHOWN)
        else:
            _write(result, top, settings.output)
        _finish(settings, result, labels)
    finally:
        scored.records.close()
    return 0


def _check(settings: Settings) -> None:
    """Refuse places that cannot be written before any work is done."""
    if settings.anomalies and settings.selection.label is None:
        raise Failure("--anomaly says what values of --label mean, which is not given", USAGE)
    if settings.fdr is not None and settings.fitting.contamination is not None:
        raise Failure("--fdr and --contamination both say which rows are outliers: give one", USAGE)
    check_suffix(settings.output)
    taken = [*settings.files, *([settings.fitting.model] if settings.fitting.model else [])]
    for path in (settings.output, settings.save, settings.plot, settings.summary):
        output.check_writable(path, taken, regular=path is not None and path == settings.save)
        taken += [path] if path is not None else []
    if settings.plot is not None:
        from .picture import check_plot

        check_plot(settings.plot)


def _is_shown(settings: Settings) -> bool:
    """Whether rows are for eyes: a table on a terminal."""
    by_itself = settings.layout == "auto" and terminal.shows_tables()
    return settings.output is None and (settings.layout == "table" or by_itself)


def _write(result: Result, top: int | None, path: Path | None) -> None:
    with table_writer(path) as write:
        for part in result.all_rows() if top is None else [result.best_rows(top)]:
            write(part)


def _show(result: Result, top: int) -> None:
    found = result.best_rows(top)
    cells = [
        [_cell(name, value) for name, value in zip(found, row, strict=True)]
        for row in zip(*(column.to_pylist() for column in found.values()), strict=True)
    ]
    n = result.scored.records.n
    title = f"{len(cells):,} of {n:,} rows, the most anomalous first"
    numbers = [k for k, name in enumerate(found) if name in ("row", "score", "p_value")]
    output.write(terminal.table(list(found), cells, numbers, title=title, rich=terminal.shows_tables()), None)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if name in ("score", "p_value") else f"{value:.6g}"
    return "" if value is None else str(value)


def _usual(share: float | None, fitting: Fitting) -> str:
    """Say how many rows that are no outliers a threshold calls so: an outlier column alone does not tell."""
    if share is None:
        return ""
    told = f", as {'less than 0.1%' if share < 0.001 else f'about {share:.1%}'} of usual rows are"
    by_default = fitting.contamination is None and fitting.model is None
    return f"{told}; --contamination 0.01 calls the oddest 1% instead" if by_default and share >= 0.02 else told


def _finish(settings: Settings, result: Result, labels: Labels | None) -> None:
    """Write what was asked for beside the scores, and tell what was found."""
    scored, detector, n = result.scored, result.detector, result.scored.records.n
    summary: dict[str, Any] = {
        "files": [str(path) for path in settings.files],
        "rows": n,
        "features": result.columns.features,
        "threshold": detector.threshold,
        "outliers": scored.n_outliers,
        "fdr": settings.fdr,
        "calibration": detector.model.calibration.source,
    }
    usual = detector.share_called() if settings.fdr is None else None
    if usual is not None:
        summary["usual_called"] = usual
    verb = "is" if scored.n_outliers == 1 else "are"
    which = (
        f"{verb} above the threshold {detector.threshold:.4f}{_usual(usual, settings.fitting)}"
        if settings.fdr is None
        else f"{verb} called outliers, of which at most {settings.fdr:.0%} are expected to be false"
    )
    notes = [f"{n:,} rows scored by {len(result.columns.features)} columns; {scored.n_outliers:,} {which}"]
    if labels is not None:
        quality = labels.quality(scored.records.column("score"))
        summary["quality"] = quality
        notes.append(
            f"ROC AUC {quality['roc_auc']:.4f}, average precision {quality['average_precision']:.4f}: "
            f"{quality['anomalies']:,} of {quality['labelled']:,} labelled rows are anomalies "
            f"({quality['label']} = {quality['anomaly']}, {quality['known']})"
        )
    if settings.save is not None:
        detector.save(settings.save, result.columns.features, n)
    if settings.plot is not None:
        from .picture import draw_scores

        truth = None if labels is None else labels.truth()[0]
        draw_scores(scored.records.column("score"), truth, detector.threshold, settings.plot)
    if settings.summary is not None:
        output.write(output.to_json(summary), settings.summary)
    for line in notes:
        terminal.note(line, settings.quiet)
