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

from typing import Any

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("pointmetrics.torch needs torch: pip install 'imondrian[torch]'") from error

import pointmetrics as _pm

from ._clouds.autograd import Metric, WeightedValues, apply_metric, eager, prepare
from ._clouds.libraries import refuse_transformed

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


@eager
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
    return apply_metric(_pm.chamfer_distance, x, y, options)


@eager
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
    return apply_metric(_pm.density_aware_chamfer_distance, x, y, options)


@eager
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
    return apply_metric(_pm.earth_movers_distance, x, y, options)


@eager
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
    return apply_metric(_pm.hausdorff_distance, x, y, options)


@eager
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
    return apply_metric(_pm.hyperbolic_chamfer_distance, x, y, options)


@eager
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
    return apply_metric(_pm.info_chamfer_distance, x, y, options)


@eager
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
    x = prepare(x)
    if options.pop("return_grad", False):
        raise TypeError("return_grad is no option here: backward gives the gradients")
    if not x.requires_grad:
        return _pm.uniformity(x, **options)
    return WeightedValues.apply(lambda clouds: _pm.uniformity(clouds, return_grad=True, **options), x)


class _Loss(nn.Module):
    """Call a metric with fixed options; the batch is averaged unless said otherwise."""

    _metric: Metric

    def __init__(self, *, batch_reduction: str | None = "mean", **options: Any) -> None:
        super().__init__()
        self.options = {"batch_reduction": batch_reduction, **options}

    @eager
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
