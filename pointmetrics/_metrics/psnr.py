"""Geometry distortion of compressed clouds: D1 and D2 of MPEG, and their PSNR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.protocol import Array, Backend
from pointmetrics._clouds.arrays import Clouds, Pair, check_number, read_pair, read_vectors, split_pair, thread_count
from pointmetrics._clouds.libraries import on_callers_device

from . import normals as _normals
from .sampling import check_count

PEAKS = ("nearest-neighbor", "box-side", "box-diagonal")
_SYMMETRIC = ("max", "mean")
_DUPLICATES = ("drop", "keep")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd: multiplication loses nothing


@dataclass(frozen=True, slots=True)
class Distortion:
    """PSNR of a reconstruction and what it is made of, a scalar or ``(b,)`` each.

    ``mse`` is the symmetric form of the directions' mean squared errors ``x_to_y`` and ``y_to_x`` (length^2),
    ``hausdorff`` that of their largest squared errors, ``hausdorff_psnr`` its PSNR in dB. ``peak`` is the peak
    value that was used, a length.
    """

    psnr: Any
    mse: Any
    x_to_y: Any
    y_to_x: Any
    hausdorff_psnr: Any
    hausdorff: Any
    peak: Any


@dataclass(frozen=True, slots=True)
class _Settings:
    peak: Any
    peak_factor: float
    symmetric: str
    duplicates: str
    n_threads: int


@on_callers_device
def psnr_d1(
    x: Any,
    y: Any,
    *,
    peak: Any,
    peak_factor: float = 3.0,
    symmetric: str = "max",
    duplicates: str = "drop",
    lengths: Any = None,
    return_details: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the point-to-point PSNR (D1) of a reconstruction, as MPEG's ``pc_error`` does.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Reconstruction and original.
    peak : float or {"nearest-neighbor", "box-side", "box-diagonal"}
        Peak value p of the PSNR, a length. A number is what MPEG's test conditions and most tables use: 1023 for
        10 bits, 59.70 for KITTI. "nearest-neighbor" is what ``pc_error`` takes where it is given none: the largest
        distance of a point of y to its nearest other one. "box-side" and "box-diagonal" are of the bounding box
        of y.
    peak_factor : float, default=3.0
        PSNR is 10 log10(peak_factor p^2 / MSE). 3 is that of ``pc_error``, 1 that of some papers: 4.77 dB less.
    symmetric : {"max", "mean"}, default="max"
        How the directions' errors are put together: MPEG takes the larger one.
    duplicates : {"drop", "keep"}, default="drop"
        Whether of points that coincide within a cloud one counts, as in ``pc_error``, or all do.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    return_details : bool, default=False
        Return a :class:`Distortion` with errors, Hausdorff forms and the peak instead of the PSNR.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or (b,) array, or Distortion
        PSNR in dB, float64: infinite where the clouds are the same.

    Notes
    -----
    MSE of one direction is the mean squared distance of its points to their nearest. Symmetric error, then PSNR.

    References
    ----------
    Tian, Ochimizu, Feng, Cohen, Vetro, "Geometric distortion metrics for point cloud compression", ICIP 2017.
    ISO/IEC JTC 1/SC 29/WG 7, "Common test conditions for G-PCC", and its software mpeg-pcc-dmetric.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> original = [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]]
    >>> round(float(pm.psnr_d1([[0.0, 0.0, 1.0], [10.0, 0.0, 0.0]], original, peak=1023)), 3)
    67.979
    """
    settings = _read_settings(peak, peak_factor, symmetric, duplicates, n_threads)
    pair = read_pair(x, y, lengths=lengths)
    return _measure(pair, None, settings, return_details)


@on_callers_device
def psnr_d2(
    x: Any,
    y: Any,
    *,
    peak: Any,
    normals: Any = None,
    k: int = 16,
    peak_factor: float = 3.0,
    symmetric: str = "max",
    duplicates: str = "drop",
    lengths: Any = None,
    return_details: bool = False,
    n_threads: int | None = None,
) -> Any:
    """Compute the point-to-plane PSNR (D2) of a reconstruction, as MPEG's ``pc_error`` does.

    Parameters
    ----------
    x, y : array (n, 3) and (m, 3), or (b, n, 3) and (b, m, 3), or lists of (n_i, 3) arrays
        Reconstruction and original.
    normals : tuple of two arrays, default=None
        Unit normals ``(of x, of y)``, either of which may be None. Those of y are then estimated from its ``k``
        nearest neighbours (:func:`estimate_normals`), and those of x handed over from y as ``pc_error`` does: to
        each point of x the mean of the normals of all points of y that are nearest to it, or where it is nearest
        to none the normal of its nearest.
    k : int, default=16
        Neighbours for the normals of y, where they are missing.
    peak : float or {"nearest-neighbor", "box-side", "box-diagonal"}
        Peak value p of the PSNR, a length. A number is what MPEG's test conditions and most tables use: 1023 for
        10 bits, 59.70 for KITTI. "nearest-neighbor" is what ``pc_error`` takes where it is given none: the largest
        distance of a point of y to its nearest other one. "box-side" and "box-diagonal" are of the bounding box
        of y.
    peak_factor : float, default=3.0
        PSNR is 10 log10(peak_factor p^2 / MSE). 3 is that of ``pc_error``, 1 that of some papers: 4.77 dB less.
    symmetric : {"max", "mean"}, default="max"
        How the directions' errors are put together: MPEG takes the larger one.
    duplicates : {"drop", "keep"}, default="drop"
        Whether of points that coincide within a cloud one counts, as in ``pc_error``, or all do.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    return_details : bool, default=False
        Return a :class:`Distortion` with errors, Hausdorff forms and the peak instead of the PSNR.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or (b,) array, or Distortion
        PSNR in dB, float64: infinite where the clouds are the same.

    Notes
    -----
    MSE of one direction is the mean of (e . n)^2, with e the way from a point to its nearest and n the normal
    there. Where several are equally near their squares are averaged, as ``neighborsProc`` 1 of the MPEG software
    does on its voxels. Normals are used at the length that they have.

    References
    ----------
    Tian, Ochimizu, Feng, Cohen, Vetro, "Geometric distortion metrics for point cloud compression", ICIP 2017.
    ISO/IEC JTC 1/SC 29/WG 7, "Common test conditions for G-PCC", and its software mpeg-pcc-dmetric.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> plane = np.random.default_rng(0).random((100, 3)) * [100, 100, 0]
    >>> round(float(pm.psnr_d2(plane + [0.0, 0.0, 1.0], plane, peak=1023)), 3)
    64.969
    """
    settings = _read_settings(peak, peak_factor, symmetric, duplicates, n_threads)
    k = check_count(k, "k", 3, 2**31 - 2)
    pair = read_pair(x, y, lengths=lengths)
    if pair.x.points.shape[1] != 3:
        raise ValueError(f"x and y must have points of 3 coordinates, got {pair.x.points.shape[1]}")
    if normals is not None and not isinstance(normals, tuple):
        raise TypeError(f"normals must be a tuple (x_normals, y_normals), got {type(normals).__name__}")
    x_normals, y_normals = split_pair(normals)
    given = (
        None if x_normals is None else read_vectors(x_normals, pair.x, "x_normals"),
        None if y_normals is None else read_vectors(y_normals, pair.y, "y_normals"),
    )
    return _measure(pair, _Normals(*given, k), settings, return_details)


@dataclass(frozen=True, slots=True)
class _Normals:
    """What is known of the normals of a pair, packed, and what missing ones are estimated from."""

    x: Array | None
    y: Array | None
    k: int


def _read_settings(peak: Any, peak_factor: float, symmetric: str, duplicates: str, n_threads: int | None) -> _Settings:
    if isinstance(peak, str):
        if peak not in PEAKS:
            raise ValueError(f"peak must be a number or one of {', '.join(PEAKS)}; got {peak!r}")
    elif check_number(peak, "peak", 0) == 0:
        raise ValueError("peak must be above 0, got 0")
    if check_number(peak_factor, "peak_factor", 0) == 0:
        raise ValueError("peak_factor must be above 0, got 0")
    if symmetric not in _SYMMETRIC:
        raise ValueError(f"symmetric must be one of {', '.join(_SYMMETRIC)}; got {symmetric!r}")
    if duplicates not in _DUPLICATES:
        raise ValueError(f"duplicates must be one of {', '.join(_DUPLICATES)}; got {duplicates!r}")
    return _Settings(peak, float(peak_factor), symmetric, duplicates, thread_count(n_threads))


def _measure(pair: Pair, normals: _Normals | None, settings: _Settings, details: bool) -> Any:
    rows = np.array([_of_pair(pair, i, normals, settings) for i in range(len(pair))])
    forth, back, forth_most, back_most, peak = rows.T
    put = np.maximum if settings.symmetric == "max" else (lambda a, b: (a + b) / 2)
    mse, most = put(forth, back), put(forth_most, back_most)

    def decibels(error: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return 10 * np.log10(settings.peak_factor * peak**2 / error)

    values = [decibels(mse), mse, forth, back, decibels(most), most, peak]
    wrapped = [pair.library.wrap(pair.backend.upload(v)) for v in values]
    if pair.x.kind == "single":
        wrapped = [v[0] for v in wrapped]
    return Distortion(*wrapped) if details else wrapped[0]


def _of_pair(pair: Pair, i: int, normals: _Normals | None, settings: _Settings) -> tuple[float, ...]:
    """Return mean and largest squared errors, x to y and y to x each, and the peak."""
    backend = pair.backend
    x, x_kept = _distinct(pair.x, i, settings)
    y, y_kept = _distinct(pair.y, i, settings)
    peak = _peak(backend, y, settings)
    offsets = np.array([0, len(x)]), np.array([0, len(y)])
    found = backend.nearest(x, offsets[0], y, offsets[1], settings.n_threads)
    errors = found[0].astype(np.float64), found[2].astype(np.float64)
    if normals is not None:
        of_x, of_y = (
            None if packed is None else _rows(side, i, packed, kept)
            for packed, side, kept in ((normals.x, pair.x, x_kept), (normals.y, pair.y, y_kept))
        )
        if of_y is None:
            of_y = backend.upload(_normals.of_cloud(_at_least_3(backend.download(y)), normals.k, settings.n_threads))
        if of_x is None:
            of_x = _hand_over(backend, of_y, found[1], found[3], len(x))
        # Of equally near points the first is found, and the last where the clouds are turned round.
        turned = backend.nearest(_turned(backend, x), offsets[0], _turned(backend, y), offsets[1], settings.n_threads)
        errors = (
            _to_planes(backend, x, y, found[:2], turned[1], of_y, settings),
            _to_planes(backend, y, x, found[2:], turned[3], of_x, settings),
        )
    means = [float(backend.sums(e, np.array([0, len(e)]))[0]) / len(e) for e in errors]
    return (*means, *(float(e.max()) for e in errors), peak)


def _at_least_3(points: np.ndarray) -> np.ndarray:
    if len(points) < 3:
        raise ValueError(f"y must have 3 distinct points or more for its normals to be estimated, got {len(points)}")
    return points


def _rows(side: Clouds, i: int, packed: Array, kept: Array | None) -> Array:
    own = packed[side.offsets[i] : side.offsets[i + 1]]
    return own if kept is None else own[kept]


def _distinct(side: Clouds, i: int, settings: _Settings) -> tuple[Array, Array | None]:
    """Return a cloud with each point once, and the rows that were kept, or None where all were."""
    points = side[i]
    if settings.duplicates == "keep":
        return points, None
    kept = first_of_each(side.backend.download(points))
    if kept is None:
        return points, None
    rows = side.backend.upload(kept)
    return side.backend.xp.ascontiguousarray(points[rows]), rows


def first_of_each(points: np.ndarray) -> np.ndarray | None:
    """Return the rows (rising) of the first of every group of equal points; None where no two are equal.

    Points are sorted by a hash, which is several times faster than by their coordinates.
    """
    bits: Any = (points + 0.0).view(np.uint32 if points.dtype == np.float32 else np.uint64)  # -0 is 0
    hashes = np.zeros(len(points), dtype=np.uint64)
    for axis in range(points.shape[1]):
        hashes ^= bits[:, axis]
        hashes *= _FACTOR
        hashes ^= hashes >> np.uint64(29)
    ordered = np.sort(hashes)
    fresh = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    if fresh.all():
        return None
    order = np.argsort(hashes, kind="stable")
    firsts = order[fresh]
    if (points[firsts[np.cumsum(fresh) - 1]] != points[order]).any():  # different points share a hash
        _, firsts = np.unique(points + 0.0, axis=0, return_index=True)
    return np.sort(firsts) if len(firsts) < len(points) else None


def _peak(backend: Backend, y: Array, settings: _Settings) -> float:
    if not isinstance(settings.peak, str):
        return float(settings.peak)
    if settings.peak == "nearest-neighbor":
        from scipy.spatial import cKDTree

        points = backend.download(y).astype(np.float64)
        peak = float(cKDTree(points).query(points, k=[2], workers=settings.n_threads)[0].max()) if len(y) > 1 else 0.0
    else:
        sides = backend.download(y.max(axis=0) - y.min(axis=0)).astype(np.float64)
        peak = float(sides.max() if settings.peak == "box-side" else math.sqrt((sides**2).sum()))
    if peak == 0:
        raise ValueError(f"peak {settings.peak!r} is 0 for y, whose points coincide: give a number")
    return peak


def _hand_over(backend: Backend, of_y: Array, id_x: Array, id_y: Array, n: int) -> Array:
    """Give points of x normals of y: the mean of those that are nearest to it, else its nearest's."""
    ids, source = backend.download(id_y), backend.download(of_y)
    hits = np.bincount(ids, minlength=n)
    sums = np.stack([np.bincount(ids, source[:, axis], minlength=n) for axis in range(3)], axis=1)
    own = np.where(hits[:, None] > 0, sums / np.maximum(hits, 1)[:, None], source[backend.download(id_x)])
    return backend.upload(own)


def _turned(backend: Backend, points: Array) -> Array:
    return backend.xp.ascontiguousarray(points[::-1])


def _to_planes(
    backend: Backend,
    source: Array,
    target: Array,
    found: tuple[Array, Array],
    last_ids: Array,
    target_normals: Array,
    settings: _Settings,
) -> Array:
    """Return squared errors along the normals of the nearest; of equally near ones their mean.

    ``last_ids`` are the nearest where both clouds are turned round.
    """
    sq_dist, ids = found
    errors = _projected(source, target[ids], target_normals[ids])
    tied = backend.download(backend.xp.nonzero(last_ids[::-1] != len(target) - 1 - ids)[0])
    if len(tied):
        # On the host: there the balls are looked up in a tree.
        points, centres, of_points = (backend.download(a) for a in (target, source, target_normals))
        sq_radii = backend.download(sq_dist)[tied].astype(np.float64)
        index, offsets = CPU.balls(points, np.ascontiguousarray(centres[tied]), sq_radii, settings.n_threads)
        counts = np.diff(offsets)
        every = _projected(np.repeat(centres[tied], counts, axis=0), points[index], of_points[index])
        errors[backend.upload(tied)] = backend.upload(np.add.reduceat(every, offsets[:-1]) / counts)
    return errors


def _projected(source: Array, target: Array, target_normals: Array) -> Array:
    gap = source.astype(np.float64)
    gap -= target
    gap *= target_normals
    total = gap[:, 0] + gap[:, 1]
    total += gap[:, 2]
    total *= total
    return total
