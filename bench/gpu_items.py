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
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(ROOT / "tests"),
    str(ROOT / "tests" / "emulation"),
    str(ROOT / "tests" / "reference"),
    str(ROOT / "tests" / "pointmetrics" / "_backends"),
    str(ROOT / "bench"),
]

import bench_gpu_forest as forests  # noqa: E402
import bench_gpu_points as points  # noqa: E402
import kernel_instances  # noqa: E402
import test_cuda_metrics as metrics  # noqa: E402

import imondrian._kit.device as kit  # noqa: E402
import pointmetrics as pm  # noqa: E402
from imondrian import IsolationMondrianForest  # noqa: E402
from imondrian._kit.compiler import compiled  # noqa: E402
from imondrian._kit.kernel_source import Instance, Kernel, entries  # noqa: E402
from pointmetrics._backends.cuda import search as _cuda_search  # noqa: E402

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


class LeftOutError(Exception):
    """What an item needs is not here."""


@dataclass(frozen=True)
class Item:
    group: str
    name: str
    run: Callable[[], str | dict[str, Any]]  # returns a note, or a row of the table of timings


@dataclass
class Place:
    """Where items run: a device, or its stand-in, with ``xp`` as CuPy."""

    xp: Any
    device: Any
    emulated: bool

    def smaller(self, on_device: Any, emulated: Any) -> Any:
        """Return a size for where this is."""
        return emulated if self.emulated else on_device

    def synchronize(self) -> None:
        self.device.synchronize()


def on_device() -> Place:
    """Return CuPy's current device."""
    device = kit.open_device()
    return Place(device.xp, device, False)


def on_host() -> Place:
    """Return the emulated device, put in the place of CuPy's for good."""
    from device import EmulatedDevice

    from pointmetrics._backends.cuda import backend as _cuda

    device = EmulatedDevice()
    backend = _cuda.CudaBackend(device)
    sys.modules["cupy"] = device.xp
    kit.open_device = lambda: device
    _cuda.backend = lambda: backend
    return Place(device.xp, device, True)


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


def torch_of(place: Place) -> Any:
    if place.emulated:
        raise LeftOutError("needs torch with CUDA")
    try:
        import torch
    except ImportError as error:
        raise LeftOutError(f"needs torch: {error}") from error
    if not torch.cuda.is_available():
        raise LeftOutError("needs torch with CUDA")
    return torch


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


# Timings


def timings(place: Place) -> Iterator[Item]:
    xp, small = place.xp, place.smaller
    batch, one, million = small((32, 2048, 3), (2, 20, 3)), small((16_384, 3), (20, 3)), small((1_000_000, 3), (25, 3))
    rows, sets = small(10_000_000, 60), small((405, 2048), (3, 12))

    def item(
        name: str,
        target_ms: float | None,
        make: Callable[[], Any],
        rounds: int,
        beside: Callable[[Any], Any] | None = None,
    ) -> Item:
        return Item("time", name, lambda: measure(place, name, target_ms, make, rounds, beside))

    def forest(score: str) -> Callable[[], Any]:
        return lambda: forests.scores(xp, rows, 10, np.float32, score, n_estimators=small(100, 3))

    sized = " x ".join
    yield item(
        f"Chamfer, {sized(map(str, batch))}",
        0.15,
        lambda: points.chamfer(xp, batch),
        50,
        lambda torch: points.with_torch(torch, batch),
    )
    yield item(
        f"Chamfer with gradients, {sized(map(str, batch))}",
        None,
        lambda: points.chamfer_with_gradients(xp, batch),
        50,
        lambda torch: points.with_torch(torch, batch, True),
    )
    yield item(f"EMD, gap 1e-3, {sized(map(str, batch))}", 8.0, lambda: points.earth_mover(xp, batch, 1e-3), 10)
    yield item(f"EMD, exact, {sized(map(str, batch))}", 20.0, lambda: points.earth_mover(xp, batch, 0.0), 10)
    yield item(
        f"Chamfer, {sized(map(str, one))}",
        None,
        lambda: points.chamfer(xp, one),
        20,
        lambda torch: points.with_torch(torch, (1, *one)),
    )
    yield item(f"Chamfer, {sized(map(str, million))}", 12.0, lambda: points.chamfer(xp, million), 10)
    for score, target in (("depth", 30.0), ("default", 120.0), ("insertion", 200.0)):
        yield item(f"forest, {score}, {rows} x 10", target, forest(score), 5)
    yield item(f"all pairs of 2 x {sets[0]} clouds of {sets[1]}", 700.0, lambda: all_pairs(place, *sets), 3)


def all_pairs(place: Place, n_clouds: int, n: int) -> Any:
    """Return the workload of a whole matrix of Chamfer distances, checked on the first few clouds."""
    x, y = (points.shapes(n_clouds, n, seed) for seed in range(2))
    sides = place.xp.asarray(x), place.xp.asarray(y)

    def check() -> None:
        found = place.xp.asnumpy(pm.sets.pairwise_distances(sides[0][:3], sides[1][:3]))
        np.testing.assert_allclose(found, pm.sets.pairwise_distances(x[:3], y[:3]), rtol=1e-6)

    return points.Workload(lambda: pm.sets.pairwise_distances(*sides), check)


def measure(
    place: Place,
    name: str,
    target_ms: float | None,
    make: Callable[[], Any],
    rounds: int,
    beside: Callable[[Any], Any] | None,
) -> dict[str, Any]:
    """Check a workload's answer, then time it as a call, by its kernels, and beside what torch does."""
    workload = make()
    workload.check()
    row = {
        "workload": name,
        "call_s": timed(workload.run, place.synchronize, place.smaller(rounds, 1)),
        "kernel_s": None if place.emulated else kernel_seconds(place, workload.run),
        "target_s": None if target_ms is None else target_ms / 1e3,
        "brute_force_s": None,
    }
    if beside is not None:
        try:
            torch = torch_of(place)
        except LeftOutError:
            return row
        other = beside(torch)
        other.check()
        row["brute_force_s"] = timed(other.run, torch.cuda.synchronize, rounds)
    return row


def in_words(row: dict[str, Any]) -> str:
    """Return a row of the table in a line."""
    parts = (("call", "call_s"), ("kernels", "kernel_s"), ("target", "target_s"), ("brute force", "brute_force_s"))
    return ", ".join(f"{what} {1e3 * row[key]:.3f} ms" for what, key in parts if row[key] is not None)


def timed(run: Callable[[], Any], synchronize: Callable[[], None], rounds: int) -> float:
    """Return the median seconds of a call, from an idle device to an idle device."""
    run()
    found = []
    for _ in range(rounds):
        synchronize()
        began = time.perf_counter()
        run()
        synchronize()
        found.append(time.perf_counter() - began)
    return median(found)


def kernel_seconds(place: Place, run: Callable[[], Any]) -> float:
    """Return the sum over a call's launches of the time between events around each."""
    cupy, launch = place.xp, kit.CupyDevice.launch
    events: list[tuple[Any, Any]] = []

    def recorded(device: Any, *args: Any, **options: Any) -> None:
        pair = cupy.cuda.Event(), cupy.cuda.Event()
        pair[0].record()
        launch(device, *args, **options)
        pair[1].record()
        events.append(pair)

    kit.CupyDevice.launch = recorded  # type: ignore[method-assign]
    try:
        run()
        place.synchronize()
    finally:
        kit.CupyDevice.launch = launch  # type: ignore[method-assign]
    return sum(cupy.cuda.get_elapsed_time(*pair) for pair in events) / 1e3


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
    place = on_host() if options.emulated else on_device()
    items = [item for group in options.groups for item in GROUPS[group](place)]
    for item in items[options.first :]:
        run_item(item)
    tell(name="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
