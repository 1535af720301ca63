"""Ctrl-C in native calls: heard while they run, and the objects are as they were.

A signal is sent once work is under way. The bounds are generous: what is tested is that the call ends without having
done its work, not how fast the machine is.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from imondrian import IsolationMondrianForest, _core
from imondrian._forest.rwlock import gate_of
from imondrian._forest.undo import undo_of
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals between processes")
X = np.random.default_rng(0).normal(size=(3000, 6))

CHILD = """
import os, signal, sys, threading, time
import numpy as np
from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

def state(model):
    model.save(PATH)
    return open(PATH, "rb").read()

PATH = sys.argv[1]
JOBS = int(sys.argv[2])
X = np.random.default_rng(0).normal(size=(300_000, 20))
BATCH = IsolationMondrianForest(60, n_jobs=JOBS, random_state=0).fit(X[:9000])
FULL = IsolationMondrianForest(60, n_jobs=JOBS, random_state=0).partial_fit(X[:2000])
WINDOW = IsolationMondrianForest(60, window="thinned", contamination=0.1, n_jobs=JOBS, random_state=0)
WINDOW.partial_fit(X[:900])
STREAM = OnlineIsolationMondrianForest(60, n_jobs=JOBS, seed=0)
STREAM.learn_many(X[:900])
EMPTY = OnlineIsolationMondrianForest(60, n_jobs=JOBS, seed=0)
NEW = IsolationMondrianForest(60, n_jobs=JOBS, random_state=0)
GAPS = X.copy(); GAPS[::3, 5] = np.nan
WIDE = np.hstack([X, X[:, :1]])

def call(model, name, *arguments):
    before = state(model)
    beside = {key: value for key, value in vars(model).items() if key not in ("_gate", "_scored")}
    cpu = time.process_time()
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        getattr(model, name)(*arguments)
    except KeyboardInterrupt:
        pass
    else:
        raise SystemExit(f"{name} was not interrupted")
    spent = time.process_time() - cpu
    assert state(model) == before, f"{name} left another model"
    assert vars(model).keys() - {"_gate", "_scored"} == beside.keys()
    print(f"{name}: {spent:.2f} s", file=sys.stderr)
    return spent
"""


def run(code, path, jobs=1):
    """Run statements after CHILD; return its output."""
    ended = subprocess.run(
        [sys.executable, "-c", CHILD + code, str(path / "model"), str(jobs)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_long_calls_are_interrupted_and_undone(tmp_path, jobs):
    # Each of these would take the processor for ten seconds to some minutes.
    run(
        """
BIG = IsolationMondrianForest(60, max_samples=1.0, n_jobs=JOBS, random_state=0)
MANY = IsolationMondrianForest(20_000, n_jobs=JOBS, random_state=0)
spent = [call(*each) for each in [
    (BIG, "fit", X), (MANY, "fit", X), (BATCH, "partial_fit", X), (FULL, "partial_fit", X),
    (WINDOW, "partial_fit", X), (NEW, "partial_fit", X), (STREAM, "learn_many", X),
    (STREAM, "score_learn_many", X), (STREAM, "learn_many", WIDE),
    (EMPTY, "learn_many", X), (EMPTY, "learn_many", GAPS)]]
assert max(spent) < 8.0, spent
""",
        tmp_path,
        jobs,
    )


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_reading_calls_are_interrupted(tmp_path, jobs):
    run(
        """
X = np.vstack([X] * 5)
spent = [call(*each) for each in [
    (BATCH, "score_samples", X), (BATCH, "p_values", X), (BATCH, "explain", X), (STREAM, "score_many", X),
    (FULL, "score_samples", np.where(np.arange(20) < 3, np.nan, X))]]
DEEP = IsolationMondrianForest(300, score="depth", n_jobs=JOBS, random_state=0).fit(X[:9000])
spent.append(call(DEEP, "score_samples", X))
BATCH.set_params(score="insertion"); spent.append(call(BATCH, "score_samples", X))
assert max(spent) < 8.0, spent
""",
        tmp_path,
        jobs,
    )


@pytest.mark.slow
def test_forgetting_is_interrupted_and_undone(tmp_path):
    run(
        """
MANY = IsolationMondrianForest(60, scale=None, score="depth", random_state=0).partial_fit(X[:10_000])
call(MANY, "forget", X[:10_000])
""",
        tmp_path,
    )


def interrupted(model, name, *arguments, after_s=0.06):
    """Interrupt a call soon after its beginning."""

    def come():
        time.sleep(after_s)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=come)
    with pytest.raises(KeyboardInterrupt):
        thread.start()
        try:
            getattr(model, name)(*arguments)
        finally:
            thread.join()


@pytest.mark.parametrize(
    "make",
    [
        lambda: IsolationMondrianForest(200, random_state=0).partial_fit(X),
        lambda: IsolationMondrianForest(200, random_state=0, window=500).partial_fit(X),
        lambda: IsolationMondrianForest(200, random_state=0).fit(X),
        lambda: IsolationMondrianForest(200, random_state=0, score="depth", scale=None, window="reservoir").fit(X),
    ],
    ids=["unbounded", "window", "fitted", "reservoir"],
)
def test_a_model_goes_on_to_the_bit_after_an_interrupt(make):
    model, twin = make(), make()
    interrupted(model, "partial_fit", np.vstack([X] * 40))
    for each in (model, twin):
        each.partial_fit(X[:300])
        each.forest_.check()
    assert pickle.dumps(model.forest_.__getstate__()) == pickle.dumps(twin.forest_.__getstate__())
    np.testing.assert_array_equal(model.score_samples(X), twin.score_samples(X))
    np.testing.assert_array_equal(model.p_values(X), twin.p_values(X))


def test_what_undo_keeps_is_what_was_there():
    # Without signals: any error that leaves the context has the same effect.
    for make in (
        lambda: IsolationMondrianForest(100, random_state=0).partial_fit(X),
        lambda: IsolationMondrianForest(100, random_state=0).fit(X),
        lambda: IsolationMondrianForest(100, random_state=0, window=100).partial_fit(X),
    ):
        model = make()
        forest = model.forest_
        before = pickle.dumps(forest.__getstate__()), forest.n_updates, set(forest.columns)
        with pytest.raises(ZeroDivisionError), undo_of(forest, 100_000):
            forest.learn(np.vstack([X[:2000] + 1, X[:2000] - 1]))
            assert forest.forget(X[1990:2000] - 1).all()
            raise ZeroDivisionError
        assert (pickle.dumps(forest.__getstate__()), forest.n_updates, set(forest.columns)) == before
        forest.check()


@pytest.mark.parametrize("score", ["default", "depth"])
def test_rows_without_values_score_as_before_after_an_undone_change(score):
    gaps = X[:500].copy()
    gaps[:, ::2] = np.nan
    model = IsolationMondrianForest(100, random_state=0, window=100, score=score).partial_fit(X)
    before = model.score_samples(gaps)  # what is usual below nodes is known from here on
    with pytest.raises(ZeroDivisionError), undo_of(model.forest_, 100_000):
        model.forest_.learn(X[:2000] * 3 + 1)
        assert (model.score_samples(gaps) != before).any()
        raise ZeroDivisionError
    np.testing.assert_array_equal(model.score_samples(gaps), before)


def test_without_room_for_a_copy_the_change_is_made_all_the_same(monkeypatch):
    import imondrian._forest.undo as module

    class NoRoom(dict):
        def items(self):
            raise MemoryError

    model, twin = (IsolationMondrianForest(100, random_state=0, window=100).partial_fit(X) for _ in range(2))
    begin = module.Undo.__init__

    def without_room(self, forest):
        begin(self, forest)
        self._columns = NoRoom(self._columns)

    more = np.vstack([X] * 3)
    twin.partial_fit(more)
    monkeypatch.setattr(module.Undo, "__init__", without_room)
    model.partial_fit(more)
    assert pickle.dumps(model.forest_.__getstate__()) == pickle.dumps(twin.forest_.__getstate__())


def test_short_changes_and_other_threads_copy_nothing(monkeypatch):
    forest = IsolationMondrianForest(100, random_state=0).partial_fit(X).forest_
    assert undo_of(forest, 1) is None and undo_of(forest, 100) is None
    assert undo_of(forest, 100_000) is not None
    found = []
    thread = threading.Thread(target=lambda: found.append((undo_of(forest, 100_000), _core.hears_signals())))
    thread.start()
    thread.join()
    assert found == [(None, False)] and _core.hears_signals()
    # What is copied is a quarter of the change at most, counted in the bytes that a row's work amounts to.
    monkeypatch.setattr("imondrian._forest.undo._LONG", 5_000_000)  # below it the forest's size does not matter
    rows = forest.nbytes // (8 * 100 * (256 + 6))
    assert undo_of(forest, rows - 1) is None and undo_of(forest, rows + 1) is not None


def test_a_waiting_call_is_interrupted_and_others_go_on():
    model = IsolationMondrianForest(10, random_state=0).fit(X)
    gate = gate_of(model)
    for inside, wanted in (("updating", "score_samples"), ("updating", "fit"), ("reading", "fit")):
        held, release = threading.Event(), threading.Event()

        def hold(inside=inside, held=held, release=release):
            with getattr(gate, inside):
                held.set()
                release.wait()

        others = [threading.Thread(target=hold)]
        others[0].start()
        held.wait()
        timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        if inside == "reading":  # a reader behind the writer that gives up must not wait for it
            others.append(threading.Timer(0.15, lambda: model.score_samples(X[:5])))
            others[1].start()
        with pytest.raises(KeyboardInterrupt):
            getattr(model, wanted)(X)
        if inside == "reading":
            others[1].join(60)
            assert not others[1].is_alive()
        release.set()
        for thread in others:
            thread.join(60)
            assert not thread.is_alive()
        model.partial_fit(X[:3]), model.score_samples(X[:3])


@pytest.mark.parametrize("handler", ["score_samples", "partial_fit"])
def test_a_handler_that_uses_the_model_in_use_is_told_so(handler):
    model = IsolationMondrianForest(100, random_state=0).fit(X)
    before = pickle.dumps(model.forest_.__getstate__())
    previous = signal.signal(signal.SIGUSR1, lambda *_: getattr(model, handler)(X[:5]))
    try:
        timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(RuntimeError, match="in use by a call of this very thread"):
            while True:
                model.partial_fit(np.vstack([X] * 20))
                before = pickle.dumps(model.forest_.__getstate__())
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert pickle.dumps(model.forest_.__getstate__()) == before


def test_a_handler_that_returns_changes_nothing():
    heard = []
    previous = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        model = OnlineIsolationMondrianForest(50, seed=0)
        model.learn_many(X)
        scores = model.score_learn_many(np.vstack([X] * 5))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    twin = OnlineIsolationMondrianForest(50, seed=0)
    twin.learn_many(X)
    np.testing.assert_array_equal(scores, twin.score_learn_many(np.vstack([X] * 5)))
    assert heard


def test_keyed_forests_are_consistent_after_an_interrupt(tmp_path):
    with KeyedForest(tmp_path / "models", seed=0) as forest:
        forest.learn_many([0] * 500, X[:500])
        timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            while True:
                forest.learn_many([0] * 3000, X)
        forest.flush()
        forest.model(0)._model.forest.check()
    with KeyedForest.open(tmp_path / "models") as forest:
        forest.model(0)._model.forest.check()
        assert forest.score_one(0, dict(enumerate(X[0]))) > 0.0


def test_the_header_is_free_of_the_interpreter():
    header = Path(__file__).parents[3] / "include" / "nativekit" / "interrupt.hpp"
    assert "Python.h" not in header.read_text(encoding="utf-8")
