"""What a user writes, checked by ``mypy --strict`` against the installed packages (tests/test_typing.py); never run."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import imondrian
import pointmetrics as pm
from imondrian import Info, IsolationMondrianForest, Shingle
from imondrian.river import AlarmFilter, DriftMonitor, OnlineIsolationMondrianForest
from imondrian.river import Shingle as OnlineShingle
from pointmetrics import ChamferResult, Comparison, EmdResult, PreparedCloud

assert_type(imondrian.__version__, str)
assert_type(imondrian.info(), Info)
assert_type(imondrian.info()["imondrian"], str)


def batch(X: npt.NDArray[np.float64], folder: Path) -> npt.NDArray[np.bool_]:
    forest = IsolationMondrianForest(
        200, max_samples=0.5, score="depth", contamination=0.01, n_jobs=-1, random_state=np.random.RandomState(0)
    )
    forest = forest.fit(X).partial_fit(X[:10], sample_weight=np.ones(10)).forget(X[:2], missing_ok=True)
    assert_type(forest, IsolationMondrianForest)
    assert_type(forest.score_samples(X), npt.NDArray[np.float64])
    assert_type(forest.decision_function(X), npt.NDArray[np.float64])
    assert_type(forest.p_values(X), npt.NDArray[np.float64])
    assert_type(forest.predict(X), npt.NDArray[np.int64])
    assert_type(forest.explain(X, by_direction=True), npt.NDArray[np.float64])
    assert_type(forest.offset_, float)
    assert_type(forest.expected_score_, float)
    assert_type(forest.calibration_, str)
    forest.save(folder / "forest.imf")
    again = IsolationMondrianForest.load(folder / "forest.imf", mmap=True)
    assert_type(again, IsolationMondrianForest)
    assert_type(again.info(), dict[str, Any])
    assert_type(Shingle(8).fit(X[:, 0]).window_ends(len(X)), npt.NDArray[np.int64])
    windowed = IsolationMondrianForest(window="thinned", max_bytes=10_000_000, random_state=0)
    assert_type(windowed.fit(X).reject(X, fdr=0.05), npt.NDArray[np.bool_])
    return windowed.reject(X)


def stream(rows: list[dict[str, float]]) -> float:
    model = OnlineIsolationMondrianForest(n_trees=50, window=256, seed=0)
    alarm = AlarmFilter(model, rate=0.01)
    monitor = DriftMonitor(model)
    for x in rows:
        model.learn_one(OnlineShingle(4).transform_one(x))
        score: float = alarm.score_one(x)
        assert_type(alarm.classify(score), bool)
        assert_type(monitor.drift_detected, bool)
    assert_type(model.score_one(rows[0]), float)
    assert_type(model.p_value_one(rows[0]), float)
    assert_type(model.explain_one(rows[0]), dict[Any, float])
    assert_type(model.score_many(np.zeros((3, 2))), npt.NDArray[np.float64])
    estimator = model.to_estimator()
    assert_type(estimator, IsolationMondrianForest)
    assert_type(OnlineIsolationMondrianForest.from_estimator(estimator), OnlineIsolationMondrianForest)
    return model.score_one(rows[-1])


def clouds(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> float:
    details = pm.chamfer_distance(x, y, convention="pcn", return_details=True)
    assert_type(details, ChamferResult)
    value, (grad_x, grad_y) = pm.chamfer_distance(x, y, return_grad=True)
    proof = pm.earth_movers_distance(x, y, tol=1e-3, return_details=True)
    assert_type(proof, EmdResult)
    _, (_, _) = pm.earth_movers_distance(x, y, return_grad=True)
    assert_type(pm.compare(x, PreparedCloud(y), emd=True), Comparison)
    assert_type(pm.nearest_neighbors(x, y), pm.Neighbors)
    assert_type(pm.f_score(x, y, threshold=0.1, return_details=True), pm.FScore)
    for name, convention in pm.conventions("chamfer_distance").items():
        assert_type(name, str)
        assert_type(convention, pm.Convention)
    for definition in pm.conventions().values():
        assert_type(definition, pm.Convention | pm.Definition)
        assert_type(definition.formula, str)
    distance: float = pm.hausdorff_distance(x, y, quantile=0.95)
    return distance + float(value) + float(np.sum(grad_x - grad_y)) + float(proof.upper)
