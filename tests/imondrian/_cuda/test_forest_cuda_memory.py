"""Rows on a device whose memory does not suffice for all at once: the same scores in parts, or an error with sizes."""

import fake_cupy
import numpy as np
import pytest

from imondrian import IsolationMondrianForest

X = np.random.default_rng(0).normal(size=(300, 3))
ROWS = np.random.default_rng(1).normal(size=(2000, 3)) * 2


@pytest.fixture
def room(cp):
    """Set how many more bytes than now the device holds."""

    def set_room(n_bytes):
        fake_cupy.LIMIT[0] = fake_cupy.LIVE[0] + n_bytes
        fake_cupy.RELEASED[0] = 0

    yield set_room
    fake_cupy.LIMIT[0] = None


@pytest.mark.parametrize("score", ["depth", "insertion", "default"])
def test_rows_are_scored_in_parts(cp, room, score):
    forest = IsolationMondrianForest(10, score=score, random_state=0).fit(X)
    rows = ROWS.astype(np.float32)  # a copy in the forest's precision is part of what is needed
    rows[::7, 1] = np.nan
    on_device = cp.asarray(rows)
    expected = cp.asnumpy(forest.score_samples(on_device))
    before = fake_cupy.PEAK[0] = fake_cupy.LIVE[0]
    forest.score_samples(on_device)
    room(fake_cupy.PEAK[0] - before - 1)
    np.testing.assert_array_equal(cp.asnumpy(forest.score_samples(on_device)), expected)
    assert fake_cupy.RELEASED[0] > 0


def test_an_error_has_the_sizes(cp, room):
    forest = IsolationMondrianForest(10, score="depth", random_state=0).fit(X)
    on_device = cp.asarray(ROWS)
    room(10)
    with pytest.raises(
        MemoryError,
        match=(
            r"too little memory to score even one row: Out of memory allocating .* "
            r"X has shape \(2000, 3\) \(0 MiB\), the forest 10 trees"
        ),
    ):
        forest.score_samples(on_device)
    fake_cupy.LIMIT[0] = None
    np.testing.assert_allclose(cp.asnumpy(forest.score_samples(on_device)), forest.score_samples(ROWS), rtol=1e-12)
