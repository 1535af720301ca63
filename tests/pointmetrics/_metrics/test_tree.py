"""Queries of scipy's tree: the same neighbours, by threads that end with the call."""

import signal
import threading

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pointmetrics._metrics.tree import query

RNG = np.random.default_rng(0)


class Watched:
    """A tree whose queries take a while, and that knows how many run."""

    def __init__(self, fault=None):
        self.fault, self.running, self.begun = fault, 0, threading.Event()

    def query(self, points, k):
        self.running += 1
        self.begun.set()
        threading.Event().wait(0.02)
        self.running -= 1
        if self.fault is not None:
            raise self.fault
        return np.zeros((len(points), len(k))), np.zeros((len(points), len(k)), dtype=int)


@pytest.mark.parametrize("n", [1, 5, 4096, 4097, 10_000])
@pytest.mark.parametrize("n_threads", [1, 2, 7])
@pytest.mark.parametrize("ranks", [[1], [2], np.arange(1, 5)])
def test_neighbours_are_those_of_the_tree(n, n_threads, ranks):
    points = RNG.random((n, 3))
    tree = cKDTree(RNG.random((50, 3)))
    for found, expected in zip(query(tree, points, ranks, n_threads), tree.query(points, k=ranks), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_errors_of_threads_are_raised(n_threads):
    tree = Watched(MemoryError("no room"))
    with pytest.raises(MemoryError, match="no room"):
        query(tree, np.zeros((50_000, 3)), [1], n_threads)
    assert tree.running == 0


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
@pytest.mark.parametrize("n_threads", [1, 3])
def test_no_thread_outlives_an_interrupted_query(n_threads):
    tree, main = Watched(), threading.get_ident()

    def interrupt():
        tree.begun.wait(60)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        query(tree, np.zeros((4_000_000, 3)), [1], n_threads)
    assert tree.running == 0
