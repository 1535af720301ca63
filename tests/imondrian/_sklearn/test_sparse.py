"""Sparse matrices: what is absent is 0, and every answer is the dense array's, to the bit."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from scipy import sparse
from sklearn.utils.estimator_checks import check_estimator

from imondrian import IsolationMondrianForest
from imondrian._sklearn import sparse_rows

FORMS = {
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
    "csc_array": sparse.csc_array,
    "coo_matrix": sparse.coo_matrix,
    "lil_array": sparse.lil_array,
    "dok_array": sparse.dok_array,
}
KINDS = {
    "default": {},
    "depth": {"score": "depth"},
    "insertion": {"score": "insertion"},
    "window": {"window": 64},
    "reservoir": {"window": "reservoir", "max_samples": 32},
    "contaminated": {"contamination": 0.1},
}


def table(n=400, d=12, share=0.2, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((n, d)) < share, rng.normal(size=(n, d)), 0.0).astype(dtype)
    X[3] = 0.0  # a row of which nothing is there
    return X


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(sparse_rows, "_BLOCK_BYTES", 7 * 12 * 8)


def forest(**params):
    return IsolationMondrianForest(10, random_state=0, **params)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 40, 400, 6_000])
def test_a_fit_is_the_dense_one(kind, dtype, n):
    X = table(max(n, 4), dtype=dtype)[:n]
    dense, told = forest(**KINDS[kind]).fit(X), forest(**KINDS[kind]).fit(sparse.csr_array(X))
    assert told.offset_ == dense.offset_
    assert told.max_samples_ == dense.max_samples_
    asked = table(50, dtype=dtype, seed=1)
    for method in ("score_samples", "decision_function", "predict", "p_values", "explain"):
        expected = getattr(dense, method)(asked)
        for known in (dense, told):
            np.testing.assert_array_equal(getattr(known, method)(sparse.csr_array(asked)), expected)
    assert told.why(sparse.csr_array(asked)) == dense.why(asked)
    np.testing.assert_array_equal(told.reject(sparse.csr_array(asked)), dense.reject(asked))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_table(form):
    X = table(90)
    made = FORMS[form](X)
    np.testing.assert_array_equal(forest().fit(made).score_samples(made), forest().fit(X).score_samples(X))


def test_entries_that_occur_twice_are_sums_and_stored_zeros_and_missing_values_count():
    X = table(60)
    rows, columns = np.nonzero(X)
    half = np.concatenate((X[rows, columns] / 2, X[rows, columns] / 2))
    twice = sparse.coo_array((half, (np.tile(rows, 2), np.tile(columns, 2))), shape=X.shape)
    np.testing.assert_array_equal(forest().fit(twice).score_samples(twice), forest().fit(X).score_samples(X))
    X[5, 2] = np.nan
    missing = sparse.csr_array(X)
    missing.data[0] = 0.0
    X[np.nonzero(missing.toarray() != X)] = 0.0
    X[5, 2] = np.nan
    np.testing.assert_array_equal(forest().fit(missing).score_samples(missing), forest().fit(X).score_samples(X))


@pytest.mark.parametrize("kind", ["default", "window"])
@pytest.mark.parametrize("weighted", [False, True])
def test_learning_and_forgetting_go_on_as_with_arrays(kind, weighted):
    X, more = table(200), table(150, seed=1)
    weight = np.arange(150) % 2.0 if weighted else None
    dense, told = forest(**KINDS[kind]).fit(X), forest(**KINDS[kind]).fit(sparse.csc_array(X))
    dense.partial_fit(more, sample_weight=weight)
    told.partial_fit(sparse.csr_array(more), sample_weight=weight)
    np.testing.assert_array_equal(told.score_samples(X), dense.score_samples(X))
    told.forget(sparse.csr_array(more[-3:]), missing_ok=True)
    dense.forget(more[-3:], missing_ok=True)
    np.testing.assert_array_equal(told.score_samples(X), dense.score_samples(X))
    told.feedback(sparse.csr_array(more[:1]), [1])
    dense.feedback(more[:1], [1])
    np.testing.assert_array_equal(told.score_samples(X), dense.score_samples(X))
    told.withdraw(sparse.csr_array(more[:1]))
    again = pickle.loads(pickle.dumps(told))
    np.testing.assert_array_equal(again.p_values(sparse.csr_array(X)), dense.withdraw(more[:1]).p_values(X))


@pytest.mark.parametrize("n", [300, 6_000])
def test_weights_count_as_with_arrays(n):
    X, weight = table(n), np.random.default_rng(2).integers(0, 3, size=n).astype(float)
    told, dense = forest().fit(sparse.csr_array(X), sample_weight=weight), forest().fit(X, sample_weight=weight)
    np.testing.assert_array_equal(told.score_samples(X), dense.score_samples(X))
    with pytest.raises(ValueError, match="at least one"):
        told.fit(sparse.csr_array(X), sample_weight=np.zeros(n))
    np.testing.assert_array_equal(told.score_samples(X), dense.score_samples(X))


def test_a_first_partial_fit_may_be_sparse():
    X = table(120)
    told, dense = forest().partial_fit(sparse.csr_array(X)), forest().partial_fit(X)
    np.testing.assert_array_equal(told.score_samples(X), dense.score_samples(X))


def test_no_more_than_blocks_and_the_rows_of_trees_become_dense(monkeypatch):
    taken = []
    whole = sparse.random_array((20_000, 30), density=0.01, random_state=np.random.default_rng(0), format="csr")
    toarray = sparse.csr_array.toarray
    monkeypatch.setattr(
        sparse.csr_array, "toarray", lambda self, *a, **k: taken.append(self.shape[0]) or toarray(self, *a, **k)
    )
    model = IsolationMondrianForest(10, max_samples=50, random_state=0, contamination=0.1).fit(whole)
    model.score_samples(whole)
    assert sorted(taken)[-1] <= 10 * 50 + 1024
    assert sorted(taken)[-2] <= 7 * 12 * 8


def test_bad_matrices_are_refused_and_the_forest_stays():
    X = sparse.csr_array(table(60))
    model = forest().fit(X)
    before = model.score_samples(X)
    infinite = X.copy()
    infinite.data[0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.fit(infinite)
    with pytest.raises(ValueError, match="infinity"):
        model.score_samples(infinite)
    with pytest.raises(ValueError, match="features"):
        model.score_samples(X[:, :5])
    with pytest.raises(ValueError, match="sample"):
        model.partial_fit(X[:0])
    large = X.astype(np.float32).astype(np.float64)
    narrow = forest().fit(X.astype(np.float32))
    large.data[0] = 1e300
    with pytest.raises(ValueError, match="infinity"):
        narrow.score_samples(large)
    with pytest.raises((TypeError, ValueError), match="omplex"):
        model.fit(X.astype(complex))
    np.testing.assert_array_equal(model.score_samples(X), before)


def test_the_tag_says_so():
    assert forest().__sklearn_tags__().input_tags.sparse
    check_estimator(forest(), on_skip=None)


@pytest.mark.parametrize("none", [None, "auto", [], [False] * 12, np.zeros(12, bool)], ids=str)
def test_sparse_columns_are_numbers(none):
    X = sparse.csr_array(table(60))
    told = forest(categorical_features=none).fit(X)
    np.testing.assert_array_equal(told.score_samples(X), forest().fit(X).score_samples(X))
    for some in ([0], np.arange(12) == 1):
        with pytest.raises(TypeError, match="X must be dense where columns are categories, got csr_array"):
            forest(categorical_features=some).fit(X)
