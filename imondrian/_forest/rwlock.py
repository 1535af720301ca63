"""Threads and a model: reading methods share it, changing methods have it alone, the others wait.

The native core releases Python's lock, so calls on one model really meet. Methods marked ``@reading`` run
beside each other; one marked ``@updating`` waits for those under way and holds up those that come. Order
among waiting threads is fair: a thread that learns without a pause still lets every waiting reader in
between two updates, and readers without a pause still let it learn. A marked method must not call another
marked method of the same model: it would wait for itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from imondrian._core import Gate

__all__ = ["Gate", "gate_of", "reading", "updating"]

Method = TypeVar("Method", bound=Callable[..., Any])


def gate_of(model: Any) -> Gate:
    """Return the gate of a model."""
    # scikit-learn wants __init__ to set nothing but parameters: the first call makes the gate, once.
    return model.__dict__.get("_gate") or model.__dict__.setdefault("_gate", Gate())


def reading(method: Method) -> Method:
    """Mark a method that changes nothing."""

    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        with gate_of(self).reading:
            return method(self, *args, **kwargs)

    return guarded  # type: ignore[return-value]


def updating(method: Method) -> Method:
    """Mark a method that changes the model."""

    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        with gate_of(self).updating:
            return method(self, *args, **kwargs)

    return guarded  # type: ignore[return-value]
