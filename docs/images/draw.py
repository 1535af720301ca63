"""Draw the pictures of the README, from what ``make demo`` shows, and the chart of the benchmarks' ten lines.

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


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table of a page whose first column is called so."""
    lines = page.split(f"| {heading} ")[1].splitlines()[2:]
    body = lines[: next((k for k, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def benchmarks(path: Path) -> None:
    """Draw what the page of benchmarks begins with."""
    import matplotlib.pyplot as plt

    page = (HERE.parent / "benchmarks.md").read_text(encoding="utf-8")
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(6.4, 6.8), layout="constrained", height_ratios=(2, 3))
    quality = rows(page, "how well")
    labels = ["events found\n(35 streams)", "ROC AUC\n(22 tables)", "average precision\n(22 tables)"]
    for shift, colour, cells in ((-0.2, "#33658a", 1), (0.2, "#b8bdc4", 2)):
        values = [float(row[cells].split()[0]) for row in quality]
        bars = upper.bar(np.arange(3) + shift, values, 0.38, color=colour, label=("here", "best beside")[cells - 1])
        upper.bar_label(bars, labels=[f"{value:.3f}".lstrip("0") for value in values], fontsize=8)
    upper.set_xticks(range(3), labels, fontsize=8)
    upper.set(ylim=(0, 1), title="how well")
    upper.legend(frameon=False, fontsize=8, loc="upper right")
    speed = rows(page, "how fast")[::-1]
    times = [float(row[3]) for row in speed]
    names = [
        f"{row[0].replace('`', '')}\nagainst {row[2].split('s ', 1)[-1] if row[2][0].isdigit() else row[2]}"
        for row in speed
    ]
    colours = ["#33658a" if value >= 1 else "#d1495b" for value in times]
    lower.barh(names, np.subtract(times, 1), left=1, color=colours)
    for place, value in enumerate(times):
        lower.text(max(value, 1) * 1.06, place, f"{value:g}x", va="center", fontsize=8)
    lower.axvline(1, color="black", linewidth=0.8)
    lower.set(xscale="log", xlim=(0.3, 60), title="times as fast")
    lower.tick_params(axis="y", labelsize=7)
    for ax in (upper, lower):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    alarms(HERE / "alarms.png")
    clouds(HERE / "clouds.png")
    benchmarks(HERE / "benchmarks.png")
