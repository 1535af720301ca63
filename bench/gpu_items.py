"""What ``.ci/gpu`` checks and times on a CUDA device, an item after another.

    python bench/gpu_items.py [--first N] [--groups kernels emd compare torch time] [--emulated]

Tells of each item on standard output, a JSON object a line: that it begins, then what became of it. With ``--emulated``
the same items run, tiny, on the emulated device of the tests.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import gpu_place  # makes what follows importable
import kernel_instances
import numpy as np
import test_cuda_metrics as metrics
from gpu_place import Item, LeftOutError, Place, timed, torch_of
from gpu_table import in_words, timings

import pointmetrics as pm
from imondrian import IsolationMondrianForest
from imondrian._kit.compiler import compiled
from imondrian._kit.kernel_source import Instance, Kernel, entries
from pointmetrics._backends.cuda import search as _cuda_search

CRITICAL = ((1185, 3), (1664, 3), (2048, 3), (1409, 2), (2432, 2), (353, 16), (640, 16))
# Where errors of the device are not to be got rid of in its process.
BROKEN = (
    "illegal",
    "IllegalAddress",
    "LAUNCH_FAILED",
    "LAUNCH_TIMEOUT",
    "misaligned",
    "MISALIGNED",
    "ASSERT",
    "unspecified launch failure",
)


# Kernels


def kernels(place: Place) -> Iterator[Item]:
    yield Item("kernels", "device", lambda: describe(place))
    instances = kernel_instances.every()
    if place.emulated:
        instances = [i for i in instances if i.file in ("segments", "nearest") and i.dtype == np.float32]
    else:
        yield Item("kernels", f"compile {len(instances)} instances", lambda: compile_all(place, instances))
    for package, file in dict.fromkeys((i.package, i.file) for i in instances):
        of_file = [i for i in instances if (i.package, i.file) == (package, file)]
        yield Item("kernels", f"load {package}/{file}", lambda of_file=of_file: load(place, of_file))


def describe(place: Place) -> str:
    if place.emulated:
        return "an emulated device"
    status = pm.info().cuda
    if not status.usable:
        raise RuntimeError(status.reason)
    torch = sys.modules.get("torch")
    return (
        f"{status.device}, {place.device.n_multiprocessors} multiprocessors, driver {status.driver}, CuPy "
        f"{status.cupy} for CUDA {status.runtime}, NVRTC {status.nvrtc}, "
        f"torch {getattr(torch, '__version__', 'not there')}"
    )


def compile_all(place: Place, instances: list[Instance]) -> str:
    """Fill the cache, on all processors: NVRTC compiles one source at a time in a process."""
    capability, began = int(place.xp.cuda.Device().compute_capability), time.perf_counter()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(compile_one, instances, [capability] * len(instances)))
    return f"{time.perf_counter() - began:.1f} s, for sm_{capability}"


def compile_one(instance: Instance, capability: int) -> None:
    from cupy.cuda import nvrtc

    compiled(nvrtc, instance, capability)


def load(place: Place, instances: list[Instance]) -> str:
    """Load every kernel, and tell the most that any of them uses."""
    found = []
    for instance in instances:
        for entry in entries(instance.package, instance.file):
            kernel = Kernel(instance, entry)
            static = place.device.shared_bytes - place.device.dynamic_shared_bytes(kernel)
            function = None if place.emulated else place.device._function(kernel)
            found.append((static, getattr(function, "num_regs", 0), getattr(function, "local_size_bytes", 0)))
    static, registers, local = (max(values) for values in zip(*found, strict=True))
    return f"{len(found)} kernels; at most {registers} registers, {static} B shared, {local} B local memory"


# Against the CPU


def emd(place: Place) -> Iterator[Item]:
    for n, d in place.smaller(CRITICAL, ((40, 3), (33, 2), (20, 16))):
        yield Item("emd", f"{n} points, {d}-d", lambda n=n, d=d: check_emd(place, n, d))


def check_emd(place: Place, n: int, d: int) -> str:
    x, y = (np.random.default_rng(seed).random((n, d)).astype(np.float32) for seed in range(2))
    found = pm.earth_movers_distance(place.xp.asarray(x), place.xp.asarray(y), tol=1e-2, return_details=True)
    exact = pm.earth_movers_distance(x, y)
    lower, upper = float(found.lower), float(found.upper)
    if not lower * (1 - 1e-6) <= exact <= upper * (1 + 1e-6) or upper > 1.011 * exact:
        raise AssertionError(f"expected {lower} <= {exact} <= {upper} within 1 %")
    return f"{lower:.6g} <= {exact:.6g} <= {upper:.6g}"


def compare(place: Place) -> Iterator[Item]:
    cases = list(metrics.CASES)
    for name in place.smaller(cases, cases[:1]):
        yield Item("compare", name, lambda name=name: check_case(place, name))
    yield Item("compare", "large clouds", lambda: check_search(place))
    yield Item("compare", "sinkhorn", lambda: check_sinkhorn(place))
    for score in place.smaller(("depth", "insertion", "default"), ("depth",)):
        yield Item("compare", f"forest, {score}", lambda score=score: check_forest(place, score))


def check_case(place: Place, name: str) -> str:
    for dtype in place.smaller((np.float32, np.float64), (np.float32,)):
        metrics.assert_equal_results(place.xp, *metrics.CASES[name], dtype)
    return "as on the CPU"


def check_search(place: Place) -> str:
    n, kept = place.smaller(3000, 60), _cuda_search.LEAST_PAIRS
    _cuda_search.LEAST_PAIRS = 0
    try:
        for d in place.smaller((2, 3, 5), (3,)):
            x, y = (np.round(np.random.default_rng(seed).random((n, d)), 2).astype(np.float32) for seed in range(2))
            found = pm.nearest_neighbors(place.xp.asarray(x), place.xp.asarray(y))
            for a, b in zip(metrics.parts(pm.nearest_neighbors(x, y)), metrics.parts(found), strict=True):
                np.testing.assert_array_equal(place.xp.asnumpy(b), a)
    finally:
        _cuda_search.LEAST_PAIRS = kept
    return "bit by bit"


def check_sinkhorn(place: Place) -> str:
    x, y = np.random.default_rng(0).random((2, 2, place.smaller(200, 9), 3)).astype(np.float32)
    options = {"epsilon": 0.5, "tol": 0.1}
    found = place.xp.asnumpy(pm.sinkhorn_divergence(place.xp.asarray(x), place.xp.asarray(y), **options))
    np.testing.assert_allclose(found, pm.sinkhorn_divergence(x, y, **options), rtol=1e-5, atol=1e-7)
    return "as on the CPU"


def check_forest(place: Place, score: str) -> str:
    rng = np.random.default_rng(0)
    for dtype in place.smaller((np.float32, np.float64), (np.float32,)):
        training = rng.normal(size=(500, 6)).astype(dtype)
        training[::3, 1] = 2.5  # constant in some trees
        forest = IsolationMondrianForest(10, score=score, random_state=0).fit(training)
        rows = rng.normal(size=(place.smaller(3000, 30), 6)).astype(dtype) * 2
        rows[::5, 2] = np.nan
        for method in ("score_samples", "p_values"):
            found = place.xp.asnumpy(getattr(forest, method)(place.xp.asarray(rows)))
            np.testing.assert_allclose(found, getattr(forest, method)(rows), rtol=1e-12)
    return "as on the CPU"


# Torch


def with_torch(place: Place) -> Iterator[Item]:
    yield Item("torch", "gradients", lambda: check_gradients(place))
    for name in ("chamfer", "emd"):
        for same in (True, False):
            which = "the same stream" if same else "another stream"
            yield Item(
                "torch",
                f"graph of {name}, warmed up on {which}",
                lambda name=name, same=same: check_graph(place, name, same),
            )


def check_gradients(place: Place) -> str:
    torch = torch_of(place)
    import pointmetrics.torch as pt

    x, y = torch.rand(2, 3, 500, 3)
    grads = []
    for where in ("cpu", "cuda"):
        leaf = x.to(where).requires_grad_()
        with torch.cuda.stream(torch.cuda.Stream()):
            pt.chamfer_distance(leaf, y.to(where)).sum().backward()
        torch.cuda.synchronize()
        grads.append(leaf.grad.cpu())
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-8)
    return "the CPU's"


def check_graph(place: Place, name: str, same: bool) -> str:
    torch = torch_of(place)
    function = {"chamfer": pm.chamfer_distance, "emd": lambda x, y: pm.earth_movers_distance(x, y, tol=1e-2)}[name]
    x, y = torch.rand(2, 4, 512, 3, device="cuda")
    recording = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(recording if same else torch.cuda.Stream()):
        function(x, y)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=recording):
        value = function(x, y)
    for n in range(1, 80):
        function(*torch.rand(2, 1, n, 3, device="cuda"))
    x.add_(0.25)
    graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(value, function(x, y))
    times = timed(graph.replay, torch.cuda.synchronize, 20)
    return f"replayed, {1e3 * times:.3f} ms"


GROUPS = {"kernels": kernels, "emd": emd, "compare": compare, "torch": with_torch, "time": timings}


def tell(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def run_item(item: Item) -> None:
    """Run an item and tell what became of it."""
    tell(begun=True, group=item.group, name=item.name)
    began = time.perf_counter()
    state, note, row, broken = "passed", "", None, False
    try:
        result = item.run()
        note, row = (result, None) if isinstance(result, str) else (in_words(result), result)
    except LeftOutError as error:
        state, note = "left out", str(error)
    except Exception as error:  # whatever it is, the next ones still run
        state, note = "failed", " ".join(f"{type(error).__name__}: {error}".split())[:400]
        broken = any(word in note for word in BROKEN)
    tell(
        group=item.group,
        name=item.name,
        state=state,
        note=note,
        row=row,
        broken=broken,
        seconds=round(time.perf_counter() - began, 1),
    )
    if broken:
        sys.exit(0)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="number of the first item")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--emulated", action="store_true")
    options = parser.parse_args(argv)
    place = gpu_place.on_host() if options.emulated else gpu_place.on_device()
    items = [item for group in options.groups for item in GROUPS[group](place)]
    for item in items[options.first :]:
        run_item(item)
    tell(name="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
