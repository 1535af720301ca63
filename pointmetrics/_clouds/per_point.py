"""What comes with the points of clouds: a weight or a vector each."""

from __future__ import annotations

from typing import Any

import numpy as np

from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.protocol import Array

from .arrays import Clouds, as_floats
from .libraries import to_native


def _per_point(values: Any, clouds: Clouds, name: str, last: tuple[int, ...] = ()) -> Array:
    """Read one entry of shape ``last`` a point, shaped like the clouds, packed in float64."""
    is_list = clouds.kind == "list"
    if is_list and (not isinstance(values, (list, tuple)) or len(values) != len(clouds)):
        raise ValueError(f"{name} must be a list of {len(clouds)} arrays, one a cloud")
    names = [f"{name}[{i}]" for i in range(len(clouds))] if is_list else [name]
    leading: list[tuple[int, ...]] = (
        [(int(n),) for n in clouds.counts]
        if is_list
        else [(clouds.max_n,) if clouds.kind == "single" else (len(clouds), clouds.max_n)]
    )
    parts = []
    for part, part_name, shape in zip(values if is_list else [values], names, leading, strict=True):
        array = _on_backend(part, part_name, clouds)
        if array.shape != (*shape, *last):
            raise ValueError(f"{part_name} must have shape {(*shape, *last)}, got {array.shape}")
        parts.append(array)
    packed = clouds.backend.xp.concatenate(parts) if is_list else parts[0]
    if clouds.kind == "batch":
        packed = packed.reshape(len(clouds) * clouds.max_n, *last)
        if not clouds.is_uniform:
            packed = packed[clouds.rows_in_use()]
    return as_floats(packed, name, clouds.backend).astype(np.float64, copy=False)


def _on_backend(values: Any, name: str, clouds: Clouds) -> Array:
    """Read an array that belongs to clouds: from their library, or from the host."""
    array, library = to_native(values, name)
    if library.backend is not clouds.backend and library.backend is not CPU:
        raise TypeError(f"{name} is on {library}, which its clouds are not")
    return clouds.backend.upload(array)


def read_weights(weights: Any, clouds: Clouds, name: str) -> Array | None:
    """Read non-negative point weights of ``clouds`` into packed float64 ``(total,)``."""
    if weights is None:
        return None
    packed = _per_point(weights, clouds, name)
    xp = clouds.backend.xp
    bad = ~(xp.isfinite(packed) & (packed >= 0))
    if bad.any():
        i = int(xp.flatnonzero(bad)[0])
        raise ValueError(f"{name} must be finite and not negative, got {float(packed[i])} at point {i}")
    if (clouds.sums(packed) <= 0).any():
        raise ValueError(f"{name} must not all be zero in a cloud")
    return packed


def read_vectors(vectors: Any, clouds: Clouds, name: str) -> Array:
    """Read one vector a point, shaped like the clouds, into packed float64 ``(total, d)``."""
    packed = _per_point(vectors, clouds, name, (clouds.points.shape[1],))
    bad = ~clouds.backend.xp.isfinite(packed)
    if bad.any():
        raise ValueError(f"{name} must be finite, got {float(packed[bad][0])}")
    return packed
