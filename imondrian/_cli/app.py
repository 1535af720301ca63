"""Commands and their options, and what becomes of errors. Only this and the modules *_app import click."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from imondrian import __version__
from imondrian._kit.grouped_help import ExampleGroup, GroupedCommand

from . import DEFECT, FAILED, INTERRUPTED, PIPE_CLOSED, USAGE, Failure, stream_app, table_app
from .output import PipeClosed


class _State:
    debug = False


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; tell errors in one line."""
    state = _State()
    try:
        code = app.main(list(arguments), prog_name="imondrian", standalone_mode=False, obj=state)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        return _tell(str(error), USAGE, prefix="")
    except click.UsageError as error:
        context = "" if error.ctx is None else f"\nTry '{error.ctx.command_path} --help'."
        if error.ctx is not None and error.ctx.info_name == "stream" and "extra argument" in error.format_message():
            context = "\nstream reads standard input: imondrian stream < FILE"
        return _tell(error.format_message() + context, USAGE)
    except click.ClickException as error:
        return _tell(error.format_message(), FAILED)
    except (KeyboardInterrupt, click.Abort):
        return _tell("interrupted", INTERRUPTED)
    except PipeClosed:
        return PIPE_CLOSED
    except Exception as error:
        if state.debug:
            traceback.print_exc()
        return _explain(error)


def _explain(error: Exception) -> int:
    if isinstance(error, Failure):
        return _tell(str(error), error.code)
    if isinstance(error, MemoryError):
        return _tell("there is not enough memory", FAILED)
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        return _tell(f"{where}{error.strerror or error}", FAILED)
    if isinstance(error, (ValueError, TypeError)):
        return _tell(str(error), FAILED)
    return _tell(f"a defect of this program: {type(error).__name__}: {error}; --debug shows where", DEFECT)


def _tell(message: str, code: int, prefix: str = "imondrian: ") -> int:
    with contextlib.suppress(OSError):  # there may be nobody to tell
        print(prefix + message, file=sys.stderr, flush=True)
    return code


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(_State).debug |= value


_FILE = click.Path(path_type=Path, readable=False)  # whether it can be read is found out by reading

_debug = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_debug,
    help="Show a traceback with an error.",
)


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
@_debug
def app() -> None:
    """Find what is unusual, with isolation Mondrian forests.

    \b
    Exit codes: 0 done; 1 not done (a file or the output is at fault);
    2 the command line is at fault; 3 done in part, some lines were bad;
    70 a defect of this program; 130 interrupted; 141 the pipe was closed.
    """


app.add_command(_debug(table_app.score))
app.add_command(_debug(table_app.explain))
app.add_command(_debug(stream_app.command))


@app.command("info", cls=GroupedCommand, short_help="Show versions and what is installed.", examples=["imondrian info"])
@click.option("-f", "--format", "layout", type=click.Choice(["table", "json"]), default="table", show_default=True)
@_debug
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
@click.option("--output", type=_FILE, default=Path("demo-output"), show_default=True, help="Folder for the pictures.")
@click.option(
    "--rows",
    type=click.IntRange(1),
    metavar="N",
    show_default="8,000",
    help="Records of the stream; the rest of the demo shrinks with it.",
)
@_debug
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
