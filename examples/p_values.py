"""
What a p-value promises
=======================

``p_values`` ranks a row among rows that the trees do not know. If it is like those, its p-value is at most a with
probability at most a, for every a. That probability includes the draw of the calibration rows: with any one set of
them the line of usual rows scatters around the diagonal, within the grey band 95 times in 100. Rows that are not like
them have small p-values, and their line lies above.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import beta

from imondrian import IsolationMondrianForest

rng = np.random.default_rng(0)
forest = IsolationMondrianForest(random_state=0).fit(rng.normal(size=(40_000, 4)))
print("calibrated by rows that no tree drew:", forest.calibration_)

usual = forest.p_values(rng.normal(size=(5_000, 4)))
shifted = forest.p_values(rng.normal(size=(5_000, 4)) + 1.5)

# %%
# Small p-values decide about alarms; logarithmic axes show them. 1,024 rows of calibration resolve no less than
# 1 / 1,025.

level = np.geomspace(1e-3, 1, 200)
rank = np.clip(np.floor(1_025 * level), 1, 1_024)
band = beta.interval(0.95, rank, 1_025 - rank)
figure, ax = plt.subplots(figsize=(6.2, 4.6), layout="constrained")
for p_values, name, colour, style in (
    (shifted, "moved by 1.5 in every feature", "#d1495b", "--"),
    (usual, "like the rows of fit", "#33658a", "-"),
):
    share = np.searchsorted(np.sort(p_values), level, side="right") / len(p_values)
    ax.plot(level, share, style, color=colour, label=name)
ax.plot(level, level, color="black", linewidth=0.8, label="promised bound for usual rows")
ax.fill_between(level, *band, color="grey", alpha=0.25, linewidth=0, label="one set of 1,024 calibration rows, 95 %")
ax.set(
    xscale="log",
    yscale="log",
    xlabel="level a",
    ylabel="share of rows with p-value at most a",
    xlim=(1e-3, 1),
    ylim=(3e-4, 1.2),
)
ax.legend()
plt.show()
