"""The rule behind all alarms: against a slow reference, its bounds for any scores, bursts, drift, and its state."""

import math
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import alarm_reference as slow

from imondrian._conformal.alarm_rule import USUAL_SCORES, AlarmRule, UsualScores

RULES = [
    {},
    {"mode": "rate"},
    {"history": 50},
    {"mode": "rate", "history": 33, "step": 0.02},
    {"usual": UsualScores(0.5, 0.05)},
    {"usual": UsualScores(0.5, 0.05, 100.0), "history": 200},
]


def both(scores, rate, **options):
    reference = slow.Alarms(
        rate, **{name: tuple(value) if name == "usual" else value for name, value in options.items()}
    )
    return AlarmRule(rate, **options).judge(scores), [reference.alarm(score) for score in scores]


@pytest.mark.parametrize("options", RULES, ids=str)
@pytest.mark.parametrize("rate", [0.004, 0.05, 0.4])
def test_it_is_what_the_slow_reference_says(options, rate):
    rng = np.random.default_rng(1)
    scores = np.concatenate(
        (
            rng.normal(0.5, 0.06, 400),
            rng.normal(0.7, 0.06, 60),
            np.round(rng.normal(0.5, 0.1, 500), 1),
            np.full(120, 0.5),
            rng.standard_t(2, 300),
        )
    )
    scores[[3, 500]] = math.nan
    found, expected = both(scores.tolist(), rate, **options)
    assert found == expected and (any(found) or rate < 0.01)


SCORES = st.lists(
    st.one_of(st.floats(allow_nan=True), st.sampled_from([0.0, 1.0, 5e-324, 1.7e308, -1.7e308, math.inf, -math.inf])),
    max_size=150,
)


@settings(max_examples=80, deadline=None)
@given(SCORES, st.sampled_from(RULES), st.sampled_from([1e-9, 0.01, 0.3, 1 - 1e-9]))
def test_any_scores_give_bounded_alarms_and_leave_a_sound_state(scores, options, rate):
    rule = AlarmRule(rate, **options)
    found = rule.judge(scores)
    n = sum(score == score for score in scores)
    assert rule.n_scores == n and rule.n_alarms == sum(found) <= rate * n + rule.slack + 1
    assert not any(alarm for alarm, score in zip(found, scores, strict=True) if score != score)
    again = AlarmRule.of_state(rule.state(), rule.usual)
    more = [0.1, 5.0, 0.2] * 30
    assert again.judge(more) == pickle.loads(pickle.dumps(rule)).judge(more) == rule.judge(more)
    for score in (0.3, 1e300, -math.inf):
        assert 0.0 <= rule.p_value(score) <= 1.0 and 0.0 < rule.rank_p_value(score) <= 1.0
        assert 0.0 <= rule.level <= 1.0


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize(
    "scores",
    [
        np.linspace(1, 2, 9000),
        np.linspace(2, 1, 9000),
        np.full(9000, 0.7),
        np.zeros(9000),
        np.r_[np.random.default_rng(1).normal(size=4000), 50 + np.random.default_rng(2).normal(size=5000)],
        np.random.default_rng(3).standard_cauchy(9000),
        np.exp(np.linspace(0, 600, 9000)),
    ],
    ids=["rising", "falling", "constant", "zero", "jump", "heavy", "exploding"],
)
def test_bounds_hold_at_every_moment_of_any_sequence(scores, rate):
    for mode in ("p-value", "rate"):
        rule = AlarmRule(rate, mode)
        debt = np.cumsum(np.array(rule.judge(scores.tolist()), float) - rate)
        assert debt.max() <= rule.slack + 1
        if mode == "rate":
            assert debt.min() >= -rule.slack - 1


@pytest.mark.parametrize("mode", ["p-value", "rate"])
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("usual", [None, UsualScores(2.3, 1.0)])
def test_exchangeable_scores_give_the_rate(mode, rate, usual):
    scores = np.random.default_rng(5).exponential(size=(3, 20_000))
    shares = [np.mean(AlarmRule(rate, mode, usual=usual).judge(each.tolist())) for each in scores]
    assert shares == pytest.approx([rate] * 3, rel=0.2)


def drifting(kind, n=20_000):
    rng, t = np.random.default_rng(6), np.arange(n) / n
    scores = rng.gamma(2.0, size=n)
    if kind == "rising":
        return scores * (1 + t)
    if kind == "waves":
        return scores * (1 + 0.5 * np.sin(40 * t))
    if kind == "steps":
        return scores + 3 * (np.arange(n) // 4000 % 2)
    return scores + np.where(np.arange(n) % 5000 < 300, 3 * np.exp(-(np.arange(n) % 5000) / 100), 0)  # new regimes


@pytest.mark.parametrize("mode", ["p-value", "rate"])
@pytest.mark.parametrize("kind", ["rising", "waves", "steps", "regimes"])
def test_drifting_scores_keep_the_rate(mode, kind):
    found = np.array(AlarmRule(0.01, mode).judge(drifting(kind).tolist()))
    assert found.mean() == pytest.approx(0.01, rel=0.2)


def test_a_burst_is_told_whole_and_paid_back():
    rng = np.random.default_rng(7)
    scores = rng.normal(0.45, 0.05, 6000)
    bursts = np.zeros(6000, bool)
    for begin in (1500, 3000, 4500):
        bursts[begin : begin + 15] = True
    scores[bursts] = rng.normal(0.8, 0.02, 45)
    for usual in (None, USUAL_SCORES["insertion"]):
        found = np.array(AlarmRule(0.01, usual=usual).judge(scores.tolist()))
        assert found[bursts].sum() >= 43 and found.sum() <= 90
        assert found[5000:].mean() < 0.02


def test_a_record_of_a_young_stream_is_no_alarm_if_such_scores_are_usual():
    calm = np.random.default_rng(8).normal(0.45, 0.01, 60)
    scores = [*calm.tolist(), 0.5, 0.75]
    assert AlarmRule(0.001).judge(scores)[-2:] == [True, True]
    assert AlarmRule(0.001, usual=USUAL_SCORES["depth"]).judge(scores)[-2:] == [False, True]


def test_p_values_reach_beyond_what_ranks_resolve():
    rule = AlarmRule(0.01)
    rule.judge(np.random.default_rng(9).exponential(size=5000).tolist())
    values = [rule.p_value(score) for score in (5.0, 12.0, 16.0, 20.0)]
    assert values == sorted(values, reverse=True) and values[0] == pytest.approx(math.exp(-5), rel=0.3)
    assert values[-1] == pytest.approx(math.exp(-20), rel=3.0) and values[-1] < 1e-7
    assert rule.rank_p_value(20.0) == 1 / (len(rule.state()["scores"]) + 1) < 1 / 4900
    assert rule.p_value(math.inf) == 0.0 and rule.p_value(math.nan) == 1.0


def test_memory_is_that_of_the_history():
    rule = AlarmRule(0.01, history=500)
    rule.judge(np.random.default_rng(0).normal(size=5000).tolist())
    assert len(rule.state()["scores"]) == 500 and 8_000 <= sys.getsizeof(rule) < 9_000
    assert len(pickle.dumps(rule)) < 10_000


def test_nothing_is_an_alarm_before_there_is_anything_to_compare_with():
    assert not any(AlarmRule(0.5).judge([*range(32)]))
    assert not any(AlarmRule(0.5).judge([math.nan] * 100))
    assert AlarmRule(0.5).judge([float(i) for i in range(40)], [False] * 20 + [True] * 20) == [False] * 40


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0.0,), ValueError, "rate must be in"),
        ((0.1, "quantile"), ValueError, "mode must be one of"),
        ((0.1, "rate", 0), ValueError, "window must be at least 1"),
        ((0.1, "rate", 10, 1.0), ValueError, "step must be in"),
    ],
)
def test_bad_rules(arguments, error, message):
    with pytest.raises(error, match=message):
        AlarmRule(*arguments)


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 2.0},
        {"rate": 1},
        {"mode": "x"},
        {"history": 0},
        {"n_scores": 39},
        {"n_alarms": 99},
        {"n_alarms": -1},
        {"debt": math.nan},
        {"drift": 9.0},
        {"drift": math.nan},
        {"last": 77},
        {"slack": 0.0},
        {"slack": math.inf},
        {"n_kept": 41},
        {"run": -1},
        {"scores": np.zeros(39)},
        {"scores": np.full(40, np.nan)},
        {"scores": np.zeros(40, np.float32)},
        {"scores": np.zeros((40, 1))},
        {"scores": [0.0] * 40},
        {"more": 1},
    ],
    ids=str,
)
def test_a_damaged_state_is_refused(change):
    rule = AlarmRule(0.1)
    rule.judge([float(i % 7) for i in range(40)])
    AlarmRule.of_state(rule.state())
    with pytest.raises((ValueError, TypeError)):
        AlarmRule.of_state({**rule.state(), **change})
