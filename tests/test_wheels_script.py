"""The script that builds wheels: which interpreters it looks for, and that the project promises the same ones."""

import importlib.util
import re
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheels():
    path = ROOT / ".ci" / "wheels"
    if not path.exists():
        pytest.skip("needs .ci/wheels, which an sdist does not hold")
    loader = SourceFileLoader("wheels", str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("wheels", loader))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def test_versions_are_those_of_the_project(wheels):
    tags = PROJECT["tool"]["cibuildwheel"]["build"].split()
    assert tags == [f"cp{version.replace('.', '')}-*" for version in wheels.VERSIONS]
    assert PROJECT["project"]["requires-python"] == f">={wheels.VERSIONS[0]}"
    promised = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.M)
    assert set(promised) <= set(wheels.VERSIONS)


def test_wheels_are_tested_with_the_same_extras(wheels):
    assert PROJECT["tool"]["cibuildwheel"]["test-extras"] == wheels.EXTRAS.split(",")
    assert "smoke.py" in PROJECT["tool"]["cibuildwheel"]["test-command"]


def program(folder, name, printed):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{printed}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_the_newest_cpython_of_each_version_is_taken(wheels, tmp_path, monkeypatch):
    versions, on_path = tmp_path / "pyenv" / "versions", tmp_path / "bin"
    program(on_path, "python3.11", "exit 127")  # a shim of a version that is not switched on
    older = program(versions / "3.11.7" / "bin", "python", "echo cpython 3.11.7 0")
    newest = program(versions / "3.11.12" / "bin", "python", "echo cpython 3.11.12 0")
    program(on_path, "python3.12", "echo pypy 3.12.1 0")
    program(on_path, "python3.13", "echo cpython 3.13.0 1")  # without the lock: another ABI
    only = program(on_path, "python3.14", "echo cpython 3.14.2 0")
    program(versions / "3.14.9" / "bin", "python", "echo cpython 3.14.9rc1 0")
    monkeypatch.setenv("PATH", str(on_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert wheels.interpreters() == {"3.11": newest, "3.14": only}
    assert older != newest
