"""Kernels as nvcc compiles them: within their registers, without spills."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from cases.kernel_budgets import registers

from imondrian._kit.kernel_source import OPTIONS, Instance

NVCC = shutil.which("nvcc")
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
    if NVCC is None:
        pytest.skip("needs nvcc")
    known = subprocess.run([NVCC, "--list-gpu-arch"], capture_output=True, text=True, check=True, timeout=60).stdout
    if f"compute_{arch}\n" not in known:
        pytest.skip(f"needs an nvcc that compiles for sm_{arch}")
    source = tmp_path / f"{instance.file}.cu"
    source.write_text(instance.source)
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
    assert len(reports) == instance.source.count("__global__ void __launch_bounds__")
    for name, spilled, used in reports:
        assert (name, int(spilled)) == (name, 0)
        assert int(used) <= registers(name, instance.dtype.itemsize == 8, {}), name
