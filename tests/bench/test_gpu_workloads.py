"""The CUDA benchmarks' workloads, tiny and on an emulated device: they must run and hold their own checks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "emulation"))

import bench_gpu_forest as forest
import bench_gpu_points as points
import gpu_timing


@pytest.fixture(scope="module")
def xp():
    import host_build
    from device import EmulatedDevice

    from pointmetrics._backends.cuda.backend import CudaBackend

    if reason := host_build.missing():
        pytest.skip(reason)
    device = EmulatedDevice()
    backend = CudaBackend(device)
    patch = pytest.MonkeyPatch()
    patch.setitem(sys.modules, "cupy", device.xp)
    patch.setattr("pointmetrics._backends.cuda.backend.backend", lambda: backend)
    patch.setattr("imondrian._kit.device.open_device", lambda: device)
    yield device.xp
    patch.undo()


@pytest.mark.parametrize("name", ["depth", "insertion", "default", "missing"])
def test_workloads_of_the_forest(xp, name):
    options = {"missing": 0.1} if name == "missing" else {"score": name}
    workload = forest.scores(xp, 50, 4, np.float32, n_estimators=5, **options)
    workload.check()
    assert isinstance(workload.run(), xp.ndarray)


SHAPE = (3, 40, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda xp: points.chamfer(xp, SHAPE),
        lambda xp: points.chamfer(xp, SHAPE[1:]),
        lambda xp: points.chamfer_with_gradients(xp, SHAPE),
        lambda xp: points.density_aware_chamfer(xp, SHAPE),
    ],
    ids=["chamfer", "one pair", "gradients", "density aware"],
)
def test_workloads_of_clouds(xp, make):
    workload = make(xp)
    workload.check()
    workload.run()


@pytest.mark.parametrize("tol", [0.0, 1e-3])
def test_workloads_of_earth_movers(xp, tol):
    workload = points.earth_mover(xp, SHAPE, tol)
    workload.check()


@pytest.mark.parametrize("metric", ["cd-l2", "emd"])
def test_workloads_of_sets(xp, metric):
    workload = points.one_nna(xp, 4, 24, metric, n_checked=3)
    workload.check()
    workload.run()


def test_the_brute_force_is_a_chamfer_distance():
    torch = pytest.importorskip("torch", reason="needs torch")
    x, y = points.random_clouds((2, 50, 3))
    found = points.brute_force(torch, torch.from_numpy(x), torch.from_numpy(y), tile=16)
    np.testing.assert_allclose(found.numpy(), points.pm.chamfer_distance(x, y), rtol=1e-5)


def test_the_clock_shows_what_events_measured():
    class Event:
        def record(self) -> None: ...

        def synchronize(self) -> None: ...

    class cupy:
        class cuda:
            get_elapsed_time = staticmethod(lambda start, end: 250.0)

    cupy.cuda.Event = Event  # type: ignore[attr-defined]
    before, ran = gpu_timing.CLOCK(), []
    gpu_timing.on_clock(cupy, lambda: ran.append(1))()
    assert ran == [1] and gpu_timing.CLOCK() - before == pytest.approx(0.25)
