"""Array libraries: views of their arrays that a backend computes on, and results back where they came from."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import wraps
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.protocol import Array, Backend

SHAPES = "shape (n, d) or (b, n, d), or be a list of (n_i, d) arrays"


@dataclass(frozen=True, slots=True)
class Library:
    """The array library and device results go back to."""

    name: str
    device: Any = None

    @property
    def backend(self) -> Backend:
        """Where its arrays are computed on."""
        if self.name == "cupy" or (self.name == "torch" and self.device.type == "cuda"):
            from pointmetrics._backends.cuda.backend import backend  # only here, so that the CPU needs nothing of it

            return backend()
        return CPU

    def wrap(self, array: Any) -> Any:
        """Give a backend's or a numpy result (array or scalar) back in this library, on this device."""
        if self.name == "numpy":
            return array
        if self.name == "cupy":
            return self.backend.upload(array)
        torch = sys.modules["torch"]
        if self.device.type == "cuda":
            return torch.from_dlpack(self.backend.upload(array))
        return torch.as_tensor(array, device=self.device)

    def __str__(self) -> str:
        if self.name == "cupy":
            return f"cupy on cuda:{self.device}"
        return self.name if self.device is None else f"{self.name} on {self.device}"


NUMPY = Library("numpy")


def to_native(x: Any, name: str) -> tuple[Array, Library]:
    """View ``x`` as an array of its library's backend, without copying where the library allows it."""
    torch = loaded("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _from_torch(x, name, torch)
    cupy = loaded("cupy")
    if cupy is not None and isinstance(x, cupy.ndarray):
        return x, Library("cupy", x.device.id)
    refuse_masked(x, name)
    try:
        return np.asarray(x), NUMPY
    except (ValueError, RuntimeError) as error:  # that of tensors which require grad, deeper in lists
        raise ValueError(f"{name} must have {SHAPES}, but cannot be made an array: {error}") from error


def refuse_masked(x: Any, name: str) -> None:
    """Refuse a masked array, or a sequence with one, that has values masked: numpy would take them for values."""
    if isinstance(x, np.ma.MaskedArray):
        mask = np.ma.getmask(x)
        if mask.dtype == bool and mask.any():
            raise ValueError(
                f"{name} is a masked array with {np.count_nonzero(mask):,} of {x.size:,} values masked, "
                f"which would count as values: leave those points out, such as by "
                f"np.ma.compress_rows({name})"
            )
    elif isinstance(x, (list, tuple)):
        for part in x:
            refuse_masked(part, name)


def to_numpy(x: Any, name: str) -> tuple[np.ndarray, Library]:
    """As :func:`to_native`, for what is computed on the CPU only."""
    array, library = to_native(x, name)
    check_cpu(library, name)
    return array, library


def check_cpu(library: Library, name: str) -> None:
    """Refuse arrays on a device for what is computed on the CPU only."""
    if library.backend is not CPU:
        hint = f"{name}.cpu()" if library.name == "torch" else f"cupy.asnumpy({name})"
        raise TypeError(f"{name} is an array of {library}, and this is computed on the CPU only; pass {hint}")


def on_host(value: Any) -> np.ndarray:
    """Return an array or scalar of any library as numpy's."""
    array, library = to_native(value, "value")
    return library.backend.download(array)


def _from_torch(x: Any, name: str, torch: ModuleType) -> tuple[Array, Library]:
    if x.device.type not in ("cpu", "cuda"):
        raise TypeError(f"{name} is a tensor on {x.device}; tensors on cpu and cuda devices can be used")
    if x.dtype in (torch.float16, torch.bfloat16):
        raise TypeError(half_message(name, str(x.dtype).removeprefix("torch.")))
    refuse_transformed(x, name)
    if x.requires_grad:
        raise _GradientDroppedError(name)
    library = Library("torch", x.device)
    if x.device.type == "cuda":
        from pointmetrics._backends.cuda.backend import from_dlpack

        return from_dlpack(x), library
    if x.layout is not torch.strided or x.is_nested:
        raise TypeError(f"{name} must be a dense tensor, got {'a nested one' if x.is_nested else x.layout}")
    try:
        return x.resolve_neg().numpy(), library
    except RuntimeError as error:  # as subclasses of Tensor do that are more than numbers, such as masked ones
        raise TypeError(f"{name} is a {type(x).__name__} that cannot be read as an array: {error}") from error


def refuse_transformed(x: Any, name: str) -> None:
    """Refuse a tensor with a tangent of torch's forward mode, which would be lost, or within one of torch.func."""
    torch = sys.modules["torch"]
    if torch.autograd.forward_ad.unpack_dual(x).tangent is not None:
        raise TypeError(
            f"{name} carries a tangent of torch's forward mode, and the metrics have gradients of the "
            f"backward mode alone: use torch.autograd.grad, or pass the primal of unpack_dual"
        )
    is_wrapped = getattr(getattr(torch._C, "_functorch", None), "is_functorch_wrapped_tensor", None)
    if is_wrapped is not None and is_wrapped(x):
        raise TypeError(
            f"{name} is a tensor within a transform of torch.func (vmap, grad, jacrev), which the metrics "
            f"cannot be put through: pass batches, and use torch.autograd.grad"
        )


def loaded(module: str) -> ModuleType | None:
    """Return an array library if it was imported: else no array of it can exist, and nothing is imported."""
    found = sys.modules.get(module)
    # The attribute check guards against a module that is half-way through its own import.
    return found if hasattr(found, "ndarray" if module == "cupy" else "Tensor") else None


# What pointmetrics.torch has a function of the same name for.
_DIFFERENTIABLE = (
    "chamfer_distance",
    "density_aware_chamfer_distance",
    "earth_movers_distance",
    "hausdorff_distance",
    "hyperbolic_chamfer_distance",
    "info_chamfer_distance",
    "uniformity",
)


class _GradientDroppedError(ValueError):
    """A tensor requires grad in a function that knows nothing of autograd."""

    def __init__(self, argument: str) -> None:
        super().__init__(
            f"{argument} requires grad, which this function would drop: use the function of the "
            f"same name in pointmetrics.torch, or pass {argument}.detach()"
        )
        self.argument = argument

    def __reduce__(self) -> tuple[Any, ...]:  # worker processes hand their errors on as pickles
        return type(self), (self.argument,)


_F = TypeVar("_F", bound=Callable[..., Any])


def on_callers_device(function: _F) -> _F:
    """Run a public function on the device of its first arrays, and for torch on torch's current stream."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        try:
            if "cupy" not in sys.modules and "torch" not in sys.modules:
                return function(*args, **options)
            with _device_of((*args, *options.values())):
                try:
                    return function(*args, **options)
                except MemoryError as error:
                    _explain(error, function, args, options)
                    raise
        except _GradientDroppedError as error:
            if function.__name__ in _DIFFERENTIABLE:
                if error.argument.partition("[")[0] in ("x", "y"):
                    raise
                raise ValueError(
                    f"{error.argument} requires grad, and gradients are taken with respect to x and y "
                    f"alone: pass it detached"
                ) from None
            raise ValueError(
                f"{error.argument} requires grad, and {function.__name__} has no gradient; "
                f"pass {error.argument}.detach()"
            ) from None
        except TypeError:
            from imondrian._kit.call_mistakes import explained  # only here, so that importing stays quick

            better = explained(function, f"{function.__name__}()", args, options)
            if better is None:
                raise
            raise better from None

    return run  # type: ignore[return-value]


def _explain(error: MemoryError, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Raise, where a device's memory did not suffice, an error that says so with the sizes."""
    # Only here, so that the CPU needs nothing of it.
    from imondrian._kit.device_memory import explained, is_out_of_memory

    if is_out_of_memory(error):
        raise explained(error, function, args, options) from error


def _device_of(args: tuple[Any, ...]) -> AbstractContextManager[Any]:
    torch, cupy = loaded("torch"), loaded("cupy")
    for x in args:
        if hasattr(x, "points_list"):  # PyTorch3D's Pointclouds
            x = x.points_list()
        while isinstance(x, (list, tuple)) and len(x) > 0:
            x = x[0]
        if cupy is not None and isinstance(x, cupy.ndarray):
            return cupy.cuda.Device(x.device.id)
        if torch is not None and isinstance(x, torch.Tensor) and x.device.type == "cuda":
            from imondrian._kit.torch_stream import torch_stream

            return torch_stream(torch, x.device)
    return nullcontext()


def warn_user(message: str) -> None:
    """Warn, as from the line that called this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "pointmetrics":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def half_message(name: str, dtype: str) -> str:
    """Say why half precision is refused."""
    return (
        f"{name} has dtype {dtype}, whose 8 to 11 significant bits are too few for distances; "
        f"convert it to float32 or float64"
    )
