"""Tensors on a device: CuPy works on torch's stream, and in torch's memory."""

import sys
import types
from contextlib import contextmanager

import fake_cupy
import pytest

from imondrian._kit import device, torch_stream


class Allocator:
    """CuPy's PythonFunctionAllocator."""

    def __init__(self, allocate, free):
        self.allocate, self.free = allocate, free

    def malloc(self, size):
        return self.allocate(size, 0)


class OutOfMemory(RuntimeError):
    """Torch's."""


@pytest.fixture
def libraries(monkeypatch):
    """Stand-ins for CuPy and torch, and in ``.log`` what was entered, allocated and freed."""
    log, streams = [], []

    @contextmanager
    def entered(kind, value):
        log.append((kind, value))
        if kind == "stream":
            streams.append(value)
        try:
            yield
        finally:
            log.append(("left", kind))

    cupy = fake_cupy.make()
    cupy.cuda.PythonFunctionAllocator = Allocator
    cupy.cuda.Device = lambda number: entered("device", number)
    cupy.cuda.using_allocator = lambda allocate: entered("allocator", allocate)
    cupy.cuda.get_current_stream = lambda: types.SimpleNamespace(ptr=streams[-1])

    def allocate(size, number, stream):
        if size > 1000:
            raise OutOfMemory("CUDA out of memory")
        log.append(("allocated", size, number, stream))
        return 4096

    torch = types.ModuleType("torch")
    torch.Tensor = object
    torch.cuda = types.SimpleNamespace(
        OutOfMemoryError=OutOfMemory,
        memory_allocated=lambda number: 77,
        caching_allocator_alloc=allocate,
        caching_allocator_delete=lambda pointer: log.append(("freed", pointer)),
        is_initialized=lambda: True,
        empty_cache=lambda: log.append("emptied"),
        current_stream=lambda number: types.SimpleNamespace(cuda_stream=5, device_index=number),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(torch_stream, "foreign_stream", lambda cupy, pointer: entered("stream", pointer))
    return types.SimpleNamespace(cupy=cupy, torch=torch, log=log)


def test_memory_comes_from_torch_for_its_stream(libraries):
    with torch_stream.torch_stream(libraries.torch, 3):
        (_, number), (_, stream), (_, malloc) = libraries.log
        assert (number, stream) == (3, 5)
        pointer = malloc(64)
        malloc.__self__.free(pointer, 3)
        assert libraries.log[3:] == [("allocated", 64, 0, 5), ("freed", 4096)]
    assert [entry for entry in libraries.log if entry[0] == "left"] == [
        ("left", "allocator"),
        ("left", "stream"),
        ("left", "device"),
    ]


def test_want_of_memory_is_cupys_error(libraries):
    with torch_stream.torch_stream(libraries.torch, 0):
        malloc = libraries.log[-1][1]
        with pytest.raises(fake_cupy.OutOfMemoryError, match=r"allocating 2,000 bytes .*: 77"):
            malloc(2000)


def test_memory_that_torch_keeps_is_given_back_too(libraries):
    libraries.cupy.cuda.Device = lambda number: types.SimpleNamespace(attributes={})
    device.CupyDevice(libraries.cupy, 0).release_memory()
    assert "emptied" in libraries.log


def test_pools_are_gone_around_where_an_overrun_is_to_be_seen(libraries, monkeypatch):
    monkeypatch.setenv("IMONDRIAN_CUDA_POOL", "0")
    allocators = []
    libraries.cupy.cuda.set_allocator = allocators.append
    libraries.cupy.cuda.Device = lambda number: types.SimpleNamespace(attributes={})
    device.open_device(), device.open_device()
    assert allocators == [None]
    assert torch_stream._allocator(libraries.cupy) is None


def test_a_stream_of_another_library_is_taken_over_without_a_warning():
    cupy = pytest.importorskip("cupy", reason="needs CuPy, not a device")
    assert torch_stream.foreign_stream(cupy, 77).ptr == 77


def test_cupy_takes_the_allocator():
    cupy = pytest.importorskip("cupy", reason="needs CuPy, not a device")
    pytest.importorskip("torch", reason="needs torch")
    malloc = torch_stream._allocator(cupy)
    with cupy.cuda.using_allocator(malloc):
        assert cupy.cuda.get_allocator() == malloc
    error = cupy.cuda.memory.OutOfMemoryError(100, 200)
    assert isinstance(error, MemoryError) and "100" in str(error)


def test_torch_has_every_function_in_use():
    torch = pytest.importorskip("torch", reason="needs torch")
    for name in (
        "caching_allocator_alloc",
        "caching_allocator_delete",
        "OutOfMemoryError",
        "memory_allocated",
        "current_stream",
        "empty_cache",
        "is_initialized",
    ):
        assert hasattr(torch.cuda, name), name
