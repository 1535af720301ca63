"""Draw the pictures of the README, from what ``make demo`` shows.

python docs/images/draw.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from rich.console import Console

from imondrian._cli.demo import pictures, plant, watching
from imondrian.river import AlarmFilter, OnlineIsolationMondrianForest
from pointmetrics import plot
from pointmetrics._cli.demo import torus

HERE = Path(__file__).parent


def alarms(path: Path) -> None:
    """Draw the demo's stream with the alarms of the default forest."""
    stream = plant.stream()
    forest = OnlineIsolationMondrianForest(n_trees=watching.N_TREES, seed=watching.SEED)
    found = watching.follow(Console(quiet=True), "", AlarmFilter(forest, rate=watching.RATE), stream.records)
    pictures.timeline(path, stream, found, dpi=90)


def clouds(path: Path) -> None:
    """Draw the demo's two clouds, coloured by their errors."""
    rng = np.random.default_rng(0)
    truth, scan = torus(rng, 2048), torus(rng, 4096)
    scan = scan[scan[:, 0] > -0.9][:2048] + rng.normal(size=(2048, 3)) * 0.02
    figure = plot.error_clouds(scan, truth, labels=("scan", "truth"))
    figure.savefig(path, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    alarms(HERE / "alarms.png")
    clouds(HERE / "clouds.png")
