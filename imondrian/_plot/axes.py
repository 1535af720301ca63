"""What all pictures share."""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import matplotlib.pyplot as plt
except ImportError as error:
    raise ImportError("imondrian.plot needs matplotlib: pip install 'imondrian[plot]'") from error

NORMAL, ANOMALY = "#33658a", "#d1495b"


class Display:
    """A picture that was computed, and can be drawn again: ``ax_`` and ``figure_`` are where it was drawn last."""

    ax_: Any
    figure_: Any

    def _begin(self, ax: Any, figsize: tuple[float, float]) -> Any:
        """Take axes, or make some."""
        self.ax_ = plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        return self.ax_


def is_detector(found: Any) -> bool:
    """Tell a detector from scores or contributions."""
    return hasattr(found, "score_samples") or hasattr(found, "score_many")


def scores_of(detector: Any, X: Any) -> Any:
    """Return what a detector of scikit-learn or of river says of rows, high being anomalous."""
    if not is_detector(detector):
        raise TypeError(
            f"estimator must have score_samples (scikit-learn) or score_many (imondrian.river), got a "
            f"{type(detector).__name__}"
        )
    return -detector.score_samples(X) if hasattr(detector, "score_samples") else detector.score_many(X)


def read_scores(scores: Any) -> np.ndarray:
    """Read one score a point."""
    read = np.asarray(scores, dtype=np.float64)
    if read.ndim != 1:
        raise ValueError(f"scores must have shape (n,), got {read.shape}")
    return read


def read_marks(name: str, marks: Any, n: int) -> np.ndarray:
    """Read a mask of n points; None marks none."""
    if marks is None:
        return np.zeros(n, bool)
    read = np.asarray(marks)
    if read.shape != (n,):
        raise ValueError(f"{name} must have the shape of scores, ({n},), got {read.shape}")
    return read.astype(bool)
