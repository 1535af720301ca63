"""Metrics by name: what each is called, its unit and definition, and its value for a pair of clouds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pointmetrics._backends.conventions import conventions
from pointmetrics._clouds.arrays import Pair
from pointmetrics._clouds.numbers import check_number
from pointmetrics._metrics import by_name as _by_name
from pointmetrics._metrics import dcd as _dcd
from pointmetrics._metrics import features as _features
from pointmetrics._metrics.mesh import MeshDistances, point_to_mesh_distance
from pointmetrics._metrics.neighbors import Found

from . import USAGE, Failure
from .clouds import Cloud

CHAMFER = ("cd-l2", "cd-l1", "open3d", "occnet-l2", "pdal")
DEFAULTS = (*CHAMFER, "dcd", "hausdorff", "hausdorff@0.95", "f-score", "precision", "recall")
_RATES = ("f-score", "precision", "recall")
_MESH = {
    "point-to-mesh": "mean distance from the points of A to the surface of B",
    "point-to-mesh:max": "largest distance from the points of A to the surface of B",
    "point-to-mesh:std": "standard deviation of the distances from the points of A to the surface of B",
}
_EMD = ("emd", "emd-squared")


@dataclass(frozen=True, slots=True)
class Measured:
    """A pair of clouds, its nearest neighbours, and what else metrics may ask for."""

    pair: Pair
    found: Found
    a: Cloud
    b: Cloud
    to_mesh: MeshDistances | None
    n_threads: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: ``formula`` speaks of a and b, the distances from A to B and from B to A."""

    name: str
    unit: str
    formula: str
    measure: Callable[[Measured], float]
    high_is_good: bool = False


def known_names() -> str:
    """List what may be asked for."""
    return (
        f"{', '.join([*conventions(), 'dcd'])}, hausdorff, hausdorff@QUANTILE, {', '.join(_RATES)} (at "
        f"every --threshold, or as f-score@T), {', '.join([*_by_name.names(), *_MESH])}"
    )


def read_metrics(names: Sequence[str], thresholds: Sequence[float], alpha: float, n_lambda: float) -> list[Metric]:
    """Turn names into metrics, each once, in their order; rates without a threshold are taken at all."""
    for threshold in thresholds:
        if not threshold > 0 or threshold == float("inf"):
            raise Failure(f"--threshold must be finite and above 0, got {threshold:g}", USAGE)
    expanded = [one for name in names for one in ([f"{name}@{t:g}" for t in thresholds] if name in _RATES else [name])]
    return [_metric(name, alpha, n_lambda) for name in dict.fromkeys(expanded)]


def _metric(name: str, alpha: float, n_lambda: float) -> Metric:
    if name in _MESH:
        return Metric(name, "length", _MESH[name], lambda m: _to_mesh(m, name.partition(":")[2]))
    if name == "dcd":
        alpha, n_lambda = check_number(alpha, "--alpha", 0), check_number(n_lambda, "--n-lambda", 0)
        return Metric(
            name,
            "1",
            f"density-aware Chamfer distance, alpha {alpha:g}, lambda {n_lambda:g}",
            lambda m: float(
                _dcd.value_and_grad(m.pair, m.found, alpha=alpha, n_lambda=n_lambda, need_grad=False)[0][0]
            ),
        )
    try:
        named = _by_name.look_up(name)
        if named is not None:
            return Metric(
                name,
                named.unit,
                named.formula,
                lambda m: named.measure(m.pair.x.points, m.pair.y.points, m.n_threads),
                named.high_is_good,
            )
        measure = _features.parse_metric(name)
    except ValueError as error:
        text = str(error)
        raise Failure(
            f"there is no metric {name!r}; known are {known_names()}{_close(name)}"
            if text.startswith("metric must be")
            else text,
            USAGE,
        ) from error
    unit, formula, good = _features.describe_metric(name)
    return Metric(name, unit, formula, lambda m: measure(m.pair, m.found), good)


def _to_mesh(measured: Measured, what: str) -> float:
    if measured.to_mesh is None:
        raise Failure(f"{measured.b.path} has no faces, which point-to-mesh needs")
    distance = measured.to_mesh.distance
    return float({"max": distance.max, "std": distance.astype(float).std, "": distance.astype(float).mean}[what]())


def needs_mesh(metrics: Sequence[Metric]) -> bool:
    """Tell whether the surface of B is needed."""
    return any(metric.name in _MESH for metric in metrics)


def needs_emd(metrics: Sequence[Metric]) -> bool:
    """Tell whether an earth mover's distance is asked for."""
    return any(metric.name in _EMD for metric in metrics)


def surface_distances(points: object, mesh_vertices: object, faces: object, n_threads: int) -> MeshDistances:
    """Measure points against a surface."""
    found: MeshDistances = point_to_mesh_distance(
        points, mesh_vertices, faces, return_details=True, n_threads=n_threads
    )
    return found


def _close(name: str) -> str:
    """Guess which metric a name stands for."""
    from difflib import get_close_matches  # only for errors

    if name.lower() in ("cd", "chamfer", "chamfer-distance", "chamfer_distance"):
        return "; that name has many definitions: cd-l2 (squared) and cd-l1 are the usual ones, audit tells them apart"
    names = [*conventions(), "dcd", "hausdorff", *_RATES, *_EMD, *_MESH, *_by_name.names()]
    close = get_close_matches(name.lower().replace("_", "-"), names, 1)
    return f"; did you mean {close[0]}?" if close else ""
