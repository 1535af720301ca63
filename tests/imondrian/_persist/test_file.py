"""Models in files: what is saved comes back, goes on to the last bit, and never half replaces what was there."""

import os
import signal
import stat
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from reference.file_reference import parse

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

WINDOWS = [None, 20, "reservoir", "decayed", "thinned"]


def rows(n=400, d=3, seed=0, dtype=np.float64):
    X = np.random.default_rng(seed).normal(size=(n, d))
    X[::7] = np.round(X[::7])  # some repeats
    return X.astype(dtype)


def there_and_back(model, path, **options):
    model.save(path)
    return type(model).load(path, **options)


def assert_same_forest(a, b):
    """Equal to the last bit, generators and free slots included.

    But for what no result depends on: in which row of the store a point lies, and the boxes of free nodes.
    """
    for forest in (a, b):
        forest._prepare_updates(1)
        forest.check()
    ours, theirs = (forest.__getstate__()["columns"] for forest in (a, b))
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"points", "leaf_point", "lower", "upper"}:
        assert ours[name].tobytes() == theirs[name].tobytes(), name
    slots = np.arange(ours["leaf_point"].shape[1])
    leaves = (slots < ours["header"][:, 5, None]) & (ours["leaf_point"] >= 0)
    assert_array_equal(leaves, (slots < ours["header"][:, 5, None]) & (theirs["leaf_point"] >= 0))
    assert_array_equal(*(columns["points"][columns["leaf_point"][leaves]] for columns in (ours, theirs)))
    nodes = (np.arange(ours["feature"].shape[1]) < ours["header"][:, 4, None]) & (ours["feature"] >= 0)
    for name in ("lower", "upper"):
        assert_array_equal(ours[name][nodes], theirs[name][nodes])


# -- round trips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
def test_an_estimator_resumes_to_the_last_bit(tmp_path, window, mmap, dtype):
    X, path = rows(dtype=dtype), tmp_path / "forest.imf"
    model = IsolationMondrianForest(8, window=window, horizon=300, max_samples=32, contamination=0.1, random_state=3)
    model.partial_fit(X[:150])
    resumed = there_and_back(model, path, mmap=mmap)
    assert resumed.get_params() == model.get_params()
    for name in ("offset_", "max_samples_", "n_features_in_"):
        assert type(getattr(resumed, name)) is type(getattr(model, name))
        assert getattr(resumed, name) == getattr(model, name)
    assert resumed.forest_.dtype == dtype
    assert_array_equal(resumed.score_samples(X), model.score_samples(X))
    assert_array_equal(resumed.predict(X), model.predict(X))
    for part in (X[150:151], X[151:]):
        model.partial_fit(part)
        resumed.partial_fit(part)
        assert_array_equal(resumed.score_samples(X), model.score_samples(X))
        assert_array_equal(resumed.p_values(X), model.p_values(X))
    assert resumed.offset_ == model.offset_ and resumed.calibration_ == model.calibration_
    assert_same_forest(resumed.forest_, model.forest_)


@pytest.mark.parametrize("score", ["depth", "insertion"])
@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("source", ["split", "cross"])
def test_a_fitted_batch_forest_resumes(tmp_path, score, mmap, source):
    X, path = rows(2000 if source == "split" else 200, 5), tmp_path / "forest.imf"
    model = IsolationMondrianForest(12, max_samples=64, score=score, random_state=0).fit(X)
    resumed = there_and_back(model, path, mmap=mmap)
    assert_array_equal(resumed.score_samples(X), model.score_samples(X))
    assert model.calibration_ == resumed.calibration_ == source
    assert_array_equal(resumed.p_values(X[:20]), model.p_values(X[:20]))
    assert_same_forest(resumed.partial_fit(X[:50]).forest_, model.partial_fit(X[:50]).forest_)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("score", ["depth", "insertion"])
@pytest.mark.parametrize("window", WINDOWS)
def test_an_online_model_resumes_to_the_last_bit(tmp_path, window, score, mmap):
    """Also when keys are missing before, and new keys come after."""
    rng = np.random.default_rng(1)
    points = [
        {key: float(rng.normal()) for key in "abcdef"[: 4 + (i > 220)] if rng.random() > 0.2} | {"id": i % 5}
        for i in range(300)
    ]
    model = OnlineIsolationMondrianForest(
        8, window=window, horizon=600, score=score, seed=1, calibration=100, calibration_half_life=50.0
    )
    for x in points[:150]:
        model.learn_one(x)
    resumed = there_and_back(model, tmp_path / "online.imf", mmap=mmap)
    for x in points[150:]:
        assert resumed.score_one(x) == model.score_one(x)
        assert resumed.p_value_one(x) == model.p_value_one(x)
        model.learn_one(x)
        resumed.learn_one(x)
    assert list(resumed._model.keys.items()) == list(model._model.keys.items())
    assert_same_forest(resumed._model.forest, model._model.forest)


def test_a_model_that_forgot_resumes(tmp_path):
    X = rows()
    model = IsolationMondrianForest(5, random_state=0).partial_fit(X[:200])
    model.forest_.forget(X[20:120])
    resumed = there_and_back(model, tmp_path / "forest.imf")
    assert_same_forest(resumed.partial_fit(X[200:]).forest_, model.partial_fit(X[200:]).forest_)


def test_models_that_have_learnt_nothing(tmp_path):
    path = tmp_path / "new.imf"
    estimator = there_and_back(IsolationMondrianForest(7, random_state=2), path)
    X = rows()
    assert_array_equal(
        estimator.fit(X).score_samples(X), IsolationMondrianForest(7, random_state=2).fit(X).score_samples(X)
    )
    model = there_and_back(OnlineIsolationMondrianForest(7, seed=2), path)
    fresh = OnlineIsolationMondrianForest(7, seed=2)
    assert model.score_one({"a": 1.0}) == 0.0
    for part in (model, fresh):
        part.learn_many(X)
    assert_same_forest(model._model.forest, fresh._model.forest)


def test_a_random_state_goes_on_from_where_it_stood(tmp_path):
    X, random_state = rows(), np.random.RandomState(5)
    random_state.normal()  # leaves half a pair behind
    model = IsolationMondrianForest(6, max_samples=32, random_state=random_state).fit(X)
    resumed = there_and_back(model, tmp_path / "forest.imf")
    assert resumed.random_state is not random_state
    assert resumed.random_state.normal() == random_state.normal()
    assert_array_equal(resumed.fit(X).score_samples(X), model.fit(X).score_samples(X))


def test_names_of_columns_come_back(tmp_path):
    frame = pd.DataFrame(rows(), columns=pd.Index(["b", "ä \N{SNOWMAN}", "\ud800"], dtype=object))
    model = IsolationMondrianForest(5, random_state=0).fit(frame)
    resumed = there_and_back(model, tmp_path / "forest.imf")
    assert resumed.feature_names_in_.dtype == object
    assert resumed.feature_names_in_.tolist() == list(frame.columns)
    assert_array_equal(resumed.score_samples(frame), model.score_samples(frame))
    with pytest.raises(ValueError, match="feature names"):
        resumed.score_samples(frame[frame.columns[[2, 0, 1]]])


KEYS = ["text", "$array", "", "1", 1, -(2**70), 2.5, 1e-310, None, False, ("a", 1), (("deep", 2.0), None)]


def test_keys_come_back_with_their_types(tmp_path):
    model = OnlineIsolationMondrianForest(4, seed=0)
    x = {key: float(place) for place, key in enumerate(KEYS)}
    model.learn_one(x)
    resumed = there_and_back(model, tmp_path / "online.imf")
    assert list(resumed._model.keys) == list(model._model.keys)
    assert [type(key) for key in resumed._model.keys] == [type(key) for key in model._model.keys]
    for part in (model, resumed):
        part.learn_one({**x, "new": 3.0})
    assert_same_forest(resumed._model.forest, model._model.forest)


def test_numpys_scalars_come_back_as_pythons(tmp_path):
    model = OnlineIsolationMondrianForest(np.int64(4), seed=np.uint32(1))
    model.learn_one({np.int64(3): 1.0, np.str_("a"): 2.0})
    resumed = there_and_back(model, tmp_path / "online.imf")
    assert [type(key) for key in resumed._model.keys] == [int, str] and resumed._model.keys == model._model.keys
    assert type(resumed.n_trees) is int and type(resumed.seed) is int


@pytest.mark.parametrize("key", [b"bytes", frozenset("a"), float("nan"), float("inf"), 1j, ("a", b"b")])
def test_other_keys_cannot_be_saved(tmp_path, key):
    path = tmp_path / "online.imf"
    model = OnlineIsolationMondrianForest(4, seed=0)
    model.learn_one({"a": 1.0})
    model.save(path)
    before = path.read_bytes()
    model.learn_one({key: 1.0})
    with pytest.raises(TypeError, match=r"_keys.* cannot be saved: .*holds None, bool, int, finite float, str"):
        model.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"random_state": np.random}, "random_state cannot be saved"),
        ({"n_estimators": 0}, "n_estimators must be at least 1"),
    ],
)
def test_parameters_that_cannot_be_saved(tmp_path, params, message):
    with pytest.raises((TypeError, ValueError), match=message):
        IsolationMondrianForest(**params).save(tmp_path / "forest.imf")
    assert not os.listdir(tmp_path)


class Renamed(IsolationMondrianForest):
    """A subclass saves what its parent saves."""


def test_subclasses_load_their_parents_files(tmp_path):
    X, path = rows(), tmp_path / "forest.imf"
    model = Renamed(5, random_state=0).fit(X)
    assert type(there_and_back(model, path)) is Renamed
    assert_array_equal(IsolationMondrianForest.load(path).score_samples(X), model.score_samples(X))


# -- maps ----------------------------------------------------------------------------------------------


def test_a_mapped_forest_shares_the_file_until_it_learns(tmp_path):
    X, path = rows(), tmp_path / "forest.imf"
    model = IsolationMondrianForest(5, window=30, random_state=0).partial_fit(X)
    resumed = there_and_back(model, path, mmap=True)
    content = path.read_bytes()
    columns = resumed.forest_.columns
    assert not any(column.flags.writeable or column.flags.owndata for column in columns.values())
    copied = IsolationMondrianForest.load(path).forest_.columns
    assert all(column.flags.writeable for column in copied.values())
    resumed.score_samples(X)
    resumed.set_params(score="insertion").score_samples(X)
    assert not columns["mass"].flags.writeable
    resumed.partial_fit(X[:5])
    assert all(column.flags.writeable for column in resumed.forest_.columns.values())
    assert path.read_bytes() == content
    # The file may be replaced while it is mapped.
    mapped = IsolationMondrianForest.load(path, mmap=True)
    before = mapped.score_samples(X)
    resumed.save(path)
    assert_array_equal(mapped.score_samples(X), before)


# -- the format ----------------------------------------------------------------------------------------


def test_the_file_is_what_its_description_says(tmp_path):
    X, path = rows(dtype=np.float32), tmp_path / "forest.imf"
    model = IsolationMondrianForest(5, window=30, random_state=0).partial_fit(X)
    model.save(path)
    header, arrays = parse(path.read_bytes())
    assert header["class"] == "IsolationMondrianForest"
    assert header["state"]["parameters"] == model.get_params()
    assert header["state"]["fitted"]["offset_"] == -0.5
    prefix = "fitted.forest_.columns."
    columns = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    assert all(name.startswith((prefix, "fitted._calibration.")) for name in arrays)
    assert columns.keys() == model.forest_.__getstate__()["columns"].keys() - {"lower", "upper"}
    for name in ("mass", "time", "rng", "header", "stream"):
        assert_array_equal(columns[name][:, : 30 - 1], model.forest_.columns[name][:, : 30 - 1])
    stored = {row.tobytes() for row in columns["points"][:, :3]}
    assert stored == {row.tobytes() for row in X[-30:]}


def test_equal_models_have_equal_files(tmp_path):
    X = rows()
    for name in "ab":
        IsolationMondrianForest(5, window=30, random_state=0).partial_fit(X).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    IsolationMondrianForest.load(tmp_path / "a").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_promised_size(tmp_path):
    path = tmp_path / "forest.imf"
    IsolationMondrianForest(random_state=0).fit(rows(30_000, 10, dtype=np.float32)).save(path)
    assert path.stat().st_size <= 6e6


# -- replacing -----------------------------------------------------------------------------------------

SMALL = IsolationMondrianForest(3, random_state=0).fit(rows(50))


@pytest.mark.parametrize("kind", [str, os.fsencode, lambda path: path])
def test_paths_of_every_kind(tmp_path, kind):
    SMALL.save(kind(tmp_path / "forest.imf"))
    assert_array_equal(
        IsolationMondrianForest.load(kind(tmp_path / "forest.imf")).score_samples(rows()), SMALL.score_samples(rows())
    )


def test_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SMALL.save("forest.imf")
    assert IsolationMondrianForest.load("forest.imf").n_features_in_ == 3


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_permissions_and_links_are_kept(tmp_path):
    path, link = tmp_path / "forest.imf", tmp_path / "link.imf"
    old = os.umask(0o027)
    try:
        SMALL.save(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    link.symlink_to(path.name)
    path.write_bytes(b"old")
    SMALL.save(link)
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o604
    assert IsolationMondrianForest.load(path).n_features_in_ == 3


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError):
        SMALL.save(tmp_path / "no" / "forest.imf")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        SMALL.save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"] and not os.listdir(tmp_path / "folder")
    for bad in (None, 3.5, ["a"]):
        with pytest.raises(TypeError, match=r"expected str, bytes or os\.PathLike object|path"):
            SMALL.save(bad)


SAVER = """
import os, signal, sys
import numpy as np
from imondrian import IsolationMondrianForest
path, way = sys.argv[1:]
model = IsolationMondrianForest(20, random_state=1).fit(np.random.default_rng(0).normal(size=(500, 4)))
if way == "killed before the new name":
    os.replace = lambda old, new: os.kill(os.getpid(), signal.SIGKILL)
else:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if way == "killed while writing":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
try:
    model.save(path)
except OSError as error:
    print(type(error).__name__, len(os.listdir(os.path.dirname(path))))
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and limits")
@pytest.mark.parametrize("way", ["full disk", "killed while writing", "killed before the new name"])
def test_a_save_that_fails_leaves_the_old_file(tmp_path, way):
    path = tmp_path / "forest.imf"
    SMALL.save(path)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", SAVER, str(path), way], capture_output=True, text=True, timeout=120, check=False
    )
    assert path.read_bytes() == before
    left = [name for name in os.listdir(tmp_path) if name != path.name]
    if way == "full disk":
        assert (done.stdout, done.returncode, left) == ("OSError 1\n", 0, []), done.stderr
        return
    assert done.returncode == -(signal.SIGXFSZ if way == "killed while writing" else signal.SIGKILL), done.stderr
    assert done.stdout == ""
    assert len(left) == 1 and left[0].startswith(".forest.imf.") and left[0].endswith(".tmp")
    assert (0 < (tmp_path / left[0]).stat().st_size <= 20_000) == (way == "killed while writing")
    SMALL.save(path)  # what was left is in nobody's way


def test_a_loaded_stream_drops_the_keys_that_have_fallen_silent(tmp_path):
    model = OnlineIsolationMondrianForest(5, window=9, max_features=2, seed=1)
    for i in range(30):
        model.learn_one({"a": i % 7, "b": i % 5})
    for i in range(20):
        model.learn_one({"a": 100 + i})
    model.save(tmp_path / "model")
    loaded = OnlineIsolationMondrianForest.load(tmp_path / "model")
    for each in (model, loaded):
        each.learn_one({"a": 3, "c": 1})
    assert loaded._model.keys.keys() == model._model.keys.keys() == {"a", "c"}
