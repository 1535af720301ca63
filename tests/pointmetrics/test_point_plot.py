"""Pictures: what is drawn equals the distances by brute force."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'imondrian[plot]'")

import matplotlib.pyplot as plt
from points_oracles import sq_dist_matrix

from pointmetrics import plot

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    x, y = rng.random((90, 3)), rng.random((70, 3)) * [1, 1, 0.4]
    square = sq_dist_matrix(x, y)
    return x, y, np.sqrt(square.min(1)), np.sqrt(square.min(0))


def drawn(figure):
    return [(ax, ax.collections[0]) for ax in figure.axes if ax.get_title()]


@pytest.mark.parametrize("d", [2, 3])
def test_points_are_coloured_by_their_distance(pair, d):
    x, y = pair[0][:, :d], pair[1][:, :d]
    square = sq_dist_matrix(x, y)
    figure = plot.error_clouds(x, y, limit=0.3, labels=("scan", "truth"))
    figure.canvas.draw()
    axes = drawn(figure)
    assert [ax.get_title() for ax, _ in axes] == ["scan: distance to truth", "truth: distance to scan"]
    errors = np.sqrt(square.min(1)), np.sqrt(square.min(0))
    for (ax, dots), cloud, error in zip(axes, (x, y), errors, strict=True):
        at = np.column_stack(dots._offsets3d if d == 3 else [dots.get_offsets()])
        np.testing.assert_allclose(at, cloud)
        np.testing.assert_allclose(dots.get_array(), error)
        assert dots.get_clim() == (0, 0.3)
        spans = [np.ptp(getattr(ax, f"get_{name}lim")()) for name in "xyz"[:d]]
        if d == 3:  # units of one length along every axis
            shape = ax._box_aspect
            np.testing.assert_allclose(np.asarray(shape) / shape[0], np.asarray(spans) / spans[0])
        else:
            assert ax.get_aspect() == 1.0
    assert axes[0][0].get_xlim() == axes[1][0].get_xlim()


def test_large_clouds_are_thinned_repeatably(pair):
    x, y, a, _ = pair
    first, again, other = (
        drawn(plot.error_clouds(x, y, max_points=30, seed=seed))[0][1].get_array() for seed in (1, 1, 2)
    )
    assert len(first) == 30 and set(first) <= set(a)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_scale_ends_where_it_says(pair):
    x, y, a, b = pair
    limit = drawn(plot.error_clouds(x, y))[0][1].get_clim()[1]
    assert limit == max(np.quantile(a, 0.99), np.quantile(b, 0.99))
    assert drawn(plot.error_clouds(x, x))[0][1].get_clim() == (0, 1)  # no errors at all


def test_the_histogram_counts_shares(pair):
    x, y, a, b = pair
    ax = plot.error_histogram(x, y, bins=10, limit=0.2, log=True)
    edges = np.linspace(0, 0.2, 11)
    stairs = [patch for patch in ax.patches if not patch.get_fill()]
    for patch, error in zip(stairs, (a, b), strict=True):
        np.testing.assert_allclose(patch.get_data().values, np.histogram(error, edges)[0] / len(error))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == f"x to y ({(a > 0.2).mean():.1%} beyond)" and ax.get_yscale() == "log"
    mine = plt.figure().add_subplot()
    assert plot.error_histogram(x, y, ax=mine) is mine


def test_the_curve_has_the_rates(pair):
    x, y, a, b = pair
    thresholds = [0.05, 0.1, 0.3]
    ax = plot.f_score_curve(x, y, thresholds, mark=[0.2])
    lines = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    p, r = (np.array([(error < t).mean() for t in thresholds]) for error in (a, b))
    np.testing.assert_allclose(lines["precision"], p)
    np.testing.assert_allclose(lines["recall"], r)
    np.testing.assert_allclose(lines["F-score"], 2 * p * r / (p + r))
    p, r = (a < 0.2).mean(), (b < 0.2).mean()
    assert [text.get_text() for text in ax.texts] == [f"{2 * p * r / (p + r):.3f}"]
    assert len(plot.f_score_curve(x, y).get_lines()[0].get_ydata()) == 200


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda x, y: plot.error_clouds(x[:, :1], y[:, :1]), "two or three dimensions, got 1"),
        (lambda x, y: plot.error_clouds(x[None], y[None]), "must be single clouds"),
        (lambda x, y: plot.error_clouds(x, y, limit=0), "limit must be above 0"),
        (lambda x, y: plot.error_clouds(x, y, max_points=0), "max_points must be an integer, 1 or more, got 0"),
        (lambda x, y: plot.error_histogram(x, y, limit=-1), "limit must be finite and 0 or more, got -1"),
        (lambda x, y: plot.f_score_curve(x, y, [0.0]), "threshold must be finite and above 0"),
    ],
)
def test_bad_input_is_named(pair, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(*pair[:2])


def test_without_matplotlib_the_command_that_mends_it_is_named():
    code = "import sys; sys.modules['matplotlib'] = None\nimport pointmetrics as pm\npm.plot"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "ImportError: pointmetrics.plot needs matplotlib: pip install 'imondrian[plot]'" in ended.stderr
