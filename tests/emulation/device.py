"""A device that runs kernels on the host: what the CUDA backend is tested on where there is none."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
from collections import Counter
from functools import cache
from typing import Any

import elf
import fake_cupy
import host_build
import numpy as np

from imondrian._kit.device import Extent, allow_shared, check_args
from imondrian._kit.kernel_source import Instance, Kernel

_TYPES = {
    "f4": np.float32,
    "f8": np.float64,
    "i1": np.int8,
    "u1": np.uint8,
    "i4": np.int32,
    "u4": np.uint32,
    "i8": np.int64,
    "u8": np.uint64,
}


class EmulatedDevice:
    """Runs kernels as fibers in this process, or in a program of their own.

    ``sanitizer`` is "", "address" or "thread", or "apart" for a program without one. ``edit`` changes the
    source before it is compiled: for tests that break a kernel, which may crash. ``reverse`` runs the
    threads of a block last to first. ``launches`` counts by kernel.
    """

    n_multiprocessors = 2  # so few that every kernel takes its loop over the grid
    shared_bytes = 227 * 1024
    is_capturing = False
    out_of_memory = fake_cupy.OutOfMemoryError

    def __init__(self, xp: Any = None, sanitizer: str = "", edit: Any = None, reverse: bool = False) -> None:
        self.xp = fake_cupy.make() if xp is None else xp
        self.sanitizer, self.edit, self.reverse = sanitizer, edit, reverse
        self.launches: Counter[str] = Counter()
        self.key = id(self)
        self._functions: dict[Kernel, EmulatedFunction] = {}

    def function(self, kernel: Kernel) -> EmulatedFunction:
        """Return what CuPy would have loaded."""
        if kernel not in self._functions:
            self._functions[kernel] = EmulatedFunction(kernel, self.shared_bytes)
        return self._functions[kernel]

    def dynamic_shared_bytes(self, kernel: Kernel) -> int:
        return self.shared_bytes - self.function(kernel).shared_size_bytes

    def _give_shared(self, kernel: Kernel, shared: int) -> None:
        """Refuse what a device would, unless the code that launches on devices has asked for it."""
        function = self.function(kernel)
        allow_shared(function, shared)
        if shared > function.max_dynamic_shared_size_bytes:
            raise RuntimeError(
                f"{kernel.entry}: CUDA_ERROR_INVALID_VALUE: {shared} bytes of shared memory, beside its "
                f"own {function.shared_size_bytes}, and nothing asked for more than 48 KiB"
            )

    def synchronize(self) -> None: ...

    def release_memory(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()

    def free_memory(self) -> tuple[int, int]:
        return self.xp.cuda.runtime.memGetInfo()

    def launch(self, kernel: Kernel, grid: Extent, block: Extent, args: tuple[Any, ...], shared: int = 0) -> None:
        check_args(kernel, args, fake_cupy.ndarray)
        source = _source(kernel.instance)
        if self.edit is not None:
            source = self.edit(source)
        raw = [arg._array if isinstance(arg, fake_cupy.ndarray) else arg for arg in args]
        extents = (*_three(grid), *_three(block), shared, int(self.reverse))
        if shared and not self.sanitizer:
            self._give_shared(kernel, shared)
        if 0 in extents[:6]:
            raise ValueError(f"{kernel.entry}: a grid and a block have at least one of each, got {grid}, {block}")
        self.launches[kernel.entry] += 1
        if self.sanitizer:
            _run_apart(host_build.build(source, self.sanitizer), kernel.entry, extents, raw)
        else:
            library = _library(source)
            _check_types(kernel.entry, _signature(library, kernel.entry), raw)
            _run_here(library, kernel.entry, extents, raw)


class EmulatedFunction:
    """The attributes of a loaded kernel that speak of shared memory, as the driver keeps them."""

    def __init__(self, kernel: Kernel, most: int) -> None:
        self.entry, self._most = kernel.entry, most
        self.shared_size_bytes = static_shared(kernel)
        self._dynamic = 48 * 1024 - self.shared_size_bytes

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, wanted: int) -> None:
        if wanted + self.shared_size_bytes > self._most:
            raise RuntimeError(
                f"{self.entry}: CUDA_ERROR_INVALID_VALUE: {wanted} bytes of shared memory, and its own "
                f"{self.shared_size_bytes}; a block has at most {self._most // 1024} KiB"
            )
        self._dynamic = wanted


@cache
def static_shared(kernel: Kernel) -> int:
    """Return the bytes of a kernel's own variables in shared memory, as the host's compiler lays them out.

    Those of functions that several kernels call count for each kernel of the file.
    """
    found = 0
    for name, size in elf.objects_of(host_build.build(_source(kernel.instance)).read_bytes()).items():
        owner = re.match(r"_ZZ(?:N12_GLOBAL__N_1|L)?(\d+)", name)  # a variable of a function; of which
        if owner is None or "cuda_host" in name:
            continue
        function = name[owner.end() : owner.end() + int(owner[1])]
        if function == kernel.entry or function not in host_build.entries(_source(kernel.instance)):
            found += -(-size // 16) * 16
    return found


def _three(extent: Extent) -> tuple[int, int, int]:
    return (*extent, *(1,) * (3 - len(extent)))  # type: ignore[return-value]


@cache
def _source(instance: Instance) -> str:
    return instance.source


@cache
def _library(source: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(host_build.build(source)))


@cache
def _signature(library: ctypes.CDLL, entry: str) -> list[str]:
    text = ctypes.create_string_buffer(1024)
    getattr(library, f"signature_{entry}")(text, ctypes.c_size_t(1024))
    return text.value.decode().split()


def _check_types(entry: str, signature: list[str], args: list[Any]) -> None:
    """Check what a device would not: every argument has its parameter's type, arrays are contiguous."""
    if len(args) != len(signature):
        raise TypeError(f"{entry} takes {len(signature)} arguments ({' '.join(signature)}), got {len(args)}")
    for i, (arg, wanted) in enumerate(zip(args, signature, strict=True)):
        is_array = isinstance(arg, np.ndarray)
        if is_array != (wanted[0] in "*&") or arg.dtype != _TYPES[wanted.lstrip("*&")]:
            raise TypeError(f"argument {i} of {entry} must be {wanted}, got {type(arg).__name__} of {arg.dtype}")
        if is_array and not arg.flags.c_contiguous:
            raise ValueError(f"argument {i} of {entry} is not contiguous")


def _run_here(library: ctypes.CDLL, entry: str, extents: tuple[int, ...], args: list[Any]) -> None:
    # An argument is a pointer to its value, which for an array is itself a pointer.
    values = [np.array([a.ctypes.data if isinstance(a, np.ndarray) else a]) for a in args]
    pointers = (ctypes.c_void_p * len(args))(*(value.ctypes.data for value in values))
    message = ctypes.create_string_buffer(4096)
    if getattr(library, f"launch_{entry}")((ctypes.c_uint * 8)(*extents), pointers, message, ctypes.c_size_t(4096)):
        raise RuntimeError(f"{entry}: {message.value.decode()}")


def _run_apart(program: Any, entry: str, extents: tuple[int, ...], args: list[Any]) -> None:
    arrays: list[np.ndarray] = []
    kinds = b""
    for arg in args:
        if not isinstance(arg, np.ndarray):
            kinds += struct.pack("<q", -1) + arg.tobytes().ljust(8, b"\0")
            continue
        place = next((k for k, a in enumerate(arrays) if a.ctypes.data == arg.ctypes.data and a.size), len(arrays))
        if place == len(arrays):
            arrays.append(arg)
        kinds += struct.pack("<qQ", place, 0)
    content = b"".join(struct.pack("<Q", a.nbytes) + a.tobytes() for a in arrays)
    given = (
        entry.encode().ljust(64, b"\0")
        + struct.pack("<8IQ", *extents, len(args))
        + kinds
        + struct.pack("<Q", len(arrays))
        + content
    )
    result = subprocess.run(
        [str(program)],
        input=given,
        capture_output=True,
        check=False,
        timeout=300,
        env={**os.environ, **host_build.ENVIRONMENT},
    )
    if result.returncode != 0:
        raise RuntimeError(f"{entry}: {result.stderr.decode(errors='replace')[-6000:]}")
    at = 0
    for array in arrays:
        if array.size:
            array.reshape(-1)[:] = np.frombuffer(result.stdout[at : at + array.nbytes], dtype=array.dtype)
        at += array.nbytes
