"""How long an import takes, by ``python -X importtime``, and what of it is whose.

    python bench/import_time.py --rounds 20

Every round is a process of its own. The first, which may write bytecode and read a cold disk, is not counted. "own" is
what the packages of this project take by themselves, without numpy or anything else that they import.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from markdown_table import markdown

ROOT = Path(__file__).resolve().parents[1]
OURS = ("imondrian", "pointmetrics")
STATEMENTS = (
    "import imondrian",
    "import pointmetrics",
    "import imondrian.river",
    "from imondrian import IsolationMondrianForest",
    "import numpy",
    "import sklearn.ensemble",
)
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")


class Import(NamedTuple):
    """Seconds of one import, and modules loaded."""

    total: float
    own: float
    modules: int


def read_importtime(text: str, name: str) -> Import:
    """Sum up what ``-X importtime`` printed from ``name`` on: a module stands below what it imported, less indented."""
    lines = [(int(own), int(total), len(indent), module) for own, total, indent, module in _LINE.findall(text)]
    places = [place for place, line in enumerate(lines) if line[3].partition(".")[0] == name]
    if not places:
        raise ValueError(f"{name} was not imported")
    outermost = min(line[2] for place, line in enumerate(lines) if place >= places[0])
    first = places[0]  # whatever stands deeper just above was imported by it
    while first > 0 and lines[first - 1][2] > outermost:
        first -= 1
    found = lines[first:]
    return Import(
        sum(total for _, total, indent, _ in found if indent == outermost) / 1e6,
        sum(own for own, _, _, module in found if module.partition(".")[0] in OURS) / 1e6,
        len(found),
    )


def measure(statement: str, rounds: int) -> Import:
    """Return the medians over ``rounds`` processes."""
    name = re.split(r"[ .]", statement)[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    found = []
    for _ in range(rounds + 1):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", statement],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        found.append(read_importtime(done.stderr, name))
    return Import(*(median(column) for column in zip(*found[1:], strict=True)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=STATEMENTS, default=STATEMENTS, metavar="STATEMENT")
    options = parser.parse_args(arguments)
    rows = []
    for statement in options.only:
        took = measure(statement, options.rounds)
        rows.append([f"`{statement}`", f"{took.total * 1e3:.1f} ms", f"{took.own * 1e3:.1f} ms", f"{took.modules:.0f}"])
    print(markdown(["statement", "median", "own", "modules"], rows))


if __name__ == "__main__":
    main()
