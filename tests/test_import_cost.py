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


def test_the_estimator_brings_scikit_learn_and_no_extra():
    found = imported_by("import imondrian; imondrian.IsolationMondrianForest")  # scikit-learn may load what it likes
    assert "sklearn" in found
    assert not found & {"river", "torch", "cupy", "matplotlib", "click", "rich", "onnx", "treelite", "dask", "open3d"}
