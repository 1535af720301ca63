"""All-pairs matrices and folders of clouds on worker processes: equal to the bit to one machine's."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import pointmetrics as pm

dask = pytest.importorskip("dask", reason="needs dask: pip install 'imondrian[dask]'")
distributed = pytest.importorskip("distributed", reason="needs distributed: pip install 'imondrian[dask]'")

import dask.array as da  # noqa: E402

import pointmetrics.dask as spread  # noqa: E402

pytestmark = pytest.mark.usefixtures("scheduler")


def make_clouds(k, n=40, d=3, seed=0, dtype=np.float64, ragged=False):
    rng = np.random.default_rng(seed)
    return [rng.random((n + (i % 5 if ragged else 0), d)).astype(dtype) for i in range(k)]


def centroid_distance(x, y):
    return np.array([np.linalg.norm(p.mean(axis=0) - q.mean(axis=0)) for p, q in zip(x, y, strict=True)])


# -- matrices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metric",
    ["cd-l2", "cd-l1", "dcd", "hausdorff", "emd", centroid_distance],
    ids=lambda metric: getattr(metric, "__name__", metric),
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matrices_are_those_of_one_machine(metric, dtype):
    a, b = make_clouds(7, dtype=dtype), make_clouds(5, seed=1, dtype=dtype)
    for block in (1, 3, 50):
        between = spread.pairwise_distances(a, b, metric, block=block)
        assert between.shape == (7, 5)
        assert between.dtype == np.float64
        np.testing.assert_array_equal(between.compute(), pm.sets.pairwise_distances(a, b, metric))
        within = spread.pairwise_distances(a, None, metric, block=block)
        np.testing.assert_array_equal(within.compute(), pm.sets.pairwise_distances(a, None, metric))


@pytest.mark.parametrize(("part", "pairs"), [(slice(None), 36), (slice(0, 2), 1 + 4 + 4 + 4 + 2), (slice(8, 9), 8 + 0)])
def test_each_pair_within_a_set_is_computed_once(part, pairs):
    """And only those of blocks that are asked for."""
    counts = []

    def counting(x, y):
        counts.append(len(x))
        return centroid_distance(x, y)

    spread.pairwise_distances(make_clouds(9), None, counting, block=2)[part].compute()
    assert sum(counts) == pairs


@pytest.mark.parametrize("given", ["array", "list", "chunks", "delayed", "files"])
def test_kinds_of_sets(given, tmp_path):
    clouds = make_clouds(6, ragged=given in ("list", "delayed", "files"))
    expected = pm.sets.pairwise_distances(clouds)
    paths = [tmp_path / f"{i}.npy" for i in range(6)]
    for path, cloud in zip(paths, clouds, strict=True):
        np.save(path, cloud)
    made = {
        "list": lambda: clouds,
        "array": lambda: np.array(clouds),
        "files": lambda: paths,
        "chunks": lambda: da.from_array(np.array(clouds), chunks=((2, 0, 4), 40, 3)),
        "delayed": lambda: [dask.delayed(np.load)(path) for path in paths],
    }[given]()
    matrix = spread.pairwise_distances(made, block=4)
    np.testing.assert_array_equal(matrix.compute(), expected)
    np.testing.assert_array_equal(
        spread.pairwise_distances(made, made, block=4).compute(), pm.sets.pairwise_distances(clouds, clouds)
    )


@pytest.mark.parametrize(
    "change",
    [lambda cloud: cloud.astype(np.float64), lambda cloud: cloud * 1e20, lambda cloud: (100 * cloud).astype(np.int64)],
    ids=["double", "huge", "integers"],
)
def test_one_cloud_decides_the_precision_of_all(change):
    """As it does on one machine, where a set has one precision."""
    a, b = make_clouds(6, dtype=np.float32), make_clouds(6, seed=1, dtype=np.float32)
    b[5] = change(b[5])
    np.testing.assert_array_equal(spread.pairwise_distances(a, b, block=2).compute(), pm.sets.pairwise_distances(a, b))
    np.testing.assert_array_equal(spread.pairwise_distances(b, block=2).compute(), pm.sets.pairwise_distances(b))


def test_equal_questions_have_equal_names():
    a = make_clouds(4)
    assert spread.pairwise_distances(a).name == spread.pairwise_distances(a).name
    assert spread.pairwise_distances(a).name != spread.pairwise_distances(a, a).name
    assert spread.pairwise_distances(a).name != spread.pairwise_distances(a, metric="dcd").name


def load_or_die(number, flag):
    """Make a cloud on the worker; the first worker to make number 5 is killed."""
    if number == 5 and not os.path.exists(flag):
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return make_clouds(12)[number]


def test_matrix_while_a_worker_is_killed(client, tmp_path):
    flag = str(tmp_path / "killed")
    load = dask.delayed(load_or_die)
    found = spread.pairwise_distances([load(i, flag) for i in range(12)], block=2).compute()
    assert os.path.exists(flag)
    np.testing.assert_array_equal(found, pm.sets.pairwise_distances(make_clouds(12)))


def test_clouds_and_errors_of_workers(client):
    make = dask.delayed(make_clouds)
    found = spread.pairwise_distances([make(i + 1)[i] for i in range(5)], block=2).compute()
    np.testing.assert_array_equal(found, pm.sets.pairwise_distances(make_clouds(5)))
    with pytest.raises(ValueError, match=r"a\[4\] must have .*, got shape \(40,\)"):
        spread.pairwise_distances([make(i + 1)[i][:, 0] if i == 4 else make(5)[i] for i in range(5)], block=2).compute()


@pytest.mark.parametrize("normalization", ["none", "global", "shape-box"])
def test_evaluations_are_those_of_one_machine(normalization, tmp_path):
    samples = [cloud - 0.5 for cloud in make_clouds(7, ragged=True, dtype=np.float32)]
    references = [cloud - 0.5 for cloud in make_clouds(6, seed=1)]
    paths = [tmp_path / f"{i}.npy" for i in range(7)]
    for path, cloud in zip(paths, samples, strict=True):
        np.save(path, cloud)
    expected = pm.sets.evaluate(samples, references, normalization=normalization, n_bootstrap=50)
    lazy = [dask.delayed(np.array)(cloud) for cloud in references]
    for s, r in ((samples, references), (paths, lazy)):
        found = spread.evaluate(s, r, normalization=normalization, n_bootstrap=50, block=3)
        assert str(found) == str(expected)
        for name in ("sr", "rr", "ss"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_bad_evaluations():
    clouds = make_clouds(3)
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1, got 2"):
        spread.evaluate(clouds, clouds, confidence=2)
    with pytest.raises(ValueError, match="normalization must be one of"):
        spread.evaluate(clouds, clouds, normalization="box")
    with pytest.raises(TypeError, match=r"references must be a sequence .* got int"):
        spread.evaluate(clouds, 3)


# -- files -------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """Two folders of five clouds each, one of which is damaged."""
    for side in range(2):
        folder = tmp_path / "ab"[side]
        folder.mkdir()
        for i, cloud in enumerate(make_clouds(5, seed=side, ragged=True)):
            np.save(folder / f"{i}.npy", cloud)
    (tmp_path / "b" / "3.npy").write_bytes(b"no array")
    return tmp_path / "a", tmp_path / "b"


def assert_compared(table, a, b, **options):
    for i in range(5):
        row = table.loc[i]
        assert (row["name"], row["a"], row["b"]) == (str(i), str(a / f"{i}.npy"), str(b / f"{i}.npy"))
        if i == 3:
            assert "3.npy" in row["error"]
            assert np.isnan(row["cd-l2"])
            continue
        x, y = np.load(a / f"{i}.npy"), np.load(b / f"{i}.npy")
        assert (row["n_a"], row["n_b"]) == (len(x), len(y))
        assert {name: row[name] for name in pm.compare(x, y, **options)} == dict(pm.compare(x, y, **options))
    assert table["error"].isna().sum() == 4


def test_folders(folders):
    a, b = folders
    options = {"thresholds": (0.1, 0.2), "quantiles": (0.9,), "emd": True}
    lazy = spread.compare_folders(a, b, block=2, **options)
    assert lazy.npartitions == 3
    table = lazy.compute()
    assert list(table.columns) == list(lazy.columns)
    assert (table.dtypes == lazy.dtypes).all()
    assert_compared(table, a, b, **options)


def test_folders_on_workers(client, folders):
    assert_compared(spread.compare_folders(*folders, block=1).compute(), *folders)


def test_folders_that_differ(folders):
    a, b = folders
    (b / "4.npy").unlink()
    with pytest.warns(UserWarning, match="1 of the files are only in .*a: 4"):
        table = spread.compare_folders(a, b).compute()
    assert table["name"].tolist() == ["0", "1", "2", "3"]


def test_files_by_pairs(folders):
    a, b = folders
    table = spread.compare_files(
        [(a / "1.npy", b / "0.npy"), (str(a / "0.npy"), b / "none.npy")], max_points=10, names=["first", "second"]
    ).compute()
    x, y = pm.io.read_points(a / "1.npy", max_points=10, seed=0), pm.io.read_points(b / "0.npy", max_points=10, seed=0)
    assert table["cd-l2"][0] == pm.compare(x, y)["cd-l2"]
    assert table["n_a"][0] == 10
    assert table["error"][1].startswith("FileNotFoundError: ")
    assert table["name"].tolist() == ["first", "second"]


# -- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((make_clouds(2), None, "chamfer"), ValueError, "metric must be a function or one of"),
        ((make_clouds(2), None, 3), TypeError, "metric must be a name or a function, got int"),
        ((5,), TypeError, "a must be a sequence of clouds, paths or Delayed, or a dask array, got int"),
        (("file.npy",), TypeError, "a must be a sequence .* got str"),
        ((make_clouds(2), []), ValueError, "b is empty"),
        ((make_clouds(1)[0],), ValueError, r"a must be a set: .* got shape \(40, 3\)"),
        ((da.zeros((4, 10)),), ValueError, r"a must be a set \(k, n, d\), got 2 axes"),
        ((da.zeros((4, 10, 3), chunks=(2, 5, 3)),), ValueError, r"chunks of whole clouds, got \(\(5, 5\), \(3,\)\)"),
        ((da.zeros((0, 10, 3)),), ValueError, "a is empty"),
    ],
)
def test_bad_sets(arguments, error, message):
    with pytest.raises(error, match=message):
        spread.pairwise_distances(*arguments)


@pytest.mark.parametrize(("block", "error"), [(0, ValueError), (2.5, TypeError), (True, TypeError)])
def test_bad_blocks(block, error, folders):
    with pytest.raises(error, match="block must be"):
        spread.pairwise_distances(make_clouds(2), block=block)
    with pytest.raises(error, match="block must be"):
        spread.compare_folders(*folders, block=block)


def test_bad_clouds_are_named(tmp_path):
    clouds = make_clouds(6)
    clouds[4][7, 1] = np.nan
    with pytest.raises(ValueError, match=r"a\[4\] must be finite, got nan at index \(7, 1\)"):
        spread.pairwise_distances(clouds, block=2).compute()
    with pytest.raises(ValueError, match="same dimension"):
        spread.pairwise_distances(make_clouds(2), make_clouds(2, d=2), block=1).compute()
    with pytest.raises(FileNotFoundError, match=r"a\[1\], .*none\.npy"):
        np.save(tmp_path / "one.npy", clouds[0])
        spread.pairwise_distances([tmp_path / "one.npy", tmp_path / "none.npy"]).compute()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([],), {}, ValueError, "at least one pair"),
        ((["ab"],), {}, TypeError, r"pairs\[0\] must be two paths, got 'ab'"),
        (([("a", "b"), ("a", 3)],), {}, TypeError, r"pairs\[1\] must be two paths"),
        (([("a", "b")],), {"names": []}, ValueError, "names must be one a pair, 1, got 0"),
        (([("a", "b")],), {"thresholds": (-1.0,)}, ValueError, "threshold must be finite and above 0"),
        (([("a", "b")],), {"lengths": 3}, TypeError, "lengths is no option"),
        (([("a", "b")],), {"speed": 3}, TypeError, "speed"),
    ],
)
def test_bad_comparisons(arguments, options, error, message):
    with pytest.raises(error, match=message):
        spread.compare_files(*arguments, **options)


def test_bad_folders(folders, tmp_path):
    with pytest.raises(ValueError, match="a must be a folder, got"):
        spread.compare_folders(tmp_path / "none", folders[1])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file of a known format"):
        spread.compare_folders(folders[0], tmp_path / "empty")
