"""Compile kernel files for the host, plain or under a sanitizer; each instance once a session."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILER = os.environ.get("CXX") or shutil.which("g++")
# As the device is asked to: no contraction. Sanitized builds are compiled without optimisation of reads away.
FLAGS = [
    "-std=c++17",
    "-g1",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Wno-unknown-pragmas",
    "-Wno-clobbered",
]
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
    "TSAN_OPTIONS": "halt_on_error=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
_ENTRY = re.compile(r'extern "C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(')


def _run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False, **options)


def sanitizer_flags(sanitizer: str) -> list[str]:
    """Return the flags of "address" (with undefined behaviour), "thread", or of none: "" and "apart"."""
    if sanitizer == "address":
        return ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    if sanitizer == "thread":
        return ["-O1", "-fsanitize=thread", "-DCUDA_HOST_THREADS"]
    return ["-O1"]


@cache
def missing(sanitizer: str = "") -> str:
    """Return why kernels cannot be built and run here, or ""."""
    if not COMPILER:
        return "needs g++, or a compiler named by CXX"
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "empty.cpp"), Path(folder, "empty")
        source.write_text("int main() { return 0; }\n")
        flags = [*FLAGS, *sanitizer_flags(sanitizer), "-pthread"]
        if _run([COMPILER, *flags, str(source), "-o", str(program)]).returncode or _run([str(program)]).returncode:
            return f"needs a compiler and a system that run {' '.join(sanitizer_flags(sanitizer))}"
    return ""


@cache
def folder() -> Path:
    """Return the folder of this session's builds."""
    path = Path(tempfile.mkdtemp(prefix="pointmetrics-kernels-"))
    import atexit

    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def entries(source: str) -> list[str]:
    """Return the names of the kernels in a source."""
    return _ENTRY.findall(source)


@cache
def build(source: str, sanitizer: str = "") -> Path:
    """Return a shared library of the kernels in ``source``; under a sanitizer or "apart", a program.

    The library exports ``launch_<kernel>`` and ``signature_<kernel>``; the program reads one launch
    from its standard input and writes the arrays back (see ``device.py``).
    """
    names = entries(source)
    digest = hashlib.sha256((source + sanitizer).encode()).hexdigest()[:16]
    unit, target = folder() / f"{digest}.cpp", folder() / f"{digest}{'.run' if sanitizer else '.so'}"
    launchers = "\n".join(f"CUDA_HOST_ENTRY({name})" for name in names)
    table = ", ".join(f'{{"{name}", launch_{name}}}' for name in names)
    runner = f'#define KERNEL_TABLE {table}\n#include "runner.hpp"\n' if sanitizer else ""
    unit.write_text(f'#include "cuda_host.hpp"\n{source}\n#line 1 "entries"\n{launchers}\n{runner}')
    kind = ["-pthread"] if sanitizer else ["-shared", "-fPIC", "-pthread"]
    result = _run([COMPILER, *FLAGS, *sanitizer_flags(sanitizer), *kind, f"-I{HERE}", str(unit), "-o", str(target)])
    if result.returncode != 0:
        raise RuntimeError(f"the kernels did not compile for the host:\n{result.stderr[-6000:]}")
    return target
