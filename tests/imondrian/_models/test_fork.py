"""Forked children: models go on in them, and what they cannot do they say instead of waiting for ever."""

import os
import pickle
import select
import signal
import threading
import time
import traceback

import numpy as np
import pytest

from imondrian import IsolationMondrianForest
from imondrian._forest.rwlock import gate_of
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # Python 3.12 warns of threads: they are the point
]
X = np.random.default_rng(0).normal(size=(2000, 4))
PATIENCE_S = 60  # far beyond what any of these takes; without the mend they wait for ever


def in_child(work):
    """Return what ``work()`` returns in a forked child, or the text of its exception."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = work()
        except BaseException as error:
            found = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        os.write(write, pickle.dumps(found))
        os._exit(0)
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], PATIENCE_S)
        if not ready:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the child waits for ever")
        return pickle.loads(os.read(read, 1 << 20))
    finally:
        os.close(read)
        os.waitpid(child, 0)


class Busy:
    """A thread that does something again and again until the context ends."""

    def __init__(self, work):
        self._work, self._end, self._begun = work, threading.Event(), threading.Event()

    def _run(self):
        while not self._end.is_set():
            self._begun.set()
            self._work()

    def __enter__(self):
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._begun.wait(PATIENCE_S)

    def __exit__(self, *error):
        self._end.set()
        self._thread.join()


def batch():
    return IsolationMondrianForest(20, random_state=0).fit(X)


def stream():
    model = OnlineIsolationMondrianForest(20, seed=0)
    model.learn_many(X)
    return model


MODELS = [(batch, "score_samples", "partial_fit"), (stream, "score_many", "learn_many")]


@pytest.mark.parametrize(("make", "score", "learn"), MODELS, ids=["batch", "stream"])
def test_a_child_learns_though_a_thread_scored_at_the_fork(make, score, learn):
    model, alone = make(), make()
    getattr(alone, learn)(X[:50])
    expected = getattr(alone, score)(X[:20])

    def child():
        getattr(model, learn)(X[:50])
        return getattr(model, score)(X[:20])

    with Busy(lambda: getattr(model, score)(X)):
        for _ in range(10):
            np.testing.assert_array_equal(in_child(child), expected)


@pytest.mark.parametrize(("make", "score", "learn"), MODELS, ids=["batch", "stream"])
def test_a_child_forked_during_an_update_works_or_says_so(make, score, learn):
    model = make()
    outcomes = set()
    with Busy(lambda: getattr(model, learn)(X[:200])):
        for _ in range(20):
            found = in_child(lambda: (getattr(model, score)(X[:5]), getattr(model, learn)(X[:5]))[0])
            outcomes.add(found.partition(".")[0] if isinstance(found, str) else "worked")
    assert outcomes <= {
        "worked",
        "RuntimeError: this process was forked while another thread was changing the model: "
        "what is here is half changed",
    }
    assert getattr(model, score)(X[:5]).shape == (5,)


@pytest.mark.parametrize("inside", ["reading", "updating"])
@pytest.mark.parametrize("waits", [False, True], ids=["alone", "with another waiting"])
def test_a_gate_after_a_fork(inside, waits):
    # Exactly the states that threads can be caught in, held still.
    gate = gate_of(batch())
    held, release = threading.Event(), threading.Event()

    def hold():
        with getattr(gate, inside):
            held.set()
            release.wait()

    def wait():
        with gate.updating:
            pass

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    held.wait()
    if waits:
        threads.append(threading.Thread(target=wait))
        threads[1].start()
        time.sleep(0.2)  # let it begin to wait; if it has not, less is tested

    def child():
        with gate.reading:
            pass
        with gate.updating:
            pass
        return "in"

    found = in_child(child)
    release.set()
    for thread in threads:
        thread.join()
    if inside == "reading":
        assert found == "in"
    else:
        assert found.startswith("RuntimeError: this process was forked while another thread was changing the model")
    with gate.updating:
        pass


def test_the_thread_that_forks_keeps_what_it_holds():
    gate = gate_of(batch())

    def child():
        return "in"

    with gate.updating:
        assert in_child(child) == "in"
    read, write = os.pipe()
    with gate.updating:
        pid = os.fork()
    if pid == 0:
        with gate.reading:
            os.write(write, b"in")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 2) == b"in"
    os.close(read), os.close(write)


def test_a_grandchild_learns_too():
    model = stream()

    def child():
        return in_child(lambda: (model.learn_many(X[:5]), "learnt")[1])

    with Busy(lambda: model.score_many(X)):
        assert in_child(child) == "learnt"


@pytest.mark.parametrize("temporary", [False, True])
def test_a_keyed_forest_stays_with_the_parent(tmp_path, temporary):
    with KeyedForest(None if temporary else tmp_path / "models", max_models=2, seed=0) as forest:
        for i in range(100):
            forest.learn_one(i % 5, {"a": float(i)})
        calls = [
            lambda: forest.learn_one(0, {"a": 1.0}),
            lambda: forest.score_one(0, {"a": 1.0}),
            forest.flush,
            forest.info,
            lambda: list(forest.keys()),
            lambda: forest.model(0),
            lambda: 0 in forest,
        ]
        for call in calls:
            assert in_child(call).startswith("RuntimeError: this KeyedForest was opened before the process was forked")
        assert in_child(forest.close) is None
        for i in range(100):
            forest.learn_one(i % 5, {"a": float(i)})
        assert len(forest) == 5 and forest.path.is_dir()
        forest.flush()
        assert forest.score_one(0, {"a": 1.0}) >= 0.0


def test_the_end_of_a_child_harms_no_store(tmp_path):
    # In an interpreter of its own: the child runs through the whole end of Python, and the parent goes on.
    import subprocess
    import sys

    code = f"""
import os
from imondrian.keyed import KeyedForest
for path in ({str(tmp_path / "models")!r}, None):
    forest = KeyedForest(path, max_models=2, seed=0)
    for i in range(400):
        forest.learn_one(i % 20, {{"a": float(i)}})
    forest.flush()
    for i in range(400):
        forest.learn_one(i % 20, {{"a": float(i)}})
    if (pid := os.fork()) == 0:
        raise SystemExit(0)
    os.waitpid(pid, 0)
    for i in range(400):
        forest.learn_one(i % 20, {{"a": float(i)}})
    assert forest.path.is_dir()
    forest.close()
with KeyedForest.open({str(tmp_path / "models")!r}) as forest:
    print(len(forest), forest.model(3).info()["points_streamed"])
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300)
    assert ended.stdout.split() == ["20", "60"], ended.stderr
