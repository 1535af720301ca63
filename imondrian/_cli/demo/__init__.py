"""``imondrian demo``: what the package does, in a minute, beside what people use today.

``plant`` draws a stream with a truth, ``watching`` raises alarms on it, ``resuming`` kills a process and goes on,
``tables`` and ``contest`` compare times and scores, ``pictures`` draws.
"""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from . import contest, pictures, plant, resuming, tables, watching


def run(output: Path, n_rows: int | None = None) -> None:
    """Run the demo, print its tables and write its pictures to ``output``; ``n_rows`` makes a small one of it."""
    console = Console()
    start = time.perf_counter()
    output.mkdir(parents=True, exist_ok=True)
    stream = plant.stream(n_rows or plant.N_ROWS)
    found = watching.show(console, stream)
    resuming.show(console, stream.records[: n_rows or 3_000])
    tables.show(console, 1_000_000 if n_rows is None else 100 * n_rows)
    outcome = contest.show(console, n_rows or 2_000)
    for path in (
        pictures.timeline(output / "alarms.png", stream, found),
        pictures.wins_and_losses(output / "wins-and-losses.png", outcome),
    ):
        console.print(f"picture: [cyan]{path}[/]", soft_wrap=True)
    console.print(f"done in {time.perf_counter() - start:.0f} s")
