"""Bounds on memory that hold: the formula, max_bytes, and keys that come, go and are too many."""

import pickle
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest, seed_states
from imondrian.river import OnlineIsolationMondrianForest

NAMED = ["thinned", "decayed", "reservoir"]
RNG = np.random.default_rng(0)


def states(n_trees):
    return seed_states(np.random.RandomState(0), n_trees)


# -- the count is the size -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("d", [1, 4, 9])
@pytest.mark.parametrize("memory", [UNBOUNDED, SLIDING, RESERVOIR])
def test_the_count_of_bytes_is_the_size_of_the_columns(memory, d, dtype):
    spaced = d == 9
    forest = Forest.for_stream(d, dtype, states(7), memory, None if memory == UNBOUNDED else 50, 0.0, spaced=spaced)
    X = RNG.normal(size=(900, d)).astype(dtype)
    for step in range(3):
        slots, rows = forest.columns["feature"].shape[1], len(forest.columns["points"])
        assert forest.layout.size(slots, rows) == forest.nbytes
        forest.learn(X[300 * step : 300 * (step + 1)])
    built = Forest.build(X, None, states(7), 64, boxes=False, spaced=spaced)
    assert built.layout.size(64, len(built.columns["points"])) == built.nbytes


@pytest.mark.parametrize("window", [20, 256, *NAMED])
@pytest.mark.parametrize(("t", "d"), [(1, 3), (30, 9)])
def test_the_formula_of_the_docstring_is_true(window, t, d):
    model = OnlineIsolationMondrianForest(t, window=window, horizon=5000, seed=0)
    w, wide = window if isinstance(window, int) else 256, -(-d // 4) * 4
    formula = t * (w + 1) * (84 + 16 * wide) + t * (1142 + 8 * wide) + (t * w + 512) * (8 + 8 * wide) + 16416
    for _ in range(12):
        model.learn_many(RNG.normal(size=(1000, d)))
        assert model._model.forest.nbytes <= formula
        assert model.info()["bytes"] == sys.getsizeof(model) <= model.info()["bytes_bound"] < formula + 40_000
    if window == "reservoir" and t == 30:  # trees that share little come close
        assert model._model.forest.nbytes > 0.8 * formula


# -- max_bytes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [300, *NAMED])
def test_a_window_that_does_not_fit_is_refused_with_one_that_does(window):
    d, limit = 9, 6_000_000
    with pytest.raises(
        ValueError,
        match=r"max_bytes must be at least \d+ for 100 trees of \d+ points with 1 features, "
        r"got 300000: \d+ points a tree would fit",
    ):
        OnlineIsolationMondrianForest(window=window, max_bytes=300_000)
    model = OnlineIsolationMondrianForest(window=window, max_bytes=limit, seed=0)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match=f"with {d} features, got {limit}") as error:
        model.learn_one({f"x{j}": 1.0 for j in range(d)})
    assert pickle.dumps(model) == before
    fits = int(str(error.value).split(": ")[1].split()[0])
    X = RNG.normal(size=(4000, d))
    smaller = OnlineIsolationMondrianForest(window=fits, max_bytes=limit, seed=0)
    smaller.learn_many(X)
    assert sys.getsizeof(smaller) <= limit
    with pytest.raises(ValueError, match=r"\d+ points a tree would fit"):
        OnlineIsolationMondrianForest(window=fits + 12, max_bytes=limit).learn_many(X)  # a ring takes less
    with pytest.raises(ValueError, match=f"with {d} features, got {limit}"):
        IsolationMondrianForest(window=window, max_bytes=limit).fit(X)
    assert sys.getsizeof(IsolationMondrianForest(10, window=window, max_bytes=limit).fit(X)) <= limit
    with pytest.raises(ValueError, match="no window fits"):
        OnlineIsolationMondrianForest(max_bytes=20_000)


def test_a_sample_that_does_not_fit_is_refused_with_one_that_does():
    X = RNG.normal(size=(5000, 6))
    with pytest.raises(
        ValueError,
        match=r"max_bytes must be at least \d+ for 100 trees of 4000 rows with 6 features, "
        r"got 4000000: max_samples=\d+ would fit",
    ) as error:
        IsolationMondrianForest(max_samples=4000, max_bytes=4_000_000, score="insertion").fit(X)
    fits = int(str(error.value).split("max_samples=")[1].split()[0])
    forest = IsolationMondrianForest(max_samples=fits, max_bytes=4_000_000, score="insertion").fit(X)
    assert forest.info()["bytes"] == sys.getsizeof(forest) <= 4_000_000 < 1.1 * sys.getsizeof(forest)
    with pytest.raises(ValueError, match=f"max_samples={fits} would fit"):
        IsolationMondrianForest(max_samples=fits + 1, max_bytes=4_000_000, score="insertion").fit(X)
    with pytest.raises(ValueError, match="no sample fits"):
        IsolationMondrianForest(max_bytes=10_000).fit(X)


@pytest.mark.parametrize("chunk", [1, 37, 400])
@pytest.mark.parametrize("fitted", [False, True])
def test_an_unbounded_forest_stops_before_the_bound(chunk, fitted):
    X, limit = RNG.normal(size=(6000, 3)), 700_000
    forest = IsolationMondrianForest(10, max_bytes=limit, random_state=0)
    stream = OnlineIsolationMondrianForest(10, window=None, max_bytes=limit, seed=0)
    free = IsolationMondrianForest(10, random_state=0)
    if fitted:
        forest.fit(X[:200])
        free.fit(X[:200])
    learnt = 0
    for begin in range(0, 6000, chunk):
        rows = X[begin : begin + chunk]
        before = pickle.dumps(forest), pickle.dumps(stream)
        try:
            forest.partial_fit(rows)
            stream.learn_many(rows)
        except MemoryError as error:
            assert f"too little for {chunk} more points" in str(error) and "nothing was learnt" in str(error)
            break
        learnt += len(rows)
        assert sys.getsizeof(forest) <= limit and sys.getsizeof(stream) <= limit
    else:
        pytest.fail("the bound was never reached")
    assert pickle.dumps(forest) == before[0] or pickle.dumps(stream) == before[1]
    if learnt and pickle.dumps(forest) == before[0]:
        assert sys.getsizeof(forest) > 0.75 * limit - 2000 * chunk
        assert_array_equal(free.partial_fit(X[:learnt]).score_samples(X[:300]), forest.score_samples(X[:300]))
        forest.forest_.check()
        forest.forget(X[:learnt], missing_ok=True).partial_fit(X[:20])  # there is room again


# -- keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["depth", "default"])
@pytest.mark.parametrize("window", [40, *NAMED])
def test_silent_keys_make_room_for_new_ones(window, score):
    """Keys of a fleet whose sensors are replaced: the model stays as wide as what it still holds."""
    model = OnlineIsolationMondrianForest(6, window=window, horizon=300, score=score, seed=0)
    rng = np.random.default_rng(0)
    widths = set()
    for i in range(4000):
        generation = i // 500
        model.learn_one({"age": float(i % 7), **{f"s{generation}.{j}": rng.normal() for j in range(3)}})
        if i % 100 == 99:
            model._model.forest.check()
            widths.add(model._model.forest.columns["points"].shape[1])
            assert list(model._model.keys.values()) == list(range(model._model.forest.n_features))
    # 25 keys in all; a reservoir keeps some of its oldest points for long, a uniform one for ever.
    assert max(widths) <= {40: 8, "thinned": 12, "decayed": 28, "reservoir": 28}[window]
    assert model.info()["keys_dropped"] >= {40: 18, "thinned": 15, "decayed": 0, "reservoir": 0}[window]
    restored = pickle.loads(pickle.dumps(model))
    x = {"age": 3.0, "s7.0": 0.0, "s7.1": 5.0}
    assert restored.score_one(x) == model.score_one(x) > 0
    assert ("s0.0" in model._model.keys) == (window in ("decayed", "reservoir"))


@pytest.mark.parametrize("window", [40, "thinned"])
def test_dropping_a_key_changes_no_score(window):
    rng = np.random.default_rng(1)
    model = OnlineIsolationMondrianForest(8, window=window, horizon=300, score="depth", seed=0)
    model.learn_many(rng.normal(size=(200, 4)))
    for _ in range(3000):
        model.learn_one({0: rng.normal(), 1: rng.normal(), 2: rng.normal()})
    assert model._model.forest.silent_features() == [3]
    queries = rng.normal(size=(60, 3)) * 2
    before = model.score_many(queries)
    state = pickle.dumps(model)
    model._model.forest.add_features(1, [3])
    model._model.forest.check()
    assert_array_equal(model._model.forest.scores(np.column_stack([queries, np.full(60, np.nan)]), "depth"), before)
    model = pickle.loads(state)
    model.learn_one({"new": 1.0, 0: 0.0})
    assert list(model._model.keys) == [0, 1, 2, "new"] and model.info()["keys_dropped"] == 1
    assert 0 < model.score_one({0: 1.0, 3: 5.0}) < 1


def test_without_a_window_nothing_is_dropped():
    model = OnlineIsolationMondrianForest(3, window=None, seed=0)
    for i in range(20):
        model.learn_one({i: 1.0})
        model.forget_one({i: 1.0})
    assert len(model._model.keys) == 20


@pytest.mark.parametrize("many", [False, True])
def test_keys_beyond_the_limit_are_ignored_and_counted(many):
    limited = OnlineIsolationMondrianForest(6, max_features=3, seed=0)
    plain = OnlineIsolationMondrianForest(6, seed=0)
    X = np.random.default_rng(0).normal(size=(200, 5))
    if many:
        limited.learn_many(X)
    else:
        for row in X.tolist():
            limited.learn_one(dict(enumerate(row)))
    plain.learn_many(X[:, :3])
    info = limited.info()
    assert info["features"] == 3 and info["keys_ignored"] == 400
    assert_array_equal(limited.score_many(X), plain.score_many(X[:, :3]))
    before = pickle.dumps(limited)
    limited.score_one({"never": 1.0})
    assert pickle.dumps(limited) == before
    limited.forget_one(dict(enumerate(X[-1].tolist())))


def test_a_limit_below_a_fitted_forest_leaves_it_as_it_is():
    forest = IsolationMondrianForest(3, random_state=0).fit(RNG.normal(size=(20, 1200)))
    model = OnlineIsolationMondrianForest.from_estimator(forest)
    model.learn_one(dict.fromkeys(range(1201), 0.5))
    assert model.info()["features"] == 1200 and model.info()["keys_ignored"] == 1


# -- info ------------------------------------------------------------------------------------------------


def test_info_tells_what_is_held():
    X = RNG.normal(size=(500, 4))
    forest = IsolationMondrianForest(10, random_state=0).fit(X)
    info = forest.info()
    assert info["trees"] == 10 and info["features"] == 4 and info["points_a_tree"] == 256.0
    assert info["scale"] == "robust" and info["window_points"] is None and info["max_bytes"] is None
    held = len(np.unique(forest.forest_.columns["leaf_point"]))
    assert info["points_stored"] == held and info["points_streamed"] == 0
    assert forest.partial_fit(X[:50]).info()["points_streamed"] == 50
    model = OnlineIsolationMondrianForest(10, window=64, seed=0, scale=None)
    assert model.info()["points_stored"] == 0 and model.info()["bytes"] == sys.getsizeof(model)
    model.learn_many(X)
    info = model.info()
    assert (info["points_a_tree"], info["points_stored"], info["points_streamed"]) == (64.0, 64, 500)
    assert info["window_points"] == 64 and info["scale"] is None and info["bytes"] <= info["bytes_bound"]
