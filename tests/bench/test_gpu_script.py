"""The script for machines with a GPU: what fails is recorded, what follows still runs, time is kept."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "gpu"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not SCRIPT.exists():
        pytest.skip("needs .ci/gpu, which is not part of the source distribution")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("ci_gpu", str(SCRIPT))
    spec = importlib.util.spec_from_loader("ci_gpu", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ci_gpu", module)
    loader.exec_module(module)
    return module


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failure_is_recorded_and_the_rest_still_runs(script, monkeypatch, tmp_path, capsys):
    def broken(run):
        raise OSError("no such thing")

    monkeypatch.setattr(script, "STEPS", {
        "build": lambda run: run.step("build", python("print('fine')")),
        "test": lambda run: run.step("test", python("print('1 failed'); raise SystemExit(1)")),
        "memcheck": broken,
        "racecheck": lambda run: run.note("racecheck", "left out", "not on PATH"),
        "benchmark": lambda run: run.step("benchmark", python("print('9 passed')")),
    })
    monkeypatch.setattr(sys, "argv", ["gpu", str(tmp_path / "out")])
    assert script.main() == 1
    steps = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [(s["name"], s["state"], s["note"]) for s in steps] == [
        ("build", "passed", "fine"), ("test", "failed", "1 failed"), ("memcheck", "failed", "OSError: no such thing"),
        ("racecheck", "left out", "not on PATH"), ("benchmark", "passed", "9 passed")]
    assert (tmp_path / "out" / "test.log").read_text() == "1 failed\n"
    assert "| memcheck | failed |" in (tmp_path / "out" / "summary.md").read_text()
    assert "| memcheck | failed |" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["gpu", str(tmp_path / "out"), "--only", "build", "racecheck"])
    assert script.main() == 0


def test_steps_end_in_time(script, monkeypatch, tmp_path):
    monkeypatch.setitem(script.LIMITS, "test", 2)
    run = script.Run(tmp_path, time.monotonic() + 300)
    assert not run.step("test", python("import time; print('begun', flush=True); time.sleep(60)"))
    assert run.steps[-1].note == "signal 9; stopped after 2 s; begun" and run.steps[-1].seconds < 30
    run.deadline = time.monotonic() + 0.5
    assert not run.step("test", python(""))
    assert run.steps[-1].note == "no time was left"


def test_tests_that_skip_for_want_of_a_device_are_a_failure(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "pytest", lambda *arguments: python("print('SKIPPED [3] a.py: needs a CUDA device')"))
    run = script.Run(tmp_path, time.monotonic() + 300)
    script.test(run)
    assert run.steps[0].state == "failed" and "tests skipped: no device" in run.steps[0].note
    script.benchmark(run)
    assert run.steps[1].state == "failed" and "nothing was measured" in run.steps[1].note


def on_path(folder, name, text):
    """Put a program on PATH in the place of one that machines with a GPU have."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(text)
    program.chmod(0o755)


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """Stand-ins for nvidia-smi and compute-sanitizer, which runs what it is given."""
    folder = tmp_path / "bin"
    on_path(folder, "nvidia-smi", "#!/bin/sh\necho 'A device, 570.00, 8192 MiB'\n")
    on_path(folder, "compute-sanitizer", """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
"$@" || exit 9
echo '========= ERROR SUMMARY: 0 errors'
""")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


REPORT = {
    "machine_info": {"cpu": {"brand_raw": "A processor"}, "python_version": "3.11"}, "datetime": "2026-01-01T00:00:00",
    "benchmarks": [{"name": "test_it", "group": "CUDA: chamfer, 32 x 2048 x 3, float32", "params": None, "fullname": "",
                    "extra_info": {"library": name, "items": 1},
                    "stats": {"median": median, "min": median, "iqr": 0.0, "rounds": 50}}
                   for name, median in (("pointmetrics", 1e-4), ("torch brute force", 4e-4))]}


def test_one_call_tests_measures_and_writes_the_tables(script, tools, monkeypatch, tmp_path, capsys):
    """The whole script as on a machine with a GPU, with stand-ins for what only such a machine can run."""
    def pytest_stand_in(*arguments):
        report = next((a.partition("=")[2] for a in arguments if a.startswith("--benchmark-json=")), None)
        write = f"open({report!r}, 'w').write({json.dumps(REPORT)!r}); " if report else ""
        return python(f"{write}print('== 7 passed in 1.00s ==')")

    monkeypatch.setattr(script, "pytest", pytest_stand_in)
    monkeypatch.setattr(sys, "argv", ["gpu", str(tmp_path / "out")])
    assert script.main() == 0
    steps = {s["name"]: s for s in json.loads((tmp_path / "out" / "summary.json").read_text())}
    assert list(steps) == ["build", "describe", "test", "benchmark", "memcheck", "racecheck"]
    assert steps["describe"]["note"].startswith("A device, 570.00, 8192 MiB")
    assert steps["memcheck"]["note"] == "ERROR SUMMARY: 0 errors"
    tables = (tmp_path / "out" / "benchmarks.md").read_text()
    assert "CUDA: chamfer, 32 x 2048 x 3, float32" in tables and "4.00x" in tables
    assert tables in (tmp_path / "out" / "summary.md").read_text() and "4.00x" in capsys.readouterr().out
    log = (tmp_path / "out" / "describe.log").read_text()
    assert "CUDA: " in log and "pointmetrics: " in log


@pytest.mark.parametrize("tool", ["memcheck", "racecheck"])
def test_a_sanitizer_that_saw_no_device_is_a_failure(script, tools, monkeypatch, tmp_path, tool):
    monkeypatch.setattr(script, "pytest", lambda *arguments: python("print('SKIPPED [3] a.py: needs a CUDA device')"))
    run = script.Run(tmp_path, time.monotonic() + 300)
    script.sanitize(run, tool)
    assert run.steps[0].state == "failed" and "0 errors; tests skipped: no device" in run.steps[0].note
    monkeypatch.setattr(script, "pytest", lambda *arguments: python("raise SystemExit(1)"))
    script.sanitize(run, tool)
    assert run.steps[1].state == "failed"


def test_the_sanitizers_tests_exist(script):
    """What -k chooses must match something of each kind: it would pass over a test that was renamed."""
    text = "".join(path.read_text() for path in (SCRIPT.parents[1] / "tests").glob("**/test_*cuda*.py"))
    for part in script.SANITIZED.split(" or "):
        assert re.search(rf"def test_\w*{part}", text), part


def test_what_is_missing_is_named(script):
    assert script.missing({"json": "json", "no_such_module_here": "its-package"}) == ["its-package"]
