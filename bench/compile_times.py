"""How long NVRTC compiles what the first call of a function needs: a time of this machine's processor, no GPU's.

    python bench/compile_times.py [--arch 90] [--rounds 3] [--markdown FILE]

Kernels are compiled when first used, and kept. Which instances a call needs is seen by running it, tiny, on the
emulated device of the tests; each call's are then compiled in a new process, one after another and without any cache,
as a first call would. Times are the processor's, which a busy machine changes little (NVRTC works in one thread).
Loading NVRTC is part of them; not part are creating a CUDA context, loading the code, and what CuPy compiles of its
own: about 0.1 s for each elementwise operation that was never used on the machine. Needs g++ and CuPy with NVRTC, and
no device.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from markdown_table import markdown, tell

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 3.0  # that a first call may take


def calls(xp: Any) -> dict[str, Callable[[], Any]]:
    """Return the calls by name, on small clouds and rows of ``xp``."""
    import pointmetrics as pm
    from imondrian import IsolationMondrianForest
    from pointmetrics._backends.cuda import search as _cuda_search

    rng = np.random.default_rng(0)

    def clouds(d: int, dtype: str = "f4", n: int = 20) -> list[Any]:
        return [xp.asarray(rng.random((2, n, d)).astype(dtype)) for _ in range(2)]

    def searched(d: int, dtype: str) -> Any:
        with mock.patch.object(_cuda_search, "LEAST_PAIRS", 0):
            return pm.chamfer_distance(*clouds(d, dtype))

    def scores(score: str) -> Any:
        rows = rng.normal(size=(100, 5))
        return IsolationMondrianForest(5, score=score, random_state=0).fit(rows).score_samples(xp.asarray(rows))

    return {
        "Chamfer, 3-d float32": lambda: pm.chamfer_distance(*clouds(3)),
        "Chamfer with gradients, 3-d float32": lambda: pm.chamfer_distance(*clouds(3), return_grad=True),
        "Chamfer with gradients, any-d float64": lambda: pm.chamfer_distance(*clouds(5, "f8"), return_grad=True),
        "Chamfer of large clouds, 3-d float32": lambda: searched(3, "f4"),
        "Chamfer of large clouds, any-d float64": lambda: searched(5, "f8"),
        "EMD, 3-d float32": lambda: pm.earth_movers_distance(*clouds(3)),
        "EMD, any-d float64": lambda: pm.earth_movers_distance(*clouds(5, "f8")),
        "Sinkhorn, 3-d float32": lambda: pm.sinkhorn_divergence(*clouds(3, n=5), epsilon=1.0, tol=0.1),
        "1-NNA under Chamfer, 3-d float32": lambda: pm.sets.evaluate(*clouds(3), full_matrices=False, n_bootstrap=1),
        "1-NNA under EMD, 3-d float32": lambda: pm.sets.evaluate(*clouds(3), "emd", full_matrices=False, n_bootstrap=1),
        "forest, default score, float64": lambda: scores("default"),
        "forest, insertion, float64": lambda: scores("insertion"),
        "forest, depth, float64": lambda: scores("depth"),
    }


def instances_needed() -> dict[str, list[Any]]:
    """Return the instances that each call launches kernels of, in that order."""
    sys.path.insert(0, str(ROOT / "tests" / "emulation"))
    from device import EmulatedDevice

    from pointmetrics._backends.cuda.backend import CudaBackend

    needed: dict[str, list[Any]] = {}
    for name in calls(np):
        used: list[Any] = []

        class Recorder(EmulatedDevice):
            def launch(self, kernel: Any, *args: Any, _used: list[Any] = used, **options: Any) -> None:
                if kernel.instance not in _used:
                    _used.append(kernel.instance)
                super().launch(kernel, *args, **options)

        device = Recorder()
        backend = CudaBackend(device)
        with (
            mock.patch.dict(sys.modules, {"cupy": device.xp}),
            mock.patch("pointmetrics._backends.cuda.backend.backend", lambda backend=backend: backend),
            mock.patch("imondrian._kit.device.open_device", lambda device=device: device),
        ):
            calls(device.xp)[name]()
        needed[name] = used
    return needed


def seconds_to_compile(sources: list[tuple[str, str]], options: tuple[str, ...]) -> list[float]:
    """Return the processor's seconds for each (name, source), one after another; the first loads NVRTC too."""
    start = time.process_time()
    from cupy.cuda import nvrtc  # the import of CuPy itself happens before a first call

    found = []
    for name, source in sources:
        program = nvrtc.createProgram(source, f"{name}.cu", (), ())
        nvrtc.compileProgram(program, options)
        nvrtc.getCUBIN(program)
        nvrtc.destroyProgram(program)
        found.append(time.process_time() - start)
        start = time.process_time()
    return found


def measured(instances: list[Any], arch: int, rounds: int) -> list[float]:
    """Return the median seconds of each instance, over processes of their own."""
    from imondrian._kit.kernel_source import OPTIONS

    sources = [(instance.file, instance.source) for instance in instances]
    context = multiprocessing.get_context("spawn")
    times = []
    for _ in range(rounds):
        with ProcessPoolExecutor(1, mp_context=context, initializer=_import_cupy) as pool:
            times.append(pool.submit(seconds_to_compile, sources, (*OPTIONS, f"-arch=sm_{arch}")).result())
    return [statistics.median(of_one) for of_one in zip(*times, strict=True)]


def _import_cupy() -> None:
    import cupy  # noqa: F401


def table(needed: dict[str, list[Any]], times: dict[str, list[float]]) -> str:
    """Return the markdown table: a row a call."""
    rows = []
    for name, instances in needed.items():
        most, slowest = max(zip(times[name], (instance.file for instance in instances), strict=True))
        total = sum(times[name])
        rows.append(
            [
                name,
                str(len(instances)),
                f"{total:.2f} s",
                f"{slowest} {most:.2f} s",
                "yes" if total <= LIMIT_S else "**no**",
            ]
        )
    return markdown(["first call", "instances", "compiled in (CPU)", "longest", f"within {LIMIT_S:g} s"], rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", type=int, default=90, help="compute capability to compile for (default: 90)")
    parser.add_argument("--rounds", type=int, default=3, help="processes a call (default: 3)")
    parser.add_argument("--markdown", type=Path, help="file to write the table to as well")
    options = parser.parse_args(argv)
    from cupy.cuda import nvrtc

    version = ".".join(map(str, nvrtc.getVersion()))
    needed = instances_needed()
    times = {name: measured(instances, options.arch, options.rounds) for name, instances in needed.items()}
    text = f"NVRTC {version}, sm_{options.arch}, medians of {options.rounds} processes.\n\n{table(needed, times)}"
    tell(text, options.markdown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
