"""The columns of published tables: titles, units, formulas, and every convention that their numbers rest on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .uniformity import PERCENTAGES


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
    ``per_category`` says that the paper has a row for each category: the command line, for each folder of clouds.
    """

    name: str
    paper: str
    of: str
    columns: tuple[Column, ...]
    notes: str
    sample_mesh: int | None = None
    per_category: bool = False


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
        f"uniformity of the points moved onto the mesh, disks of {p:.1%} of the surface, 1,000 seeds",
        f"uniformity(closest, percentages=[{p}], area=area)",
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
    "Clouds of 2,048 points in the data's own coordinates: the papers normalise by the training set's mean and "
    "deviation and undo it before they evaluate. EMD is exact here. "
)
_DECIBEL = "10 log10(3 peak^2 / MSE), MSE the larger of both directions' "

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "pcn",
            "Yuan et al., PCN, 3DV 2018, and tables on its data set since",
            "pair",
            (_CD_L1, _DCD, _F1),
            "Coordinates as they come: the data set is normalised. A folder is a category; the mean is over all pairs.",
            per_category=True,
        ),
        Preset(
            "pointr",
            "Yu et al., PoinTr, ICCV 2021: ShapeNet-55 and -34",
            "pair",
            (_F1, _CD_L1, _CD_L2),
            "Coordinates as they come: the data set is normalised. A folder is a category; the mean is over all pairs.",
            per_category=True,
        ),
        Preset(
            "pu-gan",
            "Li et al., PU-GAN, ICCV 2019, table 1",
            "pair",
            (*_UNIFORMITY, _P2F, _UNIT_CD, _UNIT_HD),
            _UPSAMPLING
            + " Disks are sized by the area of the mesh, and hold the points where they are nearest on it, as in the "
            "authors' code; without a mesh disks are sized by that of the unit sphere's disk for the cloud in it.",
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
            "lion",
            "Zeng et al., LION, NeurIPS 2022",
            "sets",
            _set_columns("MMD-CD", "MMD-EMD", "COV-CD", "COV-EMD", "1-NNA-CD", "1-NNA-EMD"),
            _SETS + "LION's tables of ShapeNet-vol have each cloud in a box of its own, of longest side 1, instead "
            "(norm_box of its code). The paper's EMD was approxmatch of squares, as PVD's.",
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
            "Points that coincide count once. Normals of the original are those of its ply file, or of 16 neighbours, "
            "and handed to the reconstruction as pc_error does. The peak is 1023, of 10 bits, unless given.",
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
            "The first clouds are the outputs, the second the inputs. Files of one folder, by name, are a track, and "
            "each follows the one before it: put the frames after a gap into a folder of their own.",
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
            "Millimetres. The reconstruction is first thinned to a spacing of 0.2; distances of 20 and more are out. "
            "Apply the data set's masks before: ObsMask to accuracy alone, the plane to the scan.",
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
