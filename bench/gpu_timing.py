"""Timing on a CUDA device for pytest-benchmark, and what all benchmarks of the CUDA half share.

A :class:`Clock` shows the seconds that were added to it: between two of pytest-benchmark's looks at it lies
what CUDA events (or another process) measured, whatever the host did around it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest


class Clock:
    """A timer for ``pytest.mark.benchmark(timer=...)``."""

    total = 0.0

    def __call__(self) -> float:
        return self.total


CLOCK = Clock()


@dataclass(frozen=True)
class Workload:
    """Something to be timed: ``run`` it, after ``check`` has held its answer against the CPU's."""

    run: Callable[[], Any]
    check: Callable[[], None]


def usable_cupy() -> Any:
    """Return CuPy, or skip, saying what is missing."""
    cupy = pytest.importorskip("cupy", reason="needs CuPy and a CUDA device")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"needs a CUDA device: {error}")
    if count == 0:
        pytest.skip("needs a CUDA device: none found")
    return cupy


def usable_torch() -> Any:
    """Return torch with CUDA, or skip."""
    torch = pytest.importorskip("torch", reason="needs torch with CUDA")
    if not torch.cuda.is_available():
        pytest.skip("needs torch with CUDA")
    return torch


def on_clock(cupy: Any, run: Callable[[], Any]) -> Callable[[], None]:
    """Return ``run`` with its time between CUDA events on the current stream added to the clock."""

    def timed() -> None:
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        run()
        end.record()
        end.synchronize()
        CLOCK.total += cupy.cuda.get_elapsed_time(start, end) / 1e3

    return timed


def measure(
    benchmark: Any, cupy: Any, workload: Workload, *, group: str, name: str, rounds: int, items: int = 1
) -> None:
    """Check the answer, which compiles and warms up too, then time ``rounds`` runs."""
    benchmark.group, benchmark.name = group, name
    benchmark.extra_info.update(library=name, items=items)
    workload.check()
    benchmark.pedantic(
        on_clock(cupy, workload.run),
        rounds=1 if benchmark.disabled else rounds,
        warmup_rounds=0 if benchmark.disabled else min(5, rounds),
    )


_FIRST_CALL = """
import sys, time
import numpy as np
import cupy
{imports}
{prepare}
cupy.cuda.Device().synchronize()  # the context exists; the library has compiled and loaded nothing yet
start = time.perf_counter()
{call}
cupy.cuda.Device().synchronize()
print(time.perf_counter() - start)
"""


def first_call_seconds(imports: str, prepare: str, call: str, cache: str) -> float:
    """Return what a new process takes for its first call, with kernels kept in the folder ``cache``."""
    code = _FIRST_CALL.format(imports=imports, prepare=prepare, call=call)
    environment = {
        **os.environ,
        "POINTMETRICS_CACHE_DIR": cache,
        "IMONDRIAN_CACHE_DIR": cache,
        "CUPY_CACHE_DIR": f"{cache}/cupy",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    return float(done.stdout)
