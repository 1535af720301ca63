"""What kernels need of a device: arrays, launches, a stream. Only importer of CuPy.

Everything above this module is written once over :class:`Device`. Tests put a device in its place that keeps
arrays in numpy and runs the kernels on the host.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable
from functools import cache
from typing import Any, Protocol

import numpy as np

from .compiler import compiled
from .kernel_source import Instance, Kernel

Extent = tuple[int, ...]  # of a grid or a block: one to three numbers


class Device(Protocol):
    """A device, as the CUDA backends see it.

    ``xp`` is the array module (``cupy``): arrays are its ``ndarray``, made with ``xp.empty``, ``xp.asarray``
    (upload) and given back with ``xp.asnumpy`` (download, waits). Mixing them with numpy arrays is an error.
    """

    xp: Any
    key: Hashable  # differs between devices

    @property
    def n_multiprocessors(self) -> int:
        """Blocks run on so many processors at a time; for sizing grids."""

    @property
    def shared_bytes(self) -> int:
        """Most shared memory that a block may have."""

    def dynamic_shared_bytes(self, kernel: Kernel) -> int:
        """Most shared memory that a block of ``kernel`` may ask for: what its own variables leave."""

    def synchronize(self) -> None:
        """Wait for the current stream."""

    @property
    def is_capturing(self) -> bool:
        """Whether the current stream records a graph: nothing may wait then."""

    @property
    def out_of_memory(self) -> type[MemoryError]:
        """What ``xp`` raises where memory does not suffice."""

    def release_memory(self) -> None:
        """Give back to the device what ``xp``, or torch, keeps without need."""

    def free_memory(self) -> tuple[int, int]:
        """Return the bytes that are free, and all there are."""

    def launch(self, kernel: Kernel, grid: Extent, block: Extent, args: tuple[Any, ...], shared: int = 0) -> None:
        """Start ``kernel`` on the current stream.

        ``args`` are arrays of this device and numpy scalars of the very types of the parameters: Python numbers
        would reach a kernel as 64 bits, whatever it expects.
        """


def check_args(kernel: Kernel, args: tuple[Any, ...], array_type: type) -> None:
    """Refuse what is no device array and no typed scalar."""
    for i, arg in enumerate(args):
        if not isinstance(arg, (array_type, np.int32, np.int64, np.uint32, np.uint64, np.float32, np.float64)):
            raise TypeError(
                f"argument {i} of {kernel.entry} must be a device array or a numpy scalar, got {type(arg).__name__}"
            )


def allow_shared(function: Any, shared: int) -> None:
    """Have blocks of a loaded kernel get ``shared`` bytes.

    Without asking, a block has 48 KiB, its own variables included: what is left is the function's own attribute.
    """
    if shared > function.max_dynamic_shared_size_bytes:
        function.max_dynamic_shared_size_bytes = shared


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

    def dynamic_shared_bytes(self, kernel: Kernel) -> int:
        return self.shared_bytes - int(self._function(kernel).shared_size_bytes)

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
        # What lies in torch's memory while tensors are computed on: see torch_stream.py.
        torch: Any = sys.modules.get("torch")
        if hasattr(torch, "Tensor") and torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def free_memory(self) -> tuple[int, int]:
        free, total = self.xp.cuda.runtime.memGetInfo()
        return int(free), int(total)

    def _function(self, kernel: Kernel) -> Any:
        return _function(self.xp, self.xp.cuda.runtime.getDevice(), kernel)

    def launch(self, kernel: Kernel, grid: Extent, block: Extent, args: tuple[Any, ...], shared: int = 0) -> None:
        check_args(kernel, args, self.xp.ndarray)
        function = self._function(kernel)
        if shared:
            allow_shared(function, shared)
        function(grid, block, args, shared_mem=shared)


def open_device() -> Device:
    """Return CuPy's current device."""
    cupy = import_cupy()
    return _device(cupy, cupy.cuda.runtime.getDevice())


@cache
def _device(cupy: Any, number: int) -> Device:
    if os.environ.get("IMONDRIAN_CUDA_POOL") == "0":
        # For compute-sanitizer, which sees an overrun only where every array has memory of its own.
        cupy.cuda.set_allocator(None)
    return CupyDevice(cupy, number)


def import_cupy() -> Any:
    """Return the module cupy, or say how to get it."""
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            f"arrays on a CUDA device need CuPy, which cannot be imported ({error}): "
            "pip install 'imondrian[cuda]', or 'imondrian[cuda13]' for CUDA 13"
        ) from error
    return cupy


@cache
def _function(cupy: Any, device: int, kernel: Kernel) -> Any:
    return _module(cupy, device, kernel.instance).get_function(kernel.entry)


@cache
def _module(cupy: Any, device: int, instance: Instance) -> Any:
    capability = int(cupy.cuda.Device(device).compute_capability)
    return cupy.RawModule(path=str(compiled(cupy.cuda.nvrtc, instance, capability)))
