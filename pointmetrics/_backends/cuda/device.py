"""What the CUDA backend needs of a device: arrays, kernels, a stream. Only importer of CuPy.

Everything above this module is written once over :class:`Device`. Tests put a device in its place that
keeps arrays in numpy and runs the kernels on the host.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .kernel_source import OPTIONS, Instance, Kernel

Extent = tuple[int, ...]  # of a grid or a block: one to three numbers


class Device(Protocol):
    """A device, as the CUDA backend sees it.

    ``xp`` is the array module (``cupy``): arrays are its ``ndarray``, made with ``xp.empty``,
    ``xp.asarray`` (upload) and given back with ``xp.asnumpy`` (download, waits). Mixing them with numpy
    arrays is an error.
    """

    xp: Any
    key: Hashable  # differs between devices

    @property
    def n_multiprocessors(self) -> int:
        """Blocks run on so many processors at a time; for sizing grids."""

    @property
    def shared_bytes(self) -> int:
        """Most dynamic shared memory that a block may ask for."""

    def synchronize(self) -> None:
        """Wait for the current stream."""

    @property
    def is_capturing(self) -> bool:
        """Whether the current stream records a graph: nothing may wait then."""

    @property
    def out_of_memory(self) -> type[MemoryError]:
        """What ``xp`` raises where memory does not suffice."""

    def release_memory(self) -> None:
        """Give back to the device what ``xp`` keeps without need."""

    def launch(self, kernel: Kernel, grid: Extent, block: Extent, args: tuple[Any, ...], shared: int = 0) -> None:
        """Start ``kernel`` on the current stream.

        ``args`` are arrays of this device and numpy scalars of the very types of the parameters:
        Python numbers would reach a kernel as 64 bits, whatever it expects.
        """


def check_args(kernel: Kernel, args: tuple[Any, ...], array_type: type) -> None:
    """Refuse what is no device array and no typed scalar."""
    for i, arg in enumerate(args):
        if not isinstance(arg, (array_type, np.int32, np.int64, np.uint32, np.uint64, np.float32, np.float64)):
            raise TypeError(f"argument {i} of {kernel.entry} must be a device array or a numpy scalar, "
                            f"got {type(arg).__name__}")


class CupyDevice:
    """The current device of CuPy, on CuPy's current stream."""

    def __init__(self, cupy: Any, number: int) -> None:
        self.xp = cupy
        self.key: Hashable = (id(cupy), number)
        self._attributes = cupy.cuda.Device(number).attributes

    @property
    def n_multiprocessors(self) -> int:
        return int(self._attributes["MultiProcessorCount"])

    @property
    def shared_bytes(self) -> int:
        return int(self._attributes["MaxSharedMemoryPerBlockOptin"])

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    @property
    def is_capturing(self) -> bool:
        return bool(self.xp.cuda.get_current_stream().is_capturing())

    @property
    def out_of_memory(self) -> type[MemoryError]:
        return self.xp.cuda.memory.OutOfMemoryError

    def release_memory(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()

    def launch(self, kernel: Kernel, grid: Extent, block: Extent, args: tuple[Any, ...], shared: int = 0) -> None:
        check_args(kernel, args, self.xp.ndarray)
        function = _function(self.xp, self.xp.cuda.runtime.getDevice(), kernel)
        if shared > 48 * 1024 and function.max_dynamic_shared_size_bytes < shared:
            function.max_dynamic_shared_size_bytes = shared
        function(grid, block, args, shared_mem=shared)


def open_device() -> Device:
    """Return CuPy's current device."""
    cupy = import_cupy()
    return _device(cupy, cupy.cuda.runtime.getDevice())


@cache
def _device(cupy: Any, number: int) -> Device:
    return CupyDevice(cupy, number)


def import_cupy() -> Any:
    """Return the module cupy, or say how to get it."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError(f"arrays on a CUDA device need CuPy, which cannot be imported ({error}): "
                          "pip install 'imondrian[cuda]', or 'imondrian[cuda13]' for CUDA 13") from error
    return cupy


def check_driver(cupy: Any) -> None:
    """Say why CuPy cannot use the device that another library uses: a driver may be too old for one of them."""
    try:
        cupy.cuda.runtime.getDevice()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"tensors on a CUDA device are computed on through CuPy, which cannot use it: "
                           f"{cuda_status().reason or error}") from error


@dataclass(frozen=True, slots=True)
class _ForeignStream:
    """A stream of another library, as the CUDA stream protocol has it."""

    pointer: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.pointer


def foreign_stream(cupy: Any, pointer: int) -> Any:
    """Return CuPy's view of another library's stream on the current device, to be entered."""
    if hasattr(cupy.cuda.Stream, "from_external"):  # CuPy 14, where ExternalStream warns
        return cupy.cuda.Stream.from_external(_ForeignStream(pointer))
    return cupy.cuda.ExternalStream(pointer)


@dataclass(frozen=True, slots=True)
class CudaStatus:
    """Whether CUDA can be used, ``reason`` why not, and what was found on the way (None where nothing was)."""

    usable: bool
    reason: str
    cupy: str | None = None
    driver: str | None = None
    runtime: str | None = None
    nvrtc: str | None = None
    device: str | None = None
    compute_capability: str | None = None
    memory_bytes: int | None = None


def cuda_status() -> CudaStatus:
    """Find out, step by step, how far CUDA gets here; no step raises."""
    found: dict[str, Any] = {}
    try:
        reason = _probe(found)
    except Exception as error:  # a broken installation fails in its own ways, which is what is to be told
        reason = f"{type(error).__name__}: {error}"
    return CudaStatus(not reason, reason, **found)


def _probe(found: dict[str, Any]) -> str:
    """Fill in what is found; return why CUDA cannot be used, or ""."""
    try:
        cupy = import_cupy()
    except ImportError as error:
        return str(error)
    runtime = cupy.cuda.runtime
    found |= {"cupy": cupy.__version__, "runtime": _version(runtime.runtimeGetVersion())}
    driver = runtime.driverGetVersion()
    if driver == 0:
        return "no CUDA driver is loaded: this machine has no NVIDIA device, or its driver is not installed"
    found["driver"] = _version(driver)
    try:
        if runtime.getDeviceCount() == 0:
            return "the CUDA driver finds no device"
    except runtime.CUDARuntimeError as error:
        if "InsufficientDriver" in str(error):
            return (f"the CUDA driver supports CUDA {found['driver']}, and CuPy was built for {found['runtime']}: "
                    f"update the driver, or install the CuPy for that version")
        return f"the CUDA driver finds no device: {error}"
    properties = runtime.getDeviceProperties(runtime.getDevice())
    capability = 10 * properties["major"] + properties["minor"]
    found |= {"device": properties["name"].decode(), "memory_bytes": int(properties["totalGlobalMem"]),
              "compute_capability": f"{capability / 10:.1f}"}
    try:
        found["nvrtc"] = ".".join(map(str, nvrtc_version(cupy.cuda.nvrtc)))
        target(cupy.cuda.nvrtc, capability)
    except RuntimeError as error:
        return str(error)
    return ""


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


@cache
def _function(cupy: Any, device: int, kernel: Kernel) -> Any:
    return _module(cupy, device, kernel.instance).get_function(kernel.entry)


@cache
def _module(cupy: Any, device: int, instance: Instance) -> Any:
    capability = cupy.cuda.Device(device).compute_capability
    return cupy.RawModule(path=str(_cubin(cupy.cuda.nvrtc, instance, int(capability))))


def _cubin(nvrtc: Any, instance: Instance, capability: int) -> Path:
    """Compile an instance for a compute capability, or find it in the cache.

    NVRTC is called directly, because ``RawModule`` would add ``-ftz=true``: distances whose squares
    are subnormal would become 0, and ties where the CPU has none.
    """
    version = ".".join(map(str, nvrtc_version(nvrtc)))
    path = _cache_folder() / f"{instance.name}-sm{capability}-nvrtc{version}.cubin"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        cubin = _compile(nvrtc, instance, capability)
        # Written beside and moved into place: another process may do the same.
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            part.write(cubin)
        os.replace(part.name, path)
    return path


def nvrtc_version(nvrtc: Any) -> tuple[int, int]:
    """Return NVRTC's version, or say how to get NVRTC."""
    try:
        return nvrtc.getVersion()
    except (RuntimeError, OSError, ImportError) as error:
        raise RuntimeError(f"kernels are compiled when first used, and the library for that, NVRTC, cannot be loaded "
                           f"({error}): install a CUDA toolkit, or pip install 'cupy-cuda12x[ctk]' "
                           f"(cupy-cuda13x for CUDA 13)") from error


def target(nvrtc: Any, capability: int) -> str:
    """Return what NVRTC is to compile for: the device's own code, or code its driver translates.

    A device newer than NVRTC runs what the newest known one would; an older one cannot be served.
    """
    known = sorted(nvrtc.getSupportedArchs())
    if capability in known:
        return f"sm_{capability}"
    below = [arch for arch in known if arch < capability]
    if not below:
        raise RuntimeError(f"the device's compute capability {capability / 10:.1f} is older than the least that this "
                           f"CUDA version compiles for, {known[0] / 10:.1f}; use a CuPy for an older CUDA version")
    return f"compute_{below[-1]}"


def _compile(nvrtc: Any, instance: Instance, capability: int) -> bytes:
    arch = target(nvrtc, capability)
    program = nvrtc.createProgram(instance.source, f"{instance.file}.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, f"-arch={arch}"))
        return nvrtc.getCUBIN(program) if arch.startswith("sm_") else nvrtc.getPTX(program)
    except nvrtc.NVRTCError as error:
        raise RuntimeError(f"NVRTC could not compile {instance.name} for {arch}: {error}\n"
                           f"{nvrtc.getProgramLog(program)}") from error
    finally:
        nvrtc.destroyProgram(program)


def _cache_folder() -> Path:
    """Return the folder of compiled kernels: ``POINTMETRICS_CACHE_DIR`` or the user's cache."""
    named = os.environ.get("POINTMETRICS_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "pointmetrics" / "kernels"
