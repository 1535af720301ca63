"""Nearest clouds under the exact earth mover's distance, most pairs ruled out instead of solved.

Clouds of both sets are numbered together, references first. Every pair has a lower bound, and a value
once it was solved. Bounds come from sorted projections, from mean nearest-neighbour distances and, by
the triangle inequality, from solved pairs; a pair is left out only where its bound exceeds a distance
that is known. Rounding is on the safe side, so minima and their places are those of the full matrix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import read_clouds
from pointmetrics._metrics.emd import solve_pairs

from .matrix import load_checkpoint, save_checkpoint

_BINS = 128
_BASES = 4
_MARGIN = 1e-12  # relative, far above the rounding of a float64 mean of distances
_SAVE_EVERY = 256  # solved pairs


def projection_bounds(clouds: list[np.ndarray]) -> np.ndarray:
    """Bound all pairs ``(n, n)`` from below by their clouds' projections to a few orthonormal bases.

    Along one axis the optimal plan joins equal quantiles; averages over quantile bins only lower its
    cost (Jensen). The d costs c_k of one basis bound the distance by sqrt(sum c_k**2) (Jensen again);
    with one bin this would be the distance of the centroids.
    """
    d = clouds[0].shape[1]
    rng = np.random.default_rng(0)
    bases = [np.eye(d), *(np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(_BASES - 1 if d > 1 else 0))]
    axes = np.concatenate(bases, axis=1)
    centre = np.mean([cloud.mean(axis=0) for cloud in clouds], axis=0)
    magnitude = max(np.abs(cloud).max() for cloud in clouds)
    radius = max(np.abs(cloud - centre).max() for cloud in clouds) * np.sqrt(d)
    features = np.stack([_quantile_means((cloud - centre) @ axes) for cloud in clouds])
    bounds = np.zeros((len(clouds), len(clouds)))
    for i in range(len(clouds)):
        costs = np.abs(features[i] - features[i:]).mean(axis=1).reshape(-1, len(bases), d)
        bounds[i, i:] = bounds[i:, i] = np.sqrt((costs**2).sum(axis=2)).max(axis=1)
    rounding = np.finfo(float).eps * 64 * (d * magnitude + _BINS * max(map(len, clouds)) * radius)
    return bounds * (1 - _MARGIN) - rounding


def _quantile_means(values: np.ndarray) -> np.ndarray:
    """Average the quantile function of each column ``(n, a)`` over equal bins, ``(bins, a)``."""
    n = len(values)
    ordered = np.sort(values, axis=0)
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(ordered, axis=0)])
    whole, part = np.divmod(np.arange(_BINS + 1) * n, _BINS)
    partial = ordered[np.minimum(whole, n - 1)] * (part / _BINS)[:, None]
    return np.diff(total[whole] + partial, axis=0) * (_BINS / n)


class NearestSearch:
    """What is known of the distances among the clouds of two sets."""

    def __init__(
        self,
        samples: list[Array],
        references: list[Array],
        n_threads: int,
        report: Callable[[int, int], None],
        checkpoint: Path | None,
    ) -> None:
        self.n_references = len(references)
        # Pairs are measured where the clouds live; what is known of them, and the bounds, live on the host.
        self.packed = read_clouds(
            [cloud.astype(np.float64, copy=False) for cloud in (*references, *samples)], "clouds"
        )[0]
        n = len(self.packed)
        self.points = self.packed.backend.download(self.packed.points)
        self.n_threads, self.report, self.checkpoint = n_threads, report, checkpoint
        self.bound = projection_bounds(np.split(self.points, self.packed.offsets[1:-1]))
        self.value = np.full((n, n), np.inf)  # as solved, inf where not
        np.fill_diagonal(self.value, 0.0)
        self.near_known = np.eye(n, dtype=bool)
        self.unsolved = ~np.eye(n, dtype=bool)
        self.unsaved = 0
        self._resume()

    def run(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the matrices sr, rr, ss, with inf for the pairs that no result depends on."""
        n, r = len(self.packed), self.n_references
        is_reference = np.arange(n) < r
        across = is_reference[:, None] != is_reference
        self._settle(across, lambda: np.where(across, self.value, np.inf).min(axis=1))
        nearest_across = np.where(across, self.value, np.inf).min(axis=1)

        def still_open() -> np.ndarray:
            own = np.where(across | np.eye(n, dtype=bool), np.inf, self.value).min(axis=1)
            found = np.where(is_reference, own <= nearest_across, own < nearest_across)
            return np.where(found, -np.inf, nearest_across)

        self._settle(~across, still_open)
        self._save(0)
        pairs = n * (n - 1) // 2
        self.report(pairs, pairs)
        return self.value[r:, :r], self.value[:r, :r], self.value[r:, r:]

    def _settle(self, among: np.ndarray, limit: Callable[[], np.ndarray]) -> None:
        """Solve pairs until every unsolved one of ``among`` has a bound above its row's limit."""
        while True:
            wanted = among & self.unsolved & (self.bound <= limit()[:, None])
            rows = np.flatnonzero(wanted.any(axis=1))
            if len(rows) == 0:
                return
            columns = np.where(wanted[rows], self.bound[rows], np.inf).argmin(axis=1)
            # x is the cloud of higher number across the sets and of lower number within one, as in the
            # full matrices: the bits of a value may depend on the order.
            low, high = np.minimum(rows, columns), np.maximum(rows, columns)
            crossing = (low < self.n_references) & (high >= self.n_references)
            pairs = np.unique(np.where(crossing, [high, low], [low, high]).T, axis=0)
            new = ~self.near_known[pairs[:, 0], pairs[:, 1]]
            if new.any():
                self._bound_by_neighbors(np.ascontiguousarray(pairs[new], dtype=np.int64))
            else:
                self._solve(pairs)

    def _bound_by_neighbors(self, pairs: np.ndarray) -> None:
        at, counts = self.packed, self.packed.counts
        forth, back = at.backend.pairwise(at.points, at.offsets, at.points, at.offsets, pairs, 1, self.n_threads)
        i, j = pairs.T
        bound = np.maximum(forth / counts[i], back / counts[j]) * (1 - _MARGIN)
        self.bound[i, j] = self.bound[j, i] = np.maximum(self.bound[i, j], bound)
        self.near_known[i, j] = self.near_known[j, i] = True

    def _solve(self, pairs: np.ndarray) -> None:
        upper, lower = solve_pairs(
            [self.packed[i] for i, _ in pairs], [self.packed[j] for _, j in pairs], self.n_threads, self.packed.backend
        )
        self._learn(pairs, upper, lower)
        self._save(len(pairs))
        n = len(self.packed)
        self.report(n * (n - 1) // 2 - int(np.triu(self.unsolved).sum()), n * (n - 1) // 2)

    def _learn(self, pairs: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> None:
        i, j = pairs.T
        self.value[i, j] = self.value[j, i] = upper
        self.bound[i, j] = self.bound[j, i] = lower * (1 - _MARGIN)
        self.unsolved[i, j] = self.unsolved[j, i] = False
        reach = np.where(self.unsolved, np.inf, self.value) * (1 + _MARGIN)
        for a, b in ((a, b) for pair in pairs.tolist() for a, b in (pair, pair[::-1])):
            # d(a, c) >= d(b, c) - d(a, b) and d(a, c) >= d(a, b) - d(b, c)
            triangle = np.maximum(self.bound[b] - reach[a, b], self.bound[a, b] - reach[b])
            tighter = self.unsolved[a] & (triangle > self.bound[a])
            self.bound[a, tighter] = self.bound[tighter, a] = triangle[tighter]

    def _key(self) -> str:
        digest = hashlib.sha256(f"needed emd {self.n_references}".encode())
        digest.update(self.points.tobytes())
        digest.update(self.packed.offsets.tobytes())
        return digest.hexdigest()

    def _resume(self) -> None:
        if self.checkpoint is None:
            return
        saved = np.full((2, *self.value.shape), np.inf)
        load_checkpoint(self.checkpoint, self._key(), saved)
        pairs = np.argwhere(np.triu(np.isfinite(saved[0])))
        if len(pairs):
            self._learn(pairs, *saved[:, pairs[:, 0], pairs[:, 1]])

    def _save(self, n_new: int) -> None:
        self.unsaved += n_new
        if self.checkpoint is None or (n_new and self.unsaved < _SAVE_EVERY) or self.unsaved == 0:
            return
        known = np.where(self.unsolved | np.eye(len(self.value), dtype=bool), np.inf, [self.value, self.bound])
        save_checkpoint(self.checkpoint, self._key(), known)
        self.unsaved = 0
