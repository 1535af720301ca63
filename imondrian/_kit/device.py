"""What scoring on a CUDA device needs of it: arrays, kernels, a stream. Only importer of CuPy.

Everything above this module is written once over :class:`Device`. Tests put a device in its place that keeps
arrays in numpy and runs the kernels on the host.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from .kernel_source import OPTIONS, Instance, Kernel

_T = TypeVar("_T")
_SCALARS = (np.int32, np.int64, np.float32, np.float64)


class Device(Protocol):
    """A device; ``xp`` is its array module (``cupy``) and ``key`` differs between devices."""

    xp: Any
    key: Hashable

    @property
    def n_multiprocessors(self) -> int:
        """Processors that blocks are spread over; for sizing grids."""

    @property
    def shared_bytes(self) -> int:
        """Most dynamic shared memory that a block may ask for."""

    def synchronize(self) -> None:
        """Wait for the current stream."""

    @property
    def out_of_memory(self) -> type[MemoryError]:
        """What ``xp`` raises where memory does not suffice."""

    def release_memory(self) -> None:
        """Give back to the device what ``xp`` keeps without need."""

    def free_memory(self) -> tuple[int, int]:
        """Return the bytes that are free, and all there are."""

    def launch(self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...],
               shared: int = 0) -> None:
        """Start ``kernel`` on the current stream.

        ``args`` are arrays of this device and numpy scalars of the very types of the parameters: Python
        numbers would reach a kernel as 64 bits, whatever it expects.
        """


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
    def out_of_memory(self) -> type[MemoryError]:
        return self.xp.cuda.memory.OutOfMemoryError

    def release_memory(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()

    def free_memory(self) -> tuple[int, int]:
        free, total = self.xp.cuda.runtime.memGetInfo()
        return int(free), int(total)

    def launch(self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...],
               shared: int = 0) -> None:
        for i, arg in enumerate(args):
            if not isinstance(arg, (self.xp.ndarray, *_SCALARS)):
                raise TypeError(f"argument {i} of {kernel.entry} must be a device array or a numpy scalar, "
                                f"got {type(arg).__name__}")
        function = _function(self.xp, self.xp.cuda.runtime.getDevice(), kernel)
        if shared > 48 * 1024 and function.max_dynamic_shared_size_bytes < shared:
            function.max_dynamic_shared_size_bytes = shared
        function(grid, block, args, shared_mem=shared)


def in_parts(device: Device, n: int, compute: Callable[[int, int], _T]) -> list[_T]:
    """Return ``compute(first, last)`` over all of ``range(n)``: at once where memory suffices, else in parts.

    Parts are halved until they fit; what one alone has no room for is raised, as CuPy raised it.
    """
    done: list[_T] = []
    first, step = 0, n
    while first < n:
        last = min(first + step, n)
        try:
            done.append(compute(first, last))
            first = last
            continue
        except device.out_of_memory:
            if last - first < 2:
                raise
        # Out here the error is gone, and with it the frames that held what had been allocated.
        device.release_memory()
        step = (last - first + 1) // 2
    return done


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
        raise ImportError(f"rows on a CUDA device need CuPy, which cannot be imported ({error}): "
                          "pip install 'imondrian[cuda]', or 'imondrian[cuda13]' for CUDA 13") from error
    return cupy


def check_driver(cupy: Any) -> None:
    """Say why CuPy cannot use the device that another library uses: a driver may be too old for one of them."""
    try:
        cupy.cuda.runtime.getDevice()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"tensors on a CUDA device are scored through CuPy, which is {cuda_state()}") from error


class _ForeignStream:
    """A stream of another library, as CuPy 14 takes it."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._pointer


def foreign_stream(cupy: Any, pointer: int) -> Any:
    """Return CuPy's view of another library's stream on the current device, to be entered."""
    if hasattr(cupy.cuda.Stream, "from_external"):  # CuPy 14, where ExternalStream warns
        return cupy.cuda.Stream.from_external(_ForeignStream(pointer))
    return cupy.cuda.ExternalStream(pointer)


def cuda_state() -> str:
    """Tell in a line whether rows on a CUDA device can be scored here, or why not; never raises."""
    try:
        cupy = import_cupy()
        runtime = cupy.cuda.runtime
        if runtime.driverGetVersion() == 0:
            return "not usable: no CUDA driver is loaded (no NVIDIA device, or its driver is not installed)"
        if runtime.getDeviceCount() == 0:
            return "not usable: the CUDA driver finds no device"
        properties = runtime.getDeviceProperties(runtime.getDevice())
        _target(cupy.cuda.nvrtc, 10 * properties["major"] + properties["minor"])
    except Exception as error:  # a broken installation fails in its own ways, which is what is to be told
        kind = "" if isinstance(error, (ImportError, RuntimeError)) else f"{type(error).__name__}: "
        remedy = "; update the driver, or install the CuPy for its CUDA version" if "InsufficientDriver" in str(error) \
            else ""
        return f"not usable: {kind}{error}{remedy}"
    return f"usable: {properties['name'].decode()}, CuPy {cupy.__version__}"


@cache
def _function(cupy: Any, device: int, kernel: Kernel) -> Any:
    return _module(cupy, device, kernel.instance).get_function(kernel.entry)


@cache
def _module(cupy: Any, device: int, instance: Instance) -> Any:
    capability = int(cupy.cuda.Device(device).compute_capability)
    return cupy.RawModule(path=str(_compiled(cupy.cuda.nvrtc, instance, capability)))


def _compiled(nvrtc: Any, instance: Instance, capability: int) -> Path:
    """Compile an instance for a compute capability, or find it in the cache.

    NVRTC is called directly, because ``RawModule`` would add ``-ftz=true``, and distances that are
    subnormal would become 0.
    """
    arch = _target(nvrtc, capability)
    version = ".".join(map(str, nvrtc.getVersion()))
    path = _cache_folder() / f"{instance.name}-{arch}-nvrtc{version}.{'cubin' if arch.startswith('sm') else 'ptx'}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        code = _compile(nvrtc, instance, arch)
        # Written beside and moved into place: another process may do the same.
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            part.write(code)
        os.replace(part.name, path)
    return path


def _target(nvrtc: Any, capability: int) -> str:
    """Return what NVRTC is to compile for: the device's own code, or code that its driver translates."""
    try:
        known = sorted(nvrtc.getSupportedArchs())
    except (RuntimeError, OSError, ImportError) as error:
        raise RuntimeError(f"kernels are compiled when first used, and the library for that, NVRTC, cannot be loaded "
                           f"({error}): install a CUDA toolkit, or pip install 'cupy-cuda12x[ctk]' "
                           f"(cupy-cuda13x for CUDA 13)") from error
    if capability in known:
        return f"sm_{capability}"
    below = [arch for arch in known if arch < capability]
    if not below:
        raise RuntimeError(f"the device's compute capability {capability / 10:.1f} is older than the least that this "
                           f"CUDA version compiles for, {known[0] / 10:.1f}; use a CuPy for an older CUDA version")
    return f"compute_{below[-1]}"


def _compile(nvrtc: Any, instance: Instance, arch: str) -> bytes:
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
    """Return the folder of compiled kernels: ``IMONDRIAN_CACHE_DIR`` or the user's cache."""
    named = os.environ.get("IMONDRIAN_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "imondrian" / "kernels"
