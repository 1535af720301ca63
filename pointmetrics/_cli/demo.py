"""``pointmetrics demo``: the metrics of two clouds with proof and report, and a stream of scans watched by a forest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pointmetrics._metrics.compare import compare
from pointmetrics._metrics.emd import earth_movers_distance

from . import output, terminal

N_SCANS = 600
CALM = 100  # scans that the forest gets to know the scene by
THRESHOLD = 0.8
# What happens, and at which scans: something stands in the scene, rays get lost, ranges get noisy.
EVENTS: dict[str, tuple[range, dict[str, Any]]] = {
    "two boxes appear": (range(300, 305), {"objects": 2}),
    "60 % of the rays are lost": (range(400, 405), {"dropout": 0.6}),
    "noise of 15 cm": (range(500, 505), {"noise": 0.15}),
}
METRICS = ("precision@0.3", "recall@0.3", "cd-l1:x_to_y", "cd-l1:y_to_x")


def lidar_scan(rng: np.random.Generator, objects: int = 0, dropout: float = 0.0, noise: float = 0.01) -> np.ndarray:
    """Draw the returns of a scanner in the middle of a flat yard, in metres: rings on the ground, and boxes."""
    angle = rng.random(1500) * 2 * np.pi
    radius = rng.choice(np.linspace(3, 20, 12), 1500)
    ground = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(1500)])
    boxes = [rng.random((80, 3)) * [1.5, 1.5, 2.0] + [6 + 3 * k, 2 - 3 * k, 0] for k in range(objects)]
    scan = np.concatenate([ground, *boxes])
    scan = scan[rng.random(len(scan)) >= dropout]
    return scan + rng.normal(size=scan.shape) * noise


def scan_stream(rng: np.random.Generator, events: bool = True) -> Iterator[np.ndarray]:
    """Draw the scans of the stream, with or without its events."""
    for i in range(N_SCANS):
        options = [options for scans, options in EVENTS.values() if i in scans]
        yield lidar_scan(rng, **(options[0] if events and options else {}))


def watch(seed: int, events: bool = True) -> np.ndarray:
    """Score every scan of a stream, then learn it; return the scores."""
    from imondrian.river import OnlineIsolationMondrianForest
    from pointmetrics.river import CloudDistances

    rng = np.random.default_rng(seed)
    empty_yard = np.concatenate([lidar_scan(rng) for _ in range(5)])
    features = CloudDistances(empty_yard, METRICS)
    forest = OnlineIsolationMondrianForest(n_trees=100, score="insertion", seed=seed)
    scores = []
    for scan in scan_stream(rng, events):
        x = features.transform_one(scan)
        scores.append(forest.score_one(x))
        forest.learn_one(x)
    return np.array(scores)


def alarms(scores: np.ndarray) -> list[int]:
    """Return the scans to raise an alarm at."""
    return [CALM + int(i) for i in np.flatnonzero(scores[CALM:] > THRESHOLD)]


def torus(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw points on a torus of radii 1 and 0.4."""
    around, along = rng.random((2, n)) * 2 * np.pi
    ring = 1 + 0.4 * np.cos(along)
    return np.column_stack([ring * np.cos(around), ring * np.sin(around), 0.4 * np.sin(along)])


def run(folder: Path = Path("demo-output"), seed: int = 0) -> None:
    """Run the demo, print its tables, and write its report and picture to ``folder``."""
    start = time.perf_counter()
    rng = np.random.default_rng(seed)
    truth, scan = torus(rng, 2048), torus(rng, 4096)
    scan = scan[scan[:, 0] > -0.9][:2048] + rng.normal(size=(2048, 3)) * 0.02
    result = compare(scan, truth, thresholds=(0.05,), emd=True)
    rows = [[name, f"{value:.6g}", result.units[name]] for name, value in result.items()]
    _show(
        "A noisy torus with a piece missing, against the whole one: 2,048 points each",
        ["metric", "value", "unit"],
        rows,
        [1],
    )
    _prove(scan, truth)
    folder.mkdir(parents=True, exist_ok=True)
    for what, path in _pages(folder, scan, truth):
        output.write(f"{what}: {path}\n", None)
    output.write("\n", None)
    _watch(seed)
    output.write(f"done in {time.perf_counter() - start:.0f} s\n", None)


def _prove(scan: np.ndarray, truth: np.ndarray) -> None:
    """Print the exact earth mover's distance with its proof, beside POT where it is installed."""
    began = time.perf_counter()
    proof = earth_movers_distance(scan, truth, return_details=True)
    spent = time.perf_counter() - began
    output.write(
        "The earth mover's distance is exact: dual prices prove that it is at least\n"
        f"{proof.lower:.12g}, and the plan found costs {proof.upper:.12g} ({1e3 * spent:.0f} ms).\n",
        None,
    )
    try:
        import ot
    except ImportError:
        output.write("(With POT installed, its value would stand here: pip install POT)\n\n", None)
        return
    began = time.perf_counter()
    theirs = ot.emd2([], [], ot.dist(scan, truth, metric="euclidean"))
    took = time.perf_counter() - began
    output.write(
        f"POT, from the matrix of all distances, finds {theirs:.12g} ({1e3 * took:.0f} ms: {took / spent:.0f} "
        "times as long).\n\n",
        None,
    )


def _pages(folder: Path, scan: np.ndarray, truth: np.ndarray) -> Iterator[tuple[str, Path]]:
    """Write the clouds' report and, where matplotlib is installed, a picture of their errors."""
    from . import compare as command
    from .clouds import Options
    from .measure import read_metrics

    a, b = folder / "scan.npy", folder / "truth.npy"
    np.save(a, scan)
    np.save(b, truth)
    metrics = read_metrics(["pcn", "hausdorff", "f-score", "emd"], (0.05,), 1000.0, 1.0)
    page = folder / "report.html"
    command.run(
        command.Settings(
            a,
            b,
            metrics,
            (0.05,),
            Options(None, None, False, 0, None),
            layout="json",
            output=folder / "report.json",
            html=page,
            quiet=True,
        )
    )
    yield "report, to turn with the mouse", page
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from pointmetrics import plot

    figure = plot.error_clouds(scan, truth, labels=("scan", "truth"))
    figure = getattr(figure, "figure", figure)
    figure.savefig(folder / "clouds.png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    yield "picture", folder / "clouds.png"


def _watch(seed: int) -> None:
    """Print what a forest makes of a stream of scans."""
    try:
        scores = watch(seed)
    except ImportError as error:
        output.write(f"The stream of scans needs {error.name}: pip install 'imondrian[river,cli]'\n", None)
        return
    raised = alarms(scores)
    rows = []
    for name, (scans, _) in EVENTS.items():
        there = scores[list(scans)]
        rows.append(
            [
                name,
                f"{scans[0]}-{scans[-1]}",
                f"{there.min():.2f}-{there.max():.2f}",
                f"{sum(i in scans for i in raised)} of {len(scans)}",
            ]
        )
    eventful = {i for scans, _ in EVENTS.values() for i in scans}
    calm = [i for i in range(CALM, N_SCANS) if i not in eventful]
    rows.append(
        [
            "nothing",
            f"all other from {CALM}",
            f"{scores[calm].min():.2f}-{scores[calm].max():.2f}",
            f"{sum(i in calm for i in raised)} of {len(calm)}",
        ]
    )
    _show(
        f"{N_SCANS} scans of a yard as distances to the empty yard, scored by the online forest",
        ["what happens", "at scans", "scores", f"alarms (above {THRESHOLD})"],
        rows,
        [],
    )


def _show(title: str, header: list[str], rows: list[list[str]], numbers: list[int]) -> None:
    output.write(terminal.table(header, rows, numbers, title=title, rich=terminal.shows_tables()), None)
