"""CloudDistances for scikit-learn and river, and a stream of scans watched end to end."""

import numpy as np
import pytest

import pointmetrics as pm

METRICS = ["cd-l1", "pcn:x_to_y", "pcn:y_to_x", "dcd", "hausdorff", "hausdorff@0.95", "hausdorff:y_to_x",
           "f-score@0.1", "precision@0.1", "recall@0.1"]


def scans(k=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random((50 + 5 * i, 3)) for i in range(k)]


def expected_row(x, y):
    f = pm.f_score(x, y, 0.1, return_details=True)
    return [pm.chamfer_distance(x, y, convention="cd-l1"),
            pm.chamfer_distance(x, y, convention="pcn", direction="x_to_y"),
            pm.chamfer_distance(x, y, convention="pcn", direction="y_to_x"),
            pm.density_aware_chamfer_distance(x, y), pm.hausdorff_distance(x, y),
            pm.hausdorff_distance(x, y, quantile=0.95), pm.hausdorff_distance(x, y, direction="y_to_x"), *f]


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

    @pytest.mark.parametrize("options, message", [
        ({}, "nothing to measure against"),
        ({"reference": np.zeros((3, 2)), "metrics": ["emdd"]}, "metric must be dcd, hausdorff"),
        ({"reference": np.zeros((3, 2)), "metrics": "cd-l1"}, "metrics must be a sequence"),
        ({"reference": np.zeros((3, 2)), "metrics": ["recall"]}, "recall@t"),
        ({"reference": np.zeros((3, 2)), "metrics": ["recall@x"]}, "has 'x' where a number is expected"),
        ({"reference": np.zeros((3, 2)), "metrics": ["cd-l1:up"]}, "direction must be one of"),
        ({"reference": np.zeros((3, 2)), "metrics": ["hausdorff@95"]}, "quantile of 'hausdorff@95' must be"),
    ])
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


def lidar_scan(rng, objects=0, dropout=0.0, noise=0.01):
    """Rings of ground returns around the sensor; boxes may stand on it, and rays may get lost."""
    angle = rng.random(1500) * 2 * np.pi
    radius = rng.choice(np.linspace(3, 20, 12), 1500)
    ground = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(1500)])
    boxes = [rng.random((80, 3)) * [1.5, 1.5, 2.0] + [6 + 3 * k, 2 - 3 * k, 0] for k in range(objects)]
    scan = np.concatenate([ground, *boxes])
    scan = scan[rng.random(len(scan)) >= dropout]
    return scan + rng.normal(size=scan.shape) * noise


EVENTS = {120: {"objects": 2}, 160: {"dropout": 0.7}, 200: {"noise": 0.3}}


def test_features_jump_at_the_scans_where_something_happens():
    rng = np.random.default_rng(0)
    watch = pm.sklearn.CloudDistances(lidar_scan(rng), ["cd-l1:x_to_y", "cd-l1:y_to_x", "hausdorff@0.99"])
    rows = watch.fit_transform([lidar_scan(rng, **EVENTS.get(i, {})) for i in range(220)])
    usual = np.delete(rows, list(EVENTS), axis=0)
    surprise = (np.abs(rows - np.median(usual, axis=0)) / usual.std(axis=0)).max(axis=1)
    assert set(np.argsort(surprise)[-3:]) == set(EVENTS)


@pytest.mark.slow
def test_the_online_forest_raises_its_alarms_at_the_right_scans():
    online = pytest.importorskip("imondrian.river", reason="needs the online forest and river", exc_type=ImportError)
    rng = np.random.default_rng(0)
    features = pm.river.CloudDistances(lidar_scan(rng), ["cd-l1:x_to_y", "cd-l1:y_to_x", "hausdorff@0.99"])
    forest = online.OnlineIsolationMondrianForest(n_trees=50, seed=0)
    scores = []
    for i in range(220):
        x = features.transform_one(lidar_scan(rng, **EVENTS.get(i, {})))
        scores.append(forest.score_one(x))
        forest.learn_one(x)
    assert set(np.argsort(scores[100:])[-3:] + 100) == set(EVENTS)
