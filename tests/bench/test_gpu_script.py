"""The script for machines with a GPU: what fails is recorded, what follows still runs, time is kept."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
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


def test_what_is_missing_is_named(script):
    assert script.missing({"json": "json", "no_such_module_here": "its-package"}) == ["its-package"]
