"""The script for machines with a GPU: it runs, what fails or hangs costs its own item, and what was done is on disk."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import gpu_items
import kernel_instances
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


@pytest.fixture
def run(script, tmp_path):
    return script.Run(tmp_path, time.monotonic() + 300)


def read(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_the_whole_script_on_an_emulated_device(script, tmp_path, capsys):
    import host_build

    if reason := host_build.missing():
        pytest.skip(reason)
    out = tmp_path / "out"
    assert script.main([str(out), "--emulated"]) == 0
    found = read(out)
    assert [group for group in script.GROUPS if any(item["group"] == group for item in found)] == list(script.GROUPS)
    assert {item["state"] for item in found if item["group"] != "torch"} == {"passed"}
    assert all(item["state"] == "left out" and "torch" in item["note"] for item in found if item["group"] == "torch")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(found)
    timed = [item["row"] for item in found if item["row"]]
    assert len(timed) >= 9 and all(row["call_s"] > 0 and row["kernel_s"] is None for row in timed)
    text = (out / "results.md").read_text()
    assert "no time here is a device's" in text and "| Chamfer, 2 x 20 x 3 |" in text
    assert len(list(out.iterdir())) <= 6
    # The tests that a sanitizer is to run exist, and so do those of all that needs a device.
    notes = {item["group"]: item["note"] for item in found}
    assert notes["memcheck"].startswith("10 tests collected") and notes["racecheck"].startswith("10 tests collected")


def worker(tmp_path, script, monkeypatch, code):
    """Put another program in the place of the one that runs items."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "gpu_items.py").write_text(
        "import json, os, sys, time\nfirst = int(sys.argv[2])\n"
        "def begin(name): print(json.dumps(dict(begun=True, group='emd', name=name)), flush=True)\n"
        "def end(name, state='passed', **more): print(json.dumps(dict(group='emd', name=name, state=state, note='', "
        "seconds=0.1, row=None, **more)), flush=True)\n" + code
    )
    monkeypatch.setattr(script, "ROOT", tmp_path)


ITEMS = """
for k, name in enumerate('abcd'):
    if k < first: continue
    begin(name)
    {what}
    end(name)
print(json.dumps(dict(name='')), flush=True)
"""


@pytest.mark.parametrize(
    ("what", "note"),
    [
        ("if name == 'b': os.abort()", "exit status -6"),
        (
            "if name == 'b': print('Traceback\\nCUDA gave up', file=sys.stderr); sys.exit(3)",
            "exit status 3; CUDA gave up",
        ),
        ("if name == 'b': time.sleep(60)", "it took too long"),
    ],
    ids=["crashes", "exits", "hangs"],
)
def test_what_breaks_costs_its_own_item(script, run, tmp_path, monkeypatch, what, note):
    monkeypatch.setattr(script, "ITEM_LIMIT", 2.0)
    worker(tmp_path, script, monkeypatch, ITEMS.format(what=what))
    script.work(run, ["emd"], 0.0)
    assert [(item.name, item.state) for item in run.items] == [
        ("a", "passed"),
        ("b", "failed"),
        ("c", "passed"),
        ("d", "passed"),
    ]
    assert note in run.items[1].note and [item["name"] for item in read(tmp_path)] == list("abcd")


def test_an_item_that_broke_the_device_is_the_last_of_its_process(script, run, tmp_path, monkeypatch):
    worker(
        tmp_path,
        script,
        monkeypatch,
        """
for k, name in enumerate('abc'):
    if k < first: continue
    begin(name)
    if name == 'b' : end(name, 'failed', broken=True); time.sleep(60)
    end(name)
print(json.dumps(dict(name='')), flush=True)
""",
    )
    script.work(run, ["emd"], 0.0)
    assert [(item.name, item.state) for item in run.items] == [("a", "passed"), ("b", "failed"), ("c", "passed")]


def test_without_a_device_the_start_fails_and_nothing_is_repeated(script, run, tmp_path, monkeypatch):
    worker(tmp_path, script, monkeypatch, "raise RuntimeError('no CUDA driver is loaded')")
    script.work(run, ["emd"], 0.0)
    assert [(item.name, item.state) for item in run.items] == [("start", "failed")]
    assert "no CUDA driver is loaded" in run.items[0].note


def test_what_was_done_is_on_disk_when_the_time_is_up(script, run, tmp_path, monkeypatch):
    worker(tmp_path, script, monkeypatch, ITEMS.format(what="time.sleep(0.1 if name == 'a' else 60)"))
    run.deadline = time.monotonic() + 3
    script.work(run, ["emd"], 0.0)
    names = [(item["name"], item["state"]) for item in read(tmp_path)]
    assert names == [("a", "passed"), ("b", "failed"), ("the rest", "failed")]


def test_steps_end_in_time_and_tell_what_they_have(script, run, tmp_path, monkeypatch):
    monkeypatch.setitem(script.LIMITS, "pytest", 3.0)
    code = (
        "import time\ntry: print('begun', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: print('1 failed, 3 passed')"
    )
    script.step(run, "pytest", [sys.executable, "-c", code])
    assert run.items[-1].state == "failed" and run.items[-1].note == "stopped after 3 s; 1 failed, 3 passed"
    run.deadline = time.monotonic() + 0.5
    script.step(run, "pytest", [sys.executable, "-c", ""])
    assert run.items[-1].note == "no time was left"


def test_tests_that_skip_for_want_of_a_device_are_a_failure(script, run):
    script.step(run, "memcheck", [sys.executable, "-c", "print('SKIPPED [3] a.py: needs a CUDA device')"])
    assert run.items[-1].state == "failed" and "tests skipped: no device" in run.items[-1].note


def test_the_limits_add_up_to_the_budget(script):
    assert sum(script.LIMITS.values()) <= 0.5 * 300.0


def test_what_was_importable_stays_so(script, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"/somewhere{os.pathsep}/else")
    assert script.environment()["PYTHONPATH"].split(os.pathsep) == [str(script.ROOT), "/somewhere", "/else"]
    monkeypatch.delenv("PYTHONPATH")
    assert script.environment(IMONDRIAN_CUDA_POOL="0")["PYTHONPATH"] == str(script.ROOT)


ABSENT = (
    "river",
    "polars",
    "pandas",
    "hypothesis",
    "pytest_benchmark",
    "matplotlib",
    "rich",
    "click",
    "pyspark",
    "dask",
    "trimesh",
    "plyfile",
    "open3d",
    "ot",
    "onnx",
    "treelite",
    "pyarrow",
    "torch",
)


def test_nothing_but_what_is_said_is_needed(script, tmp_path):
    """Neither the items nor the tests that need a device, with every other package that the project knows of away."""
    import subprocess

    code = (
        "import importlib.abc, sys\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name.partition('.')[0] in {ABSENT!r}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import pytest\nsys.path.insert(0, 'bench')\nimport gpu_items\n"
        f"sys.exit(pytest.main({script.pytest_command('-m', 'gpu', '--collect-only', *script.TESTED)[3:]!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=script.ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=script.environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    collected = int(done.stdout.strip().splitlines()[-1].strip("= ").split("/")[0])
    assert collected > 200


def test_every_instance_of_the_public_calls_is_loaded():
    """Held against what calls of all kinds launch on the emulated device."""
    import compile_times
    import host_build

    if reason := host_build.missing():
        pytest.skip(reason)
    known = set(kernel_instances.every())
    assert len(known) == len(kernel_instances.every())
    used = {instance for instances in compile_times.instances_needed().values() for instance in instances}
    assert used <= known


def test_items_have_names_of_their_own():
    import host_build

    if reason := host_build.missing():
        pytest.skip(reason)

    class Device:
        xp = None

    place = gpu_items.Place(None, Device(), False)
    names = [(item.group, item.name) for group in gpu_items.GROUPS.values() for item in group(place)]
    assert len(set(names)) == len(names) > 50
    assert {group for group, _ in names} == set(gpu_items.GROUPS)
