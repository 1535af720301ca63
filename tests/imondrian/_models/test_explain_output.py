"""``explain`` gives what ``set_output`` asks for, with the numbers of the array."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone

from imondrian import IsolationMondrianForest

X = np.random.default_rng(0).normal(size=(60, 3))
NAMES = ["heat", "load", "noise"]


@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return request.param, pytest.importorskip(request.param, reason=f"needs {request.param}")


def fitted(rows):
    return IsolationMondrianForest(8, random_state=0).fit(rows)


def test_a_frame_has_the_numbers_of_the_array_under_its_names(library):
    name, frames = library
    frame = frames.DataFrame(dict(zip(NAMES, X.T, strict=True)))
    forest = fitted(frame)
    expected, by_direction = forest.explain(frame), forest.explain(frame, by_direction=True)
    assert isinstance(expected, np.ndarray)
    assert forest.set_output(transform=name) is forest
    found = forest.explain(frame)
    assert isinstance(found, frames.DataFrame) and list(found.columns) == NAMES
    np.testing.assert_array_equal(found.to_numpy(), expected)
    sides = forest.explain(frame, by_direction=True)
    assert list(sides.columns)[:3] == ["heat (low)", "heat (high)", "load (low)"]
    np.testing.assert_array_equal(sides.to_numpy().reshape(-1, 3, 2), by_direction)
    assert isinstance(forest.score_samples(frame), np.ndarray)
    assert isinstance(clone(forest).fit(frame).explain(frame), frames.DataFrame)
    assert isinstance(forest.set_output(transform=None).explain(frame), frames.DataFrame)
    assert isinstance(forest.set_output(transform="default").explain(frame), np.ndarray)


def test_rows_keep_their_index():
    pd = pytest.importorskip("pandas", reason="needs pandas")
    frame = pd.DataFrame(X, columns=NAMES, index=[f"row {i}" for i in range(60)])
    found = fitted(frame).set_output(transform="pandas").explain(frame.iloc[5:8])
    assert list(found.index) == ["row 5", "row 6", "row 7"]


def test_columns_of_arrays_are_counted_and_the_configuration_of_scikit_learn_holds(library):
    name, frames = library
    forest = fitted(X)
    with sklearn.config_context(transform_output=name):
        found = forest.explain(X)
        assert isinstance(found, frames.DataFrame) and list(found.columns) == ["x0", "x1", "x2"]
        assert forest.why(X[:2]) == fitted(X).why(X[:2])
    assert isinstance(forest.explain(X), np.ndarray)


def test_what_is_no_output_is_refused_and_changes_nothing():
    forest = fitted(X)
    with pytest.raises(ValueError, match="transform must be default, pandas or polars, got 'arrow'"):
        forest.set_output(transform="arrow")
    assert isinstance(forest.explain(X), np.ndarray)


def test_files_and_pickles_of_such_forests_load(tmp_path):
    pytest.importorskip("pandas", reason="needs pandas")
    forest = fitted(X).set_output(transform="pandas")
    forest.save(tmp_path / "forest.imf")
    loaded = IsolationMondrianForest.load(tmp_path / "forest.imf")
    np.testing.assert_array_equal(np.asarray(loaded.explain(X)), forest.explain(X).to_numpy())


def test_dask_has_arrays_and_frames_of_its_own():
    da = pytest.importorskip("dask.array", reason="needs dask")
    pytest.importorskip("pandas", reason="needs pandas")
    import imondrian.dask

    forest = fitted(X)
    expected = forest.explain(X)
    forest.set_output(transform="pandas")
    found = imondrian.dask.explain(forest, da.from_array(X, chunks=(25, 3))).compute()
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, expected)
