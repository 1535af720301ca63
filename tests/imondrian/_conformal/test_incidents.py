"""Alarms become incidents: against a reference with the whole stream in view, bounds, states, and damaged ones."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import incident_reference as slow

from imondrian._conformal.incidents import Incidents


def follow(incidents, rows, first=0):
    """Rows are (p_value or None, key): what each changes, as the reference says it."""
    found = []
    for row, (p_value, key) in enumerate(rows, first):
        changed = (
            incidents.quiet(key)
            if p_value is None
            else incidents.alarm(row, p_value, 1.0 - p_value, {"a": (0.5, -0.25)}, key)
        )
        found.append(
            [
                (
                    each.state,
                    each.id,
                    each.key,
                    each.start,
                    each.end,
                    each.n_alarms,
                    each.p_value,
                    each.peak,
                    dict(each.parts),
                )
                for each in changed
            ]
        )
    return found


def expected(rows, gap):
    by_row = slow.changes([p_value is not None for p_value, _ in rows], gap, [key for _, key in rows])
    found = []
    for changed in by_row:
        found.append([])
        for state, number, key, mine in changed:
            peak = min(mine, key=lambda row: rows[row][0])
            found[-1].append(
                (
                    state,
                    number,
                    key,
                    mine[0],
                    mine[-1],
                    len(mine),
                    rows[peak][0],
                    peak,
                    {"a": (0.5 * len(mine), -0.25 * len(mine))},
                )
            )
    return found


ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.sampled_from([None, "a", 7])),
    max_size=120,
)


@settings(deadline=None)
@given(ROWS, st.sampled_from([1, 2, 3, 7, 50]), st.integers(0, 120), st.booleans())
def test_incidents_are_those_of_the_whole_stream(rows, gap, cut, keyed):
    if not keyed:
        rows = [(p_value, None) for p_value, _ in rows]
    else:
        rows = [(p_value, key or "b") for p_value, key in rows]
    incidents = Incidents(gap)
    found = follow(incidents, rows[:cut])
    state = json.loads(json.dumps(incidents.state()))  # plain values, exact in JSON
    again = Incidents.of_state(state)
    assert again.state() == incidents.state() and again.gap == gap
    assert found + follow(again, rows[cut:], len(found)) == expected(rows, gap)


def test_what_is_kept_is_bounded_and_no_part_of_the_live_ones():
    incidents = Incidents(gap=1, kept=3)
    for row in range(20):
        incidents.alarm(row, 0.1, 0.5)
    held = list(incidents)
    assert [(each.id, each.state) for each in held] == [(17, "closed"), (18, "closed"), (19, "closed"), (20, "open")]
    held[-1].state = "changed"
    assert [each.state for each in incidents][-1] == "open" and incidents.count == 20


def test_of_too_many_open_ones_that_with_the_oldest_last_alarm_is_closed():
    incidents = Incidents(gap=10, most_open=3)
    for row, key in enumerate("abca"):
        incidents.alarm(row, 0.1, 0.5, key=key)
    mine, closed = incidents.alarm(4, 0.1, 0.5, key="d")
    assert (mine.key, mine.state, closed.key, closed.state, closed.end) == ("d", "open", "b", "closed", 1)
    assert len(incidents.alarm(5, 0.1, 0.5, key="a")) == 1  # those that go on close nothing
    assert [each.key for each in incidents] == ["b", "c", "d", "a"]


def test_a_narrower_gap_closes_what_is_over_by_it():
    incidents = Incidents(gap=50)
    incidents.alarm(0, 0.1, 0.5)
    for _ in range(20):
        assert incidents.quiet() == []
    for follow_up in ("quiet", "alarm"):
        again = Incidents.of_state(incidents.state(), gap=5)
        changed = again.quiet() if follow_up == "quiet" else again.alarm(21, 0.2, 0.4)
        assert [each.state for each in changed] == ["closed"] if follow_up == "quiet" else ["open", "closed"]
    wider = Incidents.of_state(incidents.state(), gap=100)
    assert [each.state for each in wider.alarm(70, 0.2, 0.4)] == ["ongoing"]


def test_reasons_are_sums_and_the_largest_of_many():
    incidents = Incidents()
    incidents.alarm(0, 0.1, 0.5, {"a": (0.1, 0.0), "b": (0.0, 0.3)})
    (found,) = incidents.alarm(1, 0.2, 0.5, {"a": (0.4, -0.1), "c": (-1.0, 0.0)})
    assert found.reasons == [("a", "low", 0.5), ("b", "high", 0.3)] and found.parts["a"] == (0.5, -0.1)
    assert found.told(1)["reasons"] == [{"feature": "a", "side": "low", "contribution": 0.5}]
    assert "reasons" not in found.told() and "key" not in found.told()
    many = {f"f{i}": (0.0, i / 1000) for i in range(500)}
    (found,) = incidents.alarm(2, 0.2, 0.5, many)
    assert len(found.parts) == 64 and [name for name, _, _ in found.reasons[:3]] == ["a", "f499", "f498"]


def open_state():
    incidents = Incidents()
    incidents.alarm(3, 0.25, 0.5, {"a": (0.5, 0.25)}, "k", 10.0)
    incidents.alarm(4, 0.125, 0.75, {"b": (0.5, 0.25)}, "k", 11.0)
    incidents.alarm(6, 0.5, 0.5, {}, 7, 12.0)
    incidents.quiet("k", 13.0)
    return incidents.state()


PLACES = {
    "key": 0,
    "id": 1,
    "start": 2,
    "peak": 3,
    "end": 4,
    "n_alarms": 5,
    "quiet": 6,
    "p_value": 7,
    "score": 8,
    "since": 9,
    "until": 10,
    "parts": 11,
}
WRONG = [
    ("key", None),
    ("key", 7),
    ("key", 1.5),
    ("key", True),
    ("key", []),
    ("id", 0),
    ("id", 3),
    ("id", 2),
    ("id", True),
    ("start", 5),
    ("start", -1),
    ("peak", 2),
    ("peak", 5),
    ("end", 6),
    ("end", 7),
    ("end", 3),
    ("n_alarms", 0),
    ("n_alarms", 3),
    ("n_alarms", 1),
    ("n_alarms", 2.0),
    ("quiet", 49),
    ("quiet", -1),
    ("p_value", -0.1),
    ("p_value", 1.1),
    ("p_value", float("nan")),
    ("p_value", 1),
    ("score", float("inf")),
    ("score", None),
    ("parts", None),
    ("parts", [["a", 0.5]]),
    ("parts", [[1, 0.5, 0.5]]),
    ("parts", [["a", 0.5, float("nan")]]),
    ("parts", [["a", 0.5, 1]]),
    ("parts", [["a", 0.5, 0.5]] * 2),
    ("parts", [[str(i), 0.5, 0.5] for i in range(65)]),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=repr)
def test_damaged_incidents_are_refused(name, value):
    state = open_state()
    assert Incidents.of_state(copy.deepcopy(state)).state() == state
    state["open"][0][PLACES[name]] = value
    with pytest.raises(ValueError, match="damaged incidents"):
        Incidents.of_state(state)


@pytest.mark.parametrize(
    "change",
    [
        {"gap": 0},
        {"gap": "2"},
        {"count": 1},
        {"count": -1},
        {"count": True},
        {"open": {}},
        {"open": [[]]},
        {"open": [None]},
        {"more": 1},
        {"now": None},
        {"now": 10.5},
        {"now": 13},
        {"gap": float("nan")},
        {"gap": float("inf")},
        None,
    ],
    ids=repr,
)
def test_damaged_states_are_refused(change):
    with pytest.raises(ValueError, match="damaged incidents"):
        Incidents.of_state(change and {**open_state(), **change})


@pytest.mark.parametrize("gap", [0, -1, 0.0, -1.5, float("nan"), float("inf"), True, None, "50"])
def test_gaps_that_are_none(gap):
    with pytest.raises((ValueError, TypeError), match="gap must be"):
        Incidents(gap)


# -- by time -----------------------------------------------------------------------------------------------


TIMED = st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.floats(-3.0, 9.0)), max_size=60)


@given(TIMED, st.sampled_from([0.5, 10.0]), st.integers(0, 60))
def test_a_gap_in_seconds(rows, gap, cut):
    incidents, now, last, found = Incidents(gap), -1e9, {}, []
    for row, (alarm, key, step) in enumerate(rows):
        if row == cut:
            incidents = Incidents.of_state(json.loads(json.dumps(incidents.state())))
        time = 1e9 + step if now < 0 else now + step  # some come late
        now = max(now, time)
        changed = incidents.alarm(row, 0.1, 0.5, None, key, time) if alarm else incidents.quiet(key, time)
        over = sorted((end, name) for name, (_, end) in last.items() if now - end >= gap)
        own = []
        for _, name in over:
            del last[name]
        if alarm:
            state = "ongoing" if key in last else "open"
            last[key] = (last.get(key, (now, now))[0], now)
            own = [(state, key, now - last[key][0])]
        found = [(each.state, each.key) for each in changed if each.state == "closed"]
        assert sorted(name for _, name in found) == sorted(name for _, name in over)
        assert [(each.state, each.key, each.told()["seconds"]) for each in changed if each.state != "closed"] == own


def test_a_gap_in_seconds_needs_times():
    for ask in (Incidents(1.0).quiet, lambda: Incidents(1.0).alarm(0, 0.1, 0.5)):
        with pytest.raises(ValueError, match="time must be given"):
            ask()
