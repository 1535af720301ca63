"""``pointmetrics info``: what :func:`pointmetrics.info` tells: versions, the machine, and what CUDA lacks."""

from __future__ import annotations

from pointmetrics import info

from . import output, terminal


def run(layout: str) -> int:
    """Print the facts and return the exit code."""
    found = info()
    if layout == "json":
        output.write(output.to_json(dict(found)), None)
    elif terminal.shows_tables():
        output.write(terminal.table(["", ""], [list(row) for row in found.items()], [], rich=True), None)
    else:
        output.write(f"{found}\n", None)
    return 0
