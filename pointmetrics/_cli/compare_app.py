"""The command "compare"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from imondrian._kit.command_line import FILE, debug
from imondrian._kit.grouped_help import GroupedCommand
from pointmetrics._metrics.presets import presets as table_presets

from . import compare, measure, methods, presets
from .clouds import NORMALISATIONS, Options
from .options import CLOUDS, jobs, quiet, reading, writing_as

_METRICS_HELP = (
    f"Metric to report; may be given several times or as a list with commas. Known: "
    f"{measure.known_names()}. A ':x_to_y' or ':y_to_x' behind a Chamfer or Hausdorff name takes one "
    f"direction. Default: {', '.join(measure.DEFAULTS)}."
)


_COMPARE_GROUPS = {
    "Metrics": [
        "--metric",
        "--preset",
        "--threshold",
        "--alpha",
        "--n-lambda",
        "--emd",
        "--emd-max-points",
        "--to-mesh",
        "--normalise",
    ],
    "Clouds": CLOUDS,
    "Folders": ["--strict", "--sort-by"],
    "Output": ["--format", "--scale", "--output", "--html", "--report-points", "--quiet"],
}
_NO_PRESETS = (
    "--metric",
    "--alpha",
    "--n-lambda",
    "--emd",
    "--emd-max-points",
    "--to-mesh",
    "--normalise",
    "--sort-by",
    "--html",
    "--report-points",
)
_OF_PRESETS = {"--threshold": "tanks-and-temples", "--peak": "mpeg-ctc", "--references": "pcn-kitti"}


@click.command(
    "compare",
    cls=GroupedCommand,
    short_help="Compare clouds with the truth; tables for papers.",
    groups=_COMPARE_GROUPS,
    examples=[
        "pointmetrics compare scan.ply truth.ply -t 0.05 --html report.html",
        "pointmetrics compare results/ truth/ -m pcn -m emd -f csv -o table.csv",
        "pointmetrics compare ours/ pcn=baseline/ truth/ -m cd-l1,f-score --scale cd-l1=1e3 -f latex",
    ],
)
@click.argument("a", nargs=-1, required=True, type=FILE)
@click.argument("b", type=FILE)
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME", help=_METRICS_HELP)
@click.option(
    "-t",
    "--threshold",
    "thresholds",
    type=float,
    multiple=True,
    default=(0.01,),
    show_default=True,
    help="Of F-score, precision and recall, in the unit of the coordinates; may be given several times.",
)
@click.option("--alpha", type=float, default=1000.0, show_default=True, help="Of dcd, in 1 / length^2.")
@click.option("--n-lambda", type=float, default=1.0, show_default=True, help="Of dcd: exponent of the match counts.")
@click.option("--emd", is_flag=True, help="Also report the exact earth mover's distance.")
@click.option(
    "--emd-max-points",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    metavar="N",
    help="Refuse it for larger clouds, whose solution takes long.",
)
@click.option("--to-mesh", is_flag=True, help="Also report the distance from the points of A to the surface of B.")
@click.option(
    "--normalise",
    "--normalize",
    "normalise",
    type=click.Choice(list(NORMALISATIONS)),
    default="none",
    show_default=True,
    help="Before metrics are taken. " + "; ".join(f"{name}: {text}" for name, text in NORMALISATIONS.items()) + ".",
)
@click.option(
    "--preset",
    type=click.Choice(list(table_presets())),
    metavar="NAME",
    help=f"Print the columns of a paper's table instead: {', '.join(table_presets())}.",
)
@click.option("--peak", type=float, default=1023.0, show_default=True, help="Of PSNR, for --preset mpeg-ctc.")
@click.option("--references", type=FILE, metavar="FOLDER", help="Complete cars, for the MMD of --preset pcn-kitti.")
@reading
@click.option("--strict", is_flag=True, help="A file without a partner in the other folder is an error.")
@click.option("--sort-by", metavar="NAME", help="Metric that says which pairs are worst (the first one reported).")
@click.option(
    "--scale",
    "scales",
    multiple=True,
    metavar="[NAME=]FACTOR",
    help="Multiply a metric, or all that have a unit, and name the factor in the heading (1e3: x 10^3). Of latex, "
    "markdown and tables of several methods; may be given several times.",
)
@writing_as(*methods.LAYOUTS, notes=" latex and markdown are tables for papers: sub-folders are classes.")
@click.option("--html", type=FILE, metavar="FILE", help="Also write a report to look at: one file, no network.")
@click.option(
    "--report-points",
    type=click.IntRange(100),
    default=40_000,
    show_default=True,
    metavar="N",
    help="Points of each cloud that the report shows, a random subset; fewer where there are many pairs.",
)
@jobs
@quiet
@debug
def command(
    a: tuple[Path, ...],
    metrics: tuple[str, ...],
    thresholds: tuple[float, ...],
    alpha: float,
    n_lambda: float,
    emd: bool,
    to_mesh: bool,
    preset: str | None,
    peak: float,
    references: Path | None,
    sample_mesh: int | None,
    max_points: int | None,
    columns: tuple[str | int, ...] | None,
    drop_invalid: bool,
    seed: int,
    **settings: Any,
) -> int:
    """Compare cloud A with the reference B, or the clouds of several methods with B.

    Several folders before B are methods, side by side in one table with the best in bold, over the pairs that all of
    them have; NAME=FOLDER gives one another name. Sub-folders of a folder are classes.

    A and B are two files, or two folders whose files are matched by their path without its suffix. Formats: ply,
    pcd, obj, off, xyz, txt, csv, asc, pts, npy, npz, bin (KITTI), most of them also with .gz, and stl, glb (trimesh),
    las, laz (laspy); binary ply and npy are the fastest to read, ascii ones take tens of times longer.
    """
    options = Options(sample_mesh, max_points, drop_invalid, seed, columns)
    several = len(a) > 1 or settings["layout"] in methods.LAYOUTS
    if settings["scales"] and not several:
        raise click.UsageError("--scale is of several methods, -f latex and -f markdown")
    folders = methods.read_methods(a) if several else {"": a[0]}
    scales = settings.pop("scales")
    settings["a"] = next(iter(folders.values()))
    if preset is not None:
        filled = _preset_settings(
            thresholds,
            preset=preset,
            peak=peak,
            references=references,
            options=options,
            **{name: settings[name] for name in ("a", "b", "strict", "layout", "output", "jobs", "quiet")},
        )
        return methods.run(filled, folders, scales) if several else presets.run(filled)
    for name in sorted(_OF_PRESETS.keys() & _given() - {"--threshold"}):
        raise click.UsageError(f"{name} is for --preset {_OF_PRESETS[name]}: give that, or leave {name} out")
    named = [name.strip() for entry in metrics for name in entry.split(",") if name.strip()]
    names = [
        *(named or measure.DEFAULTS),
        *(["emd"] if emd else []),
        *(["point-to-mesh", "point-to-mesh:max"] if to_mesh else []),
    ]
    try:
        chosen = measure.read_metrics(names, thresholds, alpha, n_lambda)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    wanted = compare.Settings(metrics=chosen, thresholds=thresholds, options=options, **settings)
    return methods.run(wanted, folders, scales) if several else compare.run(wanted)


def _given() -> set[str]:
    """Return the options that the command line holds."""
    context = click.get_current_context()
    return {
        next(name for name in option.opts if name.startswith("--"))
        for option in context.command.params
        if isinstance(option, click.Option)
        and context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
    }


def _preset_settings(thresholds: tuple[float, ...], preset: str, **settings: Any) -> presets.Settings:
    given = _given()
    clash = [name for name in _NO_PRESETS if name in given]
    if clash:
        raise click.UsageError(f"--preset says which columns there are: leave {', '.join(clash)} out")
    if len(thresholds) != 1:
        raise click.UsageError(f"--preset takes one --threshold, got {len(thresholds)}")
    for name, of in _OF_PRESETS.items():
        if name in given and of != preset:
            raise click.UsageError(f"--preset {preset} has no use for {name}, which is for {of}: leave it out")
    return presets.Settings(preset=preset, threshold=thresholds[0], **settings)
