"""Tables for many rows (bitmaps, walks of eight rows) give the bits that few rows get from the trees themselves."""

import math
import pickle
import warnings

import numpy as np
import pytest
from reference import forest_reference as slow
from sklearn.ensemble import IsolationForest

from imondrian import IsolationMondrianForest, _core

DTYPES = [np.float32, np.float64]
SCORES = ["depth", "insertion", "spacing"]
FEW = 5  # rows of a call that never makes tables


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def level(request):
    number = ["baseline", "avx2", "avx512"].index(request.param)
    best = _core.limit_instruction_set(2)
    if _core.limit_instruction_set(number) != number:
        pytest.skip(f"needs a processor with {request.param}")
    yield
    _core.limit_instruction_set(best)


def table(kind, n, d, dtype):
    rng = np.random.default_rng(d)
    X = rng.normal(size=(n, d)).astype(dtype)
    if kind == "ties":
        X = np.round(2 * X)
        X[:, 0] = 1
    elif kind == "missing":
        X[rng.random(X.shape) < 0.1] = np.nan
        X[0] = np.nan
    elif kind == "extreme":
        X *= dtype(10) ** rng.integers(-30, 30, X.shape).astype(dtype)
    elif kind == "denormal":
        X *= 50 * np.finfo(dtype).smallest_subnormal
    elif kind == "largest":
        X = np.where(X > 0, 1, -1) * np.finfo(dtype).max * rng.random(X.shape).astype(dtype)
    elif kind == "duplicates":
        X = X[rng.integers(0, 20, n)]
    return np.ascontiguousarray(X, dtype=dtype)


def asked(X, n):
    """Return n rows: those of X, between them, on cuts' neighbours, and far outside."""
    rng = np.random.default_rng(1)
    Q = X[rng.integers(0, len(X), n)].copy()
    with np.errstate(over="ignore", invalid="ignore"):
        Q[1::4] = np.nextafter(Q[1::4], X.dtype.type(0))
        Q[2::4] = (Q[2::4] / 2 + np.roll(Q[2::4], 1, axis=0) / 2).astype(X.dtype)
        Q[3::16] *= 3
    Q[~np.isfinite(Q) & ~np.isnan(Q)] = 0
    return Q


def assert_few_and_many_agree(model, Q, n_few=80):
    """Rows get the same bits one way (many calls of few rows) and the other (one call)."""
    many = model.score_samples(Q)
    few = np.concatenate([model.score_samples(Q[i : i + FEW]) for i in range(0, n_few, FEW)])
    assert many[:n_few].tobytes() == few.tobytes()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["plain", "ties", "missing", "extreme", "denormal", "largest", "duplicates"])
def test_kinds_of_data(kind, dtype, score, level):
    X = table(kind, 300, 7, dtype)
    model = IsolationMondrianForest(12, score=score, random_state=0).fit(X)
    assert_few_and_many_agree(model, asked(X, 2000))


# Up to some features a tree is a bitmap, above it is walked; in between, trees of one forest differ.
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("d", [1, 2, 3, 16, 24, 27, 28, 29, 30, 40, 64, 70])
def test_widths(d, score, level):
    X = table("plain", 300, d, np.float64)
    model = IsolationMondrianForest(12, score=score, max_samples=100, random_state=0).fit(X)
    assert_few_and_many_agree(model, asked(X, 800))


# Masks have 64, 128 or 256 bits; of larger trees they are the top.
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("leaves", [1, 2, 3, 63, 64, 65, 127, 128, 129, 255, 256, 257, 258, 400, 1024])
def test_sizes_of_trees(leaves, score, level):
    X = table("plain", 1024, 4, np.float32)
    model = IsolationMondrianForest(9, score=score, max_samples=leaves, random_state=0).fit(X)
    assert_few_and_many_agree(model, asked(X, 6 * leaves + 300))


@pytest.mark.parametrize("score", ["depth", "insertion"])
def test_a_deep_large_tree(score, level):
    X = np.geomspace(1e-12, 1.0, 700)[:, None] * np.ones((1, 2))
    model = IsolationMondrianForest(5, score=score, max_samples=700, random_state=0).fit(X)
    assert_few_and_many_agree(model, asked(X, 5000))


def test_more_levels_than_rows_keep_beside_each_other():
    X = np.geomspace(1e-300, 1.0, 3500)[:, None]
    model = IsolationMondrianForest(2, score="insertion", max_samples=3500, random_state=0).fit(X)
    assert model.forest_.depths(X[:1], "depth")[0][0] > 512
    assert_few_and_many_agree(model, asked(X, 18_000), 20)


# Rows that only long sums can tell apart are summed alone, their neighbours together.
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_some_odd_rows_among_many(dtype, missing, level):
    X = table("missing" if missing else "plain", 300, 6, dtype)
    X[:, 2] = 3  # varies first in what is asked
    model = IsolationMondrianForest(12, score="insertion", random_state=0).fit(X)
    Q = asked(X, 1600)
    info = np.finfo(dtype)
    for k, value in enumerate([info.max, -info.max, info.max / 3, info.tiny, info.smallest_subnormal, 0]):
        Q[7 * k, k % 6] = value
        Q[7 * k + 1, 2] = value
    assert_few_and_many_agree(model, Q)


def test_the_chance_to_get_so_far_is_exp_to_the_last_place(level):
    model = IsolationMondrianForest(1, score="insertion", random_state=0).fit(np.array([[0.0], [1.0]]))
    columns = model.forest_.columns
    per_length = float(columns["rate"][0, 0] * columns["time"][0, columns["header"][0, 0]])
    Q = 1.0 + np.append(np.geomspace(1e-12, 39.9, 2000), [41.0, 1e9])[:, None] / per_length
    # One level is passed for sure; below it, beside a leaf, the row gets uncut with that chance.
    expected = [1.0 + (math.exp(-h) if h <= 40 else 0.0) for h in (Q[:, 0] - 1.0) * per_length]
    for n in (1, len(Q)):
        depth = np.concatenate([model.forest_.depths(Q[i : i + n], "insertion")[0] for i in range(0, len(Q), n)])
        np.testing.assert_array_max_ulp(depth, np.array(expected), maxulp=4)


# More trees than one batch takes, and so many cuts of a feature that groups have one tree each.
@pytest.mark.parametrize("d", [1, 5])
def test_many_trees(d):
    X = table("plain", 300, d, np.float64)
    model = IsolationMondrianForest(300, score="depth", random_state=0).fit(X)
    assert_few_and_many_agree(model, asked(X, 1600), 20)


# A forest of few trees in many features walks them: ranks would cost more than they save.
@pytest.mark.parametrize("n_trees", [1, 2, 7])
def test_few_trees(n_trees):
    X = table("plain", 300, 12, np.float64)
    for score in SCORES:
        model = IsolationMondrianForest(n_trees, score=score, random_state=0).fit(X)
        assert_few_and_many_agree(model, asked(X, 1700))


@pytest.mark.parametrize("score", SCORES)
def test_threads_and_chunks_change_nothing(score):
    X = table("plain", 300, 6, np.float64)
    model = IsolationMondrianForest(10, score=score, random_state=0).fit(X)
    Q = asked(X, 5000)
    alone = model.score_samples(Q)
    model.set_params(n_jobs=2)
    assert model.score_samples(Q).tobytes() == alone.tobytes()
    for n in (1537, 2047, 2049):
        assert model.score_samples(Q[:n]).tobytes() == alone[:n].tobytes()


@pytest.mark.parametrize("score", SCORES)
def test_nothing_is_stale_after_an_update(score):
    X = table("plain", 300, 5, np.float64)
    model = IsolationMondrianForest(8, score=score, random_state=0).fit(X)
    Q = asked(X, 2000)
    model.score_samples(Q)
    for update in (model.partial_fit, model.forget):
        update(X[:60] * 2)
        assert_few_and_many_agree(model, Q)


@pytest.mark.parametrize("score", SCORES)
def test_pickled_and_mapped_models(score, tmp_path):
    X = table("plain", 300, 5, np.float64)
    model = IsolationMondrianForest(8, score=score, random_state=0).fit(X)
    Q = asked(X, 2000)
    expected = model.score_samples(Q).tobytes()
    assert pickle.loads(pickle.dumps(model)).score_samples(Q).tobytes() == expected
    model.save(tmp_path / "model.imf")
    mapped = IsolationMondrianForest.load(tmp_path / "model.imf", mmap=True)
    assert mapped.score_samples(Q).tobytes() == expected


def test_imported_forests(level):
    X = table("plain", 400, 6, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = IsolationForest(n_estimators=20, random_state=0).fit(X)
        model = IsolationMondrianForest.from_isolation_forest(theirs)
    Q = asked(X, 2000)
    assert_few_and_many_agree(model, Q)
    np.testing.assert_allclose(model.score_samples(Q), theirs.score_samples(Q), rtol=1e-6)


@pytest.mark.parametrize("score", ["depth", "insertion"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [1, 4, 33])
def test_the_slow_walk_of_a_streamed_forest(d, dtype, score, level):
    X = table("ties", 400, d, dtype)
    model = IsolationMondrianForest(4, score=score, max_samples=300, random_state=0).fit(X)
    model.partial_fit(X[:100] + dtype(0.25))
    Q = asked(X, 2500)
    forest = model.forest_
    depth, _ = forest.depths(Q, score)
    expected = slow.mean_depths(forest.columns, Q[:150].tolist(), score)
    np.testing.assert_allclose(depth[:150], expected, rtol=1e-12 if dtype == np.float64 else 1e-6)


def test_infinities_are_refused():
    X = table("plain", 300, 3, np.float64)
    model = IsolationMondrianForest(4, random_state=0).fit(X)
    Q = np.repeat(X, 8, axis=0)
    Q[-1, -1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.score_samples(Q)
