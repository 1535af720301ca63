"""Values that are equally common and equally far out score alike: chance does not pick one of them as the outlier."""

import numpy as np
import pytest

from imondrian import IsolationMondrianForest

SEEDS = range(4)
ENDS = {"huge": 1e100, "largest": np.finfo(float).max, "ten": 10.0, "one apart": 3.0}


def scores_of(X, rows, seed, **params):
    return IsolationMondrianForest(random_state=seed, **params).fit(X).score_samples(rows)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("copies", [40, 400])  # every tree holds all rows; samples of them
@pytest.mark.parametrize("end", ENDS)
def test_both_ends_of_five_equal_shares(end, copies, seed):
    values = np.array([[ENDS[end]], [-ENDS[end]], [0.0], [1.0], [-1.0]])
    X = np.repeat(values, copies, axis=0)
    for method in ("fit", "partial_fit"):
        forest = getattr(IsolationMondrianForest(random_state=seed), method)(X)
        scores = forest.score_samples(values)
        np.testing.assert_allclose(scores, scores[0], atol=1e-3)
        assert (scores > -0.5).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [4, 5, 6, 9])
def test_categories_of_equal_shares(k, seed):
    values = np.eye(k)
    scores = scores_of(np.repeat(values, 180 // k, axis=0), values, seed)
    assert (scores > -0.5).all() and np.ptp(scores) < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_two_tails_of_copies(seed):
    rng = np.random.default_rng(0)
    half = np.abs(rng.normal(size=(80, 1)))
    X = np.concatenate([np.repeat([[-5.0], [5.0]], 20, axis=0), half, -half])
    low, high = scores_of(X, np.array([[-5.0], [5.0]]), seed)
    assert abs(low - high) < 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_that_are_alone_out_there_still_stand_out(seed):
    """What is far deeper or shallower than the noise is no tie: a crowd of anomalies cannot vouch for itself."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 1))
    X[:30] = 9.0
    assert scores_of(X, np.array([[9.0]]), seed)[0] < -0.9
    X = np.repeat([[0.0], [1.0], [2.0], [3.0], [4.0], [60.0]], [34, 34, 34, 34, 34, 30], axis=0)
    scores = scores_of(X, np.array([[60.0], [0.0], [4.0]]), seed)
    assert scores[0] < -0.9 and (scores[1:] > -0.5).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_rows_and_weights_for_copies_mean_nothing(seed):
    values = np.array([[7.0], [-7.0], [0.0], [1.0], [2.0], [2.5]])
    X, rng = np.repeat(values, [40, 40, 40, 40, 39, 1], axis=0), np.random.default_rng(seed)
    expected = scores_of(X, values, seed)
    np.testing.assert_allclose(scores_of(X[rng.permutation(len(X))], values, seed), expected, rtol=1e-12)
    weighted = IsolationMondrianForest(random_state=seed).fit(values, sample_weight=[40, 40, 40, 40, 39, 1])
    np.testing.assert_allclose(weighted.score_samples(values), expected, rtol=1e-12)
