"""Kernels as nvcc compiles them: every instance, within its registers, without spills."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from cases.kernel_budgets import registers

from imondrian._kit.kernel_source import OPTIONS, entries, kernel_files
from pointmetrics._backends.cuda.kernel_source import instance_of

NVCC = shutil.which("nvcc")
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
    if NVCC is None:
        pytest.skip("needs nvcc")
    known = subprocess.run([NVCC, "--list-gpu-arch"], capture_output=True, text=True, check=True, timeout=60).stdout
    if f"compute_{arch}\n" not in known:
        pytest.skip(f"needs an nvcc that compiles for sm_{arch}")
    source = tmp_path / f"{file}.cu"
    source.write_text(instance_of(file, np.dtype(dtype), dim, variant).source)
    result = subprocess.run(
        [
            NVCC,
            *OPTIONS,
            "-cubin",
            f"-arch=sm_{arch}",
            "-Xptxas",
            "-v",
            "-Werror",
            "all-warnings",
            str(source),
            "-o",
            str(tmp_path / "out.cubin"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    reports = re.findall(
        r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", result.stderr, re.DOTALL
    )
    assert sorted(name for name, _, _ in reports) == sorted(entries("pointmetrics", file))
    for name, spilled, used in reports:
        assert (int(spilled), name) == (0, name)
        assert int(used) <= registers(name, dtype == "float64", {"DIM": dim, **dict(variant)}), name
