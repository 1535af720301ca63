"""Models that joblib maps from a file are models: they score, save, pickle and learn as the others."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

X = np.random.default_rng(0).normal(size=(9000, 4))
BATCH = {
    "split": lambda: IsolationMondrianForest(8, random_state=0).fit(X),
    "cross": lambda: IsolationMondrianForest(8, random_state=0).fit(X[:300]),
    "float32": lambda: IsolationMondrianForest(8, random_state=0).fit(X.astype(np.float32)),
    "unbounded": lambda: IsolationMondrianForest(8, random_state=0).partial_fit(X[:600]),
    "window": lambda: IsolationMondrianForest(8, window=64, random_state=0).fit(X[:600]),
    "random state": lambda: IsolationMondrianForest(8, random_state=np.random.RandomState(3)).fit(X[:600]),
    "imported": lambda: IsolationMondrianForest.from_isolation_forest(
        IsolationForest(n_estimators=8, random_state=0).fit(X), X[:50]
    ),
}


def mapped(model, folder):
    joblib.dump(model, folder / "model")
    return joblib.load(folder / "model", mmap_mode="r")


def saved(model, folder):
    model.save(folder / "saved")
    return (folder / "saved").read_bytes()


@pytest.mark.parametrize("make", BATCH.values(), ids=BATCH)
def test_estimators(make, tmp_path):
    model = make()
    found = mapped(model, tmp_path)
    for method in ("score_samples", "p_values", "explain"):
        np.testing.assert_array_equal(getattr(found, method)(X[:50]), getattr(model, method)(X[:50]))
    assert saved(found, tmp_path) == saved(model, tmp_path)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).score_samples(X), model.score_samples(X))
    if type(model.forest_).__name__ == "Forest":
        rows = X[:50].astype(model.forest_.dtype)
        for each in (model, found):
            each.partial_fit(rows).forget(rows[:5], missing_ok=True)
        found.forest_.check()
        np.testing.assert_array_equal(found.score_samples(X), model.score_samples(X))  # if with other row numbers
        assert saved(found, tmp_path)


def test_detectors(tmp_path):
    model = OnlineIsolationMondrianForest(8, seed=0)
    model.learn_many(X[:600])
    found = mapped(model, tmp_path)
    assert saved(found, tmp_path) == saved(model, tmp_path)
    for each in (model, found):
        each.learn_many(X[600:650])
        each.learn_one({0: 1.0})
        each.learn_one({9: 1.0})
        each.forget_one({9: 1.0})
    found._model.forest.check()
    np.testing.assert_array_equal(found.p_values_many(X[:50]), model.p_values_many(X[:50]))
    assert saved(found, tmp_path) == saved(model, tmp_path)
