"""``imondrian score``: labels, thresholds with what is said of them, and pictures."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'imondrian[cli]'")

from cases.score_command import NAMES, as_table, column, fitted, make, score, write_csv, write_parquet
from pyarrow import parquet
from sklearn.metrics import average_precision_score, roc_auc_score

from imondrian import IsolationMondrianForest, cli

pytestmark = pytest.mark.usefixtures("in_folder")


def test_labels_of_rows_that_are_left_out_are_left_out():
    X = np.random.default_rng(0).normal(size=(300, 3))
    anomalous = np.arange(300) % 30 == 0
    X[anomalous] += 6
    X[5::7, 1] = np.inf
    kept = np.isfinite(X).all(axis=1)
    score(write_parquet(as_table(X, kind=anomalous)), "-l", "kind", "--infinite", "drop", "--summary", "s.json")
    quality = json.loads(Path("s.json").read_text())["quality"]
    assert quality["labelled"] == kept.sum() and quality["anomalies"] == (anomalous & kept).sum()
    expected = roc_auc_score(anomalous[kept], -fitted(X[kept]).score_samples(X[kept]))
    assert quality["roc_auc"] == pytest.approx(expected, rel=1e-12) and expected > 0.99


LABELS = [
    ([False, True], (), "true"),
    ([0, 1], (), "1"),
    ([1, -1], (), "-1"),
    ([0.0, 1.0], (), "1"),
    (["normal", "odd"], (), "odd"),
    (["odd", "Anomaly"], (), "Anomaly"),
    (["big", "small"], (), "small"),
    (["a", "z"], ("--anomaly", "z"), "z"),
    ([7, 3], (), "3"),
]


@pytest.mark.parametrize("values, options, named", LABELS)
@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_labels(capsys, write, values, options, named):
    X = np.random.default_rng(0).normal(size=(1000, 3))
    anomalous = np.arange(1000) % 50 == 0
    labels = [None if k % 97 == 1 else values[int(bad)] for k, bad in enumerate(anomalous)]
    path = write(as_table(X, kind=labels))
    found = score(path, "--label", "kind", "--summary", "s.json", *options)
    summary = json.loads(Path("s.json").read_text())
    known = np.arange(1000) % 97 != 1
    scores = -fitted(X).score_samples(X)
    np.testing.assert_array_equal(column(found, "score"), scores)  # the label is no feature
    quality = summary["quality"]
    assert quality["anomaly"].lower() == named.lower() and quality["labelled"] == known.sum()
    assert quality["roc_auc"] == pytest.approx(roc_auc_score(anomalous[known], scores[known]), rel=1e-12)
    assert quality["average_precision"] == pytest.approx(average_precision_score(anomalous[known], scores[known]))
    assert summary["rows"] == 1000 and summary["features"] == NAMES and summary["outliers"] == (scores > 0.5).sum()


def test_several_values_can_mean_anomalies():
    X = make(300)
    kinds = ["x" if k % 50 == 0 else "y" if k % 50 == 1 else "z" for k in range(300)]
    score(write_csv(as_table(X, kind=kinds)), "-l", "kind", "--anomaly", "x", "--anomaly", "y", "--summary", "s.json")
    assert json.loads(Path("s.json").read_text())["quality"]["anomalies"] == 12


def test_pictures():
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'imondrian[plot]'")
    X = make(500)
    path = write_csv(as_table(X, kind=np.arange(500) % 50 == 0))
    for name, magic in (("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF")):
        score(path, "-l", "kind", "--plot", name)
        assert Path(name).read_bytes().startswith(magic)


def test_pictures_of_many_rows_show_the_highest(monkeypatch):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'imondrian[plot]'")
    from imondrian._cli.score import picture

    monkeypatch.setattr(picture, "_MOST_POINTS", 10)
    for n in (1, 9, 10, 11, 99, 100, 101):
        scores = np.random.default_rng(n).random(n)
        places = picture._worst_of_each_stretch(scores)
        assert len(places) <= 10 and (np.diff(places) > 0).all() and scores.argmax() in places


@pytest.mark.parametrize("fdr", [0.1, 0.5])
def test_fdr_calls_what_the_estimator_rejects(fdr):
    usual, X = make(4000, seed=1), make(1000)
    X[:100] = 40.0 * np.random.default_rng(5).normal(size=(100, len(NAMES))) * [1, 10, 100]
    parquet.write_table(as_table(X), "in.parquet")
    forest = fitted(usual)
    forest.save("usual.forest")
    expected = forest.reject(X, fdr=fdr)
    assert 50 < expected.sum() < 400
    table = score("in.parquet", "--model", "usual.forest", "--fdr", str(fdr), "--summary", "told.json")
    np.testing.assert_array_equal(column(table, "outlier"), expected)
    told = json.loads(Path("told.json").read_text())
    assert told["outliers"] == expected.sum() and told["fdr"] == fdr


def test_fdr_may_call_nothing_and_excludes_contamination(capsys):
    X = make(300)
    parquet.write_table(as_table(X), "in.parquet")
    assert not column(score("in.parquet", "--fdr", "1e-6"), "outlier").any()
    with pytest.raises(SystemExit) as stop:
        score("in.parquet", "--fdr", "0.1", "--contamination", "0.1")
    assert stop.value.code == 2 and "--fdr and --contamination" in capsys.readouterr().err


def test_the_note_says_what_share_of_usual_rows_the_threshold_calls(capsys, tmp_path):
    """Of fresh usual rows about as many are called as the note says, for every way of calibrating."""
    pd = pytest.importorskip("pandas", reason="needs pandas")
    rng = np.random.default_rng(3)
    fresh = rng.normal(size=(4000, 2))
    for n in (60, 3000):  # cross-conformal, and rows left over by the trees
        rows = rng.normal(size=(n, 2))
        table = tmp_path / f"{n}.csv"
        np.savetxt(table, rows, delimiter=",", header="a,b", comments="")
        model, summary = tmp_path / f"{n}.forest", tmp_path / f"{n}.json"
        cli.main(["score", str(table), "-o", str(tmp_path / "o.csv"), "--save", str(model), "--summary", str(summary)])
        told = capsys.readouterr().err
        share = float(re.search(r"above the threshold 0\.5000, as about ([\d.]+)% of usual rows are", told)[1]) / 100
        assert json.loads(summary.read_text())["usual_called"] == pytest.approx(share, abs=5.1e-4)
        called = np.mean(
            -IsolationMondrianForest.load(model).score_samples(pd.DataFrame(fresh, columns=["a", "b"])) > 0.5
        )
        assert abs(called - share) < (0.12 if n == 60 else 0.03)
        # The way out is for those who have chosen no threshold, neither now nor when the model was made.
        assert told.rstrip().endswith("of usual rows are; --contamination 0.01 calls the oddest 1% instead")
        for chosen in (["--contamination", "0.3"], ["--model", str(model)]):
            cli.main(["score", str(table), "-o", str(tmp_path / "o.csv"), *chosen])
            told = capsys.readouterr().err
            assert "of usual rows are" in told and "--contamination" not in told
    cli.main(["score", str(table), "-o", str(tmp_path / "o.csv"), "--fdr", "0.1"])
    assert "usual rows" not in capsys.readouterr().err
