"""What carries the metrics' own gradients through torch's autograd; needs torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from .libraries import refuse_transformed
from .objects import points_of

Metric = Callable[..., Any]


_F = TypeVar("_F", bound=Callable[..., Any])


def eager(function: _F) -> _F:
    """Keep torch.compile out of a function: what it calls is native, or depends on the values."""
    return torch.compiler.disable(function)


class ValueAndGrad(torch.autograd.Function):
    """Carry a metric's own gradients through autograd.

    ``places`` has for each tensor the number of the pair it belongs to, or None where it is a whole side.
    """

    @staticmethod
    def forward(ctx: Any, evaluate: Metric, places: tuple[int | None, ...], *tensors: torch.Tensor) -> torch.Tensor:
        value, grads = evaluate(*(t.detach() for t in tensors))
        needed = ctx.needs_input_grad[2:]
        ctx.places = places
        ctx.save_for_backward(
            *(g.to(t.dtype) if need else None for g, t, need in zip(grads, tensors, needed, strict=True))
        )
        return value

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        # Gradient mode is on in a backward pass only where its result is to be differentiated again.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the metrics of pointmetrics.torch have no second derivatives, which create_graph=True "
                "asks for: take their gradient without it, where need be in a pass of its own"
            )
        out: list[torch.Tensor | None] = [None, None]
        for grad, place in zip(ctx.saved_tensors, ctx.places, strict=True):
            if grad is None:
                out.append(None)
                continue
            scale = grad_output
            if scale.ndim == 1:  # one number a pair
                scale = scale[:, None, None] if place is None else scale[place]
            out.append(grad * scale.to(grad.dtype))
        return tuple(out)


class WeightedValues(torch.autograd.Function):
    """Carry several values of one tensor, each with a gradient of its own, through autograd."""

    @staticmethod
    def forward(ctx: Any, evaluate: Metric, x: torch.Tensor) -> torch.Tensor:
        values, grads = evaluate(x.detach())
        ctx.save_for_backward(grads.to(x.dtype))
        return values

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the metrics of pointmetrics.torch have no second derivatives, which create_graph=True asks for"
            )
        (grads,) = ctx.saved_tensors
        return None, (grads * grad_output.to(grads.dtype)[..., None, None]).sum(dim=-3)


@eager  # too: torch.compile of a function itself takes such a wrapper off
def apply_metric(metric: Metric, x: Any, y: Any, options: dict[str, Any]) -> torch.Tensor:
    x, y = points_of(x, "x"), points_of(y, "y")
    for name, clouds in (("x", x), ("y", y)):
        for place, t in _tensors(clouds):
            refuse_transformed(t, name if place is None else f"{name}[{place}]")
    x, y = prepare(x), prepare(y)
    options = {name: prepare(value) for name, value in options.items()}
    tensors = [t for clouds in (x, y) for _, t in _tensors(clouds)]
    if not any(t.requires_grad for t in tensors):
        _refuse_grad(options)
        return metric(x, y, **options)
    _check(x, y, options)

    def evaluate(*detached: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        rest = iter(detached)
        value, grads = metric(_map(x, lambda _: next(rest)), _map(y, lambda _: next(rest)), return_grad=True, **options)
        return value, [
            of_side if place is None else of_side[place]
            for clouds, of_side in zip((x, y), grads, strict=True)
            for place, _ in _tensors(clouds)
        ]

    places = tuple(place for clouds in (x, y) for place, _ in _tensors(clouds))
    return ValueAndGrad.apply(evaluate, places, *tensors)


def _map(value: Any, change: Callable[[torch.Tensor], Any]) -> Any:
    """Change every tensor of an argument: one, or a list or tuple with some."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(_map(v, change) for v in value)
    return value


def _tensors(clouds: Any) -> Iterator[tuple[int | None, torch.Tensor]]:
    """Yield the tensors of a side, each with its place in the list that it is part of."""
    if isinstance(clouds, torch.Tensor):
        yield None, clouds
    elif isinstance(clouds, (list, tuple)):
        yield from ((k, t) for k, t in enumerate(clouds) if isinstance(t, torch.Tensor))


def prepare(value: Any) -> Any:
    """Bring half precision to float32 under autocast, and detach tensors where nothing records gradients."""

    def change(t: torch.Tensor) -> torch.Tensor:
        if t.dtype in (torch.float16, torch.bfloat16) and _autocasts(t.device.type):
            t = t.float()
        return t if torch.is_grad_enabled() else t.detach()

    return _map(value, change)


def _autocasts(device: str) -> bool:
    try:
        return bool(torch.is_autocast_enabled(device))
    except TypeError:  # torch before 2.4
        return bool(torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled())


def _refuse_grad(options: dict[str, Any]) -> None:
    for name, value in options.items():
        tensors: list[torch.Tensor] = []
        _map(value, tensors.append)
        if any(t.requires_grad for t in tensors):
            raise ValueError(
                f"{name} requires grad, and gradients are taken with respect to x and y alone: pass it detached"
            )


def _check(x: Any, y: Any, options: dict[str, Any]) -> None:
    """Refuse what would lose gradients."""
    _refuse_grad(options)
    for name in ("return_grad", "return_details"):
        if options.get(name):
            raise TypeError(
                f"{name} is no option where a cloud requires grad: backward gives the gradients; for the "
                f"rest pass detached clouds to the function of pointmetrics itself"
            )
        options.pop(name, None)
    for name, clouds in (("x", x), ("y", y)):
        # A list without tensors is left to the metric, which knows what it can be.
        for place, t in enumerate(clouds) if any(k is not None for k, _ in _tensors(clouds)) else ():
            if not isinstance(t, torch.Tensor):
                raise TypeError(
                    f"the clouds of {name} must all be tensors where one of them is, got "
                    f"{type(t).__name__} at {name}[{place}]"
                )
            if t.ndim != 2:
                raise ValueError(f"{name}[{place}] must have shape (n, d), got {tuple(t.shape)}")
