"""Sets of clouds against the loops that papers use."""

import numpy as np
import pytest
from points_oracles import chamfer

import pointmetrics as pm
from pointmetrics import sets


def make(k, seed, n=60, spread=1.0):
    return (np.random.default_rng(seed).random((k, n, 3)) - 0.5) * spread


def loop(a, b, key="cd-l2"):
    return np.array([[chamfer(x, y, key) for y in b] for x in a])


@pytest.mark.parametrize("metric", ["cd-l2", "cd-l1", "pdal", "open3d"])
@pytest.mark.parametrize("n", [40, 700])
def test_chamfer_matrix_equals_a_loop(metric, n):
    a, b = make(4, 0, n), make(3, 1, n - 10)
    np.testing.assert_allclose(sets.pairwise_distances(a, b, metric), loop(a, b, metric), rtol=1e-12)
    within = sets.pairwise_distances(a, metric=metric, block=2)
    np.testing.assert_allclose(within, loop(a, a, metric), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(within, within.T)


def test_other_metrics_ragged_sets_and_functions():
    a, b = [c[: 20 + i] for i, c in enumerate(make(3, 2))], [c[: 30 - i] for i, c in enumerate(make(2, 3))]
    for name, function in (("dcd", pm.density_aware_chamfer_distance), ("hausdorff", pm.hausdorff_distance)):
        expected = [[function(x, y) for y in b] for x in a]
        np.testing.assert_array_equal(sets.pairwise_distances(a, b, name), expected)
        np.testing.assert_array_equal(sets.pairwise_distances(a, b, function), expected)
    np.testing.assert_allclose(sets.pairwise_distances(a, b), loop(a, b), rtol=1e-12)


def test_bits_do_not_depend_on_threads_or_blocks():
    a = make(7, 4).astype(np.float32)
    first = sets.pairwise_distances(a, n_threads=1)
    for threads, block in ((2, 20_000), (5, 3)):
        assert sets.pairwise_distances(a, n_threads=threads, block=block).tobytes() == first.tobytes()


def test_progress_and_checkpoint(tmp_path, capsys):
    a, b = make(5, 5), make(4, 6)
    path, calls = tmp_path / "matrix.npz", []
    expected = sets.pairwise_distances(a, b)

    def metric(x, y):
        calls.append(len(x))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return pm.chamfer_distance(x, y)

    with pytest.raises(KeyboardInterrupt):
        sets.pairwise_distances(a, b, metric, checkpoint=path, metric_name="counted", block=6)
    assert calls == [6, 6, 6]
    seen = []
    resumed = sets.pairwise_distances(
        a, b, metric, checkpoint=path, metric_name="counted", block=6, progress=lambda *at: seen.append(at)
    )
    assert calls == [6, 6, 6, 6, 2] and seen == [(6, 8), (8, 8)]
    np.testing.assert_allclose(resumed, expected, rtol=1e-12)
    with pytest.raises(ValueError, match="checkpoint of other clouds"):
        sets.pairwise_distances(a, b + 1, metric, checkpoint=path, metric_name="counted")
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is no checkpoint"):
        sets.pairwise_distances(a, b, metric, checkpoint=path)
    sets.pairwise_distances(a, b, progress=True)
    assert "20/20 pairs" in capsys.readouterr().err


class TestEvaluate:
    def test_equals_the_formulas(self):
        samples, references = make(9, 7), make(7, 8, spread=0.9)
        sr, rr, ss = loop(samples, references), loop(references, references), loop(samples, samples)
        result = sets.evaluate(samples, references)
        np.testing.assert_allclose(result.mmd.value, np.mean([sr[:, r].min() for r in range(7)]), rtol=1e-12)
        assert result.cov.value == len({int(sr[s].argmin()) for s in range(9)}) / 7
        right = 0
        for i in range(16):
            others = (
                [(rr[i, j] if j < 7 else sr[j - 7, i], j < 7) for j in range(16) if j != i]
                if i < 7
                else [(sr[i - 7, j] if j < 7 else ss[i - 7, j - 7], j < 7) for j in range(16) if j != i]
            )
            right += min(others, key=lambda pair: pair[0])[1] == (i < 7)
        assert result.one_nna.value == right / 16
        np.testing.assert_allclose(result.swapped["mmd"].value, sr.min(axis=1).mean(), rtol=1e-12)
        assert result.swapped["cov"].value == len({int(sr[:, r].argmin()) for r in range(7)}) / 9

    def test_swapping_the_sets_swaps_the_report(self):
        one, two = make(6, 9), make(8, 10)
        forth, back = sets.evaluate(one, two), sets.evaluate(two, one)
        assert forth.swapped["mmd"].value == pytest.approx(back.mmd.value)
        assert forth.swapped["cov"].value == back.cov.value
        assert forth.one_nna.value == back.one_nna.value
        assert forth.jsd == pytest.approx(back.jsd)

    def test_ends_of_the_scale(self):
        clouds = make(6, 11)
        far = sets.evaluate(clouds, clouds + 5)
        assert far.one_nna.value == 1 and far.jsd is None
        same = sets.evaluate(clouds, clouds)
        assert same.mmd.value == 0 and same.cov.value == 1 and same.one_nna.value == 0 and same.jsd == 0

    def test_intervals_hold_the_value_and_repeat(self):
        samples, references = make(12, 12), make(10, 13)
        first, second = (sets.evaluate(samples, references, seed=3) for _ in range(2))
        for name in ("mmd", "cov", "one_nna"):
            estimate = getattr(first, name)
            assert estimate.low <= estimate.value <= estimate.high and estimate.low < estimate.high
            assert estimate == getattr(second, name)
        assert "1-NNA" in str(first) and "swapped" in str(first)

    def test_refuses_what_cannot_be_compared(self):
        with pytest.raises(ValueError, match="samples and references must have the same dimension d, got 3 and 2"):
            sets.evaluate(make(2, 0), make(2, 0)[:, :, :2])
        with pytest.raises(ValueError, match=r"a must be a set"):
            sets.pairwise_distances(make(2, 0)[0])
        with pytest.raises(ValueError, match="metric must be a function or one of"):
            sets.pairwise_distances(make(2, 0), metric="cd")
        with pytest.raises(ValueError, match="normalization must be one of"):
            sets.evaluate(make(2, 0), make(2, 0), normalization="unit")


def test_normalizations():
    clouds = [c * 3 + 1 for c in make(3, 14)]
    for cloud in sets.normalize(clouds, "shape-box"):
        np.testing.assert_allclose(cloud.max(axis=0) + cloud.min(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(np.ptp(cloud, axis=0).max(), 2)
    for cloud in sets.normalize(clouds, "shape-std"):
        np.testing.assert_allclose(cloud.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(cloud.std(), 1)
    pooled = np.concatenate(clouds)
    together = sets.normalize(make(2, 15), "global", references=clouds)
    np.testing.assert_allclose(together[0], (make(2, 15)[0] - pooled.mean(axis=0)) / pooled.std(), rtol=1e-12)
    assert (sets.normalize([np.ones((4, 3))], "shape-box")[0] == 0).all()


def test_jensen_shannon_divergence_of_known_occupancies():
    left, right = np.full((2, 5, 3), -0.1), np.full((2, 5, 3), 0.1)
    assert sets.jensen_shannon_divergence(left, right) == 1
    half = np.concatenate([left, right])
    p, q = np.array([1, 0]), np.array([0.5, 0.5])
    m = (p + q) / 2
    expected = (np.sum(p[:1] * np.log2(p[:1] / m[:1])) + np.sum(q * np.log2(q / m))) / 2
    assert sets.jensen_shannon_divergence(left, half) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"references must lie within"):
        sets.jensen_shannon_divergence(left, right * 6)
