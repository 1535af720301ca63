"""The command line: ``pointmetrics demo`` and ``pointmetrics info``."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from . import __version__


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; errors a user can mend end with one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="pointmetrics", description="Distances between point clouds.")
    parser.add_argument("--version", action="version", version=f"pointmetrics {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="the metrics of two clouds, and a stream of scans watched for anomalies")
    commands.add_parser("info", help="versions, and what is installed")
    options = parser.parse_args(arguments)
    if options.command == "info":
        print(info())
        return
    try:
        from rich import console  # noqa: F401
    except ImportError:
        parser.error("the demo needs rich: pip install 'imondrian[river,cli]'")
    from ._demo import run

    run()


def info() -> str:
    """Return versions of this package, Python and the optional packages, one a line."""
    from ._core import limit_instruction_set

    used = ("baseline", "AVX2", "AVX-512")[limit_instruction_set(2)]
    lines = [f"pointmetrics {__version__}", f"Python {platform.python_version()} on {platform.platform()}",
             f"instruction set: {used}"]
    return "\n".join(lines + [f"{package}: {_version(package)}" for package in (
        "numpy", "scipy", "scikit-learn", "river", "torch", "open3d", "rich")])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
