"""The metrics for torch: the same functions with autograd, and losses as modules.

The metrics themselves know nothing of torch. One autograd function computes value and gradients
together, keeps the gradients, and scales them in the backward pass. There is no second derivative. Tensors
on a CUDA device need CuPy, which works on torch's current stream and in torch's memory; nothing of torch is compiled.
Calls can be recorded in a graph of torch.cuda after one call outside it, on any stream, with clouds of the same
sizes; values are then not checked for NaN, and a distance is NaN where one came in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    import torch
    from torch import nn
    from torch.autograd.function import once_differentiable
except ImportError as error:
    raise ImportError("pointmetrics.torch needs torch: pip install 'imondrian[torch]'") from error

import pointmetrics as _pm

__all__ = [
    "ChamferLoss",
    "DensityAwareChamferLoss",
    "HausdorffLoss",
    "chamfer_distance",
    "density_aware_chamfer_distance",
    "earth_movers_distance",
    "hausdorff_distance",
]

_Metric = Callable[..., Any]


class _ValueAndGrad(torch.autograd.Function):
    """Carry a metric's own gradients through autograd."""

    @staticmethod
    def forward(ctx: Any, evaluate: _Metric, *tensors: torch.Tensor) -> torch.Tensor:
        value, grads = evaluate(*(t.detach() for t in tensors))
        ctx.save_for_backward(*(g.to(t.dtype) for g, t in zip(grads, tensors, strict=True)))
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grads = ctx.saved_tensors
        out: list[torch.Tensor | None] = [None]
        for i, grad in enumerate(grads):
            if not ctx.needs_input_grad[i + 1]:
                out.append(None)
                continue
            scale = grad_output
            if scale.ndim == 1:
                # One number a pair: clouds of a list meet it by position, those of a batch by axis.
                scale = scale[:, None, None] if grad.ndim == 3 else scale[i % len(scale)]
            out.append(grad * scale.to(grad.dtype))
        return tuple(out)


def _apply(metric: _Metric, x: Any, y: Any, options: dict[str, Any]) -> torch.Tensor:
    groups = [list(c) if isinstance(c, (list, tuple)) else [c] for c in (x, y)]
    tensors = [t for group in groups for t in group if isinstance(t, torch.Tensor)]
    if not any(t.requires_grad for t in tensors):
        return metric(x, y, **options)
    is_list = [isinstance(c, (list, tuple)) for c in (x, y)]
    fixed = [not isinstance(group[0], torch.Tensor) for group in groups]

    def evaluate(*detached: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        rest = iter(detached)
        clouds = [
            c if keep else [next(rest) for _ in group]
            for c, group, keep in zip((x, y), groups, fixed, strict=True)
        ]
        clouds = [c if keep or many else c[0] for c, keep, many in zip(clouds, fixed, is_list, strict=True)]
        value, grads = metric(*clouds, return_grad=True, **options)
        kept = [g for g, keep in zip(grads, fixed, strict=True) if not keep]
        return value, [t for g in kept for t in (g if isinstance(g, list) else [g])]

    return _ValueAndGrad.apply(evaluate, *tensors)


def chamfer_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the Chamfer distance of tensors, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64, on the CPU or a CUDA device (on torch's current stream there).
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


def density_aware_chamfer_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the density-aware Chamfer distance of tensors, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64, on the CPU or a CUDA device (on torch's current stream there).
    **options
        Those of :func:`pointmetrics.density_aware_chamfer_distance` except ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.
    """
    return _apply(_pm.density_aware_chamfer_distance, x, y, options)


def earth_movers_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the exact earth mover's distance of tensors, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64, on the CPU or a CUDA device (on torch's current stream there).
    **options
        Those of :func:`pointmetrics.earth_movers_distance` except ``return_details`` and ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.
    """
    return _apply(_pm.earth_movers_distance, x, y, options)


def hausdorff_distance(x: Any, y: Any, **options: Any) -> torch.Tensor:
    """Compute the Hausdorff distance of tensors or a quantile of it, with autograd to both clouds.

    Parameters
    ----------
    x, y : Tensor (n, d) or (b, n, d), or list of Tensor (n_i, d)
        float32 or float64, on the CPU or a CUDA device (on torch's current stream there).
    **options
        Those of :func:`pointmetrics.hausdorff_distance` except ``return_grad``.

    Returns
    -------
    Tensor
        0-dimensional, or ``(b,)``.
    """
    return _apply(_pm.hausdorff_distance, x, y, options)


class _Loss(nn.Module):
    """Call a metric with fixed options; the batch is averaged unless said otherwise."""

    _metric: _Metric

    def __init__(self, *, batch_reduction: str | None = "mean", **options: Any) -> None:
        super().__init__()
        self.options = {"batch_reduction": batch_reduction, **options}

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
