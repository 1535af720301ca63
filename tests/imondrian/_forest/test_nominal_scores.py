"""Scores and explanations of mixed forests, held to the references for numbers over the bits of words."""

import pickle

import numpy as np
import pytest
from cases.forest_cases import states
from numpy.testing import assert_allclose, assert_array_equal
from reference import explain_reference, forest_reference, spacing_reference
from reference.nominal_reference import Costs, Expansion, words

from imondrian import _core
from imondrian._forest.forest import RESERVOIR, SLIDING, UNBOUNDED, Forest
from imondrian._forest.scoring import SCORES

DTYPES = [np.float64, np.float32]
MEMORIES = [(UNBOUNDED, None, 0.0), (SLIDING, 30, 0.0), (SLIDING, 30, 0.05), (RESERVOIR, 30, 0.02)]
WEIGHT = 0.75


def mixed(n, d=6, *, dtype=np.float64, seed=0, missing=0.0):
    """Rows of numbers, a constant, and words: of 3 levels, of 25, of one, all different; which are nominal."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(dtype)
    nominal = np.zeros(d, bool)
    kinds = [rng.integers(0, 3, n), rng.integers(0, 25, n), np.zeros(n, int), np.arange(n)][: d - 1]
    for j, levels in enumerate(kinds):
        X[:, 1 + j], nominal[1 + j] = words(levels, 10 + j, dtype), True
    if d > 5:
        X[:, 5] = 2.0
    X[rng.random(X.shape) < missing] = np.nan
    return X, nominal


def queries(X, nominal, n, seed=1):
    """Rows that mix those of X, with levels and numbers that were never seen."""
    rng = np.random.default_rng(seed)
    Q = np.column_stack([rng.choice(X[:, j], n) for j in range(X.shape[1])])
    for j in range(X.shape[1]):
        odd = rng.random(n) < 0.2
        new = words(np.arange(n), 90 + j, X.dtype) if nominal[j] else (4.0 * rng.normal(size=n)).astype(X.dtype)
        Q[odd, j] = new[odd]
    return np.ascontiguousarray(Q)


def built(X, nominal, **options):
    options = {"scaled": True, "spaced": True, "boxes": False, **options}
    n_trees = options.pop("n_trees", 3)
    return Forest.build(X, None, states(0, n_trees), len(X), nominal=nominal, nominal_weight=WEIGHT, **options)


def streamed(d, memory, nominal, *, dtype=np.float64, scaled=True, spaced=True, n_trees=9):
    return Forest.for_stream(
        d,
        dtype,
        states(0, n_trees),
        *memory,
        scaled=scaled,
        spaced=spaced,
        nominal=nominal,
        nominal_weight=WEIGHT,
    )


def usual(forest):
    n, held = forest.columns["recent"][0, :2].astype(int)
    return forest.columns["recent"][0, 2:514][(n - 1 - np.arange(held)) % 512]


def expanded(forest, X):
    forest.ensure_boxes(1)
    expansion = Expansion(forest.nominal, forest.dtype)
    return expansion, expansion.columns(forest.columns), expansion.rows(X).tolist()


def assert_depths_match(forest, Q, tolerance=1e-9):
    _, columns, rows = expanded(forest, Q)
    for score in ("depth", "insertion"):
        expected = forest_reference.mean_depths(columns, rows, score)
        assert_allclose(forest.depths(Q, score)[0], expected, rtol=tolerance, atol=tolerance, err_msg=score)


def assert_spacings_match(forest, Q, monkeypatch, tolerance=1e-9):
    expansion, columns, rows = expanded(forest, Q)
    Costs(expansion, WEIGHT, forest.n_features).plug_in(monkeypatch)
    expected = [spacing_reference.excess(spacing_reference.mean_spacing(columns, x), usual(forest)) for x in rows]
    assert_allclose(forest.depths(Q, "spacing")[0], expected, rtol=tolerance, atol=tolerance)


# -- against the references ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("scaled", [True, False])
def test_depths_of_a_batch_match_the_slow_walk(dtype, missing, scaled):
    X, nominal = mixed(50, dtype=dtype, missing=missing)
    forest = built(X, nominal, scaled=scaled, spaced=False)
    forest.check()
    assert_depths_match(forest, queries(X, nominal, 25), 1e-9 if dtype == np.float64 else 2e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize(("d", "scaled"), [(2, True), (5, True), (6, False), (8, True), (66, True)])
def test_spacings_of_a_batch_match_the_slow_walk(d, dtype, missing, scaled, monkeypatch):
    X, nominal = mixed(40, d, dtype=dtype, missing=missing)
    forest = built(X, nominal, scaled=scaled)
    forest.check()
    if missing:  # a leaf shows one of the points that it holds, and shares are those of all
        looked_at_shares(forest)
    assert_spacings_match(forest, queries(X, nominal, 15), monkeypatch, 1e-9 if dtype == np.float64 else 5e-5)


@pytest.mark.parametrize("d", [5, 66])
def test_the_usual_is_what_points_score_without_themselves(d, monkeypatch):
    X, nominal = mixed(50, d)
    X = np.concatenate([X, X[:5], X[:3]])
    forest = built(X, nominal)
    expansion, columns, _ = expanded(forest, X)
    Costs(expansion, WEIGHT, d).plug_in(monkeypatch)
    found = []
    for point, leaf_in in spacing_reference.holdings(forest.columns).items():
        x = expansion.rows(np.frombuffer(point, X.dtype)[None, :d])[0].tolist()
        total = 0.0
        for t, leaf in leaf_in.items():
            v, up, own = ~leaf, int(columns["leaf_parent"][t, leaf]), float(columns["leaf_clean"][t, leaf] > 0)
            root = int(columns["header"][t, 0])
            needed = spacing_reference.clean_needed(spacing_reference.clean_of(columns, t, root) - own)
            while up >= 0 and spacing_reference.clean_of(columns, t, v) - own < needed:
                v, up = up, int(columns["parent"][t, up])
            alone = leaf if columns["leaf_clean"][t, leaf] <= 1 else None
            total += spacing_reference.value(columns, t, v, x, alone)
        found += [total / len(leaf_in)] * round(float(columns["leaf_mass"][0, leaf_in[0]]))
    assert_allclose(np.sort(usual(forest)), np.sort(found), rtol=1e-9)


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_streams_match_the_slow_walk(memory, missing, monkeypatch):
    X, nominal = mixed(90, 5, missing=missing)
    forest = streamed(5, memory, nominal)
    for i in range(0, 80, 16):
        forest.learn(X[i : i + 16], score="spacing")
        forest.check()
    Q = np.ascontiguousarray(np.concatenate([queries(X, nominal, 5), X[80:86]]))
    assert_depths_match(forest, Q)
    looked_at_shares(forest)
    assert_spacings_match(forest, Q, monkeypatch)


def looked_at_shares(forest):
    """Let every tree know the shares of its levels as they are now: streams take them when they look."""
    columns = forest.columns
    for t in range(forest.n_trees):
        leaf = np.flatnonzero(columns["leaf_point"][t, : columns["header"][t, 5]] >= 0)
        points, mass = columns["points"][columns["leaf_point"][t, leaf]], columns["leaf_mass"][t, leaf]
        for j in np.flatnonzero(forest.nominal):
            here = ~np.isnan(points[:, j])
            _, level = np.unique(points[here, j], return_inverse=True)
            share = np.bincount(level, mass[here]) / mass[here].sum()
            columns["level_root"][t, j] = np.sqrt((share**2).sum())
            columns["entropy"][t, j] = -(share * np.log(share)).sum()


@pytest.mark.parametrize(("score", "d"), [("depth", 5), ("insertion", 5), ("insertion", 66), ("spacing", 5)])
def test_explanations_match_the_slow_walk(score, d, monkeypatch):
    X, nominal = mixed(40, d)
    forest = built(X, nominal)
    Q = queries(X, nominal, 8)
    Q[::3, 1] = np.nan
    expansion, columns, rows = expanded(forest, Q)
    Costs(expansion, WEIGHT, d).plug_in(monkeypatch)
    parts, _, expected = _core.explain(forest._view, Q, SCORES[score], 1)
    for row, found in zip(rows, parts, strict=True):
        wanted, root = explain_reference.mean_contributions(columns, row, score)
        by_feature = np.zeros((d, 2))
        np.add.at(by_feature, expansion.of, wanted)
        by_feature[nominal] = np.column_stack([np.zeros(nominal.sum()), by_feature[nominal].sum(axis=1)])
        assert_allclose(found, by_feature, rtol=1e-8, atol=1e-9)
        assert_allclose(expected, root, rtol=1e-9)


# -- what scores promise ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [5, 6, 12])
def test_many_rows_score_to_the_bit_as_one_by_one(d, dtype):
    X, nominal = mixed(600, d, dtype=dtype)
    forest, Q = built(X, nominal, n_trees=10), queries(X, nominal, 300)
    many = forest.scores(np.tile(Q, (4, 1)), "spacing")
    assert_array_equal(many, np.tile([forest.scores(row[None], "spacing")[0] for row in Q], 4))


@pytest.mark.parametrize("score", ["depth", "insertion", "spacing"])
@pytest.mark.parametrize("d", [5, 70])
def test_many_rows_score_as_one_by_one_and_with_boxes_as_without(score, d):
    X, nominal = mixed(400, d, missing=0.02)
    forest = built(X, nominal, n_trees=10)
    many = forest.scores(np.tile(X, (4, 1)), score)
    assert_array_equal(many[:400], many[400:800])
    alone = np.concatenate([forest.scores(X[i : i + 1], score) for i in range(0, 400, 9)])
    assert_allclose(alone, many[:400:9], rtol=1e-12)
    forest.ensure_boxes(1)
    assert_allclose(forest.scores(X, score), many[:400], rtol=1e-12)


@pytest.mark.parametrize("score", ["depth", "insertion", "spacing"])
@pytest.mark.parametrize("d", [8, 70])
def test_contributions_add_up(score, d):
    X, nominal = mixed(200, d, missing=0.05)
    forest = built(X, nominal, n_trees=8)
    Q = queries(X, nominal, 40)
    parts, expected = forest.explain(Q, score)
    assert_allclose(parts.sum(axis=(1, 2)), forest.scores(Q, score) - expected, atol=1e-9)
    assert (parts[:, nominal, 0] == 0).all()


@pytest.mark.parametrize("score", ["insertion", "spacing"])
def test_an_unseen_level_scores_and_is_credited(score):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(300, 2)), words(rng.integers(0, 3, 300))])
    X[:, 2] = words(rng.integers(0, 3, 300))
    forest = built(X, np.array([False, False, True]), n_trees=50)
    usual_row = np.array([[0.1, -0.1, X[0, 2]]])
    strange = usual_row.copy()
    strange[0, 2] = words(["never"], 7)[0]
    assert forest.scores(strange, score)[0] > forest.scores(usual_row, score)[0]
    parts = forest.explain(strange, score)[0].sum(axis=2)[0]
    assert parts.argmax() == 2


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("d", [5, 66])
def test_a_restored_stream_goes_on_to_the_bit(memory, missing, d):
    X, nominal = mixed(300, d, missing=missing)
    forest = streamed(d, memory, nominal, n_trees=9)
    forest.learn(X[:200], score="spacing")
    forest.forget(X[180:190])
    other = pickle.loads(pickle.dumps(forest))
    for rows in (X[200:201], X[200:260], X[260:]):
        assert_array_equal(forest.scores(rows, "spacing"), other.scores(rows, "spacing"))
        assert_array_equal(forest.learn(rows, score="spacing"), other.learn(rows, score="spacing"))
    other.check()


def test_one_by_one_is_as_in_blocks():
    X, nominal = mixed(120, 5, missing=0.1)
    for spaced, score in ((True, "spacing"), (False, "depth"), (False, "insertion")):
        blocks, singles = (streamed(5, MEMORIES[1], nominal, spaced=spaced) for _ in range(2))
        together = blocks.learn(X, score=score)
        alone = np.concatenate([singles.learn(X[i : i + 1], score=score) for i in range(len(X))])
        assert_allclose(alone, together, rtol=1e-12)
        assert pickle.dumps(blocks.__getstate__()["columns"]["feature"]) == pickle.dumps(
            singles.__getstate__()["columns"]["feature"]
        )
