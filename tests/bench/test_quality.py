"""The quality protocols, on tiny data: what is learnt when, and that the figures are scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import forest_data
import forest_detectors
import forest_protocols as protocols
import numpy as np
import pytest
import quality_forest
from forest_data import DataSet, TooFewAnomaliesError, at_most, data_folder, data_sets, load_npz, split_70_30
from forest_tables import details, summary, times
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split


@pytest.fixture
def tiny() -> DataSet:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = np.zeros(120, dtype=np.int64)
    y[rng.choice(120, 20, replace=False)] = 1
    X[y == 1] *= 3.0
    return DataSet("tiny", X, y)


class Recorder(forest_detectors.Detector):
    """Remembers what it was given; scores by distance from the origin."""

    def __init__(self) -> None:
        self.fitted: list[np.ndarray] = []
        self.learnt: list[np.ndarray] = []

    def fit(self, X: np.ndarray) -> Recorder:
        self.fitted.append(X)
        return self

    def learn(self, X: np.ndarray) -> None:
        self.learnt.append(X)

    def scores(self, X: np.ndarray) -> np.ndarray:
        return np.linalg.norm(X, axis=1)


def _rows(X: np.ndarray) -> set[tuple[float, ...]]:
    return set(map(tuple, X.tolist()))


# -- protocols -----------------------------------------------------------------------------------------


def test_stages_are_stratified_and_cover_every_row_once(tiny: DataSet) -> None:
    parts = protocols.stages(tiny.y, 5, seed=3)
    assert len(parts) == 5
    assert sorted(np.concatenate(parts)) == list(range(120))
    assert [int(tiny.y[part].sum()) for part in parts] == [4] * 5


def test_online_learns_every_stage_once_and_scores_all_seen(tiny: DataSet) -> None:
    recorder = Recorder()
    figures = list(protocols.online(tiny, "recorder", lambda seed: recorder, seed=1))
    assert len(recorder.fitted) == 1
    assert len(recorder.learnt) == 4
    stages = [*recorder.fitted, *recorder.learnt]
    assert sum(map(len, stages)) == 120
    assert set().union(*map(_rows, stages)) == _rows(tiny.X)
    assert [figure.part for figure in figures] == [f"stage {stage}" for stage in range(1, 6)]
    rows = np.concatenate(protocols.stages(tiny.y, 5, seed=1)[:3])
    expected = roc_auc_score(tiny.y[rows], np.linalg.norm(tiny.X[rows], axis=1))
    assert figures[2].auc == pytest.approx(expected)


def test_online_really_extends_our_forest(tiny: DataSet) -> None:
    made = []

    def make(seed: int) -> forest_detectors.Detector:
        made.append(forest_detectors.OURS["ours, depth"].make(seed))
        return made[0]

    assert len(list(protocols.online(tiny, "ours", make))) == 5
    assert len(made) == 1
    assert made[0].model.forest_.mass == 120


def test_batch_auc_equals_scikit_learns_on_every_fold(tiny: DataSet) -> None:
    make = forest_detectors.BATCH["IsolationForest"].make
    figures = list(protocols.batch(tiny, "forest", make, seed=2, n_folds=4))
    splits = StratifiedKFold(4, shuffle=True, random_state=2).split(tiny.X, tiny.y)
    expected = []
    for fold, (train, test) in enumerate(splits):
        model = IsolationForest(n_estimators=100, random_state=2 * 4 + fold).fit(tiny.X[train])
        expected += [roc_auc_score(tiny.y[rows], -model.score_samples(tiny.X[rows])) for rows in (train, test)]
    assert [figure.auc for figure in figures] == pytest.approx(expected)
    assert [figure.part for figure in figures] == ["train", "test"] * 4


def test_adbench_fits_70_percent_and_measures_the_rest(tiny: DataSet) -> None:
    recorder = Recorder()
    (figure,) = protocols.adbench(tiny, "recorder", lambda seed: recorder, seed=4, max_rows=100)
    rows = np.random.default_rng(4).choice(120, 100, replace=False)
    X, y = tiny.X[rows], tiny.y[rows]
    X_train, X_test, _, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=4)
    assert np.array_equal(recorder.fitted[0], X_train)
    scores = np.linalg.norm(X_test, axis=1)
    assert figure.auc == pytest.approx(roc_auc_score(y_test, scores))
    assert figure.ap == pytest.approx(average_precision_score(y_test, scores))


def test_embeddings_are_measured_as_adbench_and_timed(tmp_path: Path, tiny: DataSet) -> None:
    (figure,) = protocols.embeddings(tiny, "recorder", lambda seed: Recorder(), seed=4)
    (same,) = protocols.adbench(tiny, "recorder", lambda seed: Recorder(), seed=4)
    assert figure[:6] == same[:6] and figure.fit_s > 0 and figure.row_s > 0
    (tmp_path / "embeddings").mkdir()
    _save(tmp_path / "embeddings", "tiny.npz", tiny)
    figures = quality_forest.run("embeddings", data=str(tmp_path), seeds=1, detectors=["kNN(1)", "kNN(5), mean"])
    X_train, X_test, _, y_test = split_70_30(tiny, 0)
    mean, std = X_train.mean(axis=0), X_train.std(axis=0)
    away = np.linalg.norm((X_test - mean)[:, None] / std - ((X_train - mean) / std)[None], axis=2)
    expected = [away.min(axis=1), np.sort(away, axis=1)[:, :5].mean(axis=1)]
    assert [f.auc for f in figures] == pytest.approx([roc_auc_score(y_test, scores) for scores in expected])
    assert "score a row" in times(figures)


def test_too_few_anomalies_to_split_is_an_error_of_its_own(tiny: DataSet) -> None:
    lonely = DataSet("lonely", tiny.X, (np.arange(120) == 5).astype(np.int64))
    with pytest.raises(TooFewAnomaliesError, match="1 anomalies among 120 rows"):
        list(protocols.adbench(lonely, "recorder", lambda seed: Recorder()))
    with pytest.raises(TooFewAnomaliesError, match="need 2 of each kind"):
        list(protocols.batch(lonely, "recorder", lambda seed: Recorder()))
    few = DataSet("few", tiny.X, (np.arange(120) < 4).astype(np.int64))
    with pytest.raises(TooFewAnomaliesError, match=r"4 anomalies among 120 rows .* 5 stages need one each"):
        list(protocols.online(few, "recorder", lambda seed: Recorder()))


def test_scores_that_are_not_finite_are_not_averaged_away(tiny: DataSet) -> None:
    scores = np.zeros(120)
    scores[7] = np.nan
    with pytest.raises(ValueError, match="bad gave 1 scores of tiny that are not finite"):
        protocols.measure("tiny", "bad", "test", 0, tiny.y, scores)


# -- detectors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", forest_detectors.ONLINE)
def test_every_incremental_detector_scores_high_for_anomalies(name: str) -> None:
    entry = forest_detectors.ONLINE[name]
    pytest.importorskip(entry.needs, reason=f"{name} needs {entry.needs}")
    rng = np.random.default_rng(0)
    X = rng.uniform(0.4, 0.6, size=(600, 2))
    detector = entry.make(0).fit(X[:300])
    detector.learn(X[300:])
    normal, far = detector.scores(np.array([[0.5, 0.5], [0.95, 0.05]]))
    assert far > normal


def test_incremental_lof_equals_lof_on_everything_seen(tiny: DataSet) -> None:
    from sklearn.neighbors import LocalOutlierFactor

    detector = forest_detectors.IncrementalLof().fit(tiny.X[:50])
    detector.learn(tiny.X[50:])
    expected = LocalOutlierFactor(n_neighbors=10).fit(tiny.X).negative_outlier_factor_
    assert np.allclose(detector.scores(tiny.X), -expected)


def test_detectors_that_are_not_installed_are_named_and_left_out() -> None:
    entries = {
        "here": forest_detectors.Entry("numpy", lambda seed: Recorder()),
        "away": forest_detectors.Entry("no_such_module", lambda seed: Recorder()),
    }
    found, missing = forest_detectors.available(entries)
    assert list(found) == ["here"]
    assert missing == ["away (needs no_such_module)"]
    with pytest.raises(ValueError, match="no detector named 'nobody'"):
        forest_detectors.available(entries, ["nobody"])


# -- data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in forest_data.BUNDLED if name != "shuttle_stream"])
def test_bundled_sets_are_labelled_and_deterministic(name: str) -> None:
    first, second = forest_data.BUNDLED[name](), forest_data.BUNDLED[name]()
    assert first.name == name
    assert np.array_equal(first.X, second.X)
    assert 0.02 < first.y.mean() < 0.12
    assert set(first.y) == {0, 1}


def test_shuttle_stream_is_in_rivers_order() -> None:
    pytest.importorskip("river", reason="needs river, which ships the stream")
    data = forest_data.shuttle(200)
    assert data.X.shape == (200, 9)
    assert data.X[0].tolist() == [50, 21, 77, 0, 28, 0, 27, 48, 22]
    assert data.y[0] == 1


def _save(folder: Path, name: str, data: DataSet) -> None:
    np.savez(folder / name, X=data.X.astype(np.float32), y=data.y[:, None])


def test_folder_of_npz_is_loaded_by_name(tmp_path: Path, tiny: DataSet) -> None:
    _save(tmp_path, "12_tiny.npz", tiny)
    _save(tmp_path, "other.npz", tiny)
    names = [load().name for load in data_sets(tmp_path, bundled=False)]
    assert names == ["other", "tiny"]
    (load,) = data_sets(tmp_path, ["tiny"])
    data = load()
    assert data.X.dtype == np.float64
    assert np.array_equal(data.y, tiny.y)
    with pytest.raises(ValueError, match="no data set named 'absent'"):
        list(data_sets(tmp_path, ["absent"]))


def test_damaged_files_are_named(tmp_path: Path, tiny: DataSet) -> None:
    np.savez(tmp_path / "a.npz", X=tiny.X)
    np.savez(tmp_path / "b.npz", X=tiny.X, y=tiny.y[:5])
    with pytest.raises(ValueError, match=r"a\.npz must hold arrays X and y, lacks y"):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"b\.npz must hold X \(n, d\) and y \(n,\)"):
        load_npz(tmp_path / "b.npz")


def test_folder_is_argument_then_environment_then_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "root" / "adbench").mkdir(parents=True)
    monkeypatch.setenv("IMONDRIAN_DATA", str(tmp_path / "root"))
    assert data_folder(tmp_path / "named") == tmp_path / "named"
    assert data_folder() == tmp_path / "root" / "adbench"
    monkeypatch.delenv("IMONDRIAN_DATA")
    monkeypatch.setattr(forest_data, "FALLBACK", tmp_path / "absent")
    assert data_folder() is None
    with pytest.raises(FileNotFoundError, match="does not exist"):
        data_folder(tmp_path / "absent")


def test_at_most_keeps_small_sets_as_they_are(tiny: DataSet) -> None:
    assert at_most(tiny, 120, 0) is tiny
    assert at_most(tiny, None, 0) is tiny
    assert len(at_most(tiny, 30, 0).X) == 30


# -- the command ---------------------------------------------------------------------------------------


def test_missing_folder_is_said_and_bundled_sets_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("IMONDRIAN_DATA", raising=False)
    monkeypatch.setattr(forest_data, "FALLBACK", tmp_path / "absent")
    file = tmp_path / "table.md"
    assert (
        quality_forest.main(
            [
                "adbench",
                "--sets",
                "wine_class0",
                "--seeds",
                "2",
                "--detectors",
                "ours, depth; IsolationForest",
                "--markdown",
                str(file),
            ]
        )
        == 0
    )
    printed, said = capsys.readouterr()
    assert "IMONDRIAN_DATA" in said
    assert "| ours, depth" in printed
    assert "| wine_class0 |" in printed
    assert file.read_text(encoding="utf-8") == printed


def test_sets_without_enough_anomalies_are_left_out_saying_so(
    tmp_path: Path, tiny: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path, "tiny.npz", tiny)
    _save(tmp_path, "lonely.npz", DataSet("lonely", tiny.X, (np.arange(120) == 5).astype(np.int64)))
    figures = quality_forest.run("adbench", data=str(tmp_path), seeds=2, detectors=["ours, depth"])
    assert {figure.data for figure in figures} == {"tiny"}
    assert "left out: lonely: 1 anomalies among 120 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["adbench", "--data", "/no/such/folder"], ["batch", "--sets", "absent"], ["online", "--detectors", "nobody"]],
)
def test_bad_arguments_end_with_a_message(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        quality_forest.main(arguments)
    said = capsys.readouterr().err
    assert "does not exist" in said or "no data set named" in said or "no detector named" in said


def test_tables_have_mean_spread_and_losses() -> None:
    figures = [
        protocols.Figure(data, method, "test", seed, auc + 0.1 * seed, 0.5)
        for data in ("a", "b")
        for method, auc in (("ours", 0.6), ("IsolationForest", 0.7))
        for seed in (0, 1)
    ]
    text = summary(figures)
    ours = next(line for line in text.splitlines() if line.startswith("| ours"))
    cells = [cell.strip() for cell in ours.strip("|").split("|")]
    assert cells == ["ours", ".650", ".050", ".650", ".500", "0 / 0 / 2", "-0.100 a"]
    assert ".650 ± .050" in details(figures)
