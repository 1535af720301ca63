"""Native scores against slow walks over the same columns."""

import math

import numpy as np
import pytest
from cases.forest_cases import CASES, built, case, empty, queries
from reference import forest_reference as slow

from imondrian import _core
from imondrian._forest.forest import RESERVOIR, SLIDING

DTYPES = [np.float64, np.float32]


def assert_scores_match(forest, Q):
    tolerance = 1e-12 if forest.dtype == np.float64 else 1e-6
    norm = slow.mean_norm(forest.columns)
    for score in ("depth", "insertion"):
        depth, native_norm = forest.depths(Q, score)
        expected = np.array(slow.mean_depths(forest.columns, Q.tolist(), score))
        np.testing.assert_allclose(depth, expected, rtol=tolerance, atol=tolerance)
        assert native_norm == pytest.approx(norm, rel=1e-12, abs=1e-12)
        ratio = expected / norm if norm > 0 else np.ones(len(Q))
        np.testing.assert_allclose(forest.scores(Q, score), 2.0**-ratio, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 2, 4, 5, 8, 9, 16, 17, 40])
def test_every_width_and_batch_size_matches_the_slow_walk(d, dtype):
    X = case("normal", 60, d, seed=d, dtype=dtype)
    forest = built(X, seed=d, n_trees=3)
    Q = queries(X, 400, seed=d)
    for n in (1, 7, 9, 400):  # few rows walk the trees themselves; from 6 rows for each of 60 leaves on, tables
        assert_scores_match(forest, Q[:n])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("d", [1, 3, 17])
def test_awkward_data_matches_the_slow_walk(name, d, dtype):
    X = case(name, 80, d, seed=3, dtype=dtype)
    assert_scores_match(built(X, n_trees=3), queries(X, 70))


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_rows_and_a_deep_tree(dtype):
    X = np.ascontiguousarray(np.geomspace(1e-12, 1.0, 300)[:, None] * np.ones((1, 2)), dtype=dtype)
    forest = built(X, n_trees=2)
    assert forest.depths(X[:1], "depth")[0][0] > 20
    assert_scores_match(forest, queries(X, 2000))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e300])
def test_extreme_magnitudes(scale):
    X = case("normal", 50, 3, seed=5) * scale
    Q = np.concatenate([queries(X, 70), np.zeros((1, 3)), np.full((1, 3), 1e300), np.full((1, 3), -1e300)])
    forest = built(X, n_trees=3)
    forest.check()
    assert_scores_match(forest, np.ascontiguousarray(Q))


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1e-300, np.float64), (1e300, np.float64), (1e-40, np.float32), (1e37, np.float32)]
)
def test_extreme_magnitudes_streamed(scale, dtype):
    X = np.ascontiguousarray(case("normal", 50, 3, seed=5) * scale, dtype=dtype)
    forest = empty(3, dtype=dtype, n_trees=3)
    forest.learn(X)
    forest.check()
    assert_scores_match(forest, X)


def test_sums_that_overflow_still_cut_every_point_off():
    X = np.random.default_rng(0).uniform(-1.0, 1.0, size=(40, 5)) * 1.7e308
    forest = built(X, n_trees=4)
    forest.check()
    assert (forest.n_leaves == 40).all()
    with np.errstate(over="ignore"):
        depth, _ = forest.depths(np.ascontiguousarray(np.concatenate([X, X])), "insertion")
    assert np.isfinite(depth).all()
    assert depth[:40] == pytest.approx(slow.mean_depths(forest.columns, X.tolist(), "depth"), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", [SLIDING, RESERVOIR])
def test_streams_match_the_slow_walk(memory, dtype):
    X = case("duplicates", 200, 6, seed=9, dtype=dtype)
    forest = empty(6, dtype=dtype, capacity=50, memory=memory, n_trees=3)
    forest.learn(X)
    assert_scores_match(forest, queries(X, 100))


def test_forgetting_leaves_scores_that_match_the_slow_walk():
    X = case("lattice", 120, 3, seed=2)
    forest = built(X, n_trees=3)
    forest.forget(X[:70])
    assert_scores_match(forest, queries(X, 100))


def test_fractional_weights_match_the_slow_walk():
    X, rng = case("duplicates", 100, 3, seed=4), np.random.default_rng(4)
    weight = rng.uniform(0.1, 3.0, 100)
    forest = empty(3, n_trees=3)
    forest.learn(X, weight)
    assert forest.mass == pytest.approx(weight.sum(), rel=1e-12)
    assert_scores_match(forest, queries(X, 100))


def test_one_distinct_row_can_tell_nothing_apart():
    forest = built(np.ones((1, 2)))
    for score in ("depth", "insertion"):
        assert forest.scores(np.array([[1.0, 1.0], [9.0, 9.0]]), score).tolist() == [0.5, 0.5]


def test_empty_trees_add_nothing():
    X = case("normal", 5, 2)
    forest = built(X, n_trees=3)
    forest.forget(X)
    forest.check()
    assert (forest.n_leaves == 0).all()
    for n in (5, 65):
        Q = queries(X, n)
        for score in ("depth", "insertion"):
            depth, norm = forest.depths(Q, score)
            assert norm == 0.0 and (depth == 0.0).all()
            assert (forest.scores(Q, score) == 0.5).all()


def test_the_norm_is_the_mean_depth_hidden_in_a_leaf():
    for n in (0.0, 0.5, 1.0, 1.25, 2.0, 2.5, 3.0, 256.0, 1e9):
        assert _core.hidden_depth(n) == pytest.approx(slow.hidden_depth(n), rel=1e-15)
    # Against the definition: 2 H(n - 1) - 2 (n - 1) / n, whose harmonic number the formula approximates.
    harmonic = sum(1.0 / k for k in range(1, 256))
    assert _core.hidden_depth(256) == pytest.approx(2 * harmonic - 2 * 255 / 256, abs=5e-3)
    assert _core.hidden_depth(2) == 1.0 and math.isfinite(_core.hidden_depth(1e300))


def test_scoring_while_learning_equals_scoring_before_each_row():
    X = case("normal", 90, 3, seed=6)
    for memory in (0, SLIDING, RESERVOIR):
        for score in ("depth", "insertion"):
            forest, shadow = (empty(3, capacity=20, memory=memory, n_trees=3) for _ in range(2))
            together = forest.learn(X, score=score)
            for i, row in enumerate(X):
                expected = slow.mean_depths(shadow.columns, [row.tolist()], score)[0]
                norm = slow.mean_norm(shadow.columns)
                assert together[i] == pytest.approx(2.0 ** -(expected / norm) if norm > 0 else 0.5, rel=1e-11)
                shadow.learn(X[i : i + 1])


def test_the_type_of_scores_has_every_name():
    from typing import get_args

    from imondrian._forest.scoring import SCORES, Score

    assert set(get_args(Score)) == {"default", *SCORES}
