"""Run a default stream for millions of points: memory and cost must stay what they were.

    python bench/soak_stream.py --points 5000000

Prints a row for every million points: time a point (scored, then learnt, in chunks), the process's resident
memory, the model's own bytes, and ROC-AUC, so that flat does not mean idle. The points come from a seeded,
slowly drifting generator (``forest_streams.shuttle_like``), which is not timed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import psutil
from forest_streams import shuttle_like
from markdown_table import markdown
from sklearn.metrics import roc_auc_score

from imondrian.river import OnlineIsolationMondrianForest

CHUNK = 256


class Stretch(NamedTuple):
    """What one stretch of the stream took."""

    points: int  # learnt at its end
    us_a_point: float
    resident: int  # bytes
    model: int
    auc: float


def soak(points: int, every: int, seed: int = 0, window: object = "thinned") -> list[Stretch]:
    """Stream ``points`` points through a default model and measure every so many."""
    model = OnlineIsolationMondrianForest(window=window, seed=seed)
    process, stretches = psutil.Process(), []
    spent, done, scores, labels = 0.0, 0, [], []
    for block in shuttle_like(points, seed, min(every, 10_000)):
        for begin in range(0, len(block.X), CHUNK):
            chunk = block.X[begin : begin + CHUNK]
            start = time.perf_counter()
            found = model.score_learn_many(chunk)
            spent += time.perf_counter() - start
            scores.append(found)
        labels.append(block.y)
        done += len(block.X)
        if done % every == 0 or done == points:
            y = np.concatenate(labels)
            stretches.append(
                Stretch(
                    done,
                    1e6 * spent / len(y),
                    process.memory_info().rss,
                    sys.getsizeof(model),
                    float(roc_auc_score(y, np.concatenate(scores))),
                )
            )
            spent, scores, labels = 0.0, [], []
    return stretches


def table(stretches: Sequence[Stretch]) -> str:
    """Return the measurements, and how far the last stretch is from the first, as markdown."""
    rows = [
        [f"{s.points:,}", f"{s.us_a_point:.2f}", f"{s.resident / 1e6:.1f}", f"{s.model / 1e6:.2f}", f"{s.auc:.3f}"]
        for s in stretches
    ]
    first, last = stretches[0], stretches[-1]
    rows.append(
        [
            "last - first",
            f"{last.us_a_point - first.us_a_point:+.2f}",
            f"{(last.resident - first.resident) / 1e6:+.1f}",
            f"{(last.model - first.model) / 1e6:+.2f}",
            f"{last.auc - first.auc:+.3f}",
        ]
    )
    return markdown(["points", "us a point", "resident MB", "model MB", "AUC"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=5_000_000, metavar="N")
    parser.add_argument("--every", type=int, default=1_000_000, metavar="N", help="points a row of the table")
    parser.add_argument("--window", default="thinned", help="thinned, decayed, reservoir, or a number of points")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    window = int(options.window) if options.window.isdigit() else options.window
    print(table(soak(options.points, options.every, options.seed, window)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
