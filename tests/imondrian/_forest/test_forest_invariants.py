"""Random histories on awkward data: after every step the auditor finds nothing, and nothing is lost."""

import pickle
from collections import Counter, deque

import numpy as np
import pytest
from cases.forest_cases import CASES, case, empty, states
from hypothesis import given, settings
from hypothesis import strategies as st

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest

DTYPES = st.sampled_from([np.float32, np.float64])
WIDTHS = st.sampled_from([1, 2, 3, 8, 9, 17])
SEEDS = st.integers(0, 2**16)


def points_of(forest, t):
    """The points that tree t holds, with how much each weighs."""
    columns = forest.columns
    held = Counter()
    for slot in range(columns["header"][t, 5]):
        point = columns["leaf_point"][t, slot]
        if point >= 0:
            held[tuple(columns["points"][point, : forest.n_features].tolist())] += columns["leaf_mass"][t, slot]
    return held


def assert_holds(forest, expected):
    forest.check()
    for t in range(forest.n_trees):
        assert points_of(forest, t) == expected
    assert forest.mass == sum(expected.values())
    assert (forest.n_leaves == len(expected)).all()


def restored(forest):
    return pickle.loads(pickle.dumps(forest))


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(CASES)),
    d=WIDTHS,
    dtype=DTYPES,
    seed=SEEDS,
    built=st.booleans(),
    steps=st.lists(
        st.tuples(st.sampled_from(["learn", "learn", "forget", "forget all", "pickle"]), st.integers(1, 12)),
        min_size=2,
        max_size=12,
    ),
)
def test_learning_and_forgetting(name, d, dtype, seed, built, steps):
    stream = case(name, 200, d, seed=seed, dtype=dtype)
    held = Counter()
    if built:
        forest = Forest.build(stream[:20].copy(), None, states(seed, 3), 20, boxes=seed % 2 == 0)
        held.update(map(tuple, stream[:20].tolist()))
        at = 20
    else:
        forest, at = empty(d, dtype=dtype, seed=seed, n_trees=3), 0
    for step, size in steps:
        if step == "learn":
            rows = stream[at : at + size]
            at += size
            forest.learn(rows)
            held.update(map(tuple, rows.tolist()))
        elif step == "pickle":
            forest = restored(forest)
        else:
            present = sorted(held.elements())[:: 1 if step == "forget all" else 3]
            present = present if step == "forget all" else present[:size]
            absent = [tuple([1e6 + size] * d)]
            rows = np.array(present + absent, dtype=dtype)
            removed = forest.forget(rows)
            assert removed.tolist() == [3] * len(present) + [0]
            held.subtract(present)
            held = +held
        assert_holds(forest, held)


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(CASES)),
    d=WIDTHS,
    dtype=DTYPES,
    seed=SEEDS,
    window=st.integers(1, 20),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    scoring=st.booleans(),
)
def test_sliding(name, d, dtype, seed, window, sizes, scoring):
    stream = case(name, sum(sizes), d, seed=seed, dtype=dtype)
    forest = empty(d, dtype=dtype, seed=seed, n_trees=3, capacity=window, memory=SLIDING)
    held: deque = deque(maxlen=window)
    at = 0
    for size in sizes:
        rows = stream[at : at + size]
        at += size
        scores = forest.learn(rows, score="insertion" if scoring else None)
        assert not scoring or ((scores > 0) & (scores <= 1)).all()
        held.extend(map(tuple, rows.tolist()))
        assert_holds(forest, Counter(held))
        if size % 5 == 0:
            forest = restored(forest)


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(CASES)),
    d=WIDTHS,
    dtype=DTYPES,
    seed=SEEDS,
    window=st.integers(1, 20),
    decay=st.sampled_from([0.0, 0.01, 1.0, 50.0]),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
)
def test_reservoirs(name, d, dtype, seed, window, decay, sizes):
    stream = case(name, sum(sizes), d, seed=seed, dtype=dtype)
    forest = empty(d, dtype=dtype, seed=seed, n_trees=3, capacity=window, memory=RESERVOIR, decay=decay)
    at = 0
    for size in sizes:
        forest.learn(stream[at : at + size])
        at += size
        forest.check()
        seen = Counter(map(tuple, stream[:at].tolist()))
        for t in range(3):
            held = points_of(forest, t)
            assert sum(held.values()) == min(at, window)
            assert all(mass <= seen[point] for point, mass in held.items())
        if size % 5 == 0:
            forest = restored(forest)


@settings(max_examples=40)
@given(data=st.data(), dtype=DTYPES, seed=SEEDS, magnitude=st.sampled_from(["tiny", "unit", "huge", "mixed"]))
def test_any_finite_numbers(data, dtype, seed, magnitude):
    info = np.finfo(dtype)
    exponents = {
        "tiny": (info.minexp - 20, info.minexp),
        "unit": (-4, 4),
        "huge": (info.maxexp - 6, info.maxexp - 1),
        "mixed": (info.minexp - 20, info.maxexp - 1),
    }[magnitude]
    number = st.builds(
        lambda m, e: float(dtype(np.ldexp(m, e))),
        st.sampled_from([-1.0, -0.75, 0.0, 0.5, 0.75]),
        st.integers(*exponents),
    )
    rows = data.draw(st.lists(st.lists(number, min_size=2, max_size=2), min_size=1, max_size=25))
    with np.errstate(all="ignore"):
        X = np.array(rows, dtype=dtype)
        distinct = len(np.unique(X, axis=0))
        for forest in (Forest.build(X, None, states(seed, 2), len(X)), empty(2, dtype=dtype, seed=seed, n_trees=2)):
            if forest.n_leaves[0] == 0:
                forest.learn(X)
            forest.check()
            assert (forest.n_leaves == distinct).all()
            for score in ("depth", "insertion"):
                scores = forest.scores(X, score)
                assert ((scores > 0) & (scores <= 1)).all()
            forest.forget(X[::2].copy())
            forest.check()


@settings(max_examples=40)
@given(
    seed=SEEDS,
    share=st.sampled_from([0.1, 0.4, 0.8, 1.0]),
    window=st.integers(2, 20),
    lattice=st.booleans(),
    memory=st.sampled_from([UNBOUNDED, SLIDING, RESERVOIR]),
    scaled=st.booleans(),
)
def test_missing_values(seed, share, window, lattice, memory, scaled):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, size=(60, 3)).astype(float) if lattice else rng.normal(size=(60, 3))
    X[rng.random(X.shape) < share] = np.nan
    forest = empty(3, seed=seed, n_trees=3, capacity=window, memory=memory, scaled=scaled)
    for begin in range(0, 60, 4):
        forest.learn(X[begin : begin + 4])
        forest.check()
        assert forest.mass == min(begin + 4, window if memory else 60)
        scores = np.concatenate([forest.scores(X, "depth"), forest.scores(X, "insertion")])
        assert np.isfinite(scores).all()
    restored(forest)


@pytest.mark.parametrize("memory", [UNBOUNDED, SLIDING, RESERVOIR])
def test_new_features_between_rows(memory):
    rng = np.random.default_rng(0)
    forest = empty(2, n_trees=4, capacity=20, memory=memory)
    for d in (2, 3, 7, 8, 9, 20):
        if d > forest.n_features:
            forest.add_features(d - forest.n_features)
        forest.check()
        for _ in range(5):
            forest.learn(rng.normal(size=(5, d)))
            forest.check()
        restored(forest)


@pytest.mark.parametrize("door", ["fit", "partial_fit"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_clean_mass_of_repeated_rows_is_no_larger_than_their_mass(door, dtype):
    """Both are sums of the same weights, in other orders: a model whose sums differ could not be loaded again."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X, weight = np.round(rng.normal(size=(200, 2))).astype(dtype), rng.uniform(0, 5, 200)
        model = getattr(IsolationMondrianForest(10, random_state=seed), door)(X, sample_weight=weight)
        for more in (X, X + 10, 3 * X):  # which also renews scales
            model = pickle.loads(pickle.dumps(model)).partial_fit(more.astype(dtype), sample_weight=weight)
            columns = model.forest_.columns
            assert (columns["leaf_clean"] <= columns["leaf_mass"]).all()
            model.forest_.check()


def test_weights_add_up_over_a_long_stream():
    rng = np.random.default_rng(0)
    X, weight = rng.integers(0, 6, size=(2000, 2)).astype(float), rng.uniform(0.01, 100.0, size=2000)
    forest = empty(2, n_trees=3)
    forest.learn(X, weight)
    forest.check()
    assert forest.mass == pytest.approx(weight.sum(), rel=1e-9)


def test_forgetting_heavy_points_leaves_light_ones_exact():
    X, rng = case("normal", 40, 2), np.random.default_rng(0)
    weight = np.where(np.arange(40) % 2 == 0, 1.0, rng.uniform(1e-12, 1e-9, size=40))
    forest = empty(2, n_trees=5)
    forest.learn(X, weight)
    forest.forget(X[::2].copy())
    forest.check()
    assert forest.mass == pytest.approx(weight[1::2].sum(), rel=1e-9)
    restored(forest)


def test_boxes_filled_in_late_are_the_boxes_kept_from_the_start():
    X = case("normal", 100, 5)
    late, early = (Forest.build(X, None, states(0, 3), 100, boxes=boxes) for boxes in (False, True))
    assert "lower" not in late.columns
    assert (late.scores(X, "insertion") == early.scores(X, "insertion")).all()
    for name in ("lower", "upper"):
        live = early.columns[name][:, :99, :5]
        assert (late.columns[name][:, :99, :5] == live).all()


def test_rows_of_the_store_are_used_again():
    forest = empty(2, n_trees=2, capacity=8, memory=SLIDING)
    rng = np.random.default_rng(0)
    for _ in range(400):
        forest.learn(rng.normal(size=(1, 2)))
    n_rows = len(forest.columns["points"])
    for _ in range(2000):
        forest.learn(rng.normal(size=(1, 2)))
    assert len(forest.columns["points"]) == n_rows
    forest.check()
