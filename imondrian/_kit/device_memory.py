"""When a device's memory does not suffice: less at a time, and if that fails an error with the sizes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from .device import Device

_T = TypeVar("_T")


def in_parts(device: Device, n: int, compute: Callable[[int, int], _T]) -> list[_T]:
    """Return ``compute(first, last)`` over all of ``range(n)``: at once where memory suffices, else in parts.

    Parts are halved until they fit. What one alone has no room for is raised, as CuPy raised it; so is
    everything while a graph is recorded, when nothing may be freed.
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
            if last - first < 2 or device.is_capturing:
                raise
        # Out here the error is gone, and with it the frames that held what had been allocated.
        device.release_memory()
        step = (last - first + 1) // 2
    return done


def otherwise(device: Device, compute: Callable[[], _T], with_less: Callable[[], _T]) -> _T:
    """Return ``compute()``, or where memory does not suffice ``with_less()``."""
    try:
        return compute()
    except device.out_of_memory:
        if device.is_capturing:
            raise
    device.release_memory()
    return with_less()


def is_out_of_memory(error: MemoryError) -> bool:
    """Tell whether an error is CuPy's, and not yet one of :func:`explained`."""
    cupy: Any = sys.modules.get("cupy")
    return hasattr(cupy, "ndarray") and isinstance(error, cupy.cuda.memory.OutOfMemoryError)


def explained(
    error: MemoryError, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]
) -> MemoryError:
    """Return an error that tells what was wanted, what is free, and what the function was given."""
    cupy = sys.modules["cupy"]
    cupy.get_default_memory_pool().free_all_blocks()
    free, total = cupy.cuda.runtime.memGetInfo()
    wanted = getattr(error, "_size", None)  # CuPy keeps it beside the message
    asked = f"{size(wanted)} were asked for" if wanted is not None else str(error)
    given = inspect.signature(function).bind(*args, **options).arguments
    sizes = [f"{name} {described}" for name, value in given.items() if (described := _description(value))]
    return MemoryError(
        f"{function.__qualname__} needs more memory than the device has free: {asked}, {size(free)} of {size(total)} "
        f"are free; given were {', '.join(sizes)}. Pass fewer or smaller clouds at a time, or free arrays; what torch "
        f"keeps, torch.cuda.empty_cache() gives back"
    )


def size(n_bytes: int) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024  # type: ignore[assignment]
    return f"{n_bytes:,.1f} GiB"


def _description(value: Any) -> str:
    """Return the size of a cloud or of several, or ""."""
    if isinstance(value, (list, tuple)) and value and all(hasattr(item, "nbytes") for item in value):
        return f"of {len(value)} arrays ({size(sum(item.nbytes for item in value))})"
    if hasattr(value, "shape") and hasattr(value, "nbytes"):
        return f"of shape {tuple(value.shape)} ({size(value.nbytes)})"
    return ""
