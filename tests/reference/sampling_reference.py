"""Slow, obvious versions of sampling and of what is built on it."""

import math

import numpy as np
from points_oracles import sq_dist_matrix


def farthest(points, k, start=0):
    """The greedy algorithm over all distances, in the dtype of the points."""
    matrix, chosen = sq_dist_matrix(points, points), [start]
    while len(chosen) < k:
        reach = matrix[:, chosen].min(axis=1)
        reach[chosen] = -1
        chosen.append(int(reach.argmax()))
    return np.array(chosen)


def uniformity(points, seeds, p, area, paper):
    """Imbalance times clutter, disk by disk."""
    radius, products = math.sqrt(p * area / math.pi), []
    distance = np.sqrt(sq_dist_matrix(points.astype(float), points.astype(float)))
    for seed in seeds:
        disk = np.flatnonzero(distance[seed] <= radius)
        if len(disk) < (2 if paper else 5):
            continue
        among = distance[np.ix_(disk, disk)] + np.diag(np.full(len(disk), np.inf))
        ideal = math.sqrt(2 * math.pi * radius**2 / len(disk) / (math.sqrt(3) if paper else 1.732))
        clutter = (among.min(axis=1) - ideal) ** 2 / ideal
        expected = p * len(points)
        products.append((len(disk) - expected) ** 2 / expected * (clutter.sum() if paper else clutter.mean()))
    return np.mean(products)
