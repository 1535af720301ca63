"""Verdicts on points, and models that hear them."""

import numpy as np

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

RNG = np.random.default_rng(3)


X = RNG.normal(size=(400, 3))


SAID = np.vstack((X[:5], [[4.0, 0.0, 0.0], [4.1, 0.1, 0.0]]))


Y = [1, -1, 1, 1, -1, 1, -1]


NEW = np.vstack((RNG.normal(size=(60, 3)), SAID + 0.05))


SMALL = {"n_estimators": 15, "random_state": 0}


def fitted(**params):
    return IsolationMondrianForest(**{**SMALL, **params}).fit(X)


def stream(rows=X, **params):
    model = OnlineIsolationMondrianForest(**{"n_trees": 15, "seed": 0, **params})
    model.learn_many(rows)
    return model


def as_dict(row):
    return dict(enumerate(row.tolist()))
