"""``imondrian score`` from start to end, as a process of its own: interpreter, imports, reading, fitting, output.

    pytest bench/bench_forest_cli.py --benchmark-enable --benchmark-group-by=group

Scores are checked against the estimator's before they are timed. The peer is what people write instead: a script with
pandas and scikit-learn's IsolationForest, which gives scores without p-values and reasons. ``peak_MB`` among the extra
information is the most memory that the process held, ``data_MB`` what the numbers take. Without ``--benchmark-enable``
every benchmark runs once, tiny. ``FOREST_THREADS`` sets the threads (default 2) and ``FOREST_CLI_SIZE`` the rows.
"""

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
from pyarrow import csv, feather, parquet

from imondrian import IsolationMondrianForest

ROOT = Path(__file__).resolve().parents[1]
THREADS = os.environ.get("FOREST_THREADS", "2")
SIZE = int(os.environ.get("FOREST_CLI_SIZE", "1000000"))
TINY, WIDTH = 3000, 10

PEAK = """
import re, sys
from pathlib import Path
status = Path("/proc/self/status")
print(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.exists() else 0)
"""
OURS = "import sys; from imondrian.cli import main; main(sys.argv[1:])\n" + PEAK
WITH_SKLEARN = (
    """
import sys, pandas as pd
from sklearn.ensemble import IsolationForest
path, output, jobs = sys.argv[1:]
rows = pd.read_parquet(path)
forest = IsolationForest(random_state=0, n_jobs=int(jobs)).fit(rows)
pd.DataFrame({"score": -forest.score_samples(rows)}).to_parquet(output)
"""
    + PEAK
)
WRITERS = {"parquet": parquet.write_table, "feather": feather.write_feather, "csv": csv.write_csv}


def start(program, *arguments):
    """Run a program and return its most memory in MB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": THREADS}
    ended = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout) / 1000


@pytest.fixture(scope="module")
def files(timed, tmp_path_factory):
    folder, n = tmp_path_factory.mktemp("cli"), SIZE if timed else TINY
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, WIDTH))
    X[rng.random(n) < 0.01] *= 4
    table = pa.table({f"x{j}": X[:, j] for j in range(WIDTH)})
    for suffix, write in WRITERS.items():
        write(table, folder / f"in.{suffix}")
    return folder, X


def time(benchmark, data, run):
    peaks = []
    benchmark.pedantic(
        lambda: peaks.append(run()), rounds=1 if benchmark.disabled else 5, warmup_rounds=0 if benchmark.disabled else 1
    )
    benchmark.extra_info |= {"peak_MB": round(max(peaks)), "data_MB": round(data.nbytes / 1e6)}


@pytest.mark.parametrize("suffix", WRITERS)
def test_score(benchmark, files, suffix):
    folder, X = files
    benchmark.group = f"score a table of {len(X)} x {WIDTH}, end to end"
    benchmark.name = f"imondrian score, {suffix}"
    command = ("score", folder / f"in.{suffix}", "-q", "-o", folder / "out.parquet", "-j", THREADS)
    start(OURS, *command)
    found = parquet.read_table(folder / "out.parquet")
    assert found.column_names[:4] == ["row", "score", "p_value", "outlier"] and found.num_rows == len(X)
    shown = X[:100_000]
    scores, others = (
        -IsolationMondrianForest(random_state=seed, n_jobs=int(THREADS)).fit(X).score_samples(shown) for seed in (0, 1)
    )
    theirs = found.column("score").to_numpy()[: len(shown)]
    if len(X) == TINY:  # the sample is the table
        np.testing.assert_array_equal(theirs, scores)
    else:  # a forest of another sample is like a forest of another seed
        assert abs(np.corrcoef(theirs, scores)[0, 1] - np.corrcoef(others, scores)[0, 1]) < 0.05
    time(benchmark, X, lambda: start(OURS, *command))


def test_script(benchmark, files):
    pytest.importorskip("pandas", reason="needs pandas")
    folder, X = files
    benchmark.group = f"score a table of {len(X)} x {WIDTH}, end to end"
    benchmark.name = "pandas and IsolationForest, parquet, scores alone"
    time(benchmark, X, lambda: start(WITH_SKLEARN, folder / "in.parquet", folder / "theirs.parquet", THREADS))
