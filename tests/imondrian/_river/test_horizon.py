"""Windows by age: what trees hold, against an obvious clock and window; the laws of samples; times of all kinds."""

import pickle
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

from imondrian import IsolationMondrianForest
from imondrian._forest.forest import RESERVOIR, SLIDING, Forest, seed_states
from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

HOUR = 3600.0
RNG = np.random.default_rng(0)
KEPT = 32  # points that stay however old they are
WINDOWS = ["thinned", "decayed", 48]


class SlowClock:
    """How far a model's clock has run, in seconds: with the latest stamp, and never back."""

    def __init__(self, horizon):
        self.horizon, self.latest, self.now, self.late = horizon, None, 0.0, 0

    def at(self, stamp):
        if self.latest is None or stamp >= self.latest:
            self.now += 0.0 if self.latest is None else stamp - self.latest
            self.latest, self.late = stamp, 0
        elif self.latest - stamp <= self.horizon:
            self.late = 0
        else:
            self.late += 1
            if self.late == 32:
                self.latest, self.late = stamp, 0
        return self.now


class SlowWindow:
    """The last points, none of them older than the horizon unless there are too few."""

    def __init__(self, size, horizon):
        self.clock, self.size, self.horizon, self.members = SlowClock(horizon), size, horizon, []

    def learn(self, value, stamp):
        now = self.clock.at(stamp)
        self.members = [*self.members, (now, value)][-self.size :]
        while len(self.members) > min(KEPT, self.size) and now - self.members[0][0] > self.horizon:
            self.members.pop(0)

    @property
    def values(self):
        return sorted(value for _, value in self.members)


def held(forest, t):
    """The values of the first feature that tree t holds."""
    columns = forest.columns
    leaves = columns["member_leaf"][t]
    return sorted(columns["points"][columns["leaf_point"][t, leaves[leaves >= 0] & ~(1 << 30)], 0].tolist())


def steady(n):
    return np.arange(n) * 16.0


def irregular(n):
    """Bursts, equal times, gaps longer than the horizon."""
    steps = RNG.choice([0.0, 1.0, 64.0, 512.0], n, p=[0.4, 0.3, 0.2, 0.1])
    steps[[n // 3, n // 2]] = 3 * HOUR
    return np.cumsum(steps)


def late(n):
    """Some within the horizon, some beyond."""
    return irregular(n) - RNG.choice([0.0, 128.0, 2 * HOUR], n, p=[0.7, 0.2, 0.1])


def set_back(n):
    """A clock that ran wrong for a single record, and one that was set back for good."""
    times = steady(n)
    times[n // 4] += 1e6
    times[n // 2 :] -= 10 * HOUR
    return times


TIMES = [steady, irregular, late, set_back]


@pytest.mark.parametrize("times", TIMES, ids=lambda times: times.__name__)
@pytest.mark.parametrize("size", [1, 20, 100])
def test_an_int_keeps_the_last_points_that_are_young_enough(times, size):
    model = OnlineIsolationMondrianForest(3, window=size, horizon="1h", time="at", seed=0)
    slow = SlowWindow(size, HOUR)
    for i, stamp in enumerate(times(600).tolist()):
        model.learn_one({"value": float(i), "at": stamp})
        slow.learn(float(i), stamp)
        if i % 7 == 0 or i > 590:
            forest = model._model.forest
            assert all(held(forest, t) == slow.values for t in range(3))
    model._model.forest.check()


@pytest.mark.parametrize("times", TIMES, ids=lambda times: times.__name__)
def test_thinned_keeps_every_young_point_of_a_slow_stream(times):
    """Fewer points an hour than a tree has room for: nothing needs thinning."""
    model = OnlineIsolationMondrianForest(3, horizon="1h", time="at", seed=0)
    slow = SlowWindow(256, HOUR)
    for i, stamp in enumerate((20 * times(500)).tolist()):
        model.learn_one({"value": float(i), "at": stamp})
        slow.learn(float(i), stamp)
        assert len(slow.members) < 256
        if i % 7 == 0:
            assert all(held(model._model.forest, t) == slow.values for t in range(3))


def learnt(memory, points, decay, times, n_trees, seed=0):
    states = seed_states(np.random.RandomState(seed), n_trees)
    forest = Forest.for_stream(1, np.float64, states, memory, points, decay, age=1.0)
    forest.learn(np.arange(len(times), dtype=np.float64)[:, None], times=np.asarray(times, np.float64))
    forest.check()
    return forest


def test_a_full_thinned_tree_keeps_a_point_of_each_span_drawn_uniformly():
    """A span is a horizon by the window's size; it begins elsewhere in each tree. Their bursts count for no more."""
    size, n_trees = 8, 1024
    burst = np.repeat(5.0 + np.arange(64) / 64 * size / 8, np.where(np.arange(64) % 16 < 12, 1, 9))
    times = np.concatenate([np.arange(0, 5, 1 / 64), burst])
    forest = learnt(SLIDING, size, 1.0, times, n_trees)
    rank = []
    for t in range(n_trees):
        spans = np.floor(times * size + t / n_trees)
        mine = np.array(held(forest, t), int)
        assert spans[mine].tolist() == list(range(int(spans[-1]) - size + 1, int(spans[-1]) + 1))
        for member in mine:
            same = np.flatnonzero(spans == spans[member])
            rank.append((same.searchsorted(member) + RNG.random()) / len(same))
    assert stats.kstest(rank, "uniform").pvalue > 1e-3
    # Within a tree's span of nine points in a burst, the first is not kept more often than the last.
    assert stats.kstest(rank[::size], "uniform").pvalue > 1e-3


def test_until_it_is_full_a_thinned_tree_keeps_all():
    forest = learnt(SLIDING, 8, 1.0, np.arange(8) * 1e-3, 5)
    assert all(held(forest, t) == list(range(8)) for t in range(5))


@pytest.mark.parametrize(
    "times", [np.sort(RNG.exponential(1.0, 60)), np.repeat([0.0, 0.5, 3.0], 20)], ids=["any", "ties"]
)
def test_decayed_is_the_sample_with_weights_that_fall_with_time(times):
    """Beside a sample drawn at once by its definition: the largest of time + Gumbel."""
    size, n_trees = 6, 6000
    forest = learnt(RESERVOIR, size, 1.0, times, n_trees)
    counts = np.bincount(np.concatenate([held(forest, t) for t in range(n_trees)]).astype(int), minlength=len(times))
    keys = times + np.random.default_rng(1).gumbel(size=(n_trees, len(times)))
    expected = np.bincount(np.argsort(keys, axis=1)[:, -size:].ravel(), minlength=len(times))
    groups = np.array_split(np.arange(len(times)), 12)
    table = np.array([[column[group].sum() for group in groups] for column in (counts, expected)]) + 1
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_the_clock_does_not_stop_at_one_wrong_stamp():
    """A record of the year 2100 costs most of the window, and 32 records of time, no more."""
    model = OnlineIsolationMondrianForest(3, horizon="1h", time="at", seed=0)
    times = np.arange(2000) * 60.0
    times[500] = 4.1e9
    for i, stamp in enumerate(times.tolist()):
        model.learn_one({"value": float(i), "at": stamp})
    assert held(model._model.forest, 0) == [float(i) for i in range(2000 - 61, 2000)]


# -- one model, however it is fed ------------------------------------------------------------------------------


def frame(n=400, times=irregular):
    rng = np.random.default_rng(3)
    found = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    found.loc[5:9, "b"] = np.nan
    return found.assign(at=times(n) + 1.7e9)


def model_of(window="thinned", **params):
    return OnlineIsolationMondrianForest(9, window=window, horizon="15m", time="at", seed=0, **params)


def same(a, b):
    a, b = a._model.forest.columns, b._model.forest.columns
    return all(
        np.array_equal(a[name], b[name], equal_nan=True) for name in ("member_leaf", "threshold", "clock", "pace")
    )


@pytest.mark.parametrize("score", ["depth", "spacing", "insertion"])
@pytest.mark.parametrize("window", WINDOWS)
def test_one_by_one_many_and_resumed_are_the_same(window, score, tmp_path):
    X = frame()
    whole = model_of(window, score=score, n_jobs=2)
    expected = whole.score_learn_many(X)
    singly, found = model_of(window, score=score), []
    for i, x in enumerate(X.to_dict("records")):
        found.append(singly.score_one(x))
        singly.learn_one(x)
        if i == 150:
            singly = pickle.loads(pickle.dumps(singly))
        if i == 200:
            singly.save(tmp_path / "model")
            singly = OnlineIsolationMondrianForest.load(tmp_path / "model")
    np.testing.assert_array_equal(found, expected)
    assert same(whole, singly) and expected.any()
    whole._model.forest.check()


@pytest.mark.parametrize("window", WINDOWS)
def test_keyed_models_have_a_clock_each(window, tmp_path):
    X = frame(600)
    keys = [["one", 2, ("a", "b")][i] for i in np.random.default_rng(5).integers(0, 3, len(X))]
    params = {"n_trees": 8, "window": window, "horizon": "15m", "time": "at"}
    found = np.empty(len(X))
    for begin in range(0, len(X), 50):  # closed and gone on with, the first times with keys that have no model yet
        with KeyedForest(tmp_path / "models", max_models=1, seed=4, **params) as forest:
            some = slice(begin, begin + 40)
            found[some] = forest.score_learn_many(keys[some], X[some])
            for i in range(begin + 40, begin + 50):
                found[i] = forest.score_learn_one(keys[i], X.iloc[i].to_dict())
    with KeyedForest.open(tmp_path / "models") as forest:
        for key in set(keys):
            mine = [i for i, other in enumerate(keys) if other == key]
            alone = OnlineIsolationMondrianForest(**params, calibration=256, seed=forest.model(key).seed)
            np.testing.assert_array_equal(alone.score_learn_many(X.iloc[mine]), found[mine])
            assert forest.score_one(key, X.iloc[0].to_dict()) == alone.score_one(X.iloc[0].to_dict())
            assert forest.explain_one(key, X.iloc[0].to_dict()).keys() == {"a", "b", "c"}
    assert found.any()


def stamps(kind, times):
    moments = [datetime(2024, 1, 31, tzinfo=UTC) + timedelta(seconds=float(s)) for s in times]
    return {
        "seconds": list(times),
        "texts": [moment.isoformat() for moment in moments],
        "naive": [moment.replace(tzinfo=None) for moment in moments],
        "aware": [moment.astimezone(datetime.now(UTC).astimezone().tzinfo) for moment in moments],
        "numpy": list(np.array([moment.replace(tzinfo=None) for moment in moments], "M8[us]")),
        "pandas": list(pd.to_datetime(moments)),
    }[kind]


@pytest.mark.parametrize("kind", ["texts", "naive", "aware", "numpy", "pandas"])
@pytest.mark.parametrize("library", ["dicts", "pandas", "polars", "pyarrow", "records"])
def test_times_of_all_kinds_mean_the_same(kind, library):
    X = frame(150, lambda n: np.round(irregular(n)))
    times = X["at"].to_numpy() - 1.7e9
    expected = model_of()
    expected.learn_many(X.assign(at=times))
    values, X = stamps(kind, times), X.drop(columns="at")
    found = model_of()
    if library == "dicts":
        for row, stamp in zip(X.to_dict("records"), values, strict=True):
            found.learn_one({**row, "at": stamp})
    elif library == "records":
        dtype = np.array(values[:1]).dtype if kind in ("texts", "numpy") else object
        rows = np.empty(len(X), [("a", "f8"), ("at", dtype if kind != "texts" else object), ("b", "f8"), ("c", "f8")])
        for name in "abc":
            rows[name] = X[name]
        rows["at"] = values
        found.learn_many(rows)
    else:
        table = {**{name: X[name].tolist() for name in "abc"}, "at": np.array(values) if kind == "numpy" else values}
        if library == "pandas":
            table = pd.DataFrame(table)
        else:
            table = pl.DataFrame(table) if library == "polars" else pa.table(table)
        found.learn_many(table)
        np.testing.assert_array_equal(found.score_many(table), expected.score_many(X))
    np.testing.assert_array_equal(found.score_many(X), expected.score_many(X))
    np.testing.assert_array_equal(found._model.forest.columns["clock"][2], expected._model.forest.columns["clock"][2])


def test_an_array_names_its_times_by_number():
    X = frame()
    expected, found = model_of(), OnlineIsolationMondrianForest(9, horizon="15m", time=1, seed=0)
    expected.learn_many(X)
    array = X[["a", "at", "b", "c"]].to_numpy()
    found.learn_many(array)
    assert same(expected, found)
    np.testing.assert_array_equal(found.score_many(array), expected.score_many(X))


def test_a_time_is_no_feature():
    X, model = frame(), model_of()
    model.learn_many(X)
    x = X.iloc[7].to_dict()
    assert model.info()["features"] == 3
    bare = {name: value for name, value in x.items() if name != "at"}
    for ask in (model.score_one, model.p_value_one, model.explain_one, model.why_one):
        assert ask(x) == ask(bare)
    assert "at" not in model.explain_one(x)
    model.feedback_one(x, -1)
    model.withdraw_one(bare)
    last = X.iloc[-1].to_dict()
    model.forget_one(last)
    with pytest.raises(ValueError, match="not found"):
        model.forget_one(last)
    model._model.forest.check()


def test_forgotten_points_keep_their_places_until_they_would_have_left():
    model = OnlineIsolationMondrianForest(3, window=100, horizon="1h", time="at", seed=0)
    for i in range(100):
        model.learn_one({"value": float(i), "at": 60.0 * i})
    for i in (45, 60, 99):
        model.forget_one({"value": float(i)})
    expected = [float(i) for i in range(39, 99) if i not in (45, 60)]
    assert held(model._model.forest, 0) == expected
    model.learn_one({"value": 200.0, "at": 60.0 * 109})
    model._model.forest.check()
    assert held(model._model.forest, 2) == [value for value in expected if value >= 49] + [200.0]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("score", ["depth", "spacing"])
def test_memory_stays_within_its_bound(window, score):
    model = model_of(window, score=score)
    for begin in range(0, 3000, 500):
        X = frame(500, late)
        X["at"] += begin
        model.learn_many(X)
        assert sys.getsizeof(model) <= model.info()["bytes_bound"]
    bound = model.info()["bytes_bound"]
    tight = model_of(window, score=score, max_bytes=bound + 2000)
    tight.learn_many(frame())
    with pytest.raises(ValueError, match="max_bytes must be at least"):
        model_of(window, score=score, max_bytes=bound // 2).learn_many(frame())


# -- what cannot be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"horizon": "2 hours"}, ValueError, "horizon must be a number of points, or an age.*got '2 hours'"),
        ({"horizon": "-2h"}, ValueError, "got '-2h'"),
        ({"horizon": "0h"}, ValueError, "got '0h'"),
        ({"horizon": "2"}, ValueError, "got '2'"),
        ({"horizon": "1" * 400 + "d"}, ValueError, "an age must be such as"),
        ({"horizon": "2H"}, ValueError, "got '2H'"),
        ({"window": "reservoir"}, ValueError, "window must be an int, 'thinned' or 'decayed' where horizon is an age"),
        ({"window": None}, ValueError, "window must be an int, 'thinned' or 'decayed' where horizon is an age"),
        ({"window": 0}, ValueError, "window must be at least 1"),
        ({"time": None}, ValueError, "time must be the key of a point that says when it was.*got None"),
        ({"horizon": 100}, ValueError, "time must be None where horizon is a number of points, got 'at'"),
        ({"time": ["at"]}, TypeError, "time must be a feature's key"),
    ],
)
def test_parameters_that_cannot_be(params, error, message):
    with pytest.raises(error, match=message):
        OnlineIsolationMondrianForest(**{"horizon": "2h", "time": "at", **params})


@pytest.mark.parametrize(
    "stamp", [None, float("nan"), float("inf"), "yesterday", True, [1.0], pd.NaT, np.datetime64("NaT"), 10**400, 1j]
)
def test_points_without_a_time_change_nothing(stamp):
    model = model_of()
    model.learn_many(frame())
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match=r"x\['at'\] must be a number of seconds"):
        model.learn_one({"a": 1.0, "at": stamp, "new": 2.0})
    if stamp not in (10**400,):
        with pytest.raises(ValueError, match=r"X\['at'\], row 1, must be a number of seconds"):
            model.learn_many(pd.DataFrame({"a": [1.0, 2.0], "at": pd.Series([3.0, stamp], dtype=object), "new": 2.0}))
    assert pickle.dumps(model) == before


def test_tables_and_points_without_the_key_change_nothing():
    model = model_of()
    model.learn_many(frame())
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="x must say when it was, under the key 'at'"):
        model.learn_one({"a": 1.0})
    for learn in (model.learn_many, model.score_learn_many):
        with pytest.raises(ValueError, match="X must say when its rows were, in a column 'at'"):
            learn(pd.DataFrame({"a": [1.0]}))
    with KeyedForest(horizon="15m", time="at") as forest:
        with pytest.raises(ValueError, match="under the key 'at'"):
            forest.learn_one("key", {"a": 1.0})
        with pytest.raises(ValueError, match="in a column 'at'"):
            forest.learn_many(["key"], pd.DataFrame({"a": [1.0]}))
        assert len(forest) == 0
    assert pickle.dumps(model) == before


def test_scikit_learns_forest_has_no_windows_by_age():
    with pytest.raises(TypeError, match="horizon must be an int, got '2h'"):
        IsolationMondrianForest(window="thinned", horizon="2h").fit(np.zeros((4, 2)))
    model = model_of()
    model.learn_many(frame())
    with pytest.raises(ValueError, match="no windows by age"):
        model.to_estimator()


@pytest.mark.parametrize(
    "column, place, value",
    [
        ("clock", 0, 0.0),
        ("clock", 1, np.nan),
        ("clock", 2, -1.0),
        ("clock", 2, np.inf),
        ("clock", 3, 32.0),
        ("clock", 4, 0.5),
        ("pace", (2, 3), 300.0),
        ("pace", (2, 3), -1.0),
        ("pace", (2, 3), 220.0),
        ("pace", (1, 2), 1e9),
        ("pace", (0, 0), np.nan),
        ("member_time", (3, 100), np.nan),
        ("member_time", (3, 100), 1e6),
        ("stream", (4, 1), 200),
    ],
)
def test_the_audit_finds_damaged_ages(column, place, value):
    model = model_of()
    model.learn_many(frame(400, steady))
    model._model.forest.check()
    state = pickle.loads(pickle.dumps(model._model.forest.__getstate__()))
    state["columns"][column][place] = value
    with pytest.raises(ValueError, match="damaged forest"):
        Forest.__new__(Forest).__setstate__(state)


def test_a_window_by_age_and_its_columns_come_together():
    model = model_of()
    model.learn_many(frame())
    for name in ("clock", "pace", "member_time"):
        state = model._model.forest.__getstate__()
        del state["columns"][name]
        with pytest.raises(ValueError, match=r"damaged forest|by age"):
            Forest.__new__(Forest).__setstate__(state)
