"""What a person sees: tables, notes and progress. The only module that imports rich."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Report = Callable[[int, "int | None"], None]  # called with (done, total)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int], *, title: str = "", rich: bool = False
) -> str:
    """Lay out cells, the columns in ``numbers`` to the right.

    Without ``rich``: plain columns as wide as they need to be, for files and pipes.
    """
    if rich:
        return _rich_table(header, rows, numbers, title)
    # An encoding error must not hide a result: names may hold bytes that are no text.
    cells = [[str(cell).replace("\n", " ") for cell in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if k in numbers else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([title, *lines] if title else lines) + "\n"


def _rich_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int], title: str) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title) if title else None, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for k, name in enumerate(header):
        drawn.add_column(name, justify="right" if k in numbers else "left", no_wrap=k in numbers, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))  # names are no markup
    screen = Console()
    with screen.capture() as drawn_text:
        screen.print(drawn)
    return drawn_text.get()


def shows_tables() -> bool:
    """Tell whether standard output is a terminal."""
    return sys.stdout.isatty()


def note(message: str, quiet: bool = False, program: str = "imondrian") -> None:
    """Tell something beside the result, on standard error."""
    if not quiet:
        print(f"{program}: {message}", file=sys.stderr)


@contextmanager
def progress(title: str, unit: str, quiet: bool = False) -> Iterator[Report]:
    """Show a bar on standard error while work is done, where that is a terminal; yield what reports to it."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
