"""Scores by the CUDA kernels, run on an emulated device, against the CPU's; and on a real one where there is one."""

import gc
import pickle
import weakref
from itertools import pairwise

import device
import numpy as np
import pytest
from cases.forest_cases import CASES, case, queries
from device import EmulatedDevice

from imondrian import IsolationMondrianForest
from imondrian._cuda import forest as _cuda_forest
from imondrian._cuda import packed_forest as _packed_forest
from imondrian._cuda.forest import DeviceForest, Plan, device_forest
from imondrian._forest import scoring
from imondrian._forest.forest import SLIDING, UNBOUNDED, Forest, seed_states

SCORES = tuple(scoring.SCORES)  # the CPU's: what one side alone has fails below
RTOL = {"insertion": 1e-13, "spacing": 1e-12}


def rows(n, d, dtype, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(dtype) * 2
    x[: n // 4] = np.round(x[: n // 4])  # ties
    x[rng.random(x.shape) < missing] = np.nan
    return x


def fitted(x, n_trees, **options):
    return IsolationMondrianForest(n_trees, random_state=0, **options).fit(x).forest_


def batch(d, dtype, **options):
    return fitted(rows(200, d, dtype), 7, max_samples=40, **options)


def streamed(d, dtype, missing=0.0, **options):
    forest = IsolationMondrianForest(7, random_state=0, **options)
    return forest.partial_fit(rows(120, d, dtype, missing=missing)).forest_


def thinned_out(d, dtype):
    forest = streamed(d, dtype)
    forest.forget(rows(120, d, dtype)[::2].copy())
    forest.check()
    return forest


FORESTS = {
    "batch": batch,
    "raw units": lambda d, dtype: batch(d, dtype, scale=None),
    "streamed": streamed,
    "windowed": lambda d, dtype: streamed(d, dtype, window=50),
    "reservoir": lambda d, dtype: streamed(d, dtype, window="reservoir", max_samples=30),
    "forgotten": thinned_out,
    "with missing values": lambda d, dtype: streamed(d, dtype, missing=0.3),
}


def empty(d, dtype):
    return Forest.for_stream(d, dtype, seed_states(np.random.RandomState(0), 3), UNBOUNDED, None, 0.0, spaced=True)


def one_point(d, dtype):
    forest = empty(d, dtype)
    forest.learn(np.repeat(rows(1, d, dtype), 3, axis=0))
    return forest


def emptied(d, dtype):
    """Of three trees, one has lost its only point."""
    states = seed_states(np.random.RandomState(0), 3)
    forest = Forest.for_stream(d, dtype, states, SLIDING, 5, 0.0, spaced=True)
    forest.learn(rows(4, d, dtype))
    header = forest.columns["header"]
    header[1] = [-1, 0, -1, -1, 0, 0]
    return forest


def check(dev, forest, x, score):
    copy = DeviceForest(dev, forest)
    measured = dev.xp.asnumpy(copy.measure(dev.xp.asarray(x), score))
    if score == "depth":
        np.testing.assert_array_equal(measured, forest.depths(x, score)[0])
    elif score == "insertion":
        np.testing.assert_allclose(measured, forest.depths(x, score)[0], rtol=2e-14)
    scores = dev.xp.asnumpy(copy.scores(dev.xp.asarray(x), score))
    if score == "depth":
        np.testing.assert_array_max_ulp(scores, forest.scores(x, score), maxulp=2)
    else:
        np.testing.assert_allclose(scores, forest.scores(x, score), rtol=RTOL[score])
    return copy


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", FORESTS)
def test_depths_are_the_cpus(emulated, kind, dtype, missing):
    for d in (1, 3, 10, 40, 70) if kind in ("batch", "with missing values") else (3,):
        forest = FORESTS[kind](d, dtype)
        for score in SCORES:
            check(emulated, forest, rows(150, d, dtype, seed=1, missing=missing), score)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_every_case_of_the_cpu(emulated, name, dtype):
    for d in (2, 9):
        x = case(name, 150, d, dtype=dtype)
        asked = queries(x, 60)
        with_gaps = asked.copy()
        with_gaps[np.random.default_rng(2).random(asked.shape) < 0.3] = np.nan
        streaming = IsolationMondrianForest(5, random_state=0, window=40).partial_fit(x).forest_
        for forest in (fitted(x, 5), streaming):
            for score in SCORES:
                check(emulated, forest, np.concatenate([asked, with_gaps]), score)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("make", [empty, one_point, emptied])
def test_trees_of_no_or_one_point(emulated, make, score):
    forest = make(3, np.float64)
    held = rows(4, 3, np.float64)
    check(emulated, forest, np.concatenate([held, rows(5, 3, np.float64, 2, 0.4), np.full((1, 3), np.nan)]), score)


@pytest.mark.parametrize("n", [3, 4, 5, 6])
@pytest.mark.parametrize("score", SCORES)
def test_trees_of_few_points(emulated, score, n):
    forest = IsolationMondrianForest(5, random_state=0).fit(rows(n, 2, np.float64)).forest_
    check(emulated, forest, np.concatenate([rows(n, 2, np.float64), rows(20, 2, np.float64, 2, 0.3)]), score)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_values(emulated, dtype):
    largest = np.finfo(dtype).max
    x = rows(60, 3, dtype)
    x[::7] *= largest / 100
    x[1::7] *= np.finfo(dtype).tiny / 8
    forest = IsolationMondrianForest(5, random_state=0, scale=None).fit(x).forest_
    queries = np.concatenate([x, -x, np.full((1, 3), largest), np.full((1, 3), -largest)])
    with np.errstate(all="ignore"):
        for score in SCORES:
            check(emulated, forest, queries, score)


def test_rows_without_any_value(emulated):
    x = np.full((3, 2), np.nan)
    for score in SCORES:
        check(emulated, batch(2, np.float64), x, score)


def test_more_rows_with_missing_values_than_threads_of_a_block(emulated):
    x = rows(700, 3, np.float32, seed=3)
    x[:, 1] = np.nan
    check(emulated, batch(3, np.float32), x, "insertion")


def test_both_sides_have_the_same_scores(emulated):
    assert set(scoring.SCORES) == set(_cuda_forest._ERROR)
    with pytest.raises(KeyError, match="another"):
        DeviceForest(emulated, batch(2, np.float64)).measure(emulated.xp.asarray(rows(5, 2, np.float64)), "another")


# How a block is laid out must not matter


LAYOUTS = {  # shared memory of a block, rows, coordinates
    "four rows a thread": (227 * 1024, 4 * 256 * 2 * 2 + 13, 3),
    "two rows a thread": (227 * 1024, 2 * 256 * 2 * 2 + 1, 15),
    "rows in global memory": (227 * 1024, 300, 90),
    "trees in global memory": (1200, 300, 1),
    "nothing in shared memory": (100, 300, 90),
    "a tree rather than the rows": (2000, 300, 1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_has_the_same_results(emulated, name, dtype):
    shared, n, d = LAYOUTS[name]
    dev = EmulatedDevice(emulated.xp)
    dev.shared_bytes = shared
    check(dev, batch(d, dtype), rows(n, d, dtype, seed=4), "depth")


def test_layouts_are_the_ones_meant(emulated):
    dev = EmulatedDevice(emulated.xp)
    got = {}
    for name, (shared, n, d) in LAYOUTS.items():
        dev.shared_bytes = shared
        plan = Plan.choose(n, 256 * d * 4, 1264, dev)
        got[name] = plan.rows, plan.rows_bytes > 0, plan.trees_bytes > 0
    assert got == {
        "four rows a thread": (4, True, True),
        "two rows a thread": (2, True, True),
        "rows in global memory": (1, False, True),
        "trees in global memory": (1, True, False),
        "nothing in shared memory": (1, False, False),
        "a tree rather than the rows": (1, False, True),
    }


def test_groups_fit_and_hold_every_tree():
    sizes = np.array([700, 300, 1000, 16, 16, 990, 400], np.int64)
    groups = Plan(1, 0, 1000).groups(sizes)
    assert groups[0] == 0 and groups[-1] == len(sizes) and (np.diff(groups) > 0).all()
    assert all(sizes[a:b].sum() <= 1000 for a, b in pairwise(groups))
    assert len(groups) - 1 == 5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_groups_of_trees_follow_one_another(emulated, monkeypatch, dtype):
    monkeypatch.setattr(_cuda_forest, "_BLOCK_BYTES", 0)  # one tree at a time
    check(emulated, batch(3, dtype), rows(150, 3, dtype, seed=5), "depth")


def test_wide_nodes_of_float32(emulated, monkeypatch):
    forest = batch(3, np.float32)
    assert not _packed_forest.pack(forest.columns, 3).wide
    monkeypatch.setattr(_packed_forest, "_LINK_BITS", 4)
    assert _packed_forest.pack(forest.columns, 3).wide
    check(emulated, forest, rows(150, 3, np.float32, seed=6), "depth")


# What is kept on the device


def test_trees_are_uploaded_once_and_again_after_an_update(emulated):
    detector = IsolationMondrianForest(5, random_state=0, window=64).partial_fit(rows(100, 3, np.float64))
    first = device_forest(emulated, detector.forest_)
    assert device_forest(emulated, detector.forest_) is first
    other = EmulatedDevice(emulated.xp)
    assert device_forest(other, detector.forest_) is not first
    assert device_forest(emulated, detector.forest_) is first
    x = emulated.xp.asarray(rows(50, 3, np.float64, seed=7))
    before = emulated.xp.asnumpy(first.measure(x, "insertion"))
    detector.partial_fit(rows(30, 3, np.float64, seed=8) + 3)
    second = device_forest(emulated, detector.forest_)
    assert second is not first
    after = emulated.xp.asnumpy(second.measure(x, "insertion"))
    np.testing.assert_allclose(after, detector.forest_.depths(x.get(), "insertion")[0], rtol=2e-14)
    assert (after != before).any()


def test_copies_go_with_their_forest_and_into_no_pickle(emulated):
    forest = batch(3, np.float64)
    size = len(pickle.dumps(forest))
    device_forest(emulated, forest).measure(emulated.xp.asarray(rows(5, 3, np.float64)), "depth")
    assert len(pickle.dumps(forest)) == size
    gone = weakref.ref(device_forest(emulated, forest))
    del forest
    gc.collect()
    assert gone() is None


# On a device


@pytest.mark.gpu
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 10, 40, 90])
def test_depths_on_a_device_are_the_cpus(cupy_device, d, dtype, missing, score):
    from imondrian._kit.device import open_device

    for n in (1, 300, 300_000 if d == 10 and not missing else 3000):
        check(open_device(), batch(d, dtype), rows(n, d, dtype, seed=1, missing=missing), score)
    for make in (streamed, thinned_out, one_point, emptied):
        check(open_device(), make(d, dtype), rows(200, d, dtype, seed=2, missing=missing), score)


@pytest.mark.gpu
def test_large_trees_on_a_device(cupy_device):
    from imondrian._kit.device import open_device

    for size in (1024, 4096, 30_000):
        x = rows(size, 5, np.float32)
        forest = IsolationMondrianForest(4, max_samples=size, random_state=0).fit(x).forest_
        check(open_device(), forest, rows(5000, 5, np.float32, seed=1), "depth")


def test_the_emulated_device_is_in_use(emulated):
    assert isinstance(emulated, device.EmulatedDevice)
    before = emulated.launches["leaf_depths"]
    check(emulated, batch(2, np.float64), rows(10, 2, np.float64), "depth")
    assert emulated.launches["leaf_depths"] == before + 2
