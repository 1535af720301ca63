"""What ``imondrian score`` holds in memory of files that are larger."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'imondrian[cli]'")

import pyarrow as pa
from pyarrow import csv, parquet

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.usefixtures("in_folder")


def peak_memory(*arguments):
    """Run a command in a process of its own; return its exit code, its messages and its most memory in MB."""
    # Not ru_maxrss, which begins with what the process that started this one has.
    code = (
        "import re, sys; from imondrian.cli import main\nstatus = 0\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as stop: status = stop.code\n"
        "print(status, re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    status, kilobytes = map(int, ended.stdout.split())
    return status, ended.stderr, kilobytes / 1000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux, which tells the peak in /proc")
@pytest.mark.parametrize("layout", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_file(layout):
    """Files are read in pieces: of another 96 MB of numbers there are never more than some at a time."""
    X = np.random.default_rng(0).normal(size=(2_000_000, 8)).round(3)
    peaks = []
    for n in (500_000, 2_000_000):  # both more than is read ahead
        table = pa.table({f"x{j}": X[:n, j] for j in range(8)})
        if layout == "csv":
            csv.write_csv(table, "in.csv")
        else:
            parquet.write_table(table, "in.parquet", row_group_size=n)
        status, text, peak = peak_memory("score", f"in.{layout}", "-o", "o.parquet", "--trees", "5")
        assert status == 0, text
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 35, peaks  # read-ahead and what allocators keep


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux, which tells the peak in /proc")
def test_ten_gigabytes_that_are_no_table():
    """All but the beginning is one hole, a row without an end: it is refused before it is in memory."""
    Path("out.csv").write_text("old")
    with open("huge.csv", "wb") as file:
        file.write(b"a,b\n" + b"1,2.5\n" * 800_000)
        try:
            file.truncate(10**10)
        except OSError:
            pytest.skip("needs a file system with sparse files of 10 GB")
    status, text, peak = peak_memory("score", "huge.csv", "-o", "out.csv", "--trees", "5")
    assert status == 1 and "huge.csv" in text and "Traceback" not in text and peak < 500
    assert Path("out.csv").read_text() == "old"
