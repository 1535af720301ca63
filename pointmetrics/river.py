"""Point metrics for river: a transformer from a stream of clouds to features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

try:
    from river import base
except ImportError as error:
    raise ImportError("pointmetrics.river needs river: pip install 'imondrian[river]'") from error

from ._metrics.features import Features

__all__ = ["CloudDistances"]


class CloudDistances(base.Transformer):
    """Turn each cloud of a stream into its distances to reference clouds, and to the last one learned.

    Parameters
    ----------
    reference : array (n, d), array (k, n, d), list of (n_i, d) arrays or None, default=None
        What to measure against; indexed once. ``None`` leaves only the previous cloud.
    metrics : sequence of str, default=("cd-l1", "hausdorff")
        As in :class:`pointmetrics.sklearn.CloudDistances`.
    previous : bool, default=False
        Also measure against the cloud that was learned last. Before the first one this is the cloud
        itself.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Examples
    --------
    >>> import numpy as np
    >>> from pointmetrics.river import CloudDistances
    >>> rng = np.random.default_rng(0)
    >>> features = CloudDistances(previous=True, metrics=["cd-l1"])
    >>> for scan in (rng.random((50, 3)), rng.random((60, 3)) + 1):
    ...     print({name: round(value, 2) for name, value in features.transform_one(scan).items()})
    ...     features.learn_one(scan)
    {'previous cd-l1': 0.0}
    {'previous cd-l1': 1.15}
    """

    def __init__(
        self,
        reference: Any = None,
        metrics: Sequence[str] = ("cd-l1", "hausdorff"),
        *,
        previous: bool = False,
        n_threads: int | None = None,
    ) -> None:
        if reference is None and not previous:
            raise ValueError("reference is None and previous is False: there is nothing to measure against")
        self.reference = reference
        self.metrics = metrics
        self.previous = previous
        self.n_threads = n_threads
        self._features = Features(reference, metrics, n_threads)
        self._names = self._features.names(previous)
        self._last: Any = None

    def learn_one(self, x: Any) -> None:
        """Remember the cloud ``(n, d)`` as the one before the next."""
        if self.previous:
            self._last = _cloud(x)

    def transform_one(self, x: Any) -> dict[Any, Any]:
        """Return the features of the cloud ``(n, d)``, or of a dict whose only value is one."""
        cloud = _cloud(x)
        before = ([cloud] if self._last is None else [self._last]) if self.previous else []
        return dict(zip(self._names, self._features.values(cloud, *before), strict=True))


def _cloud(x: Any) -> Any:
    if not isinstance(x, dict):
        return x
    if len(x) != 1:
        raise ValueError(f"a dict must hold the cloud as its only value, got the keys {list(x)}")
    return next(iter(x.values()))
