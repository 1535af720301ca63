"""Compile and run the native drivers, without Python, with whatever compiler a test asks for."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = {"imondrian": "forest_driver", "pointmetrics": "points_driver"}
FLAGS = ["-std=c++17", "-pthread", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]

SANITIZED = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
    "TSAN_OPTIONS": "halt_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def run(command, timeout=1200, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


def sources(package):
    """Return what of a core is compiled as it is: all but what its levels include."""
    core = ROOT / package / "native"
    level = (core / "isa" / "level.hpp").read_text(encoding="utf-8")
    return [path for path in sorted(core.rglob("*.cpp")) if f'"{path.relative_to(core).as_posix()}"' not in level]


def includes(package):
    return [f"-I{ROOT / 'include'}", f"-I{ROOT / package / 'native'}"]


def build_driver(package, compiler, flags, folder, own_flags=None):
    """Build a core with its driver; returns the program. ``own_flags`` are those of files by name."""
    driver = ROOT / "tests" / "native" / f"{DRIVERS[package]}.cpp"
    command = [compiler, *FLAGS, *flags, *includes(package)]

    def compile_one(at):
        number, source = at
        target = str(folder / f"{number}.o")
        own = (own_flags or {}).get(source.name, [])
        result = run([*command, *own, "-c", str(source), "-o", target], timeout=900)
        assert result.returncode == 0, result.stderr[-4000:]
        return target

    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        objects = list(pool.map(compile_one, enumerate([driver, *sources(package)])))
    program = str(folder / "driver")
    linked = run([*command, *objects, "-o", program])
    assert linked.returncode == 0, linked.stderr[-4000:]
    return program


def works(compiler, flags, folder, emulator=()):
    """Return whether a program of these flags can be built and run, and what was said."""
    empty = folder / "empty.cpp"
    empty.write_text("int main() { return 0; }\n")
    probe = run([compiler, *FLAGS, *flags, str(empty), "-o", str(folder / "empty")])
    return probe.returncode == 0 and run([*emulator, str(folder / "empty")]).returncode == 0, probe.stderr[-200:]


def check_sanitized(package, sanitizer, folder, level, own_flags=None):
    """Run a core's driver, built with the option ``level``, under a sanitizer: it must find nothing."""
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if not compiler:
        pytest.skip("needs g++, or a compiler named by CXX")
    # The loops of the other instruction sets are the same source, but take minutes to build (NK_BASELINE_ONLY).
    flags = [level, "-g1", "-w", f"-fsanitize={sanitizer}", "-fno-omit-frame-pointer", "-DNK_BASELINE_ONLY"]
    if "undefined" in sanitizer:
        flags.append("-fno-sanitize-recover=all")
    can, said = works(compiler, flags, folder)
    if not can:
        pytest.skip(f"needs a compiler and a system that run -fsanitize={sanitizer}: {said}")
    program = build_driver(package, compiler, flags, folder, own_flags)
    result = run([program], env={**os.environ, **SANITIZED})
    assert result.returncode == 0, result.stderr[-6000:]
    assert result.stdout == f"{DRIVERS[package]}: ok\n"
