"""Files stored in the past: they load, score and go on learning as the models that were saved did."""

import json
import sys
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

FIXTURES = Path(__file__).parents[1] / "fixtures"
sys.path.insert(0, str(FIXTURES))

from make_fixtures import scores  # noqa: E402

EXPECTED = json.loads((FIXTURES / "scores.json").read_text(encoding="utf-8"))
CLASSES = {cls.__name__: cls for cls in (IsolationMondrianForest, OnlineIsolationMondrianForest)}


def test_every_file_has_its_scores():
    assert sorted(path.stem for path in FIXTURES.glob("*.imf")) == sorted(EXPECTED)
    assert sum(path.stat().st_size for path in FIXTURES.iterdir() if path.is_file()) < 128_000


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_stored_model_is_what_it_was(name, mmap):
    expected = EXPECTED[name]
    model = CLASSES[expected["class"]].load(FIXTURES / f"{name}.imf", mmap=mmap)
    # Another processor's exp and log may differ in a last bit.
    assert_allclose(scores(model, False), expected["loaded"], rtol=1e-12)
    assert_allclose(scores(model, True), expected["resumed"], rtol=1e-12)
