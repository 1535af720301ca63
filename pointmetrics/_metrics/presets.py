"""The numbers of published tables, whose columns are in ``preset_tables``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmetrics._clouds.arrays import read_pair
from pointmetrics._clouds.libraries import check_cpu
from pointmetrics._clouds.numbers import check_number
from pointmetrics._clouds.objects import mesh_of

from .compare import compare
from .completion import fidelity
from .mesh import point_to_mesh_distance
from .neighbors import find
from .preset_tables import PRESETS as _PRESETS
from .preset_tables import Preset
from .psnr import geometry_distortion
from .reconstruction import accuracy_completeness, tanks_and_temples
from .uniformity import uniformity


@dataclass(frozen=True, slots=True)
class _Case:
    """A pair and what columns may need beside it."""

    x: np.ndarray
    y: np.ndarray
    mesh: tuple[Any, Any] | None
    normals: Any
    peak: Any
    threshold: float
    n_threads: int | None


_Values = tuple["float | None", ...]


def presets() -> dict[str, Preset]:
    """Return the tables of papers that can be filled by name.

    Returns
    -------
    dict of str to Preset
        Name -> ``name, paper, of, columns, notes, sample_mesh``; each column ``title, unit, scale, better, formula,
        call, needs``. In formulas a and b are the distances of the points of x to y and of y to x.

    See Also
    --------
    measure_preset : The values for a pair of clouds.
    pointmetrics.sets.evaluate_preset : The values for sets of clouds.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> [column.title for column in pm.presets()["pointr"].columns]
    ['F@1%', 'CD-l1 x1e3', 'CD-l2 x1e3']
    """
    return dict(_PRESETS)


def look_up(name: Any, of: str | None = None) -> Preset:
    """Return the preset called ``name``; refuse one that is of something else than ``of``."""
    known = [preset.name for preset in _PRESETS.values() if of in (None, preset.of)]
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}; got {name!r}")
    return _PRESETS[name]


def measure_preset(
    name: str,
    x: Any,
    y: Any,
    *,
    mesh: Any = None,
    normals: Any = None,
    peak: Any = 1023.0,
    threshold: float = 0.01,
    n_threads: int | None = None,
) -> dict[str, float | None]:
    """Compute the columns of a paper's table for a pair of clouds.

    Parameters
    ----------
    name : str
        A key of :func:`presets`, of those that are of pairs.
    x, y : array (n, 3) and (m, 3)
        What is judged, and the truth.
    mesh : tuple (vertices, faces) or a mesh of Open3D, trimesh or PyVista, default=None
        The truth as a mesh, for P2F and the area of "pu-gan".
    normals : tuple of two arrays, default=None
        As in :func:`psnr_d2`, for "mpeg-ctc".
    peak : float or str, default=1023.0
        As in :func:`psnr_d1`, for "mpeg-ctc".
    threshold : float, default=0.01
        Of the scene, for "tanks-and-temples".
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    dict of str to float or None
        Title of the column -> value, times the scale in the title: the number that a table prints. None where the
        column needs what was not given, or more than one pair.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.measure_preset("pointr", [[0.0, 0, 0]], [[0.0, 0, 0.03]])
    {'F@1%': 0.0, 'CD-l1 x1e3': 30.0, 'CD-l2 x1e3': 1.8}
    """
    preset = look_up(name, "pair")
    pair = read_pair(x, y)
    check_cpu(pair.library, "x")
    if pair.x.kind != "single":
        raise ValueError(f"x and y must be single clouds, got batches of {len(pair)}")
    threshold = check_number(threshold, "threshold", 0)
    if not isinstance(mesh, tuple):
        mesh = mesh_of(mesh, "mesh") or mesh
    if mesh is not None and (not isinstance(mesh, tuple) or len(mesh) != 2):
        got = f"a tuple of {len(mesh)}" if isinstance(mesh, tuple) else type(mesh).__name__
        raise TypeError(f"mesh must be a tuple (vertices, faces), got {got}")
    case = _Case(
        pair.x.points.astype(np.float64), pair.y.points.astype(np.float64), mesh, normals, peak, threshold, n_threads
    )
    return titled(preset, _MEASURES[name](case))


def titled(preset: Preset, values: Any) -> dict[str, float | None]:
    """Put titles and scales to the values of a preset's columns."""
    # 15 digits, so that a power of ten does not show as 1.7999999999999998
    return {
        column.title: None if value is None else float(f"{column.scale * value:.15g}")
        for column, value in zip(preset.columns, values, strict=True)
    }


def _completion(*names: str) -> Callable[[_Case], _Values]:
    def measure(case: _Case) -> _Values:
        found = compare(case.x, case.y, thresholds=[0.01], quantiles=[], n_threads=case.n_threads)
        return tuple(float(found[name]) for name in names)

    return measure


def _in_unit_sphere(points: np.ndarray) -> np.ndarray:
    moved = points - points.mean(axis=0)
    reach = np.sqrt((moved**2).sum(axis=1).max())
    return moved / (reach if reach > 0 else 1.0)


def _unit_distances(case: _Case) -> _Values:
    found = find(read_pair(_in_unit_sphere(case.x), _in_unit_sphere(case.y)), case.n_threads)
    return (float(found.sq_x.mean() + found.sq_y.mean()), float(found.sq_x.max() + found.sq_y.max()))


def _surface(case: _Case) -> float | None:
    if case.mesh is None:
        return None
    return float(point_to_mesh_distance(case.x, *case.mesh, n_threads=case.n_threads))


def _pu_gan(case: _Case) -> _Values:
    surface = None
    if case.mesh is None:
        even = uniformity(_in_unit_sphere(case.x), n_threads=case.n_threads)
    else:
        found = point_to_mesh_distance(case.x, *case.mesh, return_details=True, n_threads=case.n_threads)
        surface = float(found.distance.mean())
        corners = np.asarray(case.mesh[0], dtype=np.float64)[np.asarray(case.mesh[1])]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = float(np.sqrt((across**2).sum(axis=1)).sum() / 2)
        if area == 0:
            raise ValueError("mesh must have an area, which sizes the disks of uniformity; all of its faces have none")
        even = uniformity(found.closest, area=area, n_threads=case.n_threads)
    return (*(float(value) for value in even), surface, *_unit_distances(case))


def _mpeg(case: _Case) -> _Values:
    d1, d2 = geometry_distortion(case.x, case.y, peak=case.peak, normals=case.normals, n_threads=case.n_threads)
    return d1.psnr, d2.psnr, d1.hausdorff_psnr, d2.hausdorff_psnr


def _tanks_and_temples(case: _Case) -> _Values:
    found = tanks_and_temples(case.x, case.y, case.threshold, n_threads=case.n_threads)
    return float(found.precision), float(found.recall), float(found.f_score)


_MEASURES: dict[str, Callable[[_Case], _Values]] = {
    "pcn": _completion("cd-l1", "dcd", "f-score@0.01"),
    "pointr": _completion("f-score@0.01", "cd-l1", "cd-l2"),
    "pu-gan": _pu_gan,
    "apu-ldi": lambda case: (*_unit_distances(case), _surface(case)),
    "mpeg-ctc": _mpeg,
    "pcn-kitti": lambda case: (float(fidelity(case.y, case.x, n_threads=case.n_threads)), None, None),
    "dtu": lambda case: tuple(
        accuracy_completeness(case.x, case.y, max_distance=20.0, spacing=0.2, n_threads=case.n_threads)
    ),
    "tanks-and-temples": _tanks_and_temples,
}
