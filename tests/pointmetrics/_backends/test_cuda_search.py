"""The search of large clouds, on the emulated device, against the CPU's bit for bit."""

import numpy as np
import pytest
from cases.clouds import make

import pointmetrics as pm
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.cuda import search as _cuda_search


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(_cuda_search, "LEAST_PAIRS", 0)


def check(emulated, x, y):
    offsets = np.array([0, len(x)]), np.array([0, len(y)])
    expected = CPU.nearest(x, offsets[0], y, offsets[1], 1)
    found = emulated.nearest(emulated.upload(x), offsets[0], emulated.upload(y), offsets[1], 1)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, emulated.download(b))


@pytest.mark.parametrize("kind", ["normal", "lattice", "one point", "line", "clusters", "far"])
@pytest.mark.parametrize("d", [1, 2, 3, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_are_the_cpus(emulated, always, dtype, d, kind):
    rng = np.random.default_rng(0)
    check(emulated, make(kind, 700, d, rng).astype(dtype), make(kind, 333, d, rng).astype(dtype))


@pytest.mark.parametrize("n, m", [(1, 1), (1, 40), (32, 33), (1025, 31)])
def test_neighbours_of_few_points(emulated, always, n, m):
    rng = np.random.default_rng(0)
    check(emulated, rng.random((n, 3), dtype=np.float32), rng.random((m, 3), dtype=np.float32))


def test_neighbours_under_several_top_nodes(emulated, always):
    rng = np.random.default_rng(0)
    x, y = rng.random((33_000, 3), dtype=np.float32), rng.random((500, 3), dtype=np.float32)
    check(emulated, np.round(x, 2), np.round(y, 2))


def tiles_scanned(points):
    """Return how many tiles of 32 points each search of a cloud in another like it scans."""
    from device import EmulatedDevice

    from pointmetrics._backends.cuda.backend import CudaBackend

    def count(source):
        for old, new in (
            ("real worst; ", "int scanned; real worst; "),
            ("s.worst = REAL_INFINITY;", "s.worst = REAL_INFINITY; s.scanned = 0;"),
            ("Search& s, int d) {\n  __syncwarp();", "Search& s, int d) {\n  ++s.scanned; __syncwarp();"),
            ("sq[at] = found_or_nan(s.best);", "sq[at] = s.scanned;"),
        ):
            assert old in source
            source = source.replace(old, new)
        return source

    backend = CudaBackend(EmulatedDevice(edit=count))
    x, y = (_cuda_search.build(backend, backend.upload(half)) for half in (points[::2], points[1::2]))
    return backend.download(_cuda_search.search(backend, x, y)[0])


def test_few_tiles_are_scanned(emulated):
    points = np.random.default_rng(0).random((16384, 3), dtype=np.float32)
    assert tiles_scanned(points).mean() < 8192 / 32 / 8


def test_batches_mix_large_and_small_pairs(emulated, cp, monkeypatch):
    monkeypatch.setattr(_cuda_search, "LEAST_PAIRS", 100 * 100)
    rng = np.random.default_rng(0)
    x, y = ([rng.random((n, 3)) for n in sizes] for sizes in ((150, 20, 30, 200, 110), (120, 50, 10, 90, 130)))
    expected = pm.nearest_neighbors(x, y)
    found = pm.nearest_neighbors([cp.asarray(c) for c in x], [cp.asarray(c) for c in y])
    for a, b in zip(expected, found, strict=True):
        for i in range(len(x)):
            np.testing.assert_array_equal(a.index[i], cp.asnumpy(b.index[i]))
            np.testing.assert_array_equal(a.distance[i], cp.asnumpy(b.distance[i]))


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_a_prepared_cloud_gives_the_same(cp, monkeypatch, limit):
    monkeypatch.setattr(_cuda_search, "LEAST_PAIRS", limit)
    rng = np.random.default_rng(0)
    reference, scans = rng.random((200, 3)), rng.random((3, 90, 3))
    prepared = pm.PreparedCloud(cp.asarray(reference))
    for clouds in (scans[0], scans):
        expected = pm.chamfer_distance(clouds, pm.PreparedCloud(reference), convention="pdal")
        found = pm.chamfer_distance(cp.asarray(clouds), prepared, convention="pdal")
        np.testing.assert_allclose(cp.asnumpy(found), expected, rtol=1e-15)
        back = pm.hausdorff_distance(prepared, cp.asarray(clouds))
        np.testing.assert_array_equal(cp.asnumpy(back), pm.hausdorff_distance(pm.PreparedCloud(reference), clouds))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n, d", [(1, 3), (33, 2), (700, 3), (300, 1), (32**3 + 1, 2), (500, 8)])
def test_a_tree_is_the_sorted_cloud_with_its_boxes(emulated, dtype, n, d):
    """Held against what numpy makes of the same order along the curve."""
    points = np.round(np.random.default_rng(0).normal(size=(n, d)), 1).astype(dtype)
    tree = _cuda_search.build(emulated, emulated.upload(points))
    down, n_top = emulated.download, -(-n // 32**3)
    ids, n_tiles = down(tree.ids), 1024 * n_top
    assert ids.shape == (n_tiles, 32) and (np.diff(ids.astype(np.int64), axis=1) >= 0).all()
    assert np.array_equal(np.unique(ids), np.arange(n))
    np.testing.assert_array_equal(down(tree.points), points[ids].transpose(0, 2, 1))
    keys = down(tree.first_keys)
    assert (keys[1:] >= keys[:-1]).all()
    low, high, least = [points[ids].min(1)], [points[ids].max(1)], [ids.min(1)]
    for _ in range(2):
        low.append(low[-1].reshape(-1, 32, d).min(1))
        high.append(high[-1].reshape(-1, 32, d).max(1))
        least.append(least[-1].reshape(-1, 32).min(1))
    np.testing.assert_array_equal(down(tree.boxes), np.stack([np.concatenate(low), np.concatenate(high)], axis=1))
    np.testing.assert_array_equal(down(tree.min_ids), np.concatenate(least))
    # Each tile holds the next 32 along the curve; past the end, the last one again.
    full = n // 32
    assert all(len(np.unique(row)) == 32 for row in ids[:full])
    if n > 32 * full:
        assert len(np.unique(ids[full])) == n - 32 * full
    assert (ids[full + 1 :] == ids[-1, 0]).all()
