"""Read the clouds of a command: points, subsets, samples of surfaces, normalised by name."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pointmetrics import io

from . import Failure

NORMALISATIONS = {
    "none": "as they come",
    "shape-box": "each cloud by itself: its box's centre to 0, its longest side to 2",
    "shape-std": "each cloud by itself: minus its mean, over its standard deviation (one number)",
    "reference-box": "both alike, by the reference's box: its centre to 0, its longest side to 2",
    "reference-std": "both alike: minus the reference's mean, over its standard deviation (one number)",
}
# Bytes of memory that a comparison takes at its peak for each byte of both files: for float32 points, at 12 bytes
# each, 6.3 were measured. Faces and rows of text become lists, which take more.
_MEMORY_FACTOR, _MEMORY_FACTOR_TEXT = 8, 20


@dataclass(frozen=True, slots=True)
class Options:
    """How files become clouds."""

    sample_mesh: int | None = None
    max_points: int | None = None
    drop_invalid: bool = False
    seed: int = 0
    columns: tuple[str | int, ...] | None = None  # of text files


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points ``(n, d)`` and where they come from; ``mesh`` where the file has faces."""

    path: Path
    points: np.ndarray
    source: str
    mesh: io.Mesh | None = None

    def describe(self) -> dict[str, object]:
        """Return what reports say of it."""
        return {
            "path": str(self.path),
            "n_points": len(self.points),
            "dimension": self.points.shape[1],
            "source": self.source,
        }


def read_cloud(path: Path, options: Options, key: str, side: int) -> Cloud:
    """Read one file; ``key`` and ``side`` give every cloud random numbers of its own, whatever else is read."""
    rng = np.random.default_rng([options.seed, side, zlib.crc32(os.fsencode(key))])
    columns = options.columns if io.is_text(path) else None
    try:
        if columns is not None or (options.max_points is not None and options.sample_mesh is None):
            points = io.read_points(
                path, drop_invalid=options.drop_invalid, max_points=options.max_points, seed=rng, columns=columns
            )
            return Cloud(
                path,
                _finite(points, path),
                "points" if options.max_points is None else f"a random subset of at most {options.max_points:,}",
            )
        mesh = io.read_mesh(path)
        if options.sample_mesh is not None and len(mesh.faces):
            points = io.sample_mesh(mesh.vertices, mesh.faces, options.sample_mesh, seed=rng)
            return Cloud(path, points, "drawn from its surface", mesh)
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        text = str(error)
        raise Failure(text if text.startswith(str(path)) else f"{path}: {text}") from error
    points = mesh.vertices
    if options.drop_invalid and points.dtype.kind == "f":
        points = points[np.isfinite(points).all(axis=1)]
    if options.max_points is not None and len(points) > options.max_points:
        points = points[np.sort(rng.choice(len(points), options.max_points, replace=False, shuffle=False))]
    source = "vertices of a mesh" if len(mesh.faces) else "points"
    return Cloud(path, _finite(points, path), source, mesh if len(mesh.faces) else None)


def _finite(points: np.ndarray, path: Path) -> np.ndarray:
    if points.dtype.kind not in "fiu":
        raise Failure(f"{path}: must hold numbers, got dtype {points.dtype}")
    if len(points) == 0:
        raise Failure(f"{path}: every point has a NaN or infinite coordinate")
    bad = 0 if points.dtype.kind != "f" else int((~np.isfinite(points)).any(axis=1).sum())
    if bad:
        raise Failure(
            f"{path}: {bad:,} of {len(points):,} points have a NaN or infinite coordinate; "
            "--drop-invalid leaves them out"
        )
    return points


def normalise(x: np.ndarray, y: np.ndarray, preset: str) -> tuple[np.ndarray, np.ndarray]:
    """Normalise a cloud and its reference under a preset of ``NORMALISATIONS``."""
    if preset == "none":
        return x, y
    base, _, by = preset.partition("-")
    frames = [_frame(cloud, by) for cloud in ((y, y) if base == "reference" else (x, y))]
    moved = [(cloud - centre) / scale for cloud, (centre, scale) in zip((x, y), frames, strict=True)]
    return moved[0], moved[1]


def _frame(cloud: np.ndarray, by: str) -> tuple[np.ndarray, float]:
    """Return what to subtract and what to divide by; a single point stays at 0."""
    cloud = cloud.astype(np.float64, copy=False)
    if by == "box":
        low, high = cloud.min(axis=0), cloud.max(axis=0)
        centre, scale = (low + high) / 2, float((high - low).max() / 2)
    else:
        centre = cloud.mean(axis=0)
        scale = float((cloud - centre).std())
    return centre, scale if scale > 0 else 1.0


def check_memory(a: Path, b: Path, options: Options) -> None:
    """Refuse files that cannot be compared in the memory that is free, rather than be ended for it half-way."""
    loaded = [path for path in (a, b) if options.max_points is None or not _is_plain(path)]
    sizes = [_size(path) for path in loaded]
    need = sum(
        size * (_MEMORY_FACTOR if _is_plain(path) else _MEMORY_FACTOR_TEXT)
        for path, size in zip(loaded, sizes, strict=True)
    )
    free = free_memory()
    if free is not None and need > free:
        raise Failure(
            f"{' and '.join(map(str, loaded))}: reading {sum(sizes) / 1e9:.3g} GB takes about "
            f"{need / 1e9:.3g} GB of memory, and {free / 1e9:.3g} GB are free; --max-points N compares a "
            "random subset, of binary ply and npy files without loading the rest"
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror or error}") from error


def _is_plain(path: Path) -> bool:
    """Tell whether a file holds its points as they are in memory: a subset can be read without the rest."""
    if path.suffix.lower() == ".ply":
        try:
            with open(path, "rb") as file:
                return b"format ascii" not in file.read(200)
        except OSError:
            return False
    return path.suffix.lower() == ".npy"


def free_memory() -> int | None:
    """Return the bytes of memory that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
