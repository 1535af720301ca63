"""What must hold to the last bit: threads, chunks, loops, copies, pickles and subsets change nothing."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from cases.forest_cases import case, empty, states
from numpy.testing import assert_array_equal

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest
from imondrian.river import OnlineIsolationMondrianForest

SCORES = ["depth", "insertion"]
WINDOWS = [None, 50, "reservoir", "decayed", "thinned"]
MEMORIES = [UNBOUNDED, SLIDING, RESERVOIR]
DTYPES = [np.float64, np.float32]
SMALL = {"n_estimators": 12, "random_state": 0}


def saved(forest):
    """What a forest saves, with points in place of the rows of the store that hold them."""
    state = forest.__getstate__()
    columns = state.pop("columns")
    points, places = columns.pop("points"), columns.pop("leaf_point")
    columns["point"] = np.where(places[:, :, None] >= 0, points[places], 0)
    columns["dead"] = places < 0
    return state, columns


def assert_same_forest(a, b):
    """Every number that a forest saves, bit for bit."""
    (a, a_columns), (b, b_columns) = saved(a), saved(b)
    assert a == b
    assert a_columns.keys() == b_columns.keys()
    for name, column in a_columns.items():
        assert column.dtype == b_columns[name].dtype
        assert column.tobytes() == b_columns[name].tobytes(), name


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(2500, 4))


# -- threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("window", WINDOWS)
def test_threads_change_nothing(X, window, score, dtype):
    X = X.astype(dtype)
    one, others = None, []
    for n_jobs in (1, 2, 5):
        forest = IsolationMondrianForest(**SMALL, window=window, score=score, n_jobs=n_jobs).fit(X)
        fitted = copy.deepcopy(forest.forest_)
        forest.partial_fit(X[::-1][:600])
        scores = [forest.score_samples(X[:n]) for n in (1, 63, 64, 2500)]
        if one is None:
            one = fitted, forest.forest_, scores
        else:
            others.append((fitted, forest.forest_, scores))
    for other in others:
        assert_same_forest(other[0], one[0])
        assert_same_forest(other[1], one[1])
        for a, b in zip(other[2], one[2], strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("memory", MEMORIES)
def test_threads_change_nothing_in_scoring_streams_and_forgetting(X, memory):
    forests = [empty(4, n_trees=12, capacity=100, memory=memory) for _ in range(3)]
    scores = [
        forest.learn(X[:1500], score="insertion", n_threads=n) for forest, n in zip(forests, (1, 2, 5), strict=True)
    ]
    assert_array_equal(scores[1], scores[0])
    assert_array_equal(scores[2], scores[0])
    removed = [forest.forget(X[200:1450].copy(), n) for forest, n in zip(forests, (1, 2, 5), strict=True)]
    assert_array_equal(removed[1], removed[0])
    assert_array_equal(removed[2], removed[0])
    assert sum(removed[0]) > 0 and (memory != UNBOUNDED or (removed[0] == 12).all())
    assert_same_forest(forests[1], forests[0])
    assert_same_forest(forests[2], forests[0])


# -- chunks and loops ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("fitted", [False, True])
def test_chunks_equal_one_call(X, fitted, window, score, dtype):
    X = X[:900].astype(dtype)
    rng = np.random.default_rng(1)
    whole, parts = (IsolationMondrianForest(**SMALL, window=window, score=score) for _ in range(2))
    if fitted:
        whole.fit(X[:300])
        parts.fit(X[:300])
    whole.partial_fit(X)
    cuts = [0, 1, 2, *sorted(rng.integers(3, 900, size=6).tolist()), 900]
    for begin, end in itertools.pairwise(cuts):
        if end > begin:
            parts.partial_fit(X[begin:end])
    assert_same_forest(parts.forest_, whole.forest_)
    assert_array_equal(parts.score_samples(X), whole.score_samples(X))
    assert parts.offset_ == whole.offset_


def test_weighted_chunks_equal_one_call(X):
    weight = np.random.default_rng(0).uniform(0, 3, size=500)
    weight[::7] = 0
    whole, parts = IsolationMondrianForest(**SMALL), IsolationMondrianForest(**SMALL)
    whole.partial_fit(X[:500], sample_weight=weight)
    for begin in range(0, 500, 90):
        parts.partial_fit(X[begin : min(begin + 90, 500)], sample_weight=weight[begin : begin + 90])
    assert_same_forest(parts.forest_, whole.forest_)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("window", [20, 300, None, "reservoir", "decayed", "thinned"])
def test_scoring_then_learning_many_is_the_loop(X, window, score):
    X = X[:700]
    loop, many = (OnlineIsolationMondrianForest(8, window=window, score=score, seed=0) for _ in range(2))
    scores = []
    for row in X:
        x = dict(enumerate(row.tolist()))
        scores.append(loop.score_one(x))
        loop.learn_one(x)
    assert_array_equal(many.score_learn_many(X), scores)
    assert_same_forest(many._model.forest, loop._model.forest)


# -- weights and copies --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("score", SCORES)
def test_a_weight_is_that_many_copies_in_fit(score, dtype):
    X = case("normal", 50, 3, dtype=dtype)
    weight = np.random.default_rng(0).integers(0, 5, size=50)
    copies = np.repeat(X, weight, axis=0)
    shuffled = copies[np.random.default_rng(1).permutation(len(copies))]
    weighted = IsolationMondrianForest(**SMALL, score=score).fit(X, sample_weight=weight)
    for other in (copies, shuffled):
        repeated = IsolationMondrianForest(**SMALL, score=score).fit(other)
        assert_array_equal(weighted.score_samples(X), repeated.score_samples(X))
        assert weighted.forest_.mass == repeated.forest_.mass == weight.sum()


def test_a_weight_is_that_many_copies_in_partial_fit():
    """Learning a point again changes nothing but its weight, so copies leave the generator alone."""
    X = case("normal", 50, 3)
    weight = np.random.default_rng(0).integers(0, 4, size=50)
    # Flags for the default score look at rows one by one: a weight is judged once, copies again and again.
    weighted = IsolationMondrianForest(**SMALL, score="depth").partial_fit(X, sample_weight=weight)
    copies = IsolationMondrianForest(**SMALL, score="depth").partial_fit(np.repeat(X, weight, axis=0))
    assert_array_equal(weighted.score_samples(X), copies.score_samples(X))


def test_rows_of_weight_zero_are_not_there(X):
    X, weight = X[:200], np.ones(200)
    weight[::3] = 0
    for learn in ("fit", "partial_fit"):
        for window in WINDOWS:
            zero, absent = (IsolationMondrianForest(**SMALL, window=window) for _ in range(2))
            getattr(zero, learn)(X, sample_weight=weight)
            getattr(absent, learn)(X[weight > 0])
            assert_same_forest(zero.forest_, absent.forest_)
    assert_same_forest(
        IsolationMondrianForest(**SMALL).fit(X, sample_weight=np.ones(200)).forest_,
        IsolationMondrianForest(**SMALL).fit(X).forest_,
    )


# -- pickles and copies --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", MEMORIES)
def test_learning_goes_on_after_a_pickle_as_if_uninterrupted(X, memory, dtype):
    X = X[:900].astype(dtype)
    steady, broken = (empty(4, dtype=dtype, capacity=60, memory=memory) for _ in range(2))
    for begin in range(0, 900, 150):
        chunk = X[begin : begin + 150]
        a, b = steady.learn(chunk, score="insertion"), broken.learn(chunk, score="insertion")
        assert_array_equal(a, b)
        assert_array_equal(steady.forget(chunk[::3].copy()), broken.forget(chunk[::3].copy()))
        broken = pickle.loads(pickle.dumps(broken))
        assert_array_equal(broken.scores(X, "depth"), steady.scores(X, "depth"))
    assert_array_equal(broken.scores(X, "insertion"), steady.scores(X, "insertion"))
    assert_same_forest(broken, steady)


@pytest.mark.parametrize("window", WINDOWS)
def test_an_estimator_goes_on_after_a_pickle(X, window):
    steady = IsolationMondrianForest(**SMALL, window=window).fit(X[:300])
    restored = pickle.loads(pickle.dumps(steady))
    assert_same_forest(restored.forest_, steady.forest_)
    assert restored.get_params() == steady.get_params() and restored.offset_ == steady.offset_
    assert_same_forest(restored.partial_fit(X[300:600]).forest_, steady.partial_fit(X[300:600]).forest_)


def test_a_copy_shares_nothing(X):
    original = IsolationMondrianForest(**SMALL).fit(X[:300])
    before = original.score_samples(X)
    copied = copy.deepcopy(original)
    copied.partial_fit(X + 5)
    assert_array_equal(original.score_samples(X), before)
    x = X[:300].copy()
    forest = IsolationMondrianForest(**SMALL, max_samples=1.0).fit(x)
    x[:] = 0
    assert_array_equal(
        forest.score_samples(X), IsolationMondrianForest(**SMALL, max_samples=1.0).fit(X[:300]).score_samples(X)
    )


# -- subsets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("d", [1, 4, 9, 16, 17])
def test_scores_of_a_subset_are_a_subset_of_the_scores(d, score, dtype):
    X = case("normal", 1500, d, dtype=dtype)
    forest = Forest.build(X, None, states(0, 7), 128)
    whole = forest.scores(X, score)
    rng = np.random.default_rng(0)
    for n in (1, 7, 8, 9, 63, 64, 65, 1023, 1025):
        rows = np.sort(rng.choice(1500, n, replace=False))
        assert_array_equal(forest.scores(np.ascontiguousarray(X[rows]), score), whole[rows])
    assert_array_equal(forest.scores(np.ascontiguousarray(X[::-1]), score), whole[::-1])
    singles = [forest.scores(X[i : i + 1], score)[0] for i in range(100)]
    assert_array_equal(singles, whole[:100])


def test_a_forest_is_the_same_with_and_without_boxes(X):
    deep, light = (IsolationMondrianForest(**SMALL, score=score).fit(X) for score in ("insertion", "depth"))
    light.set_params(score="insertion")
    assert_array_equal(light.score_samples(X), deep.score_samples(X))
    assert_same_forest(light.partial_fit(X[:100]).forest_, deep.partial_fit(X[:100]).forest_)


def test_the_order_of_rows_means_nothing_to_fit(X):
    X = X[:200]
    forward = IsolationMondrianForest(**SMALL).fit(X)
    backward = IsolationMondrianForest(**SMALL).fit(X[::-1])
    assert_array_equal(forward.score_samples(X), backward.score_samples(X))
