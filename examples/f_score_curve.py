"""
F-score over the threshold
==========================

An F-score is a number only with its threshold. Here are two reconstructions of one sphere: one is noisy everywhere,
the other precise but with a cap missing. Which is better depends on the threshold; the curve shows where they change
places.
"""

import matplotlib.pyplot as plt
import numpy as np

from pointmetrics.plot import f_score_curve

rng = np.random.default_rng(0)


def sphere(n):
    """Draw points on the unit sphere."""
    directions = rng.normal(size=(n, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


reference = sphere(20_000)
noisy = sphere(20_000) + rng.normal(size=(20_000, 3)) * 0.03
capped = sphere(25_000)
capped = capped[capped[:, 2] < 0.6]

thresholds = np.linspace(0, 0.12, 121)[1:]
figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), sharey=True, layout="constrained")
for ax, cloud, title in ((axes[0], noisy, "noise of 0.03 everywhere"), (axes[1], capped, "precise, a cap is missing")):
    f_score_curve(cloud, reference, thresholds, mark=[0.02, 0.06], ax=ax)
    ax.set_title(title)
axes[1].set_ylabel("")
plt.show()
