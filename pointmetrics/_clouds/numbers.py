"""Numbers that options are, and vectors of length 1."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from pointmetrics._backends.protocol import Array


def thread_count(n_threads: int | None) -> int:
    """Return the number of threads to use: all that this process may run on where ``None``."""
    if n_threads is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if isinstance(n_threads, bool) or not isinstance(n_threads, (int, np.integer)):
        raise TypeError(f"n_threads must be an int or None, got {type(n_threads).__name__}")
    if n_threads < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}")
    return int(n_threads)


def to_unit(vectors: Array, xp: Any = np) -> Array:
    """Divide vectors ``(n, d)`` by their lengths, however large or small; 0 stays 0."""
    exponents = xp.frexp(xp.abs(vectors).max(axis=1, keepdims=True))[1]
    vectors = xp.ldexp(vectors, -exponents)  # squares can then be held, and no bits are lost
    lengths = xp.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return vectors / xp.where(lengths > 0, lengths, 1.0)


def check_number(value: Any, name: str, low: float, high: float = math.inf) -> float:
    """Return ``value`` as a float if it is a finite number within bounds."""
    if isinstance(value, (bool, str, bytes)) or not np.isscalar(value) or not np.isreal(value):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number) or not low <= number <= high:
        bounds = f"{low:g} or more" if high == math.inf else f"between {low:g} and {high:g}"
        raise ValueError(f"{name} must be finite and {bounds}, got {value!r}")
    return number


def check_numbers(values: Any, name: str, low: float, high: float = math.inf) -> list[float]:
    """Return a sequence of numbers as floats if each is finite and within bounds."""
    if isinstance(values, (str, bytes)) or np.ndim(values) != 1:
        raise TypeError(f"{name} must be a sequence of numbers, got {values!r}")
    return [check_number(value, f"each of {name}", low, high) for value in values]


def split_pair(value: Any) -> tuple[Any, Any]:
    """Take an option for both clouds apart: a tuple is ``(for x, for y)``, all else holds for both."""
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ValueError(f"a tuple option must be (for x, for y), got {len(value)} entries")
        return value
    return value, value
