"""
A stream of scans that drifts
=============================

Clouds become features, features go to a forest, and the forest says which scans are odd. A scanner stands in a scene
and slowly settles: its pose drifts by a little with every scan, which is no event. Three times something happens for
ten scans: objects appear, most rays are lost, ranges get noisy.

Set ``IMONDRIAN_DATA`` to a folder with ``clouds/lidar_source.ply`` (a real scan, for instance the one of small_gicp)
to use that as the scene; without it the scene is a yard made up here.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import pointmetrics as pm
from imondrian.plot import score_timeline
from imondrian.river import AlarmFilter, OnlineIsolationMondrianForest
from pointmetrics.river import CloudDistances

N_SCANS = 700
EVENTS = {
    "objects appear": range(300, 310),
    "60 % of the rays are lost": range(450, 460),
    "noise of 15 cm": range(600, 610),
}
METRICS = ("cd-l1:x_to_y", "cd-l1:y_to_x", "precision@0.3", "recall@0.3")
rng = np.random.default_rng(0)

# %%
# The scene
# ---------


def yard(n):
    """Draw rings on flat ground around a scanner, and three walls, in metres."""
    angle, radius = rng.random(n) * 2 * np.pi, rng.choice(np.linspace(3, 18, 12), n)
    ground = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(n)])
    along, height = rng.uniform(-12, 12, n // 2), rng.uniform(0, 3, n // 2)
    wall = np.full(n // 2, 12.0)
    walls = [np.column_stack(side) for side in ((wall, along, height), (along, wall, height), (-wall, along, height))]
    return rng.permutation(np.concatenate([ground, *walls]))


real = Path(os.environ.get("IMONDRIAN_DATA", "")) / "clouds" / "lidar_source.ply"
if real.is_file():
    scene, name = rng.permutation(pm.io.read_points(real)), "a real scan"
else:
    scene, name = yard(12_000), "a yard made up in code (IMONDRIAN_DATA names no real scan)"
print(f"scene: {name}, {len(scene):,} points")


def scan(i):
    """Return the i-th scan: some of the scene's points, as seen from a pose that drifts, and what happens."""
    points = scene[rng.choice(len(scene), 1_500, replace=False)]
    noise = 0.01
    if i in EVENTS["objects appear"]:
        points = np.concatenate([points, *(rng.random((80, 3)) * [1.5, 1.5, 2] + [5, at, 0] for at in (-3, 2))])
    if i in EVENTS["60 % of the rays are lost"]:
        points = points[rng.random(len(points)) < 0.4]
    if i in EVENTS["noise of 15 cm"]:
        noise = 0.15
    tilt = 0.03 * i / N_SCANS  # radians
    turned = points @ np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    return turned + rng.normal(size=points.shape) * noise


# %%
# Scans to features to scores
# ---------------------------
# The reference is the scene as it was at the start. The forest keeps points of about the last 256 scans, so it follows
# what becomes usual; the score "insertion" did best on :doc:`streams that change </benchmarks>`. It also
# learns what raised an alarm: where everything drifts, what it was kept from would stay odd for ever.

features = CloudDistances(scene, METRICS)
forest = OnlineIsolationMondrianForest(horizon=256, score="insertion", seed=0)
model = AlarmFilter(forest, rate=0.02, protect_anomaly_detector=False)
scores, alarms, drift = [], [], []
for i in range(N_SCANS):
    x = features.transform_one(scan(i))
    score = model.score_one(x)
    scores.append(score)
    alarms.append(model.classify(score))
    drift.append(x["reference0 cd-l1:x_to_y"])
    model.learn_one(x)

happening = np.isin(np.arange(N_SCANS), [i for scans in EVENTS.values() for i in scans])
for event, scans in EVENTS.items():
    print(f"{event:27s} alarms at {sum(alarms[i] for i in scans)} of {len(scans)} scans")
print(f"{'nothing':27s} alarms at {np.sum(np.array(alarms) & ~happening)} of {np.sum(~happening)} scans")

# %%
# The distance to the reference rises all the time; a fixed threshold on it would have to be wrong early or late.

figure, (above, below) = plt.subplots(
    2, 1, figsize=(9.6, 5.6), sharex=True, layout="constrained", height_ratios=(1, 1.4)
)
above.plot(drift, color="#33658a", linewidth=0.8)
above.set(ylabel="mean distance\nto the scene (m)")
score_timeline(scores, happening, alarms=alarms, ax=below)
below.set_xlabel("scans seen")
for event, scans in EVENTS.items():
    above.annotate(
        event,
        (scans[-1], 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        va="top",
        fontsize=9,
    )
    for ax in (above, below):
        ax.axvspan(scans[0], scans[-1], color="#edae49", alpha=0.4, linewidth=0)
plt.show()
