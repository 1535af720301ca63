"""A device whose memory does not suffice: the same results in smaller parts, or an error with the sizes."""

import sys
import weakref

import fake_cupy
import numpy as np
import pytest

import pointmetrics as pm
from imondrian._kit.device_memory import in_parts, size
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.cuda import nearest as _cuda_nearest
from pointmetrics._backends.cuda import search as _cuda_search

RNG = np.random.default_rng(0)
BATCH = RNG.random((16, 12, 3)), RNG.random((16, 12, 3))


class Room:
    """Sets how many more bytes than now the device holds."""

    def __call__(self, n_bytes):
        fake_cupy.RELEASED[0] = 0
        fake_cupy.LIMIT[0] = fake_cupy.LIVE[0] + int(n_bytes)

    @property
    def released(self):
        """How often the pool's memory was given back since."""
        return fake_cupy.RELEASED[0]

    def needed(self, call):
        """Return what a call takes at most, once what it keeps is there, and its result."""
        call()
        before = fake_cupy.PEAK[0] = fake_cupy.LIVE[0]
        result = call()
        return fake_cupy.PEAK[0] - before, result


@pytest.fixture
def room(cp):
    yield Room()
    fake_cupy.LIMIT[0] = None


class Probe:
    """A device that has room for so much, and remembers what was tried."""

    out_of_memory = fake_cupy.OutOfMemoryError
    is_capturing = False

    def __init__(self, most):
        self.most, self.tried, self.released = most, [], 0

    def release_memory(self):
        self.released += 1

    def __call__(self, first, last):
        self.tried.append(last - first)
        if last - first > self.most:
            raise fake_cupy.OutOfMemoryError(100 * (last - first), 0)
        return range(first, last)


@pytest.mark.parametrize(("n", "most"), [(1, 1), (7, 7), (7, 6), (7, 3), (100, 1), (33, 16)])
def test_parts_are_halved_until_they_fit(n, most):
    device = Probe(most)
    parts = in_parts(device, n, device)
    assert [i for part in parts for i in part] == list(range(n))
    assert len(parts) == 1 if most >= n else max(map(len, parts)) <= most
    assert device.released == sum(size > most for size in device.tried) <= n.bit_length()


def test_what_does_not_fit_alone_is_raised():
    with pytest.raises(fake_cupy.OutOfMemoryError, match="allocating 100 bytes"):
        in_parts(device := Probe(0), 8, device)
    assert device.tried == [8, 4, 2, 1]


def test_nothing_is_tried_again_while_a_graph_is_recorded():
    device = Probe(1)
    device.is_capturing = True
    with pytest.raises(fake_cupy.OutOfMemoryError):
        in_parts(device, 8, device)
    assert (device.tried, device.released) == ([8], 0)


def test_what_a_failed_attempt_held_is_free_before_the_next():
    xp, device, alive = fake_cupy.make(), Probe(4), []

    def compute(first, last):
        held = xp.zeros(1000)
        alive.append(fake_cupy.LIVE[0])
        device(first, last)
        return len(held)

    in_parts(device, 16, compute)
    assert len(set(alive)) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: pm.earth_movers_distance(x, y),
        lambda x, y: pm.sinkhorn_divergence(x, y, epsilon=1.0, tol=0.1),
        lambda x, y: pm.sets.pairwise_distances(x, y),
    ],
    ids=["emd", "sinkhorn", "matrix"],
)
@pytest.mark.parametrize("share", [0.95, 0.4])
def test_batches_are_computed_in_parts(cp, room, call, share):
    x, y = (cp.asarray(side) for side in BATCH)
    needed, expected = room.needed(lambda: call(x, y))
    expected = cp.asnumpy(expected)
    room(share * needed)
    np.testing.assert_array_equal(cp.asnumpy(call(x, y)), expected)
    assert room.released > 0


def test_large_clouds_are_searched_in_parts(emulated, monkeypatch):
    monkeypatch.setattr(_cuda_search, "LEAST_PAIRS", 0)
    x, y = np.round(RNG.normal(size=(700, 3)), 1), np.round(RNG.normal(size=(500, 3)), 1)
    offsets = [np.array([0, len(side)]) for side in (x, y)]
    on_device = emulated.upload(x), offsets[0], emulated.upload(y), offsets[1], 1
    build, trees = _cuda_search.build, []

    def build_what_fits(backend, points):
        # By the points of the trees that exist: a tree of 700 takes as much as one of 32,768.
        held = sum(n for n, tiles in trees if tiles() is not None)
        if held + len(points) > 900:
            raise fake_cupy.OutOfMemoryError(len(points), held)
        tree = build(backend, points)
        trees.append((len(points), weakref.ref(tree.points)))
        return tree

    monkeypatch.setattr(_cuda_search, "build", build_what_fits)
    found = emulated.nearest(*on_device)
    for a, b in zip(found, CPU.nearest(x, offsets[0], y, offsets[1], 1), strict=True):
        np.testing.assert_array_equal(emulated.download(a), b)
    assert [n for n, _ in trees] == [700, 500, 350, 350, 700, 125, 125, 125, 125]


def test_gradients_of_large_clouds_do_without_sorting(emulated, room, monkeypatch):
    monkeypatch.setattr(_cuda_nearest, "_SCAN_LIMIT", 0)
    x, y, offsets = RNG.random((300, 3)), RNG.random((300, 3)), np.array([0, 300])
    _, id_x, _, id_y = CPU.nearest(x, offsets, y, offsets, 1)
    coef = np.full(300, 0.5)
    args = [a if a is offsets else emulated.upload(a) for a in (x, offsets, y, offsets, id_x, coef, id_y, coef)]
    needed, _ = room.needed(lambda: emulated.nearest_grad(*args))
    room(needed - 1)
    for a, b in zip(
        emulated.nearest_grad(*args), CPU.nearest_grad(x, offsets, y, offsets, id_x, coef, id_y, coef), strict=True
    ):
        np.testing.assert_array_equal(emulated.download(a), b)
    assert room.released > 0


def test_an_error_has_the_sizes(cp, room):
    x, y = (cp.asarray(side) for side in BATCH)
    room(100)
    with pytest.raises(
        MemoryError,
        match=(
            r"^chamfer_distance needs more memory than the device has free: .* were asked for, 100 B of .* are free; "
            r"given were x of shape \(16, 12, 3\) \(4\.5 KiB\), y of shape \(16, 12, 3\) \(4\.5 KiB\)\. Pass fewer"
        ),
    ):
        pm.chamfer_distance(x, y)
    lists = [list(side) for side in (x, y)]
    with pytest.raises(MemoryError, match=r"x of 16 arrays \(4\.5 KiB\), y of 16 arrays"):
        pm.chamfer_distance(lists[0], y=lists[1])
    with pytest.raises(MemoryError, match=r"PreparedCloud\.__init__ needs .* points of shape \(12, 3\)"):
        pm.PreparedCloud(x[0])


def test_nothing_is_kept_after_an_error(cp, room):
    x, y = (cp.asarray(side) for side in BATCH)
    expected = cp.asnumpy(pm.earth_movers_distance(x, y))
    before = fake_cupy.LIVE[0]
    room(2000)
    with pytest.raises(MemoryError, match="earth_movers_distance needs"):
        pm.earth_movers_distance(x, y)
    assert fake_cupy.LIVE[0] - before < 1024  # offsets of parts, which are kept as those of whole batches are
    room(10**9)
    np.testing.assert_array_equal(cp.asnumpy(pm.earth_movers_distance(x, y)), expected)


def test_the_hosts_own_errors_pass(monkeypatch, cp):
    def fail(*args):
        raise MemoryError("of the host")

    monkeypatch.setattr("pointmetrics._metrics.chamfer.read_pair", lambda *args, **options: fail())
    with pytest.raises(MemoryError, match=r"^of the host$"):
        pm.chamfer_distance(*BATCH)
    monkeypatch.delitem(sys.modules, "cupy")
    with pytest.raises(MemoryError, match=r"^of the host$"):
        pm.chamfer_distance(*BATCH)


def test_sizes_are_for_people():
    assert [size(n) for n in (17, 2048, 5 * 2**20, 3 * 2**40)] == ["17 B", "2 KiB", "5 MiB", "3,072.0 GiB"]


@pytest.mark.gpu
def test_a_real_device_says_what_was_wanted(cupy_device):
    huge = cupy_device.empty((1, 1), dtype=np.float32)
    wide = cupy_device.broadcast_to(huge, (2**31 - 2, 3))  # strides of 0: packing it wants 24 GiB
    pool = cupy_device.get_default_memory_pool()
    limit = pool.get_limit()
    try:
        pool.set_limit(size=2**30)
        with pytest.raises(MemoryError, match=r"chamfer_distance needs more memory .* GiB .* asked for"):
            pm.chamfer_distance(wide, wide)
    finally:
        pool.set_limit(size=limit)
