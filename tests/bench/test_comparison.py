"""Ranks, tests and the critical-difference picture, against Demšar (2006) and by hand."""

import forest_comparison
import numpy as np
import pytest
from forest_protocols import Figure
from forest_streams import real_streams


def figures(auc):
    return [
        Figure(f"set {i}", f"method {j}", "test", repeat, auc[i][j], auc[i][j] / 2)
        for i in range(len(auc))
        for j in range(len(auc[0]))
        for repeat in range(2)
    ]


@pytest.mark.parametrize(("n_methods", "n_sets", "expected"), [(4, 14, 1.25), (5, 30, 1.114), (10, 22, 2.888)])
def test_critical_difference(n_methods, n_sets, expected):
    """Demšar's example has 1.25 for 4 methods on 14 sets; the others follow from his table 5: q = 2.728, 3.164."""
    assert forest_comparison.critical_difference(n_methods, n_sets) == pytest.approx(expected, abs=0.005)


def test_ranks_share_ties():
    ranks = forest_comparison.average_ranks(np.array([[0.9, 0.8, 0.9], [0.7, 0.8, 0.6]]))
    assert ranks.tolist() == [1.75, 2.0, 2.25]


def test_the_table_and_the_picture(tmp_path):
    rng = np.random.default_rng(0)
    worse = rng.uniform(0.5, 0.8, 20)
    text = forest_comparison.comparison(figures(np.column_stack([worse + 0.1, worse, rng.uniform(0.4, 1.0, 20)])))
    (row,) = [line for line in text.splitlines() if line.startswith("| method 1")]
    assert "+0.100" in row and "20 / 0 / 0" in row and "+0.050" in row
    assert ".000" in row  # Wilcoxon: 20 wins out of 20 have p = 2 / 2 ** 20
    forest_comparison.draw(figures(rng.uniform(size=(6, 4))), tmp_path / "ranks.png")
    assert (tmp_path / "ranks.png").stat().st_size > 10_000
    assert "Too few" in forest_comparison.comparison(figures(rng.uniform(size=(4, 3))))


def test_real_streams_are_named():
    pytest.importorskip("river")
    (load,) = real_streams(None)
    shuttle = load()
    assert shuttle.X.shape == (49_097, 9) and shuttle.y.mean() == pytest.approx(0.0715, abs=1e-3)
    with pytest.raises(ValueError, match="no data set named 'ocean'; there are shuttle"):
        list(real_streams(None, ["ocean"]))
