"""What importing a package brings along: nothing heavy. (bench/bench_import.py takes the time.)"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import imondrian

ROOT = Path(imondrian.__file__).resolve().parents[1]
ALLOWED = {
    "import imondrian": {"imondrian"},
    "import imondrian; imondrian.__version__, imondrian.info, dir(imondrian)": {"imondrian"},
    "import imondrian.cli": {"imondrian"},
    "import imondrian.export": {"imondrian", "numpy"},
    "import pointmetrics": {"imondrian", "pointmetrics", "numpy"},
    "import pointmetrics, pointmetrics.io, pointmetrics.sets, pointmetrics.cli": {"imondrian", "pointmetrics", "numpy"},
}


BATCH = """
import numpy as np
from imondrian._models.batch import BatchModel
from imondrian._models.settings import Settings
X = np.random.default_rng(0).normal(size=(90, 2))
settings = Settings.of(dict(n_estimators=5, max_samples="auto", window=None, horizon=9, score="default", scale="robust",
                            contamination=0.1, max_bytes=None, n_jobs=None, random_state=0))
model = BatchModel.fit(X, None, settings)
scores, p_values = model.judge(X, settings)
model.why(X, p_values, ["a", "b"], settings.score, 1, 3)
model.learn(X + 1.0, None, settings)
model.forget(X[:9] + 1.0, False, settings)
"""
STREAM = """
import numpy as np
from imondrian._models.settings import StreamSettings
from imondrian._models.stream import StreamModel
from imondrian._models.stream_state import from_bytes, to_bytes
X = np.random.default_rng(0).normal(size=(90, 2))
settings = StreamSettings.of(dict(n_trees=5, window=40, horizon=9, score="default", scale="robust", seed=0, n_jobs=None,
                                  calibration=50, calibration_half_life=None, max_features=9, max_bytes=None))
model = StreamModel(settings)
model.learn("ab", X)
x = {"a": 9.0, "c": 1.0}
model.score_one(x), model.p_value_one(x), model.explain_one(x), model.why_one(x, 3)
model.learn_one(x)
model.forget_one(x, False)
from_bytes(to_bytes(model), lambda: StreamModel(settings)).judge_and_learn("ab", X)
"""


def imported_by(statement):
    """Top-level packages that a statement loads which the interpreter has not loaded before, and are not its own."""
    code = (
        f"import sys; before = set(sys.modules); {statement}\n"
        "import json; print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return {
        name
        for name in json.loads(ended.stdout)
        if name not in sys.stdlib_module_names and not name.startswith(("_cython", "cython_runtime", "_cyutility"))
    }


@pytest.mark.parametrize("statement", ALLOWED)
def test_an_import_brings_nothing_else(statement):
    found = imported_by(statement)
    assert found <= ALLOWED[statement], f"also: {sorted(found - ALLOWED[statement])}"


@pytest.mark.parametrize("code", [BATCH, STREAM], ids=["batch", "stream"])
def test_the_models_know_neither_library(code):
    assert imported_by(code) == {"imondrian", "numpy"}


def test_the_estimator_brings_scikit_learn_and_no_extra():
    found = imported_by("import imondrian; imondrian.IsolationMondrianForest")  # scikit-learn may load what it likes
    assert "sklearn" in found
    assert not found & {"river", "torch", "cupy", "matplotlib", "click", "rich", "onnx", "treelite", "dask", "open3d"}
