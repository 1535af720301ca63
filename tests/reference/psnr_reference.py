"""D1 and D2 of MPEG point by point, duplicates and ties as its software has them."""

import numpy as np
from points_oracles import sq_dist_matrix


def drop_duplicates(points, normals=None):
    seen, rows = set(), []
    for i, point in enumerate(points.tolist()):
        if tuple(point) not in seen:
            seen.add(tuple(point))
            rows.append(i)
    return points[rows], None if normals is None else normals[rows]


def errors(source, target, normals=None):
    """Squared errors, to points or along the normals of all that are equally near."""
    matrix = sq_dist_matrix(source, target)
    if normals is None:
        return matrix.min(axis=1).astype(float)
    out = []
    for i, row in enumerate(matrix):
        tied = np.flatnonzero(row == row.min())
        out.append(np.mean([(((source[i].astype(float) - target[j]) * normals[j]).sum()) ** 2 for j in tied]))
    return np.array(out)


def hand_over(x, y, y_normals):
    """Normals of x from those of y: the mean of all it is a nearest of, else of all that are nearest to it."""
    matrix = sq_dist_matrix(y, x)
    out = []
    for i in range(len(x)):
        own = [j for j, row in enumerate(matrix) if row[i] == row.min()]
        if not own:
            own = np.flatnonzero(matrix[:, i] == matrix[:, i].min())
        out.append(y_normals[own].mean(axis=0))
    return np.array(out)


def psnr(forth, back, peak, factor=3.0, symmetric=max):
    return 10 * np.log10(factor * peak**2 / symmetric([forth, back]))
