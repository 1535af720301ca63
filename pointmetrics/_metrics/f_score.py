"""F-score, precision and recall at distance thresholds."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np

from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device, refuse_masked

from .neighbors import Found, find


class FScore(NamedTuple):
    """F-score and the two rates it joins, each in [0, 1]."""

    f_score: Any
    precision: Any
    recall: Any


def read_thresholds(threshold: Any) -> np.ndarray:
    """Check one threshold or a sequence of them; return float64 ``(k,)``."""
    refuse_masked(threshold, "threshold")
    values = np.asarray(threshold)
    if values.ndim > 1 or values.size == 0 or values.dtype.kind not in "iuf":
        raise ValueError(f"threshold must be a number or a sequence of numbers, got {threshold!r}")
    values = np.atleast_1d(values).astype(np.float64)
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"threshold must be finite and above 0, got {threshold!r}")
    return values


def _share_below(side: Clouds, sq_dist: Array, thresholds: np.ndarray, squared: bool) -> Array:
    xp = side.backend.xp
    distance = sq_dist.astype(np.float64, copy=False)
    if not squared:
        distance = xp.sqrt(distance)
    return xp.stack([side.means((distance < t).astype(np.float64)) for t in thresholds.tolist()], axis=1)


def rates(pair: Pair, found: Found, thresholds: np.ndarray, squared: bool = False) -> FScore:
    """Return F-score, precision and recall, each float64 ``(b, k)``."""
    xp = pair.backend.xp
    precision = _share_below(pair.x, found.sq_x, thresholds, squared)
    recall = _share_below(pair.y, found.sq_y, thresholds, squared)
    both = precision + recall
    score = xp.where(both > 0, 2 * precision * recall / xp.where(both > 0, both, 1.0), 0.0)
    return FScore(score, precision, recall)


@overload
def f_score(
    x: Any,
    y: Any,
    threshold: Any,
    *,
    squared: bool = ...,
    lengths: Any = ...,
    return_details: Literal[True],
    n_threads: int | None = ...,
) -> FScore: ...


@overload
def f_score(
    x: Any,
    y: Any,
    threshold: Any,
    *,
    squared: bool = ...,
    lengths: Any = ...,
    return_details: bool = ...,
    n_threads: int | None = ...,
) -> Any: ...


@on_callers_device
def f_score(
    x: Any,
    y: Any,
    threshold: Any,
    *,
    squared: bool = False,
    lengths: Any = None,
    return_details: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the F-score of a cloud x against a reference y at one or many thresholds.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Clouds, as in :func:`chamfer_distance`: x is what is judged, y the reference.
    threshold : float or (k,) floats
        Distance below which a point counts as right, in the unit of the coordinates.
    squared : bool, default=False
        Compare squared distances with the threshold instead, as the code of some papers does (there a
        threshold of 0.0001 means a distance of 0.01).
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    return_details : bool, default=False
        Return ``FScore(f_score, precision, recall)``.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or array
        Between 0 and 1; ``(k,)`` or ``(b, k)`` where ``threshold`` is a sequence.

    Notes
    -----
    Precision is the share of x nearer than the threshold to y, recall the share of y nearer than it to
    x, and the score 2 P R / (P + R), 0 where both are 0. The comparison is strict. Constant almost
    everywhere, so there is no useful gradient and none is offered.

    References
    ----------
    Tatarchenko et al., "What Do Single-view 3D Reconstruction Networks Learn?", CVPR 2019, section 5.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> x, y = [[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.1], [5.0, 0.0], [9.0, 0.0]]
    >>> pm.f_score(x, y, [0.2, 10.0]).round(3)
    array([0.4, 1. ])
    """
    thresholds = read_thresholds(threshold)
    pair = read_pair(x, y, lengths=lengths)
    scores = rates(pair, find(pair, n_threads), thresholds, squared)
    shaped = FScore(*(_shape(pair, value, np.ndim(threshold) == 0) for value in scores))
    return shaped if return_details else shaped.f_score


def _shape(pair: Pair, values: Array, one_threshold: bool) -> Any:
    return pair.result(values[:, 0] if one_threshold else values)
