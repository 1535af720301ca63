"""``pointmetrics sets``: a set of generated clouds against a set of references."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pointmetrics import __version__, sets
from pointmetrics._backends.conventions import conventions
from pointmetrics._io.npy import coordinates, read_archive
from pointmetrics._tables.folders import list_files

from . import Failure, clouds, output, terminal

METRICS = ("emd", "dcd", "hausdorff", *conventions())
_IDEAL = {
    "mmd": "lower is better",
    "cov": "higher is better, 1 at most",
    "one_nna": "0.5 is ideal",
    "jsd": "lower is better, 0 at least",
}
_TITLES = {"mmd": "MMD", "cov": "COV", "one_nna": "1-NNA", "jsd": "JSD"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for on the command line."""

    samples: Path
    references: Path
    metric: str
    normalisation: str
    options: clouds.Options
    confidence: float = 0.95
    n_bootstrap: int = 1000
    checkpoint: Path | None = None
    matrices: Path | None = None
    layout: str = "table"
    output: Path | None = None
    jobs: int = 1
    quiet: bool = False


class _Reads(Protocol):
    """What settings say about reading."""

    @property
    def options(self) -> clouds.Options:
        """How files become clouds."""

    @property
    def quiet(self) -> bool:
        """Whether progress is not shown."""


def run(settings: Settings) -> int:
    """Evaluate, write, and return the exit code."""
    for path in (settings.output, settings.matrices, settings.checkpoint):
        output.check_writable(path, (settings.samples, settings.references))
    samples, references = (
        read_set(path, settings, side) for side, path in enumerate((settings.samples, settings.references))
    )
    with terminal.progress(settings.metric, "pairs", settings.quiet) as report:
        found = sets.evaluate(
            samples,
            references,
            settings.metric,
            normalization=settings.normalisation,
            confidence=settings.confidence,
            n_bootstrap=settings.n_bootstrap,
            seed=settings.options.seed,
            full_matrices=settings.matrices is not None,
            n_threads=settings.jobs,
            progress=report,
            checkpoint=settings.checkpoint,
        )
    if settings.matrices is not None:
        _save_matrices(found, settings.matrices)
    content = _document(settings, found, samples, references)
    rich = settings.output is None and terminal.shows_tables()
    output.write(_lay_out(content, settings.layout, rich), settings.output)
    return 0


def read_set(path: Path, settings: _Reads, side: int) -> list[np.ndarray]:
    """Read a folder of files, a batch ``(b, n, d)`` in an npy or npz file, or an npz file of one array a cloud."""
    if not path.exists():
        raise Failure(f"there is no file or folder {path}")
    if path.is_dir():
        files = list_files(path)
        with terminal.progress(f"reading {path.name}", "files", settings.quiet) as report:
            read = []
            for name, file in files.items():
                read.append(clouds.read_cloud(file, settings.options, name, side).points)
                report(len(read), len(files))
        return read
    if path.suffix.lower() not in (".npy", ".npz"):
        raise Failure(f"{path} must be a folder of clouds, or an .npy or .npz file of shape (b, n, d)")
    try:
        return _subsets(_batch(path), settings.options, side)
    except (ValueError, OSError) as error:
        raise Failure(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _batch(path: Path) -> list[np.ndarray]:
    arrays = read_archive(path.read_bytes())
    if len(arrays) == 1 and next(iter(arrays.values())).ndim == 3:
        return [coordinates(cloud) for cloud in next(iter(arrays.values()))]
    if "" not in arrays and arrays and all(array.ndim == 2 for array in arrays.values()):
        return [coordinates(cloud) for cloud in arrays.values()]
    shapes = ", ".join(f"{name} {array.shape}".strip() for name, array in arrays.items()) or "nothing"
    raise ValueError(f"must hold one array (b, n, d), or in npz one array (n, d) a cloud, got {shapes}")


def _subsets(batch: list[np.ndarray], options: clouds.Options, side: int) -> list[np.ndarray]:
    if options.drop_invalid:
        batch = [cloud[np.isfinite(cloud).all(axis=1)] for cloud in batch]
    most = options.max_points
    if most is None:
        return batch
    rng = np.random.default_rng([options.seed, side])
    return [
        cloud if len(cloud) <= most else cloud[np.sort(rng.choice(len(cloud), most, replace=False))] for cloud in batch
    ]


def _save_matrices(found: sets.SetEvaluation, path: Path) -> None:
    import io

    buffer = io.BytesIO()
    sr, rr, ss = (np.asarray(matrix) for matrix in (found.sr, found.rr, found.ss))
    np.savez(buffer, sr=sr, rr=rr, ss=ss)
    output.write_file(path, buffer.getvalue())


def _document(
    settings: Settings, found: sets.SetEvaluation, samples: list[np.ndarray], references: list[np.ndarray]
) -> dict[str, Any]:
    def estimate(value: sets.Estimate) -> dict[str, float]:
        return {"value": value.value, "low": value.low, "high": value.high}

    return {
        "program": f"pointmetrics {__version__}",
        "samples": {"path": str(settings.samples), "n_clouds": len(samples)},
        "references": {"path": str(settings.references), "n_clouds": len(references)},
        "dimension": samples[0].shape[1],
        "metric": found.metric,
        "normalisation": found.normalization,
        "confidence": settings.confidence,
        "n_bootstrap": settings.n_bootstrap,
        "seed": settings.options.seed,
        "results": {
            "mmd": estimate(found.mmd),
            "cov": estimate(found.cov),
            "one_nna": estimate(found.one_nna),
            "jsd": None if found.jsd is None else {"value": found.jsd},
        },
        "swapped": {name: estimate(value) for name, value in found.swapped.items()},
    }


def _lay_out(content: dict[str, Any], layout: str, rich: bool) -> str:
    if layout == "json":
        return output.to_json(content)
    rows = [(_TITLES[name], values, _IDEAL[name]) for name, values in content["results"].items()]
    rows += [(f"{_TITLES[name]}, sets swapped", values, "") for name, values in content["swapped"].items()]
    if layout == "csv":
        return output.to_csv(
            ["metric", "value", "low", "high"],
            [[title, *((values or {}).get(key) for key in ("value", "low", "high"))] for title, values, _ in rows],
        )
    share = f"{content['confidence']:.0%} interval"
    cells = [
        [
            title,
            "-" if values is None else f"{values['value']:.6g}",
            f"{values['low']:.6g} to {values['high']:.6g}" if values and "low" in values else "",
            "undefined: clouds leave [-0.5, 0.5]" if values is None else ideal,
        ]
        for title, values, ideal in rows
    ]
    heading = [
        f"{content[side]['n_clouds']:,} {side}, {content['dimension']}-D: {content[side]['path']}"
        for side in ("samples", "references")
    ]
    heading.append(f"metric {content['metric']}, normalisation {content['normalisation']}")
    return "\n".join(heading) + "\n" + terminal.table(["", "value", share, ""], cells, [1], rich=rich)
