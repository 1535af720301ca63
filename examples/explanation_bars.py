"""
Why a point scores as it does
=============================

A week of readings of a machine, made up here: load, and three temperatures that follow it. One reading looks harmless
in each of its values but one, another lacks a value. An explanation splits the difference between a point's score and
the expected one into what each feature contributed: exactly, so the bars sum to it.
"""

import matplotlib.pyplot as plt
import numpy as np

from imondrian import IsolationMondrianForest
from imondrian.plot import plot_explanation

NAMES = ["load (kW)", "bearing (°C)", "winding (°C)", "ambient (°C)"]

rng = np.random.default_rng(0)
load = rng.normal(40, 8, size=2_000)
ambient = rng.normal(15, 5, size=2_000)
readings = np.column_stack(
    [
        load,
        ambient + 0.6 * load + rng.normal(0, 1, size=2_000),
        ambient + 1.1 * load + rng.normal(0, 2, size=2_000),
        ambient,
    ]
)
forest = IsolationMondrianForest(random_state=0).fit(readings)

# %%
# The first reading has a bearing far too hot for anything. The second has no value for the winding, which contributes
# nothing then, and an unusually cold day.

odd = np.array([[41.0, 72.0, 61.0, 16.0], [40.0, 22.0, np.nan, -4.0]])
scores, parts = forest.score_samples(odd), forest.explain(odd)
assert np.allclose(parts.sum(axis=1), scores - forest.expected_score_)

figure, axes = plt.subplots(2, 1, figsize=(7.2, 4.8), layout="constrained")
for ax, score, row, values in zip(axes, scores, parts, odd, strict=True):
    plot_explanation(row, values, feature_names=NAMES, ax=ax)
    ax.set_title(f"score {score:.3f} (expected {forest.expected_score_:.3f}; low is abnormal)", fontsize=10)
plt.show()
