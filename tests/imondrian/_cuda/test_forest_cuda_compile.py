"""Kernels as nvcc compiles them: within their registers, without spills."""

import numpy as np
import pytest
from cases.kernel_budgets import check_nvcc

from imondrian._kit.kernel_source import Instance

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def depth(dtype, rows=4, wide=False, shared=1):
    wide = int(wide or dtype == np.float64)
    return Instance(
        "imondrian",
        "leaf_depth",
        dtype,
        (("WIDE", wide), ("ROWS", rows), ("SHARED_ROWS", shared), ("SHARED_TREES", shared)),
    )


INSTANCES = [
    *(Instance("imondrian", file, dtype) for file in ("spacing", "depth_score") for dtype in DTYPES),
    *(depth(dtype) for dtype in DTYPES),
    depth(DTYPES[0], wide=True),
    depth(DTYPES[0], rows=1, shared=0),
]


# All of them for one architecture, one of each file for the others.
CASES = [(instance, "90") for instance in INSTANCES] + [(i, arch) for i in INSTANCES[1:5:2] for arch in ("75", "100")]


@pytest.mark.parametrize("instance, arch", CASES)
def test_instances_compile_within_their_budget(tmp_path, instance, arch):
    check_nvcc(instance, arch, tmp_path)
