"""The order of the scripts in the gallery, and the arguments that they are run with."""

from __future__ import annotations

import tempfile
from typing import Any

ORDER = (
    "decision_map",
    "score_timeline",
    "explanation_bars",
    "categories",
    "p_values",
    "mondrian_process",
    "water_flow",
    "error_clouds",
    "f_score_curve",
    "lidar_stream",
)


class Order:
    """Sort key of sphinx-gallery: as listed; what is not listed comes last, by name."""

    def __init__(self, source_folder: str) -> None:
        del source_folder

    def __call__(self, file_name: str) -> tuple[int, str]:
        name = file_name.removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def arguments(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """Return what follows the script's name: a folder out of the way, for those that save their picture."""
    del gallery_conf, script_vars
    return [tempfile.mkdtemp(prefix="gallery-")]
