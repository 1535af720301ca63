"""Tables of a handful of rows: the odd one out is found, and rows that nothing tells apart are alike."""

import numpy as np
import pytest

from imondrian import IsolationMondrianForest

SEEDS = range(5)


def scores_of(X, rows, seed=0, **params):
    return IsolationMondrianForest(random_state=seed, **params).fit(X).score_samples(rows)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_example_of_scikit_learns_docstring(seed, dtype):
    X = np.array([[-1.1], [0.3], [0.5], [100]], dtype)
    forest = IsolationMondrianForest(random_state=seed).fit(X)
    assert forest.predict(np.array([[0.1], [0], [90]], dtype)).tolist() == [1, 1, -1]
    assert forest.predict(X).tolist() == [1, 1, 1, -1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 8, 9])
def test_one_row_far_from_the_others(n, d, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X[-1] = 1000.0
    scores = scores_of(X, X, seed)
    assert scores[-1] == scores.min() and scores[-1] < -0.5
    assert scores[-1] < scores[:-1].min() - 0.2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [4, 5, 6, 7, 8])
def test_evenly_spaced_rows_are_no_outliers(n, seed):
    X = np.arange(n, dtype=float)[:, None]
    assert (scores_of(X, X, seed) > -0.6).all()


def test_one_row_two_rows_and_copies():
    rng = np.random.default_rng(0)
    for d in (1, 3):
        one, two = rng.normal(size=(1, d)), rng.normal(size=(2, d))
        for n in (1, 2, 3, 4, 5, 6):
            scores = scores_of(np.repeat(one, n, axis=0), one)
            assert -0.5 < scores[0] <= 0
        scores = scores_of(two, two)
        assert scores[0] == pytest.approx(scores[1], abs=1e-12) and scores[0] > -0.5
    X = np.array([[0.0], [0.0], [0.0], [1.0]])
    scores = scores_of(X, X)
    assert scores[3] < -0.5 < scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("n", [4, 5, 6])
def test_a_weight_is_that_many_copies(n):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, 2))
    weight = np.ones(n)
    weight[0] = 2.0
    weighted = IsolationMondrianForest(random_state=0).fit(X, sample_weight=weight).score_samples(X)
    copied = scores_of(np.vstack([X, X[:1]]), X)
    np.testing.assert_allclose(weighted, copied, rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [4, 5, 6, 8])
def test_few_rows_of_a_stream(n, seed):
    X = np.random.default_rng(seed).normal(size=(n, 2))
    X[-1] = 1000.0
    scores = IsolationMondrianForest(random_state=seed).partial_fit(X).score_samples(X)
    assert scores[-1] < scores[:-1].min() - 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_explanations_of_few_rows_add_up(seed):
    X = np.random.default_rng(seed).normal(size=(5, 3))
    X[-1, 1] = 50.0
    X[0, 0] = np.nan
    forest = IsolationMondrianForest(random_state=seed).fit(X)
    parts = forest.explain(X)
    np.testing.assert_allclose(parts.sum(axis=1), forest.score_samples(X) - forest.expected_score_, atol=1e-10)
    assert np.abs(parts[-1]).argmax() == 1
