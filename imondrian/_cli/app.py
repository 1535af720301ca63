"""Commands and their options, in all. Only this and the modules *_app import click."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from imondrian import __version__
from imondrian._kit import command_line
from imondrian._kit.command_line import FILE, debug
from imondrian._kit.grouped_help import ExampleGroup, GroupedCommand

from . import USAGE, Failure, stream_app, table_app


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; tell errors in one line."""
    return command_line.run(app, "imondrian", arguments, advice=_advice)


def _advice(error: click.UsageError) -> str:
    if error.ctx is not None and error.ctx.info_name == "stream" and "extra argument" in error.format_message():
        return "stream reads standard input: imondrian stream < FILE"
    return command_line.see_help(error)


@click.group(
    cls=ExampleGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "imondrian score readings.csv --top 20",
        "tail -n +1 -F sensors.jsonl | imondrian stream --keep time",
        "imondrian score --help",
    ],
)
@click.version_option(__version__, prog_name="imondrian", message="%(prog)s %(version)s")
@debug
def app() -> None:
    """Find what is unusual, with isolation Mondrian forests.

    \b
    Exit codes: 0 done; 1 not done (a file or the output is at fault);
    2 the command line is at fault; 3 done in part, some lines were bad;
    70 a defect of this program; 130 interrupted; 141 the pipe was closed.
    """


app.add_command(debug(table_app.score))
app.add_command(debug(table_app.explain))
app.add_command(debug(stream_app.command))


@app.command("info", cls=GroupedCommand, short_help="Show versions and what is installed.", examples=["imondrian info"])
@click.option("-f", "--format", "layout", type=click.Choice(["table", "json"]), default="table", show_default=True)
@debug
def _info(layout: str) -> int:
    """Show versions, what is installed, and what of it can be used."""
    from . import info

    return info.run(layout)


@app.command(
    "demo",
    cls=GroupedCommand,
    short_help="Show what it does, in a minute; draw two pictures.",
    examples=["imondrian demo", "imondrian demo --rows 2000 --output pictures/"],
)
@click.option("--output", type=FILE, default=Path("demo-output"), show_default=True, help="Folder for the pictures.")
@click.option(
    "--rows",
    type=click.IntRange(1),
    metavar="N",
    show_default="8,000",
    help="Records of the stream; the rest of the demo shrinks with it.",
)
@debug
def _demo(output: Path, rows: int | None) -> int:
    """Show alarms with reasons, an exact resume, times and scores; draw two pictures.

    Beside river and scikit-learn, in less than a minute.
    """
    try:
        from . import demo as _demo
    except ImportError as error:
        raise Failure(f"the demo needs {error.name}: pip install 'imondrian[river,plot,cli]'", USAGE) from error
    _demo.run(output, rows)
    return 0
