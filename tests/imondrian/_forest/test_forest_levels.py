"""A forest does not depend on the instruction set: every bit of columns, scores and reasons is the same."""

import numpy as np
import pytest

from imondrian import IsolationMondrianForest, _core
from imondrian.river import OnlineIsolationMondrianForest


@pytest.fixture
def on_every_level():
    """Call a function on each level that the machine has; return what it gave."""
    best = _core.limit_instruction_set(2)

    def call(function):
        return [function() for level in range(best + 1) if _core.limit_instruction_set(level) == level]

    yield call
    _core.limit_instruction_set(best)


def table(d, dtype, kind, n=300):
    x = np.random.default_rng(d).normal(size=(n, d)).astype(dtype)
    if kind == "missing":
        x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    elif kind == "ties":
        x = np.round(x)
        x[:, 0] = 1
    elif kind == "extreme":
        x *= dtype(10) ** np.random.default_rng(2).integers(-30, 30, x.shape).astype(dtype)
    return x


def same(runs):
    for run in runs[1:]:
        for one, two in zip(runs[0], run, strict=True):
            assert np.asarray(one).tobytes() == np.asarray(two).tobytes()


@pytest.mark.parametrize("kind", ["plain", "missing", "ties", "extreme"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 3, 8, 17, 40])
def test_batches(d, dtype, kind, on_every_level):
    x = table(d, dtype, kind)

    def run():
        out = []
        for score in ("depth", "insertion", "spacing"):
            forest = IsolationMondrianForest(20, score=score, random_state=1).fit(x)
            few, many = forest.score_samples(x[:9]), forest.score_samples(x)
            forest.partial_fit(x[:40] * 2)
            learnt = forest.score_samples(x)
            forest.forget(x[:40] * 2)
            out += [few, many, learnt, forest.score_samples(x), forest.explain(x[:5])]
        return out

    same(on_every_level(run))


@pytest.mark.parametrize("window", ["thinned", "reservoir", 64])
def test_streams(window, on_every_level):
    rows = [{i: float(v) for i, v in enumerate(row) if v == v} for row in table(5, np.float64, "missing", 400)]

    def run():
        model = OnlineIsolationMondrianForest(10, window=window, horizon=128, seed=4)
        out = []
        for row in rows:
            out.append(model.score_one(row))
            model.learn_one(row)
        return [np.array(out)]

    same(on_every_level(run))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_checks(dtype, on_every_level):
    for n in (1, 7, 33, 70_000):
        x = np.zeros((n, 1), dtype)
        x[:: max(1, n // 7)] = np.nan
        assert set(on_every_level(lambda x=x: _core.no_infinity(x, 1))) == {True}
        for place in (0, n // 2, n - 1):
            bad = x.copy()
            bad[place] = -np.inf
            assert set(on_every_level(lambda bad=bad: _core.no_infinity(bad, 1))) == {False}
