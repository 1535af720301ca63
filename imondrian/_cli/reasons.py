"""What makes a row anomalous, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIDES = ("low", "high")
CATEGORY = "category"  # in the place of a side


def ranked(contributions: np.ndarray, most: int) -> list[tuple[int, str, float]]:
    """Return the largest contributions (d, 2) above 0: feature, side and size."""
    flat = contributions.ravel()
    order = np.argsort(-flat, kind="stable")[:most]
    return [(int(k) // 2, SIDES[k % 2], float(flat[k])) for k in order if flat[k] > 0]


def in_words(
    contributions: np.ndarray, names: Sequence[str], most: int, nominal: np.ndarray | None = None
) -> list[list[str | None]]:
    """Return for the first, second, ... reason its text for every row of contributions (n, d, 2)."""
    texts: list[list[str | None]] = [[None] * len(contributions) for _ in range(most)]
    for row, parts in enumerate(contributions):
        for place, (feature, side, size) in enumerate(ranked(parts, most)):
            told = CATEGORY if nominal is not None and nominal[feature] else side
            texts[place][row] = f"{names[feature]}: {told} ({size:+.3f})"
    return texts
