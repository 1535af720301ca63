"""The kernels of this package by name: which instance serves clouds of so many coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from imondrian._kit.kernel_source import Instance, Kernel

Defines = tuple[tuple[str, int], ...]


def instance_of(file: str, dtype: Any, dim: int = 0, defines: Defines = ()) -> Instance:
    """Return a kernel file specialised for ``dim`` coordinates: 2, 3, or 0 for any; ``defines`` are further macros."""
    return Instance("pointmetrics", file, np.dtype(dtype), (("DIM", dim), *defines))


def kernel_of(file: str, entry: str, dtype: Any, dim: int = 0, defines: Defines = ()) -> Kernel:
    """Return one kernel of an instance."""
    return Kernel(instance_of(file, dtype, dim, defines), entry)


def specialised(d: int) -> int:
    """Return the ``dim`` of the instance for clouds of ``d`` coordinates."""
    return d if d in (2, 3) else 0
