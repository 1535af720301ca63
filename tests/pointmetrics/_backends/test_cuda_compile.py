"""Kernels as nvcc compiles them: every instance, within its registers, without spills."""

import os

import numpy as np
import pytest
from cases.kernel_budgets import check_nvcc

from imondrian._kit.kernel_source import kernel_files
from pointmetrics._backends.cuda.kernel_source import instance_of

ARCHS = ("75", "80", "90", "100")
# What a file is compiled with besides.
VARIANTS = {"emd_auction": (("IN_SHARED", 1),)}
# One instance of each kind in every run; all of them where asked for, which takes minutes.
ALL = os.environ.get("POINTMETRICS_ALL_CUBINS") == "1"
INSTANCES = [
    (file, dtype, dim, arch, variant)
    for file in kernel_files("pointmetrics")
    for dtype in ("float32", "float64")
    for dim in (0, 2, 3)
    for arch in ARCHS
    for variant in ((), *([VARIANTS[file]] if file in VARIANTS else []))
    if ALL or (arch == "90" and (dtype, dim) in (("float32", 3), ("float64", 0)))
]


@pytest.mark.parametrize("file, dtype, dim, arch, variant", INSTANCES)
def test_instances_compile_within_their_budget(tmp_path, file, dtype, dim, arch, variant):
    check_nvcc(instance_of(file, np.dtype(dtype), dim, variant), arch, tmp_path)
