"""The command "audit"."""

from __future__ import annotations

from typing import Any

import click

from imondrian._kit.command_line import FILE, debug
from imondrian._kit.grouped_help import GroupedCommand

from . import audit
from .clouds import Options
from .options import CLOUDS, jobs, reading, writing

_AUDIT_GROUPS = {
    "Numbers": ["--value", "--tolerance", "--limit"],
    "Clouds": CLOUDS,
    "Output": ["--format", "--output"],
}


@click.command(
    "audit",
    cls=GroupedCommand,
    short_help="Find the definition behind a published number.",
    groups=_AUDIT_GROUPS,
    examples=["pointmetrics audit a.npy b.npy --value 0.0173"],
)
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option(
    "-v",
    "--value",
    "values",
    multiple=True,
    metavar="NUMBER",
    help="A number that a paper or a library gives for these clouds: say which definition, times a power "
    "of ten, it is. May be given several times.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    show_default="half a unit of the number's last digit",
    help="Relative difference within which a definition fits.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=4096, show_default=True, metavar="N", help="Refuse larger clouds."
)
@reading
@writing
@jobs
@debug
def command(
    sample_mesh: int | None,
    max_points: int | None,
    columns: tuple[str | int, ...] | None,
    drop_invalid: bool,
    seed: int,
    **settings: Any,
) -> int:
    """Tell what approximations make of the exact earth mover's distance of A and B, and what a number is.

    Papers print as EMD what an approximation returned. This shows each of the usual ones beside the exact value.
    """
    options = Options(sample_mesh, max_points, drop_invalid, seed, columns)
    return audit.run(audit.Settings(options=options, **settings))
