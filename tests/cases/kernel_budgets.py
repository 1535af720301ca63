"""What the kernels may use: what the occupancy that each counts on allows."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from imondrian._kit.kernel_source import OPTIONS, Instance, entries

NVCC = shutil.which("nvcc")

# Registers a thread, of float32 and of float64 instances.
REGISTERS = {
    "nearest": (64, 128),
    "join_splits": (48, 48),
    "sums_of_pairs": (64, 128),
    "distances_of_clouds": (64, 128),
    "forget_farther": (32, 32),
    "claim_nearest": (48, 48),
    "pull_scan": (64, 80),
    "pull_sorted": (64, 80),
    "curve_keys": (64, 64),
    "make_tiles": (48, 48),
    "make_nodes": (48, 48),
    "nearest_pruned": (128, 128),
    "max_magnitudes": (64, 64),
    "sum_both_ways": (64, 64),
    "segment_sums": (64, 64),
    "count_rows": (32, 32),
    "normalise": (64, 64),
    "auction": (128, 128),
    "augment": (80, 80),
    "row_minima": (80, 80),
    "bounds": (80, 80),
    "gradients": (80, 80),
    "first_epsilons": (48, 48),
    "soft_minima": (80, 80),
    "advance_potentials": (48, 48),
    "divergences": (48, 48),
    # 64 let four blocks of 256 threads share a multiprocessor.
    "leaf_depths": (64, 64),
    "insertion_depths": (64, 64),
    "mended_depths": (64, 64),
    "scores_of_depths": (32, 32),
    "log_spacings": (64, 64),
    "mended_spacings": (64, 64),
    "scores_of_spacings": (40, 40),
}
# The auction of 1024 threads a block, whose columns are in shared memory.
AUCTION_IN_SHARED = 64
NEAREST_OF_ANY_DIMENSION = 80  # six blocks of 128 threads
# Bytes of a kernel's own variables in shared memory, for clouds of 3 coordinates and float64; the others have none.
SHARED = {
    "auction": 20_672,
    "augment": 784,
    "row_minima": 8192,
    "bounds": 64,
    "normalise": 132,
    "pull_scan": 4096,
    "sums_of_pairs": 48,
    "distances_of_clouds": 80,
    "segment_sums": 64,
    "sum_both_ways": 64,
    "soft_minima": 4096,
    "first_epsilons": 64,
    "advance_potentials": 64,
    "divergences": 64,
}


def registers(entry: str, is_double: bool, defines: dict[str, int]) -> int:
    """Return the most registers a thread of a kernel may use."""
    if entry == "auction" and defines.get("IN_SHARED"):
        return AUCTION_IN_SHARED if defines["DIM"] else 80
    if entry == "nearest" and not is_double and defines.get("DIM") == 0:
        return NEAREST_OF_ANY_DIMENSION
    return REGISTERS[entry][is_double]


def check_nvcc(instance: Instance, arch: str, folder: Path) -> None:
    """Compile an instance for sm_``arch`` as nvcc does: no warnings, no spills, within its registers."""
    if NVCC is None:
        pytest.skip("needs nvcc")
    known = subprocess.run([NVCC, "--list-gpu-arch"], capture_output=True, text=True, check=True, timeout=60).stdout
    if f"compute_{arch}\n" not in known:
        pytest.skip(f"needs an nvcc that compiles for sm_{arch}")
    source = folder / f"{instance.file}.cu"
    source.write_text(instance.source)
    warnings = ["-Xptxas", "-v", "-Werror", "all-warnings"]
    command = [NVCC, *OPTIONS, "-cubin", f"-arch=sm_{arch}", *warnings, str(source), "-o", str(folder / "out.cubin")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr[-4000:]
    reports = re.findall(
        r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", result.stderr, re.DOTALL
    )
    assert sorted(entry for entry, _, _ in reports) == sorted(entries(instance.package, instance.file))
    for entry, spilled, used in reports:
        assert (entry, int(spilled)) == (entry, 0)
        assert int(used) <= registers(entry, instance.dtype.itemsize == 8, dict(instance.defines)), entry
