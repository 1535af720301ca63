"""The feedback protocol counts what it says it counts."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import feedback_protocol as protocol
from forest_data import DataSet


class Stubborn:
    """A listener whose scores never change; it notes what it is told."""

    def __init__(self, scores):
        self.fixed, self.told = np.asarray(scores, float), []

    def scores(self):
        return self.fixed

    def hear(self, row, is_anomaly):
        self.told.append((row, is_anomaly))


def test_rows_are_looked_at_from_the_top_and_once():
    data = DataSet("made", np.zeros((5, 1)), np.array([0, 1, 0, 1, 1]))
    listener = Stubborn([0.1, 0.9, 0.5, 0.2, 0.8])
    assert protocol.curve(data, listener, 4) == (1, 1, 0, 1)
    assert listener.told == [(1, True), (4, True), (2, False), (3, True)]
    assert protocol.curve(data, listener, 9) == (1, 1, 0, 1, 0)


def test_tables_and_files_hold_means_over_sets_of_means_over_seeds(tmp_path):
    ones = (1,) * 60
    curves = [
        protocol.Curve("a", "ours", 0, ones, 70),
        protocol.Curve("a", "ours", 1, (0,) * 60, 70),
        protocol.Curve("b", "ours", 0, (1,) * 5 + (0,) * 95, 5),
        protocol.Curve("a", "other", 0, (0,) * 100, 70),
        protocol.Curve("b", "other", 0, (0,) * 100, 5),
    ]
    assert protocol.found_at(curves[:3], 20) == {"a": 10.0, "b": 5.0}
    text = protocol.table(curves)
    assert "2 sets, 2 seeds" in text
    assert "| ours   | 7.50     | 15.00    | 17.50     |" in text
    assert "+15.00 (+5.00 to +25.00)" in text
    protocol.store(curves, tmp_path / "curves.json")
    assert len(json.loads((tmp_path / "curves.json").read_text())) == 5


def test_our_forest_finds_more_when_it_is_told(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    rng = np.random.default_rng(0)
    X = np.vstack(
        (rng.normal(size=(300, 3)), rng.normal([9, -9, 9], 0.2, (15, 3)), rng.normal([0, 4, 4], 0.2, (15, 3)))
    )
    data = DataSet("made", X, (np.arange(330) >= 315).astype(int))
    found = {
        name: protocol.curve(data, protocol.LISTENERS[name].make(X, 0), 20) for name in ("ours", "ours, no verdicts")
    }
    assert sum(found["ours"]) > sum(found["ours, no verdicts"]) + 4
    protocol.draw([protocol.Curve("made", name, 0, each, 15) for name, each in found.items()], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
