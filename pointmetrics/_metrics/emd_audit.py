"""What papers call EMD: their approximations, emulated, beside the exact value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import check_cpu
from pointmetrics._clouds.numbers import thread_count

from .emd import read_cost, solve_uniform

_BLOCK = 1 << 20  # entries of a distance block: memory stays O(n)


@dataclass(frozen=True, slots=True)
class EmdApproximation:
    """One approximation of a pair's earth mover's distance.

    ``ratio`` is ``value / exact``; ``unmatched`` the share of points of y that nothing was moved to,
    where the method forgets that each may be used once.
    """

    name: str
    settings: str
    used_by: str
    value: float
    exact: float
    ratio: float
    unmatched: float


@dataclass(frozen=True, slots=True)
class EmdAudit:
    """Exact values of a pair and what the approximations make of them."""

    euclidean: float
    squared: float
    approximations: tuple[EmdApproximation, ...]

    def __str__(self) -> str:
        lines = [f"exact EMD {self.euclidean:.6g} (Euclidean cost), {self.squared:.6g} (squared cost)"]
        lines += [
            f"{a.name:<12} {a.settings:<27} {a.value:<10.6g} ratio {a.ratio:<7.4f}"
            f"unmatched {a.unmatched:<7.1%} {a.used_by}"
            for a in self.approximations
        ]
        return "\n".join(lines)


def audit_emd(x: Any, y: Any, *, n_threads: int | None = None) -> EmdAudit:
    """Report how far the approximations that papers print as EMD are from the exact value.

    Parameters
    ----------
    x, y : array (n, d)
        Two clouds of equally many points. They are moved and scaled together into the unit cube, which
        the approximations were tuned for, and results are scaled back.
    n_threads : int, default=None
        Threads of the exact solver; ``None`` uses all.

    Returns
    -------
    EmdAudit
        Exact values, and one :class:`EmdApproximation` for each method and setting; ``str`` of it is a
        table.

    Notes
    -----
    The auctions of MSN with the settings of its training (epsilon .005, 50 iterations), of the DCD
    repository (.004, 3000) and of its test (.002, 10000); approxmatch with the root of the distance, in
    both argument orders because it is not symmetric, and with the squared distance, which is compared
    with the exact squared cost. Seconds for n = 2048.

    References
    ----------
    Liu et al., "Morphing and sampling network for dense point cloud completion", AAAI 2020 (MSN).
    Fan, Su and Guibas, "A point set generation network for 3D object reconstruction from a single
    image", CVPR 2017 (approxmatch).

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> rng = np.random.default_rng(0)
    >>> audit = pm.audit_emd(rng.random((128, 3)), rng.random((128, 3)))
    >>> [a.settings for a in audit.approximations if a.name == "approxmatch"]
    ['root', 'root, swapped', 'squared']
    """
    pair = _read_equal_pair(x, y)
    threads = thread_count(n_threads)
    low, scale = _unit_cube(pair)
    clouds = [(side.points.astype(np.float64) - low) / scale for side in (pair.x, pair.y)]
    x_unit, y_unit = (Clouds(c, pair.x.offsets, "single", len(c)) for c in clouds)
    unit = Pair(x_unit, y_unit, pair.library)
    euclidean = float(solve_uniform(unit, False, 0.0, threads).upper[0])
    squared = float(solve_uniform(unit, True, 0.0, threads).upper[0])
    rows = []
    for name, settings, used_by, is_squared, value, unmatched in _approximations(*clouds):
        exact, unit_size = (squared, scale**2) if is_squared else (euclidean, scale)
        ratio = value / exact if exact > 0 else (1.0 if value == 0 else np.inf)
        rows.append(
            EmdApproximation(name, settings, used_by, value * unit_size, exact * unit_size, float(ratio), unmatched)
        )
    return EmdAudit(euclidean * scale, squared * scale**2, tuple(rows))


def _approximations(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, str, str, bool, float, float]]:
    for eps, iterations, used_by in (
        (0.005, 50, "MSN training"),
        (0.004, 3000, "DCD repository"),
        (0.002, 10000, "MSN test"),
    ):
        target = _msn_assignment(x, y, eps, iterations)
        value = float(np.sqrt(((x - y[target]) ** 2).sum(axis=1)).mean())
        missed = 1 - len(np.unique(target)) / len(y)
        yield "MSN auction", f"eps {eps}, {iterations} iterations", used_by, False, value, missed
    yield "approxmatch", "root", "PointFlow, latent_3d", False, _approxmatch(x, y, False), 0.0
    yield "approxmatch", "root, swapped", "PointFlow, latent_3d", False, _approxmatch(y, x, False), 0.0
    yield "approxmatch", "squared", "PVD, LION", True, _approxmatch(x, y, True), 0.0


def msn_auction_emd(x: Any, y: Any, *, eps: float = 0.005, iterations: int = 50) -> float:
    """Emulate the auction of MSN, as it is: the mean distance of what it matched.

    Parameters
    ----------
    x, y : array (n, d)
        Two clouds of equally many points, in the unit cube.
    eps : float, default=0.005
        Least increment of a bid, in units of distance.
    iterations : int, default=50
        Rounds of bidding. In the last one every point that is still without a partner takes the one it
        bids for, taken or not: the result may be many-to-one and then lies below the exact value.

    Returns
    -------
    float
        ``sqrt(dist).mean()`` of the squared distances that the original returns.

    Notes
    -----
    All unmatched points bid at once; among equal highest bids the highest index wins, where the
    original leaves it to a race. The original needs n to be a multiple of 1024; this does not.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> x, y = [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    >>> round(pm.msn_auction_emd(x, y, iterations=1), 3), float(pm.earth_movers_distance(x, y))
    (0.05, 0.45)
    """
    pair = _read_equal_pair(x, y)
    if not eps > 0:
        raise ValueError(f"eps must be positive, got {eps}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    a, b = (side.points.astype(np.float64, copy=False) for side in (pair.x, pair.y))
    target = _msn_assignment(a, b, eps, iterations)
    return float(np.sqrt(((a - b[target]) ** 2).sum(axis=1)).mean())


def approxmatch_emd(x: Any, y: Any, *, cost: str = "euclidean") -> float:
    """Emulate approxmatch, as it is: the mean cost of a soft matching that no optimisation follows.

    Parameters
    ----------
    x, y : array (n, d)
        Two clouds of equally many points, in about the unit cube.
    cost : {"euclidean", "squared"}, default="euclidean"
        Cost that the soft matching is charged: the distance (PointFlow) or its square (PVD, LION).

    Returns
    -------
    float
        Charged cost divided by n. Not symmetric in x and y.

    Notes
    -----
    Ten rounds move mass with weights ``exp(-4**j * sq_dist)``, j = 7 ... -1, and finally evenly.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> round(pm.approxmatch_emd([[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]), 4)
    0.7071
    """
    pair = _read_equal_pair(x, y)
    a, b = (side.points.astype(np.float64, copy=False) for side in (pair.x, pair.y))
    return _approxmatch(a, b, read_cost(cost) == "squared")


def _read_equal_pair(x: Any, y: Any) -> Pair:
    pair = read_pair(x, y)
    check_cpu(pair.library, "x")
    if pair.x.kind != "single":
        raise ValueError(f"x and y must be single clouds of shape (n, d), got batches of {len(pair)}")
    if len(pair.x.points) != len(pair.y.points):
        raise ValueError(f"x and y must have equally many points, got {len(pair.x.points)} and {len(pair.y.points)}")
    return pair


def _unit_cube(pair: Pair) -> tuple[np.ndarray, float]:
    both = np.concatenate([pair.x.points, pair.y.points]).astype(np.float64)
    low = both.min(axis=0)
    side = float((both.max(axis=0) - low).max())
    return low, side if side > 0 else 1.0


def _sq_dists(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    out = np.zeros((len(x), len(y)))
    for a in range(x.shape[1]):
        delta = x[:, a, None] - y[:, a]
        delta *= delta
        out += delta
    return out


def _blocks(n: int, m: int) -> Iterator[slice]:
    rows = max(1, _BLOCK // m)
    for first in range(0, n, rows):
        yield slice(first, min(n, first + rows))


def _msn_bids(x: np.ndarray, y: np.ndarray, price: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the column each row bids for and by how much it would raise the price."""
    column = np.empty(len(x), dtype=np.int64)
    raise_by = np.empty(len(x))
    for rows in _blocks(len(x), len(y)):
        value = np.sqrt(_sq_dists(x[rows], y)) + price
        best = value.argmin(axis=1)
        here = np.arange(len(best))
        first = value[here, best]
        value[here, best] = np.inf
        second = value.min(axis=1) if len(y) > 1 else first
        column[rows] = best
        raise_by[rows] = second - first + eps
    return column, raise_by


def _msn_assignment(x: np.ndarray, y: np.ndarray, eps: float, iterations: int) -> np.ndarray:
    n = len(x)
    target = np.full(n, -1)
    owner = np.full(n, -1)
    price = np.zeros(n)
    for iteration in range(iterations):
        free = np.flatnonzero(target < 0)
        if len(free) == 0:
            break
        column, raise_by = _msn_bids(x[free], y, price, eps)
        if iteration == iterations - 1:
            target[free] = column
            break
        highest = np.full(n, -np.inf)
        np.maximum.at(highest, column, raise_by)
        leads = raise_by >= highest[column] - 1e-6
        winner = np.full(n, -1)
        winner[column[leads]] = free[leads]
        won = np.flatnonzero(winner >= 0)
        losers = owner[won]
        target[losers[losers >= 0]] = -1
        owner[won] = winner[won]
        target[winner[won]] = won
        amount = np.zeros(n)
        amount[free] = raise_by
        price[won] += amount[winner[won]]
    return target


def _approxmatch(x: np.ndarray, y: np.ndarray, squared: bool) -> float:
    n, m = len(x), len(y)
    remain_x, remain_y = np.ones(n), np.ones(m)
    total = 0.0
    for level in [-(4.0**j) for j in range(7, -2, -1)] + [0.0]:
        ratio_x = np.empty(n)
        sum_y = np.zeros(m)
        for rows in _blocks(n, m):
            weight = np.exp(level * _sq_dists(x[rows], y))
            ratio_x[rows] = remain_x[rows] / (weight @ remain_y + 1e-9)
            sum_y += ratio_x[rows] @ weight
        sum_y *= remain_y
        ratio_y = np.minimum(remain_y / (sum_y + 1e-9), 1.0) * remain_y
        remain_y = np.maximum(0.0, remain_y - sum_y)
        for rows in _blocks(n, m):
            sq_dist = _sq_dists(x[rows], y)
            moved = np.exp(level * sq_dist) * ratio_x[rows, None] * ratio_y
            total += float((moved * (sq_dist if squared else np.sqrt(sq_dist))).sum())
            remain_x[rows] = np.maximum(0.0, remain_x[rows] - moved.sum(axis=1))
    return total / n
