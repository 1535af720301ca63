"""Signals are heard within a native call, from every loop that can take long, and nothing is changed by it."""

import signal
import threading
from pathlib import Path

import numpy as np
import pytest

import pointmetrics as pm
from pointmetrics import _core

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer's signals")


class Stop(Exception):
    """What the handler raises; a KeyboardInterrupt would end the test run where nothing catches it."""


@pytest.fixture
def alarms():
    """Send a signal every few milliseconds; the third one heard at the same instruction raises.

    A native call that hears nothing gets one signal when it has ended, however many were sent meanwhile.
    """
    heard = []

    def hear(number, frame):
        heard.append((frame.f_code, frame.f_lasti))
        if len(heard) > 2 and heard[-1] == heard[-2] == heard[-3]:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Stop

    before = signal.signal(signal.SIGALRM, hear)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    yield heard
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def on_sphere(n, rng):
    points = rng.normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def mesh(rng):
    vertices = rng.random((300_000, 3))
    return vertices, np.arange(len(vertices)).reshape(-1, 3)


RNG = np.random.default_rng(0)
# Each takes seconds where it is not interrupted; data is made before the clock runs.
CALLS = {
    "a scan of all points": lambda: ((RNG.random((20_000, 40)), RNG.random((20_000, 40))), pm.chamfer_distance, {}),
    "a tree that rules nothing out": lambda: (
        (RNG.normal(size=(20_000, 3)) * 1e-9, on_sphere(100_000, RNG)),
        pm.nearest_neighbors,
        {},
    ),
    "the making of trees": lambda: (
        (RNG.random((4_000_000, 3)), RNG.random((4_000_000, 3))),
        pm.f_score,
        {"threshold": 0.1},
    ),
    "a prepared cloud": lambda: ((RNG.random((4_000_000, 3)),), pm.PreparedCloud, {}),
    "assignment": lambda: ((RNG.random((60_000, 3)), RNG.random((60_000, 3))), pm.earth_movers_distance, {}),
    "assignment of a batch": lambda: (
        (RNG.random((8, 20_000, 3)), RNG.random((8, 20_000, 3))),
        pm.earth_movers_distance,
        {},
    ),
    "assignment on a lattice": lambda: (
        tuple(RNG.integers(0, 3, (60_000, 3)).astype(float) for _ in range(2)),
        pm.earth_movers_distance,
        {},
    ),
    "transport": lambda: ((RNG.random((9_000, 3)), RNG.random((8_000, 3))), pm.earth_movers_distance, {}),
    "a matrix of sets": lambda: ((RNG.random((200, 2_048, 3)),), pm.sets.pairwise_distances, {}),
    "nearest clouds": lambda: (
        (RNG.random((150, 2_048, 3)), RNG.random((150, 2_048, 3))),
        pm.sets.evaluate,
        {"full_matrices": False},
    ),
    "errors to planes of points that are all equally near": lambda: (
        (RNG.normal(size=(20_000, 3)) * 1e-9, on_sphere(100_000, RNG)),
        pm.geometry_distortion,
        {"peak": 1, "normals": (np.ones((20_000, 3)), np.ones((100_000, 3)))},
    ),
    "disks": lambda: ((on_sphere(100_000, RNG),), pm.uniformity, {"percentages": [0.2, 0.3], "n_seeds": 3000}),
    "a surface": lambda: ((RNG.random((400_000, 3)), *mesh(RNG)), pm.point_to_mesh_distance, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_interrupted(name, n_threads, request):
    arguments, function, options = CALLS[name]()
    if function is not pm.PreparedCloud:
        options = {**options, "n_threads": n_threads}
    alarms = request.getfixturevalue("alarms")
    with pytest.raises(Stop):
        function(*arguments, **options)
    assert alarms[-1][0].co_filename.startswith(str(Path(pm.__file__).parent))


def test_the_same_call_works_after_an_interrupted_one(alarms):
    rng = np.random.default_rng(1)
    x, y = rng.random((20_000, 40)), rng.random((20_000, 40))
    x_before, prepared = x.copy(), pm.PreparedCloud(y[:500])
    with pytest.raises(Stop):
        pm.chamfer_distance(x, y)
    assert np.array_equal(x, x_before)
    found = pm.nearest_neighbors(x[:100], prepared)
    sq_dist = ((x[:100, None] - y[:500]) ** 2).sum(2)
    assert np.array_equal(found.x_to_y.index, sq_dist.argmin(1))


def test_calls_of_other_threads_can_be_stopped():
    """As the command line does, whose main thread is the one that hears of Ctrl-C."""
    rng, ended = np.random.default_rng(3), []
    x, y = rng.random((2, 5000, 3))

    def work():
        try:
            while True:
                pm.earth_movers_distance(x, y)
        except KeyboardInterrupt as error:
            ended.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    _core.stop_calls(True)
    try:
        for thread in threads:
            thread.join(60)
    finally:
        _core.stop_calls(False)
    assert len(ended) == 2
    pm.earth_movers_distance(x, y)


def test_what_a_matrix_had_before_the_interrupt_is_kept(tmp_path):
    rng = np.random.default_rng(2)
    clouds, path, calls = rng.random((12, 60, 3)), tmp_path / "matrix.npz", []

    def stop(done, total):
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pm.sets.pairwise_distances(clouds, checkpoint=path, block=10, progress=stop)
    seen = []
    matrix = pm.sets.pairwise_distances(clouds, checkpoint=path, block=10, progress=lambda *at: seen.append(at))
    assert seen[0] == (10, 66 - 30)
    assert np.array_equal(matrix, pm.sets.pairwise_distances(clouds))
