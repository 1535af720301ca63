"""Slow, obvious versions of the point metrics, in float64, straight from their formulas."""

import numpy as np


def sq_dist_matrix(x, y):
    """Sums of squared differences in the clouds' dtype, coordinate by coordinate."""
    total = (x[:, None, 0] - y[None, :, 0]) ** 2
    for a in range(1, x.shape[1]):
        total = total + (x[:, None, a] - y[None, :, a]) ** 2
    return total


def nearest(x, y):
    """Squared distance and lowest index of the nearest points, both ways."""
    matrix = sq_dist_matrix(x, y)
    return matrix.min(axis=1), matrix.argmin(axis=1), matrix.min(axis=0), matrix.argmin(axis=0)


def chamfer(x, y, key):
    """The Chamfer distance under the first name of each definition."""
    matrix = sq_dist_matrix(x.astype(float), y.astype(float))
    a2, b2 = matrix.min(axis=1), matrix.min(axis=0)
    a, b = np.sqrt(a2), np.sqrt(b2)
    return {
        "cd-l2": a2.mean() + b2.mean(),
        "cd-l1": (a.mean() + b.mean()) / 2,
        "open3d": a.mean() + b.mean(),
        "occnet-l2": (a2.mean() + b2.mean()) / 2,
        "pdal": a2.sum() + b2.sum(),
    }[key]


def dcd(x, gt, alpha=1000.0, n_lambda=1.0, non_reg=False, eps=1e-6):
    """The density-aware Chamfer distance, point by point."""
    n_x, n_gt = len(x), len(gt)
    d_x, id_x, d_gt, id_gt = nearest(x.astype(float), gt.astype(float))
    f21, f12 = n_gt / n_x, n_x / n_gt
    if non_reg:
        f21, f12 = max(1.0, f21), max(1.0, f12)
    loss1 = 0.0
    for d, k in zip(d_gt, id_gt, strict=True):
        loss1 += 1 - f21 * np.exp(-alpha * d) / ((id_gt == k).sum() ** n_lambda + eps)
    loss2 = 0.0
    for d, k in zip(d_x, id_x, strict=True):
        loss2 += 1 - f12 * np.exp(-alpha * d) / ((id_x == k).sum() ** n_lambda + eps)
    return (loss1 / n_gt + loss2 / n_x) / 2


def finite_difference(function, array, step=1e-6):
    """Central differences of a scalar function by every entry of an array."""
    grad = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        up, down = array.copy(), array.copy()
        up[index] += step
        down[index] -= step
        grad[index] = (function(up) - function(down)) / (2 * step)
    return grad
