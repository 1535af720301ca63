"""Any finite number of the type, beside any other: every invariant holds, and every answer is a number in range."""

import pickle

import numpy as np
import pandas as pd
import pytest
from cases.forest_cases import states
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest
from imondrian.river import OnlineIsolationMondrianForest

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")
DTYPES = st.sampled_from([np.float32, np.float64])
SCORES = ("spacing", "depth", "insertion")


def numbers(dtype, missing=True):
    """Values of the type from end to end: signed powers, what lies next to them, and sentinels that come again."""
    info = np.finfo(dtype)
    least = float(info.smallest_subnormal)
    sentinels = [
        0.0,
        -0.0,
        least,
        -least,
        3 * least,
        float(info.tiny),
        -float(info.tiny),
        1.0,
        -1.0,
        0.1,
        2.0,
        1e30,
        float(info.max),
        -float(info.max),
        0.5 * float(info.max),
        -0.5 * float(info.max),
    ]
    sentinels += [9007199254740993.0, 1e100, -1e300, 1e300, 1e-310] if dtype == np.float64 else []
    power = st.builds(
        lambda sign, e: sign * float(np.ldexp(dtype(1), e)),
        st.sampled_from([-1.0, 1.0]),
        st.integers(info.minexp - info.nmant, info.maxexp - 1),
    )
    near = st.builds(
        lambda x, up: float(np.nextafter(dtype(x), dtype(up))),
        st.one_of(power, st.sampled_from(sentinels)),
        st.sampled_from([-1.0, 1.0]),
    )
    kinds = [st.sampled_from(sentinels), st.sampled_from(sentinels[:4] + sentinels[12:14]), power, near]
    return st.one_of(*kinds, st.just(float("nan"))) if missing else st.one_of(*kinds)


@st.composite
def tables(draw, dtype, most=30, missing=True):
    d = draw(st.sampled_from([1, 2, 3, 9]))
    pool = draw(st.lists(st.lists(numbers(dtype, missing), min_size=d, max_size=d), min_size=1, max_size=most))
    again = draw(st.lists(st.integers(0, len(pool) - 1), max_size=most // 2))
    return np.array([*pool, *(pool[i] for i in again)], dtype=dtype).reshape(-1, d)


def distinct(X):
    return len({tuple(row) for row in (X + X.dtype.type(0)).tolist()})  # -0.0 + 0 is 0.0


def streaming(d, dtype, seed, memory=UNBOUNDED, points=None, decay=0.0, *, n_trees=3, **options):
    return Forest.for_stream(d, dtype, states(seed, n_trees), memory, points, decay, **options)


def assert_sound(forest, X):
    """The auditor finds nothing, before and after a round trip; scores and what explains them are numbers in range."""
    forest.check()
    pickle.loads(pickle.dumps(forest)).check()
    for score in SCORES if forest.spaced else SCORES[1:]:
        scores = forest.scores(X, score)
        assert ((scores >= 0) & (scores <= 1)).all(), score
        few = np.concatenate([forest.scores(np.ascontiguousarray(row[None]), score) for row in X[:3]])
        np.testing.assert_allclose(few, scores[:3], rtol=1e-9, atol=1e-12)
        parts, usual = forest.explain(X, score)
        assert np.isfinite(parts).all()
        if forest.mass > 0:
            np.testing.assert_allclose(parts.sum(axis=(1, 2)), scores - usual, rtol=1e-6, atol=1e-9)


def assert_cuts_have_sides(forest, X):
    """Whatever is cut has values on both sides, where none is missing."""
    columns = forest.columns
    if np.isnan(X).any():
        return
    for t in range(forest.n_trees):
        for v in range(columns["header"][t, 4]):
            f = columns["feature"][t, v]
            if f >= 0:
                assert columns["lower"][t, v, f] < columns["upper"][t, v, f]


@settings(max_examples=150)
@given(
    data=st.data(),
    dtype=DTYPES,
    seed=st.integers(0, 2**16),
    scaled=st.booleans(),
    spaced=st.booleans(),
    samples=st.sampled_from([3, 8, 100]),
)
def test_fit(data, dtype, seed, scaled, spaced, samples):
    X = data.draw(tables(dtype))
    forest = Forest.build(X, None, states(seed, 3), samples, scaled=scaled, spaced=spaced)
    assert_sound(forest, X)
    assert_cuts_have_sides(forest, X)
    if samples >= len(X) and not np.isnan(X).any():
        assert (forest.n_leaves == distinct(X)).all()


@settings(max_examples=150)
@given(
    data=st.data(),
    dtype=DTYPES,
    seed=st.integers(0, 2**16),
    scaled=st.booleans(),
    spaced=st.booleans(),
    memory=st.sampled_from([UNBOUNDED, SLIDING, RESERVOIR]),
    window=st.integers(1, 16),
    decay=st.sampled_from([0.0, 0.1]),
    size=st.integers(1, 7),
)
def test_streams(data, dtype, seed, scaled, spaced, memory, window, decay, size):
    X = data.draw(tables(dtype))
    bounded = (memory, window, decay) if memory != UNBOUNDED else ()
    forest = streaming(X.shape[1], dtype, seed, *bounded, scaled=scaled, spaced=spaced)
    for begin in range(0, len(X), size):
        forest.learn(X[begin : begin + size])
        forest.check()
        if begin % 3 == 0:
            held = X[max(0, begin - 2) : begin + 1]
            holders = forest.holders(held)
            assert (forest.forget(held) == holders).all()
            forest.check()
    assert_sound(forest, X)
    assert_cuts_have_sides(forest, X)
    forest.forget(X)
    forest.check()


@settings(max_examples=60)
@given(data=st.data(), dtype=DTYPES, seed=st.integers(0, 2**16), scaled=st.booleans())
def test_weights(data, dtype, seed, scaled):
    X = data.draw(tables(dtype))
    weight = np.array(
        data.draw(
            st.lists(
                st.one_of(st.sampled_from([5e-324, 1e-310, 1.0, 3.0, 1e250, 1e-250]), st.floats(1e-3, 1e3)),
                min_size=len(X),
                max_size=len(X),
            )
        )
    )
    assume(weight.sum() >= 1e-290)  # means over less have no digits left
    forest = Forest.build(X, weight, states(seed, 3), 100, scaled=scaled, spaced=True)
    assert_sound(forest, X)
    Forest.build(X, weight, states(seed, 3), max(1, len(X) // 2), scaled=scaled, spaced=True).check()
    stream = streaming(X.shape[1], dtype, seed, scaled=scaled, spaced=True)
    stream.learn(X, weight)
    assert_sound(stream, X)
    stream.forget(X[::2].copy())
    stream.check()


@settings(max_examples=40)
@given(
    data=st.data(),
    dtype=DTYPES,
    score=st.sampled_from(["default", "depth", "insertion"]),
    scale=st.sampled_from(["robust", None]),
    window=st.sampled_from([None, 5, "reservoir", "decayed", "thinned"]),
)
def test_estimators(data, dtype, score, scale, window):
    X = data.draw(tables(dtype))
    params = {"n_estimators": 5, "score": score, "scale": scale, "random_state": 0}
    for method in ("fit", "partial_fit"):
        forest = getattr(IsolationMondrianForest(**params, window=window, contamination=0.2), method)(X)
        forest.forest_.check()
        scores = forest.score_samples(X)
        assert ((scores <= 0) & (scores >= -1)).all()
        np.testing.assert_allclose(forest.explain(X).sum(axis=1), scores - forest.expected_score_, rtol=1e-6, atol=1e-9)
        p = forest.p_values(X)
        assert ((p > 0) & (p <= 1)).all()
        forest.partial_fit(X[::-1]).forest_.check()


@settings(max_examples=40)
@given(
    data=st.data(),
    score=st.sampled_from(["default", "depth", "insertion"]),
    scale=st.sampled_from(["robust", None]),
    window=st.sampled_from([None, 4, 16, "reservoir", "decayed", "thinned"]),
)
def test_river(data, score, scale, window):
    X = data.draw(tables(np.float64, most=60))
    model = OnlineIsolationMondrianForest(5, window=window, horizon=64, score=score, scale=scale, seed=0)
    for row in X:
        x = dict(enumerate(row.tolist()))
        assert 0 <= model.score_one(x) <= 1
        model.learn_one(x)
        assert 0 < model.p_value_one(x) <= 1
        if model._model.forest is not None:
            model._model.forest.check()
    pickle.loads(pickle.dumps(model))


TWELVE = np.array([[0.0, 1.7e308], [0.0, -1.7e308], [0.0, 1.0], [0.0, 2.0]] * 3)
TWELVE[:, 1] += np.arange(12)


@pytest.mark.parametrize("scale", ["robust", None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("score", ["default", "depth", "insertion"])
def test_the_ends_of_the_type_as_sentinels(score, dtype, scale):
    X = TWELVE.copy()
    most = np.finfo(dtype).max
    X[X > 1e300], X[X < -1e300] = most, -most
    X = X.astype(dtype)
    for method in ("fit", "partial_fit"):
        forest = getattr(IsolationMondrianForest(20, score=score, scale=scale, random_state=0), method)(X)
        forest.forest_.check()
        feature = forest.forest_.columns["feature"]
        assert (feature[:, : forest.forest_.n_leaves.max() - 1] == 1).all()  # the other has no side
        assert np.isfinite(forest.score_samples(X)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tables_whose_sums_no_number_holds(dtype):
    """Through scikit-learn's validation, too, which adds everything up: the filter above makes its warnings errors."""
    most = np.finfo(dtype).max
    X = np.where(np.random.default_rng(0).random((64, 3)) < 0.5, most, -most).astype(dtype)
    frame = pd.DataFrame(X)
    expected = IsolationMondrianForest(5, random_state=0).fit(X).score_samples(X)
    for rows in (np.asfortranarray(X), X[:, ::-1][:, ::-1], frame):
        forest = IsolationMondrianForest(5, random_state=0).fit(rows)
        np.testing.assert_array_equal(forest.score_samples(rows), expected)
        forest.partial_fit(rows).forget(rows).forest_.check()
    forest = IsolationMondrianForest(5, random_state=0).fit(X)
    dask_array, dask_forest = pytest.importorskip("dask.array"), pytest.importorskip("imondrian.dask")
    blocks = dask_array.from_array(np.asfortranarray(X), chunks=(16, 3))
    np.testing.assert_array_equal(dask_forest.score_samples(forest, blocks).compute(scheduler="synchronous"), expected)


NAN = float("nan")
STREAMS = {
    "four": [(1e-310, NAN, 0.1), (1.0, -1e300, 1e300), (9007199254740993.0, 3.0, 5e-324), (1.0, 1.0, 0.0)],
    "all told apart": [(1.0, 1.0, 0.0), (1.0, 1.0, 5e-324), (1.0, 1.0, 1e300)],
    "missing": [(1.0, 0.0, 0.0), (2.0, 0.0, 5e-324), (1.0, 1.0, 1e300), (3.0, NAN, 5e-324), (3.0, 1.0, 0.0)],
}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", STREAMS)
def test_denormals_beside_large_numbers(name, seed):
    rows, rng = STREAMS[name], np.random.default_rng(seed)
    model = OnlineIsolationMondrianForest(5, window=16, seed=seed)
    for _ in range(80):
        model.learn_one(dict(zip("abc", rows[rng.integers(len(rows))], strict=True)))
        model._model.forest.check()
    pickle.loads(pickle.dumps(model))
    if name == "all told apart":
        assert (model._model.forest.n_leaves == 3).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cuts_fall_in_proportion_to_sides_that_no_number_holds(dtype):
    most, n_trees = np.finfo(dtype).max, 4000
    X = np.array([[-most, -most / 2], [most, most / 2]], dtype=dtype)  # sides 2 : 1
    forest = Forest.build(X, None, states(0, n_trees), 2)
    assert abs((forest.columns["feature"][:, 0] == 0).mean() - 2 / 3) < 4 * (2 / 9 / n_trees) ** 0.5
    stream = streaming(2, dtype, 1, n_trees=n_trees)
    stream.learn(X)
    assert abs((stream.columns["feature"][:, 0] == 0).mean() - 2 / 3) < 4 * (2 / 9 / n_trees) ** 0.5
    least = np.finfo(dtype).smallest_subnormal
    X = np.array([[0, 0], [3 * least, least]], dtype=dtype)  # 3 : 1
    forest = Forest.build(X, None, states(2, n_trees), 2)
    assert abs((forest.columns["feature"][:, 0] == 0).mean() - 3 / 4) < 4 * (3 / 16 / n_trees) ** 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_multiplying_by_a_power_of_two_changes_nothing(dtype):
    """Of the robust scale's forests all is relative: as long as no digit is lost, the exponent means nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)).astype(dtype)
    X = np.ldexp(np.rint(np.ldexp(X, 10)), -10).astype(dtype)
    most = np.finfo(dtype).maxexp
    expected = IsolationMondrianForest(20, random_state=0).fit(X).score_samples(X)
    for power in (most - 4, most // 2, -(most // 2), 16 - most):
        scaled = np.ldexp(X, power).astype(dtype)
        assert (np.ldexp(scaled, -power) == X).all()
        scores = IsolationMondrianForest(20, random_state=0).fit(scaled).score_samples(scaled)
        np.testing.assert_allclose(scores, expected, rtol=1e-3)
