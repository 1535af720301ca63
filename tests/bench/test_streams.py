"""Drifting streams, the drift protocol, and the soak and latency scripts, tiny."""

from __future__ import annotations

import itertools
from pathlib import Path

import forest_detectors
import forest_protocols as protocols
import forest_streams as streams
import numpy as np
import pytest
import quality_forest
from forest_data import DataSet
from sklearn.metrics import average_precision_score, roc_auc_score

pytest.importorskip("river", reason="needs river")

import latency_stream
import soak_stream


@pytest.mark.parametrize("name", streams.GENERATORS)
def test_generated_streams_drift_and_repeat(name: str) -> None:
    generate = streams.GENERATORS[name]
    data = generate(8_000, 1)
    again = generate(8_000, 1)
    assert data.X.shape == (8_000, 8)
    assert np.array_equal(data.X, again.X) and np.array_equal(data.y, again.y)
    assert 0.02 < data.y.mean() < 0.04
    assert not np.array_equal(data.X, generate(8_000, 2).X)
    inliers = data.X[data.y == 0]
    eighths = [part.mean(axis=0) for part in np.array_split(inliers, 8)]
    moved = np.abs(eighths[0] - eighths[-1]).max()
    if name == "recurring":  # ends where it does not begin, and comes back twice in between
        assert np.abs(eighths[0] - eighths[2]).max() < 0.5 < np.abs(eighths[0] - eighths[1]).max()
    assert moved > 0.5
    steps = [np.abs(a - b).max() for a, b in itertools.pairwise(eighths)]
    still = {"abrupt": 4, "gradual": 1, "incremental": 0, "recurring": 0}[name]
    assert sum(step < 0.3 for step in steps) >= still
    if name in ("gradual", "incremental"):
        assert max(steps) < moved


def test_the_first_concept_of_a_gradual_stream_is_pure_and_so_is_the_last() -> None:
    data = streams.gradual(8_000, 3)
    for part in (slice(0, 2_000), slice(6_000, None)):
        inliers = data.X[part][data.y[part] == 0]
        halves = np.array_split(inliers, 2)
        assert np.abs(halves[0].mean(axis=0) - halves[1].mean(axis=0)).max() < 0.5


def _save(folder: Path, name: str, n: int, d: int, centre: float) -> None:
    rng = np.random.default_rng(len(name))
    y = (rng.random(n) < 0.1).astype(np.int64)
    np.savez(folder / name, X=centre + rng.normal(size=(n, d)) * (1 + 4 * y[:, None]), y=y)


def test_real_sets_follow_each_other_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(tmp_path, "16_http.npz", 300, 3, 0.0)
    _save(tmp_path, "34_smtp.npz", 80, 3, 50.0)
    monkeypatch.setattr(streams, "N_ROWS", 100)
    names = [load().name for load in streams.drift_streams(tmp_path, n=50, n_seeds=1)]
    assert names == ["abrupt 0", "gradual 0", "incremental 0", "recurring 0", "http + smtp"]
    (load,) = streams.drift_streams(tmp_path, ["http + smtp"])
    data = load()
    assert data.X.shape == (180, 3) and data.y.shape == (180,)
    assert data.X[:100].mean() < 10 < 40 < data.X[100:].mean()
    everything = np.load(tmp_path / "16_http.npz")["X"]
    places = [int(np.flatnonzero((everything == row).all(axis=1))[0]) for row in data.X[:100]]
    assert places == sorted(places)
    with pytest.raises(ValueError, match="no data set named 'absent'"):
        list(streams.drift_streams(tmp_path, ["absent"]))


def test_a_shorter_stream_keeps_order_and_ends() -> None:
    data = DataSet("counted", np.arange(100.0)[:, None], np.zeros(100, dtype=np.int64))
    assert streams.thinned_to(data, None) is data and streams.thinned_to(data, 100) is data
    assert streams.thinned_to(data, 5).X[:, 0].tolist() == [0, 24, 49, 74, 99]


@pytest.mark.parametrize("name", forest_detectors.STREAM)
def test_every_streaming_detector_scores_before_it_learns(name: str) -> None:
    entry = forest_detectors.STREAM[name]
    pytest.importorskip(entry.needs, reason=f"{name} needs {entry.needs}")
    data = streams.incremental(900, 0)
    scores = entry.make(0).stream(data.X)
    assert scores.shape == (900,) and np.isfinite(scores).all()
    # What comes later changes no score: nothing was learnt ahead.
    assert np.array_equal(entry.make(0).stream(data.X[:600]), scores[:600])
    assert roc_auc_score(data.y[300:], scores[300:]) > 0.6


def test_our_stream_is_a_loop_of_score_and_learn() -> None:
    from imondrian.river import OnlineIsolationMondrianForest

    X = streams.recurring(400, 0).X
    model, scores = OnlineIsolationMondrianForest(100, seed=3), []
    for row in X.tolist():
        scores.append(model.score_one(dict(enumerate(row))))
        model.learn_one(dict(enumerate(row)))
    assert np.array_equal(forest_detectors.STREAM["ours"].make(3).stream(X), scores)


def test_drift_measures_all_scores_of_the_stream() -> None:
    data = streams.abrupt(500, 0)
    make = forest_detectors.STREAM["ours"].make
    (figure,) = protocols.prequential(data, "ours", make, seed=1)
    scores = make(1).stream(data.X)
    assert figure[:4] == ("abrupt", "ours", "stream", 1)
    assert figure.auc == pytest.approx(roc_auc_score(data.y, scores))
    assert figure.ap == pytest.approx(average_precision_score(data.y, scores))


def test_the_command_measures_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "drift.md"
    assert (
        quality_forest.main(
            [
                "drift",
                "--quick",
                "--max-rows",
                "400",
                "--detectors",
                "ours",
                "--data",
                str(tmp_path),
                "--markdown",
                str(file),
            ]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "| abrupt 0" in text and "| recurring 0" in text and file.read_text(encoding="utf-8") == text


def test_shuttle_like_blocks_drift_slowly_and_repeat() -> None:
    blocks = list(streams.shuttle_like(25_000, 1))
    assert [len(block.X) for block in blocks] == [10_000, 10_000, 5_000]
    assert all(np.array_equal(a.X, b.X) for a, b in zip(blocks, streams.shuttle_like(25_000, 1), strict=True))
    assert blocks[0].X.shape[1] == 9 and np.array_equal(blocks[0].X, np.round(blocks[0].X))
    assert 0.06 < blocks[0].y.mean() < 0.08
    long = list(streams.shuttle_like(2_000_000, 1, block=20_000))
    means = np.array([block.X[block.y == 0].mean(axis=0) for block in (long[0], long[1], long[-1])])
    assert np.abs(means[1] - means[0]).max() < 0.5 * np.abs(means[2] - means[0]).max()


def test_the_soak_measures_every_stretch(capsys: pytest.CaptureFixture[str]) -> None:
    stretches = soak_stream.soak(15_000, 5_000)
    assert [stretch.points for stretch in stretches] == [5_000, 10_000, 15_000]
    assert stretches[1].model == stretches[2].model  # bounded: full long before
    assert all(stretch.us_a_point > 0 and stretch.auc > 0.9 for stretch in stretches)
    assert soak_stream.main(["--points", "1000", "--every", "500", "--window", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("| last - first") and len(lines) == 5


def test_latency_has_a_row_for_each_call_and_the_control(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(latency_stream, "N_WARM", 50)
    assert latency_stream.main(["--points", "300", "--window", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["score_one", "learn_one", "both", "control, both"]
    times = latency_stream.measured(200, window=50)
    assert all(us.shape == (200,) for us in times.values())
    assert np.allclose(times["both"], times["score_one"] + times["learn_one"])
    waited = latency_stream.timed_calls(30, 0, latency_stream.waiting(200.0), latency_stream.waiting(0.0))
    assert waited.shape == (30, 2) and (waited[:, 0] >= 200.0).all()
