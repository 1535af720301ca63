"""Dense, slow, obvious: earth mover's distances from third-party solvers and clouds that try them."""

import numpy as np


def cost_matrix(x, y, cost="euclidean"):
    sq_dist = np.zeros((len(x), len(y)))
    for a in range(x.shape[1]):
        sq_dist += (x[:, a, None].astype(float) - y[:, a].astype(float)) ** 2
    return sq_dist if cost == "squared" else np.sqrt(sq_dist)


def exact_assignment(x, y, cost="euclidean"):
    """Return the least mean cost over bijections, by scipy."""
    from scipy.optimize import linear_sum_assignment

    costs = cost_matrix(x, y, cost)
    return costs[linear_sum_assignment(costs)].mean()


def exact_transport(x, y, x_mass, y_mass, cost="euclidean"):
    """Return the value of the transportation problem, by linear programming with scipy."""
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    n, m = len(x), len(y)
    leaves = kron(eye_array(n), np.ones((1, m)))
    arrives = kron(np.ones((1, n)), eye_array(m))
    masses = np.concatenate([x_mass / x_mass.sum(), y_mass / y_mass.sum()])
    solved = linprog(cost_matrix(x, y, cost).ravel(), A_eq=vstack([leaves, arrives]), b_eq=masses, method="highs")
    return solved.fun


def _resampled(rng, n, d):
    shape = rng.normal(size=(n, d))
    return shape + 0.05 * rng.normal(size=(n, d)), shape[rng.permutation(n)]


def _skewed(rng, n, d):
    return rng.random((n, d)) ** 4, rng.random((n, d))


def _clustered(rng, n, d):
    centres = rng.normal(size=(5, d))
    return tuple(centres[rng.integers(0, 5, n)] + 1e-3 * rng.normal(size=(n, d)) for _ in range(2))


def _duplicated(rng, n, d):
    sites = rng.normal(size=(max(1, n // 6), d))
    return tuple(sites[rng.integers(0, len(sites), n)] for _ in range(2))


def _collinear(rng, n, d):
    direction = rng.normal(size=d)
    return tuple(rng.random((n, 1)) * direction + shift for shift in (0.0, 0.25))


def _scans(rng, n, d):
    """Two scans of a LiDAR that moved: far points are sparse, near ones crowd."""

    def scan():
        direction = rng.normal(size=(n, d))
        return direction / np.linalg.norm(direction, axis=1, keepdims=True) / rng.uniform(1 / 80, 1 / 2, (n, 1))

    return scan(), scan() + 0.5 * np.eye(d)[0]


FAMILIES = {
    "uniform": lambda rng, n, d: (rng.random((n, d)), rng.random((n, d))),
    "resampled": _resampled,
    "far": lambda rng, n, d: (rng.normal(size=(n, d)), rng.random((n, d)) * 2 + 1),
    "skewed": _skewed,
    "clustered": _clustered,
    "lattice": lambda rng, n, d: tuple(rng.integers(0, 4, (n, d)).astype(float) for _ in range(2)),
    "duplicated": _duplicated,
    "collinear": _collinear,
    "offset": lambda rng, n, d: (rng.random((n, d)) + 1e8, rng.random((n, d)) + 1e8),
    "apart": lambda rng, n, d: (rng.random((n, d)), rng.random((n, d)) + 1e6),
    "one site": lambda rng, n, d: (np.zeros((n, d)), np.ones((n, d))),
    "same": lambda rng, n, d: (lambda c: (c, c[rng.permutation(n)]))(rng.random((n, d))),
    "outlier": lambda rng, n, d: (np.r_[rng.random((n - 1, d)), np.full((1, d), 1e4)], rng.random((n, d))),
    "scans": _scans,
    "tails": lambda rng, n, d: tuple(rng.standard_cauchy((2, n, d))),
    "scales": lambda rng, n, d: tuple(np.exp(4 * rng.normal(size=(n, d))) for _ in range(2)),
}
