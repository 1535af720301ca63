"""Every cloud's nearest without a matrix: on the CPU and on the emulated device, against whole matrices."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import pointmetrics as pm
from pointmetrics._backends.conventions import look_up
from pointmetrics._backends.cpu import sets as _cpu_sets
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.cuda import sets as _cuda_sets

NAMES = ("cd-l2", "cd-l1", "pdal")


@pytest.fixture(params=["cpu", "emulated"])
def backend(request):
    return CPU if request.param == "cpu" else request.getfixturevalue("emulated")


def packed(sizes, d=3, dtype=np.float32, seed=0, places=None):
    """Return points and offsets; rounded to few places, many distances tie."""
    points = np.random.default_rng(seed).normal(size=(sum(sizes), d))
    return (points if places is None else np.round(points, places)).astype(dtype), np.cumsum([0, *sizes])


def slow_matrix(x, y, convention):
    """Return all distances by scipy, cloud by cloud in float64."""
    power, mean, factor = {"cd-l2": (2, True, 1.0), "cd-l1": (1, True, 0.5), "pdal": (2, False, 1.0)}[convention]
    clouds = [np.split(points.astype(np.float64), offsets[1:-1]) for points, offsets in (x, y)]
    values = np.empty((len(clouds[0]), len(clouds[1])))
    for i, a in enumerate(clouds[0]):
        for j, b in enumerate(clouds[1]):
            apart = cdist(a, b)
            ways = [apart.min(axis=k) ** power for k in (1, 0)]
            values[i, j] = factor * sum(way.mean() if mean else way.sum() for way in ways)
    return values


def nearest(backend, x, y, convention, within=False, **options):
    up = backend.upload
    return backend.nearest_clouds(up(x[0]), x[1], up(y[0]), y[1], within, look_up(convention), 2, **options)


def matrix(backend, x, y, convention):
    """Return all distances from the same backend, by the pairs that are listed."""
    pairs = np.argwhere(np.ones((len(x[1]) - 1, len(y[1]) - 1)))
    forth, back = backend.pairwise(
        backend.upload(x[0]), x[1], backend.upload(y[0]), y[1], pairs, look_up(convention).power, 2
    )
    definition, (i, j) = look_up(convention), pairs.T
    if definition.reduction == "mean":
        forth, back = forth / np.diff(x[1])[i], back / np.diff(y[1])[j]
    return (definition.factor * (forth + back)).reshape(len(x[1]) - 1, -1)


def assert_minima(found, values):
    """Compare, bit for bit, with the first minima of a matrix's rows and columns."""
    for axis, distance, ids in ((1, *found[:2]), (0, *found[2:])):
        assert (distance.dtype, ids.dtype) == (np.float64, np.int64)
        np.testing.assert_array_equal(distance, values.min(axis=axis))
        np.testing.assert_array_equal(ids, values.argmin(axis=axis))


@pytest.mark.parametrize(
    "sizes",
    [([40, 1, 7, 33, 130], [9, 150, 2]), ([3, 90], [20, 5, 60, 1, 31, 8]), ([5], [1])],
    ids=["tall", "wide", "one pair"],
)
@pytest.mark.parametrize("convention", NAMES)
@pytest.mark.parametrize(("d", "dtype"), [(2, np.float64), (3, np.float32), (5, np.float32)])
def test_minima_are_the_matrixs(backend, d, dtype, convention, sizes):
    x, y = (packed(s, d, dtype, seed) for seed, s in enumerate(sizes))
    found = nearest(backend, x, y, convention)
    assert_minima(found, matrix(backend, x, y, convention))
    np.testing.assert_allclose(
        found[0], slow_matrix(x, y, convention).min(axis=1), rtol=1e-13 if dtype == np.float64 else 1e-5
    )


@pytest.mark.parametrize("sizes", [[40, 1, 7, 33, 90, 2, 2], [12, 3]])
def test_within_a_set_no_cloud_is_its_own_neighbour(backend, sizes):
    x = packed(sizes)
    values = matrix(backend, x, x, "cd-l1")
    values = np.triu(values, 1) + np.triu(values, 1).T
    np.fill_diagonal(values, np.inf)
    assert_minima(nearest(backend, x, x, "cd-l1", within=True), values)


def test_one_cloud_alone_has_no_neighbour(backend):
    x = packed([7])
    for distance, ids in np.reshape(nearest(backend, x, x, "cd-l2", within=True), (2, 2, 1)):
        assert distance == np.inf and ids == -1


@pytest.mark.parametrize("within", [False, True])
def test_of_equally_near_clouds_the_first_counts(backend, monkeypatch, within):
    # Every cloud three times, in disorder, and of different sizes, so that the largest are taken first.
    rng = np.random.default_rng(0)
    kinds = [np.round(rng.random((n, 2)), 1) for n in (3, 40, 12)]
    order = [2, 0, 1, 1, 0, 2, 0, 1, 2]
    x = np.concatenate([kinds[k] for k in order]), np.cumsum([0, *(len(kinds[k]) for k in order)])
    for at_once in (1, 4, 20, 1000):
        monkeypatch.setattr(_cpu_sets, "_AT_ONCE", at_once)
        monkeypatch.setattr(_cuda_sets, "_MOST_PAIRS", at_once)
        distance, ids, *others = nearest(backend, x, x, "cd-l2", within=within)
        others_of = [[j for j in range(9) if order[j] == order[i] and (j != i or not within)] for i in range(9)]
        assert ids.tolist() == [min(same) for same in others_of]
        assert (distance == 0).all()
        np.testing.assert_array_equal(others, [distance, ids])


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("at_once", [1, 7, 64])
def test_minima_do_not_depend_on_how_many_pairs_are_kept(backend, monkeypatch, at_once, within):
    x = packed([3, 50, 8, 8, 21, 1, 30, 4], places=1)
    y = x if within else packed([9, 40, 2, 17, 17], seed=1, places=1)
    expected = nearest(backend, x, y, "cd-l2", within=within)
    monkeypatch.setattr(_cpu_sets, "_AT_ONCE", at_once)
    monkeypatch.setattr(_cuda_sets, "_MOST_PAIRS", at_once)
    calls = []
    found = nearest(backend, x, y, "cd-l2", within=within, report=lambda done, total: calls.append((done, total)))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)
    total = 28 if within else 40
    assert calls[-1] == (total, total) and calls == sorted(calls) and len(calls) > 1 - (at_once == 64)


def test_the_largest_pairs_come_first_and_every_pair_once(emulated):
    """What a persistent grid takes from its counter: looked at through a kernel that writes its items down."""
    from device import EmulatedDevice  # after the fixture, which skips where nothing can be emulated

    from pointmetrics._backends.cuda.kernel_source import kernel_of

    probe = """
extern "C" __global__ void probe(i64 n, i64 rows, i64 columns, int within, i64* places) {
  for (i64 k = threadIdx.x; k < n; k += blockDim.x) {
    const Places at = place_of(k, rows, columns, within != 0);
    places[2 * k] = at.row;
    places[2 * k + 1] = at.column;
  }
}
"""
    device = EmulatedDevice(edit=lambda source: source + probe)
    for rows, columns, within in ((1, 1, 0), (6, 4, 0), (4, 9, 0), (1, 30, 0), (30, 1, 0), (2, 2, 1), (37, 37, 1)):
        n = rows * (rows - 1) // 2 if within else rows * columns
        places = device.xp.full(2 * n, -1, dtype=np.int64)
        device.launch(
            kernel_of("pairwise", "probe", np.float32, 3),
            (1,),
            (32,),
            (np.int64(n), np.int64(rows), np.int64(columns), np.int32(within), places),
        )
        at = device.xp.asnumpy(places).reshape(-1, 2).tolist()
        assert sorted(at) == [[i, j] for i in range(rows) for j in range(i + 1 if within else 0, columns)]
        shells = [min(pair) for pair in at]
        assert shells == sorted(shells)


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", ["numpy", "device"])
def test_sets_are_evaluated_alike_without_matrices(request, kind, metric):
    xp = np if kind == "numpy" else request.getfixturevalue("cp")
    rng = np.random.default_rng(0)
    samples = [np.round(rng.normal(size=(n, 3)), 1) for n in (20, 5, 31, 5, 12)]
    references = [np.round(rng.normal(size=(n, 3)), 1) for n in (9, 26, 14)] + samples[1:3]
    sets = [[xp.asarray(cloud) for cloud in clouds] for clouds in (samples, references)]
    full = pm.sets.evaluate(*sets, metric, n_bootstrap=50, normalization="shape-box")
    needed = pm.sets.evaluate(*sets, metric, n_bootstrap=50, normalization="shape-box", full_matrices=False)
    assert needed.sr is needed.rr is needed.ss is None
    assert isinstance(full.sr, np.ndarray)
    for name in ("mmd", "cov", "one_nna", "swapped", "jsd"):
        assert getattr(needed, name) == getattr(full, name), name


def test_a_checkpoint_keeps_matrices(tmp_path):
    clouds = np.random.default_rng(0).random((2, 4, 10, 3))
    found = pm.sets.evaluate(*clouds, full_matrices=False, n_bootstrap=2, checkpoint=tmp_path / "saved")
    assert found.sr.shape == (4, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved.rr", "saved.sr", "saved.ss"]


def test_memory_grows_with_the_clouds_not_with_the_pairs():
    n = 1500
    points, offsets = np.random.default_rng(0).random((n, 2)), np.arange(n + 1)
    tracemalloc.start()
    nearest(CPU, (points, offsets), (points, offsets), "cd-l2", within=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n * 8 / 4  # of the matrix


@pytest.mark.parametrize("most", [1, 3000, 10**9])
def test_sums_are_the_same_in_one_launch_and_in_many(emulated, monkeypatch, most):
    from pointmetrics._backends.cpu.backend import CPU
    from pointmetrics._backends.cuda import sets as _cuda_sets

    rng = np.random.default_rng(0)
    sizes = np.array([30, 1, 17, 40])
    x, offsets = rng.random((sizes.sum(), 3)), np.concatenate([[0], np.cumsum(sizes)])
    pairs = np.ascontiguousarray(np.argwhere(np.ones((4, 4))))
    monkeypatch.setattr(_cuda_sets, "_MOST_WORK", most)
    before = emulated.device.launches["sums_of_pairs"]
    up = emulated.upload
    found = emulated.pairwise(up(x), offsets, up(x), offsets, pairs, 1, 1)
    np.testing.assert_allclose(found, CPU.pairwise(x, offsets, x, offsets, pairs, 1, 1), rtol=1e-13, atol=1e-13)
    launches = emulated.device.launches["sums_of_pairs"] - before
    assert (launches == 1) if most == 10**9 else (launches == 16) if most == 1 else 1 < launches < 16


def test_launches_hold_what_they_may():
    from pointmetrics._backends.cuda.sets import _shares

    work = np.array([50, 20, 20, 5, 5, 5, 1, 0, 0])
    shares = _shares(work, 30)
    assert shares[0][0] == 0 and shares[-1][1] == len(work)
    assert all(a[1] == b[0] for a, b in pairwise(shares))
    assert all(work[a:b].sum() <= 30 or b == a + 1 for a, b in shares)
