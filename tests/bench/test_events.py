"""Events caught against false incidents: the measures against hand-made cases, the streams, the protocol, tiny."""

from __future__ import annotations

import json
from pathlib import Path

import event_measures as measures
import event_protocol as protocol
import event_rules as rules
import event_streams as streams
import numpy as np
import pytest
import quality_forest
from event_measures import Counts

pytest.importorskip("river", reason="needs river")


def at(n: int, *places: int) -> np.ndarray:
    alarms = np.zeros(n, bool)
    alarms[list(places)] = True
    return alarms


def test_alarms_less_than_fifty_rows_apart_are_one_incident() -> None:
    assert measures.incidents(at(400, 3, 52, 101, 151, 300)).tolist() == [3, 151, 300]
    assert measures.incidents(np.zeros(5, bool)).tolist() == []


def test_counts_of_a_stream_by_hand() -> None:
    y = np.zeros(2000, np.int64)
    for begin, end in ((100, 200), (700, 800), (1000, 1010), (1500, 1600)):  # the first is over before rows count
        y[begin:end] = 1
    alarms = at(2000, 150, 400, 655, 730, 960, 1300, 1301, 1560)
    # 655 and 730 lie 75 rows apart: both in the first window; 960 is within the lead of the second; 1300 is false.
    assert measures.counted(alarms, y) == Counts(1488, 6, 3, 3, 1, (0, 0, 60))
    assert measures.counted(at(2000, 649, 690), y) == Counts(1488, 2, 3, 0, 1, (100, 10, 100))  # starts before the lead
    assert measures.counted(np.zeros(2000), y).delays == (100, 10, 100)


def test_readings_are_straight_lines_between_budgets() -> None:
    curve = [Counts(10_000, 0, 10, caught, false, ()) for caught, false in ((4, 4), (8, 12))]
    assert measures.read(curve, [0, 2, 4, 8, 12, 40]) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.8])
    low, high = measures.interval([curve] * 4)
    assert low == high == pytest.approx(measures.read(curve).mean())
    assert measures.pooled([curve, curve])[0] == Counts(20_000, 0, 20, 8, 8, ())


@pytest.mark.parametrize("name", streams.GENERATED)
def test_generated_streams_repeat_and_have_late_events(name: str) -> None:
    generate = streams.GENERATED[name]
    data, again = generate(4_000, 1), generate(4_000, 1)
    assert np.array_equal(data.X, again.X, equal_nan=True) and np.array_equal(data.y, again.y)
    assert not np.array_equal(data.X, generate(4_000, 2).X, equal_nan=True)
    events = measures.windows(data.y)
    assert 2 <= len(events) <= 3 and events[0, 0] > 512 and len(data.X) == len(data.y)
    assert np.isnan(data.X).any() == (name == "outages")


def test_windows_of_a_series_keep_the_label_of_their_end(tmp_path: Path) -> None:
    y = (np.arange(60) == 30).astype(np.int64)
    np.savez(tmp_path / "nab_one.npz", X=np.arange(60.0)[:, None], y=y)
    np.savez(tmp_path / "wide.npz", X=np.zeros((60, 2)), y=y)
    (first, load), (second, load_wide), *_ = streams.event_streams(tmp_path, n_rows=50)
    assert (first, second) == ("first half", "second half")
    one = load()
    assert one.X.shape == (43, 8) and one.X[one.y == 1][0, -1] == 30.0 and load_wide().X.shape == (50, 2)
    with pytest.raises(ValueError, match="no stream named 'absent'"):
        list(streams.event_streams(None, ["absent"]))


def test_rules_look_at_the_past_alone() -> None:
    scores = np.random.default_rng(0).gamma(2.0, size=900)
    for name, rule in {**rules.PEER_RULES, **protocol.rules_for("depth")}.items():
        whole = rule(scores, 0.01)
        assert np.array_equal(rule(scores[:700], 0.01), whole[:700]), name
        assert 0 < whole[512:].sum() < 60 and whole.dtype == bool, name
    assert 0.005 < rules.at_random(np.zeros(10_000), 0.01).mean() < 0.02


def test_missing_values_are_filled_for_those_that_refuse_them() -> None:
    X = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, np.nan], [3.0, 4.0]])
    assert protocol.filled(X).tolist() == [[0.0, 1.0], [2.0, 1.0], [2.0, 1.0], [3.0, 4.0]]


def test_the_command_tells_and_stores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        quality_forest.main(
            ["events", "--sets", "bursts 0", "--detectors", "ours", "--json", str(tmp_path / "events.json")]
        )
        == 0
    )
    told = capsys.readouterr().out
    assert "3 events" in told and "| at random " in told and "| ours, AlarmFilter " in told
    rows = json.loads((tmp_path / "events.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["at random", "ours, AlarmFilter"]
    assert all(len(row["counts"]) == len(measures.BUDGETS) for row in rows)
