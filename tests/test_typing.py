"""The types that users see: what mypy makes of a script of theirs, and that they are shipped."""

import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "typing"))

import check  # noqa: E402

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")


def test_a_users_script_passes_strictly():
    done = check.check(HERE / "typing" / "user_script.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_users_mistakes_are_found(tmp_path):
    script = tmp_path / "mistakes.py"
    script.write_text(
        "import numpy as np\n"
        "import pointmetrics as pm\n"
        "from imondrian import IsolationMondrianForest; from imondrian.keyed import KeyedForest\n"
        "IsolationMondrianForest(n_estimators='many')\n"
        "IsolationMondrianForest().score_samples(np.zeros((2, 2))).upper()\n"
        "pm.earth_movers_distance(1, 2, return_details=True).higher\n"
        "pm.chamfer_distance(1, 2, conventions='pcn')\n"
        "IsolationMondrianForest(score='dept')\n"
        "IsolationMondrianForest(window='reservoirs')\n"
        "KeyedForest(score='space')\n"
        "pm.chamfer_distance(1, 2, convention='pnc')\n"
    )
    done = check.check(script)
    assert done.returncode == 1
    found = {
        int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]")
        for line in done.stdout.splitlines()
        if ": error: " in line
    }
    assert found == {
        4: "arg-type",
        5: "attr-defined",
        6: "attr-defined",
        7: "call-overload",
        8: "arg-type",
        9: "arg-type",
        10: "arg-type",
        11: "call-overload",
    }, done.stdout


def test_types_are_shipped():
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    for package in check.PACKAGES:
        assert {"py.typed", "*.pyi"} <= set(project["tool"]["setuptools"]["package-data"][package])
        assert (HERE.parent / package / "py.typed").is_file() and (HERE.parent / package / "_core.pyi").is_file()
