"""What bounded trees keep: exactly the last points, or a sample with the law it promises."""

import numpy as np
import pytest
from cases.forest_cases import empty
from scipy import stats

from imondrian._forest.forest import RESERVOIR, SLIDING

ACCEPT, REJECT = 1e-3, 1e-6
N_TREES, WINDOW = 1500, 16


def held_points(forest):
    """Sorted points of each tree by their only coordinate, (t, held)."""
    leaves = forest.columns["member_leaf"]
    rows = np.take_along_axis(forest.columns["leaf_point"], leaves, axis=1)
    held = forest.columns["stream"][0, 1]
    return np.sort(forest.columns["points"][rows[:, :held], 0], axis=1)


def reservoir(n, decay=0.0, *, chunk=None, seed=0):
    """Trees after a stream of the points 0, 1, ..., n - 1."""
    forest = empty(1, n_trees=N_TREES, capacity=WINDOW, memory=RESERVOIR, decay=decay, seed=seed)
    stream = np.arange(float(n))[:, None]
    for begin in range(0, n, chunk or n):
        forest.learn(stream[begin : begin + (chunk or n)])
    forest.check()
    return held_points(forest).astype(int)


def simulated(n, decay, n_samples=20_000):
    """Weighted sampling without replacement: draw one after another by weight exp(decay * arrival)."""
    rng = np.random.default_rng(1)
    # Drawing in proportion to weight, w times without replacement, is the order of the first w events
    # of independent exponential clocks whose rates are the weights.
    log_clocks = np.log(rng.exponential(size=(n_samples, n))) - decay * (np.arange(n) - n)
    return np.sort(np.argpartition(log_clocks, WINDOW, axis=1)[:, :WINDOW], axis=1)


def p_values(a, b):
    """Whether two samples of held sets differ: in their oldest, middle and newest member, and overall."""
    found = {f"member {k}": stats.ks_2samp(a[:, k], b[:, k]).pvalue for k in (0, WINDOW // 2, WINDOW - 1)}
    bins = np.unique(np.quantile(np.concatenate([a.ravel(), b.ravel()]), np.linspace(0, 1, 21)).astype(int))
    # Members of one set repel each other, so this one errs on the careful side.
    table = np.array([np.histogram(side, [*bins[:-1], bins[-1] + 1])[0] for side in (a, b)])
    found["all members"] = stats.chi2_contingency(table).pvalue
    return found


@pytest.mark.parametrize("n", [15, 16, 17, 60, 700])
def test_a_uniform_reservoir_keeps_every_point_alike(n):
    held = reservoir(n)
    assert held.shape[1] == min(n, WINDOW)
    assert all(len(set(row)) == len(row) for row in held.tolist())
    if n <= WINDOW:
        assert (held == np.arange(n)).all()
        return
    counts = np.bincount(held.ravel(), minlength=n)
    share = WINDOW / n
    # Counts of samples without replacement vary less than those with: scale the statistic by it.
    statistic = np.sum((counts - N_TREES * share) ** 2) / (N_TREES * share * (1 - share)) * (n - 1) / n
    assert ACCEPT < stats.chi2.sf(statistic, n - 1) < 1 - ACCEPT
    # Jointly: how many of a tree's members came from the first half is hypergeometric.
    early = np.bincount((held < n // 2).sum(axis=1), minlength=WINDOW + 1)
    law = stats.hypergeom(n, n // 2, WINDOW).pmf(np.arange(WINDOW + 1)) * N_TREES
    common = law > 5
    observed = np.append(early[common], early[~common].sum())
    expected = np.append(law[common], law[~common].sum())
    keep = expected > 1
    statistic = np.sum((observed[keep] - expected[keep]) ** 2 / expected[keep])
    assert stats.chi2.sf(statistic, keep.sum() - 1) > ACCEPT


@pytest.mark.parametrize(("n", "decay"), [(40, 0.05), (40, 0.5), (600, 0.01), (600, 0.1), (600, 3.0)])
def test_a_decayed_reservoir_is_a_weighted_sample_without_replacement(n, decay):
    found = p_values(reservoir(n, decay), simulated(n, decay))
    assert min(found.values()) > ACCEPT, found


def test_a_long_stream_does_not_overflow_the_weights():
    n = 6000  # weights grow by exp(3000)
    found = p_values(reservoir(n, 0.5), simulated(600, 0.5) + n - 600)
    assert min(found.values()) > ACCEPT, found


def test_wrong_laws_are_rejected():
    right, n = reservoir(600, 0.02), 600
    for wrong in (0.0, 0.015, 0.027):
        assert min(p_values(right, simulated(n, wrong)).values()) < REJECT
    assert min(p_values(reservoir(n), simulated(n, 0.002)).values()) < REJECT


def test_reservoirs_of_different_trees_are_independent():
    held = reservoir(60)
    overlap = [len(set(a) & set(b)) for a, b in zip(held[:-1].tolist(), held[1:].tolist(), strict=True)]
    expected = WINDOW * WINDOW / 60
    spread = np.std(overlap) / np.sqrt(len(overlap))
    assert abs(np.mean(overlap) - expected) < 4 * spread


@pytest.mark.parametrize("chunk", [1, 7, 255, 256, 257])
def test_a_reservoir_does_not_depend_on_chunks(chunk):
    whole = empty(1, n_trees=20, capacity=WINDOW, memory=RESERVOIR, decay=0.01)
    parts = empty(1, n_trees=20, capacity=WINDOW, memory=RESERVOIR, decay=0.01)
    X = np.arange(600.0)[:, None]
    whole.learn(X)
    for begin in range(0, 600, chunk):
        parts.learn(X[begin : begin + chunk])
    assert (held_points(whole) == held_points(parts)).all()


@pytest.mark.parametrize("n", [1, WINDOW - 1, WINDOW, WINDOW + 1, 5 * WINDOW + 3, 600])
@pytest.mark.parametrize("chunk", [1, 13, 600])
def test_a_sliding_window_keeps_exactly_the_last_points(n, chunk):
    forest = empty(1, n_trees=7, capacity=WINDOW, memory=SLIDING)
    stream = np.random.default_rng(0).integers(0, 30, size=(n, 1)).astype(float)
    for begin in range(0, n, chunk):
        forest.learn(stream[begin : begin + chunk])
    forest.check()
    expected = np.sort(stream[-WINDOW:, 0])
    assert (held_points(forest) == expected).all()
    assert forest.mass == min(n, WINDOW) and forest.n_seen == n


def thinned(n, decay, *, chunk=None):
    forest = empty(1, n_trees=N_TREES, capacity=WINDOW, memory=SLIDING, decay=decay)
    stream = np.arange(float(n))[:, None]
    for begin in range(0, n, chunk or n):
        forest.learn(stream[begin : begin + (chunk or n)])
    forest.check()
    return held_points(forest).astype(int)


def simulated_thinning(n, decay, n_samples=5000):
    """The first points all enter, later ones by a coin each; the last that entered are held."""
    enters = np.random.default_rng(2).random((n_samples, n)) < -np.expm1(-decay)
    enters[:, :WINDOW] = True
    return np.array([np.flatnonzero(row)[-WINDOW:] for row in enters])


@pytest.mark.parametrize(("n", "decay"), [(17, 0.5), (60, 0.05), (60, 0.5), (700, 0.02), (700, 2.0)])
def test_a_thinned_window_tosses_a_coin_for_every_point(n, decay):
    held, expected = thinned(n, decay), simulated_thinning(n, decay)
    found = p_values(held, expected)
    found["gap"] = stats.ks_2samp(held[:, -1] - held[:, -2], expected[:, -1] - expected[:, -2]).pvalue
    assert min(found.values()) > ACCEPT, found
    assert (thinned(n, decay, chunk=13) == held).all()


def test_a_wrong_thinning_is_rejected():
    held = thinned(700, 0.05)
    for wrong in (0.04, 0.06):
        assert min(p_values(held, simulated_thinning(700, wrong)).values()) < REJECT


def test_bounded_memory_is_bounded():
    for memory in (SLIDING, RESERVOIR):
        forest = empty(3, n_trees=10, capacity=WINDOW, memory=memory, decay=0.01 if memory == RESERVOIR else 0.0)
        rng = np.random.default_rng(0)
        forest.learn(rng.normal(size=(3000, 3)))
        size = forest.nbytes
        forest.learn(rng.normal(size=(6000, 3)))
        assert forest.nbytes == size
