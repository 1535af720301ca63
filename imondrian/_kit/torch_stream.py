"""Tensors on a CUDA device: their stream and their memory, as CuPy's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from .cuda_status import check_driver
from .device import import_cupy


@contextmanager
def torch_stream(torch: Any, device: Any) -> Iterator[None]:
    """Make torch's current stream on a device that of CuPy, and torch's memory what CuPy's arrays lie in.

    Torch alone knows which memory a graph that it records goes on using: CuPy's pool would give what a capture
    freed to the next call, and have none of its own for a stream that it has not seen before.
    """
    cupy = import_cupy()
    check_driver(cupy)
    stream = torch.cuda.current_stream(device)
    with (
        cupy.cuda.Device(stream.device_index),
        foreign_stream(cupy, stream.cuda_stream),
        cupy.cuda.using_allocator(_allocator(cupy)),
    ):
        yield


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


@cache
def _allocator(cupy: Any) -> Any:
    if os.environ.get("IMONDRIAN_CUDA_POOL") == "0":
        return None

    torch: Any = sys.modules["torch"]

    def allocate(size: int, device: int) -> int:
        try:
            return torch.cuda.caching_allocator_alloc(size, device, cupy.cuda.get_current_stream().ptr)
        except torch.cuda.OutOfMemoryError as error:
            raise cupy.cuda.memory.OutOfMemoryError(size, torch.cuda.memory_allocated(device)) from error

    def free(pointer: int, device: int) -> None:
        torch.cuda.caching_allocator_delete(pointer)

    return cupy.cuda.PythonFunctionAllocator(allocate, free).malloc
