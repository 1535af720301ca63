"""Nearest neighbours against brute force, on clouds made to break shortcuts."""

import copy
import pickle

import numpy as np
import pytest
from cases.clouds import KINDS, make
from hypothesis import given, settings
from hypothesis import strategies as st
from points_oracles import nearest

import pointmetrics as pm
from pointmetrics import _core

FEW = settings(max_examples=40, deadline=None)


def check(x, y, n_threads=2):
    forth, back = pm.nearest_neighbors(x, y, n_threads=n_threads)
    sq_x, id_x, sq_y, id_y = nearest(x, y)
    np.testing.assert_array_equal(forth.index, id_x)
    np.testing.assert_array_equal(back.index, id_y)
    np.testing.assert_array_equal(forth.distance, np.sqrt(sq_x))
    np.testing.assert_array_equal(back.distance, np.sqrt(sq_y))


@pytest.mark.filterwarnings("ignore:.*Points are rows:UserWarning")  # one point in 20 dimensions is meant here
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_brute_force_with_lowest_index(kind, d, dtype):
    rng = np.random.default_rng(d)
    for n, m in ((1, 1), (3, 400), (700, 30), (600, 1500)):
        check(make(kind, n, d, rng).astype(dtype), make(kind, m, d, rng).astype(dtype))


@pytest.mark.parametrize("kinds", [("normal", "one point"), ("one point", "normal"), ("line", "lattice")])
def test_clouds_of_different_kinds(kinds):
    rng = np.random.default_rng(0)
    check(make(kinds[0], 2000, 3, rng).astype(np.float32), make(kinds[1], 1100, 3, rng).astype(np.float32))


@FEW
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 900),
    m=st.integers(1, 900),
    d=st.integers(1, 5),
    kind=st.sampled_from(KINDS),
    single=st.booleans(),
)
def test_equals_brute_force_on_random_shapes(seed, n, m, d, kind, single):
    rng = np.random.default_rng(seed)
    dtype = np.float32 if single else np.float64
    check(make(kind, n, d, rng).astype(dtype), make(kind, m, d, rng).astype(dtype), n_threads=1)


@FEW
@given(
    st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=40),
    st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=257, max_size=400),
)
def test_ties_and_duplicates_on_a_lattice(x, y):
    check(np.array(x, dtype=float), np.array(y, dtype=float))


def test_a_pile_of_duplicates_is_no_quadratic_trap():
    y = np.concatenate([np.zeros((60_000, 3)), np.ones((60_000, 3))]).astype(np.float32)
    x = np.random.default_rng(0).normal(size=(60_000, 3)).astype(np.float32)
    forth, back = pm.nearest_neighbors(x, y)
    assert set(forth.index) == {0, 60_000}
    assert len(set(back.index)) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_threads(dtype):
    rng = np.random.default_rng(1)
    x, y = rng.random((9000, 3)).astype(dtype), rng.random((5000, 3)).astype(dtype)
    results = [pm.nearest_neighbors(x, y, n_threads=k) for k in (1, 2, 5)]
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert one.distance.tobytes() == two.distance.tobytes()
            assert one.index.tobytes() == two.index.tobytes()


@pytest.mark.parametrize("d", [2, 3, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_the_instruction_set(d, dtype):
    rng = np.random.default_rng(2)
    pairs = [
        (rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(m, d)).astype(dtype))
        for n, m in ((100, 80), (2000, 3000))
    ]
    best = _core.limit_instruction_set(2)
    try:
        runs = {}
        for level in range(3):
            if _core.limit_instruction_set(level) == level:
                runs[level] = [pm.nearest_neighbors(x, y) for x, y in pairs]
    finally:
        _core.limit_instruction_set(best)
    for run in runs.values():
        for one, two in zip(runs[0], run, strict=True):
            for side in (0, 1):
                assert one[side].distance.tobytes() == two[side].distance.tobytes()
                assert one[side].index.tobytes() == two[side].index.tobytes()


def test_batches_lists_and_lengths_equal_single_pairs():
    rng = np.random.default_rng(3)
    x, y = rng.random((4, 300, 3)), rng.random((4, 500, 3))
    lengths = (np.array([300, 1, 7, 299]), np.array([500, 400, 2, 1]))
    padded = pm.nearest_neighbors(x, y, lengths=lengths)
    lists = [
        [cloud[:n] for cloud, n in zip(clouds, ns, strict=True)] for clouds, ns in zip((x, y), lengths, strict=True)
    ]
    ragged = pm.nearest_neighbors(*lists)
    for i in range(4):
        alone = pm.nearest_neighbors(lists[0][i], lists[1][i])
        for side in (0, 1):
            n = lengths[side][i]
            np.testing.assert_array_equal(padded[side].index[i, :n], alone[side].index)
            np.testing.assert_array_equal(ragged[side].distance[i], alone[side].distance)
            assert (padded[side].index[i, n:] == -1).all()
            assert (padded[side].distance[i, n:] == 0).all()


def test_layouts_give_the_same_bits():
    base = np.random.default_rng(4).random((400, 3))
    y = np.random.default_rng(5).random((300, 3))
    expected = pm.nearest_neighbors(base, y).x_to_y.distance
    frozen = base.copy()
    frozen.setflags(write=False)
    wide = np.zeros((800, 6))
    wide[::2, ::2] = base
    for other in (np.asfortranarray(base), frozen, wide[::2, ::2], base.astype(">f8"), base.tolist()):
        np.testing.assert_array_equal(pm.nearest_neighbors(other, y).x_to_y.distance, expected)


class TestPreparedCloud:
    @pytest.mark.parametrize("m", [5, 3000])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_gives_the_same_bits_on_either_side(self, m, dtype):
        rng = np.random.default_rng(6)
        x, y = rng.random((2000, 3)).astype(dtype), rng.random((m, 3)).astype(dtype)
        prepared = pm.PreparedCloud(y)
        plain = pm.nearest_neighbors(x, y)
        for found in (pm.nearest_neighbors(x, prepared), pm.nearest_neighbors(prepared, x)[::-1]):
            for side in (0, 1):
                assert found[side].distance.tobytes() == plain[side].distance.tobytes()
                assert found[side].index.tobytes() == plain[side].index.tobytes()

    def test_stands_for_every_cloud_of_a_batch(self):
        rng = np.random.default_rng(7)
        x, y = rng.random((3, 900, 3)), rng.random((700, 3))
        together = pm.chamfer_distance(x, pm.PreparedCloud(y))
        np.testing.assert_array_equal(together, [pm.chamfer_distance(cloud, y) for cloud in x])

    def test_wider_queries_are_compared_in_float64(self):
        rng = np.random.default_rng(8)
        x, y = rng.random((900, 3)), rng.random((900, 3)).astype(np.float32)
        assert pm.chamfer_distance(x, pm.PreparedCloud(y)) == pm.chamfer_distance(x, y.astype(np.float64))

    def test_does_not_follow_later_changes(self):
        y = np.random.default_rng(9).random((600, 3))
        prepared = pm.PreparedCloud(y)
        y[:] = 0
        assert pm.chamfer_distance(y, prepared) > 0

    def test_refuses_a_batch(self):
        with pytest.raises(ValueError, match="one cloud"):
            pm.PreparedCloud(np.zeros((2, 3, 3)))


@pytest.mark.parametrize(
    "renew", [copy.deepcopy, lambda cloud: pickle.loads(pickle.dumps(cloud))], ids=["copy", "pickle"]
)
def test_a_prepared_cloud_can_be_copied_and_pickled(renew):
    rng = np.random.default_rng(0)
    points, scan = rng.random((50, 3)), rng.random((20, 3))
    prepared = renew(pm.PreparedCloud(points))
    assert pm.chamfer_distance(scan, prepared) == pm.chamfer_distance(scan, points)
    assert pm.chamfer_distance(scan.astype(np.float32), prepared).dtype == np.float64


def test_a_prepared_cloud_stands_for_every_cloud_of_a_batch():
    rng = np.random.default_rng(0)
    points, scans = rng.random((50, 3)), rng.random((3, 20, 3))
    found = pm.nearest_neighbors(scans, pm.PreparedCloud(points))
    expected = pm.nearest_neighbors(scans, np.stack([points] * 3))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.index, b.index)
        np.testing.assert_array_equal(a.distance, b.distance)
