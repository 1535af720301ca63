"""All-pairs matrices between sets of clouds, in blocks that can be resumed."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pointmetrics._backends.conventions import conventions, look_up, put_together
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.protocol import Backend
from pointmetrics._clouds.arrays import Clouds, agree, read_clouds
from pointmetrics._clouds.libraries import Library, refuse_masked
from pointmetrics._clouds.numbers import thread_count
from pointmetrics._io.npy import read_archive
from pointmetrics._metrics.dcd import density_aware_chamfer_distance
from pointmetrics._metrics.emd import solve_pairs
from pointmetrics._metrics.hausdorff import hausdorff_distance
from pointmetrics._sets.identity import identify

Metric = str | Callable[[list[np.ndarray], list[np.ndarray]], Any]
Progress = bool | Callable[[int, int], None]


def read_set(clouds: Any, name: str) -> tuple[Clouds, Library]:
    """Read a set of clouds: a batch ``(b, n, d)`` or a list of ``(n_i, d)``."""
    read, library = read_clouds(clouds, name)
    if read.kind == "single":
        raise ValueError(f"{name} must be a set: (b, n, d) or a list of (n_i, d), got shape {read.points.shape}")
    return read, library


def _chamfer_block(x: Clouds, y: Clouds, pairs: np.ndarray, convention: str, n_threads: int) -> np.ndarray:
    definition = look_up(convention)
    forth, back = x.backend.pairwise(x.points, x.offsets, y.points, y.offsets, pairs, definition.power, n_threads)
    return put_together(definition, forth, back, x.counts[pairs[:, 0]], y.counts[pairs[:, 1]])


def _named(metric: str, backend: Backend) -> Callable[[list[np.ndarray], list[np.ndarray], int], np.ndarray]:
    if metric == "emd":
        return lambda x, y, threads: solve_pairs(x, y, threads, backend)[0]
    functions: dict[str, Callable[..., Any]] = {"dcd": density_aware_chamfer_distance, "hausdorff": hausdorff_distance}
    if metric not in functions:
        raise ValueError(
            f"metric must be a function or one of emd, {', '.join([*functions, *conventions()])}; got {metric!r}"
        )
    return lambda x, y, threads: functions[metric](x, y, n_threads=threads)


def check_metric(metric: Any) -> None:
    """Raise TypeError or ValueError unless ``metric`` is a function or the name of one."""
    if isinstance(metric, str):
        if metric not in conventions():
            _named(metric, CPU)
    elif not callable(metric):
        raise TypeError(f"metric must be a name or a function, got {type(metric).__name__}")


def check_metric_name(name: Any, metric: Metric) -> None:
    """Raise TypeError or ValueError where ``name`` is none, or the metric has one."""
    if name is None:
        return
    if not isinstance(name, str):
        raise TypeError(f"metric_name must be a string or None, got {type(name).__name__}")
    if isinstance(metric, str):
        raise ValueError(f"metric_name names a metric that is a function, got {name!r} for the metric {metric!r}")


def evaluator(x: Clouds, y: Clouds, metric: Metric, n_threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from pairs ``(p, 2)`` of cloud numbers to distances ``(p,)`` in float64."""
    threads = thread_count(n_threads)
    check_metric(metric)
    if isinstance(metric, str) and metric in conventions():
        return lambda pairs: _chamfer_block(x, y, pairs, metric, threads)
    if isinstance(metric, str):
        named = _named(metric, x.backend)
        return lambda pairs: _on_host(named([x[i] for i, _ in pairs], [y[j] for _, j in pairs], threads), x)
    return lambda pairs: _checked(metric([x[i] for i, _ in pairs], [y[j] for _, j in pairs]), x, len(pairs))


def _on_host(values: Any, clouds: Clouds) -> np.ndarray:
    """Return one number a pair, computed where the clouds are, for the matrix, which is the host's."""
    if isinstance(values, clouds.backend.xp.ndarray):
        values = clouds.backend.download(values)
    return np.asarray(values, dtype=np.float64)


def _checked(values: Any, clouds: Clouds, n: int) -> np.ndarray:
    refuse_masked(values, "what metric returned")
    array = _on_host(values, clouds)
    if array.shape != (n,):
        raise ValueError(f"metric must return one number a pair, shape ({n},), got {array.shape}")
    return array


def fill_matrix(
    x: Clouds,
    y: Clouds | None,
    metric: Metric,
    *,
    n_threads: int | None,
    progress: Progress,
    checkpoint: str | Path | None,
    block: int | None,
    metric_name: str | None = None,
) -> np.ndarray:
    """Compute the matrix of all distances; without ``y`` among x, the upper half once."""
    other = x if y is None else y
    if y is not None:
        x, other = agree(x, y, ("a", "b"))
    evaluate = evaluator(x, other, metric, n_threads)
    matrix = np.full((len(x), len(other)), np.nan)
    if y is None:
        np.fill_diagonal(matrix, 0.0)
    key = _fingerprint(x, other, metric, y is None, metric_name) if checkpoint is not None else ""
    if checkpoint is not None:
        load_checkpoint(Path(checkpoint), key, matrix)
    report = reporter(progress)
    if block is None:
        block = 20_000 if isinstance(metric, str) and metric in conventions() else 256
    todo = np.argwhere(np.isnan(matrix) & (np.triu(np.ones_like(matrix)) > 0 if y is None else True))
    for done, pairs in _blocks(todo, block):
        values = evaluate(pairs)
        matrix[pairs[:, 0], pairs[:, 1]] = values
        if y is None:
            matrix[pairs[:, 1], pairs[:, 0]] = values
        if checkpoint is not None:
            save_checkpoint(Path(checkpoint), key, matrix)
        report(done, len(todo))
    return matrix


def _blocks(todo: np.ndarray, block: int) -> Iterator[tuple[int, np.ndarray]]:
    for begin in range(0, len(todo), block):
        pairs = np.ascontiguousarray(todo[begin : begin + block], dtype=np.int64)
        yield begin + len(pairs), pairs


def _fingerprint(x: Clouds, y: Clouds, metric: Metric, symmetric: bool, metric_name: str | None) -> str:
    name = metric if isinstance(metric, str) else identify(metric, metric_name)
    digest = hashlib.sha256(f"{name} {symmetric} {x.points.dtype}".encode())
    for clouds in (x, y):
        digest.update(clouds.backend.download(clouds.points).tobytes())
        digest.update(clouds.offsets.tobytes())
    return digest.hexdigest()


def load_checkpoint(path: Path, key: str, matrix: np.ndarray) -> None:
    """Fill ``matrix`` from the file where there is one; refuse one of other clouds."""
    if not path.exists():
        return
    try:
        saved = read_archive(path.read_bytes())
        saved_key, values = str(saved["key"]), saved["matrix"]
        if values.dtype != matrix.dtype:
            raise ValueError(f"its matrix is of dtype {values.dtype}")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is no checkpoint of a distance matrix: {error}") from error
    if saved_key != key or values.shape != matrix.shape:
        raise ValueError(
            f"{path} is the checkpoint of other clouds or another metric; remove it or name another "
            f"(a function counts as another one where anything changed that it closes over or uses; a "
            f"metric_name stands for it)"
        )
    matrix[:] = values


def save_checkpoint(path: Path, key: str, matrix: np.ndarray) -> None:
    """Write ``matrix`` for :func:`load_checkpoint`."""
    # Written beside and moved into place, so that an interruption leaves the last whole state.
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        np.savez(file, key=np.array(key), matrix=matrix)
    os.replace(part, path)


def reporter(progress: Progress) -> Callable[[int, int], None]:
    """Return what is to be called with ``(done, total)``."""
    if callable(progress):
        return progress
    if not progress:
        return lambda done, total: None

    def bar(done: int, total: int) -> None:
        width = 30 * done // total
        end = "\n" if done == total else ""
        sys.stderr.write(f"\r[{'#' * width}{'.' * (30 - width)}] {done}/{total} pairs{end}")
        sys.stderr.flush()

    return bar
