"""
The Mondrian process
====================

The law that the trees follow, written out in a few lines of Python (the forest's own code is native, and is tested
against that law). A box is cut after an exponential time whose rate is the sum of its sides, on a side drawn in
proportion to its length, at a uniform place; both parts shrink to the boxes of their points and go on. Points that
stand apart are cut off early.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

rng = np.random.default_rng(1)
points = np.concatenate([rng.normal([0.35, 0.45], 0.09, size=(40, 2)), [[0.93, 0.88]]])
ODD = len(points) - 1


def grow(members, born):
    """Yield (time it appears, time it is cut, members) of every box of a tree over ``points``."""
    low, high = points[members].min(axis=0), points[members].max(axis=0)
    rate = (high - low).sum()
    if rate == 0:  # a single point is never cut
        yield born, np.inf, members
        return
    cut = born + rng.exponential(1 / rate)
    yield born, cut, members
    side = rng.choice(2, p=(high - low) / rate)
    place = rng.uniform(low[side], high[side])
    left = points[members, side] <= place
    yield from grow(members[left], cut)
    yield from grow(members[~left], cut)


tree = list(grow(np.arange(len(points)), 0.0))

# %%
# The same tree at four times. The point in the corner stands alone before the cluster is cut to pieces: the time (and
# the depth) at which a point is alone tells how odd it is.

figure, axes = plt.subplots(2, 2, figsize=(7.2, 7.2), sharex=True, sharey=True, layout="constrained")
for ax, time in zip(axes.flat, (0.0, 1.0, 4.0, 16.0), strict=True):
    alive = [members for born, cut, members in tree if born <= time < cut]
    for members in alive:
        low, high = points[members].min(axis=0), points[members].max(axis=0)
        ax.add_patch(Rectangle(low, *(high - low), facecolor="#33658a", alpha=0.18, edgecolor="none"))
        ax.add_patch(Rectangle(low, *(high - low), facecolor="none", edgecolor="#33658a", linewidth=1))
    ax.scatter(*points[:ODD].T, s=10, color="#33658a")
    ax.scatter(*points[ODD], s=40, color="#d1495b", marker="x")
    ax.set(
        title=f"time {time:g}: {len(alive)} {'box' if len(alive) == 1 else 'boxes'}",
        aspect="equal",
        xlim=(0, 1),
        ylim=(0, 1),
    )
figure.supxlabel("first feature")
figure.supylabel("second feature")

# %%
# Averaged over many trees the difference is a number. Scores are made of such averages.

alone = np.zeros(len(points))
for _ in range(200):
    for born, cut, members in grow(np.arange(len(points)), 0.0):
        if np.isinf(cut):
            alone[members] += born / 200
print(f"alone at time {alone[ODD]:.1f} (odd point), {np.median(alone):.1f} (median of all points)")
plt.show()
