"""Run click's commands: options that all have, and what becomes of errors."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from .exits import DEFECT, FAILED, INTERRUPTED, PIPE_CLOSED, USAGE, Failure, PipeClosed

Command = Callable[..., Any]

FILE = click.Path(path_type=Path, readable=False)  # whether it can be read is found out by reading


class _State:
    debug = False


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(_State).debug |= value


debug = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_debug,
    help="Show a traceback with an error.",
)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return several options as one decorator."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def see_help(error: click.UsageError) -> str:
    """Return where a command line that is at fault is explained."""
    return "" if error.ctx is None else f"Try '{error.ctx.command_path} --help'."


def run(
    app: click.Group,
    name: str,
    arguments: Sequence[str],
    *,
    on_memory: str = "",
    advice: Callable[[click.UsageError], str] = see_help,
) -> int:
    """Run one command of the program ``name`` and return its exit code; tell errors in one line.

    ``on_memory`` follows "there is not enough memory", ``advice`` a command line that is at fault.
    """
    state = _State()

    def tell(message: str, code: int, prefix: str = f"{name}: ") -> int:
        with contextlib.suppress(OSError):  # there may be nobody to tell
            print(prefix + message, file=sys.stderr, flush=True)
        return code

    try:
        code = app.main(list(arguments), prog_name=name, standalone_mode=False, obj=state)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        return tell(str(error), USAGE, prefix="")
    except click.UsageError as error:
        return tell("\n".join(filter(None, (error.format_message(), advice(error)))), USAGE)
    except click.ClickException as error:
        return tell(error.format_message(), FAILED)
    except (KeyboardInterrupt, click.Abort):
        return tell("interrupted", INTERRUPTED)
    except PipeClosed:
        return PIPE_CLOSED
    except Exception as error:
        if state.debug:
            traceback.print_exc()
        return tell(*_explain(error, on_memory))


def _explain(error: Exception, on_memory: str) -> tuple[str, int]:
    if isinstance(error, Failure):
        return str(error), error.code
    if isinstance(error, MemoryError):
        return f"there is not enough memory{on_memory}", FAILED
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror or error}", FAILED
    if isinstance(error, (ValueError, TypeError)):
        return str(error), FAILED
    return f"a defect of this program: {type(error).__name__}: {error}; --debug shows where", DEFECT
