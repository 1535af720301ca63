"""A stand-in for CuPy whose arrays live in numpy, as strict about mixing the two as CuPy is.

Functions are numpy's; that CuPy has those in use, test_cuda_dispatch.py checks where it is installed. Numpy
arrays among the arguments, implicit conversion to numpy and scalars where CuPy would give 0-dimensional
arrays are what it is there to catch. ``SYNCS`` counts what would wait for a device.
"""

from __future__ import annotations

import weakref
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

SYNCS = [0]
LIVE = [0]  # bytes of the arrays that exist
PEAK = [0]  # the most that they were
LIMIT: list[int | None] = [None]  # of them
RELEASED = [0]  # calls that gave the pool's memory back


class CUDARuntimeError(RuntimeError):
    """Stands for ``cupy.cuda.runtime.CUDARuntimeError``."""


class OutOfMemoryError(MemoryError):
    """Stands for ``cupy.cuda.memory.OutOfMemoryError``."""

    def __init__(self, size: int, total: int) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")
        self._size = size


def unwrap(value: Any) -> Any:
    """Take arguments apart; refuse numpy arrays, as CuPy does."""
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(v) for v in value)
    if isinstance(value, dict):
        return {k: unwrap(v) for k, v in value.items()}
    return value


def wrap(value: Any) -> Any:
    """Make device arrays of numpy's results; scalars become 0-dimensional arrays, as in CuPy."""
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray(np.asarray(value))
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(v) for v in value) if type(value) in (list, tuple) else tuple(map(wrap, value))
    return value


_owners: dict[int, weakref.ref[np.ndarray]] = {}


def _count(array: np.ndarray) -> None:
    """Count the memory under an array as long as anything of it is in use; refuse it where there is no room."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    key, size = id(array), array.nbytes
    if key in _owners:
        return
    if LIMIT[0] is not None and LIVE[0] + size > LIMIT[0]:
        raise OutOfMemoryError(size, LIVE[0])
    LIVE[0] += size
    PEAK[0] = max(PEAK[0], LIVE[0])

    def forget(_: Any) -> None:
        del _owners[key]
        LIVE[0] -= size

    _owners[key] = weakref.ref(array, forget)


class ndarray(NDArrayOperatorsMixin):
    """An array "on the device"."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray) -> None:
        _count(array)
        self._array = array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "where" in kwargs:
            raise TypeError("Wrong arguments {'where'}")
        out = kwargs.pop("out", None)
        if out is not None:
            getattr(ufunc, method)(*unwrap(inputs), out=unwrap(out), **unwrap(kwargs))
            return out[0]
        return wrap(getattr(ufunc, method)(*unwrap(inputs), **unwrap(kwargs)))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return wrap(func(*unwrap(args), **unwrap(kwargs)))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._array, name)
        if not callable(found):
            return (
                found
                if name in ("shape", "dtype", "ndim", "size", "itemsize", "nbytes", "strides", "flags")
                else wrap(found)
            )

        def method(*args: Any, **kwargs: Any) -> Any:
            if name in ("item", "tolist"):
                SYNCS[0] += 1
                return found(*args)
            return wrap(found(*unwrap(args), **unwrap(kwargs)))

        return method

    def get(self) -> np.ndarray:
        SYNCS[0] += 1
        return self._array.copy()

    @property
    def device(self) -> Any:
        return SimpleNamespace(id=0)

    def __getitem__(self, key: Any) -> Any:
        return wrap(self._array[unwrap(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._array[unwrap(key)] = unwrap(value)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Any:
        return (wrap(row) for row in self._array)

    def __bool__(self) -> bool:
        SYNCS[0] += 1
        return bool(self._array)

    def __int__(self) -> int:
        SYNCS[0] += 1
        return int(self._array)

    __index__ = __int__

    def __float__(self) -> float:
        SYNCS[0] += 1
        return float(self._array)

    def __repr__(self) -> str:
        return f"device {self._array!r}"


def asnumpy(value: Any) -> np.ndarray:
    return value.get() if isinstance(value, ndarray) else np.asarray(value)


def asarray(value: Any, dtype: Any = None) -> ndarray:
    if isinstance(value, ndarray):
        return value if dtype is None or value.dtype == dtype else ndarray(value._array.astype(dtype))
    return ndarray(np.array(value, dtype=dtype))


class _Null:
    """A stream, or a device, that may be entered."""

    id = 0
    ptr = 0

    def __init__(self, *_: Any) -> None: ...

    def __enter__(self) -> _Null:
        return self

    def __exit__(self, *_: Any) -> None: ...


def _release() -> None:
    RELEASED[0] += 1


def _memory() -> tuple[int, int]:
    total = LIMIT[0] or 2**33
    return total - LIVE[0], total


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found
        return lambda *args, **kwargs: wrap(found(*unwrap(args), **unwrap(kwargs)))


def make() -> ModuleType:
    """Return the module, to be put in ``sys.modules["cupy"]``."""
    module = _Module("cupy")
    module.ndarray = ndarray  # type: ignore[attr-defined]
    module.asarray = module.array = asarray  # type: ignore[attr-defined]
    module.asnumpy = asnumpy  # type: ignore[attr-defined]
    module.ascontiguousarray = lambda a, dtype=None: wrap(  # type: ignore[attr-defined]
        np.ascontiguousarray(unwrap(asarray(a)), dtype=dtype)
    )
    runtime = SimpleNamespace(CUDARuntimeError=CUDARuntimeError, getDevice=lambda: 0, memGetInfo=_memory)
    allocator = SimpleNamespace(malloc=None)
    module.cuda = SimpleNamespace(  # type: ignore[attr-defined]
        Device=_Null,
        get_current_stream=_Null,
        Stream=_Null,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=runtime,
        using_allocator=_Null,
        PythonFunctionAllocator=lambda allocate, free: allocator,
    )
    module.get_default_memory_pool = lambda: SimpleNamespace(free_all_blocks=_release)  # type: ignore[attr-defined]
    return module
