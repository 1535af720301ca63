"""Reasons of rows that were learnt together are those of rows scored, explained and learnt one by one."""

import numpy as np
import pytest

from imondrian._forest.levels import words_of
from imondrian._models.features import Fields
from imondrian._models.replay import Replay
from imondrian._river.online_forest import OnlineForest, model_of

PARAMETERS = [
    {},
    {"score": "insertion", "window": 60},
    {"score": "spacing", "window": "decayed", "horizon": 500},
    {"window": "reservoir", "scale": None, "calibration": None},
    {"horizon": "5m", "time": "at", "score": "spacing"},
    {"horizon": "1m", "time": "at", "window": 100},
]
FIELDS = ("a", "b", "c", "d")


def rows(n, missing, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)) + np.linspace(0, 3, n)[:, None]
    X[::50] *= 6
    X[rng.random(X.shape) < missing] = np.nan
    X[0] = 0.0
    return X, np.cumsum(rng.choice([0.0, 1.0, 20.0], n))


NOMINAL = {"none": None, "one": np.array([False, False, True, False])}
LEVELS = ["low", "middle", "high"]


@pytest.mark.parametrize("nominal", NOMINAL)
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("params", PARAMETERS, ids=str)
def test_they_are_those_of_one_by_one(params, missing, nominal):
    X, at = rows(1200, missing)
    kinds, cells = NOMINAL[nominal], X.astype(object)
    if kinds is not None:
        cells[:, 2] = [None if value != value else LEVELS[int(abs(value)) % 3] for value in X[:, 2].tolist()]
        X[:, 2] = words_of(cells[:, 2])

    def point(i):
        return {name: cells[i, j] for j, name in enumerate(FIELDS) if X[i, j] == X[i, j]}

    together, singly = (model_of(OnlineForest(**{"n_trees": 20, "seed": 0, **params})) for _ in range(2))
    replay, told = Replay(together), 0
    for begin in range(0, len(X), 300):
        part = slice(begin, begin + 300)
        table = Fields.of(FIELDS, X[part], kinds, times=at[part])
        kept = replay.keep(table)
        assert kept == (begin > 0)  # features and the first scores come one at a time
        judged = together.judge_and_learn(*table)
        places = [0, 7, 8, *range(50, 300, 50), 299] if kept else []
        found = replay.reasons(table, lambda i, begin=begin: point(begin + i), judged, places, 3) if kept else {}
        for i in range(300):
            one = slice(begin + i, begin + i + 1)
            x = point(begin + i)
            assert singly.score_one(x) == judged.scores[i]
            if i in found:
                names, parts, why = singly.reasons(x, 3)
                assert (found[i][0], found[i][2]) == (names, why)
                np.testing.assert_allclose(found[i][1], parts, rtol=1e-9, atol=1e-12)
                told += 1
            singly.learn(FIELDS, X[one], kinds, times=at[one])
    assert told == 27
    together.forest.check()
    assert together.forest.columns["stream"].tolist() == singly.forest.columns["stream"].tolist()


def test_it_is_left_alone_where_it_does_not_pay_or_may_not_be():
    X, _ = rows(400, 0.0)

    def ready(**params):
        model = model_of(OnlineForest(20, seed=0, **params))
        model.learn(FIELDS, X)
        return Replay(model)

    def table(fields, n):
        return Fields.of(fields, np.zeros((n, len(fields))))

    assert ready().keep(table(FIELDS, 300))
    assert ready().keep(table(FIELDS[:2], 300))
    assert not ready().keep(table((*FIELDS, "new"), 300))
    assert not ready().keep(table(FIELDS, 2))
    assert not ready(max_bytes=10**8).keep(table(FIELDS, 300))
    assert not Replay(model_of(OnlineForest(20))).keep(table(FIELDS, 300))
