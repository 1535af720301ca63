"""Commands and their options, in all. Only this, ``options`` and the modules *_app import click."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from imondrian._kit import command_line
from imondrian._kit.command_line import FILE, debug
from imondrian._kit.grouped_help import ExampleGroup, GroupedCommand
from pointmetrics import __version__

from . import audit_app, compare_app, info, sets_app


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; tell errors in one line."""
    return command_line.run(app, "pointmetrics", arguments, on_memory="; --max-points N takes a random subset")


@click.group(
    cls=ExampleGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "pointmetrics compare scan.ply truth.ply --html report.html",
        "pointmetrics compare ours/ baseline/ truth/ -f latex",
        "pointmetrics compare --help",
    ],
)
@click.version_option(__version__, prog_name="pointmetrics", message="%(prog)s %(version)s")
@debug
def app() -> None:
    """Distances between point clouds, under the names that papers use.

    \b
    Exit codes: 0 done; 1 not done (a file, a cloud or the output is at fault);
    2 the command line is at fault; 3 done in part, some pairs failed;
    70 a defect of this program; 130 interrupted; 141 the pipe was closed.
    """


for _command in (compare_app.command, sets_app.command, audit_app.command):
    app.add_command(_command)


@app.command(
    "info", cls=GroupedCommand, short_help="Show versions and what is installed.", examples=["pointmetrics info"]
)
@click.option("-f", "--format", "layout", type=click.Choice(["table", "json"]), default="table", show_default=True)
@debug
def _info(layout: str) -> int:
    """Show versions, the instruction set, threads, what is installed, and whether CUDA can be used."""
    return info.run(layout)


@app.command(
    "demo",
    cls=GroupedCommand,
    short_help="Show the metrics of two clouds, and a report.",
    examples=["pointmetrics demo", "pointmetrics demo --output pictures/"],
)
@click.option(
    "--output",
    type=FILE,
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the report and the picture.",
)
@debug
def _demo(output: Path) -> int:
    """Show the metrics of two clouds, with a report, and a stream of scans watched for anomalies."""
    from . import demo as _demo

    _demo.run(output)
    return 0
