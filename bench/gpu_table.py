"""The table of timings of ``.ci/gpu``: workloads as calls, by their kernels, and beside torch's brute force."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import bench_gpu_forest as forests
import bench_gpu_points as points
import numpy as np
from gpu_place import Item, LeftOutError, Place, timed, torch_of

import imondrian._kit.device as kit
import pointmetrics as pm

Beside = Callable[[Any], Any] | None  # makes the workload that torch does beside it


def timings(place: Place) -> Iterator[Item]:
    """Yield the rows of the table: every workload, with the time that is asked of it."""
    xp, small = place.xp, place.smaller
    batch, one, million = small((32, 2048, 3), (2, 20, 3)), small((16_384, 3), (20, 3)), small((1_000_000, 3), (25, 3))
    rows, sets = small(10_000_000, 60), small((405, 2048), (3, 12))

    def item(name: str, target_ms: float | None, make: Callable[[], Any], rounds: int, beside: Beside = None) -> Item:
        return Item("time", name, lambda: measure(place, name, target_ms, make, rounds, beside))

    def forest(score: str) -> Callable[[], Any]:
        return lambda: forests.scores(xp, rows, 10, np.float32, score, n_estimators=small(100, 3))

    def beside(shape: tuple[int, ...], *with_gradients: bool) -> Beside:
        return lambda torch: points.with_torch(torch, shape, *with_gradients)

    batches, ones, millions = (" x ".join(map(str, shape)) for shape in (batch, one, million))
    yield item(f"Chamfer, {batches}", 0.15, lambda: points.chamfer(xp, batch), 50, beside(batch))
    graded = f"Chamfer with gradients, {batches}"
    yield item(graded, None, lambda: points.chamfer_with_gradients(xp, batch), 50, beside(batch, True))
    yield item(f"EMD, gap 1e-3, {batches}", 8.0, lambda: points.earth_mover(xp, batch, 1e-3), 10)
    yield item(f"EMD, exact, {batches}", 20.0, lambda: points.earth_mover(xp, batch, 0.0), 10)
    yield item(f"Chamfer, {ones}", None, lambda: points.chamfer(xp, one), 20, beside((1, *one)))
    yield item(f"Chamfer, {millions}", 12.0, lambda: points.chamfer(xp, million), 10)
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
