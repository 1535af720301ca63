"""Measure every single call of a stream: how long the slowest of a million take, and who is to blame.

    python bench/latency_stream.py --points 1000000

Each point is scored (``score_one``), then learnt (``learn_one``), and both calls are timed. A second loop does
the same with two calls that do nothing but wait out the median time: as long in all, and stopped by the
machine as often. What it shows in the tail, the machine does by itself.
"""

from __future__ import annotations

import argparse
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from forest_streams import shuttle_like
from markdown_table import markdown

from imondrian.river import OnlineIsolationMondrianForest

N_WARM = 2_000  # points learnt before any is timed
PAUSE_US = 1_000.0
NAMES = [f"f{column}" for column in range(1, 10)]


def timed_calls(
    points: int, seed: int, score: Callable[[dict[str, float]], Any], learn: Callable[[dict[str, float]], Any]
) -> np.ndarray:
    """Return the microseconds of both calls for every point, (points, 2)."""
    clock, times = time.perf_counter_ns, array("q")
    for block in shuttle_like(points + N_WARM, seed):
        for row in block.X.tolist():
            x = dict(zip(NAMES, row, strict=True))
            start = clock()
            score(x)
            middle = clock()
            learn(x)
            end = clock()
            times.append(middle - start)
            times.append(end - middle)
    return np.frombuffer(times, np.int64).reshape(-1, 2)[N_WARM:] / 1e3


def waiting(us: float) -> Callable[[dict[str, float]], None]:
    """Return a call that does nothing for so many microseconds."""
    clock, length = time.perf_counter_ns, int(1e3 * us)

    def wait(x: dict[str, float]) -> None:
        until = clock() + length
        while clock() < until:
            pass

    return wait


def measured(points: int, seed: int = 0, **params: Any) -> dict[str, np.ndarray]:
    """Time the model's calls and the control's, (points,) each, in microseconds."""
    model = OnlineIsolationMondrianForest(seed=seed, **params)
    ours = timed_calls(points, seed, model.score_one, model.learn_one)
    score, learn = np.median(ours, axis=0)
    control = timed_calls(points, seed, waiting(score), waiting(learn))
    return {
        "score_one": ours[:, 0],
        "learn_one": ours[:, 1],
        "both": ours.sum(axis=1),
        "control, both": control.sum(axis=1),
    }


def table(times: dict[str, np.ndarray]) -> str:
    """Return percentiles and pauses as markdown."""
    rows = []
    for name, us in times.items():
        p50, p99, p999 = np.percentile(us, [50, 99, 99.9])
        rows.append(
            [
                name,
                f"{p50:.1f}",
                f"{p99:.1f}",
                f"{p999:.1f}",
                f"{us.max():,.0f}",
                f"{p99 / p50:.2f}",
                str(int((us > PAUSE_US).sum())),
            ]
        )
    return markdown(["call", "p50 us", "p99 us", "p99.9 us", "max us", "p99 / p50", "over 1 ms"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--window", default="thinned", help="thinned, decayed, reservoir, or a number of points")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    window = int(options.window) if options.window.isdigit() else options.window
    print(table(measured(options.points, options.seed, window=window)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
