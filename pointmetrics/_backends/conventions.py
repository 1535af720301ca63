"""The named definitions of "Chamfer distance", as the code that published with them computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ConventionName = Literal[
    "cd-l2",
    "pytorch3d",
    "kaolin",
    "pointflow",
    "dcd-cd_t",
    "pointr-cdl2",
    "cd-l1",
    "pcn",
    "pointr-cdl1",
    "dcd-cd_p",
    "occnet-l1",
    "open3d",
    "pcu",
    "occnet-l2",
    "pdal",
]


@dataclass(frozen=True, slots=True)
class Convention:
    """One definition. a and b are the distances from x to y and from y to x.

    The value is ``factor * (reduce a^power + reduce b^power)``.
    """

    name: str
    formula: str
    units: str
    power: int
    reduction: str
    factor: float
    used_by: str

    @property
    def metric(self) -> str:
        """The function that computes it."""
        return "chamfer_distance"


def put_together(definition: Convention, forth: Any, back: Any, x_counts: Any, y_counts: Any) -> Any:
    """Return the distances of pairs from their sums of distance^power either way and their clouds' sizes."""
    if definition.reduction == "mean":
        forth, back = forth / x_counts, back / y_counts
    return definition.factor * (forth + back)


def _define(
    names: str, formula: str, units: str, power: int, reduction: str, factor: float, used_by: str
) -> dict[str, Convention]:
    return {name: Convention(name, formula, units, power, reduction, factor, used_by) for name in names.split()}


_TABLE = {
    **_define(
        "cd-l2 pytorch3d kaolin pointflow dcd-cd_t pointr-cdl2",
        "mean a^2 + mean b^2",
        "length^2",
        2,
        "mean",
        1.0,
        "PyTorch3D, Kaolin, PointFlow, cd_t of the DCD code, CDL2 of PoinTr",
    ),
    **_define(
        "cd-l1 pcn pointr-cdl1 dcd-cd_p occnet-l1",
        "(mean a + mean b) / 2",
        "length",
        1,
        "mean",
        0.5,
        "PCN, CDL1 of PoinTr, cd_p of the DCD code, Chamfer-L1 of Occupancy Networks",
    ),
    **_define("open3d pcu", "mean a + mean b", "length", 1, "mean", 1.0, "Open3D, point-cloud-utils"),
    **_define("occnet-l2", "(mean a^2 + mean b^2) / 2", "length^2", 2, "mean", 0.5, "Chamfer-L2 of Occupancy Networks"),
    **_define("pdal", "sum a^2 + sum b^2", "length^2", 2, "sum", 1.0, "PDAL"),
}


def conventions() -> dict[str, Convention]:
    """Return every named definition of the Chamfer distance."""
    return dict(_TABLE)


def _close(name: Any) -> str:
    """Guess which convention a name stands for."""
    from difflib import get_close_matches  # only for errors

    close = get_close_matches(str(name).lower().replace("_", "-"), _TABLE, 1)
    return f", did you mean {close[0]}?" if close else ""


def look_up(name: str) -> Convention:
    """Return the definition called ``name``."""
    if not isinstance(name, str) or name not in _TABLE:
        raise ValueError(
            f"convention must be one of {', '.join(_TABLE)}; got {name!r}{_close(name)}; "
            f"pointmetrics.conventions() has their formulas"
        )
    return _TABLE[name]
