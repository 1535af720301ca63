"""From when on scores mean something: the same however rows are cut into calls."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

X = np.random.default_rng(0).normal(size=(100, 3))


@pytest.mark.parametrize("forgotten", [[35], [20, 39], [21, 22, 30], list(range(20, 40))])
@pytest.mark.parametrize("n_new", [3, 60])
@pytest.mark.parametrize("window", [20, 31, 50])
def test_windows_with_forgotten_points_warm_up_as_if_asked_row_by_row(window, n_new, forgotten):
    many, one = (OnlineIsolationMondrianForest(5, window=window, seed=0) for _ in range(2))
    for model in (many, one):
        model.learn_many(X[:40])
        model.forget_many(X[forgotten], missing_ok=True)
    scores = []
    for x in X[40 : 40 + n_new]:
        scores.append(one.score_many(x[None])[0])
        one.learn_many(x[None])
    assert_array_equal(many.score_learn_many(X[40 : 40 + n_new]), scores)
    assert_array_equal(many.p_values_many(X), one.p_values_many(X))


@pytest.mark.parametrize("weight", [0.4, 1.0, 2.5, 40.0])
def test_weighted_chunks_keep_the_scores_of_one_call(weight):
    weights = np.full(100, weight)
    whole, chunks = (IsolationMondrianForest(5, random_state=0) for _ in range(2))
    whole.partial_fit(X, sample_weight=weights)
    for begin in range(0, 100, 7):
        chunks.partial_fit(X[begin : begin + 7], sample_weight=weights[begin : begin + 7])
    assert_array_equal(whole.p_values(X), chunks.p_values(X))


def test_a_window_smaller_than_what_warms_up_goes_on_under_other_parameters():
    model = IsolationMondrianForest(5, window=10, random_state=0).partial_fit(X[:15])
    model.set_params(window=None).partial_fit(X[15:60])
    assert np.isfinite(model.score_samples(X)).all()
