"""The cores on every instruction set: what other compilers and processors make of them, and what may run where."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from native_build import DRIVERS, FLAGS, build_driver, includes, run, sources, works

from imondrian import _core as forest_core
from pointmetrics import _core as point_core

PACKAGES = sorted(DRIVERS)
CORES = {"imondrian": forest_core, "pointmetrics": point_core}
LEVELS = ("baseline", "avx2", "avx512")


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_every_level_of_this_machine_passes_the_driver(package, tmp_path):
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if not compiler or not works(compiler, ["-O1"], tmp_path)[0]:
        pytest.skip("needs g++, or a compiler named by CXX")
    result = run([build_driver(package, compiler, ["-O1", "-w"], tmp_path)])
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout == f"{DRIVERS[package]}: ok\n"


def test_long_loops_ask_whether_to_stop(tmp_path):
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if not compiler or not works(compiler, ["-O1"], tmp_path)[0]:
        pytest.skip("needs g++, or a compiler named by CXX")
    driver = Path(__file__).parent / "interrupt_driver.cpp"
    program = str(tmp_path / "driver")
    built = run([compiler, *FLAGS, "-O1", "-w", *includes("imondrian"), str(driver), "-o", program])
    assert built.returncode == 0, built.stderr[-4000:]
    result = run([program])
    assert result.returncode == 0 and result.stdout == "interrupt_driver: ok\n", result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_an_arm_passes_the_driver(package, tmp_path):
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if not compiler or not emulator:
        pytest.skip("needs aarch64-linux-gnu-g++ (g++-aarch64-linux-gnu) and qemu-aarch64 (qemu-user)")
    flags = ["-O1", "-w", "-static"]
    fine, said = works(compiler, flags, tmp_path, [emulator])
    if not fine:
        pytest.skip(f"needs a cross compiler and an emulator that work: {said}")
    result = run([emulator, build_driver(package, compiler, flags, tmp_path)], timeout=1200)
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout == f"{DRIVERS[package]}: ok\n"


@pytest.mark.parametrize("package", PACKAGES)
def test_clang_takes_the_core(package, tmp_path):
    compiler = shutil.which("clang++")
    if not compiler or not works(compiler, [], tmp_path)[0]:
        pytest.skip("needs clang++")
    warnings = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    result = run([compiler, *FLAGS, *warnings, *includes(package), "-fsyntax-only", *map(str, sources(package))])
    assert result.returncode == 0, result.stderr[-4000:]


# The linker keeps one copy of a template: were it one that is compiled for AVX, older machines would stop at it.
@pytest.mark.parametrize("package", PACKAGES)
def test_code_that_all_machines_run_is_of_the_baseline(package):
    objdump = shutil.which("objdump")
    library = CORES[package].__file__
    if not objdump or not library.endswith(".so"):
        pytest.skip("needs objdump, and a core that it reads")
    listing = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", library], capture_output=True, text=True, check=True
    ).stdout
    if "4avx2" not in listing:
        pytest.skip("needs a core with symbols, and with more than one level")
    name, strangers, used = "", set(), set()
    for line in listing.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            name = head[1]
        elif re.match(r"\s*[0-9a-f]+:\tv", line) or re.search(r"%[yz]mm|%k[0-7]", line):
            level = "avx512" if "6avx512" in name else "avx2" if "4avx2" in name else ""
            (used if level else strangers).add(level or name)
    assert not strangers
    assert used == {"avx2", "avx512"}


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("level", LEVELS)
def test_the_environment_caps_the_level(package, level):
    best = CORES[package].limit_instruction_set(2)
    if os.environ.get("IMONDRIAN_ISA"):
        pytest.skip("needs IMONDRIAN_ISA not to be set")
    code = f"import {package}\nfrom {package} import _core\nprint(_core.instruction_set())\nprint({package}.info())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "IMONDRIAN_ISA": level},
        capture_output=True,
        text=True,
        check=True,
    )
    used = LEVELS[min(best, LEVELS.index(level))]
    assert done.stdout.startswith(f"('{used}', ")
    assert f"\ninstruction set: {used} (" in done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_level_is_refused(package):
    done = subprocess.run(
        [sys.executable, "-c", f"from {package} import _core"],
        env={**os.environ, "IMONDRIAN_ISA": "AVX9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "IMONDRIAN_ISA must be one of baseline, avx2, avx512, got 'AVX9'" in done.stderr
