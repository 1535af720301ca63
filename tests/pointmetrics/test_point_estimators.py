"""CloudDistances for scikit-learn and river, and a stream of scans watched end to end."""

import copy
import pickle
import re
from importlib.util import find_spec

import numpy as np
import pytest

import pointmetrics as pm
from pointmetrics import cli
from pointmetrics._cli import demo as _demo

METRICS = [
    "cd-l1",
    "pcn:x_to_y",
    "pcn:y_to_x",
    "dcd",
    "hausdorff",
    "hausdorff@0.95",
    "hausdorff:y_to_x",
    "f-score@0.1",
    "precision@0.1",
    "recall@0.1",
]


def scans(k=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((50 + 5 * i, 3)) for i in range(k)]


def expected_row(x, y):
    f = pm.f_score(x, y, 0.1, return_details=True)
    return [
        pm.chamfer_distance(x, y, convention="cd-l1"),
        pm.chamfer_distance(x, y, convention="pcn", direction="x_to_y"),
        pm.chamfer_distance(x, y, convention="pcn", direction="y_to_x"),
        pm.density_aware_chamfer_distance(x, y),
        pm.hausdorff_distance(x, y),
        pm.hausdorff_distance(x, y, quantile=0.95),
        pm.hausdorff_distance(x, y, direction="y_to_x"),
        *f,
    ]


class TestSklearn:
    sklearn = pytest.importorskip("sklearn", reason="needs scikit-learn")

    def test_features_are_the_metrics(self):
        clouds, references = scans(), scans(2, seed=1)
        transformer = pm.sklearn.CloudDistances(references, METRICS, previous=True)
        features = transformer.fit_transform(clouds)
        names = transformer.get_feature_names_out()
        assert features.shape == (5, 30) == (5, len(names))
        assert names[0] == "reference0 cd-l1" and names[-1] == "previous recall@0.1"
        for i, cloud in enumerate(clouds):
            others = [*references, clouds[max(i - 1, 0)]]
            np.testing.assert_array_equal(features[i], np.concatenate([expected_row(cloud, o) for o in others]))

    def test_a_fitted_one_is_pickled_and_copied(self):
        clouds = scans()
        fitted = pm.sklearn.CloudDistances(scans(2, seed=1), METRICS, previous=True).fit()
        for twin in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
            np.testing.assert_array_equal(twin.transform(clouds), fitted.transform(clouds))

    def test_clones_and_joins_pipelines(self):
        from sklearn.base import clone
        from sklearn.ensemble import IsolationForest
        from sklearn.pipeline import make_pipeline

        transformer = clone(pm.sklearn.CloudDistances(scans(1)[0], ["cd-l1"]))
        model = make_pipeline(transformer, IsolationForest(n_estimators=10, random_state=0)).fit(scans())
        assert model.score_samples(scans()).shape == (5,)

    def test_matrices_are_precomputed_metrics(self):
        from sklearn.neighbors import KNeighborsClassifier

        clouds = [*scans(4), *(c * 3 for c in scans(4, seed=1))]
        matrix = pm.sets.pairwise_distances(clouds)
        model = KNeighborsClassifier(n_neighbors=2, metric="precomputed").fit(matrix, [0] * 4 + [1] * 4)
        assert model.score(matrix, [0] * 4 + [1] * 4) == 1

    @pytest.mark.parametrize(
        "options, message",
        [
            ({}, "nothing to measure against"),
            ({"reference": np.zeros((3, 2)), "metrics": ["emdd"]}, "metric must be dcd, hausdorff"),
            ({"reference": np.zeros((3, 2)), "metrics": "cd-l1"}, "metrics must be a sequence"),
            ({"reference": np.zeros((3, 2)), "metrics": ["recall"]}, "recall@t"),
            ({"reference": np.zeros((3, 2)), "metrics": ["recall@x"]}, "has 'x' where a number is expected"),
            ({"reference": np.zeros((3, 2)), "metrics": ["cd-l1:up"]}, "direction must be one of"),
            ({"reference": np.zeros((3, 2)), "metrics": ["hausdorff@95"]}, "quantile of 'hausdorff@95' must be"),
        ],
    )
    def test_bad_options_are_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            pm.sklearn.CloudDistances(**options).fit()

    def test_must_be_fitted(self):
        from sklearn.exceptions import NotFittedError

        with pytest.raises(NotFittedError):
            pm.sklearn.CloudDistances(np.zeros((3, 2))).transform([np.zeros((3, 2))])


class TestRiver:
    river = pytest.importorskip("river", reason="needs river")

    def test_gives_the_features_of_the_batch_transformer(self):
        clouds, reference = scans(), scans(1, seed=1)[0]
        batch = pm.sklearn.CloudDistances(reference, METRICS, previous=True).fit_transform(clouds)
        stream = pm.river.CloudDistances(reference, METRICS, previous=True)
        for cloud, row in zip(clouds, batch, strict=True):
            np.testing.assert_array_equal(list(stream.transform_one({"scan": cloud}).values()), row)
            stream.learn_one({"scan": cloud})

    def test_a_pickled_one_goes_on_where_it_was(self):
        clouds = scans()
        transformer = pm.river.CloudDistances(scans(1, seed=1)[0], METRICS, previous=True)
        transformer.learn_one(clouds[0])
        for twin in (pickle.loads(pickle.dumps(transformer)), copy.deepcopy(transformer)):
            assert twin.transform_one(clouds[1]) == transformer.transform_one(clouds[1])

    def test_joins_pipelines_and_clones(self):
        from river import anomaly, compose, preprocessing

        first = pm.river.CloudDistances(scans(1)[0], ["cd-l1"])
        model = compose.Pipeline(first.clone(), preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=0))
        for cloud in scans():
            model.learn_one({"scan": cloud})
        assert 0 <= model.score_one({"scan": scans(1)[0]}) <= 1

    def test_refuses_dicts_of_more_than_a_cloud(self):
        with pytest.raises(ValueError, match=r"only value, got the keys \['a', 'b'\]"):
            pm.river.CloudDistances(np.zeros((3, 2))).transform_one({"a": 1, "b": 2})


class TestStreamOfScans:
    """Scans in which objects appear and the sensor degrades, as features, watched by the online forest."""

    river = pytest.importorskip("river", reason="needs river")
    eventful = sorted(i for scans, _ in _demo.EVENTS.values() for i in scans)

    @pytest.mark.parametrize("seed", range(6))
    def test_alarms_are_raised_at_the_right_scans_and_no_others(self, seed):
        scores = _demo.watch(seed)
        assert len(scores) == _demo.N_SCANS
        assert _demo.alarms(scores) == self.eventful

    @pytest.mark.parametrize("seed", range(4))
    def test_a_calm_stream_raises_no_alarm(self, seed):
        assert _demo.alarms(_demo.watch(seed, events=False)) == []

    def test_the_forest_sees_no_more_than_the_distances(self):
        """Each event moves the features that it should: the alarms come from the clouds, not from chance."""
        rng = np.random.default_rng(0)
        yard = np.concatenate([_demo.lidar_scan(rng) for _ in range(5)])
        features = pm.river.CloudDistances(yard, _demo.METRICS)
        usual = [features.transform_one(_demo.lidar_scan(rng)) for _ in range(30)]
        for (_, options), metric, sign in zip(
            _demo.EVENTS.values(), ("precision@0.3", "recall@0.3", "cd-l1:x_to_y"), (-1, -1, 1), strict=True
        ):
            name = f"reference0 {metric}"
            calm = np.array([row[name] for row in usual])
            changed = features.transform_one(_demo.lidar_scan(rng, **options))[name]
            assert sign * (changed - calm.mean()) > 6 * calm.std()


def test_the_demo_prints_metrics_and_alarms(capsys, tmp_path):
    pytest.importorskip("rich", reason="needs rich")
    pytest.importorskip("river", reason="needs river")
    cli.main(["demo", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    for text in ("hausdorff", "emd", "length^2", "two boxes appear", "all other from 100"):
        assert text in printed
    assert printed.count("5 of 5") == 3 and "0 of 485" in printed
    report = tmp_path / "report.html"
    assert "<html" in report.read_text(encoding="utf-8") and str(report) in printed
    if find_spec("matplotlib"):
        assert (tmp_path / "clouds.png").stat().st_size > 10_000
    if find_spec("ot"):  # two solvers of one problem
        exact, theirs = (float(re.search(rf"{what} ([0-9.]+\d)", printed)[1]) for what in ("costs", "finds"))
        assert exact == pytest.approx(theirs, rel=1e-9)


def test_info_names_versions(capsys):
    cli.main(["info"])
    printed = capsys.readouterr().out
    assert f"numpy: {np.__version__}" in printed and "instruction set: " in printed
    with pytest.raises(SystemExit):
        cli.main(["unknown"])
