"""Compare sets of clouds, as generative models are evaluated: MMD, COV, 1-NNA, JSD.

Published numbers differ by the order of the arguments, by normalisation and by the underlying distance.
Here the arguments are named ``samples`` and ``references``, results carry the swapped order beside the
right one, and normalisations and distances go by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ._clouds.arrays import Clouds
from ._clouds.libraries import on_callers_device
from ._clouds.numbers import thread_count
from ._metrics.presets import look_up, titled
from ._sets.divergence import jensen_shannon_divergence
from ._sets.emd import NearestSearch
from ._sets.matrix import Metric, Progress, check_metric_name, fill_matrix, read_set, reporter
from ._sets.nearest import NearestClouds, keeps_nearest_alone, nearest_in_matrices, nearest_in_sets
from ._sets.normalization import PRESETS, normalize, normalized_pair

__all__ = [
    "PRESETS",
    "Estimate",
    "SetEvaluation",
    "evaluate",
    "evaluate_preset",
    "jensen_shannon_divergence",
    "normalize",
    "pairwise_distances",
]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the bounds of its confidence interval."""

    value: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True, slots=True)
class SetEvaluation:
    """What :func:`evaluate` found.

    ``mmd``, ``cov`` and ``one_nna`` are :class:`Estimate`; ``jsd`` is a float, or None where clouds leave
    the cube [-0.5, 0.5]^d that it is defined on. ``swapped`` has ``mmd`` and ``cov`` with samples and
    references exchanged (1-NNA and JSD do not change). Matrices are ``sr`` (samples by references),
    ``rr`` and ``ss``; None where they were not asked for and never stored.
    """

    metric: str
    normalization: str
    mmd: Estimate
    cov: Estimate
    one_nna: Estimate
    jsd: float | None
    swapped: dict[str, Estimate]
    sr: np.ndarray | None = field(repr=False)
    rr: np.ndarray | None = field(repr=False)
    ss: np.ndarray | None = field(repr=False)

    def __str__(self) -> str:
        rows = [
            ("MMD", self.mmd),
            ("COV", self.cov),
            ("1-NNA", self.one_nna),
            *((f"{name.upper()} with the sets swapped", value) for name, value in self.swapped.items()),
        ]
        lines = [f"metric {self.metric}, normalization {self.normalization}"]
        lines += [f"{name:<26} {e.value:.6g}  [{e.low:.6g}, {e.high:.6g}]" for name, e in rows]
        return "\n".join([*lines, f"{'JSD':<26} {'-' if self.jsd is None else format(self.jsd, '.6g')}"])


@on_callers_device
def pairwise_distances(
    a: Any,
    b: Any = None,
    metric: Metric = "cd-l2",
    *,
    n_threads: int | None = None,
    progress: Progress = False,
    checkpoint: str | Path | None = None,
    block: int | None = None,
    metric_name: str | None = None,
) -> np.ndarray:
    """Compute the distances between all clouds of one or two sets.

    Parameters
    ----------
    a, b : array (k, n, d) or list of (n_i, d) arrays
        Sets of clouds. Without ``b``, the distances within ``a``: symmetric, each pair computed once.
    metric : str or callable, default="cd-l2"
        A key of :func:`pointmetrics.conventions`, "dcd", "hausdorff", "emd", or a function that takes two
        equally long lists of clouds and returns one number a pair. Within one set it must be symmetric.
    n_threads : int, default=None
        Threads; ``None`` uses all.
    progress : bool or callable, default=False
        True writes a bar to standard error; a function is called with ``(done, total)``.
    checkpoint : path, default=None
        File to save finished blocks in and to resume from. One of other clouds or another metric is refused.
    block : int, default=None
        Pairs between two reports and saves; ``None`` means 20000 for Chamfer distances, else 256.
    metric_name : str, default=None
        What a checkpoint knows a function by: it stands for the function with all its parameters. ``None``
        compares the function's code, defaults, what it closes over or is bound to, and globals of its module.

    Returns
    -------
    array (len(a), len(b)) or (len(a), len(a))
        float64; usable as ``metric="precomputed"`` of scikit-learn. CuPy's for clouds of CuPy, else numpy's.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> clouds = np.random.default_rng(0).random((3, 50, 3))
    >>> pm.sets.pairwise_distances(clouds).round(3)
    array([[0.   , 0.07 , 0.067],
           [0.07 , 0.   , 0.066],
           [0.067, 0.066, 0.   ]])
    """
    check_metric_name(metric_name, metric)
    first, library = read_set(a, "a")
    second = None if b is None else read_set(b, "b")[0]
    matrix = fill_matrix(
        first,
        second,
        metric,
        n_threads=n_threads,
        progress=progress,
        checkpoint=checkpoint,
        block=block,
        metric_name=metric_name,
    )
    return library.wrap(matrix) if library.name == "cupy" else matrix


@on_callers_device
def evaluate(
    samples: Any,
    references: Any,
    metric: Metric = "cd-l2",
    *,
    normalization: str = "none",
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
    full_matrices: bool = True,
    n_threads: int | None = None,
    progress: Progress = False,
    checkpoint: str | Path | None = None,
    metric_name: str | None = None,
) -> SetEvaluation:
    """Evaluate generated clouds against reference clouds: MMD, COV, 1-NNA and JSD.

    Parameters
    ----------
    samples : array (s, n, d) or list of (n_i, d) arrays
        The generated clouds.
    references : array (r, n, d) or list of (n_i, d) arrays
        The clouds of the data set.
    metric : str or callable, default="cd-l2"
        As in :func:`pairwise_distances`.
    normalization : str, default="none"
        A key of ``PRESETS``, applied to both sets; "global" takes its numbers from the references.
    confidence : float, default=0.95
        Of the intervals.
    n_bootstrap : int, default=1000
        Resamplings for them.
    seed : int, default=0
        Of the resamplings.
    full_matrices : bool, default=True
        With False, store or compute no more of the matrices than the results need, which stay the same to
        the bit. Chamfer distances keep every cloud's nearest alone, in memory that grows with the number of
        clouds instead of pairs (except with a ``checkpoint``, which keeps matrices). ``metric="emd"`` solves
        only the pairs that lower bounds do not rule out, several times sooner, and has NaN in the matrices
        for the rest. Other metrics compute all.
    n_threads, progress, checkpoint
        As in :func:`pairwise_distances`; ``checkpoint`` becomes three files, ``.sr``, ``.rr``, ``.ss``, or
        one, ``.needed``, where pairs are left out.
    metric_name : str, default=None
        As in :func:`pairwise_distances`; also the result's ``metric``.

    Returns
    -------
    SetEvaluation

    Notes
    -----
    MMD is the mean over references of the distance to the nearest sample (lower is better). COV is the
    share of references that are the nearest reference of some sample (higher is better). 1-NNA is the
    share of clouds of both sets whose nearest other cloud is of their own set (0.5 is ideal). Of equally
    near clouds the first counts, references before samples. Intervals are percentile bootstraps over
    the averaged clouds, with each cloud's neighbours kept: they say how precise the average is, not how
    the sets would vary if they were drawn anew.

    A pair is ruled out where a lower bound of its earth mover's distance exceeds a distance already
    solved: from sorted projections to four orthonormal bases (which include the distance of the
    centroids), from mean nearest-neighbour distances either way, and from solved pairs by the triangle
    inequality. For 1-NNA it is enough to know which set holds the nearest cloud.

    References
    ----------
    Yang et al., "PointFlow", ICCV 2019, section 4.1; Lopez-Paz and Oquab, "Revisiting Classifier
    Two-Sample Tests", ICLR 2017 (1-NNA); Achlioptas et al., ICML 2018 (MMD, COV, JSD).

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> rng = np.random.default_rng(0)
    >>> result = pm.sets.evaluate(rng.random((8, 40, 3)), rng.random((8, 40, 3)))
    >>> round(result.mmd.value, 4), result.cov.value, result.one_nna.value
    (0.0636, 0.5, 0.5625)
    """
    check_confidence(confidence)
    check_metric_name(metric_name, metric)
    sets, on_host = normalized_pair(samples, references, normalization)
    matrices = None
    if keeps_nearest_alone(metric, full_matrices, checkpoint):
        near = nearest_in_sets(
            read_set(sets[0], "samples")[0],
            read_set(sets[1], "references")[0],
            str(metric),
            thread_count(n_threads),
            reporter(progress),
        )
    else:
        matrices = _matrices(sets, metric, full_matrices, n_threads, progress, checkpoint, metric_name)
        near = nearest_in_matrices(*matrices)
    return summarize(near, matrices, on_host, metric_name or metric, normalization, confidence, n_bootstrap, seed)


def evaluate_preset(
    name: str, samples: Any, references: Any, *, n_threads: int | None = None
) -> dict[str, float | None]:
    """Compute the columns of a paper's table for generated clouds.

    Parameters
    ----------
    name : str
        A key of :func:`pointmetrics.presets`, of those that are of sets: "pointflow", "pvd", "lion".
    samples, references : array (k, n, d) or list of (n_i, d) arrays
        As in :func:`evaluate`, in the data's own coordinates.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    dict of str to float or None
        Title of the column -> value, times the scale in the title. JSD is None where clouds leave [-0.5, 0.5].

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> clouds = np.random.default_rng(0).random((12, 20, 3)) - 0.5
    >>> list(pm.sets.evaluate_preset("pvd", clouds[:6], clouds[6:]))[:3]
    ['1-NNA-CD %', '1-NNA-EMD %', 'MMD-CD x1e3']
    """
    preset = look_up(name, "sets")
    found = {
        metric: evaluate(samples, references, key, n_bootstrap=1, full_matrices=False, n_threads=n_threads)
        for metric, key in (("CD", "cd-l2"), ("EMD", "emd"))
    }
    values = {"JSD": found["CD"].jsd}
    for metric, result in found.items():
        for kind, estimate in (("MMD", result.mmd), ("COV", result.cov), ("1-NNA", result.one_nna)):
            values[f"{kind}-{metric}"] = estimate.value
    return titled(preset, [values[column.title.partition(" ")[0]] for column in preset.columns])


def check_confidence(confidence: float) -> None:
    """Raise ValueError unless ``confidence`` is a share."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")


def summarize(
    near: NearestClouds,
    matrices: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    on_host: list[list[np.ndarray]],
    metric: Metric,
    normalization: str,
    confidence: float,
    n_bootstrap: int,
    seed: int,
) -> SetEvaluation:
    """Return what every cloud's nearest say of two sets; in ``(sr, rr, ss)`` pairs left out are infinite."""
    rng = np.random.default_rng(seed)

    def estimate(values: np.ndarray) -> Estimate:
        picks = rng.integers(0, len(values), size=(n_bootstrap, len(values)))
        low, high = np.quantile(values[picks].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
        return Estimate(float(values.mean()), float(low), float(high))

    inside = all(np.abs(cloud).max() <= 0.5 for clouds in on_host for cloud in clouds)
    sr, rr, ss = (None, None, None) if matrices is None else map(_unknown, matrices)
    return SetEvaluation(
        metric=metric if isinstance(metric, str) else getattr(metric, "__qualname__", repr(metric)),
        normalization=normalization,
        mmd=estimate(near.of_references),
        cov=estimate(near.references_covered),
        one_nna=estimate(near.own_set_is_nearest),
        jsd=jensen_shannon_divergence(*on_host) if inside else None,
        swapped={"mmd": estimate(near.of_samples), "cov": estimate(near.samples_covered)},
        sr=sr,
        rr=rr,
        ss=ss,
    )


def _matrices(
    sets: list[list[Any]],
    metric: Metric,
    full: bool,
    n_threads: int | None,
    progress: Progress,
    checkpoint: str | Path | None,
    metric_name: str | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sr, rr and ss on the host; inf where a pair was left out."""
    if metric == "emd" and not full:
        path = None if checkpoint is None else Path(f"{checkpoint}.needed")
        return NearestSearch(sets[0], sets[1], thread_count(n_threads), reporter(progress), path).run()
    read = [read_set(clouds, "clouds")[0] for clouds in sets]

    def matrix(a: Clouds, b: Clouds | None, name: str) -> np.ndarray:
        path = None if checkpoint is None else f"{checkpoint}.{name}"
        return fill_matrix(
            a, b, metric, n_threads=n_threads, progress=progress, checkpoint=path, block=None, metric_name=metric_name
        )

    return matrix(read[0], read[1], "sr"), matrix(read[1], None, "rr"), matrix(read[0], None, "ss")


def _unknown(matrix: np.ndarray) -> np.ndarray:
    """Give the pairs that were left out as NaN."""
    return np.where(np.isinf(matrix), np.nan, matrix)
