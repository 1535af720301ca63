"""Pictures of forests: what is drawn is what was asked for."""

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pictures need matplotlib")

import matplotlib.pyplot as plt

from imondrian import IsolationMondrianForest, plot


@pytest.fixture(autouse=True)
def _closed_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def drawn(ax, label):
    """Return the points that a timeline draws under a label."""
    found = [collection for collection in ax.collections if collection.get_label() == label]
    return np.concatenate([np.asarray(c.get_offsets()) for c in found]) if found else np.empty((0, 2))


def test_a_timeline_marks_anomalies_and_alarms():
    rng = np.random.default_rng(0)
    scores = rng.random(400)
    anomalous, alarms = scores > 0.9, rng.random(400) > 0.95
    ax = plot.score_timeline(scores, anomalous, alarms=alarms, threshold=0.8)
    points = np.column_stack([np.arange(400), scores])
    for label, marks in (("normal", ~anomalous), ("true anomaly", anomalous), ("alarm", alarms)):
        assert np.array_equal(drawn(ax, label), points[marks])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["normal", "true anomaly", "alarm", "threshold"]
    line = next(line for line in ax.lines if line.get_label() == "threshold")
    assert set(line.get_ydata()) == {0.8}


def test_a_timeline_without_marks_shows_scores_only():
    ax = plot.score_timeline([0.1, 0.2, 0.3], [0, 0, 0], alarms=[False] * 3)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["score"]
    assert len(drawn(ax, "score")) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": np.zeros((2, 2))}, r"scores must have shape \(n,\), got \(2, 2\)"),
        ({"scores": np.zeros(3), "anomalous": [True]}, r"anomalous must have the shape of scores, \(3,\), got \(1,\)"),
        (
            {"scores": np.zeros(3), "alarms": np.zeros((3, 1))},
            r"alarms must have the shape of scores, .*, got \(3, 1\)",
        ),
    ],
)
def test_a_timeline_refuses_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        plot.score_timeline(**options)
    assert not plt.get_fignums()


def test_a_decision_map_draws_the_boundary_where_the_decision_changes():
    X = np.concatenate([np.random.default_rng(0).normal(size=(300, 2)), [[6.0, 6.0], [-6.0, 5.0]]])
    forest = IsolationMondrianForest(random_state=0).fit(X)
    ax = plot.decision_map(forest, X, resolution=60)
    labels = forest.predict(X)
    assert np.array_equal(drawn(ax, "inlier"), X[labels > 0]) and np.array_equal(drawn(ax, "outlier"), X[labels < 0])
    boundary = [c for c in ax.collections if np.array_equal(getattr(c, "levels", ()), [0.0])]
    corners = np.concatenate([path.vertices for path in boundary[0].get_paths()])
    # Between two cells of the map the decision function crosses 0: there it is small against its range.
    values = forest.decision_function(corners)
    assert np.abs(values).max() < 0.25 * np.ptp(forest.decision_function(X))


def test_a_decision_map_needs_two_features():
    with pytest.raises(ValueError, match=r"X must have shape \(n, 2\), got \(4, 3\)"):
        plot.decision_map(IsolationMondrianForest(), np.zeros((4, 3)))


def test_a_timeline_of_a_detector_draws_what_it_says():
    X = np.random.default_rng(0).normal(size=(200, 3))
    forest = IsolationMondrianForest(random_state=0).fit(X)
    truth = np.arange(200) < 5
    ax = plot.score_timeline(forest, X, truth)
    assert np.array_equal(drawn(ax, "true anomaly")[:, 1], -forest.score_samples(X)[truth])
    old = plot.score_timeline(-forest.score_samples(X), truth)  # scores in its place
    assert np.array_equal(drawn(ax, "normal"), drawn(old, "normal"))
    named = plot.score_timeline(scores=-forest.score_samples(X), anomalous=truth)
    assert np.array_equal(drawn(ax, "normal"), drawn(named, "normal"))
    with pytest.raises(TypeError, match="needs X"):
        plot.score_timeline(forest)


def test_a_timeline_of_a_stream_s_model_scores_without_learning():
    river = pytest.importorskip("imondrian.river", reason="needs river")
    X = np.random.default_rng(0).normal(size=(200, 3))
    model = river.OnlineIsolationMondrianForest(n_trees=10, seed=0)
    model.learn_many(X)
    assert np.array_equal(drawn(plot.score_timeline(model, X), "score")[:, 1], model.score_many(X))


def bars(ax):
    return [(text.get_text(), patch.get_width()) for text, patch in zip(ax.get_yticklabels(), ax.patches, strict=True)]


def test_an_explanation_of_a_detector_is_that_of_its_contributions():
    pd = pytest.importorskip("pandas", reason="needs pandas")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=["a", "b", "c"])
    frame.loc[7] = [6.0, 0.0, -5.0]
    forest = IsolationMondrianForest(random_state=0).fit(frame)
    row = frame.iloc[[7]]
    old = bars(plot.plot_explanation(forest.explain(row)[0], row.to_numpy()[0], feature_names=["a", "b", "c"]))
    assert {label for label, _ in old} == {"a = 6", "b = 0", "c = -5"}
    for point in (row, frame.iloc[7]):
        assert bars(plot.plot_explanation(forest, point)) == old
    array = IsolationMondrianForest(random_state=0).fit(frame.to_numpy())
    assert [size for _, size in bars(plot.plot_explanation(array, row.to_numpy()))] == [size for _, size in old]
    river = pytest.importorskip("imondrian.river", reason="needs river")
    model = river.OnlineIsolationMondrianForest(n_trees=10, seed=0)
    model.learn_many(frame)
    x = row.iloc[0].to_dict()
    assert bars(plot.plot_explanation(model, x)) == bars(plot.plot_explanation(model.explain_one(x), x))


@pytest.mark.parametrize(
    ("point", "error", "message"),
    [
        (None, ValueError, r"X must be one point, .* got \(\)"),
        (np.zeros((2, 3)), ValueError, r"X must be one point.*\(2, 3\)"),
        (3.0, ValueError, "X must be one point"),
    ],
)
def test_an_explanation_is_of_one_point(point, error, message):
    forest = IsolationMondrianForest(random_state=0).fit(np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(error, match=message):
        plot.plot_explanation(forest, point)
    with pytest.raises(TypeError, match="needs a detector and X, or contributions"):
        plot.plot_explanation()


def test_a_decision_map_draws_points_that_lack_values_over_a_plane_of_numbers():
    X = np.random.default_rng(0).normal(size=(60, 2))
    X[3, 0] = X[4, 1] = X[5, 0] = X[5, 1] = np.nan
    forest = IsolationMondrianForest(8, random_state=0).fit(X)
    asked = []

    class Detector:
        predict = staticmethod(forest.predict)

        @staticmethod
        def decision_function(cells):
            asked.append(cells)
            return forest.decision_function(cells)

    ax = plot.decision_map(Detector, X, resolution=20)
    assert np.isfinite(asked[0]).all()
    assert (
        sum(
            len(dots.get_offsets())
            for dots in ax.collections
            if len(dots.get_offsets()) and dots.get_label() in ("inlier", "outlier")
        )
        == 60
    )
    drawn = np.concatenate(
        [np.asarray(dots.get_offsets()) for dots in ax.collections if dots.get_label() in ("inlier", "outlier")]
    )
    assert np.isfinite(drawn).all()
    X[:, 1] = np.nan
    plot.decision_map(IsolationMondrianForest(8, random_state=0).fit(X), X, resolution=10)


class TestDisplays:
    @pytest.fixture
    def fitted(self):
        X = np.random.default_rng(0).normal(size=(120, 2))
        X[3] = [6.0, -6.0]
        return IsolationMondrianForest(8, random_state=0).fit(X), X

    def test_every_display_draws_again_where_it_is_told(self, fitted):
        forest, X = fitted
        displays = [
            plot.DecisionMapDisplay.from_estimator(forest, X, resolution=20),
            plot.ScoreTimelineDisplay.from_estimator(forest, X, threshold=0.5),
            plot.ScoreHistogramDisplay.from_estimator(forest, X),
            plot.ExplanationDisplay.from_estimator(forest, X[3]),
        ]
        for display in displays:
            first = display.ax_
            assert display.figure_ is first.figure
            _, ax = plt.subplots()
            assert display.plot(ax) is display and display.ax_ is ax and display.figure_ is ax.figure
            assert len(ax.collections) == len(first.collections) and len(ax.patches) == len(first.patches)
            assert ax.get_xlabel() == first.get_xlabel()

    def test_predictions_draw_what_the_estimator_does(self, fitted):
        forest, X = fitted
        scores, truth = -forest.score_samples(X), np.arange(120) == 3
        line = plot.ScoreTimelineDisplay.from_estimator(forest, X, truth, alarms=truth)
        same = plot.ScoreTimelineDisplay.from_predictions(scores, truth, alarms=truth)
        assert np.array_equal(line.scores, scores)
        for label in ("normal", "true anomaly", "alarm"):
            assert np.array_equal(drawn(line.ax_, label), drawn(same.ax_, label))
        hist = plot.ScoreHistogramDisplay.from_estimator(forest, X, truth, bins=9)
        other = plot.ScoreHistogramDisplay.from_predictions(scores, truth, bins=9)
        assert [p.get_height() for p in hist.ax_.patches] == [p.get_height() for p in other.ax_.patches]
        assert sum(p.get_height() for p in hist.ax_.patches) == 120
        told = plot.ExplanationDisplay.from_estimator(forest, X[[3]])
        parts = plot.ExplanationDisplay.from_predictions(forest.explain(X[[3]])[0], X[3])
        assert told.bars == parts.bars
        assert dict(told.bars) == {f"{j} = {X[3, j]:.4g}": part for j, part in enumerate(forest.explain(X[[3]])[0])}

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_a_map_of_a_frame_names_its_axes_and_warns_of_nothing(self, fitted, library):
        frames = pytest.importorskip(library, reason=f"needs {library}")
        _, X = fitted
        frame = frames.DataFrame({"heat": X[:, 0], "load": X[:, 1]})
        forest = IsolationMondrianForest(8, random_state=0).fit(frame)
        display = plot.DecisionMapDisplay.from_estimator(forest, frame, resolution=9)
        assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("heat", "load")
        assert np.array_equal(display.outlier, forest.predict(frame) < 0)

    def test_what_has_no_scores_is_refused(self):
        for display in (plot.ScoreTimelineDisplay, plot.ScoreHistogramDisplay):
            with pytest.raises(TypeError, match=r"estimator must have score_samples .* got a int"):
                display.from_estimator(3, np.zeros((4, 2)))
        assert not plt.get_fignums()

    def test_an_explanation_is_drawn_whatever_explain_returns(self, fitted):
        pytest.importorskip("pandas", reason="needs pandas")
        forest, X = fitted
        expected = plot.ExplanationDisplay.from_estimator(forest, X[3]).bars
        forest.set_output(transform="pandas")
        assert plot.ExplanationDisplay.from_estimator(forest, X[3]).bars == expected
