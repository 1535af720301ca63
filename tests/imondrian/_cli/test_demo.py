"""``imondrian demo``: what it claims, on streams of its own and small."""

import numpy as np
import pytest

pytest.importorskip("rich", reason="the demo prints tables")
pytest.importorskip("river", reason="the demo compares with river")
pytest.importorskip("matplotlib", reason="the demo draws pictures")

from imondrian import cli
from imondrian._cli.demo import contest, plant, resuming, watching
from imondrian._cli.demo.plant import Event


def test_the_stream_has_what_it_says():
    stream = plant.stream(4000, seed=3)
    columns = {name: np.array([x.get(name, np.nan) for x in stream.records]) for name in plant.SENSORS}
    silent = np.isnan(columns[plant.SILENT])
    assert np.flatnonzero(silent).tolist() == list(stream.silent)
    assert not any(np.isnan(values).any() for name, values in columns.items() if name != plant.SILENT)
    drift = columns["temperature"][-1440:].mean() - columns["temperature"][:1440].mean()
    assert drift == pytest.approx(stream.drift * (4000 - 1440) / 4000, rel=0.1)
    surge = next(e for e in stream.events if e.what == "surge")
    current = columns["current"]
    assert current[surge.begin : surge.end].mean() > current[~silent].mean() + 4 * 0.4
    assert all(a.end < b.begin for a, b in zip(stream.events, stream.events[1:], strict=False))


def test_alarms_are_counted_by_event_and_incident():
    alarms = np.zeros(1000, bool)
    alarms[[100, 120, 160, 503, 504, 530, 900]] = True  # 100-160 is one incident, 530 belongs to the event at 500
    found = watching.tally(alarms, [Event("a", 500, 510), Event("b", 700, 710)])
    assert found == (1, 2, 7, 3.0)
    assert watching.incidents(alarms) == [100, 503, 900]


def test_reasons_are_said_in_words():
    assert watching.in_words({"a": (0.5, 0.0), "b": (0.0, 0.3), "c": (0.1, 0.0)}) == "a low and b high"


def test_killed_and_resumed_has_the_same_bits(tmp_path):
    killed, resumed, same = resuming.resume(plant.stream(700).records, tmp_path)
    assert same and killed >= 349 and 1 < resumed <= killed + 1


def test_the_streams_of_the_contest_hold_both_kinds():
    for name, X, y in contest.streams(600):
        assert X.shape[0] == len(y) and np.isfinite(X).all(), name
        assert 0 < y[contest.START :].sum() < 0.2 * len(y), name


def test_the_demo_runs_small_and_writes_its_pictures(tmp_path, capsys):
    cli.main(["demo", "--rows", "600", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    for text in ("because of", "HalfSpaceTrees, QuantileFilter", "same bits: yes", "sklearn Isol", "on Shuttle"):
        assert text in printed
    for name in ("alarms.png", "wins-and-losses.png"):
        assert (tmp_path / name).stat().st_size > 10_000 and str(tmp_path / name) in printed
