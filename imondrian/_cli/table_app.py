"""The commands ``imondrian score`` and ``explain`` and their options; ``app`` takes them in."""

from __future__ import annotations

import dataclasses
import os
from importlib.util import find_spec
from typing import Any

import click

from imondrian._kit.command_line import FILE, together
from imondrian._kit.grouped_help import GroupedCommand

from . import USAGE, Failure, option_values


def _require_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise Failure("reading tables needs pyarrow: pip install 'imondrian[cli]'", USAGE)


def _jobs_default() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_quiet = click.option("-q", "--quiet", is_flag=True, help="No progress and no notes.")
_reading = together(
    click.option(
        "--read-as",
        "format",
        type=click.Choice(["auto", "csv", "json", "parquet", "arrow"]),
        default="auto",
        show_default=True,
        help="Format of the files; auto looks at their content.",
    ),
    click.option(
        "--delimiter",
        metavar="MARK",
        callback=option_values.one_mark,
        help="Of CSV: what parts the cells, 'tab' for a tabulator (found out).",
    ),
    click.option("--decimal", type=click.Choice([".", ","]), help="Of CSV: the decimal mark (found out)."),
    click.option("--encoding", default="utf-8", show_default=True, metavar="NAME", help="Of CSV."),
    click.option(
        "--header/--no-header",
        default=None,
        help="Of CSV: whether the first row holds names (found out: a row of numbers does not).",
    ),
    click.option(
        "--missing",
        multiple=True,
        metavar="TEXT",
        help="Of CSV: takes this for a missing value, as well as "
        "an empty cell, NA, NaN, null and the like. May be given several times.",
    ),
)
_selection = together(
    click.option(
        "-c",
        "--columns",
        multiple=True,
        metavar="A,B",
        help="Columns to look at, in this order; all but those that other options name.",
    ),
    click.option("-x", "--exclude", "--ignore", multiple=True, metavar="A,B", help="Columns to leave out."),
    click.option(
        "--nominal",
        multiple=True,
        metavar="A,B",
        help="Columns that are categories, whatever they hold: codes, and text or dates that would be left out.",
    ),
    click.option("--numeric", multiple=True, metavar="A,B", help="Columns that are numbers: text in them is an error."),
    click.option("--numeric-only", is_flag=True, help="Leave out columns that hold text or dates."),
    click.option(
        "--infinite",
        type=click.Choice(["refuse", "missing", "drop"]),
        default="refuse",
        show_default=True,
        help="What to do with infinite values: refuse: an error that names the first; missing: take them for "
        "missing values; drop: leave their rows out.",
    ),
)
_fitting = together(
    click.option("-m", "--model", type=FILE, metavar="FILE", help="Use this saved forest instead of fitting one."),
    click.option("--trees", type=click.IntRange(1), metavar="N", show_default="100", help="Trees."),
    click.option(
        "--max-samples",
        type=click.IntRange(1),
        metavar="N",
        show_default="256",
        help="Rows that are drawn for each tree.",
    ),
    click.option(
        "--score",
        "score",
        type=click.Choice(["default", "spacing", "depth", "insertion"]),
        show_default="spacing",
        help="How anomalous a row is: see the guide.",
    ),
    click.option("--seed", type=click.IntRange(0, 2**32 - 1), show_default="0", help="Of all that is drawn at random."),
    click.option(
        "--contamination",
        type=click.FloatRange(0, 0.5, min_open=True),
        metavar="SHARE",
        help="Share of rows to call outliers; without it those whose score is above 0.5.",
    ),
    click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1),
        default=_jobs_default,
        show_default="all processors",
        help="Threads. They do not change results.",
    ),
)


_COLUMNS = ["--columns", "--exclude", "--nominal", "--numeric", "--numeric-only", "--infinite"]
_FILES = ["--read-as", "--delimiter", "--decimal", "--encoding", "--header", "--missing"]
_FOREST = ["--model", "--trees", "--max-samples", "--score", "--seed", "--jobs"]
_SCORE_GROUPS = {
    "Columns": [*_COLUMNS, "--keep", "--keep-all", "--label", "--anomaly"],
    "What is an outlier": ["--contamination", "--fdr"],
    "Output": [
        "--output",
        "--format",
        "--top",
        "--reasons",
        "--words",
        "--explain-top",
        "--plot",
        "--summary",
        "--quiet",
    ],
    "The forest": [*_FOREST, "--save"],
    "How files are read": _FILES,
}
_EXPLAIN_GROUPS = {
    "Rows": ["--row", "--top"],
    "Columns": _COLUMNS,
    "Output": ["--format", "--features", "--output", "--plot", "--quiet"],
    "The forest": [*_FOREST, "--contamination"],
    "How the file is read": _FILES,
}


def _grouped(settings: dict[str, Any]) -> dict[str, Any]:
    """Return options under the names of the settings that they belong to."""
    from .score.detector import Fitting
    from .tables.columns import Selection
    from .tables.reading import Reading

    for name, kind in (("reading", Reading), ("selection", Selection), ("fitting", Fitting)):
        members = {field.name for field in dataclasses.fields(kind)}
        settings[name] = kind(**{key: settings.pop(key) for key in members & settings.keys()})
    return settings


@click.command(
    "score",
    cls=GroupedCommand,
    short_help="Score the rows of tables.",
    groups=_SCORE_GROUPS,
    examples=[
        "imondrian score readings.csv --numeric-only --top 20",
        "imondrian score readings.csv --keep-all --contamination 0.01 -o scored.csv",
        "imondrian score readings.parquet -o scores.csv --plot scores.png --save usual.forest",
        "imondrian score today.parquet -o today.csv --model usual.forest --fdr 0.1",
    ],
)
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@_selection
@click.option(
    "-l",
    "--label",
    "--labels",
    metavar="NAME",
    help="Column that says which rows are anomalies: it is no feature, and ROC AUC and average precision are told.",
)
@click.option(
    "--anomaly",
    "anomalies",
    multiple=True,
    metavar="VALUE",
    help="Value of the label that means an "
    "anomaly; may be given several times. Without it: true, 1 beside 0, -1 beside 1, the other one of two "
    "values of which one means normal, else the rarer one.",
)
@click.option(
    "-k",
    "--keep",
    multiple=True,
    metavar="A,B",
    help="Columns to copy to the output; those that hold no numbers are then no features.",
)
@click.option(
    "--keep-all", is_flag=True, help="Copy all columns: the output is the table itself, with more columns behind."
)
@_fitting
@click.option(
    "--fdr",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="Call outliers those rows of which at most this share is expected to be usual ones, instead of all "
    "above a threshold: Benjamini and Hochberg's procedure on the p-values. Meant for new rows under a "
    "--model of usual ones: of those a forest was fitted to hardly any is called.",
)
@click.option("--save", type=FILE, metavar="FILE", help="Save the forest, for --model and for Python.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    metavar="FILE",
    help="Write there, whole or not at all: .csv, .parquet, "
    ".arrow or .feather. Without it: CSV to standard output, or a table of the most anomalous rows where "
    "that is a terminal.",
)
@click.option(
    "-f",
    "--format",
    "layout",
    type=click.Choice(["auto", "csv", "table"]),
    default="auto",
    show_default=True,
    help="Of standard output.",
)
@click.option(
    "-n",
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Only the N most anomalous rows, the first first.  [20 in a table]",
)
@click.option(
    "--reasons", type=click.IntRange(0), default=3, show_default=True, metavar="K", help="Most reasons a row."
)
@click.option("--words", is_flag=True, help="Give the reasons as one sentence, with what is usual, in a column 'why'.")
@click.option(
    "--explain-top",
    "explained",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    metavar="N",
    help="Give reasons for the N most anomalous rows: they take longer than scores, and these rows are kept in memory.",
)
@click.option("--plot", type=FILE, metavar="FILE", help="Draw the scores: .png, .svg, .pdf or .jpg.")
@click.option("--summary", type=FILE, metavar="FILE", help="Write what was found in all as JSON.")
@_reading
@_quiet
def score(**settings: Any) -> int:
    """Score the rows of tables: CSV and lines of JSON (also compressed), Parquet, Arrow; - is standard input.

    The forest is fitted to these rows, or is that of --model. Several files are taken for parts of one table. Tables
    may be larger than memory: they are read in pieces, more than once.

    \b
    The output has, by row (numbered from 1 in each file):
      score     in [0, 1], high is anomalous; usual rows have about 0.2
      p_value   how rare so high a score is among usual rows: small is
                anomalous
      outlier   whether the score is above the threshold
      reason_1  the feature that makes most of it, which side of it, how much
    """
    _require_pyarrow()
    from .score.score import Settings, run

    return run(Settings(**_grouped(settings)))


@click.command(
    "explain",
    cls=GroupedCommand,
    short_help="Explain the scores of rows of a table.",
    groups=_EXPLAIN_GROUPS,
    examples=[
        "imondrian explain readings.csv --top 5",
        "imondrian explain readings.csv --row 8 --model usual.forest --format json",
    ],
)
@click.argument("file", type=FILE)
@click.option(
    "-r",
    "--row",
    "rows",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="Explain this row, the first one being 1; may be given several times.",
)
@click.option(
    "-n",
    "--top",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Explain the N most anomalous rows, where no --row is given.",
)
@click.option(
    "--features",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Contributions in a table; the others are summed up.",
)
@_selection
@_fitting
@click.option(
    "-f",
    "--format",
    "layout",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Only json and csv have all digits and all features.",
)
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write there: whole or not at all.")
@click.option("--plot", type=FILE, metavar="FILE", help="Draw the first of the rows: .png, .svg, .pdf or .jpg.")
@_reading
@_quiet
def explain(**settings: Any) -> int:
    """Explain the scores of rows of a table by its columns.

    Contributions add up to the score less the expected one; they are exact. One is told for the value being low, one
    for its being high; above 0 it makes the row anomalous.
    """
    _require_pyarrow()
    from .score.explain import Settings, run

    return run(Settings(**_grouped(settings)))
