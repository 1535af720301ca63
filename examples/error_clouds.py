"""
Where two clouds differ
=======================

A torus scanned with noise and with a piece missing, against the whole one. Each point is coloured by its distance to
the other cloud; dark is far. What is missing shows on the reference, what is too much on the scan: one number for both
hides which it was.
"""

import matplotlib.pyplot as plt
import numpy as np

import pointmetrics as pm
from pointmetrics.plot import error_clouds, error_histogram

rng = np.random.default_rng(0)


def torus(n):
    """Draw points on a torus of radii 1 and 0.4."""
    around, along = rng.random((2, n)) * 2 * np.pi
    ring = 1 + 0.4 * np.cos(along)
    return np.column_stack([ring * np.cos(around), ring * np.sin(around), 0.4 * np.sin(along)])


reference, scan = torus(4_000), torus(6_000)
scan = scan[scan[:, 0] > -0.9][:4_000] + rng.normal(size=(4_000, 3)) * 0.02
error_clouds(scan, reference, labels=("scan", "reference"))

# %%
# The same distances as shares of the points: most of the scan is noise of 2 cm, but the reference has a long tail,
# the missing piece.

error_histogram(scan, reference, labels=("scan", "reference"), log=True)
plt.show()

# %%
# And as numbers, each under its name and with its unit:

print(pm.compare(scan, reference, thresholds=(0.05,)))
