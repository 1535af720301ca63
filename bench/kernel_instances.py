"""Every instance of a kernel file that a public call can need."""

from __future__ import annotations

from itertools import product

import numpy as np

from imondrian._kit.kernel_source import Instance, kernel_files
from pointmetrics._backends.cuda.kernel_source import instance_of

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def of_clouds() -> list[Instance]:
    """Return those of pointmetrics: specialised for 2 and 3 coordinates, and for any number of them."""
    found = []
    for file, dim in product(kernel_files("pointmetrics"), (3, 2, 0)):
        if file == "emd_auction":  # computes in float32 whatever the clouds are
            found += [instance_of(file, FLOAT32, dim, (("IN_SHARED", where),)) for where in (1, 0)]
        elif file != "segments" or dim == 0:  # knows nothing of coordinates
            found += [instance_of(file, dtype, dim) for dtype in (FLOAT32, FLOAT64)]
    return found


def of_forests() -> list[Instance]:
    """Return those of imondrian: of each layout that a block of ``leaf_depth`` can have."""
    found = [Instance("imondrian", file, dtype) for file in ("depth_score", "spacing") for dtype in (FLOAT32, FLOAT64)]
    layouts = [(1, 0, 0), (1, 0, 1), (1, 1, 0), *((rows, 1, trees) for rows in (1, 2, 4) for trees in (1, 0))]
    for (dtype, wide), (rows, shared_rows, shared_trees) in product(
        ((FLOAT32, 0), (FLOAT32, 1), (FLOAT64, 1)), dict.fromkeys(layouts)
    ):
        found.append(
            Instance(
                "imondrian",
                "leaf_depth",
                dtype,
                (("WIDE", wide), ("ROWS", rows), ("SHARED_ROWS", shared_rows), ("SHARED_TREES", shared_trees)),
            )
        )
    return found


def every() -> list[Instance]:
    """Return all."""
    return [*of_clouds(), *of_forests()]
