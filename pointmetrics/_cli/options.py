"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable

import click

from imondrian._kit.command_line import FILE, Command, together
from pointmetrics._clouds.numbers import thread_count


def _read_columns(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str | int, ...] | None:
    if value is None:
        return None
    cells = [cell.strip() for cell in value.split(",")]
    if not all(cells):
        raise click.BadParameter(f"must be names or numbers with commas between, got {value!r}")
    return tuple(int(cell) if cell.isdecimal() else cell for cell in cells)


jobs = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    default=lambda: thread_count(None),
    show_default="all processors",
    help="Threads. They do not change results.",
)
reading = together(
    click.option(
        "--sample-mesh",
        type=click.IntRange(1),
        metavar="N",
        help="Draw N points from the surface of files with faces; without it their vertices are taken.",
    ),
    click.option(
        "--max-points",
        type=click.IntRange(1),
        metavar="N",
        help="Take a random N points of larger clouds. Of binary ply and npy files only these are read: so "
        "also files larger than memory can be compared.",
    ),
    click.option(
        "--columns",
        metavar="NAMES",
        callback=_read_columns,
        help="Columns of text files that are the coordinates, with commas between: names in the heading, or "
        "numbers from 0. Default: x, y, z where a heading names them, else the first three.",
    ),
    click.option("--drop-invalid", is_flag=True, help="Leave out points with a NaN or infinite coordinate."),
    click.option(
        "--seed",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Of samples and subsets: each file gets its own random numbers from it.",
    ),
)


def writing_as(*layouts: str, notes: str = "") -> Callable[[Command], Command]:
    return together(
        click.option(
            "-f",
            "--format",
            "layout",
            type=click.Choice(["table", "json", "csv", *layouts]),
            default="table",
            show_default=True,
            help=f"Only json and csv have all digits.{notes}",
        ),
        click.option("-o", "--output", type=FILE, metavar="FILE", help="Write there: whole or not at all."),
    )


writing = writing_as()
quiet = click.option("-q", "--quiet", is_flag=True, help="No progress and no notes.")


CLOUDS = ["--columns", "--max-points", "--sample-mesh", "--drop-invalid", "--seed"]
