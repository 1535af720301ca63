"""Tables by name against formulas written out here, and what their descriptions promise."""

import numpy as np
import pytest
from points_oracles import chamfer, dcd, nearest

import pointmetrics as pm

RNG = np.random.default_rng(0)
X, Y = RNG.random((300, 3)) - 0.5, RNG.random((250, 3)) - 0.5
SQUARE = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]]), np.array([[0, 1, 2], [0, 2, 3]])
PAIRS = [name for name, preset in pm.presets().items() if preset.of == "pair"]
SETS = [name for name, preset in pm.presets().items() if preset.of == "sets"]


def in_sphere(points):
    moved = points - points.mean(axis=0)
    return moved / np.linalg.norm(moved, axis=1).max()


def upsampling(x, y):
    a2, _, b2, _ = nearest(in_sphere(x), in_sphere(y))
    return 1e3 * (a2.mean() + b2.mean()), 1e3 * (a2.max() + b2.max())


def f_one(x, y):
    a2, _, b2, _ = nearest(x, y)
    precision, recall = (np.sqrt(a2) < 0.01).mean(), (np.sqrt(b2) < 0.01).mean()
    return 2 * precision * recall / (precision + recall)


def test_completion_tables():
    x = np.concatenate([X, Y[:40] + 0.001])
    l1, l2 = 1e3 * chamfer(x, Y, "cd-l1"), 1e3 * chamfer(x, Y, "cd-l2")
    found = pm.measure_preset("pcn", x, Y)
    assert list(found) == ["CD-l1 x1e3", "DCD", "F@1%"]
    np.testing.assert_allclose(list(found.values()), [l1, dcd(x, Y, eps=0), f_one(x, Y)], rtol=1e-12)
    found = pm.measure_preset("pointr", x, Y)
    assert list(found) == ["F@1%", "CD-l1 x1e3", "CD-l2 x1e3"]
    np.testing.assert_allclose(list(found.values()), [f_one(x, Y), l1, l2], rtol=1e-12)


def test_upsampling_tables():
    x = RNG.random((3000, 3)) * [2, 2, 0] + [0, 0, 0.1] * RNG.normal(size=(3000, 1))
    found = pm.measure_preset("pu-gan", x, Y, mesh=SQUARE)
    assert list(found) == [*(f"U {p}% x1e3" for p in (0.4, 0.6, 0.8, "1.0", 1.2)), "P2F x1e3", "CD x1e3", "HD x1e3"]
    values = list(found.values())
    on_square = x * [1, 1, 0]  # where evaluate.py of PU-GAN counts them
    np.testing.assert_allclose(values[:5], 1e3 * pm.uniformity(on_square, area=4.0), rtol=1e-9)
    height = 1e3 * np.abs(x[:, 2]).mean()  # the square lies below all of x
    np.testing.assert_allclose(values[5:], [height, *upsampling(x, Y)], rtol=1e-12)
    found = pm.measure_preset("apu-ldi", x, Y, mesh=SQUARE)
    assert list(found) == ["CD x1e3", "HD x1e3", "P2F x1e3"]
    np.testing.assert_allclose(list(found.values()), [*upsampling(x, Y), height], rtol=1e-12)


def test_upsampling_without_a_mesh():
    x = RNG.random((3000, 3)) * 7
    values = list(pm.measure_preset("pu-gan", x, Y).values())
    np.testing.assert_allclose(values[:5], 1e3 * pm.uniformity(in_sphere(x)), rtol=1e-12)
    assert values[5] is None
    assert pm.measure_preset("apu-ldi", x, Y)["P2F x1e3"] is None


@pytest.mark.parametrize("peak", [1023.0, 59.7])
def test_compression_table(peak):
    a2, _, b2, _ = nearest(X, Y)
    found = pm.measure_preset("mpeg-ctc", X, Y, peak=peak)
    assert list(found) == ["D1 PSNR", "D2 PSNR", "D1 Hausdorff PSNR", "D2 Hausdorff PSNR"]
    for title, error in (("D1 PSNR", max(a2.mean(), b2.mean())), ("D1 Hausdorff PSNR", max(a2.max(), b2.max()))):
        np.testing.assert_allclose(found[title], 10 * np.log10(3 * peak**2 / error), rtol=1e-12)
    planes = pm.psnr_d2(X, Y, peak=peak, normals=(None, pm.estimate_normals(Y)), return_details=True)
    np.testing.assert_allclose(
        [found["D2 PSNR"], found["D2 Hausdorff PSNR"]], [planes.psnr, planes.hausdorff_psnr], rtol=1e-12
    )


def test_tables_of_scans():
    _, _, b2, _ = nearest(X, Y)
    assert pm.measure_preset("pcn-kitti", X, Y) == {
        "Fidelity x1e3": pytest.approx(1e3 * b2.mean()),
        "Consistency x1e3": None,
        "MMD x1e3": None,
    }
    far = np.concatenate([X * 100, [[500.0, 0, 0]]])
    a, _, b, _ = map(np.sqrt, nearest(far, Y * 100))
    expected = [a[a < 20].mean(), b[b < 20].mean()]
    np.testing.assert_allclose(list(pm.measure_preset("dtu", far, Y * 100).values()), [*expected, np.mean(expected)])
    found = pm.tanks_and_temples(X, Y, 0.1)
    np.testing.assert_allclose(
        list(pm.measure_preset("tanks-and-temples", X, Y, threshold=0.1).values()),
        [100 * found.precision, 100 * found.recall, 100 * found.f_score],
    )


@pytest.mark.parametrize("name", SETS)
def test_tables_of_sets(name):
    samples, references = RNG.random((5, 20, 3)) - 0.5, RNG.random((6, 20, 3)) - 0.5
    found = pm.sets.evaluate_preset(name, samples, references)
    assert list(found) == [column.title for column in pm.presets()[name].columns]
    for metric, key in (("CD", "cd-l2"), ("EMD", "emd")):
        matrix = pm.sets.pairwise_distances(samples, references, key)
        scale = {"CD": "x1e3", "EMD": "x1e2"}[metric]
        mmd = float(scale[1:]) * matrix.min(axis=0).mean()
        np.testing.assert_allclose(found[f"MMD-{metric} {scale}"], mmd, rtol=1e-9)
        np.testing.assert_allclose(found[f"COV-{metric} %"], 100 * len(set(matrix.argmin(axis=1))) / 6, rtol=1e-9)
        whole = pm.sets.pairwise_distances(np.concatenate([samples, references]), None, key)
        np.fill_diagonal(whole, np.inf)
        label = np.arange(11) < 5
        right = label[whole.argmin(axis=1)] == label
        np.testing.assert_allclose(found[f"1-NNA-{metric} %"], 100 * right.mean(), rtol=1e-9)
    if name == "pointflow":
        np.testing.assert_allclose(found["JSD x1e2"], 100 * pm.sets.jensen_shannon_divergence(samples, references))
        assert pm.sets.evaluate_preset(name, samples * 9, references)["JSD x1e2"] is None


@pytest.mark.parametrize("name", pm.presets())
def test_descriptions_are_whole(name):
    preset = pm.presets()[name]
    assert preset.name == name
    assert preset.notes.endswith(".") and preset.paper
    titles = [column.title for column in preset.columns]
    assert len(set(titles)) == len(titles)
    for column in preset.columns:
        assert column.better in ("lower", "higher", "50")
        exponent = column.title.partition(" x1e")[2]
        assert column.scale == (10.0 ** int(exponent) if exponent else 100.0 if column.unit == "%" else 1.0)


CALLS = [
    (name, column)
    for name in PAIRS
    for column in pm.presets()[name].columns
    if column.title not in ("Consistency x1e3", "MMD x1e3", "CD x1e3", "HD x1e3")
]


@pytest.mark.parametrize("name, column", CALLS, ids=[f"{name} {column.title}" for name, column in CALLS])
def test_calls_give_what_the_table_does(name, column):
    """Each call is Python for the package's names, with x, y and what the table was given."""
    x = RNG.random((3000, 3)) * [2, 2, 0]
    given = {"x": x, "y": Y, "vertices": SQUARE[0], "faces": SQUARE[1], "area": 4.0, "peak": 7.0, "threshold": 0.2}
    given["closest"] = x
    value = float(np.squeeze(eval(column.call, {**vars(pm), **given})))
    table = pm.measure_preset(name, x, Y, mesh=SQUARE, peak=7.0, threshold=0.2)
    np.testing.assert_allclose(table[column.title], column.scale * value, rtol=1e-9)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: pm.measure_preset("pvd", X, Y), ValueError, "name must be one of pcn, pointr"),
        (lambda: pm.measure_preset("cd", X, Y), ValueError, "got 'cd'"),
        (
            lambda: pm.sets.evaluate_preset("pcn", X[None], Y[None]),
            ValueError,
            "name must be one of pointflow, pvd, lion",
        ),
        (lambda: pm.measure_preset("pcn", X[None], Y[None]), ValueError, "single clouds"),
        (lambda: pm.measure_preset("apu-ldi", X, Y, mesh=SQUARE[0]), TypeError, "mesh must be a tuple"),
        (lambda: pm.measure_preset("tanks-and-temples", X, Y, threshold=-1), ValueError, "threshold must be finite"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
