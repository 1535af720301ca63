"""``pointmetrics compare --preset``: the columns of a paper's table, and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pointmetrics import __version__, io, sets
from pointmetrics._metrics.chamfer import chamfer_distance
from pointmetrics._metrics.preset_tables import Preset
from pointmetrics._metrics.presets import measure_preset, presets
from pointmetrics._tables.folders import Matched, list_files, match

from . import PARTLY, Failure, clouds, output, terminal
from .compare import check_unmatched
from .set_metrics import read_set


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for on the command line."""

    a: Path
    b: Path
    preset: str
    options: clouds.Options
    peak: float = 1023.0
    threshold: float = 0.01
    references: Path | None = None
    strict: bool = False
    layout: str = "table"
    output: Path | None = None
    jobs: int = 1
    quiet: bool = False


@dataclass(slots=True)
class Row:
    """One pair: its values by column, or an error."""

    name: str
    values: dict[str, float | None] = field(default_factory=dict)
    error: str | None = None
    hint: str | None = None  # of what was done otherwise than the preset's notes say


def run(settings: Settings) -> int:
    """Fill the table, write it, and return the exit code."""
    output.check_writable(settings.output, (settings.a, settings.b))
    preset = presets()[settings.preset]
    if settings.options.sample_mesh is None:
        settings = replace(settings, options=replace(settings.options, sample_mesh=preset.sample_mesh))
    if preset.of == "sets":
        samples, references = (read_set(path, settings, side) for side, path in enumerate((settings.a, settings.b)))
        rows: list[Row] = []
        values = sets.evaluate_preset(settings.preset, samples, references, n_threads=settings.jobs)
        counted = f"{len(samples):,} samples of {settings.a}, {len(references):,} references of {settings.b}"
    else:
        rows = _pairs(preset, settings)
        done = [row for row in rows if row.error is None]
        if not done:
            raise Failure(
                rows[0].error or ""
                if len(rows) == 1
                else f"none of the {len(rows)} pairs could be compared; the first: {rows[0].error}"
            )
        values = {column.title: _mean([row.values[column.title] for row in done]) for column in preset.columns}
        if preset.name == "pcn-kitti":
            values |= _whole_folders(settings)
        counted = f"{len(done):,} pair{'s' if len(done) > 1 else ''} of {settings.a} and {settings.b}"
    _tell_missing(preset, values, settings.quiet)
    rich = settings.output is None and terminal.shows_tables()
    output.write(_lay_out(preset, values, rows, counted, settings, rich), settings.output)
    if preset.name == "pu-gan":
        _tell_mixed(rows, settings.quiet)
    for row in rows:
        if row.hint is not None:
            terminal.note(row.hint, settings.quiet)
    failed = [row for row in rows if row.error is not None]
    for row in failed:
        terminal.note(f"{row.name}: {row.error}")
    return PARTLY if failed else 0


def _pairs(preset: Preset, settings: Settings) -> list[Row]:
    matched = match(settings.a, settings.b)
    check_unmatched(matched, settings.a, settings.b, settings.strict, settings.quiet)
    rows = []
    with terminal.progress(preset.name, "pairs", settings.quiet or not matched.folders) as report:
        for row in measure_pairs(matched, settings):
            rows.append(row)
            report(len(rows), len(matched.pairs))
    return rows


def measure_pairs(matched: Matched, settings: Settings) -> Iterator[Row]:
    """Yield what became of each pair."""
    for name, a, b in matched.pairs:
        try:
            yield _measure(name, a, b, settings)
        except MemoryError:
            yield Row(name, error="there is not enough memory; --max-points N takes a random subset")
        except (Failure, ValueError, TypeError) as problem:
            yield Row(name, error=str(problem))


def _measure(name: str, a: Path, b: Path, settings: Settings) -> Row:
    clouds.check_memory(a, b, settings.options)
    x, y = (clouds.read_cloud(path, settings.options, name, side) for side, path in enumerate((a, b)))
    mesh = None if y.mesh is None else (y.mesh.vertices, y.mesh.faces)
    wanted = settings.preset == "mpeg-ctc" and settings.options.sample_mesh is None
    normals = io.read_normals(b) if wanted else None
    fault = None if normals is None else _fault_of(normals, len(y.points))
    values = measure_preset(
        settings.preset,
        x.points,
        y.points,
        mesh=mesh,
        normals=None if normals is None or fault else (None, normals),
        peak=settings.peak,
        threshold=settings.threshold,
        n_threads=settings.jobs,
    )
    return Row(name, values, hint=fault and f"{b}: {fault}: those of 16 neighbours are taken for D2")


def _fault_of(normals: np.ndarray, n: int) -> str | None:
    """Tell why the normals of a file cannot be those of its n points."""
    if len(normals) != n:
        return "its normals are of more points than were taken"
    if not np.isfinite(normals).all():
        return "its normals are not all finite"
    return None if normals.any() else "its normals are all 0"


def _whole_folders(settings: Settings) -> dict[str, float | None]:
    """Return what KITTI's table has beside fidelity: from outputs of consecutive frames, and from complete cars."""
    found: dict[str, float | None] = {}
    names = list(list_files(settings.a).items()) if settings.a.is_dir() else [(settings.a.name, settings.a)]

    def read(name: str, path: Path) -> np.ndarray | None:
        """Return a frame; None for one that cannot be read, of which the pairs tell."""
        try:
            return clouds.read_cloud(path, settings.options, name, 0).points
        except (Failure, ValueError, TypeError):
            return None

    frames: dict[Path, list[tuple[str, Path]]] = {}
    for name, path in sorted(names, key=lambda item: _natural(item[0])):
        frames.setdefault(path.parent, []).append((name, path))
    tracks = []
    for files in frames.values():
        steps = [
            float(chamfer_distance(one, two, n_threads=settings.jobs))
            for one, two in pairwise(read(*file) for file in files)
            if one is not None and two is not None
        ]
        if steps:
            tracks.append(sum(steps) / len(steps))
    found["Consistency x1e3"] = 1e3 * sum(tracks) / len(tracks) if tracks else None
    found["MMD x1e3"] = None
    if settings.references is not None:
        cars = read_set(settings.references, settings, 1)
        outputs = (output for output in (read(*item) for item in names) if output is not None)
        least = [sets.pairwise_distances([one], cars, n_threads=settings.jobs).min() for one in outputs]
        found["MMD x1e3"] = float(1e3 * np.mean(least))
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort frame 2 before frame 10."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name)]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _tell_missing(preset: Preset, values: dict[str, float | None], quiet: bool) -> None:
    for needs, columns in groupby((c for c in preset.columns if values[c.title] is None), key=lambda c: c.needs):
        terminal.note(
            f"{', '.join(c.title for c in columns)}: needs {needs}"
            + ("; --references names it" if "folder" in needs else ""),
            quiet,
        )


def _tell_mixed(rows: list[Row], quiet: bool) -> None:
    """Tell of a mean over disks of meshes and disks of the unit sphere."""
    done = [row for row in rows if row.error is None]
    bare = [row.name for row in done if row.values["P2F x1e3"] is None]
    if 0 < len(bare) < len(done):
        terminal.note(
            f"{len(bare)} of {len(done)} truths have no mesh ({bare[0]}), and other disks: compare them apart", quiet
        )


def _categories(preset: Preset, rows: list[Row]) -> dict[str, dict[str, float | None]]:
    """Return the means of each folder of pairs, where the table has categories and all pairs are in folders."""
    done = [row for row in rows if row.error is None]
    if not preset.per_category or not done or any("/" not in row.name for row in done):
        return {}
    of: dict[str, list[Row]] = {}
    for row in done:
        of.setdefault(row.name.rpartition("/")[0], []).append(row)
    return {
        name: {column.title: _mean([row.values[column.title] for row in some]) for column in preset.columns}
        for name, some in sorted(of.items())
    }


def _document(
    preset: Preset,
    values: dict[str, float | None],
    categories: dict[str, dict[str, float | None]],
    rows: list[Row],
    settings: Settings,
) -> dict[str, Any]:
    """Return what JSON tells."""
    return {
        "program": f"pointmetrics {__version__}",
        "preset": preset.name,
        "paper": preset.paper,
        "notes": preset.notes,
        "a": str(settings.a),
        "b": str(settings.b),
        "columns": [
            {"title": c.title, "unit": c.unit, "scale": c.scale, "better": c.better, "definition": c.formula}
            for c in preset.columns
        ],
        "options": {
            "peak": settings.peak,
            "threshold": settings.threshold,
            "sample_mesh": settings.options.sample_mesh,
            "max_points": settings.options.max_points,
            "seed": settings.options.seed,
        },
        "values": _finite(values),
        "categories": {name: _finite(means) for name, means in categories.items()},
        "pairs": [
            {"name": row.name, "values": _finite(row.values) if row.error is None else None, "error": row.error}
            for row in rows
        ],
    }


def _lay_out(
    preset: Preset, values: dict[str, float | None], rows: list[Row], counted: str, settings: Settings, rich: bool
) -> str:
    titles = [column.title for column in preset.columns]
    categories = _categories(preset, rows) if settings.a.is_dir() else {}
    if settings.layout == "json":
        return output.to_json(_document(preset, values, categories, rows, settings))
    if settings.layout == "csv":
        lines = [[row.name, *(row.values.get(title) for title in titles), row.error] for row in rows]
        return output.to_csv(["pair", *titles, "error"], [*lines, ["mean", *(values[title] for title in titles), None]])

    def cells(means: dict[str, float | None]) -> list[str]:
        return ["-" if means[title] is None else f"{means[title]:#.4g}" for title in titles]

    heading = f"{preset.name}: {preset.paper}\n{counted}\n{preset.notes}\n\n"
    if categories:
        table = [[name, *cells(means)] for name, means in [*categories.items(), ("mean", values)]]
        return heading + terminal.table(["category", *titles], table, range(1, len(titles) + 1), rich=rich)
    return heading + terminal.table(titles, [cells(values)], range(len(titles)), rich=rich)


def _finite(values: dict[str, float | None]) -> dict[str, float | None]:
    """Leave out what JSON has no number for, such as the PSNR of clouds that are the same."""
    return {title: value if value is not None and math.isfinite(value) else None for title, value in values.items()}
