"""Clouds brought to one place and size before sets of them are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from pointmetrics._clouds.arrays import Clouds, agree
from pointmetrics._clouds.libraries import on_callers_device

from .matrix import read_set

PRESETS = {
    "none": "clouds as they come",
    "global": "minus the references' mean (per axis), over their standard deviation (one number)",
    "shape-box": "each cloud: its box's centre to 0, its longest side to 2",
    "shape-std": "each cloud: minus its mean (per axis), over its standard deviation (one number)",
}


@on_callers_device
def normalize(clouds: Any, preset: str, *, references: Any = None) -> list[np.ndarray]:
    """Normalise clouds under a named preset.

    Parameters
    ----------
    clouds : array (k, n, d) or list of (n_i, d) arrays
        The set to normalise.
    preset : str
        A key of ``PRESETS``: "none", "global" (as PointFlow), "shape-box", "shape-std".
    references : array or list, default=None
        The set that "global" takes mean and deviation from; ``None`` means ``clouds``.

    Returns
    -------
    list of array (n_i, d)
        A cloud that is one single point stays at 0.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> pm.sets.normalize(np.array([[[0.0, 0.0], [4.0, 2.0]]]), "shape-box")[0]
    array([[-1. , -0.5],
           [ 1. ,  0.5]])
    """
    read, library = read_set(clouds, "clouds")
    base = read if references is None else agree(read, read_set(references, "references")[0])[1]
    return [library.wrap(_normalize_one(read[i], preset, base)) for i in range(len(read))]


def _normalize_one(cloud: np.ndarray, preset: str, base: Clouds) -> np.ndarray:
    if preset == "none":
        return cloud
    if preset == "global":
        centre, scale = base.points.mean(axis=0, dtype=np.float64), base.points.std(dtype=np.float64)
    elif preset == "shape-box":
        low, high = cloud.min(axis=0).astype(np.float64), cloud.max(axis=0).astype(np.float64)
        centre, scale = (low + high) / 2, (high - low).max() / 2
    elif preset == "shape-std":
        centre = cloud.mean(axis=0, dtype=np.float64)
        scale = (cloud - centre).std()
    else:
        raise ValueError(f"normalization must be one of {', '.join(PRESETS)}; got {preset!r}")
    return ((cloud - centre) / (scale if scale > 0 else 1.0)).astype(cloud.dtype)


def normalized_pair(samples: Any, references: Any, normalization: str) -> tuple[list[Any], list[list[np.ndarray]]]:
    """Return both sets normalised, each a list of clouds: where they were, and in the host's memory."""
    raw = read_set(samples, "samples")[0], read_set(references, "references")[0]
    agree(*raw, names=("samples", "references"))
    backend = raw[0].backend
    sets = [[_normalize_one(c[i], normalization, raw[1]) for i in range(len(c))] for c in raw]
    return sets, [[backend.download(cloud) for cloud in clouds] for clouds in sets]
