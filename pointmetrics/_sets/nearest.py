"""Every cloud's nearest in both sets: all that MMD, COV and 1-NNA depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pointmetrics._backends.conventions import conventions, look_up
from pointmetrics._clouds.arrays import Clouds, agree

from .matrix import Metric


@dataclass(frozen=True, slots=True)
class NearestClouds:
    """Distances ``(r,)`` and ``(s,)`` and numbers, of equally near clouds the lowest; inf where there is none."""

    of_references: np.ndarray  # from each reference to the nearest sample
    sample_ids: np.ndarray
    of_samples: np.ndarray  # from each sample to the nearest reference
    reference_ids: np.ndarray
    among_references: np.ndarray  # to the nearest other of the own set
    among_samples: np.ndarray

    @property
    def references_covered(self) -> np.ndarray:
        """1.0 for the references that are some sample's nearest, else 0.0."""
        return _marked(self.reference_ids, len(self.of_references))

    @property
    def samples_covered(self) -> np.ndarray:
        """1.0 for the samples that are some reference's nearest, else 0.0."""
        return _marked(self.sample_ids, len(self.of_samples))

    @property
    def own_set_is_nearest(self) -> np.ndarray:
        """1.0 for the clouds of [references, samples] whose nearest other is of their own set, else 0.0."""
        # Of equally near clouds the first counts, and references come before samples.
        return np.concatenate(
            [self.among_references <= self.of_references, self.among_samples < self.of_samples]
        ).astype(np.float64)


def _marked(ids: np.ndarray, size: int) -> np.ndarray:
    marks = np.zeros(size)
    marks[ids] = 1
    return marks


def nearest_in_matrices(sr: np.ndarray, rr: np.ndarray, ss: np.ndarray) -> NearestClouds:
    """Find every cloud's nearest in the matrices of samples by references, of references and of samples."""
    own = [np.where(np.eye(len(matrix), dtype=bool), np.inf, matrix).min(axis=1) for matrix in (rr, ss)]
    return NearestClouds(sr.min(axis=0), sr.argmin(axis=0), sr.min(axis=1), sr.argmin(axis=1), *own)


def keeps_nearest_alone(metric: Metric, full_matrices: bool, checkpoint: str | Path | None) -> bool:
    """Tell whether :func:`nearest_in_sets` serves: no matrix is asked for, and the distance is a Chamfer one."""
    return not full_matrices and checkpoint is None and isinstance(metric, str) and metric in conventions()


def nearest_in_sets(
    samples: Clouds, references: Clouds, convention: str, n_threads: int, report: Callable[[int, int], None]
) -> NearestClouds:
    """As :func:`nearest_in_matrices`, without the matrices."""
    definition = look_up(convention)

    def nearest(a: Clouds, b: Clouds, within: bool) -> tuple[np.ndarray, ...]:
        return a.backend.nearest_clouds(a.points, a.offsets, b.points, b.offsets, within, definition, n_threads, report)

    # Each set by itself in its own dtype, and the two in their common one, as the matrices have them.
    of_samples, reference_ids, of_references, sample_ids = nearest(*agree(samples, references), within=False)
    own = [nearest(clouds, clouds, within=True)[0] for clouds in (references, samples)]
    return NearestClouds(of_references, sample_ids, of_samples, reference_ids, *own)
