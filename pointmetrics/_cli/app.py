"""Commands and their options, and what becomes of errors. The only module that imports click."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from imondrian._kit.grouped_help import ExampleGroup, GroupedCommand
from pointmetrics import __version__, sets
from pointmetrics._clouds.arrays import thread_count
from pointmetrics._metrics.presets import presets as table_presets

from . import (
    DEFECT,
    FAILED,
    INTERRUPTED,
    PIPE_CLOSED,
    USAGE,
    Failure,
    audit,
    compare,
    info,
    measure,
    methods,
    presets,
    set_metrics,
)
from .clouds import NORMALISATIONS, Options
from .output import PipeClosed


class _State:
    debug = False


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; tell errors in one line."""
    state = _State()
    try:
        code = app.main(list(arguments), prog_name="pointmetrics", standalone_mode=False, obj=state)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        return _tell(str(error), USAGE, prefix="")
    except click.UsageError as error:
        context = "" if error.ctx is None else f"\nTry '{error.ctx.command_path} --help'."
        return _tell(error.format_message() + context, USAGE)
    except click.ClickException as error:
        return _tell(error.format_message(), FAILED)
    except (KeyboardInterrupt, click.Abort):
        return _tell("interrupted", INTERRUPTED)
    except PipeClosed:
        return PIPE_CLOSED
    except Exception as error:
        if state.debug:
            traceback.print_exc()
        return _explain(error)


def _explain(error: Exception) -> int:
    if isinstance(error, Failure):
        return _tell(str(error), error.code)
    if isinstance(error, MemoryError):
        return _tell("there is not enough memory; --max-points N takes a random subset", FAILED)
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        return _tell(f"{where}{error.strerror or error}", FAILED)
    if isinstance(error, (ValueError, TypeError)):
        return _tell(str(error), FAILED)
    return _tell(f"a defect of this program: {type(error).__name__}: {error}; --debug shows where", DEFECT)


def _tell(message: str, code: int, prefix: str = "pointmetrics: ") -> int:
    with contextlib.suppress(OSError):  # there may be nobody to tell
        print(prefix + message, file=sys.stderr, flush=True)
    return code


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.ensure_object(_State).debug |= value


_FILE = click.Path(path_type=Path, readable=False)  # whether it can be read is found out by reading
_Command = Callable[..., Any]


def _add(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _read_columns(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str | int, ...] | None:
    if value is None:
        return None
    cells = [cell.strip() for cell in value.split(",")]
    if not all(cells):
        raise click.BadParameter(f"must be names or numbers with commas between, got {value!r}")
    return tuple(int(cell) if cell.isdecimal() else cell for cell in cells)


_debug = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_set_debug,
    help="Show a traceback with an error.",
)
_jobs = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    default=lambda: thread_count(None),
    show_default="all processors",
    help="Threads. They do not change results.",
)
_reading = _add(
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


def _writing_as(*layouts: str, notes: str = "") -> Callable[[_Command], _Command]:
    return _add(
        click.option(
            "-f",
            "--format",
            "layout",
            type=click.Choice(["table", "json", "csv", *layouts]),
            default="table",
            show_default=True,
            help=f"Only json and csv have all digits.{notes}",
        ),
        click.option("-o", "--output", type=_FILE, metavar="FILE", help="Write there: whole or not at all."),
    )


_writing = _writing_as()
_quiet = click.option("-q", "--quiet", is_flag=True, help="No progress and no notes.")


@click.group(
    cls=ExampleGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "pointmetrics compare scan.ply truth.ply --html report.html",
        "pointmetrics compare ours/ baseline/ truth/ -f latex",
        "pointmetrics compare --help",
    ],
)
@click.version_option(__version__, prog_name="pointmetrics", message="%(prog)s %(version)s")
@_debug
def app() -> None:
    """Distances between point clouds, under the names that papers use.

    \b
    Exit codes: 0 done; 1 not done (a file, a cloud or the output is at fault);
    2 the command line is at fault; 3 done in part, some pairs failed;
    70 a defect of this program; 130 interrupted; 141 the pipe was closed.
    """


_METRICS_HELP = (
    f"Metric to report; may be given several times or as a list with commas. Known: "
    f"{measure.known_names()}. A ':x_to_y' or ':y_to_x' behind a Chamfer or Hausdorff name takes one "
    f"direction. Default: {', '.join(measure.DEFAULTS)}."
)


_CLOUDS = ["--columns", "--max-points", "--sample-mesh", "--drop-invalid", "--seed"]
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
    "Clouds": _CLOUDS,
    "Folders": ["--strict", "--sort-by"],
    "Output": ["--format", "--scale", "--output", "--html", "--report-points", "--quiet"],
}
_SETS_GROUPS = {
    "Metrics": ["--metric", "--normalisation", "--confidence", "--bootstrap"],
    "Clouds": _CLOUDS,
    "Output": ["--format", "--output", "--matrices", "--checkpoint", "--quiet"],
}
_AUDIT_GROUPS = {
    "Numbers": ["--value", "--tolerance", "--limit"],
    "Clouds": _CLOUDS,
    "Output": ["--format", "--output"],
}


@app.command(
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
@click.argument("a", nargs=-1, required=True, type=_FILE)
@click.argument("b", type=_FILE)
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
@click.option("--references", type=_FILE, metavar="FOLDER", help="Complete cars, for the MMD of --preset pcn-kitti.")
@_reading
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
@_writing_as(*methods.LAYOUTS, notes=" latex and markdown are tables for papers: sub-folders are classes.")
@click.option("--html", type=_FILE, metavar="FILE", help="Also write a report to look at: one file, no network.")
@click.option(
    "--report-points",
    type=click.IntRange(100),
    default=40_000,
    show_default=True,
    metavar="N",
    help="Points of each cloud that the report shows, a random subset; fewer where there are many pairs.",
)
@_jobs
@_quiet
@_debug
def _compare(
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
        given = {
            "--metric": metrics,
            "--emd": emd,
            "--to-mesh": to_mesh,
            "--html": settings["html"],
            "--sort-by": settings["sort_by"],
            "--normalise": settings["normalise"] != "none",
        }
        filled = _preset_settings(
            given,
            thresholds,
            preset=preset,
            peak=peak,
            references=references,
            options=options,
            **{name: settings[name] for name in ("a", "b", "strict", "layout", "output", "jobs", "quiet")},
        )
        return methods.run(filled, folders, scales) if several else presets.run(filled)
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


def _preset_settings(given: dict[str, Any], thresholds: tuple[float, ...], **settings: Any) -> presets.Settings:
    clash = [name for name, value in given.items() if value]
    if clash:
        raise click.UsageError(f"--preset says which columns there are: leave {', '.join(clash)} out")
    if len(thresholds) != 1:
        raise click.UsageError(f"--preset takes one --threshold, got {len(thresholds)}")
    return presets.Settings(threshold=thresholds[0], **settings)


@app.command(
    "sets",
    cls=GroupedCommand,
    short_help="Evaluate generated clouds: MMD, COV, 1-NNA, JSD.",
    groups=_SETS_GROUPS,
    examples=["pointmetrics sets samples.npy references.npy -m emd"],
)
@click.argument("samples", type=_FILE)
@click.argument("references", type=_FILE)
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
    "--checkpoint", type=_FILE, metavar="FILE", help="Save finished blocks beside this name, and resume from them."
)
@click.option(
    "--matrices",
    type=_FILE,
    metavar="FILE",
    help="Write the matrices sr, rr and ss as npz. With emd all pairs are then solved; without it those "
    "that bounds rule out are not, for the same results.",
)
@_reading
@_writing
@_jobs
@_quiet
@_debug
def _sets(
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


@app.command(
    "audit",
    cls=GroupedCommand,
    short_help="Find the definition behind a published number.",
    groups=_AUDIT_GROUPS,
    examples=["pointmetrics audit a.npy b.npy --value 0.0173"],
)
@click.argument("a", type=_FILE)
@click.argument("b", type=_FILE)
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
@_reading
@_writing
@_jobs
@_debug
def _audit(
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


@app.command(
    "info", cls=GroupedCommand, short_help="Show versions and what is installed.", examples=["pointmetrics info"]
)
@click.option("-f", "--format", "layout", type=click.Choice(["table", "json"]), default="table", show_default=True)
@_debug
def _info(layout: str) -> int:
    """Show versions, the instruction set, threads, what is installed, and whether CUDA can be used."""
    return info.run(layout)


@app.command(
    "demo",
    cls=GroupedCommand,
    short_help="Show the metrics of two clouds, and a report.",
    examples=["pointmetrics demo", "pointmetrics demo --output pictures/"],
)
@click.option(
    "--output",
    type=_FILE,
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the report and the picture.",
)
@_debug
def _demo(output: Path) -> int:
    """Show the metrics of two clouds, with a report, and a stream of scans watched for anomalies."""
    from . import demo as _demo

    _demo.run(output)
    return 0
