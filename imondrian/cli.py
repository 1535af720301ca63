"""The command line: ``imondrian demo`` and ``imondrian info``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from . import __version__, info


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; errors a user can mend end with one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="imondrian", description="Isolation Mondrian forests.")
    parser.add_argument("--version", action="version", version=f"imondrian {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="fit and stream real data, beside other detectors; draw two pictures")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for the pictures")
    demo.add_argument("--rows", type=_positive, default=None, help="rows of the stream (default: all 49,097)")
    commands.add_parser("info", help="what is installed, and what of it can be used")
    options = parser.parse_args(arguments)
    if options.command == "info":
        print(info())
        return
    try:
        from ._demo import run
    except ImportError as error:
        parser.error(f"the demo needs {error.name}: pip install 'imondrian[river,plot,cli]'")
    run(options.output, options.rows)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
