"""``pointmetrics compare``: two files, or two folders pair by pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointmetrics import __version__, _core
from pointmetrics._clouds.arrays import read_pair
from pointmetrics._metrics.neighbors import find
from pointmetrics._tables.build import class_of
from pointmetrics._tables.folders import Matched, match
from pointmetrics._tables.table import Column, Row, Table

from . import PARTLY, Failure, clouds, output, terminal
from .measure import Measured, Metric, needs_emd, needs_mesh, surface_distances

if TYPE_CHECKING:
    from pointmetrics._report.views import View

_SIDE_BY_SIDE = 32 << 20  # bytes of a pair's files up to which pairs run beside each other


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for on the command line."""

    a: Path
    b: Path
    metrics: list[Metric]
    thresholds: tuple[float, ...]
    options: clouds.Options
    normalise: str = "none"
    emd_max_points: int = 20_000
    strict: bool = False
    layout: str = "table"
    output: Path | None = None
    html: Path | None = None
    report_points: int = 40_000
    sort_by: str | None = None
    jobs: int = 1
    quiet: bool = False


@dataclass(slots=True)
class Result:
    """What came of one pair: values of all metrics, or an error."""

    name: str
    a: dict[str, object] = field(default_factory=dict)
    b: dict[str, object] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    view: View | None = None


def run(settings: Settings) -> int:
    """Compare, write everything that was asked for, and return the exit code."""
    output.check_writable(settings.output, (settings.a, settings.b))
    output.check_writable(settings.html, (settings.a, settings.b, *([settings.output] if settings.output else [])))
    ranking = _ranking(settings)
    matched = match(settings.a, settings.b)
    check_unmatched(matched, settings.a, settings.b, settings.strict, settings.quiet)
    results = []
    with terminal.progress("comparing", "pairs", settings.quiet or not matched.folders) as report:
        for result in measure_pairs(matched, settings):
            results.append(result)
            report(len(results), len(matched.pairs))
            _drop_views(results, ranking)
    failed = [result for result in results if result.error is not None]
    if len(failed) == len(results):
        raise Failure(
            failed[0].error or ""
            if len(failed) == 1
            else f"none of the {len(failed)} pairs could be compared; the first: {failed[0].error}"
        )
    content = document(matched, settings, results, ranking)
    if settings.html is not None:
        from pointmetrics._report import page

        output.write_file(settings.html, page(content, [result.view for result in results]).encode("utf-8"))
    from .layout import lay_out

    output.write(
        lay_out(content, settings.layout, settings.output is None and terminal.shows_tables()), settings.output
    )
    for result in failed:
        terminal.note(f"{result.name}: {result.error}")
    return PARTLY if failed else 0


def _ranking(settings: Settings) -> Metric:
    """Return the metric that says which pairs are worst."""
    if settings.sort_by is None:
        return settings.metrics[0]
    for metric in settings.metrics:
        if metric.name == settings.sort_by:
            return metric
    names = ", ".join(metric.name for metric in settings.metrics)
    raise Failure(f"--sort-by must be one of the metrics reported ({names}), got {settings.sort_by!r}", 2)


def check_unmatched(matched: Matched, a: Path, b: Path, strict: bool, quiet: bool) -> None:
    """Tell of files that have no partner; where ``strict``, refuse them."""
    for only, folder in ((matched.only_a, a), (matched.only_b, b)):
        if not only:
            continue
        listed = ", ".join(only[:10]) + (f" and {len(only) - 10} more" if len(only) > 10 else "")
        message = f"{len(only)} of the files are only in {folder}: {listed}"
        if strict:
            raise Failure(message)
        terminal.note(message, quiet)


def measure_pairs(matched: Matched, settings: Settings) -> Iterator[Result]:
    """Compare small pairs side by side, large ones one after another with all threads: in order, either way."""
    from concurrent.futures import ThreadPoolExecutor  # slow to load

    budget = _view_points(len(matched.pairs), settings)
    small = all(_size(a) + _size(b) <= _SIDE_BY_SIDE for _, a, b in matched.pairs)
    workers = min(settings.jobs, len(matched.pairs)) if small else 1
    threads = max(1, settings.jobs // workers)
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(lambda pair: _compare(pair, settings, budget, threads), matched.pairs)
    finally:
        _core.stop_calls(True)  # only the main thread hears of Ctrl-C, and what others compute may take minutes
        pool.shutdown(cancel_futures=True)
        _core.stop_calls(False)


def _size(path: Path) -> int:
    """Return a file's bytes; one that cannot be found is told of with its pair."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _view_points(n_pairs: int, settings: Settings) -> int:
    """Return how many points a cloud may have in the report, so that its size stays within reason."""
    if settings.html is None:
        return 0
    return max(1000, settings.report_points // max(1, min(n_pairs, 50) // 4))


def _compare(pair: tuple[str, Path, Path], settings: Settings, view_points: int, n_threads: int) -> Result:
    name, a, b = pair
    try:
        return _measure(name, a, b, settings, view_points, n_threads)
    except MemoryError:
        error = "there is not enough memory; --max-points N compares a random subset"
    except (Failure, ValueError, TypeError) as problem:
        error = str(problem)
    return Result(name, {"path": str(a)}, {"path": str(b)}, error=error)


def _measure(name: str, a: Path, b: Path, settings: Settings, view_points: int, n_threads: int) -> Result:
    clouds.check_memory(a, b, settings.options)
    read = [clouds.read_cloud(path, settings.options, name, side) for side, path in enumerate((a, b))]
    names = (str(a), str(b))
    raw = read_pair(read[0].points, read[1].points, names=names)  # before they are normalised, for its messages
    if settings.normalise == "none":
        pair = raw
    else:
        pair = read_pair(*clouds.normalise(raw.x.points, raw.y.points, settings.normalise), names=names)
    if needs_emd(settings.metrics):
        _check_emd_size(read, settings.emd_max_points)
    to_mesh = None
    if needs_mesh(settings.metrics):
        if settings.normalise != "none":
            raise Failure("point-to-mesh is taken in the files' own units: leave --normalise out", 2)
        if read[1].mesh is not None:
            to_mesh = surface_distances(read[0].points, read[1].mesh.vertices, read[1].mesh.faces, n_threads)
    measured = Measured(pair, find(pair, n_threads), read[0], read[1], to_mesh, n_threads)
    result = Result(name, read[0].describe(), read[1].describe())
    result.values = {metric.name: metric.measure(measured) for metric in settings.metrics}
    if view_points:
        from pointmetrics._report.views import make_view

        result.view = make_view(
            measured.pair.x.points,
            measured.pair.y.points,
            measured.found.sq_x,
            measured.found.sq_y,
            settings.thresholds,
            view_points,
            settings.options.seed,
        )
    return result


def _check_emd_size(read: list[clouds.Cloud], limit: int) -> None:
    for cloud in read:
        if len(cloud.points) > limit:
            raise Failure(
                f"{cloud.path} has {len(cloud.points):,} points, and the exact earth mover's distance is "
                f"limited to {limit:,}: raise --emd-max-points, or take fewer with --max-points"
            )


def _drop_views(results: list[Result], ranking: Metric) -> None:
    """Keep the views of the worst pairs only."""
    from pointmetrics._report import MAX_VIEWS

    viewed = [result for result in results if result.view is not None]
    if len(viewed) > MAX_VIEWS:
        best = (max if ranking.high_is_good else min)(viewed, key=lambda result: result.values[ranking.name])
        best.view = None


def document(matched: Matched, settings: Settings, results: list[Result], ranking: Metric) -> dict[str, Any]:
    """Return everything that reports say, in plain types: the JSON output."""
    options = settings.options
    return {
        "program": f"pointmetrics {__version__}",
        "a": str(settings.a),
        "b": str(settings.b),
        "folders": matched.folders,
        "options": {
            "normalise": settings.normalise,
            "sample_mesh": options.sample_mesh,
            "max_points": options.max_points,
            "drop_invalid": options.drop_invalid,
            "seed": options.seed,
        },
        "metrics": {
            metric.name: {
                "unit": unit_of(metric, settings),
                "definition": metric.formula,
                "better": "higher" if metric.high_is_good else "lower",
            }
            for metric in settings.metrics
        },
        "sorted_by": ranking.name,
        "pairs": [
            {"name": result.name, "a": result.a, "b": result.b, "metrics": result.values or None, "error": result.error}
            for result in results
        ],
        "summary": _summary(settings.metrics, [result for result in results if result.error is None])
        if matched.folders
        else None,
        "classes": _by_class(settings.metrics, [result for result in results if result.error is None]),
        "unmatched": {"a": matched.only_a, "b": matched.only_b},
    }


def unit_of(metric: Metric, settings: Settings) -> str:
    """Return the unit; lengths are without one once clouds are normalised."""
    return metric.unit if settings.normalise == "none" or metric.unit == "1" else f"normalised {metric.unit}"


def _summary(metrics: list[Metric], results: list[Result]) -> dict[str, dict[str, Any]]:
    summary = {}
    for metric in metrics:
        values = sorted(result.values[metric.name] for result in results)
        worst = (min if metric.high_is_good else max)(results, key=lambda result: result.values[metric.name])
        middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
        summary[metric.name] = {
            "mean": sum(values) / len(values),
            "median": middle,
            "min": values[0],
            "max": values[-1],
            "worst": worst.name,
        }
    return summary


def _by_class(metrics: list[Metric], results: list[Result]) -> dict[str, dict[str, Any]] | None:
    """Return the means of every sub-folder, over these and over pairs; None where there are fewer than two."""
    rows = [Row("", class_of(result.name), result.name, result.values) for result in results]
    table = Table([Column(metric.name) for metric in metrics], rows, [""])
    if not table.classes:
        return None
    return {
        over or "(none)": {"pairs": table.count(over), **{m.name: table.mean("", m.name, over) for m in metrics}}
        for over in table.places
    }
