"""The native core under sanitizers: out of bounds, undefined behaviour, data races."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from native_build import sources

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "pointmetrics" / "native"
COMPILER = os.environ.get("CXX") or shutil.which("g++")
# The kernels of the other instruction sets are the same source, but take minutes to build (NK_BASELINE_ONLY).
SOURCES = [ROOT / "tests" / "native" / "points_driver.cpp", *sources("pointmetrics")]
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
        "-O1",
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

    def compile_one(source):
        target = str(tmp_path / f"{source.stem}.o")
        # The kernels are one large unit, which takes half a minute at -O1.
        level = ["-O0"] if source.name == "baseline.cpp" else []
        return target, run([COMPILER, *flags, *level, "-c", str(source), "-o", target])

    with ThreadPoolExecutor(2) as pool:
        built = list(pool.map(compile_one, SOURCES))
    for _, result in built:
        assert result.returncode == 0, result.stderr[-4000:]
    program = str(tmp_path / "driver")
    linked = run([COMPILER, *flags, *(target for target, _ in built), "-o", program])
    assert linked.returncode == 0, linked.stderr[-4000:]
    result = run([program], env={**os.environ, **OPTIONS})
    assert result.returncode == 0, result.stderr[-6000:]
    assert result.stdout == "points_driver: ok\n"
