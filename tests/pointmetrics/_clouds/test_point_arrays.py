"""What goes in: every bad input is named, every good one gives the right number."""

import numpy as np
import pytest

import pointmetrics as pm

GOOD = np.random.default_rng(0).random((5, 3))


def with_value(value, index=(3, 1)):
    bad = GOOD.copy()
    bad[index] = value
    return bad


@pytest.mark.parametrize(
    "metric",
    [pm.chamfer_distance, pm.hausdorff_distance, pm.nearest_neighbors, pm.density_aware_chamfer_distance, pm.compare],
)
@pytest.mark.parametrize(
    "bad, error, message",
    [
        (np.zeros(5), ValueError, r"y must have shape \(n, d\) or \(b, n, d\).*got shape \(5,\)"),
        (3.0, ValueError, r"y must have shape .*got shape \(\)"),
        (np.zeros((0, 3)), ValueError, r"y is empty.*\(0, 3\)"),
        (np.zeros((4, 0)), ValueError, r"y is empty.*\(4, 0\)"),
        (np.zeros((4, 2)), ValueError, "same dimension d, got 3 and 2"),
        (np.zeros((2, 4, 3)), ValueError, "both be single clouds or both batches, got a single cloud and a batch of 2"),
        (with_value(np.nan), ValueError, r"y must be finite, got nan at index \(3, 1\)"),
        (with_value(-np.inf, (0, 2)), ValueError, r"y must be finite, got -inf at index \(0, 2\)"),
        (GOOD.astype(np.float16), TypeError, "y has dtype float16"),
        (GOOD.astype(complex), TypeError, "y must hold .*got dtype complex128"),
        (GOOD.astype(object), TypeError, "y must hold .*got dtype object"),
        (GOOD > 0.5, TypeError, "y must hold .*got dtype bool"),
        ([["a", "b", "c"]], TypeError, "y must hold .*got dtype str"),
        ([[1.0, 2.0], [3.0]], ValueError, "y must have shape .*cannot be made an array"),
        (with_value(1e200), ValueError, r"y has coordinates up to 1e\+200.*rescale"),
        (GOOD * 1e-170, ValueError, "y has coordinates up to .*e-171.*rescale"),
    ],
)
def test_bad_clouds_are_named(metric, bad, error, message):
    with pytest.raises(error, match=message):
        metric(GOOD, bad)


@pytest.mark.parametrize(
    "x, y, options, message",
    [
        (np.zeros((2, 4, 3)), np.zeros((3, 4, 3)), {}, "equally many clouds, got 2 and 3"),
        ([GOOD, GOOD[:, :2]], [GOOD, GOOD], {}, r"x\[1\] must have 3 coordinates"),
        ([GOOD, GOOD[:0]], [GOOD, GOOD], {}, r"x\[1\] is empty"),
        ([GOOD, with_value(np.nan)], [GOOD, GOOD], {}, r"x\[1\] must be finite, got nan at index \(3, 1\)"),
        ([], [GOOD], {}, r"x must have shape .*got shape \(0,\)"),
        (GOOD, GOOD, {"lengths": [5]}, "lengths need a batch"),
        ([GOOD], [GOOD], {"lengths": [5]}, "lengths need a batch"),
        (GOOD[None], GOOD[None], {"lengths": [6]}, r"between 1 and n = 5, got 6 at index 0"),
        (GOOD[None], GOOD[None], {"lengths": ([0], None)}, r"lengths of x .*got 0 at index 0"),
        (GOOD[None], GOOD[None], {"lengths": (None, [-2])}, r"lengths of y .*got -2 at index 0"),
        (GOOD[None], GOOD[None], {"lengths": [5, 5]}, r"must have shape \(1,\), got \(2,\)"),
        (GOOD[None], GOOD[None], {"lengths": ([5],)}, r"must be \(for x, for y\), got 1"),
        (GOOD, GOOD, {"weights": np.ones(4)}, r"x_weights must have shape \(5,\), got \(4,\)"),
        (
            GOOD,
            GOOD,
            {"weights": (None, [1, 1, -1, 1, 1])},
            "y_weights must be finite and not negative, got -1.0 at point 2",
        ),
        (GOOD, GOOD, {"weights": np.zeros(5)}, "x_weights must not all be zero"),
        ([GOOD], [GOOD], {"weights": np.ones((1, 4))}, "x_weights must be a list of 1"),
    ],
)
def test_bad_batches_and_options_are_named(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        pm.chamfer_distance(x, y, **options)


def test_lengths_must_be_integers():
    with pytest.raises(TypeError, match="lengths of x must be integers, got dtype float64"):
        pm.chamfer_distance(GOOD[None], GOOD[None], lengths=[5.0])


def test_padding_may_hold_anything_and_messages_index_the_original():
    x = np.stack([GOOD, GOOD])
    x[0, 2:] = np.nan
    lengths = ([2, 5], None)
    assert np.isfinite(pm.chamfer_distance(x, np.stack([GOOD, GOOD]), lengths=lengths)).all()
    x[1, 4, 0] = np.inf
    with pytest.raises(ValueError, match=r"x must be finite, got inf at index \(1, 4, 0\)"):
        pm.chamfer_distance(x, np.stack([GOOD, GOOD]), lengths=lengths)


def test_one_point_and_identical_clouds():
    assert pm.chamfer_distance([[1.0, 2.0]], [[4.0, 6.0]]) == 50
    assert pm.chamfer_distance(GOOD, GOOD) == 0


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint16])
def test_integers_become_float64(dtype):
    value = pm.chamfer_distance(np.array([[0, 0], [100, 0]], dtype), np.array([[0, 100]], dtype))
    assert value.dtype == np.float64
    assert value == 15000 + 10000


def test_mixed_precision_is_computed_in_the_wider():
    assert pm.chamfer_distance(GOOD.astype(np.float32), GOOD + 1).dtype == np.float64
    assert pm.chamfer_distance([GOOD.astype(np.float32), GOOD], [GOOD, GOOD]).dtype == np.float64


@pytest.mark.parametrize("scale", [1e30, 1e18, 1e-18, 1e-30])
def test_scales_beyond_the_squares_of_float32_are_right(scale):
    rng = np.random.default_rng(1)
    x, y = ((rng.random((400, 3)) * scale).astype(np.float32) for _ in range(2))
    value = pm.chamfer_distance(x, y)
    assert value > 0
    np.testing.assert_allclose(value, pm.chamfer_distance(x.astype(float), y.astype(float)), rtol=1e-6)


def test_an_offset_of_1e8_costs_only_the_rounding_of_the_input():
    rng = np.random.default_rng(2)
    x, y = rng.random((400, 3)), rng.random((400, 3))
    far = pm.chamfer_distance(x + 1e8, y + 1e8)
    np.testing.assert_allclose(far, pm.chamfer_distance((x + 1e8) - 1e8, (y + 1e8) - 1e8), rtol=1e-13)
    narrow = [(c * 1000 + 1e8).astype(np.float32) for c in (x, y)]
    np.testing.assert_allclose(
        pm.chamfer_distance(*narrow), pm.chamfer_distance(*(c.astype(float) for c in narrow)), rtol=1e-6
    )


class TestTorchTensors:
    torch = pytest.importorskip("torch", reason="needs torch")

    def test_results_are_tensors_of_the_same_dtype(self):
        x = self.torch.tensor(GOOD, dtype=self.torch.float32)
        value, grads = pm.chamfer_distance(x, x + 1, return_grad=True)
        assert value.dtype == self.torch.float32 and value.shape == ()
        assert all(isinstance(g, self.torch.Tensor) and g.shape == (5, 3) for g in grads)
        np.testing.assert_allclose(float(value), pm.chamfer_distance(x.numpy(), x.numpy() + 1), rtol=1e-7)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_is_refused_by_name(self, dtype):
        x = self.torch.zeros((4, 3), dtype=getattr(self.torch, dtype))
        with pytest.raises(TypeError, match=f"x has dtype {dtype}"):
            pm.chamfer_distance(x, x)

    def test_mixed_libraries_are_refused(self):
        with pytest.raises(TypeError, match="one library and device, got numpy and torch on cpu"):
            pm.chamfer_distance(GOOD, self.torch.tensor(GOOD))
        with pytest.raises(TypeError, match="clouds of x must come from one library"):
            pm.chamfer_distance([GOOD, self.torch.tensor(GOOD)], [GOOD, GOOD])

    def test_a_dropped_graph_is_an_error(self):
        x = self.torch.tensor(GOOD, requires_grad=True)
        with pytest.raises(ValueError, match=r"use the function of the same name in pointmetrics\.torch"):
            pm.chamfer_distance(x, x.detach())

    def test_other_devices_are_refused(self):
        with pytest.raises(TypeError, match="x is a tensor on meta"):
            pm.chamfer_distance(self.torch.zeros((2, 3), device="meta"), self.torch.zeros((2, 3)))
