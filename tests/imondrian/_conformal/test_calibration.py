"""p-values of the scikit-learn class: their definition, their law, and what they do to the estimator."""

import pickle

import numpy as np
import pytest
from cases.forest_cases import states
from numpy.testing import assert_allclose, assert_array_equal
from reference.conformal_reference import benjamini_hochberg, excess, p_value

from imondrian import IsolationMondrianForest
from imondrian._conformal.calibration import N_FOLDS, Calibration, left_over, room_for_drawn
from imondrian._conformal.conformal import CALIBRATION_SIZE, ScoreWindow
from imondrian._forest.forest import Forest
from imondrian._forest.scoring import resolve_score

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
SPLIT = {"n_estimators": 20, "max_samples": 16, "random_state": 0}
CROSS = {"n_estimators": 20, "random_state": 0}


@pytest.fixture(scope="module")
def normal():
    return np.random.default_rng(0).normal(size=(1500, 3))


# -- which rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "n_sample"), [(500, 20), (3000, 20)])  # shared rows; each tree's own copies
@pytest.mark.parametrize("weighted", [False, True])
def test_drawn_names_exactly_the_rows_in_the_trees(n, n_sample, weighted):
    X = np.random.default_rng(1).normal(size=(n, 2))
    weight = np.random.default_rng(2).uniform(0.1, 5, n) if weighted else None
    drawn = np.full((30, n_sample), -1)
    forest = Forest.build(X, weight, states(0, 30), n_sample, drawn=drawn)
    for t in range(30):
        held = forest.columns["points"][forest.columns["leaf_point"][t, : forest.n_leaves[t]], :2]
        assert_array_equal(np.unique(held, axis=0), np.unique(X[drawn[t]], axis=0))
        assert len(set(drawn[t])) == n_sample
    plain = Forest.build(X, weight, states(0, 30), n_sample)
    for name, column in plain.columns.items():
        assert_array_equal(forest.columns[name], column)


@pytest.mark.parametrize("n", [1500, 40_000])
def test_split_rows_were_drawn_by_no_tree(n):
    X = np.random.default_rng(1).normal(size=(n, 2))
    forest = IsolationMondrianForest(**SPLIT).fit(X)
    rows = forest._model.calibration.rows
    assert forest.calibration_ == "split" and 500 < len(rows) <= CALIBRATION_SIZE
    held = {row.tobytes() for row in forest.forest_.stored_points()[0]}
    known = {row.tobytes() for row in X}
    kept = {row.tobytes() for row in rows}
    assert len(kept) == len(rows) and kept <= known and not kept & held


def test_rows_left_over_are_spread_over_the_data():
    drawn = np.random.default_rng(0).integers(0, 100_000, size=(100, 256))
    rows = left_over(100_000, drawn)
    assert len(rows) == CALIBRATION_SIZE and (np.diff(rows) > 0).all()
    assert np.histogram(rows, bins=10, range=(0, 100_000))[0].min() > 80
    assert not np.isin(rows, drawn).any()


def test_the_source_depends_on_how_many_rows_are_left_over(normal):
    assert room_for_drawn(7_500, 256, 100, None).shape == (100, 256)
    assert room_for_drawn(6_000, 256, 100, None) is None and room_for_drawn(200, 200, 100, None) is None
    assert room_for_drawn(7_500, 256, 100, np.ones(7_500)) is None
    assert IsolationMondrianForest(**SPLIT).fit(normal).calibration_ == "split"
    assert IsolationMondrianForest(**SPLIT).fit(normal, sample_weight=np.r_[2.0, np.ones(1499)]).calibration_ == "cross"
    assert IsolationMondrianForest(**CROSS).fit(normal[:300]).calibration_ == "cross"
    assert IsolationMondrianForest(**CROSS, window=64).fit(normal[:300]).calibration_ == "prequential"
    assert IsolationMondrianForest(**CROSS).partial_fit(normal[:300]).calibration_ == "prequential"


# -- definition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["depth", "insertion"])
def test_split_p_values_are_ranks_among_the_rows_left_over(normal, score):
    forest = IsolationMondrianForest(**SPLIT, score=score).fit(normal)
    Q = np.vstack([normal[:20], 3 * normal[20:40]])
    calibration = -forest.score_samples(forest._model.calibration.rows)
    expected = [p_value(s, calibration) for s in -forest.score_samples(Q)]
    assert_allclose(forest.p_values(Q), expected, rtol=1e-14)
    order = np.argsort(forest.score_samples(Q), kind="stable")
    assert (np.diff(forest.p_values(Q)[order]) >= 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_p_values_hold_one_fold_out_at_a_time(normal, weighted):
    X, Q = normal[:83], np.vstack([normal[100:110], 4 * normal[110:120]])
    weight = np.random.default_rng(0).integers(1, 5, 83).astype(float) if weighted else None
    forest = IsolationMondrianForest(**CROSS).fit(X, sample_weight=weight)
    got = forest.p_values(Q)
    folds = forest._model.calibration._cache[1]
    mass = np.ones(83) if weight is None else weight / weight.mean()
    above = np.ones(len(Q))
    for held_from, scores, _ in folds:
        inside = {row.tobytes() for row in held_from.stored_points()[0]}
        held_out = np.array([row.tobytes() not in inside for row in X])  # rows are distinct, trees hold all others
        assert held_out.sum() in (83 // N_FOLDS, 83 // N_FOLDS + 1)
        assert_array_equal(np.sort(scores), np.sort(held_from.scores(X[held_out], resolve_score("default"))))
        for i, s in enumerate(held_from.scores(Q, resolve_score("default"))):
            ranked = p_value(s, held_from.scores(X[held_out], resolve_score("default")), mass[held_out])
            above[i] += ranked * (1 + mass[held_out].sum()) - 1
    assert len(folds) == N_FOLDS
    assert_allclose(got, above / (1 + mass.sum()), rtol=1e-12)


def test_ties_count_against_the_row():
    X = np.zeros((300, 2))
    for params in (SPLIT, CROSS):
        assert_array_equal(IsolationMondrianForest(**params).fit(X).p_values(np.zeros((4, 2))), np.ones(4))


def test_tiny_data():
    one = IsolationMondrianForest(**CROSS).fit([[1.0, 2.0]])
    assert_array_equal(one.p_values([[1.0, 2.0], [9.0, 9.0]]), [1.0, 1.0])
    three = IsolationMondrianForest(**CROSS).fit([[1.0, 2.0], [2.0, 1.0], [1.5, 1.5]])
    assert (three.p_values([[1.0, 2.0], [90.0, 90.0]]) >= 0.25).all()
    none = IsolationMondrianForest(**CROSS).partial_fit([[1.0, 2.0]])
    assert_array_equal(none.p_values([[5.0, 5.0]]), [1.0])


@pytest.mark.parametrize("score", ["depth", "insertion"])
def test_partial_fit_leaves_prequential_scores(normal, score):
    whole = IsolationMondrianForest(**CROSS, score=score).partial_fit(normal[:600])
    parts, past = IsolationMondrianForest(**CROSS, score=score), []
    for begin in range(0, 600, 50):
        if begin >= 50:  # a chunk's first row is scored by the forest of all rows before it
            past.append((begin, -parts.score_samples(normal[begin : begin + 1])[0]))
        parts.partial_fit(normal[begin : begin + 50])
    kept = whole._model.calibration.recent.in_order()
    assert len(kept) == 600 - 32  # the first 32 rows are warm-up
    assert_array_equal(kept, parts._model.calibration.recent.in_order())
    assert_array_equal([kept[at - 32] for at, _ in past], [s for _, s in past])
    expected = [p_value(s, kept) for s in -whole.score_samples(3 * normal[600:620])]
    assert_allclose(whole.p_values(3 * normal[600:620]), expected, rtol=1e-14)


def test_calibration_follows_the_stream_after_fit(normal):
    forest = IsolationMondrianForest(**SPLIT).fit(normal)
    moved = normal + 40.0
    assert np.median(forest.p_values(moved)) < 0.05
    forest.partial_fit(moved[:99])
    assert forest.calibration_ == "split"  # ranks are of today's forest all the same
    expected = [
        p_value(s, -forest.score_samples(forest._model.calibration.rows)) for s in -forest.score_samples(moved[:9])
    ]
    assert_allclose(forest.p_values(moved[:9]), expected, rtol=1e-14)
    forest.partial_fit(moved[99:1400])
    assert forest.calibration_ == "prequential"
    assert 0.2 < np.median(forest.p_values(moved[1400:])) < 0.8
    assert forest.fit(normal).calibration_ == "split"


def test_another_score_after_fitting(normal):
    forest = IsolationMondrianForest(**SPLIT, score="depth").fit(normal)
    other = IsolationMondrianForest(**SPLIT, score="insertion").fit(normal)
    forest.p_values(normal[:3])
    assert_array_equal(forest.set_params(score="insertion").p_values(normal), other.p_values(normal))
    stream = IsolationMondrianForest(**CROSS, score="depth").partial_fit(normal[:300])
    p = stream.p_values(normal[300:])
    assert_array_equal(stream.set_params(score="insertion").p_values(normal[300:]), p)  # ranks like with like
    stream.partial_fit(normal[300:450])
    assert stream._model.calibration.recent.held == 150


# -- law -------------------------------------------------------------------------------------------------


def test_p_values_of_weighted_rows_are_never_above_one():
    """Nor by rounding: all the rows resemble each other, and their weights are added up in two orders."""
    for seed in range(12):
        weight = np.random.default_rng(seed).uniform(0, 5, 40)
        forest = IsolationMondrianForest(1, random_state=seed).fit(np.zeros((40, 2)), sample_weight=weight)
        p = forest.p_values(np.zeros((3, 2)))
        assert (p <= 1).all()
        assert_allclose(p, 1, rtol=1e-14)


@pytest.mark.parametrize("half_life", [0.3, 3.0, 77.7])
def test_fading_p_values_are_never_above_one(half_life):
    window = ScoreWindow(100, half_life)
    for _ in range(150):
        window.push(np.array([0.5]))
        p = np.array([window.p_value(0.5), *window.p_values(np.array([0.5, 0.4]))])
        assert (p <= 1).all()
        assert_allclose(p, 1, rtol=1e-14)


def p_values_of_new_rows(n, params, n_runs):
    for seed in range(n_runs):
        X = np.random.default_rng(seed).standard_t(4, size=(n + 150, 3))
        forest = IsolationMondrianForest(**{**params, "random_state": seed}).fit(X[:n])
        yield forest.p_values(X[n:])


@pytest.mark.parametrize(
    ("params", "n", "m"),
    [(SPLIT, 1000, 725), ({**SPLIT, "max_samples": 64}, 900, 200), (CROSS, 60, 60), (CROSS, 200, 200)],
)
def test_p_values_are_valid_on_exchangeable_rows(params, n, m):
    runs = list(p_values_of_new_rows(n, params, 80))
    assert IsolationMondrianForest(**params).fit(np.zeros((n, 1))).calibration_ == (
        "split" if params is not CROSS else "cross"
    )
    for level in LEVELS:
        assert excess(runs, level, m) < 3
    # and they are not merely large: rows like any other have p-values spread evenly
    assert np.mean(np.concatenate(runs) <= 0.5) > 0.42


def test_ranks_among_learnt_rows_would_not_be_valid():
    """The oracle can fail: rows that the forest has learnt look less anomalous than new ones."""
    runs = []
    for seed in range(80):
        X = np.random.default_rng(seed).standard_t(4, size=(210, 3))
        forest = IsolationMondrianForest(20, random_state=seed).fit(X[:60])
        known = -forest.score_samples(X[:60])
        runs.append([p_value(s, known) for s in -forest.score_samples(X[60:])])
    assert max(excess(runs, level, 60) for level in LEVELS) > 3


# -- false discovery rate ----------------------------------------------------------------------------------


def test_reject_is_benjamini_and_hochberg(normal):
    forest = IsolationMondrianForest(**SPLIT).fit(normal)
    Q = np.vstack([normal[:60], 6 * normal[60:90]])
    for fdr in (0.01, 0.1, 0.3):
        assert_array_equal(forest.reject(Q, fdr=fdr), benjamini_hochberg(forest.p_values(Q), fdr))
    assert 0 < forest.reject(Q, fdr=0.1).sum() < 40


@pytest.mark.parametrize("fdr", [0.1, 0.25])
def test_false_discoveries_stay_below_the_rate(fdr):
    shares, found = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        forest = IsolationMondrianForest(20, max_samples=16, random_state=seed).fit(rng.normal(size=(2000, 3)))
        Q = rng.normal(size=(120, 3))
        Q[:15] += 5.0
        rejected = forest.reject(Q, fdr=fdr)
        shares.append(rejected[15:].sum() / max(1, rejected.sum()))
        found.append(rejected[:15].mean())
    assert np.mean(shares) < fdr * 105 / 120 + 3 * np.std(shares) / np.sqrt(60)
    assert np.mean(found) > 0.6


# -- the object ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [SPLIT, CROSS, {**CROSS, "window": 64}, {**SPLIT, "window": "reservoir"}])
def test_reading_changes_nothing_and_threads_change_no_bit(normal, params):
    forest = IsolationMondrianForest(**params).fit(normal[:800])
    before = pickle.dumps(forest)
    p = forest.p_values(normal)
    forest.reject(normal[:50])
    assert pickle.dumps(forest) == before
    assert_array_equal(pickle.loads(before).p_values(normal), p)
    assert_array_equal(forest.set_params(n_jobs=2).p_values(normal), p)
    assert_array_equal(IsolationMondrianForest(**params, n_jobs=2).fit(normal[:800]).p_values(normal), p)
    assert ((p > 0) & (p <= 1)).all() and p.dtype == np.float64


def test_a_failed_fit_keeps_the_calibration(normal):
    forest = IsolationMondrianForest(**SPLIT).fit(normal)
    p = forest.p_values(normal[:50])
    with pytest.raises(ValueError, match="max_samples"):
        forest.set_params(max_samples="most").fit(normal[:100])
    assert_array_equal(forest.set_params(max_samples=16).p_values(normal[:50]), p)


def test_a_forgotten_row_leaves_the_calibration(normal):
    X = np.vstack([normal[:100], normal[:3]])
    calibration = IsolationMondrianForest(**CROSS).fit(X, sample_weight=np.arange(1.0, 104.0))._model.calibration
    calibration.forget(np.vstack([normal[:1], normal[:1], normal[5:6], normal[200:201]]))
    assert len(calibration.rows) == len(calibration.weight) == 100
    assert not (calibration.rows == normal[0]).all(axis=1).any()
    assert (calibration.rows == normal[1]).all(axis=1).sum() == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_state_as_plain_arrays(normal, dtype):
    X = normal.astype(dtype)
    weight = np.random.default_rng(0).uniform(1, 2, 400)
    for forest in (
        IsolationMondrianForest(**SPLIT).fit(X),
        IsolationMondrianForest(**CROSS).fit(X[:400], None, weight),
        IsolationMondrianForest(**CROSS).fit(X[:400]),
        IsolationMondrianForest(**CROSS).partial_fit(X),
    ):
        p, arrays = forest.p_values(X), forest._model.calibration.to_arrays()
        assert all(type(array) is np.ndarray for array in arrays.values())
        forest._model.calibration = Calibration.from_arrays(arrays, 3, np.dtype(dtype))
        assert_array_equal(forest.p_values(X), p)


@pytest.mark.parametrize("settings", [SPLIT, CROSS])
def test_nothing_left_to_judge_against(settings, normal, tmp_path):
    forest = IsolationMondrianForest(**settings).fit(normal)
    forest.forget(np.vstack([normal[200:], normal[:200]]), missing_ok=True)
    assert_array_equal(forest.p_values(normal[:5]), 1.0)
    forest.save(tmp_path / "forest.imf")
    assert_array_equal(IsolationMondrianForest.load(tmp_path / "forest.imf").p_values(normal[:5]), 1.0)


@pytest.mark.parametrize("settings", [SPLIT, CROSS])
def test_rows_with_missing_values(settings, normal):
    X = normal.copy()
    X[np.random.default_rng(3).random(X.shape) < 0.2] = np.nan
    forest = IsolationMondrianForest(**settings).fit(X)
    p = forest.p_values(X)
    assert abs(p.mean() - 0.5) < 0.06
    assert (forest.p_values([[50.0, np.nan, 50.0], [np.nan, np.nan, 50.0]]) < 0.02).all()
    assert forest.p_values([[np.nan] * X.shape[1]])[0] > 0.05  # nothing is known of it


def test_damaged_state_is_named(normal):
    good = IsolationMondrianForest(**CROSS).fit(normal[:100])._model.calibration.to_arrays()
    for name, value in (
        ("rows", good["rows"][:, :2]),
        ("rows", good["rows"].astype(np.float32)),
        ("rows", np.full_like(good["rows"], np.inf)),
        ("weight", np.ones(3)),
        ("weight", np.zeros(100)),
        ("seed", good["seed"][:2]),
        ("cross", np.zeros(0, bool)),
        ("recent.scores", np.zeros(0)),
        ("recent.n_seen", np.array([-1])),
        ("recent.half_life", np.array([0.0])),
        ("recent_score", np.frombuffer(b"rank", np.uint8)),
    ):
        with pytest.raises(ValueError, match="damaged calibration"):
            Calibration.from_arrays({**good, name: value}, 3, np.dtype(np.float64))
    for name in ("cross", "seed", "recent.scores", "recent_score"):
        with pytest.raises(ValueError, match="damaged calibration"):
            Calibration.from_arrays({k: v for k, v in good.items() if k != name}, 3, np.dtype(np.float64))


def test_bad_input(normal):
    from sklearn.exceptions import NotFittedError

    forest = IsolationMondrianForest(**SPLIT)
    for call in (lambda: forest.p_values(normal), lambda: forest.reject(normal), lambda: forest.calibration_):
        with pytest.raises(NotFittedError):
            call()
    forest.fit(normal)
    with pytest.raises(ValueError, match="features"):
        forest.p_values(normal[:, :2])
    for fdr in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="fdr must be in"):
            forest.reject(normal, fdr=fdr)
    with pytest.raises(TypeError, match="fdr must be a float"):
        forest.reject(normal, fdr="low")


# -- the window of scores ------------------------------------------------------------------------------


@pytest.mark.parametrize("half_life", [None, 0.5, 7.0, 1e6])
@pytest.mark.parametrize("chunks", [[1] * 25, [3, 20, 1, 40], [10], [9], [200]])
def test_a_window_of_scores_ranks_the_last_ones(half_life, chunks):
    rng = np.random.default_rng(0)
    window, past = ScoreWindow(10, half_life), []
    assert window.p_value(0.5) == 1.0
    for chunk in chunks:
        scores = rng.integers(0, 8, chunk) / 8
        window.push(scores)
        past = [*past, *scores][-10:]
        assert_array_equal(window.in_order(), past)
        weight = None if half_life is None else [2.0 ** (-age / half_life) for age in range(len(past), 0, -1)]
        for score in np.arange(-1, 10) / 8:
            expected = p_value(score, past, weight)
            assert window.p_value(score) == pytest.approx(expected, rel=1e-12)
            assert window.p_values(np.array([score, 0.3]))[0] == pytest.approx(expected, rel=1e-12)
    again = ScoreWindow.from_arrays(window.to_arrays())
    assert again.half_life == half_life and again.n_seen == window.n_seen
    assert_array_equal(again.scores, window.scores)
