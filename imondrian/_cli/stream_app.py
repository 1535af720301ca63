"""The command ``imondrian stream`` and its options; ``app`` takes it in."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import click

from imondrian._kit.command_line import FILE
from imondrian._kit.grouped_help import GroupedCommand

from . import USAGE, Failure

_SETTINGS = {
    "trees": "n_trees",
    "window": "window",
    "horizon": "horizon",
    "score": "score",
    "seed": "seed",
    "calibration": "calibration",
    "max_bytes": "max_bytes",
    "max_features": "max_features",
}


def _names(context: click.Context, option: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for entry in value for name in entry.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise click.BadParameter(f"must be distinct names with commas between, got {','.join(value)!r}", param=option)
    return names


def _one_mark(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    value = "\t" if value in ("tab", "\\t") else value
    if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n'):
        raise click.BadParameter("must be one character, or 'tab'", param=option)
    return value


def _not_of_streams(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        raise click.UsageError(
            f"{option.opts[0]} is of tables: what a stream's fields will hold is not known before. --exclude A,B "
            "leaves fields out, --columns A,B takes no others; a record with text in its fields is told with the option"
        )


class _Window(click.ParamType):
    name = "window"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str | int:
        """Return a window's name, or a number of points."""
        if value in ("thinned", "decayed", "reservoir"):
            return str(value)
        try:
            return max(int(value), 1) if int(value) > 0 else self.fail("must be at least 1", parameter, context)
        except ValueError:
            self.fail(f"must be thinned, decayed, reservoir or a number of points, got {value!r}", parameter, context)


def _share(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0.0 < value < 1.0:
        raise click.BadParameter(f"must be between 0 and 1, got {value}")
    return value


def _seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not 0.0 < value <= 3600.0:
        raise click.BadParameter(f"must be above 0 and at most 3600, got {value}")
    return value


def _records_or_age(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Return a number of records as an int, an age as a float, in seconds."""
    if value is None:
        return None
    from imondrian._forest.times import age_seconds

    try:
        number = int(value) if re.fullmatch(r"\d{1,18}", value, re.ASCII) else age_seconds(value)
        if number > 0:
            return number
    except ValueError:
        pass
    raise click.BadParameter(
        f"must be a number of records, or an age such as 90s, 15m, 2h, 1d, got {value!r}", param=parameter
    )


def _horizon(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    return value if isinstance(_records_or_age(context, parameter, value), float) else int(value) if value else None


def _command(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    try:
        found = shlex.split(value, posix=os.name == "posix")
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {value!r}", param=parameter) from None
    if not found or shutil.which(found[0]) is None:
        raise click.BadParameter(f"there is no program {found[0] if found else value!r}", param=parameter)
    return tuple(found)


def _url(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or not value.isascii() or not value.isprintable() or " " in value or parts.username is not None:
        raise click.BadParameter(
            f"must be an http or https address without blanks or a password, got {value!r}", param=parameter
        )
    return value


def _check_ages(gap: float | None, horizon: int | str | None, time: str | None) -> None:
    for option, is_age in (("--incident-gap", isinstance(gap, float)), ("--horizon", isinstance(horizon, str))):
        if is_age and time is None:
            raise click.UsageError(f"{option} as an age needs --time, the field that says when a record was")


_GROUPS = {
    "Fields": ["--columns", "--exclude", "--nominal", "--numeric", "--keep", "--key"],
    "How input is read": ["--read-as", "--names", "--delimiter", "--decimal", "--header", "--missing", "--strict"],
    "Alarms": ["--alarm-rate", "--threshold", "--reasons", "--skip-alarms", "--alarms-only"],
    "Incidents": ["--incidents-only", "--incident-gap", "--time", "--on-incident", "--webhook", "--call-timeout"],
    "Verdicts": ["--feedback"],
    "Saving and resuming": ["--model", "--every", "--replay", "--no-learn", "--max-models"],
    "The model": [
        "--trees",
        "--window",
        "--horizon",
        "--score",
        "--raw-units",
        "--seed",
        "--calibration",
        "--max-bytes",
        "--max-features",
    ],
}


@click.command(
    "stream",
    cls=GroupedCommand,
    short_help="Follow records on standard input; tell alarms.",
    groups=_GROUPS,
    examples=[
        "tail -n +1 -F sensors.jsonl | imondrian stream --keep time --model sensors.model --replay",
        """imondrian stream --reasons 3 < table.csv | grep '"alarm":true'""",
    ],
)
@click.option(
    "--read-as",
    "format",
    type=click.Choice(["auto", "json", "csv"]),
    default="auto",
    show_default=True,
    help="Format of the input: an object of JSON a line, or CSV; auto looks at the first line.",
)
@click.option(
    "-c",
    "--columns",
    multiple=True,
    callback=_names,
    metavar="A,B",
    help="The features; all fields but those that other options name.",
)
@click.option(
    "-x", "--exclude", "--ignore", "ignore", multiple=True, callback=_names, metavar="A,B", help="Fields to leave out."
)
@click.option(
    "--nominal",
    multiple=True,
    callback=_names,
    metavar="A,B",
    help="Fields that are categories, whatever they hold: codes, and text that would be left out.",
)
@click.option(
    "--numeric",
    multiple=True,
    callback=_names,
    metavar="A,B",
    help="Fields that are numbers: text in them is an error. Others are what their first value is.",
)
@click.option(
    "--numeric-only",
    is_flag=True,
    hidden=True,
    expose_value=False,
    callback=_not_of_streams,
)
@click.option(
    "-k",
    "--keep",
    multiple=True,
    callback=_names,
    metavar="A,B",
    help="Fields to copy to the output; they are features only if --columns names them.",
)
@click.option(
    "--names",
    multiple=True,
    callback=_names,
    metavar="A,B",
    help="Of CSV: the columns' names, where no first line has them.",
)
@click.option(
    "--delimiter",
    metavar="MARK",
    callback=_one_mark,
    help="Of CSV: what parts the cells, 'tab' for a tabulator (found out).",
)
@click.option("--decimal", type=click.Choice([".", ","]), help="Of CSV: the decimal mark (the first that comes).")
@click.option(
    "--header/--no-header", "first", default=None, help="Of CSV: whether the first line holds names (found out)."
)
@click.option(
    "--missing",
    multiple=True,
    metavar="TEXT",
    help="Of CSV: takes this for a missing value, as well as "
    "an empty cell, NA, NaN, null and the like. May be given several times.",
)
@click.option(
    "-m",
    "--model",
    type=FILE,
    metavar="FILE",
    help="Go on from this model if it is there, and save it here; OnlineIsolationMondrianForest.load reads it.",
)
@click.option(
    "--key",
    metavar="NAME",
    help="A field that says which model a record belongs to: one for each value. "
    "--model is a folder then, which KeyedForest reads, and models are smaller by default.",
)
@click.option(
    "--max-models",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    metavar="N",
    help="Models in memory at a time, with --key; the others are in the folder.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Save after so many records; also at the end and when asked to stop.",
)
@click.option("--replay", is_flag=True, help="The input starts over: pass over the records that --model has learnt.")
@click.option(
    "--no-learn",
    "learn",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Score only; the model and its file stay as they are.",
)
@click.option(
    "--alarm-rate",
    "rate",
    type=float,
    callback=_share,
    show_default="0.01",
    help="Share of records to raise an alarm for, whatever the scores look like.",
)
@click.option("--threshold", type=float, help="Raise an alarm at scores from here on, instead.")
@click.option(
    "--reasons",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Tell the N features that contribute most to an alarm, and to an incident, also in words. Slower.",
)
@click.option("--skip-alarms", is_flag=True, help="Do not learn records that are alarms. Slower.")
@click.option("--alarms-only", "shown", flag_value="alarms", help="Lines for records that are alarms, no others.")
@click.option(
    "--incidents-only",
    "shown",
    flag_value="incidents",
    help="Lines for records at which an incident opens or closes, no others.",
)
@click.option(
    "--incident-gap",
    "gap",
    callback=_records_or_age,
    show_default="50",
    metavar="N",
    help="Alarms less than so many records apart are one incident; with --key, records of the same key. With "
    "--time also an age: 90s, 15m, 2h, 1d.",
)
@click.option(
    "--time", metavar="NAME", help="A field that says when a record was, by ISO 8601 or in seconds. It is no feature."
)
@click.option(
    "--on-incident",
    callback=_command,
    metavar="COMMAND",
    help="Run this, without a shell, as an incident "
    "opens and as it closes: a program and its arguments, quoted as a whole. The incident is on its standard "
    "input, as JSON.",
)
@click.option("--webhook", callback=_url, metavar="URL", help="POST the incident to this address, too.")
@click.option(
    "--call-timeout",
    "call_timeout_s",
    type=float,
    callback=_seconds,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a command or a call of a webhook may take.",
)
@click.option(
    "--feedback",
    type=FILE,
    metavar="FILE",
    help='Follow verdicts appended to this file: lines such as {"record": 17, "verdict": -1}, with 1 for normal, -1 '
    'for an anomaly, null to withdraw; or "x": {...}, the features, for "record". Scores near by follow.',
)
@click.option("--strict", is_flag=True, help="A line that is no record is an error.")
@click.option(
    "--summary", type=FILE, metavar="FILE", help="At the end, write counts of records, bad lines and alarms, as JSON."
)
@click.option(
    "--trees", type=click.IntRange(1), show_default="100; 24 with --key", help="Of the model, as all options below."
)
@click.option(
    "--window",
    type=_Window(),
    show_default="thinned; 64 with --key",
    help="What trees keep: thinned, decayed, reservoir, or a number of last points.",
)
@click.option(
    "--horizon",
    callback=_horizon,
    show_default="4096",
    metavar="N",
    help="How far back thinned and decayed reach. With --time also an age, which all windows keep to: 15m, 2h, 1d.",
)
@click.option(
    "--score",
    type=click.Choice(["default", "spacing", "depth", "insertion"]),
    show_default="default",
    help="What is anomalous; the default is depth.",
)
@click.option("--raw-units", is_flag=True, help="Take features in the units they come in.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of the trees' random numbers.")
@click.option(
    "--calibration",
    type=click.IntRange(1),
    show_default="1024; 256 with --key",
    help="Last scores that p-values rank among.",
)
@click.option("--max-bytes", type=click.IntRange(1), help="The model's size at most.")
@click.option(
    "--max-features",
    type=click.IntRange(1),
    show_default="1000; 100 with --key",
    help="Fields that the model knows at a time.",
)
@click.option("-q", "--quiet", is_flag=True, help="No notes, and no word of single bad lines.")
def command(
    names: tuple[str, ...],
    delimiter: str | None,
    decimal: str | None,
    first: bool | None,
    missing: tuple[str, ...],
    columns: tuple[str, ...],
    ignore: tuple[str, ...],
    nominal: tuple[str, ...],
    numeric: tuple[str, ...],
    keep: tuple[str, ...],
    raw_units: bool,
    rate: float | None,
    key: str | None,
    shown: str | None,
    time: str | None,
    **options: Any,
) -> int:
    """Follow records on standard input; write a line of JSON for each.

    Every record is scored before it is learnt. Its line has its number, the score (0 to 1, high is anomalous, 0 for the
    first 32), the p-value among the last scores, and whether it is an alarm.

    SIGTERM and SIGINT end it between two records, with the model saved; exit codes 0 and 130. Exit code 3: some lines
    were bad, the others are done.
    """
    try:
        from .stream import stream
    except ImportError as error:
        raise Failure(str(error), USAGE) from error
    from .stream.csv_records import Layout
    from .stream.output_lines import OUTPUT_FIELDS
    from .stream.records import Selection

    if delimiter is not None and delimiter == decimal:
        raise click.UsageError(f"--delimiter and --decimal cannot both be {decimal!r}")
    for name in (*keep, *([] if key is None else [key])):
        if name in OUTPUT_FIELDS:
            raise click.UsageError(f"{name!r} cannot be kept, nor be the key: the output has a field of that name")
    if key is not None and options["max_bytes"] is not None:
        raise click.UsageError("--max-bytes bounds a single model; with --key, --max-models bounds memory")
    if time is not None and (time == key or time in columns):
        raise click.UsageError(f"--time: {time!r} is also {'the --key' if time == key else 'among --columns'}")
    _check_ages(options["gap"], options["horizon"], time)
    if both := sorted(set(columns) & set(ignore)):
        raise click.UsageError(f"--columns: {both[0]!r} is also among --ignore")
    if both := sorted(set(nominal) & set(numeric)):
        raise click.UsageError(f"--nominal: {both[0]!r} is also among --numeric")
    if options["replay"] and options["model"] is None:
        raise click.UsageError("--replay needs --model, which says how many records to pass over")
    if options["feedback"] is not None:
        if key is not None:
            raise click.UsageError("--feedback tells a single model: it does not go with --key")
        if not options["learn"]:
            raise click.UsageError("--feedback changes the model, and --no-learn leaves it as it is")
    if rate is not None and options["threshold"] is not None:
        raise click.UsageError("--alarm-rate and --threshold exclude each other")
    asked = {name: options.pop(option) for option, name in _SETTINGS.items()}
    parameters = {name: value for name, value in asked.items() if value is not None}
    parameters |= {"time": time} if isinstance(parameters.get("horizon"), str) else {}
    parameters |= {"scale": None} if raw_units else {}
    return stream.run(
        stream.Settings(
            selection=Selection(columns or None, ignore, keep, key, time, nominal, numeric),
            layout=Layout(delimiter, decimal, names or None, first, missing),
            parameters=parameters,
            rate=rate,
            shown=shown or "all",
            **options,
        )
    )
