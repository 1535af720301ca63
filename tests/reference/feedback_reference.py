"""What verdicts do to scores, slowly: cells by walking, similarities by counting, weights by Gaussian elimination."""

import math

CELL_MASS, WANTED, RIDGE = 8.0, 3.0, 0.1


def cells(forest, x):
    """Return the node, or ~leaf, of each tree that x is in the cell of."""
    columns = forest.columns
    found = []
    for t in range(forest.n_trees):

        def mass(v, t=t):
            return columns["leaf_mass"][t, ~v] if v < 0 else columns["mass"][t, v]

        v = int(columns["header"][t, 0])
        while v >= 0 and mass(v) > CELL_MASS:
            left, right = map(int, columns["child"][t, v])
            value = x[columns["feature"][t, v]]
            if value != value:
                v = right if mass(right) > mass(left) else left
            else:
                v = right if value > columns["threshold"][t, v] else left
        found.append(v)
    return found


def similarity(one, other):
    """Return the share of trees in which two points are in the same cell."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


def solve(matrix, right):
    """Return x with matrix x = right, by elimination with pivots."""
    n = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i in range(n):
        best = max(range(i, n), key=lambda j: abs(rows[j][i]))
        rows[i], rows[best] = rows[best], rows[i]
        for j in range(i + 1, n):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    found = [0.0] * n
    for i in reversed(range(n)):
        found[i] = (rows[i][n] - sum(rows[i][j] * found[j] for j in range(i + 1, n))) / rows[i][i]
    return found


def logit(score):
    """Return log(score / (1 - score))."""
    return math.log(score / (1.0 - score))


def adjusted(forest, said, said_scores, verdicts, rows, scores):
    """Return the scores of rows once ``verdicts`` were given on the rows ``said``; all scores are the forest's own."""
    known = [cells(forest, x) for x in said]
    gram = [[similarity(a, b) + RIDGE * (i == j) for j, b in enumerate(known)] for i, a in enumerate(known)]
    weight = solve(gram, [-WANTED * v - logit(s) for v, s in zip(verdicts, said_scores, strict=True)])
    found = []
    for x, score in zip(rows, scores, strict=True):
        here = cells(forest, x)
        shift = sum(w * similarity(here, c) for w, c in zip(weight, known, strict=True))
        found.append(1.0 / (1.0 + math.exp(-(logit(score) + shift))))
    return found
