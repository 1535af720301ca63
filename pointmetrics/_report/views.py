"""What the report shows of a pair: points with errors, how errors are distributed, rates at every threshold."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

_BINS = 60
_STEPS = 120  # points of a curve
_LEVELS = 65535  # of a coordinate, and of an error


@dataclass(frozen=True, slots=True)
class Side:
    """One cloud: ``points`` ``(k, 3)`` uint16 within the pair's box, ``error`` ``(k,)`` uint16 within its largest.

    ``n`` counts all points; ``mean``, ``median``, ``q95`` and ``largest`` are of all their distances.
    """

    n: int
    points: np.ndarray
    error: np.ndarray
    mean: float
    median: float
    q95: float
    largest: float


@dataclass(frozen=True, slots=True)
class View:
    """A pair as shown. Histograms are shares of all points between ``edges``, curves are taken at ``thresholds``.

    ``asked`` are the thresholds of the command line; ``beyond`` the shares of points past the last edge.
    """

    sides: tuple[Side, Side]
    largest: float
    usual: float
    dimension: int
    edges: np.ndarray
    shares: tuple[np.ndarray, np.ndarray]
    beyond: tuple[float, float]
    thresholds: np.ndarray
    rates: dict[str, np.ndarray]
    asked: tuple[float, ...]


def make_view(
    x: np.ndarray, y: np.ndarray, sq_x: np.ndarray, sq_y: np.ndarray, asked: tuple[float, ...], budget: int, seed: int
) -> View:
    """Take from two clouds and their squared distances to each other what is shown; at most ``budget`` points each."""
    errors = np.sqrt(sq_x, dtype=np.float64), np.sqrt(sq_y, dtype=np.float64)
    low = np.minimum(x.min(axis=0), y.min(axis=0)).astype(np.float64)
    side = float((np.maximum(x.max(axis=0), y.max(axis=0)) - low).max()) or 1.0
    ranked = [np.sort(error) for error in errors]  # everything below is read off these
    largest = float(max(ranked[0][-1], ranked[1][-1]))
    rng = np.random.default_rng(seed)
    sides = [
        _side(points, error, order, low, side, largest, budget, rng)
        for points, error, order in zip((x, y), errors, ranked, strict=True)
    ]
    # Errors have long tails: the axis ends where nearly all of them do.
    usual = max(_quantile(order, 0.99) for order in ranked)
    end = min(largest, 1.25 * usual) or 1.0
    edges = np.linspace(0, end, _BINS + 1)
    # Bins hold their left edge, the last one both: as numpy.histogram counts.
    below = [
        np.append(np.searchsorted(order, edges[:-1], "left"), np.searchsorted(order, end, "right")) for order in ranked
    ]
    shares, beyond = [], []
    for counts, order in zip(below, ranked, strict=True):
        shares.append(np.diff(counts) / len(order))
        beyond.append(float(1 - counts[-1] / len(order)))
    thresholds, rates = _curve(ranked[0], ranked[1], asked, largest)
    return View(
        (sides[0], sides[1]),
        largest,
        usual,
        x.shape[1],
        edges,
        (shares[0], shares[1]),
        (beyond[0], beyond[1]),
        thresholds,
        rates,
        asked,
    )


def _quantile(ranked: np.ndarray, share: float) -> float:
    """Return a quantile of sorted values, interpolated linearly."""
    at = share * (len(ranked) - 1)
    low, high = ranked[int(at)], ranked[min(int(at) + 1, len(ranked) - 1)]
    return float(low + (at - int(at)) * (high - low))


def _curve(
    a: np.ndarray, b: np.ndarray, asked: tuple[float, ...], largest: float
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return thresholds, and the rates of sorted distances at them: until most is right, and past those asked for."""
    most = max(a[int(0.9 * (len(a) - 1))], b[int(0.9 * (len(b) - 1))])
    end = min(largest, 1.5 * max([most, *(t for t in asked if t <= largest)])) or 1.0
    thresholds = np.linspace(0, end, _STEPS + 1)[1:]
    precision, recall = (np.searchsorted(error, thresholds, side="left") / len(error) for error in (a, b))
    both = precision + recall
    score = np.divide(2 * precision * recall, both, out=np.zeros(_STEPS), where=both > 0)
    return thresholds, {"f-score": score, "precision": precision, "recall": recall}


def _side(
    points: np.ndarray,
    error: np.ndarray,
    ranked: np.ndarray,
    low: np.ndarray,
    side: float,
    largest: float,
    budget: int,
    rng: np.random.Generator,
) -> Side:
    n = len(points)
    shown = np.arange(n) if n <= budget else np.sort(rng.choice(n, budget, replace=False, shuffle=False))
    placed = np.zeros((len(shown), 3), dtype=np.uint16)
    drawn = min(3, points.shape[1])
    placed[:, :drawn] = np.rint((points[shown, :drawn] - low[:drawn]) / side * _LEVELS)
    level = np.rint(error[shown] * (_LEVELS / largest if largest > 0 else 0.0)).astype(np.uint16)
    return Side(
        n, placed, level, float(error.mean()), _quantile(ranked, 0.5), _quantile(ranked, 0.95), float(ranked[-1])
    )


def encode(view: View) -> dict[str, Any]:
    """Return what the viewer needs, in plain types."""
    return {
        "points": [_base64(side.points) for side in view.sides],
        "errors": [_base64(side.error) for side in view.sides],
        "largest": view.largest,
        "usual": view.usual,
        "thresholds": [float(f"{t:.5g}") for t in view.thresholds],
        "rates": {name: [round(float(v), 5) for v in values] for name, values in view.rates.items()},
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype="<u2").tobytes()).decode("ascii")
