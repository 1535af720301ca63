"""The emulated approximations stand to the exact value as published measurements say."""

import numpy as np
import pytest
from emd_oracles import exact_assignment

import pointmetrics as pm


def torus(rng, n):
    u, v = rng.random((2, n)) * 2 * np.pi
    ring = 0.35 + 0.12 * np.cos(v)
    return np.stack([ring * np.cos(u), ring * np.sin(u), 0.12 * np.sin(v)], axis=1)


def box(rng, n):
    points = rng.random((n, 3)) - 0.5
    axis = rng.integers(0, 3, n)
    points[np.arange(n), axis] = np.sign(points[np.arange(n), axis]) / 2
    return points * [1.0, 0.6, 0.3]


# Published ranges at n = 1024, widened by a tenth for other shapes.
RATIOS = {
    ("MSN auction", "eps 0.005, 50 iterations"): (0.62, 1.0),
    ("MSN auction", "eps 0.004, 3000 iterations"): (0.97, 1.01),
    ("MSN auction", "eps 0.002, 10000 iterations"): (0.98, 1.005),
    ("approxmatch", "root"): (1.1, 1.5),
    ("approxmatch", "root, swapped"): (1.1, 1.5),
    ("approxmatch", "squared"): (1.9, 7.3),
}


@pytest.mark.slow
@pytest.mark.parametrize("other", [torus, box])
def test_ratios_at_1024_points(other):
    rng = np.random.default_rng(0)
    x, y = torus(rng, 1024), other(rng, 1024)
    audit = pm.audit_emd(x, y)
    assert audit.euclidean == pytest.approx(exact_assignment(x, y))
    assert audit.squared == pytest.approx(exact_assignment(x, y, "squared"))
    assert {(a.name, a.settings) for a in audit.approximations} == set(RATIOS)
    for a in audit.approximations:
        low, high = RATIOS[a.name, a.settings]
        assert low <= a.ratio <= high, a
        assert a.ratio == pytest.approx(a.value / a.exact)
    assert audit.approximations[0].unmatched > 0
    assert str(audit).count("\n") == len(RATIOS)


def test_scale_and_place_do_not_matter():
    rng = np.random.default_rng(1)
    x, y = torus(rng, 200), box(rng, 200)
    base, moved = pm.audit_emd(x, y), pm.audit_emd(x * 1000 - 7, y * 1000 - 7)
    for a, b in zip(base.approximations, moved.approximations, strict=True):
        assert b.ratio == pytest.approx(a.ratio, rel=1e-3)


def test_approxmatch_moves_all_mass():
    """The squared form is linear in the matching: far apart clouds cost their separation."""
    rng = np.random.default_rng(2)
    x, y = rng.random((2, 100, 3)) * 0.01
    assert pm.approxmatch_emd(x, y + np.array([50.0, 0, 0])) == pytest.approx(50, rel=1e-3)
    assert pm.approxmatch_emd(x, x) == pytest.approx(0, abs=0.01)


def test_msn_auction_with_enough_rounds_is_within_eps():
    rng = np.random.default_rng(3)
    x, y = rng.random((2, 128, 3))
    exact = exact_assignment(x, y)
    value = pm.msn_auction_emd(x, y, eps=0.001, iterations=20000)
    assert exact <= value * (1 + 1e-12)
    assert value <= exact + 0.001


def test_bad_input():
    x = np.zeros((4, 3))
    with pytest.raises(ValueError, match="equally many points"):
        pm.audit_emd(x, x[:3])
    with pytest.raises(ValueError, match="single clouds"):
        pm.msn_auction_emd(x[None], x[None])
    with pytest.raises(ValueError, match="eps must be positive"):
        pm.msn_auction_emd(x, x, eps=0)
    with pytest.raises(ValueError, match="iterations must be at least 1"):
        pm.msn_auction_emd(x, x, iterations=0)
    with pytest.raises(ValueError, match="cost must be one of"):
        pm.approxmatch_emd(x, x, cost="cubic")
    assert pm.audit_emd(x, x).euclidean == 0
