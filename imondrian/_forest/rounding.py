"""Thresholds in another precision that send every value the same way."""

from __future__ import annotations

import numpy as np


def float32_at_most(threshold: np.ndarray) -> np.ndarray:
    """Return the largest float32 up to each threshold: x <= it exactly if x <= threshold, for every float32 x."""
    with np.errstate(over="ignore"):
        nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
