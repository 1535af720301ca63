"""The recipe for seasons: it finds what it is for, looks at nothing that is to come, and bears times as they are."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")

from sklearn.metrics import average_precision_score

from imondrian.river import OnlineIsolationMondrianForest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "docs" / "guide" / "seasons.py"
TAXI = "nab_realKnownCause_nyc_taxi.npz"


def load():
    if not RECIPE.exists():
        pytest.skip(f"needs {RECIPE.name}, which only the repository has")
    spec = importlib.util.spec_from_file_location("seasons", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def streams():
    named = os.environ.get("IMONDRIAN_DATA")
    for folder in (Path(named), Path(named).parent / "streams", Path(named) / "streams") if named else ():
        if (folder / TAXI).exists():
            return folder
    return ROOT.parent / "shared" / "data" / "streams"


def precision(rows, y, warm):
    """Average precision of the scores, each given before its row was learnt."""
    keys = sorted({key for row in rows for key in row})
    X = np.array([[row.get(key, np.nan) for key in keys] for row in rows])
    scores = OnlineIsolationMondrianForest(50, seed=0).score_learn_many(X)
    return average_precision_score(y[warm:], scores[warm:])


def test_a_day_that_is_wrong_is_found():
    assert load().main() >= 9


@pytest.mark.parametrize("seed", [0, 1])
def test_planted_days_that_are_wrong_are_found(seed):
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * 7 * 12)
    usual = np.sin(2 * np.pi * hours / 24) * np.where(hours // 24 % 7 < 5, 3.0, 1.0)
    wrong = np.isin(hours // 24, rng.choice(np.arange(35, 84), 4, replace=False))
    values = np.where(wrong, -usual, usual) + rng.normal(scale=0.3, size=len(hours))
    plain = [{"load": value} for value in values.tolist()]
    features = load().Seasons(24 * 7, 24, 0.5)
    rich = [features(hour, x) for hour, x in zip(hours.tolist(), plain, strict=True)]
    assert precision(rich, wrong, 24 * 35) > 0.6 > 0.3 > precision(plain, wrong, 24 * 35)


def test_taxis_of_new_york():
    path = streams() / TAXI
    if not path.exists():
        pytest.skip(f"needs {TAXI}: set IMONDRIAN_DATA")
    with np.load(path) as arrays:
        values, y = arrays["X"].ravel(), arrays["y"].ravel()
    plain = [{"rides": float(value)} for value in values]
    features = load().Seasons(48 * 7, 48, 0.5)  # half hours
    rich = [features(i, x) for i, x in enumerate(plain)]
    assert precision(rich, y, 48 * 21) > 2 * precision(plain, y, 48 * 21)


def test_nothing_leaks_from_the_future():
    rng = np.random.default_rng(0)
    values = rng.normal(size=200)
    changed = values.copy()
    changed[100:] += 5.0
    one, other = load().Seasons(20, 10, 0.5), load().Seasons(20, 10, 0.5)
    before = [one(i, {"a": value}) for i, value in enumerate(values)]
    after = [other(i, {"a": value}) for i, value in enumerate(changed)]
    assert before[:100] == after[:100]
    assert before[100] != after[100]


def test_times_may_be_irregular_late_and_repeated():
    features = load().Seasons(10.0, 10.0, 0.4, seasons=2)
    assert "a less usual" not in features(0.0, {"a": 1.0})
    features(1.2, {"a": 7.0})
    assert features(10.3, {"a": 5.0})["a less usual"] == 4.0  # 0.0 is .3 from a season ago
    assert "a less usual" not in features(10.6, {"a": 5.0})  # .6 and .6 away
    assert features(10.3, {"a": 99.0}) is None
    assert features(5.0, {"a": 2.0}) is not None  # late
    assert features(15.1, {"a": 3.0})["a less usual"] == 1.0  # and known
    assert features(20.2, {"a": 10.0, "b": 1.0})["a less usual"] == 10.0 - (5.0 + 1.0) / 2
    noon = features(102.5, {"a": 0.0})
    assert (round(noon["day cos"], 12), round(noon["day sin"], 12)) == (0.0, 1.0)


def test_memory_is_bounded():
    features = load().Seasons(10, 10, 0, seasons=2)
    for i in range(1000):
        features(i, {"a": 0.0})
    assert len(features._times) == len(features._values) == 21
    few = load().Seasons(1e9, 10, 0, keep=50)
    for i in range(1000):
        few(i, {"a": 0.0})
    assert len(few._times) == len(few._values) == 50
