"""Time calls of few and of many rows: what a row costs may fall with their number, and no call costs a jump.

    pytest bench/bench_forest_calls.py --benchmark-enable --benchmark-json calls.json
    python bench/report.py calls.json
    python bench/bench_forest_calls.py [--width 10] [--score depth] [--trees 100] [--samples 256]

100 trees of 256 points, one thread. From some number of rows on, calls make tables of the trees first; the constants
that decide (``kRowsPerLeaf`` and its like in ``imondrian/native/score/``) come from these curves. As a program it draws
one, around every number of rows: each call is timed beside one of a row less, in turns, as processor time. Force an
instruction set with ``IMONDRIAN_ISA=baseline``, ``avx2`` or ``avx512``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pytest
from forest_timing import label, measure
from markdown_table import markdown

from imondrian import IsolationMondrianForest, _core

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 5000)


def _model(d: int, score: str, n_trees: int = 100, n_samples: int = 256) -> tuple[IsolationMondrianForest, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(10_000, d))
    return IsolationMondrianForest(n_trees, max_samples=n_samples, score=score, n_jobs=1, random_state=0).fit(X), X


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("score", ["depth", "default", "insertion"])
@pytest.mark.parametrize("d", [3, 10, 64])
def test_call(benchmark: Any, timed: bool, d: int, score: str, n: int) -> None:
    model, X = _model(d, score, 100 if timed else 3)
    label(benchmark, f"calls of some rows, {score}, d = {d}", f"imondrian, {n:,} rows", n)
    assert np.array_equal(model.score_samples(X[:n])[:1], model.score_samples(X[:1]))
    measure(benchmark, model.score_samples, X[:n])


def _one_after_the_other(model: IsolationMondrianForest, tables: list[np.ndarray], rounds: int) -> list[float]:
    """Return the least processor time of a call on each, in turns."""
    least = [np.inf] * len(tables)
    for _ in range(rounds):
        for k, rows in enumerate(tables):
            start = time.process_time()
            model.score_samples(rows)
            least[k] = min(least[k], time.process_time() - start)
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--width", type=int, default=10)
    parser.add_argument("--score", default="depth")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--most", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    model, X = _model(chosen.width, chosen.score, chosen.trees, chosen.samples)
    counts = sorted({int(n) for n in np.geomspace(2, chosen.most, 60)})
    steps = [(n, *_one_after_the_other(model, [X[: n - 1], X[:n]], chosen.rounds)) for n in counts]
    crossing = _crossing(model, X, chosen.most, chosen.rounds)
    print(f"{chosen.score}, d = {chosen.width}, {chosen.trees} trees x {chosen.samples}, {_core.instruction_set()[0]}")
    rows = [[f"{n:,}", f"{1e6 * now:,.0f}", f"{1e6 * now / n:.2f}", f"{now / before:.2f}"] for n, before, now in steps]
    print(markdown(["rows", "us", "us a row", "to a row less"], rows))
    n, ratio = crossing
    print(f"the largest step of all: {ratio:.2f}, at {n:,} rows")


def _crossing(model: IsolationMondrianForest, X: np.ndarray, most: int, rounds: int) -> tuple[int, float]:
    """Return the number of rows where a call costs most against one of a row less, by halving the range."""
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        tables = [X[:low], X[:middle], X[:high]]
        first, second, third = _one_after_the_other(model, tables, rounds)
        rise = [(second - first) / (middle - low), (third - second) / (high - middle)]
        low, high = (low, middle) if rise[0] >= rise[1] else (middle, high)
    before, now = _one_after_the_other(model, [X[:low], X[:high]], 5 * rounds)
    return high, now / before


if __name__ == "__main__":
    main()
