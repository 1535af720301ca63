"""The command "sets"."""

from __future__ import annotations

from typing import Any

import click

from imondrian._kit.command_line import FILE, debug
from imondrian._kit.grouped_help import GroupedCommand
from pointmetrics import sets

from . import set_metrics
from .clouds import Options
from .options import CLOUDS, jobs, quiet, reading, writing

_SETS_GROUPS = {
    "Metrics": ["--metric", "--normalisation", "--confidence", "--bootstrap"],
    "Clouds": CLOUDS,
    "Output": ["--format", "--output", "--matrices", "--checkpoint", "--quiet"],
}


@click.command(
    "sets",
    cls=GroupedCommand,
    short_help="Evaluate generated clouds: MMD, COV, 1-NNA, JSD.",
    groups=_SETS_GROUPS,
    examples=["pointmetrics sets samples.npy references.npy -m emd"],
)
@click.argument("samples", type=FILE)
@click.argument("references", type=FILE)
@click.option(
    "-m",
    "--metric",
    default="cd-l2",
    show_default=True,
    metavar="NAME",
    help="emd, dcd, hausdorff, or a Chamfer distance: its published name.",
)
@click.option(
    "--normalisation",
    "--normalization",
    "normalisation",
    type=click.Choice(list(sets.PRESETS)),
    default="none",
    show_default=True,
    help="; ".join(f"{k}: {v}" for k, v in sets.PRESETS.items()) + ".",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Of the intervals.",
)
@click.option(
    "--bootstrap", "n_bootstrap", type=click.IntRange(1), default=1000, show_default=True, help="Resamplings for them."
)
@click.option(
    "--checkpoint", type=FILE, metavar="FILE", help="Save finished blocks beside this name, and resume from them."
)
@click.option(
    "--matrices",
    type=FILE,
    metavar="FILE",
    help="Write the matrices sr, rr and ss as npz. With emd all pairs are then solved; without it those "
    "that bounds rule out are not, for the same results.",
)
@reading
@writing
@jobs
@quiet
@debug
def command(
    sample_mesh: int | None,
    max_points: int | None,
    columns: tuple[str | int, ...] | None,
    drop_invalid: bool,
    seed: int,
    **settings: Any,
) -> int:
    """Evaluate generated clouds SAMPLES against REFERENCES: MMD, COV, 1-NNA and JSD, with intervals.

    Each is a folder of files, an npy or npz file of shape (b, n, d), or an npz file with one array a cloud. The order
    matters: results for the swapped order are shown beside.
    """
    if settings["metric"] not in set_metrics.METRICS:
        raise click.UsageError(f"there is no metric {settings['metric']!r}; known are {', '.join(set_metrics.METRICS)}")
    options = Options(sample_mesh, max_points, drop_invalid, seed, columns)
    return set_metrics.run(set_metrics.Settings(options=options, **settings))
