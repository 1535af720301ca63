"""D1, D2 and normals against MPEG's definitions point by point."""

import numpy as np
import psnr_reference as reference
import pytest
from points_oracles import sq_dist_matrix

import pointmetrics as pm
from pointmetrics._metrics import distortion
from pointmetrics._metrics.distortion import first_of_each

RNG = np.random.default_rng(0)


def unit(vectors):
    return vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))


def make(kind, n, dtype, seed):
    points = np.random.default_rng(seed).normal(size=(n, 3)) * 10
    points = {"continuous": points, "voxels": np.round(points / 4), "duplicates": points[np.arange(n) // 3]}[kind]
    return points.astype(dtype), unit(np.random.default_rng(seed + 1).normal(size=(n, 3)))


@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("kind", ["continuous", "voxels", "duplicates"])
@pytest.mark.parametrize("duplicates", ["drop", "keep"])
@pytest.mark.parametrize("symmetric", ["max", "mean"])
def test_d1_and_d2_are_mpegs(kind, duplicates, symmetric, dtype, rtol):
    (x, x_normals), (y, y_normals) = make(kind, 300, dtype, 1), make(kind, 200, dtype, 5)
    options = {"peak": 1023, "duplicates": duplicates, "symmetric": symmetric, "return_details": True}
    found = pm.psnr_d1(x, y, **options), pm.psnr_d2(x, y, normals=(x_normals, y_normals), **options)
    if duplicates == "drop":
        x, x_normals = reference.drop_duplicates(x, x_normals)
        y, y_normals = reference.drop_duplicates(y, y_normals)
    put = np.mean if symmetric == "mean" else max
    for result, normals in zip(found, ((None, None), (x_normals, y_normals)), strict=True):
        forth, back = reference.errors(x, y, normals[1]), reference.errors(y, x, normals[0])
        np.testing.assert_allclose([result.x_to_y, result.y_to_x], [forth.mean(), back.mean()], rtol=rtol)
        np.testing.assert_allclose(result.mse, put([forth.mean(), back.mean()]), rtol=rtol)
        np.testing.assert_allclose(result.psnr, reference.psnr(forth.mean(), back.mean(), 1023, 3, put), rtol=rtol)
        np.testing.assert_allclose(result.hausdorff, put([forth.max(), back.max()]), rtol=rtol)
        np.testing.assert_allclose(
            result.hausdorff_psnr, reference.psnr(forth.max(), back.max(), 1023, 3, put), rtol=rtol
        )
        assert result.peak == 1023


@pytest.mark.parametrize("kind", ["continuous", "voxels"])
def test_missing_normals_of_the_reconstruction_are_the_originals(kind):
    (x, _), (y, y_normals) = make(kind, 150, np.float64, 1), make(kind, 200, np.float64, 5)
    x, _ = reference.drop_duplicates(x)
    y, y_normals = reference.drop_duplicates(y, y_normals)
    handed = reference.hand_over(x, y, y_normals)
    forth, back = reference.errors(x, y, y_normals), reference.errors(y, x, handed)
    expected = reference.psnr(forth.mean(), back.mean(), 100)
    np.testing.assert_allclose(pm.psnr_d2(x, y, normals=(None, y_normals), peak=100), expected, rtol=1e-12)
    estimated = pm.estimate_normals(y, k=8)
    np.testing.assert_allclose(
        pm.psnr_d2(x, y, peak=100, k=8), pm.psnr_d2(x, y, normals=(None, estimated), peak=100), rtol=1e-12
    )


def test_peaks_by_name_and_factor():
    x, y = RNG.random((50, 3)), RNG.random((40, 3)) * [1, 2, 5]
    near = sq_dist_matrix(y, y) + np.diag(np.full(40, np.inf))
    sides = y.max(axis=0) - y.min(axis=0)
    peaks = {
        "nearest-neighbor": np.sqrt(near.min(axis=1).max()),
        "box-side": sides.max(),
        "box-diagonal": np.sqrt((sides**2).sum()),
    }
    for name, peak in peaks.items():
        found = pm.psnr_d1(x, y, peak=name, return_details=True)
        np.testing.assert_allclose(found.peak, peak, rtol=1e-12)
        np.testing.assert_allclose(found.psnr, pm.psnr_d1(x, y, peak=peak), rtol=1e-12)
    difference = pm.psnr_d1(x, y, peak=7) - pm.psnr_d1(x, y, peak=7, peak_factor=1)
    np.testing.assert_allclose(difference, 10 * np.log10(3), rtol=1e-12)


def test_clouds_that_are_the_same_have_no_error():
    x = np.round(RNG.random((50, 3)) * 4)
    for value in (pm.psnr_d1(x, x[::-1], peak=1), pm.psnr_d2(x, x[::-1], peak=1)):
        assert value == np.inf


def test_batches_lists_and_lengths_equal_single_pairs():
    x, y = np.round(RNG.random((3, 60, 3)) * 6), np.round(RNG.random((3, 50, 3)) * 6)
    lengths = (np.array([60, 20, 33]), np.array([50, 50, 9]))
    pairs = [(a[:n], b[:m]) for a, b, n, m in zip(x, y, *lengths, strict=True)]
    for metric in (pm.psnr_d1, pm.psnr_d2):
        expected = [metric(*pair, peak=9.0) for pair in pairs]
        np.testing.assert_array_equal(metric(x, y, peak=9.0, lengths=lengths), expected)
        listed = metric([a for a, _ in pairs], [b for _, b in pairs], peak=9.0, n_threads=1)
        np.testing.assert_array_equal(listed, expected)


def test_on_a_device(cp):
    (x, x_normals), (y, y_normals) = make("voxels", 300, np.float32, 1), make("voxels", 200, np.float32, 5)
    on = [cp.asarray(a) for a in (x, y, x_normals, y_normals)]
    pairs = [
        (pm.psnr_d1(*on[:2], peak=9.0), pm.psnr_d1(x, y, peak=9.0)),
        (
            pm.psnr_d2(*on[:2], peak="box-side", normals=tuple(on[2:])),
            pm.psnr_d2(x, y, peak="box-side", normals=(x_normals, y_normals)),
        ),
        (pm.psnr_d2(*on[:2], peak="nearest-neighbor"), pm.psnr_d2(x, y, peak="nearest-neighbor")),
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(cp.asnumpy(found), expected, rtol=1e-12)


def test_tensors_stay_tensors():
    torch = pytest.importorskip("torch", reason="needs torch")
    x, y = RNG.random((2, 30, 3))
    for one in (pm.psnr_d1, pm.psnr_d2):
        found = one(torch.from_numpy(x), torch.from_numpy(y), peak=1, return_details=True)
        assert all(
            isinstance(value, torch.Tensor) and value.shape == () for value in (found.psnr, found.mse, found.hausdorff)
        )
        assert float(found.psnr) == one(x, y, peak=1)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"peak": "bits"}, ValueError, "peak must be a number or one of nearest-neighbor"),
        ({"peak": 0}, ValueError, "peak must be above 0"),
        ({"peak": None}, TypeError, "peak must be a number"),
        ({"peak": 1, "peak_factor": 0}, ValueError, "peak_factor must be above 0"),
        ({"peak": 1, "symmetric": "min"}, ValueError, "symmetric must be one of max, mean"),
        ({"peak": 1, "duplicates": "average"}, ValueError, "duplicates must be one of drop, keep"),
        ({"peak": 1, "normals": np.ones((4, 3))}, TypeError, "normals must be a tuple"),
        ({"peak": 1, "normals": (np.ones((3, 3)), None)}, ValueError, "x_normals must have shape"),
        ({"peak": 1, "k": 2}, ValueError, "k must be between 3"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    x = RNG.random((4, 3))
    with pytest.raises(error, match=message):
        pm.psnr_d2(x, x, **options)


def test_what_has_no_peak_or_plane_is_refused():
    with pytest.raises(ValueError, match="peak 'box-side' is 0 for y"):
        pm.psnr_d1([[0.0, 0.0]], [[1.0, 1.0]], peak="box-side")
    with pytest.raises(ValueError, match="peak 'nearest-neighbor' is 0 for y"):
        pm.psnr_d1([[0.0, 0.0]], [[1.0, 1.0]], peak="nearest-neighbor")
    with pytest.raises(ValueError, match="3 distinct points or more"):
        pm.psnr_d2(np.zeros((5, 3)), np.zeros((5, 3)), peak=1)
    with pytest.raises(ValueError, match="3 coordinates, got 2"):
        pm.psnr_d2([[0.0, 0.0]], [[0.0, 0.0]], peak=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_duplicates_are_found_by_value(dtype):
    points = np.array([[0.0, 1], [-0.0, 1], [2, 3], [0, 1], [3, 2], [2, 3]], dtype=dtype)
    np.testing.assert_array_equal(first_of_each(points), [0, 2, 4])
    assert first_of_each(RNG.random((1000, 3)).astype(dtype)) is None
    assert first_of_each(points[:1]) is None


def test_duplicates_that_share_a_cell_are_told_apart():
    # A far point makes one cell of the curve hold all others; signs and last digits tell them apart.
    near = np.round(np.random.default_rng(2).normal(size=(400, 3)) * 2) * 1e-12
    points = np.concatenate([near, [[1e6, 1e6, 1e6]], near[::-1]])
    kept = first_of_each(points)
    np.testing.assert_array_equal(points[kept], reference.drop_duplicates(points)[0])


CLOUDS = {
    "one point": (np.zeros((1, 3)), np.ones((1, 3))),
    "one against many": (np.zeros((1, 3)), RNG.normal(size=(500, 3))),
    "all alike": (np.zeros((300, 3)), np.ones((200, 3))),
    # All of a sphere's lattice points are equally near its middle: more leaves than a search remembers.
    "a sphere around its middle": (np.zeros((2, 3)), None),
    "line": (np.arange(100.0)[:, None] * [1, 0, 0], np.arange(0, 100, 3.0)[:, None] * [1, 0, 0]),
    "far away": (np.round(RNG.normal(size=(200, 3)) * 2) + 4e6, np.round(RNG.normal(size=(150, 3)) * 2) + 4e6),
}


def sphere():
    """Lattice points at one distance of the origin, many of them."""
    grid = np.stack(np.meshgrid(*[np.arange(-34, 35)] * 3), -1).reshape(-1, 3)
    sq = (grid**2).sum(axis=1)
    return grid[sq == np.bincount(sq[sq < 1150]).argmax()].astype(float)


@pytest.mark.parametrize("duplicates", ["drop", "keep"])
@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("kind", CLOUDS)
def test_d1_and_d2_of_odd_clouds(kind, dtype, rtol, duplicates):
    x, y = CLOUDS[kind]
    y = sphere() if y is None else y
    assert kind != "a sphere around its middle" or len(y) > 16 * 16
    x, y = x.astype(dtype), y.astype(dtype)
    normals = tuple(unit(np.random.default_rng(len(v)).normal(size=v.shape)) for v in (x, y))
    d1, d2 = pm.geometry_distortion(x, y, peak=9, normals=normals, duplicates=duplicates)
    (a, a_normals), (b, b_normals) = (x, normals[0]), (y, normals[1])
    if duplicates == "drop":
        a, a_normals = reference.drop_duplicates(a, a_normals)
        b, b_normals = reference.drop_duplicates(b, b_normals)
    for found, (forth, back) in (
        (d1, (reference.errors(a, b), reference.errors(b, a))),
        (d2, (reference.errors(a, b, b_normals), reference.errors(b, a, a_normals))),
    ):
        expected = [forth.mean(), back.mean(), max(forth.max(), back.max())]
        np.testing.assert_allclose([found.x_to_y, found.y_to_x, found.hausdorff], expected, rtol=rtol)


def test_both_from_one_search_are_each_alone():
    (x, x_normals), (y, y_normals) = make("voxels", 300, np.float32, 1), make("voxels", 200, np.float32, 5)
    for normals in ((x_normals, y_normals), (None, y_normals), None):
        d1, d2 = pm.geometry_distortion(x, y, peak=9, normals=normals)
        assert d1 == pm.psnr_d1(x, y, peak=9, return_details=True)
        assert d2 == pm.psnr_d2(x, y, peak=9, normals=normals, return_details=True)


@pytest.mark.parametrize("duplicates", ["drop", "keep"])
@pytest.mark.parametrize("kind", ["continuous", "voxels", "duplicates"])
def test_errors_do_not_depend_on_who_computes_or_how_many(kind, duplicates, monkeypatch):
    (x, x_normals), (y, y_normals) = make(kind, 2500, np.float32, 1), make(kind, 1800, np.float32, 5)
    options = {"peak": 9, "normals": (x_normals, y_normals), "duplicates": duplicates}
    found = [pm.geometry_distortion(x, y, **options, n_threads=n) for n in (1, 2, 5)]
    assert found[0] == found[1] == found[2]
    monkeypatch.setattr(distortion, "CPU", None)  # as on a device
    monkeypatch.setattr(distortion._Found, "tied", host_ties)
    for one, other in zip(found[0], pm.geometry_distortion(x, y, **options), strict=True):
        np.testing.assert_allclose(
            [one.x_to_y, one.y_to_x, one.hausdorff], [other.x_to_y, other.y_to_x, other.hausdorff], rtol=1e-12
        )


def host_ties(found, source, target, n_threads):
    matrix = sq_dist_matrix(source.points, target.points)
    tied = matrix == matrix.min(axis=1, keepdims=True)
    rows = np.flatnonzero(tied.sum(axis=1) > 1)
    if len(rows):
        yield rows, np.nonzero(tied[rows])[1], np.concatenate([[0], np.cumsum(tied[rows].sum(axis=1))])


def test_a_pile_of_padding_costs_its_points_not_their_pairs():
    """Half a million coinciding points each: their pairs would take minutes."""
    x, y = np.zeros((400_000, 3), np.float32), np.zeros((400_000, 3), np.float32)
    x[:50], y[:60] = RNG.random((50, 3)), RNG.random((60, 3))
    normals = tuple(np.broadcast_to([0.0, 0, 1], v.shape) for v in (x, y))
    _, d2 = pm.geometry_distortion(x, y, peak=1, normals=normals, duplicates="keep")
    few = pm.psnr_d2(x[:61], y[:61], peak=1, normals=(normals[0][:61], normals[1][:61]), return_details=True)
    np.testing.assert_allclose(d2.x_to_y * 400_000, few.x_to_y * 51, rtol=1e-6)


def test_more_than_16_coordinates():
    x, y = RNG.random((60, 20)), RNG.random((50, 20))
    x[30:] = x[:30]
    a2, b2 = sq_dist_matrix(x[:30], y).min(axis=1), sq_dist_matrix(y, x).min(axis=1)
    np.testing.assert_allclose(pm.psnr_d1(x, y, peak=1, return_details=True).mse, max(a2.mean(), b2.mean()), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_are_the_direction_of_least_variance(dtype):
    points = unit(RNG.normal(size=(400, 3))).astype(dtype)
    normals = pm.estimate_normals(points, k=10)
    assert normals.dtype == dtype
    matrix = sq_dist_matrix(points.astype(float), points.astype(float))
    for i in range(0, 400, 17):
        near = points[np.argsort(matrix[i])[:10]].astype(float)
        _, vectors = np.linalg.eigh(np.cov(near.T))
        np.testing.assert_allclose(abs(normals[i] @ vectors[:, 0]), 1, rtol=1e-5)
    np.testing.assert_allclose((normals**2).sum(axis=1), 1, rtol=1e-5)
    assert (np.take_along_axis(normals, np.abs(normals).argmax(axis=1)[:, None], 1) > 0).all()


def test_normals_of_batches_lists_and_lengths():
    clouds = RNG.random((2, 30, 3))
    padded = pm.estimate_normals(clouds, lengths=np.array([30, 12]))
    listed = pm.estimate_normals([clouds[0], clouds[1, :12]], n_threads=1)
    np.testing.assert_array_equal(padded[0], listed[0])
    np.testing.assert_array_equal(padded[1, :12], listed[1])
    assert (padded[1, 12:] == 0).all()
    with pytest.raises(ValueError, match="3 points or more"):
        pm.estimate_normals(clouds[0, :2])
