"""Array libraries: numpy views of their arrays, and results back in the library they came from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

SHAPES = "shape (n, d) or (b, n, d), or be a list of (n_i, d) arrays"


@dataclass(frozen=True, slots=True)
class Library:
    """The array library and device results go back to."""

    name: str
    device: Any = None

    def wrap(self, array: Any) -> Any:
        """Give a numpy result (array or scalar) back in this library, on this device."""
        if self.name == "torch":
            return sys.modules["torch"].as_tensor(array, device=self.device)
        return array

    def __str__(self) -> str:
        return self.name if self.device is None else f"{self.name} on {self.device}"


NUMPY = Library("numpy")


def to_numpy(x: Any, name: str) -> tuple[np.ndarray, Library]:
    """View ``x`` as a numpy array without copying where its library allows it."""
    torch = _loaded("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _from_torch(x, name, torch)
    cupy = _loaded("cupy")
    if cupy is not None and isinstance(x, cupy.ndarray):
        raise TypeError(
            f"{name} is a CuPy array, and this version computes on the CPU only; pass cupy.asnumpy({name})"
        )
    try:
        return np.asarray(x), NUMPY
    except ValueError as error:
        raise ValueError(f"{name} must have {SHAPES}, but cannot be made an array: {error}") from error


def _from_torch(x: Any, name: str, torch: ModuleType) -> tuple[np.ndarray, Library]:
    if x.device.type != "cpu":
        raise TypeError(
            f"{name} is a tensor on {x.device}, and this version computes on the CPU only; pass {name}.cpu()"
        )
    if x.dtype in (torch.float16, torch.bfloat16):
        raise TypeError(half_message(name, str(x.dtype).removeprefix("torch.")))
    if x.requires_grad:
        raise ValueError(
            f"{name} requires grad, which this function would drop: use the function of the "
            f"same name in pointmetrics.torch, or pass {name}.detach()"
        )
    return x.numpy(), Library("torch", x.device)


def _loaded(module: str) -> ModuleType | None:
    # An array of a library can only exist once the library was imported, so nothing is imported here.
    # The attribute check guards against a module that is half-way through its own import.
    found = sys.modules.get(module)
    return found if hasattr(found, "ndarray" if module == "cupy" else "Tensor") else None


def half_message(name: str, dtype: str) -> str:
    """Say why half precision is refused."""
    return (
        f"{name} has dtype {dtype}, whose 8 to 11 significant bits are too few for distances; "
        f"convert it to float32 or float64"
    )
