"""What ``score="default"`` stands for: by what a model is for, and as before in files from before."""

import json

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river")

from imondrian import IsolationMondrianForest
from imondrian._keyed.models import _SETTINGS
from imondrian.keyed import KeyedForest
from imondrian.river import AlarmFilter, OnlineIsolationMondrianForest

X = np.random.default_rng(0).normal(size=(600, 3)) * [1, 5, 0.1]


def online(score, n=400, **params):
    model = OnlineIsolationMondrianForest(6, score=score, seed=1, **params)
    model.learn_many(X[:n])
    return model


def test_streams_and_tables_have_defaults_of_their_own():
    assert np.array_equal(online("default").score_many(X), online("depth").score_many(X))
    assert not np.array_equal(online("default").score_many(X), online("spacing").score_many(X))
    batch = {
        score: IsolationMondrianForest(6, score=score, random_state=1).fit(X).score_samples(X)
        for score in ("default", "spacing", "depth")
    }
    assert np.array_equal(batch["default"], batch["spacing"]) and not np.array_equal(batch["default"], batch["depth"])
    kept = IsolationMondrianForest(6, window="thinned", random_state=1).partial_fit(X)
    assert np.array_equal(
        kept.score_samples(X),
        IsolationMondrianForest(6, window="thinned", score="spacing", random_state=1).partial_fit(X).score_samples(X),
    )


def test_info_says_what_it_stands_for():
    assert OnlineIsolationMondrianForest().info()["score"] == online("default").info()["score"] == "depth"
    assert online("spacing").info()["score"] == "spacing"


@pytest.mark.parametrize("score", ["default", "spacing", "depth", "insertion"])
def test_from_estimator_and_back_keep_the_score(score):
    estimator = IsolationMondrianForest(6, score=score, window="thinned", random_state=1).partial_fit(X)
    model = OnlineIsolationMondrianForest.from_estimator(estimator)
    assert np.array_equal(model.score_many(X), -estimator.score_samples(X))
    assert model.info()["score"] == model.score == ("spacing" if score == "default" else score)
    back = online(score).to_estimator()
    assert np.array_equal(-back.score_samples(X), online(score).score_many(X))


def test_a_file_from_before_keeps_its_meaning(tmp_path):
    model = online("spacing")
    expected = model.score_many(X)
    model.score = "default"  # as such a model was saved
    model.save(tmp_path / "model")
    loaded = OnlineIsolationMondrianForest.load(tmp_path / "model")
    assert loaded.score == loaded.info()["score"] == loaded.clone().score == "spacing"
    assert np.array_equal(loaded.score_many(X), expected)
    assert np.array_equal(loaded.score_learn_many(X[400:]), model.score_learn_many(X[400:]))
    assert AlarmFilter(loaded)._rule.usual is None
    loaded.save(tmp_path / "again")
    assert np.array_equal(OnlineIsolationMondrianForest.load(tmp_path / "again").score_many(X), loaded.score_many(X))


def test_a_file_of_today_keeps_its_meaning(tmp_path):
    model = online("default")
    model.save(tmp_path / "model")
    loaded = OnlineIsolationMondrianForest.load(tmp_path / "model")
    assert loaded.score == "default" and np.array_equal(loaded.score_many(X), model.score_many(X))


def test_a_folder_from_before_keeps_its_meaning(tmp_path):
    keys, later = ["a", "b"] * 150, ["a", "b"] * 50
    with (
        KeyedForest(tmp_path / "old", score="spacing", seed=3) as forest,
        KeyedForest(tmp_path / "twin", score="spacing", seed=3) as twin,
    ):
        assert np.array_equal(forest.score_learn_many(keys, X[:300]), twin.score_learn_many(keys, X[:300]))
        settings = {**forest._models.parameters, "score": "default", "seed": 3}
        forest._models.write_note(_SETTINGS, json.dumps(settings).encode())
    for again in (KeyedForest.open, KeyedForest, lambda path: KeyedForest(path, score="spacing")):
        with again(tmp_path / "old") as forest, KeyedForest.open(tmp_path / "twin") as twin:
            assert np.array_equal(forest.score_learn_many(later, X[300:400]), twin.score_learn_many(later, X[300:400]))
    with pytest.raises(ValueError, match="score must be 'spacing'"):
        KeyedForest(tmp_path / "old", score="depth")


def test_a_folder_of_today_says_its_score(tmp_path):
    with KeyedForest(tmp_path / "models", seed=3) as forest:
        expected = forest.score_learn_many(["a"] * 300, X[:300])
    with KeyedForest(score="depth", seed=3) as twin:
        assert np.array_equal(expected, twin.score_learn_many(["a"] * 300, X[:300]))
    for score in ("default", "depth"):
        KeyedForest(tmp_path / "models", score=score).close()
