"""Which device computes, what is refused, and what is said where CUDA cannot be used."""

import inspect
import re
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fake_cupy
import numpy as np
import pytest

import pointmetrics as pm
from imondrian._kit.kernel_source import kernel_files
from pointmetrics import cli
from pointmetrics._backends import protocol as _backend
from pointmetrics._backends.cpu import backend as _cpu
from pointmetrics._backends.cuda import backend as _cuda
from pointmetrics._backends.cuda.kernel_source import instance_of

GOOD = np.random.default_rng(0).random((5, 3))


def test_both_backends_have_the_protocols_signatures():
    names = [name for name in vars(_backend.Backend) if not name.startswith("_") and name != "xp"]
    assert len(names) >= 10
    for implementation in (_cpu.CpuBackend, _cuda.CudaBackend):
        for name in names:
            wanted = inspect.signature(getattr(_backend.Backend, name)).parameters.values()
            got = inspect.signature(getattr(implementation, name)).parameters.values()
            assert [(p.name, p.kind, p.default) for p in got] == [(p.name, p.kind, p.default) for p in wanted], name


def test_mixed_libraries_are_named(cp):
    with pytest.raises(TypeError, match="one library and device, got cupy on cuda:0 and numpy"):
        pm.chamfer_distance(cp.asarray(GOOD), GOOD)
    with pytest.raises(TypeError, match=r"clouds of x .* got cupy on cuda:0 and numpy"):
        pm.chamfer_distance([cp.asarray(GOOD), GOOD], [cp.asarray(GOOD)] * 2)
    with pytest.raises(TypeError, match="a and b must come from one library"):
        pm.sets.pairwise_distances([cp.asarray(GOOD)], [GOOD])


def test_mixed_devices_are_named(cp, monkeypatch):
    other = cp.asarray(GOOD)
    monkeypatch.setattr(fake_cupy.ndarray, "device", property(lambda a: types.SimpleNamespace(id=int(a is other))))
    with pytest.raises(TypeError, match="got cupy on cuda:0 and cupy on cuda:1"):
        pm.chamfer_distance(cp.asarray(GOOD), other)


@pytest.mark.parametrize(
    "bad, error, message",
    [
        (np.zeros(5), ValueError, r"y must have shape .*got shape \(5,\)"),
        (np.zeros((0, 3)), ValueError, "y is empty"),
        (GOOD.astype(np.float16), TypeError, "y has dtype float16"),
        (GOOD.astype(complex), TypeError, "y must hold .*complex128"),
        (np.where(GOOD[3, 1] == GOOD, np.nan, GOOD), ValueError, r"y must be finite, got nan at index \(3, 1\)"),
        (GOOD * 1e200, ValueError, "y has coordinates up to .*rescale"),
    ],
)
def test_bad_clouds_are_named_as_on_the_cpu(cp, bad, error, message):
    with pytest.raises(error, match=message):
        pm.chamfer_distance(cp.asarray(GOOD), cp.asarray(bad))


def test_lengths_weights_and_padding_are_checked(cp):
    x = np.stack([GOOD, GOOD])
    x[0, 3:] = np.nan
    on_device = cp.asarray(x)
    assert np.isfinite(cp.asnumpy(pm.chamfer_distance(on_device, on_device, lengths=cp.asarray([3, 5])))).all()
    with pytest.raises(ValueError, match=r"got nan at index \(0, 3, 0\)"):
        pm.chamfer_distance(on_device, on_device, lengths=[4, 5])
    with pytest.raises(ValueError, match="y_weights must be finite and not negative"):
        pm.chamfer_distance(cp.asarray(GOOD), cp.asarray(GOOD), weights=(None, cp.asarray([1.0, 1, -1, 1, 1])))


def test_float32_of_extreme_scale_becomes_float64(cp):
    tiny = (GOOD * 1e-20).astype(np.float32)
    value = pm.chamfer_distance(cp.asarray(tiny), cp.asarray(tiny[::-1] * 2))
    assert value.dtype == np.float64
    np.testing.assert_allclose(cp.asnumpy(value), pm.chamfer_distance(tiny, tiny[::-1] * 2), rtol=1e-14)


def test_too_many_coordinates_are_refused(cp):
    with pytest.raises(ValueError, match="at most 64 coordinates a point, got 65"):
        pm.chamfer_distance(cp.asarray(np.zeros((5, 65))), cp.asarray(np.zeros((5, 65))))


def test_what_is_computed_on_the_cpu_only_says_so(cp):
    cloud = cp.asarray(GOOD)
    for call in (
        lambda: pm.point_to_mesh_distance(cloud, GOOD, [[0, 1, 2]]),
        lambda: pm.audit_emd(cloud, cloud),
        lambda: pm.msn_auction_emd(cloud, cloud),
        lambda: pm.approxmatch_emd(cloud, cloud),
    ):
        with pytest.raises(TypeError, match=r"cupy on cuda:0, and .* on the CPU only; pass cupy\.asnumpy"):
            call()


def test_a_call_waits_once(cp):
    x, y = (cp.asarray(GOOD[None].repeat(3, axis=0) + shift) for shift in (0, 0.1))
    pm.chamfer_distance(x, y, return_grad=True)
    fake_cupy.SYNCS[0] = 0
    pm.chamfer_distance(x, y, return_grad=True)
    assert fake_cupy.SYNCS[0] == 1


def test_a_recorded_graph_does_not_wait(cp, emulated, monkeypatch):
    x, y = (cp.asarray(GOOD[None].repeat(3, axis=0) + shift) for shift in (0, 0.1))
    expected = pm.chamfer_distance(x, y)
    monkeypatch.setattr(emulated.device, "is_capturing", True, raising=False)
    fake_cupy.SYNCS[0] = 0
    np.testing.assert_array_equal(cp.asnumpy(pm.chamfer_distance(x, y, return_grad=True)[0]), cp.asnumpy(expected))
    assert fake_cupy.SYNCS[0] == 2  # the two downloads of this test


@pytest.fixture
def own(emulated, monkeypatch):
    """A backend that has uploaded nothing yet, and computes for the test."""
    backend = _cuda.CudaBackend(type(emulated.device)(emulated.xp))
    monkeypatch.setitem(sys.modules, "cupy", backend.xp)
    monkeypatch.setattr("pointmetrics._backends.cuda.backend.backend", lambda: backend)
    return backend


def test_what_a_graph_reads_is_kept_for_its_replays(own):
    sizes = [np.array([0, n]) for n in range(1, 500)]
    first = own.constant(sizes[0])
    own.device.is_capturing = True
    assert own.constant(sizes[0]) is first
    own.device.is_capturing = False
    for other in sizes[1:]:  # more than are kept
        own.constant(other)
    assert own.constant(sizes[0]) is first
    assert own.constant(sizes[-1]) is own.constant(sizes[-1]) and len(own._kept) <= 65


@pytest.mark.parametrize(
    "call",
    [
        lambda x: pm.chamfer_distance(x, x, return_grad=True),
        lambda x: pm.earth_movers_distance(x, x),
        lambda x: pm.sinkhorn_divergence(x, x, epsilon=1.0, max_iter=1),
        lambda x: pm.f_score(x, x, 0.1),
    ],
    ids=["chamfer", "emd", "sinkhorn", "f-score"],
)
def test_a_graph_is_recorded_after_a_call_of_the_same_sizes(own, call):
    x = own.xp.asarray(GOOD)
    own.device.is_capturing = True
    with pytest.raises(RuntimeError, match="while a graph is recorded: call the function once with clouds of the same"):
        call(x)
    own.device.is_capturing = False
    expected = call(x)
    own.device.is_capturing = True
    fake_cupy.SYNCS[0] = 0
    found = call(x)
    assert fake_cupy.SYNCS[0] == 0
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (expected, found)), strict=True):
        if not isinstance(a, tuple):
            np.testing.assert_array_equal(own.xp.asnumpy(b), own.xp.asnumpy(a))


# Tensors on a CUDA device, with a torch that has them


@dataclass(frozen=True)
class _TorchDevice:
    index: int
    type: str = "cuda"

    def __str__(self):
        return f"cuda:{self.index}"


class _Tensor:
    """As much of a tensor as the dispatch looks at."""

    def __init__(self, array, requires_grad=False, dtype="torch.float64", device=0):
        self.array, self.requires_grad, self.dtype = array, requires_grad, dtype
        self.device = _TorchDevice(device)
        self.ndim = array.ndim


@pytest.fixture
def torch_cuda(cp, monkeypatch):
    """A torch whose tensors are on a device, and a record of the streams that were made CuPy's."""
    record = []

    @contextmanager
    def stream(pointer):
        record.append(pointer)
        yield
        record.append("left")

    torch = types.ModuleType("torch")
    torch.Tensor, torch.float16, torch.bfloat16 = _Tensor, "torch.float16", "torch.bfloat16"
    torch.from_dlpack = _Tensor
    torch.cuda = types.SimpleNamespace(
        current_stream=lambda device: types.SimpleNamespace(cuda_stream=77, device_index=device.index)
    )
    torch.autograd = types.SimpleNamespace(
        forward_ad=types.SimpleNamespace(unpack_dual=lambda tensor: types.SimpleNamespace(tangent=None))
    )
    torch._C = types.SimpleNamespace()  # no torch.func
    torch.record = record
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(cp, "from_dlpack", lambda tensor: tensor.array, raising=False)
    monkeypatch.setattr(cp.cuda, "ExternalStream", stream, raising=False)
    return torch


def test_tensors_are_computed_on_their_device_and_torchs_stream(cp, torch_cuda):
    x, y = _Tensor(cp.asarray(GOOD)), _Tensor(cp.asarray(GOOD + 1))
    value, grads = pm.chamfer_distance(x, y, return_grad=True)
    assert isinstance(value, _Tensor) and all(isinstance(grad, _Tensor) for grad in grads)
    np.testing.assert_allclose(cp.asnumpy(value.array), pm.chamfer_distance(GOOD, GOOD + 1), rtol=1e-15)
    assert torch_cuda.record == [77, "left"]


def test_tensors_that_cannot_be_used_are_refused(cp, torch_cuda):
    x = _Tensor(cp.asarray(GOOD))
    learned = _Tensor(cp.asarray(GOOD), requires_grad=True)
    with pytest.raises(ValueError, match=r"x requires grad.*same name in pointmetrics\.torch"):
        pm.chamfer_distance(learned, x)
    with pytest.raises(ValueError, match=r"y requires grad, and f_score has no gradient; pass y\.detach"):
        pm.f_score(x, learned, 0.1)
    with pytest.raises(TypeError, match="y has dtype bfloat16"):
        pm.chamfer_distance(x, _Tensor(cp.asarray(GOOD), dtype="torch.bfloat16"))
    with pytest.raises(TypeError, match=r"got torch on .* and cupy on cuda:0"):
        pm.chamfer_distance(x, cp.asarray(GOOD))


def test_tensors_on_a_device_need_cupy(cp, torch_cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"need CuPy.*pip install 'imondrian\[cuda\]'"):
        pm.chamfer_distance(_Tensor(cp.asarray(GOOD)), _Tensor(cp.asarray(GOOD)))


def test_tensors_on_two_devices_are_named(cp, torch_cuda):
    x, y = _Tensor(cp.asarray(GOOD)), _Tensor(cp.asarray(GOOD), device=1)
    with pytest.raises(TypeError, match=r"one library and device, got torch on cuda:0 and torch on cuda:1"):
        pm.chamfer_distance(x, y)
    with pytest.raises(TypeError, match=r"clouds of y .* got torch on cuda:0 and torch on cuda:1"):
        pm.chamfer_distance([x, x], [x, y])


@pytest.mark.parametrize(
    "error, reason",
    [
        (
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient",
            r"driver supports CUDA 12\.2, and CuPy was built for 13\.0: update the driver, or install the CuPy for",
        ),
        ("cudaErrorNoDevice: no CUDA-capable device", "the CUDA driver finds no device: cudaErrorNoDevice"),
    ],
)
def test_tensors_on_a_device_that_cupy_cannot_use(cp, torch_cuda, monkeypatch, error, reason):
    """Torch brings its own CUDA, so a driver may serve it and be too old for CuPy."""

    def fail():
        raise fake_cupy.CUDARuntimeError(error)

    monkeypatch.setattr(cp, "__version__", "14.0.0", raising=False)
    monkeypatch.setattr(
        cp.cuda,
        "runtime",
        types.SimpleNamespace(
            CUDARuntimeError=fake_cupy.CUDARuntimeError,
            getDevice=fail,
            getDeviceCount=fail,
            driverGetVersion=lambda: 12020,
            runtimeGetVersion=lambda: 13000,
        ),
    )
    with pytest.raises(RuntimeError, match=f"through CuPy, which cannot use it: .*{reason}"):
        pm.chamfer_distance(_Tensor(cp.asarray(GOOD)), _Tensor(cp.asarray(GOOD)))


# What is said where CUDA cannot be used


class _RuntimeError(RuntimeError):
    """Stands for CUDARuntimeError."""


def machine(driver=13000, runtime=13000, devices=1, capability=(9, 0), nvrtc=(13, 0), archs=(75, 80, 90)):
    """Return a CuPy on a machine with, or without, all that it needs."""

    def fail(error):
        raise error

    def count():
        return fail(devices) if isinstance(devices, Exception) else devices

    properties = {"major": capability[0], "minor": capability[1], "name": b"A device", "totalGlobalMem": 2**34}
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.0.0"
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: runtime,
            getDeviceCount=count,
            getDevice=lambda: 0,
            getDeviceProperties=lambda number: properties,
            CUDARuntimeError=_RuntimeError,
        ),
        nvrtc=types.SimpleNamespace(
            getVersion=lambda: fail(nvrtc) if isinstance(nvrtc, Exception) else nvrtc, getSupportedArchs=lambda: archs
        ),
    )
    return cupy


@pytest.mark.parametrize(
    "found, reason",
    [
        (machine(), ""),
        (machine(driver=0), "no CUDA driver is loaded"),
        (machine(devices=0), "finds no device"),
        (
            machine(driver=12020, devices=_RuntimeError("cudaErrorInsufficientDriver: too old")),
            "driver supports CUDA 12.2, and CuPy was built for 13.0: update the driver",
        ),
        (machine(devices=_RuntimeError("cudaErrorNoDevice: none")), "finds no device: cudaErrorNoDevice"),
        (machine(nvrtc=RuntimeError("no libnvrtc.so")), r"NVRTC, cannot be loaded \(no libnvrtc.so\).*\[ctk\]"),
        (machine(capability=(6, 1)), "capability 6.1 is older than the least .* 7.5"),
        (machine(capability=(12, 0)), ""),
        (machine(devices=ValueError("broken")), "ValueError: broken"),
    ],
)
def test_info_says_why_cuda_cannot_be_used(monkeypatch, found, reason):
    monkeypatch.setitem(sys.modules, "cupy", found)
    info = pm.info()
    assert info.cuda.usable == (reason == "")
    assert re.search(reason, info.cuda.reason)
    assert ("CUDA: usable" if not reason else "CUDA: not usable: ") in str(info)


def test_the_command_line_shows_the_same(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", machine())
    cli.main(["info"])
    printed = capsys.readouterr().out
    assert printed == f"{pm.info()}\n"
    for row in ("CUDA: usable", "device: A device", "compute_capability: 9.0", "memory: 16.0 GiB", "nvrtc: 13.0"):
        assert f"\n{row}\n" in printed


def test_info_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "pip install 'imondrian[cuda]'" in pm.info()["CUDA"]


def test_sources_hold_their_headers_and_differ_by_instance():
    for file in kernel_files("pointmetrics"):
        sources = {instance_of(file, np.dtype(dtype), dim).source for dtype in "fd" for dim in (0, 2, 3)}
        assert len(sources) == 6
        assert not any('#include "' in source for source in sources)


# With the real CuPy, and no device


def test_cupy_has_every_function_in_use():
    cupy = pytest.importorskip("cupy", reason="needs CuPy, not a device")
    sources = "".join(path.read_text() for path in Path(pm.__file__).parent.rglob("*.py"))
    used = set(re.findall(r"\bxp\.(\w+)\(", sources))
    assert len(used) > 20
    assert sorted(name for name in used if not hasattr(cupy, name)) == []
