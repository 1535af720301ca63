"""Errors of a cloud to another's points and planes, as MPEG's ``pc_error`` measures them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pointmetrics import _core
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.protocol import Array, Backend

from . import normals as _normals

_MOST_AXES = 16  # of the core's search
_TIED_AT_A_TIME = 1 << 16


class Errors(NamedTuple):
    """Mean and largest squared errors of both directions."""

    forth: float
    back: float
    forth_most: float
    back_most: float


@dataclass(frozen=True, slots=True)
class Side:
    """One cloud and its normals (float64), or None."""

    backend: Backend
    points: Array
    normals: Array | None

    def distinct(self) -> Side:
        """Return the first of all points that coincide."""
        kept = first_of_each(self.backend.download(self.points))
        if kept is None:
            return self
        rows = self.backend.upload(kept)
        points = self.backend.xp.ascontiguousarray(self.points[rows])
        return Side(self.backend, points, None if self.normals is None else self.normals[rows])

    def turned(self) -> Array:
        return self.backend.xp.ascontiguousarray(self.points[::-1])


@dataclass(frozen=True, slots=True)
class _Found:
    """Squared distances and ids of the nearest, and their ids where both clouds are turned round.

    Of equally near points the first is found, and so the last of the turned ones.
    """

    sq_dist: Array
    ids: Array
    last_ids: Array

    def tied(self, source: Side, target: Side, n_threads: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield rows of ``source`` that have several nearest, some at a time, and these packed."""
        backend = source.backend
        rows = backend.download(backend.xp.nonzero(self.last_ids[::-1] != len(target.points) - 1 - self.ids)[0])
        if len(rows) == 0:
            return
        # On the host: there balls are looked up in a tree.
        points, centres = backend.download(target.points), backend.download(source.points)
        sq_radii = backend.download(self.sq_dist).astype(np.float64)
        for first in range(0, len(rows), _TIED_AT_A_TIME):
            some = rows[first : first + _TIED_AT_A_TIME]
            yield some, *CPU.balls(points, np.ascontiguousarray(centres[some]), sq_radii[some], n_threads)


def measure(x: Side, y: Side, with_planes: bool, k: int, drop: bool, n_threads: int) -> tuple[Errors, Errors | None]:
    """Return the errors to points, and to planes where they are asked for; missing normals as in :func:`complete`."""
    if with_planes and (x.normals is None or y.normals is None):
        if drop:
            x, y = x.distinct(), y.distinct()
        x, y = complete(x, y, k, n_threads)
    if x.backend is CPU and x.points.shape[1] <= _MOST_AXES:
        given = (x.normals, y.normals) if with_planes else (None, None)
        sides = _core.distortion(x.points, given[0], y.points, given[1], drop, n_threads)
        (n, sum_x, most_x, plane_x, plane_most_x), (m, sum_y, most_y, plane_y, plane_most_y) = sides
        planes = Errors(plane_x / n, plane_y / m, plane_most_x, plane_most_y) if with_planes else None
        return Errors(sum_x / n, sum_y / m, most_x, most_y), planes
    if drop:
        x, y = x.distinct(), y.distinct()
    return _on_device(x, y, with_planes, n_threads)


def complete(x: Side, y: Side, k: int, n_threads: int) -> tuple[Side, Side]:
    """Estimate missing normals of y from k neighbours, and hand missing ones of x over from y."""
    backend, of_y = y.backend, y.normals
    if of_y is None:
        points = backend.download(y.points)
        if len(points) < 3:
            raise ValueError(
                f"y must have 3 distinct points or more for its normals to be estimated, got {len(points)}"
            )
        y = Side(backend, y.points, backend.upload(_normals.of_cloud(points, k, n_threads)))
    if x.normals is None:
        x = Side(backend, x.points, backend.upload(_hand_over(x, y, n_threads)))
    return x, y


def first_of_each(points: np.ndarray) -> np.ndarray | None:
    """Return the rows (rising) of the first of every group of equal points; None where no two are equal."""
    kept = _core.distinct(points)
    return kept if len(kept) < len(points) else None


def _find(x: Side, y: Side, n_threads: int) -> tuple[_Found, _Found]:
    nearest, offsets = x.backend.nearest, (np.array([0, len(x.points)]), np.array([0, len(y.points)]))
    found = nearest(x.points, offsets[0], y.points, offsets[1], n_threads)
    turned = nearest(x.turned(), offsets[0], y.turned(), offsets[1], n_threads)
    return _Found(found[0], found[1], turned[1]), _Found(found[2], found[3], turned[3])


def _hand_over(x: Side, y: Side, n_threads: int) -> np.ndarray:
    """Give points of x the mean normal of the points of y that they are nearest to, else of those nearest to them."""
    forth, back = _find(x, y, n_threads)
    source = y.backend.download(y.normals)
    owners, normals = [y.backend.download(back.ids)], [source]
    for rows, index, offsets in back.tied(y, x, n_threads):
        every = np.repeat(rows, np.diff(offsets))
        others = index != owners[0][every]
        owners.append(index[others])
        normals.append(source[every[others]])
    to, what = np.concatenate(owners), np.concatenate(normals)
    n = len(x.points)
    hits = np.bincount(to, minlength=n)
    sums = np.stack([np.bincount(to, what[:, axis], minlength=n) for axis in range(3)], axis=1)
    own = np.where(hits[:, None] > 0, sums / np.maximum(hits, 1)[:, None], source[x.backend.download(forth.ids)])
    for rows, index, offsets in forth.tied(x, y, n_threads):
        means = np.add.reduceat(source[index], offsets[:-1], axis=0) / np.diff(offsets)[:, None]
        own[rows] = np.where(hits[rows, None] > 0, own[rows], means)
    return own


def _on_device(x: Side, y: Side, with_planes: bool, n_threads: int) -> tuple[Errors, Errors | None]:
    forth, back = _find(x, y, n_threads)
    to_points = _sum_up(x.backend, forth.sq_dist.astype(np.float64), back.sq_dist.astype(np.float64))
    if not with_planes:
        return to_points, None
    planes = _to_planes(x, y, forth, n_threads), _to_planes(y, x, back, n_threads)
    return to_points, _sum_up(x.backend, *planes)


def _sum_up(backend: Backend, forth: Array, back: Array) -> Errors:
    means = [float(backend.sums(e, np.array([0, len(e)]))[0]) / len(e) for e in (forth, back)]
    return Errors(means[0], means[1], float(forth.max()), float(back.max()))


def _to_planes(source: Side, target: Side, found: _Found, n_threads: int) -> Array:
    """Return squared errors along the normals of the nearest; of equally near ones their mean."""
    backend = source.backend
    errors = _projected(source.points, target.points[found.ids], target.normals[found.ids])  # type: ignore[index]
    points, centres, of_points = (backend.download(a) for a in (target.points, source.points, target.normals))
    for rows, index, offsets in found.tied(source, target, n_threads):
        counts = np.diff(offsets)
        every = _projected(np.repeat(centres[rows], counts, axis=0), points[index], of_points[index])
        errors[backend.upload(rows)] = backend.upload(np.add.reduceat(every, offsets[:-1]) / counts)
    return errors


def _projected(source: Array, target: Array, target_normals: Array) -> Array:
    gap = source.astype(np.float64)
    gap -= target
    gap *= target_normals
    total = gap[:, 0] + gap[:, 1]
    total += gap[:, 2]
    total *= total
    return total
