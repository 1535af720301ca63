"""Geometry distortion of compressed clouds: D1 and D2 of MPEG, and their PSNR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pointmetrics._backends.protocol import Array
from pointmetrics._clouds.arrays import Clouds, Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number, split_pair, thread_count
from pointmetrics._clouds.per_point import read_vectors

from . import distortion as _distortion
from .sampling import check_count
from .tree import query

PEAKS = ("nearest-neighbor", "box-side", "box-diagonal")
_SYMMETRIC = ("max", "mean")
_DUPLICATES = ("drop", "keep")


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


class Distortions(NamedTuple):
    """To points (D1) and to planes (D2)."""

    d1: Distortion
    d2: Distortion


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
    ISO/IEC JTC 1/SC 29/WG 7, "Common test conditions for G-PCC", and its software mpeg-pcc-dmetric 0.13.5:
    ``findMetric``, ``scaleNormals`` and ``findNNdistances`` in ``source/pcc_distortion.cpp``.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> original = [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]]
    >>> round(float(pm.psnr_d1([[0.0, 0.0, 1.0], [10.0, 0.0, 0.0]], original, peak=1023)), 3)
    67.979
    """
    settings = _read_settings(peak, peak_factor, symmetric, duplicates, n_threads)
    found, _ = _measure(read_pair(x, y, lengths=lengths), None, settings)
    return found if return_details else found.psnr


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
        nearest neighbours (:func:`estimate_normals`), which ``pc_error`` leaves to the user. Those of x are handed
        over from y: to each point of x the mean of the normals of all points of y that it is a nearest of, or where
        there are none that of all that are nearest to it. ``pc_error`` hands them over even where x has its own,
        unless told otherwise (``normalCalcModificationEnable``): give ``(None, of y)`` for its numbers.
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
    there. Where several are equally near their squares are averaged, as ``averageNormals`` 1, the default of
    ``pc_error``, does with up to 30 of them; here are all. Normals are used at the length that they have.

    References
    ----------
    Tian, Ochimizu, Feng, Cohen, Vetro, "Geometric distortion metrics for point cloud compression", ICIP 2017.
    ISO/IEC JTC 1/SC 29/WG 7, "Common test conditions for G-PCC", and its software mpeg-pcc-dmetric 0.13.5:
    ``findMetric``, ``scaleNormals`` and ``findNNdistances`` in ``source/pcc_distortion.cpp``.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> plane = np.random.default_rng(0).random((100, 3)) * [100, 100, 0]
    >>> round(float(pm.psnr_d2(plane + [0.0, 0.0, 1.0], plane, peak=1023)), 3)
    64.969
    """
    settings = _read_settings(peak, peak_factor, symmetric, duplicates, n_threads)
    found = _measure(*_read_with_normals(x, y, normals, k, lengths), settings)[1]
    return found if return_details else found.psnr


@on_callers_device
def geometry_distortion(
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
    n_threads: int | None = None,
) -> Distortions:
    """Compute D1 and D2 of a reconstruction from one search of nearest neighbours.

    Parameters
    ----------
    x, y, peak, normals, k, peak_factor, symmetric, duplicates, lengths, n_threads
        As in :func:`psnr_d2`.

    Returns
    -------
    Distortions
        ``(d1, d2)``, each a :class:`Distortion`: what :func:`psnr_d1` and :func:`psnr_d2` return with details.

    Notes
    -----
    O((n + m) log(n + m)) time for clouds that fill space evenly, and O(n + m) memory: errors are summed as they are
    found. Clouds of many equally near points take time for each of them.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> plane = np.random.default_rng(0).random((100, 3)) * [100, 100, 0]
    >>> d1, d2 = pm.geometry_distortion(plane + [3.0, 0.0, 1.0], plane, peak=1023)
    >>> bool(d1.psnr < d2.psnr), round(float(d2.mse), 6)
    (True, 1.0)
    """
    settings = _read_settings(peak, peak_factor, symmetric, duplicates, n_threads)
    d1, d2 = _measure(*_read_with_normals(x, y, normals, k, lengths), settings)
    return Distortions(d1, d2)


@dataclass(frozen=True, slots=True)
class _Normals:
    """What is known of the normals of a pair, packed, and what missing ones are estimated from."""

    x: Array | None
    y: Array | None
    k: int


def _read_with_normals(x: Any, y: Any, normals: Any, k: int, lengths: Any) -> tuple[Pair, _Normals]:
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
    for name, vectors in zip(("x_normals", "y_normals"), given, strict=True):
        if vectors is not None and not bool(vectors.any()):
            raise ValueError(f"{name} must not all be 0, which would make every error 0; None stands for missing ones")
    return pair, _Normals(*given, k)


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


def _measure(pair: Pair, normals: _Normals | None, settings: _Settings) -> tuple[Distortion, Distortion]:
    """Return errors to points and, where there are normals, to planes."""
    drop, k, kinds = settings.duplicates == "drop", 0 if normals is None else normals.k, 1 if normals is None else 2
    errors, peaks = np.empty((kinds, 4, len(pair))), np.empty(len(pair))
    for i in range(len(pair)):
        x = _side(pair.x, i, None if normals is None else normals.x)
        y = _side(pair.y, i, None if normals is None else normals.y)
        peaks[i] = _peak(y, settings)
        found = _distortion.measure(x, y, normals is not None, k, drop, settings.n_threads)
        errors[:, :, i] = found[:kinds]
    results = [_put_together(pair, kind, peaks, settings) for kind in errors]
    return results[0], results[-1]


def _side(clouds: Clouds, i: int, normals: Array | None) -> _distortion.Side:
    own = None if normals is None else normals[clouds.offsets[i] : clouds.offsets[i + 1]]
    return _distortion.Side(clouds.backend, clouds[i], own)


def _put_together(pair: Pair, errors: np.ndarray, peak: np.ndarray, settings: _Settings) -> Distortion:
    forth, back, forth_most, back_most = errors
    put = np.maximum if settings.symmetric == "max" else (lambda a, b: (a + b) / 2)
    mse, most = put(forth, back), put(forth_most, back_most)

    def decibels(error: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return 10 * np.log10(settings.peak_factor * peak**2 / error)

    values = [decibels(mse), mse, forth, back, decibels(most), most, peak]
    wrapped = [pair.library.wrap(pair.backend.upload(np.ascontiguousarray(v))) for v in values]
    return Distortion(*([v[0] for v in wrapped] if pair.x.kind == "single" else wrapped))


def _peak(y: _distortion.Side, settings: _Settings) -> float:
    if not isinstance(settings.peak, str):
        return float(settings.peak)
    if settings.peak == "nearest-neighbor":
        from scipy.spatial import cKDTree

        points = (y.distinct() if settings.duplicates == "drop" else y).points
        points = y.backend.download(points).astype(np.float64)
        near = query(cKDTree(points), points, [2], settings.n_threads)[0]
        peak = float(near.max()) if len(points) > 1 else 0.0
    else:
        sides = y.backend.download(y.points.max(axis=0) - y.points.min(axis=0)).astype(np.float64)
        peak = float(sides.max() if settings.peak == "box-side" else math.sqrt((sides**2).sum()))
    if peak == 0:
        raise ValueError(f"peak {settings.peak!r} is 0 for y, whose points coincide: give a number")
    return peak
