"""Threads that share a model: scoring beside scoring, learning alone; never a wrong score or a damaged forest."""

import copy
import pickle
import sys
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imondrian import IsolationMondrianForest
from imondrian._core import Gate
from imondrian.river import OnlineIsolationMondrianForest

X = np.random.default_rng(0).normal(size=(600, 4))


@pytest.fixture(autouse=True)
def switch_often():
    """Let threads meet in the middle of everything."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*calls, timeout=60):
    """Run calls in threads of their own, begun at once; raise what the first that failed raised."""
    start, errors, results = threading.Barrier(len(calls)), [], [None] * len(calls)

    def run(i, call):
        start.wait()
        try:
            results[i] = call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        assert not thread.is_alive(), "threads wait for each other"
    if errors:
        raise errors[0]
    return results


# -- the gate ------------------------------------------------------------------------------------------


def test_readers_share_and_writers_are_alone():
    gate, inside, seen = Gate(), [0, 0], set()

    def work(side, place):
        for _ in range(300):
            with side:
                inside[place] += 1
                seen.add(tuple(inside))
                time.sleep(0)
                assert inside == [0, 1] if place else inside[1] == 0
                inside[place] -= 1

    together(*[lambda: work(gate.reading, 0)] * 3, *[lambda: work(gate.updating, 1)] * 3)
    assert (0, 1) in seen and max(readers for readers, _ in seen) > 1


@pytest.mark.parametrize("busy", ["reading", "updating"])
def test_nobody_starves(busy):
    """While threads on one side never pause, somebody on the other side still gets in, again and again."""
    gate, done = Gate(), threading.Event()
    other = gate.updating if busy == "reading" else gate.reading

    def crowd():
        while not done.is_set():
            with getattr(gate, busy):
                time.sleep(0.0005)

    def guest():
        for _ in range(20):
            with other:
                pass
        done.set()

    together(*[crowd] * 3, guest)


def test_an_error_inside_opens_the_gate():
    gate = Gate()
    for side in (gate.reading, gate.updating, gate.reading):
        with pytest.raises(KeyError), side:
            raise KeyError
    with gate.updating:
        pass


def test_copies_of_a_gate_are_open():
    gate = Gate()
    with gate.updating:
        for fresh in (copy.copy(gate), copy.deepcopy(gate), pickle.loads(pickle.dumps(gate))):
            with fresh.updating:
                pass


# -- models --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [None, 50, "thinned"])
@pytest.mark.parametrize("score", ["depth", "insertion"])
def test_scores_of_many_threads_are_those_of_one(window, score, tmp_path):
    """Also right after loading, when boxes are still to be filled, by whichever thread comes first."""
    path = tmp_path / "forest.imf"
    model = IsolationMondrianForest(10, window=window, max_samples=64, score=score, random_state=0).partial_fit(X)
    expected = model.score_samples(X)
    model.save(path)
    for _ in range(10):
        loaded = IsolationMondrianForest.load(path)
        for scores in together(*[lambda model=loaded: model.score_samples(X)] * 4):
            assert_array_equal(scores, expected)
        loaded.forest_.check()


def test_updates_of_many_threads_are_one_after_the_other():
    """Each thread learns points of its own; afterwards every tree holds every one of them once."""
    model = IsolationMondrianForest(6, random_state=0)
    parts = np.split(X, 6)
    together(*[lambda part=part: [model.partial_fit(rows) for rows in np.array_split(part, 20)] for part in parts])
    model.forest_.check()
    assert model.forest_.mass == len(X) and (model.forest_.n_leaves == len(X)).all()
    stored, mass = model.forest_.stored_points()
    assert_array_equal(np.unique(stored, axis=0), np.unique(X, axis=0))
    assert (mass == 6).all()


@pytest.mark.parametrize("window", [40, "reservoir", "thinned", None])
@pytest.mark.parametrize("score", ["depth", "insertion"])
def test_every_score_is_of_a_moment_between_updates(window, score):
    """What a thread sees while another learns is the score after some number of its points, no mixture."""

    def fresh():
        return OnlineIsolationMondrianForest(5, window=window, horizon=300, score=score, seed=1)

    points = [dict(enumerate(row)) for row in X[:250].tolist()]
    probe, alone = {0: 1.0, 1: 0.5, 2: -0.5, 3: 0.0}, fresh()
    moments = [alone.score_one(probe)]
    for x in points:
        alone.learn_one(x)
        moments.append(alone.score_one(probe))
    model, learnt = fresh(), threading.Event()

    def learn():
        for x in points:
            model.learn_one(x)
        learnt.set()

    def watch():
        seen = []
        while not learnt.is_set():
            seen.append(model.score_one(probe))
        return seen

    _, *watched = together(learn, watch, watch)
    place, possible = {}, set(moments)
    for i, value in enumerate(moments):
        place.setdefault(value, i)
    for seen in watched:
        assert set(seen) <= possible
    assert model.score_one(probe) == moments[-1]
    model._model.forest.check()


def test_everything_at_once(tmp_path):
    """Learning, widening, scoring, saving and converting, from several threads."""
    model = OnlineIsolationMondrianForest(4, window=30, seed=0)
    rows = X[:150].tolist()

    def learn(keys):
        for row in rows:
            model.learn_one(dict(zip(keys, row, strict=False)))

    def score():
        for row in rows:
            assert 0.0 <= model.score_one(dict(zip("abcd", row, strict=True))) <= 1.0
            assert np.isfinite(model.score_many(X[:5])).all()

    def keep():
        for _ in range(25):
            model.save(tmp_path / "online.imf")
            OnlineIsolationMondrianForest.load(tmp_path / "online.imf")._model.forest.check()
            model.to_estimator().forest_.check()

    model.learn_one({"a": 0.0})
    together(lambda: learn("ab"), lambda: learn("abcd"), lambda: learn("dcef"), score, keep)
    model._model.forest.check()
    assert sorted(model._model.keys) == list("abcdef")
    assert model._model.forest.n_seen == 451 and model._model.forest.mass == 30


def test_fitting_anew_beside_scoring():
    model = IsolationMondrianForest(5, max_samples=32, random_state=0).fit(X)
    expected = model.score_samples(X[:50])

    def fit():
        for _ in range(30):
            model.fit(X)

    def score():
        for _ in range(60):
            assert_array_equal(model.score_samples(X[:50]), expected)

    def learn():  # what is learnt between two fits is forgotten by the next: scores would change, so learn nothing new
        for _ in range(30):
            model.forest_.check()

    together(fit, score, score, learn)


def test_a_gate_is_no_part_of_what_is_pickled_or_compared():
    model = OnlineIsolationMondrianForest(3, seed=0)
    model.learn_one({"a": 1.0})
    before = pickle.dumps(model)
    model.score_one({"a": 1.0})
    assert pickle.dumps(model) == before
    with model._gate.updating:
        again = pickle.loads(pickle.dumps(model))
        again.learn_one({"a": 2.0})
    fitted = IsolationMondrianForest(3, random_state=0).fit(X)
    assert copy.deepcopy(fitted).partial_fit(X).forest_.mass == 256 + len(X)
