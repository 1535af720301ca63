"""The mistakes that everybody makes once: each message names the argument or the column, and the way out."""

import inspect

import numpy as np
import pytest
from sklearn.base import clone

from imondrian import IsolationMondrianForest
from imondrian.keyed import KeyedForest

X = np.random.default_rng(0).normal(size=(40, 3))


def frame(**more):
    pd = pytest.importorskip("pandas", reason="needs pandas")
    return pd.DataFrame({"heat": X[:, 0], **more})


def dates():
    pd = pytest.importorskip("pandas", reason="needs pandas")
    return pd.date_range("2020", periods=40)


def forest():
    return IsolationMondrianForest(4, random_state=0)


MISTAKES = {
    "text that was refused": (
        lambda: IsolationMondrianForest(4, categorical_features=None).fit(frame(name=["a"] * 40)),
        r"X\['name'\] must be numbers, got str: leave such",
    ),
    "dates in a frame": (lambda: forest().fit(frame(when=dates())), r"X\['when'\] must be numbers, got datetime64"),
    "both in a frame": (
        lambda: IsolationMondrianForest(categorical_features=None).fit(frame(name=["a"] * 40, when=dates())),
        r"^X\['name'\], X\['when'\] must be numbers, got str, datetime64\[\w+\]: leave such",
    ),
    "a name of river's": (
        lambda: IsolationMondrianForest(n_trees=5),
        "has no parameter 'n_trees': .* n_estimators here",
    ),
    "its seed": (lambda: IsolationMondrianForest(seed=5), "has no parameter 'seed': it is called random_state here"),
    "a typo": (lambda: IsolationMondrianForest(max_sample=5), "no parameter 'max_sample': did you mean max_samples"),
    "nothing like it": (
        lambda: IsolationMondrianForest(zzz=5),
        "no parameter 'zzz'; there are n_estimators, max_samples",
    ),
    "of keys": (lambda: KeyedForest(n_estimators=5), "KeyedForest has no parameter 'n_estimators': .* n_trees here"),
    "a path": (lambda: forest().fit("data.csv"), r"X must be a table .* got the str 'data.csv': read the file"),
    "dicts": (
        lambda: forest().fit([{"a": 1.0}] * 3),
        r"X must be a table, got a sequence of dicts: pass pandas.DataFrame",
    ),
    "a dict": (lambda: forest().fit({"a": [1.0, 2.0]}), r"X must be a table .* got a dict: pandas.DataFrame\(X\)"),
    "one row": (lambda: forest().fit(X).score_samples(X[0]), r"Expected 2D array, got 1D .*reshape\(1, -1\)"),
    "infinity": (
        lambda: forest().fit(np.where(X > 2, np.inf, X)),
        r"infinity .* The first is X\[\d+, \d\] inf: make it NaN",
    ),
    "of a frame": (
        lambda: forest().fit(frame(load=np.where(np.arange(40) == 7, -np.inf, 1.0))),
        r"infinity .* The first is X\['load'\], row 7, -inf: make it NaN",
    ),
    "a typo of a score": (
        lambda: IsolationMondrianForest(score="dept").fit(X),
        r"score must be one of .*'depth'.* 'dept'",
    ),
    "a share of 5": (lambda: IsolationMondrianForest(contamination=5).fit(X), r"contamination must be .* got 5"),
    "other columns": (lambda: forest().fit(X).predict(X[:, :2]), "X has 2 features, but .* is expecting 3"),
    "not fitted": (lambda: forest().predict(X), "not fitted yet. Call 'fit'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_message_names_the_way_out(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        call()


RIVER = {
    "scikit-learn's name": (
        lambda r: r.OnlineIsolationMondrianForest(n_estimators=5),
        "'n_estimators': .* n_trees here",
    ),
    "an array": (
        lambda r: r.OnlineIsolationMondrianForest().learn_one(X[0]),
        r"got ndarray; dict\(enumerate\(x\)\) makes",
    ),
    "a list": (
        lambda r: r.OnlineIsolationMondrianForest().learn_one({"a": 1.0, "b": []}),
        r"x\['b'\] must be a number",
    ),
    "two columns of dates": (
        lambda r: r.OnlineIsolationMondrianForest().learn_many(frame(since=dates(), when=dates())),
        r"^X\['since'\], X\['when'\] must be numbers, got datetime64\[\w+\], datetime64\[\w+\]: leave such",
    ),
    "a table's forest": (
        lambda r: r.AlarmFilter(forest()),
        "anomaly_detector must score and learn one point at a time",
    ),
    "a point": (lambda r: r.AlarmFilter(r.OnlineIsolationMondrianForest()).classify({}), "score must be .* got dict"),
}


@pytest.mark.parametrize("mistake", RIVER)
def test_the_message_of_streams_names_the_way_out(mistake):
    river = pytest.importorskip("imondrian.river", reason="needs river")
    call, message = RIVER[mistake]
    with pytest.raises(TypeError, match=message):
        call(river)


def test_signatures_and_clones_are_as_before():
    assert list(inspect.signature(IsolationMondrianForest).parameters)[:2] == ["n_estimators", "max_samples"]
    model = IsolationMondrianForest(7, score="depth")
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(TypeError, match="n_estimators must be an int, got '7'") as caught:
        IsolationMondrianForest("7").fit(X)
    assert caught.value.__cause__ is None
