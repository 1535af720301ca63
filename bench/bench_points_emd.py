"""Exact earth mover's distance of one pair, beside the solvers people use for it.

    pytest bench/bench_points_emd.py --benchmark-enable --benchmark-group-by=group

Group = workload, name = library; every library gets the same data, and its answer is checked against ours
(and ours against its own certificate) before it is timed. The others are given the dense matrix, but making
it is part of their time: it is part of theirs alone. Without ``--benchmark-enable`` every benchmark runs
once, tiny. ``POINTS_THREADS`` sets the threads (default 2), ``POINTS_EMD_SIZES`` the sizes and
``POINTS_EMD_DENSE`` the largest size the dense solvers are given.
"""

import os

import numpy as np
import pytest

import pointmetrics as pm

THREADS = int(os.environ.get("POINTS_THREADS", "2"))
SIZES = [int(n) for n in os.environ.get("POINTS_EMD_SIZES", "512,2048,16384,65536").split(",")]
DENSE = int(os.environ.get("POINTS_EMD_DENSE", "2048"))
TINY = 100


def torus(rng, n):
    u, v = rng.random((2, n)) * 2 * np.pi
    ring = 0.35 + 0.12 * np.cos(v)
    return np.stack([ring * np.cos(u), ring * np.sin(u), 0.12 * np.sin(v)], axis=1)


def box(rng, n):
    points = rng.random((n, 3)) - 0.5
    axis = rng.integers(0, 3, n)
    points[np.arange(n), axis] = np.sign(points[np.arange(n), axis]) / 2
    return points * [1.0, 0.6, 0.3]


def scan(rng, n):
    """A LiDAR's points: 64 rings from -24.8 to 2 degrees, ranges in metres whose inverses are uniform."""
    elevation = np.deg2rad(-24.8 + rng.integers(0, 64, n) * 26.8 / 63)
    azimuth = 2 * np.pi * rng.random(n)
    ranges = 1 / rng.uniform(1 / 80, 1 / 2, n)
    level = ranges * np.cos(elevation)
    return np.stack([level * np.cos(azimuth), level * np.sin(azimuth), ranges * np.sin(elevation)], axis=1)


def clusters(rng, n, centres):
    return centres[rng.integers(0, len(centres), n)] + 1e-3 * rng.normal(size=(n, 3))


def pair(kind, n):
    """Return two clouds of n points.

    ``near``: a shape sampled twice, with noise; ``far``: two shapes; ``skewed``: two densities; ``scans``: of a LiDAR
    that moved by 0.5 m; ``clusters``: 20 tight ones, unevenly filled; ``tails``: Cauchy coordinates; ``lattice``: the
    27 points of a lattice, many times each; ``line``: collinear; ``gap 10``, ``gap 1e6``: two clusters so far apart,
    nine tenths of the one cloud in the first, a tenth of the other.
    """
    rng = np.random.default_rng(0)
    if kind == "scans":
        return scan(rng, n), scan(rng, n) + np.array([0.5, 0.0, 0.0])
    if kind == "clusters":
        centres = 10 * rng.random((20, 3))
        return clusters(rng, n, centres), clusters(rng, n, centres)
    if kind == "tails":
        return tuple(rng.standard_cauchy((2, n, 3)))
    if kind == "lattice":
        return tuple(rng.integers(0, 3, (2, n, 3)).astype(float))
    if kind == "line":
        return tuple(rng.random((2, n, 1)) * [1.0, 0.5, 0.25])
    if kind.startswith("gap"):
        sides = rng.normal(size=(2, n, 3))
        sides[:, :, 0] += float(kind[4:]) * (rng.random((2, n)) > [[0.9], [0.1]])
        return tuple(sides)
    if kind == "near":
        return tuple(torus(rng, n) + 0.01 * rng.normal(size=(n, 3)) for _ in range(2))
    if kind == "far":
        return torus(rng, n), box(rng, n)
    dense = box(rng, 20 * n)
    chance = np.exp(4 * dense[:, 0])
    return box(rng, n), dense[rng.choice(20 * n, n, replace=False, p=chance / chance.sum())]


def cost_matrix(x, y):
    distance = pytest.importorskip("scipy.spatial.distance", reason="needs scipy")
    return distance.cdist(x, y)


def with_pointmetrics():
    return lambda x, y: pm.earth_movers_distance(x, y, n_threads=THREADS)


def with_pot():
    ot = pytest.importorskip("ot", reason="needs POT")
    return lambda x, y: ot.emd2([], [], cost_matrix(x, y), numItermax=10**8)


def with_scipy():
    solve = pytest.importorskip("scipy.optimize", reason="needs scipy").linear_sum_assignment

    def run(x, y):
        costs = cost_matrix(x, y)
        return costs[solve(costs)].mean()

    return run


def with_lapx():
    lap = pytest.importorskip("lap", reason="needs lapx")
    return lambda x, y: lap.lapjv(cost_matrix(x, y), return_cost=True)[0] / len(x)


LIBRARIES = {"pointmetrics": with_pointmetrics, "POT": with_pot, "scipy": with_scipy, "lapx": with_lapx}


def measure(benchmark, group, run, arguments, expected, rounds=15):
    benchmark.group = group
    if expected is not None:
        assert run(*arguments) == pytest.approx(expected, rel=1e-9)
    benchmark.pedantic(run, arguments, rounds=rounds)


def sizes_of(kind):
    return [n for n in SIZES if n <= 2048 or kind == "near"] + [20_000] * (kind == "lattice")


KINDS = ("near", "far", "skewed", "scans", "clusters", "tails", "lattice", "line", "gap 10", "gap 1e6")


@pytest.mark.peer
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("kind", "n"), [(k, n) for k in KINDS for n in sizes_of(k)])
def test_exact(benchmark, kind, n, library):
    n = TINY if benchmark.disabled else n
    if library != "pointmetrics" and n > DENSE:
        pytest.skip(f"needs the dense matrix; set POINTS_EMD_DENSE to {n} or more to try")
    run = LIBRARIES[library]()
    x, y = pair(kind, n)
    checked = pm.earth_movers_distance(x, y, return_details=True)
    assert checked.converged
    benchmark.name = library
    measure(
        benchmark,
        f"EMD {kind}, n = {n}",
        run,
        (x, y),
        checked.value,
        15 if n < 4096 and library == "pointmetrics" else 3,
    )


@pytest.mark.parametrize("kind", ["near", "far", "skewed"])
@pytest.mark.parametrize("tol", [0.0, 1e-3, 1e-2])
def test_tolerance(benchmark, kind, tol):
    n = TINY if benchmark.disabled else 2048
    x, y = pair(kind, n)
    checked = pm.earth_movers_distance(x, y, tol=tol, return_details=True)
    assert checked.converged
    benchmark.name = f"pointmetrics tol={tol:g}"
    measure(
        benchmark,
        f"EMD {kind} within tol, n = {n}",
        lambda a, b: pm.earth_movers_distance(a, b, tol=tol, n_threads=THREADS),
        (x, y),
        checked.value,
    )


@pytest.mark.peer
@pytest.mark.parametrize("library", ["pointmetrics", "POT"])
@pytest.mark.parametrize("m", [1024, 1500])
def test_unequal_sizes(benchmark, m, library):
    n = 2048
    if benchmark.disabled:
        n, m = TINY, m // 20
    x, y = pair("far", n)
    checked = pm.earth_movers_distance(x, y[:m], return_details=True)
    assert checked.converged
    benchmark.name = library
    measure(benchmark, f"EMD far, {n} to {m} points", LIBRARIES[library](), (x, y[:m]), checked.value)


@pytest.mark.parametrize("threads", [1, 2])
def test_batch(benchmark, threads):
    n, b = (TINY, 4) if benchmark.disabled else (2048, 32)
    pairs = [pair("near", n)] * b
    x, y = (np.stack(side) for side in zip(*pairs, strict=True))
    benchmark.name = f"{threads} thread" + "s" * (threads > 1)
    measure(
        benchmark,
        f"EMD of a batch, {b} x {n}",
        lambda p, q: pm.earth_movers_distance(p, q, n_threads=threads),
        (x, y),
        None,
        rounds=3,
    )
