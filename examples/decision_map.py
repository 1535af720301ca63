"""
Where a forest says "abnormal"
==============================

A long cluster whose features go together, a small dense one, and scattered points; three detectors fitted to all of it
without labels. The red line is where ``decision_function`` is 0: outside it, ``predict`` says -1.

Trees that cut along the axes see products of intervals: bands run through the plane where the clusters' shadows on the
axes cross. The Mondrian forest's depth has them too, more faintly, because its boxes end where its points do. The
default score measures the room around a point against points that are known to be usual: the bands are gone, and a
cluster need not be large to be usual.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import IsolationForest

from imondrian import IsolationMondrianForest
from imondrian.plot import decision_map

rng = np.random.default_rng(0)
long_cluster = rng.normal(size=(350, 2)) @ np.array([[1, 0.9], [0, 0.3]])
small_cluster = rng.normal(size=(150, 2)) * 0.25 + [3, -2]
X = np.concatenate([long_cluster, small_cluster, rng.uniform([-4, -4], [5, 4], size=(25, 2))])

detectors = {
    "IsolationForest of scikit-learn": IsolationForest(random_state=0),
    'IsolationMondrianForest, score="depth"': IsolationMondrianForest(score="depth", random_state=0),
    "IsolationMondrianForest, default score": IsolationMondrianForest(random_state=0),
}
figure, axes = plt.subplots(3, 1, figsize=(6.8, 11), sharex=True, sharey=True, layout="constrained")
for ax, (name, detector) in zip(axes, detectors.items(), strict=True):
    decision_map(detector.fit(X), X, ax=ax, resolution=120)
    ax.set(title=name, ylabel="second feature")
axes[-1].set_xlabel("first feature")
plt.show()
