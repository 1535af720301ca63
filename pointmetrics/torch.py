"""The metrics for torch: the same functions with autograd, and losses as modules.

The metrics themselves know nothing of torch. One autograd function computes value and gradients together,
keeps the gradients, and scales them in the backward pass. There is no second derivative: a backward pass
with ``create_graph=True`` raises, and so do forward mode and the transforms of ``torch.func``. Gradients
reach x and y alone; weights and normals are constants.

Under ``torch.autocast`` half-precision tensors are computed in float32, and the value is float32; elsewhere
they are refused. ``torch.compile`` leaves these calls as they are: the graph breaks around them, and new
shapes or values recompile nothing on their account.

Tensors on a CUDA device need CuPy, which works on torch's current stream and in torch's memory; nothing of torch is
compiled. Calls can be recorded in a graph of torch.cuda after one call outside it, on any stream, with clouds of the
same sizes; values are then not checked for NaN, and a distance is NaN where one came in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("pointmetrics.torch needs torch: pip install 'imondrian[torch]'") from error

import pointmetrics as _pm

from ._clouds.libraries import refuse_transformed
from ._clouds.objects import points_of

__all__ = [
    "ChamferLoss",
    "DensityAwareChamferLoss",
    "HausdorffLoss",
    "HyperbolicChamferLoss",
    "InfoChamferLoss",
    "chamfer_distance",
    "density_aware_chamfer_distance",
    "earth_movers_distance",
    "hausdorff_distance",
    "hyperbolic_chamfer_distance",
    "info_chamfer_distance",
    "uniformity",
]

_Metric = Callable[..., Any]
_F = TypeVar("_F", bound=Callable[..., Any])


def _eager(function: _F) -> _F:
    """Keep torch.compile out of a function: what it calls is native, or depends on the values."""
    return torch.compiler.disable(function)


class _ValueAndGrad(torch.autograd.Function):
    """Carry a metric's own gradients through autograd.

    ``places`` has for each tensor the number of the pair it belongs to, or None where it is a whole side.
    """

    @staticmethod
    def forward(ctx: Any, evaluate: _Metric, places: tuple[int | None, ...], *tensors: torch.Tensor) -> torch.Tensor:
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


class _Weighted(torch.autograd.Function):
    """Carry several values of one tensor, each with a gradient of its own, through autograd."""

    @staticmethod
    def forward(ctx: Any, evaluate: _Metric, x: torch.Tensor) -> torch.Tensor:
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


@_eager  # too: torch.compile of a function itself takes such a wrapper off
def _apply(metric: _Metric, x: Any, y: Any, options: dict[str, Any]) -> torch.Tensor:
    x, y = points_of(x, "x"), points_of(y, "y")
    for name, clouds in (("x", x), ("y", y)):
        for place, t in _tensors(clouds):
            refuse_transformed(t, name if place is None else f"{name}[{place}]")
    x, y = _prepare(x), _prepare(y)
    options = {name: _prepare(value) for name, value in options.items()}
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
    return _ValueAndGrad.apply(evaluate, places, *tensors)


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


def _prepare(value: Any) -> Any:
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


@_eager
def chamfer_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the Chamfer distance of tensors, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64 (under autocast also half precision), on the CPU or a CUDA device (there on torch's
        current stream).
    **options
        Those of :func:`pointmetrics.chamfer_distance` except ``return_details`` and ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.

    Examples
    --------
    >>> import torch, pointmetrics.torch
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    >>> pointmetrics.torch.chamfer_distance(x, torch.tensor([[0.0, 2.0]])).backward()
    >>> x.grad
    tensor([[ 0., -6.],
            [ 1., -2.]])
    """
    return _apply(_pm.chamfer_distance, x, y, options)


@_eager
def density_aware_chamfer_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the density-aware Chamfer distance of tensors, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64 (under autocast also half precision), on the CPU or a CUDA device (there on torch's
        current stream).
    **options
        Those of :func:`pointmetrics.density_aware_chamfer_distance` except ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.
    """
    return _apply(_pm.density_aware_chamfer_distance, x, y, options)


@_eager
def earth_movers_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the exact earth mover's distance of tensors, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64 (under autocast also half precision), on the CPU or a CUDA device (there on torch's
        current stream).
    **options
        Those of :func:`pointmetrics.earth_movers_distance` except ``return_details`` and ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.
    """
    return _apply(_pm.earth_movers_distance, x, y, options)


@_eager
def hausdorff_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the Hausdorff distance of tensors or a quantile of it, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64 (under autocast also half precision), on the CPU or a CUDA device (there on torch's
        current stream).
    **options
        Those of :func:`pointmetrics.hausdorff_distance` except ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.
    """
    return _apply(_pm.hausdorff_distance, x, y, options)


@_eager
def hyperbolic_chamfer_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the hyperbolic Chamfer distance (HyperCD) of tensors, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64 (under autocast also half precision), on the CPU or a CUDA device (there on torch's
        current stream).
    **options
        Those of :func:`pointmetrics.hyperbolic_chamfer_distance` except ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.
    """
    return _apply(_pm.hyperbolic_chamfer_distance, x, y, options)


@_eager
def info_chamfer_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the contrastive Chamfer distance (InfoCD) of tensors, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64 (under autocast also half precision), on the CPU or a CUDA device (there on torch's
        current stream).
    **options
        Those of :func:`pointmetrics.info_chamfer_distance` except ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.
    """
    return _apply(_pm.info_chamfer_distance, x, y, options)


@_eager
def uniformity(x: torch.Tensor, **options: Any) -> torch.Tensor:
    """Compute the uniformity of tensors, one value for each percentage, with autograd to the cloud.

    Parameters
    ----------
    x : tensor (n, 3) or (b, n, 3)
        One cloud or several of one size.
    **options
        Those of :func:`pointmetrics.uniformity` except ``return_grad``.

    Returns
    -------
    tensor (p,) or (b, p)
        float64. Their mean is the loss of the paper.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a tensor, got {type(x).__name__}")
    refuse_transformed(x, "x")
    x = _prepare(x)
    if options.pop("return_grad", False):
        raise TypeError("return_grad is no option here: backward gives the gradients")
    if not x.requires_grad:
        return _pm.uniformity(x, **options)
    return _Weighted.apply(lambda clouds: _pm.uniformity(clouds, return_grad=True, **options), x)


class _Loss(nn.Module):
    """Call a metric with fixed options; the batch is averaged unless said otherwise."""

    _metric: _Metric

    def __init__(self, *, batch_reduction: str | None = "mean", **options: Any) -> None:
        super().__init__()
        self.options = {"batch_reduction": batch_reduction, **options}

    @_eager
    def forward(self, x: Any, y: Any, *, lengths: Any = None) -> torch.Tensor:
        """Return the loss of x against y; ``lengths`` as in the function of the metric."""
        return type(self)._metric(x, y, lengths=lengths, **self.options)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class ChamferLoss(_Loss):
    """Average the Chamfer distance over a batch.

    Parameters
    ----------
    batch_reduction : {"mean", "sum", None}, default="mean"
        How the pairs of a batch are put together.
    **options
        Those of :func:`pointmetrics.chamfer_distance`, such as ``convention``.

    Examples
    --------
    >>> import torch, pointmetrics.torch
    >>> loss = pointmetrics.torch.ChamferLoss(convention="cd-l1")
    >>> loss(torch.zeros(2, 5, 3), torch.ones(2, 4, 3))
    tensor(1.7321)
    """

    _metric = staticmethod(chamfer_distance)


class DensityAwareChamferLoss(_Loss):
    """Average the density-aware Chamfer distance over a batch.

    Parameters
    ----------
    batch_reduction : {"mean", "sum", None}, default="mean"
        How the pairs of a batch are put together.
    **options
        Those of :func:`pointmetrics.density_aware_chamfer_distance`. Training wants a smaller ``alpha``
        than evaluation.
    """

    _metric = staticmethod(density_aware_chamfer_distance)


class HausdorffLoss(_Loss):
    """Average the Hausdorff distance over a batch.

    Parameters
    ----------
    batch_reduction : {"mean", "sum", None}, default="mean"
        How the pairs of a batch are put together.
    **options
        Those of :func:`pointmetrics.hausdorff_distance`.
    """

    _metric = staticmethod(hausdorff_distance)


class HyperbolicChamferLoss(_Loss):
    """Average the hyperbolic Chamfer distance (HyperCD) over a batch.

    Parameters
    ----------
    batch_reduction : {"mean", "sum", None}, default="mean"
        How the pairs of a batch are put together.
    **options
        Those of :func:`pointmetrics.hyperbolic_chamfer_distance`.
    """

    _metric = staticmethod(hyperbolic_chamfer_distance)


class InfoChamferLoss(_Loss):
    """Average the contrastive Chamfer distance (InfoCD) over a batch.

    Parameters
    ----------
    batch_reduction : {"mean", "sum", None}, default="mean"
        How the pairs of a batch are put together.
    **options
        Those of :func:`pointmetrics.info_chamfer_distance`.
    """

    _metric = staticmethod(info_chamfer_distance)
