"""The native core under sanitizers: out of bounds, undefined behaviour, data races."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from native_build import sources

ROOT = Path(__file__).resolve().parents[3]
CORE = ROOT / "imondrian" / "native"
DRIVER = ROOT / "tests" / "native" / "forest_driver.cpp"
COMPILER = os.environ.get("CXX") or shutil.which("g++")
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
    "TSAN_OPTIONS": "halt_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def run(command, timeout=1200, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_core_is_clean(sanitizer, tmp_path):
    if not COMPILER:
        pytest.skip("needs g++, or a compiler named by CXX")
    flags = [
        "-std=c++17",
        "-O0",
        "-g1",
        "-pthread",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-w",
        f"-fsanitize={sanitizer}",
        "-fno-omit-frame-pointer",
        "-DNK_BASELINE_ONLY",
        f"-I{ROOT / 'include'}",
        f"-I{CORE}",
    ]
    if "undefined" in sanitizer:
        flags.append("-fno-sanitize-recover=all")
    empty = tmp_path / "empty.cpp"
    empty.write_text("int main() { return 0; }\n")
    probe = run([COMPILER, *flags, str(empty), "-o", str(tmp_path / "empty")])
    if probe.returncode != 0 or run([str(tmp_path / "empty")]).returncode != 0:
        pytest.skip(f"needs a compiler and a system that run -fsanitize={sanitizer}: {probe.stderr[-200:]}")
    program = str(tmp_path / "driver")
    built = run([COMPILER, *flags, str(DRIVER), *map(str, sources("imondrian")), "-o", program])
    assert built.returncode == 0, built.stderr[-4000:]
    result = run([program], env={**os.environ, **OPTIONS})
    assert result.returncode == 0, result.stderr[-6000:]
    assert result.stdout == "forest_driver: ok\n"
