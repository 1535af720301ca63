"""All nearest-neighbour metrics from one pass, and the earth mover's distance beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pointmetrics._backends.conventions import conventions, look_up
from pointmetrics._clouds.arrays import Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device, on_host
from pointmetrics._clouds.numbers import check_number, check_numbers, thread_count

from . import by_name as _by_name
from . import chamfer as _chamfer
from . import dcd as _dcd
from . import f_score as _fscore
from . import hausdorff as _hausdorff
from .emd import solve_pairs
from .features import parse_metric
from .neighbors import find

_NAMED_CHAMFER = conventions()
_CHAMFER = ("cd-l2", "cd-l1", "open3d", "occnet-l2", "pdal")


class Comparison(dict[str, Any]):
    """Metric name -> value; ``units`` has the same keys. Printed, it is a table."""

    def __init__(self, values: dict[str, Any], units: dict[str, str]) -> None:
        super().__init__(values)
        self.units = units

    def __str__(self) -> str:
        width = max(map(len, self))
        rows = (
            f"{name:<{width}}  {np.array2string(on_host(value), precision=6)}  {self.units[name]}"
            for name, value in self.items()
        )
        return "\n".join(row.rstrip() for row in rows)


@on_callers_device
def compare(
    x: Any,
    y: Any,
    *,
    thresholds: Any = (0.01,),
    quantiles: Any = (0.95,),
    alpha: float = 1000.0,
    n_lambda: float = 1.0,
    emd: bool = False,
    metrics: Any = (),
    lengths: Any = None,
    n_threads: int | None = None,
) -> Comparison:
    """Report every nearest-neighbour metric of two clouds, from one search; on request their EMD, too.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds, as in :func:`chamfer_distance`: x is what is judged, y the reference.
    thresholds : sequence of float, default=(0.01,)
        Of the F-score, in the unit of the coordinates.
    quantiles : sequence of float, default=(0.95,)
        Of the Hausdorff distance, beside the full one.
    alpha, n_lambda : float, default=1000.0, 1.0
        Of the density-aware Chamfer distance.
    emd : bool, default=False
        Also report the exact earth mover's distance, of clouds of equal or unequal sizes. It takes far
        longer than all else together.
    metrics : sequence of str, default=()
        Names of more to report: "hyper-cd", "info-cd", "emd-squared", "sliced-wasserstein", "fidelity",
        "dtu-accuracy", "dtu-completeness", "dtu-overall"; with a number after "@" "psnr-d1" and "psnr-d2" (the peak),
        "uniformity" (the share of the surface), "tnt-f-score", "tnt-precision" and "tnt-recall" (the threshold);
        and those of :class:`pointmetrics.sklearn.CloudDistances`.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    Comparison
        A dict of metric name to value (a scalar or ``(b,)``), with ``units`` of the same keys.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> result = pm.compare([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]], thresholds=[1.0])
    >>> float(result["hausdorff"]), result.units["hausdorff"]
    (5.0, 'length')
    >>> float(result["recall@1"]), float(result["cd-l2"])
    (1.0, 12.5)
    """
    alpha, n_lambda = check_number(alpha, "alpha", 0), check_number(n_lambda, "n_lambda", 0)
    quantiles = check_numbers(quantiles, "quantiles", 0, 1)
    checked = _fscore.read_thresholds(thresholds)
    more = _read_names(metrics)
    pair = read_pair(x, y, lengths=lengths)
    found = find(pair, n_threads)
    values: dict[str, Any] = {}
    units: dict[str, str] = {}

    def add(name: str, value: Any, unit: str) -> None:
        values[name] = pair.result(value)
        units[name] = unit

    for name in _CHAMFER:
        options = _chamfer.read_options(pair, name, None, "both", None)
        add(name, _chamfer.value_of(pair, found, options), look_up(name).units)
    dcd, _ = _dcd.value_and_grad(pair, found, alpha=alpha, n_lambda=n_lambda, need_grad=False)
    add("dcd", dcd, "1")
    for quantile in (1.0, *quantiles):
        distance, _ = _hausdorff.value_and_grad(pair, found, quantile=quantile, need_grad=False)
        add("hausdorff" if quantile == 1 else f"hausdorff-{quantile * 100:g}%", distance, "length")
    scores = _fscore.rates(pair, found, checked)
    for k, threshold in enumerate(checked):
        for name, rate in zip(("f-score", "precision", "recall"), scores, strict=True):
            add(f"{name}@{threshold:g}", rate[:, k], "1")
    if emd:
        x_clouds, y_clouds = ([side[i] for i in range(len(pair))] for side in (pair.x, pair.y))
        add("emd", solve_pairs(x_clouds, y_clouds, thread_count(n_threads), pair.backend)[0], "length")
    for name, (unit, measure) in more.items():
        each = [measure(_one(pair, i), n_threads) for i in range(len(pair))]
        add(name, pair.backend.upload(np.array(each)), unit)
    return Comparison(values, units)


def _one(pair: Pair, i: int) -> Pair:
    """Return pair i of a batch alone."""
    return pair if pair.x.kind == "single" else read_pair(pair.x[i], pair.y[i])


def _read_names(names: Any) -> dict[str, tuple[str, Callable[[Pair, int | None], float]]]:
    """Return unit and function of each name."""
    if isinstance(names, str):
        raise TypeError(f"metrics must be a sequence of names, got the string {names!r}")
    return {name: _measure_of(name) for name in names}


def _measure_of(name: Any) -> tuple[str, Callable[[Pair, int | None], float]]:
    named = _by_name.look_up(name) if isinstance(name, str) else None
    if named is not None:
        return named.unit, lambda pair, n: named.measure(pair.x.points, pair.y.points, n)
    try:
        measure = parse_metric(name)
    except ValueError as error:
        known = f"; or {', '.join(_by_name.names())}" if str(error).startswith("metric must") else ""
        raise ValueError(f"{error}{known}") from None
    stem = name.partition(":")[0]
    unit = look_up(stem).units if stem in _NAMED_CHAMFER else "length" if stem.startswith("hausdorff") else "1"
    return unit, lambda pair, n: measure(pair, find(pair, n))
