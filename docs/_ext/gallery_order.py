"""The order of the pictures in the gallery."""

from __future__ import annotations

ORDER = ("decision_map", "score_timeline", "explanation_bars", "mondrian_process", "water_flow", "error_clouds",
         "f_score_curve", "lidar_stream")


class Order:
    """Sort key of sphinx-gallery: as listed; what is not listed comes last, by name."""

    def __init__(self, source_folder: str) -> None:
        del source_folder

    def __call__(self, file_name: str) -> tuple[int, str]:
        name = file_name.removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)
