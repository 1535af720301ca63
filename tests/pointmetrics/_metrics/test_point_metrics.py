"""DCD, Hausdorff, F-score and compare() against their formulas."""

import numpy as np
import pytest
from points_oracles import dcd, finite_difference, sq_dist_matrix

import pointmetrics as pm


def clouds(n, m, seed=0, scale=1.0, d=3):
    rng = np.random.default_rng(seed)
    return rng.random((n, d)) * scale, rng.random((m, d)) * scale


class TestDensityAwareChamfer:
    @pytest.mark.parametrize("n, m", [(60, 60), (40, 80), (90, 45)])
    @pytest.mark.parametrize("non_reg", [False, True])
    @pytest.mark.parametrize("alpha, n_lambda", [(1000, 1), (40, 0.5), (0, 0)])
    def test_equals_the_formula(self, n, m, non_reg, alpha, n_lambda):
        x, y = clouds(n, m, scale=0.2)
        for flag, eps in ((True, 1e-6), (False, 0.0)):
            value = pm.density_aware_chamfer_distance(
                x, y, alpha=alpha, n_lambda=n_lambda, non_reg=non_reg, reference_eps=flag
            )
            np.testing.assert_allclose(value, dcd(x, y, alpha, n_lambda, non_reg, eps), rtol=1e-12)

    def test_known_values(self):
        x, _ = clouds(100, 1)
        assert pm.density_aware_chamfer_distance(x, x) == 0
        np.testing.assert_allclose(pm.density_aware_chamfer_distance(x, x, reference_eps=True), 1e-6, rtol=1e-3)
        assert pm.density_aware_chamfer_distance(x, x + 100) == 1

    def test_gradient_equals_finite_differences(self):
        x, y = clouds(12, 9, seed=1)
        options = {"alpha": 3.0, "n_lambda": 0.5}
        value, (grad_x, grad_y) = pm.density_aware_chamfer_distance(x, y, return_grad=True, **options)
        assert value == pm.density_aware_chamfer_distance(x, y, **options)
        np.testing.assert_allclose(
            grad_x, finite_difference(lambda a: pm.density_aware_chamfer_distance(a, y, **options), x), atol=1e-7
        )
        np.testing.assert_allclose(
            grad_y, finite_difference(lambda a: pm.density_aware_chamfer_distance(x, a, **options), y), atol=1e-7
        )

    @pytest.mark.parametrize("bad", [{"alpha": -1}, {"n_lambda": float("nan")}, {"n_lambda": -0.5}])
    def test_bad_settings_are_named(self, bad):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be"):
            pm.density_aware_chamfer_distance([[0.0]], [[1.0]], **bad)


class TestHausdorff:
    @pytest.mark.parametrize("quantile", [0, 0.5, 0.95, 1])
    def test_equals_the_formula(self, quantile):
        x, y = clouds(70, 40)
        matrix = np.sqrt(sq_dist_matrix(x, y))
        forth, back = np.quantile(matrix.min(1), quantile), np.quantile(matrix.min(0), quantile)
        for direction, expected in (("both", max(forth, back)), ("x_to_y", forth), ("y_to_x", back)):
            np.testing.assert_allclose(
                pm.hausdorff_distance(x, y, quantile=quantile, direction=direction), expected, rtol=1e-13
            )
            with_grad, _ = pm.hausdorff_distance(x, y, quantile=quantile, direction=direction, return_grad=True)
            np.testing.assert_allclose(with_grad, expected, rtol=1e-13)

    @pytest.mark.parametrize("quantile", [0.3, 0.95, 1])
    @pytest.mark.parametrize("direction", ["both", "x_to_y", "y_to_x"])
    def test_gradient_equals_finite_differences(self, quantile, direction):
        x, y = clouds(11, 8, seed=2)
        options = {"quantile": quantile, "direction": direction}
        _, (grad_x, grad_y) = pm.hausdorff_distance(x, y, return_grad=True, **options)
        np.testing.assert_allclose(
            grad_x, finite_difference(lambda a: pm.hausdorff_distance(a, y, **options), x), atol=1e-7
        )
        np.testing.assert_allclose(
            grad_y, finite_difference(lambda a: pm.hausdorff_distance(x, a, **options), y), atol=1e-7
        )

    def test_refuses_what_is_no_quantile(self):
        with pytest.raises(ValueError, match="quantile must be finite and between 0 and 1, got 95"):
            pm.hausdorff_distance([[0.0]], [[1.0]], quantile=95)


class TestFScore:
    def test_equals_the_formula_at_many_thresholds(self):
        x, y = clouds(200, 150)
        matrix = np.sqrt(sq_dist_matrix(x, y))
        taus = [0.01, 0.05, 0.1, 2.0]
        result = pm.f_score(x, y, taus, return_details=True)
        for k, tau in enumerate(taus):
            p, r = (matrix.min(1) < tau).mean(), (matrix.min(0) < tau).mean()
            f = 2 * p * r / (p + r) if p + r else 0.0
            np.testing.assert_allclose([v[k] for v in result], [f, p, r], rtol=1e-14)
            np.testing.assert_allclose(pm.f_score(x, y, tau), f, rtol=1e-14)
            assert pm.f_score(x, y, tau**2, squared=True) == pm.f_score(x, y, tau)

    def test_the_comparison_is_strict(self):
        assert pm.f_score([[0.0]], [[1.0]], 1.0) == 0
        assert pm.f_score([[0.0]], [[1.0]], np.nextafter(1.0, 2)) == 1

    def test_batches_have_thresholds_on_the_last_axis(self):
        x, y = np.random.default_rng(0).random((2, 3, 20, 3))
        assert pm.f_score(x, y, [0.1, 0.2]).shape == (3, 2)
        assert pm.f_score(x, y, 0.1).shape == (3,)

    @pytest.mark.parametrize("bad", [0, -1, float("nan"), [], [[1.0]], "1"])
    def test_bad_thresholds_are_refused(self, bad):
        with pytest.raises(ValueError, match="threshold must be"):
            pm.f_score([[0.0]], [[1.0]], bad)


class TestCompare:
    def test_reports_what_each_metric_says(self):
        x, y = clouds(300, 200)
        result = pm.compare(x, y, thresholds=[0.05], quantiles=[0.9])
        expected = {
            name: pm.chamfer_distance(x, y, convention=name)
            for name in ("cd-l2", "cd-l1", "open3d", "occnet-l2", "pdal")
        }
        expected |= {
            "dcd": pm.density_aware_chamfer_distance(x, y),
            "hausdorff": pm.hausdorff_distance(x, y),
            "hausdorff-90%": pm.hausdorff_distance(x, y, quantile=0.9),
        }
        scores = pm.f_score(x, y, 0.05, return_details=True)
        expected |= dict(zip(("f-score@0.05", "precision@0.05", "recall@0.05"), scores, strict=True))
        assert dict(result) == expected
        assert set(result.units) == set(result)

    @pytest.mark.parametrize("m", [30, 45])
    def test_reports_the_earth_movers_distance_on_request(self, m):
        x, y = clouds(30, m, seed=4)
        result = pm.compare(x, y, emd=True)
        assert result["emd"] == pm.earth_movers_distance(x, y) and result.units["emd"] == "length"
        assert str(result).splitlines()[-1].startswith("emd") and "emd" not in pm.compare(x, y)
        batch = pm.compare([x, y], [y, y[:7]], emd=True)["emd"]
        np.testing.assert_array_equal(batch, [result["emd"], pm.earth_movers_distance(y, y[:7])])
        assert pm.compare(x.astype("f4"), y.astype("f4"), emd=True)["emd"].dtype == np.float32

    def test_prints_every_metric_with_its_unit(self):
        lines = str(pm.compare(*clouds(5, 6))).splitlines()
        assert len(lines) == len(pm.compare(*clouds(5, 6)))
        assert lines[0].startswith("cd-l2") and lines[0].endswith("length^2")
