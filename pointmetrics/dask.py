"""Many clouds on many machines, with Dask. The only module that imports it.

>>> import numpy as np, pointmetrics.dask
>>> clouds = np.random.default_rng(0).random((6, 50, 3))
>>> matrix = pointmetrics.dask.pairwise_distances(clouds, block=2)
>>> matrix.chunks
((2, 2, 2), (2, 2, 2))
>>> bool((matrix.compute() == pointmetrics.sets.pairwise_distances(clouds)).all())
True

All but :func:`evaluate` is lazy, as collections are, and everything is to the last bit what it is on one machine. A
block of pairs is one task on one thread: a worker that is lost costs the blocks it held, which the others do again.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import dask
    import dask.array as da
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph
except ImportError as error:
    raise ImportError("pointmetrics.dask needs dask: pip install 'imondrian[dask]'") from error

from . import io, sets
from ._backends.cpu.backend import CPU
from ._clouds.arrays import read_clouds
from ._clouds.objects import points_of
from ._metrics.compare import compare
from ._sets.matrix import Metric, check_metric
from ._sets.nearest import nearest_in_matrices

__all__ = ["compare_files", "compare_folders", "evaluate", "pairwise_distances"]

_Block = list[np.ndarray]


def pairwise_distances(a: Any, b: Any = None, metric: Metric = "cd-l2", *, block: int = 32) -> Any:
    """Compute the distances between all clouds of one or two sets, block by block.

    Parameters
    ----------
    a, b : sequence of clouds, or dask array (k, n, d)
        A cloud is an array (n_i, d), a path that workers can read (:mod:`pointmetrics.io`), or a Delayed array. A
        dask array is taken in its own chunks. Clouds in memory travel with the graph: for many, give paths. Without
        ``b``, the distances within ``a``: symmetric, each pair computed once.
    metric : str or callable, default="cd-l2"
        As in :func:`pointmetrics.sets.pairwise_distances`; workers must be able to unpickle a function.
    block : int, default=32
        Clouds a side of a block: a task does ``block ** 2`` pairs.

    Returns
    -------
    dask array (len(a), len(b)) or (len(a), len(a)), float64

    Raises
    ------
    TypeError, ValueError
        At once for sets and metrics of the wrong kind, when computed for clouds of the wrong kind: the message
        names the cloud, as ``a[17]``.
    """
    check_metric(metric)
    first, rows = _blocks(a, "a", block)
    second, columns = (first, rows) if b is None else _blocks(b, "b", block)
    common = _delayed(_common_dtype)([_delayed(_dtype)(part) for part in (first if b is None else first + second)])
    name = f"distances-{dask.base.tokenize(metric, b is None, [part.key for part in first + second])}"
    graph: dict[Any, Any] = {}
    for i, x in enumerate(first):
        for j, y in enumerate(second):
            if b is None and j < i:
                graph[name, i, j] = (np.transpose, (name, j, i))
            else:
                within = b is None and i == j
                graph[name, i, j] = (_distances, x.key, None if within else y.key, metric, common.key)
    parts = [*first, *([] if b is None else second), common]
    layers = HighLevelGraph.from_collections(name, graph, dependencies=parts)
    return da.Array(layers, name, (tuple(rows), tuple(columns)), dtype=np.float64)


def evaluate(
    samples: Any,
    references: Any,
    metric: Metric = "cd-l2",
    *,
    normalization: str = "none",
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
    block: int = 32,
) -> sets.SetEvaluation:
    """Evaluate generated clouds against reference clouds: MMD, COV, 1-NNA and JSD, at once.

    Parameters
    ----------
    samples, references
        Sets of clouds as in :func:`pairwise_distances`. They are gathered here as well, since normalisation and JSD
        look at all points; with ``normalization="none"`` files are read by the workers, too.
    metric, normalization, confidence, n_bootstrap, seed
        As in :func:`pointmetrics.sets.evaluate`.
    block : int, default=32
        Clouds a side of a block.

    Returns
    -------
    pointmetrics.sets.SetEvaluation
        Equal to that of :func:`pointmetrics.sets.evaluate`.
    """
    check_metric(metric)
    sets.check_confidence(confidence)
    _check_block(block)
    normalized, on_host = sets.normalized_pair(
        _gather(samples, "samples"), _gather(references, "references"), normalization
    )
    s, r = (samples, references) if normalization == "none" else normalized
    lazy = [pairwise_distances(a, b, metric, block=block) for a, b in ((s, r), (r, None), (s, None))]
    matrices = dask.compute(*lazy)
    return sets.summarize(
        nearest_in_matrices(*matrices), matrices, on_host, metric, normalization, confidence, n_bootstrap, seed
    )


def compare_files(
    pairs: Sequence[tuple[Any, Any]],
    *,
    names: Sequence[str] | None = None,
    drop_invalid: bool = False,
    max_points: int | None = None,
    seed: int = 0,
    block: int = 8,
    **options: Any,
) -> Any:
    """Compare pairs of files that the workers read.

    Parameters
    ----------
    pairs : sequence of (path, path)
        What is judged and its reference, at paths that every worker can read.
    names : sequence of str, optional
        Of the pairs; the first path by default.
    drop_invalid, max_points, seed
        As in :func:`pointmetrics.io.read_points`.
    block : int, default=8
        Pairs a task, and rows a partition of the result.
    **options
        Of :func:`pointmetrics.compare`: ``thresholds``, ``quantiles``, ``alpha``, ``n_lambda``, ``emd``.

    Returns
    -------
    dask dataframe
        A row a pair, in their order: ``name``, ``a``, ``b``, ``n_a``, ``n_b`` (points), a float64 column for each
        metric of :func:`pointmetrics.compare`, and ``error``. Where a file cannot be read or compared, ``error``
        says why and the metrics are NaN: one damaged file does not cost the others.

    Raises
    ------
    TypeError, ValueError
        At once, for bad pairs and options.
    """
    import dask.dataframe as dd

    _check_block(block)
    checked = [_check_pair(pair, number) for number, pair in enumerate(pairs)]
    if not checked:
        raise ValueError("pairs must hold at least one pair of paths, got none")
    if unknown := options.keys() & {"lengths", "n_threads"}:
        raise TypeError(f"{min(unknown)} is no option of a comparison of files")
    named = [a for a, _ in checked] if names is None else [str(name) for name in names]
    if len(named) != len(checked):
        raise ValueError(f"names must be one a pair, {len(checked)}, got {len(named)}")
    metrics = list(compare(np.zeros((1, 3)), np.zeros((1, 3)), **options))  # checks the options, too
    how = {"drop_invalid": drop_invalid, "max_points": max_points, "seed": seed}
    rows = [(number, name, *pair) for number, (name, pair) in enumerate(zip(named, checked, strict=True))]
    parts = [rows[begin : begin + block] for begin in range(0, len(rows), block)]
    return dd.from_map(
        _compare_block,
        parts,
        how=how,
        options=options,
        metrics=metrics,
        meta=_table([], metrics),
        divisions=(*(part[0][0] for part in parts), rows[-1][0]),
        label="compare-files",
    )


def compare_folders(a: str | os.PathLike[str], b: str | os.PathLike[str], **options: Any) -> Any:
    """Compare the files of two folders pair by pair, matched by name.

    Parameters
    ----------
    a, b : path
        Folders of clouds: what is judged, and the references. Files are matched by their path below the folder,
        without its suffix. They are listed here; the workers read them.
    **options
        Of :func:`compare_files`.

    Returns
    -------
    dask dataframe
        As of :func:`compare_files`, in the order of the names.

    Warns
    -----
    UserWarning
        Where files are in one folder only.

    Raises
    ------
    ValueError
        No folder, no file of a known format, or no name in common.
    """
    from ._tables.folders import match

    for name, folder in (("a", a), ("b", b)):
        if not Path(folder).is_dir():
            raise ValueError(f"{name} must be a folder, got {os.fspath(folder)!r}")
    matched = match(Path(a), Path(b))
    for only, folder in ((matched.only_a, a), (matched.only_b, b)):
        if only:
            more = f" and {len(only) - 10} more" if len(only) > 10 else ""
            warnings.warn(
                f"{len(only)} of the files are only in {os.fspath(folder)}: {', '.join(only[:10])}{more}", stacklevel=2
            )
    return compare_files([(x, y) for _, x, y in matched.pairs], names=[name for name, _, _ in matched.pairs], **options)


# -- here --------------------------------------------------------------------------------------------


def _delayed(function: Callable[..., Any]) -> Any:
    return dask.delayed(function, pure=True)


def _check_block(block: Any) -> None:
    if isinstance(block, bool) or not isinstance(block, (int, np.integer)):
        raise TypeError(f"block must be an int, got {type(block).__name__}")
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")


def _blocks(clouds: Any, name: str, block: int) -> tuple[list[Delayed], list[int]]:
    """Return a set as lists of clouds that are made where they are needed, and how many each has."""
    _check_block(block)
    if isinstance(clouds, da.Array):
        return _chunks(clouds, name)
    clouds = points_of(clouds, name)
    is_sequence = hasattr(clouds, "__len__") and hasattr(clouds, "__getitem__")
    if not is_sequence or isinstance(clouds, (str, bytes, Delayed)):
        raise TypeError(
            f"{name} must be a sequence of clouds, paths or Delayed, or a dask array, got {type(clouds).__name__}"
        )
    if len(clouds) == 0:
        raise ValueError(f"{name} is empty: it must hold at least one cloud")
    if getattr(clouds, "ndim", 3) != 3:
        raise ValueError(f"{name} must be a set: (b, n, d) or a list of (n_i, d), got shape {clouds.shape}")
    read = _delayed(_read)
    begins = range(0, len(clouds), block)
    parts = [[clouds[i] for i in range(begin, min(begin + block, len(clouds)))] for begin in begins]
    return [read(part, name, begin) for begin, part in zip(begins, parts, strict=True)], [len(part) for part in parts]


def _gather(clouds: Any, name: str) -> list[np.ndarray]:
    """Return a set as clouds in memory."""
    parts, _ = _blocks(clouds, name, len(clouds) if hasattr(clouds, "__len__") else 1)
    return [cloud for part in dask.compute(*parts) for cloud in part]


def _chunks(clouds: da.Array, name: str) -> tuple[list[Delayed], list[int]]:
    if clouds.ndim != 3:
        raise ValueError(f"{name} must be a set (k, n, d), got {clouds.ndim} axes")
    if any(np.isnan(size) for axis in clouds.chunks for size in axis):
        raise ValueError(f"{name} must have chunks of known sizes, got {clouds.chunks}: give x.compute_chunk_sizes()")
    if len(clouds.chunks[1]) != 1 or len(clouds.chunks[2]) != 1:
        raise ValueError(
            f"{name} must be in chunks of whole clouds, got {clouds.chunks[1:]}: give x.rechunk({{1: -1, 2: -1}})"
        )
    if 0 in clouds.shape:
        raise ValueError(f"{name} is empty: it has shape {clouds.shape}")
    if 0 in clouds.chunks[0]:
        clouds = clouds.rechunk({0: tuple(size for size in clouds.chunks[0] if size)})
    sizes = list(clouds.chunks[0])
    begins = np.cumsum([0, *sizes]).tolist()
    read = _delayed(_read)
    return [
        read(chunk, name, begin) for begin, chunk in zip(begins[:-1], np.ravel(clouds.to_delayed()), strict=True)
    ], sizes


def _check_pair(pair: Any, number: int) -> tuple[str, str]:
    if isinstance(pair, (str, bytes)) or not hasattr(pair, "__len__") or len(pair) != 2:
        raise TypeError(f"pairs[{number}] must be two paths, got {pair!r}")
    if not all(isinstance(path, (str, os.PathLike)) for path in pair):
        raise TypeError(f"pairs[{number}] must be two paths, got {pair!r}")
    return str(pair[0]), str(pair[1])


# -- on the workers ----------------------------------------------------------------------------------


def _read(clouds: Any, name: str, begin: int) -> _Block:
    """Return a block of clouds, checked, in one precision: the one that a set of them would have."""
    block = []
    for number, cloud in enumerate(clouds, begin):
        is_file = isinstance(cloud, (str, os.PathLike))
        try:
            read, _ = read_clouds(io.read_points(cloud) if is_file else cloud, f"{name}[{number}]")
        except (OSError, ValueError) as error:
            if not is_file:
                raise
            kind = type(error) if isinstance(error, OSError) else ValueError
            raise kind(f"{name}[{number}], {os.fspath(cloud)}: {error}") from None
        if read.kind != "single":
            raise ValueError(f"{name}[{number}] must have shape (n, d), got a set of clouds")
        if read.backend is not CPU:
            raise TypeError(f"{name}[{number}] must be in the host's memory, where workers can be sent it")
        block.append(read.points)
    return _as(block, _common_dtype([points.dtype for points in block]))


def _dtype(block: _Block) -> np.dtype:
    return block[0].dtype


def _common_dtype(dtypes: list[np.dtype]) -> np.dtype:
    return np.result_type(*dtypes)


def _as(block: _Block, dtype: np.dtype) -> _Block:
    return [points.astype(dtype, copy=False) for points in block]


def _distances(x: _Block, y: _Block | None, metric: Metric, dtype: np.dtype) -> np.ndarray:
    return sets.pairwise_distances(_as(x, dtype), None if y is None else _as(y, dtype), metric, n_threads=1)


def _compare_block(
    rows: list[tuple[int, str, str, str]], how: dict[str, Any], options: dict[str, Any], metrics: list[str]
) -> Any:
    return _table([_compare_pair(row, how, options) for row in rows], metrics)


def _compare_pair(row: tuple[int, str, str, str], how: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    number, name, a, b = row
    found: dict[str, Any] = {"number": number, "name": name, "a": a, "b": b, "n_a": 0, "n_b": 0}
    try:
        x, y = (io.read_points(path, **how) for path in (a, b))
        found |= {"n_a": len(x), "n_b": len(y)}
        found |= {metric: float(value) for metric, value in compare(x, y, n_threads=1, **options).items()}
    except (OSError, ValueError, TypeError, MemoryError) as error:
        found["error"] = f"{type(error).__name__}: {error}"
    return found


def _table(rows: list[dict[str, Any]], metrics: list[str]) -> Any:
    import pandas as pd

    texts, counts = ("name", "a", "b"), ("n_a", "n_b")
    kinds = {
        **dict.fromkeys(texts, "string"),
        **dict.fromkeys(counts, "int64"),
        **dict.fromkeys(metrics, "float64"),
        "error": "string",
    }
    index = pd.Index([row["number"] for row in rows], dtype="int64")
    return pd.DataFrame(
        {
            name: pd.array([row.get(name, np.nan if name in metrics else None) for row in rows], dtype=kind)
            for name, kind in kinds.items()
        },
        index=index,
    )
