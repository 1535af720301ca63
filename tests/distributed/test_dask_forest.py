"""Forests from Dask collections, on worker processes: equal to the bit to those of one machine."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from imondrian import IsolationMondrianForest

dask = pytest.importorskip("dask", reason="needs dask: pip install 'imondrian[dask]'")
distributed = pytest.importorskip("distributed", reason="needs distributed: pip install 'imondrian[dask]'")
pd = pytest.importorskip("pandas", reason="needs pandas")

import dask.array as da  # noqa: E402
import dask.dataframe as dd  # noqa: E402

import imondrian.dask as forests  # noqa: E402

pytestmark = pytest.mark.usefixtures("scheduler")

METHODS = ("score_samples", "decision_function", "predict", "p_values", "explain")


def make_rows(n=6000, d=4, dtype=np.float64, missing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X[: n // 50] += 4.0
    X = (10.0 * X if np.dtype(dtype).kind == "i" else X).astype(dtype)
    if missing:
        X[rng.random(X.shape) < missing] = np.nan
    return X


def make_forest(**parameters):
    return IsolationMondrianForest(**{"n_estimators": 20, "max_samples": 64, "random_state": 5, **parameters})


def assert_same(found, expected):
    """Trees, generators, calibration and threshold: all that a fitted forest consists of."""
    for name, column in expected.forest_.__getstate__()["columns"].items():
        np.testing.assert_array_equal(found.forest_.__getstate__()["columns"][name], column, err_msg=name)
    kept, wanted = found._model.calibration.to_arrays(), expected._model.calibration.to_arrays()
    assert kept.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(kept[name], wanted[name], err_msg=name)
    assert (found.offset_, found.max_samples_, found.n_features_in_, found.calibration_) == (
        expected.offset_,
        expected.max_samples_,
        expected.n_features_in_,
        expected.calibration_,
    )


# -- one machine's results ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"score": "depth"},
        {"score": "insertion", "scale": None},
        {"contamination": 0.07},
        {"max_samples": 0.02},
        {"n_estimators": 1},
        {"n_jobs": 2},
        {"max_samples": 1.0, "n_estimators": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize(("dtype", "missing"), [(np.float64, 0.0), (np.float32, 0.05), (np.int64, 0.0)])
def test_fit_is_that_of_one_machine(parameters, dtype, missing):
    X = make_rows(dtype=dtype, missing=missing)
    expected = make_forest(**parameters).fit(X)
    assert_same(forests.fit(make_forest(**parameters), da.from_array(X, chunks=(1700, 4))), expected)


@pytest.mark.parametrize(
    "chunks", [(6000,), (1,) * 20 + (0, 5980), (3000, 3000), (0, 100, 5900, 0)], ids=lambda chunks: str(len(chunks))
)
def test_the_partitions_decide_nothing(chunks):
    X = make_rows()
    expected = make_forest(contamination=0.1).fit(X)
    assert_same(forests.fit(make_forest(contamination=0.1), da.from_array(X, chunks=(chunks, 4))), expected)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1279, 1280, 1281])
def test_fit_of_few_rows(n):
    """Around the sizes at which trees stop sharing all rows, and the forest stops storing all of them."""
    X = make_rows(n)
    assert_same(forests.fit(make_forest(), da.from_array(X, chunks=(50, 4))), make_forest().fit(X))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: np.random.default_rng(1).integers(0, 3, n).astype(float),
        lambda n: np.random.default_rng(1).integers(0, 2, n),
        lambda n: np.ones(n),
    ],
    ids=["weights", "zeros and ones", "ones"],
)
@pytest.mark.parametrize("n", [500, 6000])
def test_weights(make, n):
    X, weight = make_rows(n), make(n)
    expected = make_forest(contamination=0.1).fit(X, sample_weight=weight)
    for given in (weight, da.from_array(weight, chunks=700)):
        found = forests.fit(make_forest(contamination=0.1), da.from_array(X, chunks=(1700, 4)), sample_weight=given)
        assert_same(found, expected)


def test_a_random_state_is_drawn_from_as_by_fit():
    X = make_rows()
    ours, theirs = np.random.RandomState(3), np.random.RandomState(3)
    for _ in range(2):
        found = forests.fit(make_forest(random_state=ours), da.from_array(X, chunks=(1700, 4)))
        assert_same(found, make_forest(random_state=theirs).fit(X))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_scoring_is_that_of_one_machine(method, missing):
    X = make_rows(1500, missing=missing)
    forest = make_forest().fit(X)
    lazy = getattr(forests, method)(forest, da.from_array(X, chunks=((700, 0, 799, 1), 4)))
    expected = getattr(forest, method)(X)
    assert lazy.dtype == expected.dtype
    assert lazy.shape == expected.shape
    assert lazy.chunks[0] == (700, 0, 799, 1)
    np.testing.assert_array_equal(lazy.compute(), expected)


def test_explanations_by_direction():
    X = make_rows(300)
    forest = make_forest().fit(X)
    lazy = forests.explain(forest, da.from_array(X, chunks=(100, 4)), by_direction=True)
    assert lazy.shape == (300, 4, 2)
    np.testing.assert_array_equal(lazy.compute(), forest.explain(X, by_direction=True))


def test_a_stream_goes_on_from_a_dask_fit():
    X, more = make_rows(), make_rows(200, seed=1)
    found = forests.fit(make_forest(), da.from_array(X, chunks=(1700, 4))).partial_fit(more)
    assert_same(found, make_forest().fit(X).partial_fit(more))


def test_a_file_of_a_dask_fit(tmp_path):
    X = make_rows()
    forests.fit(make_forest(), da.from_array(X, chunks=(1700, 4))).save(tmp_path / "forest.imf")
    assert_same(IsolationMondrianForest.load(tmp_path / "forest.imf"), make_forest().fit(X))


def test_results_are_of_the_forest_as_it_was():
    X = make_rows(1500)
    forest = make_forest().fit(X)
    lazy = forests.score_samples(forest, da.from_array(X, chunks=(700, 4)))
    before = forest.score_samples(X)
    forest.partial_fit(X[:100] + 3.0)
    np.testing.assert_array_equal(lazy.compute(), before)


def test_equal_questions_have_equal_names():
    """So that Dask computes them once."""
    X = da.from_array(make_rows(300), chunks=(100, 4))
    forest = make_forest().fit(make_rows(300))
    assert forests.score_samples(forest, X).name == forests.score_samples(forest, X).name
    assert forests.score_samples(forest, X).name != forests.predict(forest, X).name


# -- dataframes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float32", "int64[pyarrow]", "double[pyarrow]"])
def test_dataframes(dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow", reason="needs pyarrow")
    frame = pd.DataFrame(np.round(10 * make_rows()), columns=["a", "b", "c", "d"]).astype(dtype)
    frame.index = frame.index[::-1] * 2
    expected = make_forest(contamination=0.1).fit(frame)
    X = dd.from_pandas(frame, npartitions=4, sort=False)
    found = forests.fit(make_forest(contamination=0.1), X)
    assert_same(found, expected)
    assert list(found.feature_names_in_) == ["a", "b", "c", "d"]
    for method in METHODS:
        lazy = getattr(forests, method)(found, X[X.a > -2.0])
        computed, rows = lazy.compute(), frame[frame.a > -2.0]
        np.testing.assert_array_equal(computed.to_numpy(), getattr(expected, method)(rows))
        assert computed.index.equals(rows.index)
        assert (lazy.columns.tolist() if method == "explain" else [lazy.name]) == (
            ["a", "b", "c", "d"] if method == "explain" else [method]
        )


def test_chunks_of_unknown_length():
    frame = pd.DataFrame(make_rows(), columns=list("abcd"))
    rows = dd.from_pandas(frame, npartitions=5)
    X = rows[rows.a > 0].values
    kept = frame[frame.a > 0].to_numpy()
    expected = make_forest().fit(kept)
    found = forests.fit(make_forest(), X)
    assert_same(found, expected)
    np.testing.assert_array_equal(forests.score_samples(found, X).compute(), expected.score_samples(kept))


def test_partitions_without_rows():
    frame = pd.DataFrame(make_rows(), columns=list("abcd"))
    X = dd.from_pandas(frame, npartitions=6)
    few, kept = X[X.index.to_series() >= 4500], frame[frame.index >= 4500]
    assert sorted(few.map_partitions(len).compute())[0] == 0
    found = forests.fit(make_forest(), few)
    assert_same(found, make_forest().fit(kept))
    np.testing.assert_array_equal(forests.p_values(found, few).compute(), found.p_values(kept))


# -- worker processes --------------------------------------------------------------------------------


def make_block(seed, flag=None, n=1500):
    """Make a block on the worker; with a flag, the first worker to come here is killed."""
    if flag is not None and not os.path.exists(flag):
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return make_rows(n, missing=0.01, seed=int(seed.ravel()[0]))


def make_collection(flag=None, n_blocks=12, n=1500):
    flags = [flag if i == n_blocks // 2 else None for i in range(n_blocks)]
    block = dask.delayed(make_block, pure=False)
    return da.concatenate(
        [da.from_delayed(block(np.array([i]), name, n), (n, 4), np.float64) for i, name in enumerate(flags)]
    )


@pytest.fixture(scope="module")
def whole():
    """All rows of ``make_collection``, and a forest fitted to them here."""
    X = np.concatenate([make_rows(1500, missing=0.01, seed=i) for i in range(12)])
    return X, make_forest(contamination=0.05).fit(X)


def test_fit_while_a_worker_is_killed(client, whole, tmp_path):
    _, expected = whole
    flag = tmp_path / "killed"
    found = forests.fit(make_forest(contamination=0.05), make_collection(str(flag)))
    assert flag.exists()
    assert_same(found, expected)


@pytest.mark.parametrize("method", ["score_samples", "p_values"])
def test_scoring_while_a_worker_is_killed(client, whole, tmp_path, method):
    X, expected = whole
    flag = tmp_path / "killed"
    found = getattr(forests, method)(expected, make_collection(str(flag))).compute()
    assert flag.exists()
    np.testing.assert_array_equal(found, getattr(expected, method)(X))


def test_dataframes_on_workers(client, whole):
    X, _ = whole
    frame = pd.DataFrame(X, columns=list("abcd"))
    lazy = dd.from_pandas(frame, npartitions=5)
    expected = make_forest().fit(frame)
    found = forests.fit(make_forest(), lazy)
    assert_same(found, expected)
    np.testing.assert_array_equal(forests.score_samples(found, lazy).compute(), expected.score_samples(frame))


def test_errors_of_workers_arrive(client):
    X = make_rows()
    X[5000, 2] = np.inf
    forest = make_forest()
    with pytest.raises(ValueError, match=r"partition 2 of X: .* infinity"):
        forests.fit(forest, da.from_array(X, chunks=(2000, 4)))
    assert not hasattr(forest, "forest_")


# -- bad input ---------------------------------------------------------------------------------------


def collection(X=None, chunks=(1700, 4)):
    return da.from_array(make_rows() if X is None else X, chunks=chunks)


FRAME = pd.DataFrame(make_rows(100), columns=list("abcd"))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (make_rows(), TypeError, "X must be a dask array or dataframe, got ndarray: the forest's own methods"),
        (FRAME, TypeError, "X must be a dask array or dataframe, got DataFrame"),
        (dd.from_pandas(FRAME, npartitions=2)["a"], TypeError, "X must be a dask array or dataframe, got Series"),
        ("file.parquet", TypeError, "got str"),
        (collection()[:, 0], ValueError, r"X must have shape \(n_samples, n_features\), got 1 axes"),
        (collection(chunks=(1700, 2)), ValueError, r"columns in chunks \(2, 2\): give X.rechunk"),
        (collection(make_rows().astype(complex)), TypeError, "X must hold numbers, got dtype complex128"),
        (collection(make_rows().astype(object)), TypeError, "X must hold numbers, got dtype object"),
        (collection(make_rows().astype("U5")), TypeError, "X must hold numbers, got dtype <U5"),
        (collection(make_rows()[:0], chunks=((0, 0), 4)), ValueError, "at least one row"),
        (dd.from_pandas(FRAME.assign(b="x"), npartitions=2), TypeError, r"X must hold numbers, got 'b' \(str"),
        (dd.from_pandas(FRAME.assign(c=pd.Timestamp("2020")), npartitions=2), TypeError, r"'c' \(datetime64"),
        (dd.from_pandas(FRAME.iloc[:, :0], npartitions=2), ValueError, "at least one feature"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_bad_collections(X, error, message):
    forest = make_forest()
    with pytest.raises(error, match=message):
        forests.fit(forest, X)
    assert vars(forest).keys() <= vars(make_forest()).keys() | {"_gate"}
    if "one row" in message:
        return
    fitted = make_forest().fit(make_rows(200))
    with pytest.raises((TypeError, ValueError), match=message):
        forests.score_samples(fitted, X)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"window": 100}, ValueError, "window must be None .* got 100: .* partial_fit"),
        ({"n_estimators": 0}, ValueError, "n_estimators"),
        ({"max_bytes": 1000}, ValueError, "max_bytes must be at least"),
    ],
)
def test_bad_parameters(parameters, error, message):
    """They are told before anything is computed, but for what depends on the number of rows."""
    never = da.from_delayed(dask.delayed(os.abort)(), (np.nan, 4), np.float64)
    X = collection() if "max_bytes" in parameters else never
    with pytest.raises(error, match=message):
        forests.fit(make_forest(**parameters), X)


@pytest.mark.parametrize(
    ("weight", "message"),
    [(np.ones(5), "sample_weight.shape"), (-np.ones(6000), "Negative values"), (np.zeros(6000), "non-zero|above 0")],
)
def test_bad_weights(weight, message):
    fitted = make_forest().fit(make_rows(200))
    before = fitted.score_samples(make_rows(10))
    with pytest.raises(ValueError, match=message):
        forests.fit(fitted, collection(), sample_weight=weight)
    np.testing.assert_array_equal(fitted.score_samples(make_rows(10)), before)


def test_other_models_and_other_widths():
    with pytest.raises(TypeError, match="forest must be an IsolationMondrianForest, got str"):
        forests.fit("forest", collection())
    with pytest.raises(TypeError, match="forest must be an IsolationMondrianForest, got type"):
        forests.score_samples(IsolationMondrianForest, collection())
    with pytest.raises(ValueError, match="not fitted"):
        forests.score_samples(make_forest(), collection())
    with pytest.raises(ValueError, match="X has 3 features, but IsolationMondrianForest is expecting 4"):
        forests.score_samples(make_forest().fit(make_rows(200)), collection(make_rows(d=3), chunks=(1700, 3)))
    named = make_forest().fit(FRAME)
    with pytest.raises(ValueError, match="feature names"):
        forests.score_samples(named, dd.from_pandas(FRAME[["b", "a", "c", "d"]], npartitions=2))
    with pytest.raises(ValueError, match="by_direction must be False for a dataframe"):
        forests.explain(named, dd.from_pandas(FRAME, npartitions=2), by_direction=True)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        forests.score_samples(named, collection())


def test_partitions_that_break_their_promises():
    rng = np.random.default_rng(0)
    promised = dask.delayed(lambda: rng.normal(size=(10, 4)))()
    with pytest.raises(ValueError, match="partition 0 of X must have 2000 rows, as when they were counted, got 10"):
        forests.fit(make_forest(), da.from_delayed(promised, (2000, 4), np.float64))
    with pytest.raises(ValueError, match="partition 0 of X must hold float32, as the collection promises, got float64"):
        forests.fit(make_forest(), da.from_delayed(promised, (10, 4), np.float32))


def test_a_scheduler_that_is_gone():
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    client = distributed.Client(cluster, timeout="2s")
    X = client.persist(collection())
    distributed.wait(X)
    fitted = make_forest().fit(make_rows(200))
    before = fitted.score_samples(make_rows(10))
    cluster.close()
    try:
        with dask.config.set(scheduler=client), pytest.raises(ConnectionError, match="scheduler went away"):
            forests.fit(fitted, X)
    finally:
        client.close()
    np.testing.assert_array_equal(fitted.score_samples(make_rows(10)), before)
