"""Sets under the earth mover's distance: full matrices, and pairs ruled out without changing a result."""

import numpy as np
import pytest
from emd_oracles import exact_assignment

import pointmetrics as pm
from pointmetrics import sets
from pointmetrics._metrics import emd as _emd
from pointmetrics._sets import emd as _set_emd


def uniform(rng, k, n=24, d=3):
    return rng.random((k, n, d))


def scaled(rng, k, n=24, d=3):
    return rng.normal(size=(k, n, d)) * rng.random((k, 1, d)) + rng.normal(size=(k, 1, d)) * 0.2


def lattice(rng, k, n=12, d=2):
    return rng.integers(0, 3, (k, n, d)).astype(float)


def duplicates(rng, k, n=10, d=3):
    return lattice(rng, 3, n, d)[rng.integers(0, 3, k)]


def permuted(rng, k, n=16, d=3):
    """Clouds that differ in the order of their points, or by a shift: distances tie up to rounding."""
    base = rng.random((n, d))
    return np.stack([rng.permutation(base) + rng.integers(0, 2) for _ in range(k)])


def single_precision(rng, k):
    return scaled(rng, k).astype(np.float32)


def far_away(rng, k):
    return uniform(rng, k) + 1e8


def ragged(rng, k):
    return [rng.random((rng.integers(3, 15), 3)) for _ in range(k)]


def lines(rng, k, n=20):
    return rng.random((k, n, 1))


FAMILIES = [uniform, scaled, lattice, duplicates, permuted, single_precision, far_away, ragged, lines]


def same(one, two):
    for name in ("mmd", "cov", "one_nna", "jsd", "swapped"):
        assert getattr(one, name) == getattr(two, name), name


@pytest.mark.parametrize("family", FAMILIES)
def test_results_are_those_of_all_pairs(family):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        samples, references = family(rng, int(rng.integers(1, 9))), family(rng, int(rng.integers(1, 9)))
        if seed % 3 == 0:
            references = [*references, samples[0]]
        everything = sets.evaluate(samples, references, "emd", n_bootstrap=20)
        needed = sets.evaluate(samples, references, "emd", n_bootstrap=20, full_matrices=False, n_threads=1 + seed % 2)
        same(needed, everything)
        for name in ("sr", "rr", "ss"):
            part, whole = getattr(needed, name), getattr(everything, name)
            np.testing.assert_array_equal(part[~np.isnan(part)], whole[~np.isnan(part)])


@pytest.mark.parametrize("family", FAMILIES)
def test_bounds_hold_and_are_better_than_centroids(family):
    clouds = [np.asarray(c, dtype=float) for c in family(np.random.default_rng(5), 8)]
    bounds = _set_emd.projection_bounds(clouds)
    exact = sets.pairwise_distances(clouds, metric="emd")
    assert (bounds <= exact).all()
    centres = np.stack([cloud.mean(axis=0) for cloud in clouds])
    between = np.linalg.norm(centres[:, None] - centres, axis=2)
    slack = 1e-9 + 1e-11 * max(np.abs(cloud).max() for cloud in clouds)
    assert (bounds >= between - slack).all()


def test_projections_are_exact_on_a_line():
    clouds = [np.random.default_rng(6).random((128, 1)) * scale for scale in (1, 2, 3)]
    np.testing.assert_allclose(
        _set_emd.projection_bounds(clouds), sets.pairwise_distances(clouds, metric="emd"), atol=1e-9
    )


def test_leaves_most_pairs_unsolved(monkeypatch):
    solved = []
    solve = _emd.solve_pairs
    monkeypatch.setattr(_set_emd, "solve_pairs", lambda x, *rest: solved.append(len(x)) or solve(x, *rest))
    rng = np.random.default_rng(1)
    result = sets.evaluate(scaled(rng, 20), scaled(rng, 20), "emd", n_bootstrap=1, full_matrices=False)
    assert sum(solved) < 40 * 39 / 2 / 3
    assert np.isnan(result.sr).mean() > 0.5
    assert (np.diag(result.rr) == 0).all()


def test_matrix_equals_an_assignment_a_pair():
    rng = np.random.default_rng(2)
    a, b = uniform(rng, 4).astype(np.float32), uniform(rng, 3).astype(np.float32)
    expected = [[exact_assignment(x.astype(float), y.astype(float)) for y in b] for x in a]
    np.testing.assert_allclose(sets.pairwise_distances(a, b, "emd"), expected, rtol=1e-12)
    within = sets.pairwise_distances(a, metric="emd", block=2)
    np.testing.assert_array_equal(within, within.T)
    assert within.tobytes() == sets.pairwise_distances(a, metric="emd", n_threads=1).tobytes()


def test_values_do_not_depend_on_the_other_pairs():
    rng = np.random.default_rng(3)
    a, b = [rng.random((n, 3)) for n in (5, 9, 9)], [rng.random((n, 3)) for n in (9, 4)]
    whole = sets.pairwise_distances(a, b, "emd")
    assert whole.tobytes() == sets.pairwise_distances(a, b, "emd", block=1).tobytes()
    np.testing.assert_array_equal(whole, [[pm.earth_movers_distance(x, y) for y in b] for x in a])


def test_resumes_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(_set_emd, "_SAVE_EVERY", 1)
    rng = np.random.default_rng(4)
    samples, references, path = uniform(rng, 6), uniform(rng, 7), tmp_path / "run"
    calls = []
    solve = _emd.solve_pairs

    def interrupted(x, *rest):
        calls.append(len(x))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return solve(x, *rest)

    expected = sets.evaluate(samples, references, "emd")
    monkeypatch.setattr(_set_emd, "solve_pairs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sets.evaluate(samples, references, "emd", full_matrices=False, checkpoint=path)
    seen = []
    resumed = sets.evaluate(
        samples, references, "emd", full_matrices=False, checkpoint=path, progress=lambda *at: seen.append(at)
    )
    same(resumed, expected)
    assert seen[0][0] > sum(calls[:2]) and seen[-1] == (78, 78)
    before = len(calls)
    sets.evaluate(samples, references, "emd", full_matrices=False, checkpoint=path)
    assert len(calls) == before
    with pytest.raises(ValueError, match="checkpoint of other clouds"):
        sets.evaluate(samples + 1, references, "emd", full_matrices=False, checkpoint=path)
