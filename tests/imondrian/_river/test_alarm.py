"""Alarm rates and drift signals, with this package's detector and with river's own."""

import pickle
import random

import numpy as np
import pytest
import river.checks
from reference import incident_reference
from river import anomaly, base, datasets, drift, linear_model, preprocessing

from imondrian.river import AlarmFilter, DriftMonitor, OnlineIsolationMondrianForest


class Replay(base.AnomalyDetector):
    """A detector whose scores are known beforehand."""

    def __init__(self, scores):
        self.scores = scores
        self.learnt = 0

    def learn_one(self, x):
        self.learnt += 1

    def score_one(self, x):
        return float(self.scores[x["t"]])


def alarms(model, stream):
    called = []
    for x in stream:
        called.append(model.classify(model.score_one(x)))
        model.learn_one(x)
    return np.array(called)


def replayed(scores, mode="rate", **options):
    return alarms(AlarmFilter(Replay(scores), mode=mode, **options), ({"t": t} for t in range(len(scores))))


@pytest.fixture(scope="module")
def shuttle():
    stream = list(datasets.Shuttle())
    return np.array([list(x.values()) for x, _ in stream], float), np.array([label for _, label in stream])


@pytest.fixture(scope="module")
def shuttle_scores(shuttle):
    return OnlineIsolationMondrianForest(25, horizon=1024, seed=0).score_learn_many(shuttle[0])


# -- the rate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_the_rate_holds_on_all_of_shuttle(shuttle, shuttle_scores, rate):
    called = replayed(shuttle_scores, rate=rate)
    assert called.mean() == pytest.approx(rate, rel=0.02)  # the requirement is 20 %
    for part in np.array_split(called, 5):
        assert part.mean() == pytest.approx(rate, rel=0.2)
    assert shuttle[1][called].mean() > (0.85 if rate < 0.1 else 0.6)  # 7 % are anomalies; these are mostly


@pytest.mark.parametrize(
    "detector",
    [
        OnlineIsolationMondrianForest(n_trees=10, seed=0),
        preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=42),
        preprocessing.StandardScaler() | anomaly.OneClassSVM(nu=0.2),
        preprocessing.StandardScaler() | anomaly.LODA(seed=0),
    ],
    ids=["ours", "trees", "svm", "loda"],
)
@pytest.mark.parametrize("protect", [True, False])
def test_the_rate_holds_with_any_detector(detector, protect):
    stream = [x for x, _ in datasets.Shuttle().take(3000)]
    model = AlarmFilter(detector.clone(), rate=0.05, step=0.02, protect_anomaly_detector=protect, mode="rate")
    called = alarms(model, stream)
    assert called.sum() == model.n_alarms and 2000 < model.n_points <= 3000
    assert model.n_alarms / model.n_points == pytest.approx(0.05, rel=0.2)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
@pytest.mark.parametrize(
    "scores",
    [
        np.linspace(1, 2, 6000),  # ever higher: by rank each would be an alarm
        np.linspace(2, 1, 6000),
        np.full(6000, 0.7),  # nothing to tell apart
        np.where(np.arange(6000) // 1000 % 2, 0.9, 0.1) + np.random.default_rng(0).normal(size=6000) * 0.01,
        np.r_[np.random.default_rng(1).normal(size=3000), 50 + 9 * np.random.default_rng(2).normal(size=3000)],
    ],
    ids=["rising", "falling", "constant", "steps", "jump"],
)
def test_the_promise_holds_for_any_sequence_of_scores(scores, rate):
    step = 0.01
    called = replayed(scores, rate=rate, step=step)
    assert abs(called.mean() - rate) <= (1 + step) / (step * len(scores))


def test_on_exchangeable_scores_ranks_alone_hold_the_rate():
    scores = np.random.default_rng(3).exponential(size=8000)
    called = replayed(scores, rate=0.05, step=1e-9)
    assert called.mean() == pytest.approx(0.05, abs=0.008)
    assert scores[called].min() > np.quantile(scores, 0.9)


def test_a_new_regime_is_learnt_behind_the_filter():
    """A fixed threshold would protect the detector from the new regime for ever."""
    rng = np.random.default_rng(0)
    points = [{"a": v, "b": w} for v, w in rng.normal(size=(4000, 2))]
    moved = [{"a": x["a"] + 30, "b": x["b"]} for x in points[2000:]]
    detector = OnlineIsolationMondrianForest(10, seed=0)
    model = AlarmFilter(detector, rate=0.05)
    alarms(model, points[:2000])
    before = detector.p_value_one(moved[-1])
    called = alarms(model, moved)
    assert before < 0.05 < detector.p_value_one(moved[-1])
    assert called.mean() < 0.05 + 1.005 / (0.005 * 2000)  # by the promise; all of it would be alarms otherwise
    assert detector._model.forest.n_seen > 3700


def test_protection_and_what_is_counted():
    scores = np.r_[np.zeros(20), np.linspace(1, 2, 400) + np.random.default_rng(0).normal(size=400), np.nan, 3.0]
    for protect in (True, False):
        detector = Replay(scores)
        model = AlarmFilter(detector, rate=0.1, protect_anomaly_detector=protect)
        called = alarms(model, ({"t": t} for t in range(len(scores))))
        assert not called[:20].any() and not called[420]
        assert model.n_points == 401 and model.n_alarms == called.sum() > 10
        assert detector.learnt == len(scores) - (called.sum() if protect else 0)


def test_classify_reads_only():
    model = AlarmFilter(OnlineIsolationMondrianForest(5, seed=0), rate=0.1)
    for x, _ in datasets.Shuttle().take(200):
        model.learn_one(x)
    before = pickle.dumps(model)
    assert model.classify(1.0) is True and model.classify(0.01) is False and model.classify(float("nan")) is False
    assert model.p_value(1.0) == 1 / (model.n_points + 1)
    model.score_one(x)
    assert pickle.dumps(model) == before
    assert pickle.loads(before).classify(1.0)


def test_a_filter_in_front_of_a_model():
    """river's pipelines keep alarms from the steps behind a filter."""
    rng = random.Random(0)
    learnt = []

    class Watched(linear_model.LinearRegression):
        def learn_one(self, x, y):
            learnt.append(x["a"])
            super().learn_one(x, y)

    model = AlarmFilter(OnlineIsolationMondrianForest(10, seed=0), rate=0.05) | Watched()
    for i in range(1500):
        model.learn_one({"a": 60.0 if i % 50 == 49 else rng.gauss(0, 1)}, 1.0)
    assert 1300 < len(learnt) < 1500
    assert sum(value == 60.0 for value in learnt[200:]) <= 3


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"rate": 0.0}, ValueError, "rate must be in"),
        ({"rate": 1}, ValueError, "rate must be in"),
        ({"rate": "5%"}, TypeError, "rate must be a float"),
        ({"step": 0.0}, ValueError, "step must be in"),
        ({"window": 0}, ValueError, "window must be at least 1"),
        ({"window": None}, TypeError, "window must be an int"),
    ],
)
def test_bad_filters(params, error, message):
    with pytest.raises(error, match=message):
        AlarmFilter(anomaly.HalfSpaceTrees(), **params)


# -- drift -----------------------------------------------------------------------------------------------


def drifts(model, X):
    found = []
    for i, row in enumerate(X.tolist()):
        model.learn_one({"a": row[0], "b": row[1]})
        if model.drift_detected:
            found.append(i)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("watch", "delay"),
    [(None, 150), (drift.KSWIN(alpha=1e-5, seed=0), 60), (drift.PageHinkley(threshold=10.0), 150)],
    ids=["adwin", "ks", "ph"],
)
def test_a_planted_drift_is_found(seed, watch, delay):
    X = np.random.default_rng(seed).normal(size=(2700, 2))
    X[2300:, 0] += 3
    model = DriftMonitor(OnlineIsolationMondrianForest(25, seed=seed), None if watch is None else watch.clone())
    found = drifts(model, X)
    assert any(2300 <= i < 2300 + delay for i in found)
    assert not [i for i in found if i < 2300]
    assert model.n_drifts == len(found)


def test_stationary_streams_raise_no_more_alarms_than_promised():
    """KSWIN's alpha is the chance of a false alarm at a test; ADWIN's delta bounds that of any."""
    ks = adwin = n = 0
    for seed in range(5):
        X = np.random.default_rng(100 + seed).normal(size=(2200, 2))
        scores = OnlineIsolationMondrianForest(25, seed=seed).score_learn_many(X)
        for watch in (drift.KSWIN(alpha=0.005, seed=seed), drift.ADWIN(delta=0.002)):
            model = DriftMonitor(Replay(scores), watch)
            for t in range(len(scores)):
                model.learn_one({"t": t})
            if isinstance(watch, drift.KSWIN):
                ks += model.n_drifts
            else:
                adwin += model.n_drifts
        n += len(X) - model.grace_period
    assert ks <= 0.005 * n + 3 * np.sqrt(0.005 * n)
    assert adwin == 0


def test_a_monitor_is_its_detector():
    detector = OnlineIsolationMondrianForest(5, seed=0)
    model, twin = DriftMonitor(detector.clone()), detector.clone()
    for x, _ in datasets.Shuttle().take(100):
        assert model.score_one(x) == twin.score_one(x)
        model.learn_one(x)
        twin.learn_one(x)
    assert model.n_points == 100 and not model.drift_detected
    watched = AlarmFilter(DriftMonitor(detector.clone(), grace_period=0), rate=0.1)
    for x, _ in datasets.Shuttle().take(300):
        watched.learn_one(x)
    assert watched.anomaly_detector.n_points > 200
    with pytest.raises(ValueError, match="grace_period must be an int of at least 0, got -1"):
        DriftMonitor(detector, grace_period=-1)


# -- river's contract ------------------------------------------------------------------------------------


class LocalStream:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(datasets.Shuttle().take(self.n))


def checks_of(model):
    original = river.checks._yield_datasets
    river.checks._yield_datasets = lambda model, scale=1: iter(
        [LocalStream(300 * scale)] if isinstance(model, base.AnomalyDetector) else []
    )
    try:
        return list(river.checks.yield_checks(model))
    finally:
        river.checks._yield_datasets = original


class CheckedFilter(AlarmFilter, base.AnomalyDetector):
    """river runs its checks over data sets for detectors only, and a filter is none by its type."""


FOREST = OnlineIsolationMondrianForest(5, seed=0)
TREES = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)
WRAPPERS = [
    AlarmFilter(FOREST),
    CheckedFilter(FOREST),
    CheckedFilter(TREES, rate=0.1),
    DriftMonitor(FOREST),
    DriftMonitor(anomaly.HalfSpaceTrees(seed=1), drift.KSWIN(seed=0), grace_period=10),
]


@pytest.mark.parametrize(
    ("model", "check"),
    [
        pytest.param(model, check, id=f"{i}-{check.__name__}")
        for i, model in enumerate(WRAPPERS)
        for check in checks_of(model)
    ],
)
def test_every_river_check(model, check):
    check(model.clone())


# -- bursts ----------------------------------------------------------------------------------------------


def with_bursts(seed, length, far):
    rng = np.random.default_rng(seed)
    X, is_burst = rng.normal(size=(6000, 3)), np.zeros(6000, bool)
    for begin in (1500, 3000, 4500):
        burst = slice(begin, begin + int(rng.integers(*length)))
        X[burst] += far * np.array([1, -1, 1]) / np.sqrt(3)
        is_burst[burst] = True
    return X, is_burst


@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("score", ["insertion", "default"])
def test_bursts_are_told_whole(score, protect):
    """A fast level falls silent after some alarms: 9 of 45 points at most."""
    X, is_burst = with_bursts(0, (15, 16), 8.0)
    model = OnlineIsolationMondrianForest(50, score=score, seed=0, calibration=None)
    called = alarms(
        AlarmFilter(model, rate=0.01, protect_anomaly_detector=protect), (dict(enumerate(row)) for row in X.tolist())
    )
    assert called[is_burst].sum() >= 43 and called.sum() <= 90


def test_long_bursts_are_told_for_the_most_part():
    X, is_burst = with_bursts(1, (25, 41), 6.5)
    scores = OnlineIsolationMondrianForest(50, seed=1).score_learn_many(X)
    filtered = AlarmFilter(OnlineIsolationMondrianForest(50, seed=1), rate=0.01)
    assert np.array(filtered._rule.judge(scores[32:].tolist()))[is_burst[32:]].mean() >= 0.8


def test_what_is_usual_is_known_behind_wrappers():
    forest = OnlineIsolationMondrianForest(5)
    for wrapped in (forest, preprocessing.StandardScaler() | forest, DriftMonitor(forest)):
        assert AlarmFilter(wrapped)._rule.usual is not None
    for other in (OnlineIsolationMondrianForest(5, score="spacing"), anomaly.HalfSpaceTrees(), Replay([])):
        assert AlarmFilter(other)._rule.usual is None
    with pytest.raises(ValueError, match="mode must be one of"):
        AlarmFilter(forest, mode="share")


# -- incidents -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [1, 5, 50])
def test_incidents_are_those_of_the_alarms(gap):
    scores = np.random.default_rng(2).normal(0.5, 0.1, 3000)
    scores[[100, 1200]] = np.nan
    model = AlarmFilter(Replay(scores), rate=0.02, gap=gap)
    called = alarms(model, ({"t": t} for t in range(len(scores))))
    closed = [each for changed in incident_reference.changes(called, gap) for each in changed if each[0] == "closed"]
    found = [each for each in model.incidents if each.state == "closed"]
    assert [(each.id, each.start, each.end, each.n_alarms) for each in found] == [
        (number, rows[0], rows[-1], len(rows)) for _, number, _, rows in closed
    ][-100:]
    assert 5 < len(found) <= 100 and all(each.score == scores[each.peak] and not each.reasons for each in found)


@pytest.mark.parametrize("wrapped", ["alone", "in a pipeline", "in a monitor", "in both"])
def test_reasons_are_those_of_the_forest_wherever_it_is(wrapped):
    detector = forest = OnlineIsolationMondrianForest(10, seed=1)
    if wrapped in ("in a monitor", "in both"):
        detector = DriftMonitor(detector)
    if wrapped in ("in a pipeline", "in both"):
        detector = preprocessing.StandardScaler() | detector
    model, rng, parts = AlarmFilter(detector, rate=0.02), random.Random(3), {}
    for i in range(700):
        x = {"a": rng.gauss(0, 1), "b": rng.gauss(5, 2) + 40 * (600 <= i < 605)}
        if model.classify(model.score_one(x)):
            inner = detector["StandardScaler"].transform_one(x) if hasattr(detector, "steps") else x
            parts[i] = forest.explain_one(inner, by_direction=True)
        model.learn_one(x)
    for each in model.incidents:
        mine = [parts[i] for i in sorted(parts) if each.start <= i <= each.end]
        sums = {name: np.sum([pairs[name] for pairs in mine], axis=0) for name in "ab"}
        assert len(mine) == each.n_alarms and each.parts.keys() == sums.keys()
        assert all(each.parts[name] == pytest.approx(sums[name]) for name in "ab")
    assert max(model.incidents, key=lambda each: each.n_alarms).n_alarms > 2


def test_incidents_go_on_in_copies_and_begin_in_older_pickles():
    scores = np.r_[np.random.default_rng(2).normal(0.5, 0.1, 300), 2.0, np.full(30, 0.5)]
    model = AlarmFilter(Replay(scores), rate=0.01, gap=20)
    alarms(model, ({"t": t} for t in range(310)))
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        for t in range(310, len(scores)):
            each.learn_one({"t": t})
    assert model.incidents == twin.incidents and model.incidents[-1].state == "closed"
    state = {name: value for name, value in vars(model).items() if name not in ("gap", "_incidents", "_n_learnt")}
    old = AlarmFilter.__new__(AlarmFilter)
    old.__setstate__(state)
    old.learn_one({"t": 0})
    assert old.incidents == [] and old.gap == 50 and old.clone().gap == 50
    assert model.clone().incidents == [] and model.clone().gap == 20
