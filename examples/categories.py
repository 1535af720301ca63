"""
Text among numbers
==================

Made-up readings of a machine at three sites, each with the state that it is in. Text goes into the forest as it is. A
state that hardly any reading has, and a site that none had, stand out as a load far off does; sentences say which.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from imondrian import IsolationMondrianForest

rng = np.random.default_rng(0)
site = rng.choice(["north", "south", "east"], 1_500)
readings = pd.DataFrame(
    {
        "load": rng.normal(40, 6, 1_500),
        "flow": rng.normal(3, 0.4, 1_500),
        "site": site,
        "state": rng.choice(["running", "idle", "testing"], 1_500, p=[0.7, 0.298, 0.002]),
    }
)
forest = IsolationMondrianForest(random_state=0).fit(readings)

# %%
# Each of these differs from a usual reading in one thing.

odd = pd.DataFrame(
    {
        "load": [40.0, 75.0, 41.0, 39.0],
        "flow": [3.0, 3.1, 2.9, 3.0],
        "site": ["north", "south", "east", "west"],
        "state": ["running", "idle", "testing", "running"],
    }
)
scores, sentences = forest.score_samples(odd), forest.why(odd, most=1)
assert scores[0] > scores[1:].max()

figure, ax = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
ax.hist(forest.score_samples(readings), bins=60, color="#b8bdc4")
for place, (score, sentence) in enumerate(zip(scores, sentences, strict=True)):
    ax.axvline(score, color="#33658a" if place == 0 else "#d1495b", linewidth=1.2)
    ax.annotate(
        "usual" if place == 0 else sentence.split(";")[0].split(" (p")[0],
        (score, 0.92 - 0.2 * place),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
ax.set(xlabel="score (low is abnormal)", ylabel="readings")
plt.show()
