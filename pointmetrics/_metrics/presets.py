"""The columns of published tables: every convention that their numbers rest on, and the numbers themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmetrics._clouds.arrays import check_number, read_pair
from pointmetrics._clouds.libraries import check_cpu
from pointmetrics._clouds.objects import mesh_of

from .compare import compare
from .completion import fidelity
from .mesh import point_to_mesh_distance
from .neighbors import find
from .psnr import psnr_d1, psnr_d2
from .reconstruction import accuracy_completeness, tanks_and_temples
from .uniformity import PERCENTAGES, uniformity


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``scale`` times the value of ``formula`` (or None where ``needs`` is not at hand), from ``call``."""

    title: str
    unit: str
    scale: float
    better: str
    formula: str
    call: str
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Preset:
    """One table: its columns in order, the paper, and in ``notes`` what is done before they are computed.

    ``of`` says what a value is computed from: "pair" (tables average over pairs) or "sets" of clouds.
    ``sample_mesh`` is how many points the command line draws from files with faces; None takes their vertices.
    """

    name: str
    paper: str
    of: str
    columns: tuple[Column, ...]
    notes: str
    sample_mesh: int | None = None


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

_CD_L1 = Column(
    "CD-l1 x1e3", "length", 1e3, "lower", "(mean a + mean b) / 2", "chamfer_distance(x, y, convention='cd-l1')"
)
_CD_L2 = Column(
    "CD-l2 x1e3", "length^2", 1e3, "lower", "mean a^2 + mean b^2", "chamfer_distance(x, y, convention='cd-l2')"
)
_DCD = Column(
    "DCD",
    "1",
    1.0,
    "lower",
    "density-aware Chamfer distance, alpha 1000, lambda 1",
    "density_aware_chamfer_distance(x, y)",
)
_F1 = Column(
    "F@1%",
    "1",
    1.0,
    "higher",
    "2 P R / (P + R) of the shares of a and of b below 0.01",
    "f_score(x, y, threshold=0.01)",
)
_UNIFORMITY = tuple(
    Column(
        f"U {p:.1%} x1e3",
        "length",
        1e3,
        "lower",
        f"uniformity, disks of {p:.1%} of the surface, 1,000 seeds",
        f"uniformity(x, percentages=[{p}], area=area)",
    )
    for p in PERCENTAGES
)
_P2F = Column(
    "P2F x1e3",
    "length",
    1e3,
    "lower",
    "mean distance of x to the surface of the mesh",
    "point_to_mesh_distance(x, vertices, faces)",
    "a mesh as truth",
)
_UNIT_CD = Column(
    "CD x1e3",
    "1",
    1e3,
    "lower",
    "mean a^2 + mean b^2, each cloud in its own unit sphere",
    "chamfer_distance(in_unit_sphere(x), in_unit_sphere(y))",
)
_UNIT_HD = Column(
    "HD x1e3",
    "1",
    1e3,
    "lower",
    "max a^2 + max b^2, each cloud in its own unit sphere",
    "directed hausdorff_distance of both, squared and summed",
)
_UPSAMPLING = (
    "CD and HD are of clouds moved to their mean and divided by their largest distance from it, each by "
    "itself. P2F is in the coordinates of the files. Truth clouds are drawn evenly from the truth meshes."
)


def _set_columns(*names: str) -> tuple[Column, ...]:
    scale = {"MMD-CD": 1e3, "MMD-EMD": 1e2, "JSD": 1e2}
    formula = {
        "MMD": "mean over references of the least distance to a sample",
        "COV": "share of references that are nearest to some sample",
        "1-NNA": "accuracy of 1-NN in telling samples from references; 50 % is ideal",
        "JSD": "Jensen-Shannon divergence over 28^3 cells, base 2",
    }
    columns = []
    for name in names:
        kind, _, metric = name.rpartition("-") if name != "JSD" else (name, "", "")
        unit = "%" if kind in ("COV", "1-NNA") else {"CD": "length^2", "EMD": "length", "": "1"}[metric]
        factor = 100.0 if unit == "%" else scale[name]
        title = f"{name} %" if unit == "%" else f"{name} x1e{round(np.log10(factor))}"
        measure = {"CD": "cd-l2", "EMD": "emd", "": "cd-l2"}[metric]
        better = {"MMD": "lower", "COV": "higher", "1-NNA": "50", "JSD": "lower"}[kind]
        columns.append(
            Column(
                title,
                unit,
                factor,
                better,
                formula[kind] + (f", {measure}" if metric else ""),
                f"sets.evaluate(samples, references, '{measure}')",
                "clouds within [-0.5, 0.5]" if kind == "JSD" else "",
            )
        )
    return tuple(columns)


_SETS = (
    "Clouds in the data's own coordinates: the papers normalise by the training set's mean and deviation and undo "
    "it before they evaluate. EMD is exact here. "
)
_DECIBEL = "10 log10(3 peak^2 / MSE), MSE the larger of both directions' "

_PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "pcn",
            "Yuan et al., PCN, 3DV 2018, and tables on its data set since",
            "pair",
            (_CD_L1, _DCD, _F1),
            "Coordinates as they come: the data set is normalised. Averages over classes are those of their pairs.",
        ),
        Preset(
            "pointr",
            "Yu et al., PoinTr, ICCV 2021: ShapeNet-55 and -34",
            "pair",
            (_F1, _CD_L1, _CD_L2),
            "Coordinates as they come: the data set is normalised.",
        ),
        Preset(
            "pu-gan",
            "Li et al., PU-GAN, ICCV 2019, table 1",
            "pair",
            (*_UNIFORMITY, _P2F, _UNIT_CD, _UNIT_HD),
            _UPSAMPLING
            + " Disks are sized by the area of the mesh; without one, by that of the unit sphere's disk for "
            "the cloud in it.",
            8192,
        ),
        Preset("apu-ldi", "Li et al., APU-LDI, CVPR 2024", "pair", (_UNIT_CD, _UNIT_HD, _P2F), _UPSAMPLING, 8192),
        Preset(
            "pointflow",
            "Yang et al., PointFlow, ICCV 2019, table 1",
            "sets",
            _set_columns("JSD", "MMD-CD", "MMD-EMD", "COV-CD", "COV-EMD", "1-NNA-CD", "1-NNA-EMD"),
            _SETS + "The paper's was approxmatch with roots, 1.2 to 1.4 times as large (audit_emd shows it).",
        ),
        Preset(
            "pvd",
            "Zhou et al., Point-Voxel Diffusion, ICCV 2021",
            "sets",
            _set_columns("1-NNA-CD", "1-NNA-EMD", "MMD-CD", "MMD-EMD", "COV-CD", "COV-EMD"),
            _SETS + "The paper's was approxmatch of squares, 2 to 7 times as large (audit_emd shows it).",
        ),
        Preset(
            "mpeg-ctc",
            "MPEG common test conditions for G-PCC, ISO/IEC JTC 1/SC 29/WG 7",
            "pair",
            (
                Column("D1 PSNR", "dB", 1.0, "higher", _DECIBEL + "mean squared distances", "psnr_d1(x, y, peak=peak)"),
                Column(
                    "D2 PSNR",
                    "dB",
                    1.0,
                    "higher",
                    _DECIBEL + "mean squared distances along normals",
                    "psnr_d2(x, y, peak=peak)",
                ),
                Column(
                    "D1 Hausdorff PSNR",
                    "dB",
                    1.0,
                    "higher",
                    _DECIBEL + "largest squared distance",
                    "psnr_d1(x, y, peak=peak, return_details=True).hausdorff_psnr",
                ),
                Column(
                    "D2 Hausdorff PSNR",
                    "dB",
                    1.0,
                    "higher",
                    _DECIBEL + "largest squared distance along normals",
                    "psnr_d2(x, y, peak=peak, return_details=True).hausdorff_psnr",
                ),
            ),
            "Points that coincide count once. Normals of the original are estimated from 16 neighbours where none are "
            "given, and handed to the reconstruction as pc_error does. The peak is 1023, of 10 bits, unless given.",
        ),
        Preset(
            "pcn-kitti",
            "Yuan et al., PCN, 3DV 2018, section 5.3, in the form of PoinTr",
            "pair",
            (
                Column(
                    "Fidelity x1e3",
                    "length^2",
                    1e3,
                    "lower",
                    "mean b^2: from the input, the second cloud, to the output",
                    "fidelity(y, x)",
                ),
                Column(
                    "Consistency x1e3",
                    "length^2",
                    1e3,
                    "lower",
                    "mean Chamfer distance (cd-l2) of consecutive outputs",
                    "consistency(outputs of one track)",
                    "tracks of two frames or more",
                ),
                Column(
                    "MMD x1e3",
                    "length^2",
                    1e3,
                    "lower",
                    "mean over outputs of the least Chamfer distance (cd-l2) to a car",
                    "sets.pairwise_distances(outputs, cars).min(axis=1).mean()",
                    "a folder of complete cars",
                ),
            ),
            "The first clouds are the outputs, the second the inputs. Files of one folder, by name, are a track.",
        ),
        Preset(
            "dtu",
            "Aanaes et al., DTU, IJCV 2016, as in MVSNet, ECCV 2018",
            "pair",
            tuple(
                Column(
                    title,
                    "length",
                    1.0,
                    "lower",
                    formula,
                    f"accuracy_completeness(x, y, max_distance=20, spacing=0.2).{title.lower()}",
                )
                for title, formula in (
                    ("Accuracy", "mean of the distances a below 20"),
                    ("Completeness", "mean of the distances b below 20"),
                    ("Overall", "(accuracy + completeness) / 2"),
                )
            ),
            "Millimetres. The reconstruction is first thinned to a spacing of 0.2. Apply the data set's masks before.",
        ),
        Preset(
            "tanks-and-temples",
            "Knapitsch et al., Tanks and Temples, TOG 2017",
            "pair",
            tuple(
                Column(f"{title} %", "%", 100.0, "higher", formula, f"tanks_and_temples(x, y, threshold).{field}")
                for title, field, formula in (
                    ("Precision", "precision", "share of a below the threshold"),
                    ("Recall", "recall", "share of b below the threshold"),
                    ("F-score", "f_score", "2 P R / (P + R)"),
                )
            ),
            "Both clouds are first reduced to the means of voxels of half the threshold, that of the scene (0.01 "
            "unless given). Align and crop before.",
        ),
    )
}


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
        raise TypeError(f"mesh must be a tuple (vertices, faces), got {type(mesh).__name__}")
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
    if case.mesh is None:
        even = uniformity(_in_unit_sphere(case.x), n_threads=case.n_threads)
    else:
        corners = np.asarray(case.mesh[0], dtype=np.float64)[np.asarray(case.mesh[1])]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = float(np.sqrt((across**2).sum(axis=1)).sum() / 2)
        even = uniformity(case.x, area=area, n_threads=case.n_threads)
    return (*(float(value) for value in even), _surface(case), *_unit_distances(case))


def _mpeg(case: _Case) -> _Values:
    d1 = psnr_d1(case.x, case.y, peak=case.peak, return_details=True, n_threads=case.n_threads)
    d2 = psnr_d2(case.x, case.y, peak=case.peak, normals=case.normals, return_details=True, n_threads=case.n_threads)
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
