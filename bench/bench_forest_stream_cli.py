"""``imondrian stream`` from start to end, as a process of its own; and a model for each of many keys.

    pytest bench/bench_forest_stream_cli.py --benchmark-enable --benchmark-json stream-cli.json
    python bench/report.py stream-cli.json

JSON lines of 9 features go in through a file, one line a record comes out through a pipe; interpreter and imports are
in the time. The answer is checked against the model itself before it is timed. The peer is what people write instead:
a script that reads lines with json, asks river's detector a dict at a time, and prints. ``STREAM_RECORDS`` sets the
number of records (default 200,000), ``STREAM_KEYS`` that of keys (default 100,000). For one core: ``taskset -c 0``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forest_timing import label

pytest.importorskip("river", reason="needs river: pip install 'imondrian[river]'")
pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("orjson", reason="needs orjson: pip install 'imondrian[cli]'")

from imondrian.keyed import KeyedForest
from imondrian.river import OnlineIsolationMondrianForest

ROOT = Path(__file__).resolve().parents[1]
N_RECORDS = int(os.environ.get("STREAM_RECORDS", "200000"))
N_KEYS = int(os.environ.get("STREAM_KEYS", "100000"))
TINY = 300
N_FEATURES, CHUNK = 9, 256
PEER_RECORDS = 20_000  # the peer is slow; its time is a record's

CASES = {
    "imondrian stream": {},
    "imondrian stream --reasons 3": {},
    "imondrian stream --window reservoir": {"window": "reservoir"},
    "imondrian stream --score depth --window reservoir": {"score": "depth", "window": "reservoir"},
    "imondrian stream --trees 24 --window 64": {"n_trees": 24, "window": 64},
}
PEER = """
import json, sys
from river import anomaly, preprocessing
model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=0)
for number, line in enumerate(sys.stdin, 1):
    x = json.loads(line)
    print(json.dumps({"record": number, "score": model.score_one(x)}))
    model.learn_one(x)
"""


@pytest.fixture(scope="module")
def X(timed: bool) -> np.ndarray:
    """Points with some far out, rounded so that text holds them exactly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_RECORDS if timed else TINY, N_FEATURES))
    X[rng.random(len(X)) < 0.01] *= 5
    return np.round(X, 4)


@pytest.fixture(scope="module")
def file(X: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The points as JSON lines."""
    path = tmp_path_factory.mktemp("stream") / "records.jsonl"
    with open(path, "w") as lines:
        for row in X.tolist():
            lines.write(json.dumps({f"f{j}": value for j, value in enumerate(row)}) + "\n")
    return path


def started(path: Path, *command: str) -> bytes:
    """Run Python with a file as its standard input and return its output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(path, "rb") as lines:
        done = subprocess.run([sys.executable, *command], stdin=lines, capture_output=True, check=True, env=environment)
    return done.stdout


def scores_of(out: bytes) -> np.ndarray:
    """Return the scores in the output."""
    return np.array([json.loads(line)["score"] for line in out.splitlines()])


@pytest.mark.parametrize("name", CASES)
def test_stream(benchmark: Any, X: np.ndarray, file: Path, name: str) -> None:
    label(benchmark, f"stream of JSON lines, {N_FEATURES} features, end to end", name, len(X))
    command = ("-m", *name.split(), "--seed", "0")
    twin = OnlineIsolationMondrianForest(seed=0, **CASES[name])
    expected = np.concatenate([twin.score_learn_many(X[begin : begin + CHUNK]) for begin in range(0, len(X), CHUNK)])
    np.testing.assert_array_equal(scores_of(started(file, *command)), expected)
    benchmark.pedantic(started, args=(file, *command), rounds=1 if benchmark.disabled else 3)


def test_peer(benchmark: Any, X: np.ndarray, file: Path, tmp_path: Path) -> None:
    n = min(len(X), PEER_RECORDS)
    label(benchmark, f"stream of JSON lines, {N_FEATURES} features, end to end", "json + river HalfSpaceTrees", n)
    with open(file, "rb") as lines:
        (tmp_path / "some").write_bytes(b"".join(next(lines) for _ in range(n)))
    assert len(scores_of(started(tmp_path / "some", "-c", PEER))) == n
    benchmark.pedantic(started, args=(tmp_path / "some", "-c", PEER), rounds=1 if benchmark.disabled else 3)


# -- keys ----------------------------------------------------------------------------------------------------


def zipf(n: int, n_keys: int) -> np.ndarray:
    """Keys of which the k-th is heard of in proportion to 1 / k."""
    share = 1.0 / np.arange(1, n_keys + 1)
    return np.random.default_rng(1).choice(n_keys, n, p=share / share.sum())


def chunks(keys: np.ndarray, X: np.ndarray) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield records as they would come."""
    return ((keys[begin : begin + CHUNK].tolist(), X[begin : begin + CHUNK]) for begin in range(0, len(keys), CHUNK))


@pytest.mark.parametrize("share", [0.1, 0.01], ids="{:.0%} of the keys in memory".format)
def test_keyed(benchmark: Any, X: np.ndarray, timed: bool, tmp_path: Path, share: float) -> None:
    n_keys = N_KEYS if timed else 40
    max_models = max(1, int(share * n_keys))
    label(
        benchmark,
        f"a model a key: {n_keys:,} keys by Zipf's law, 3 features, score then learn",
        f"KeyedForest, {max_models:,} models in memory",
        len(X),
    )
    keys, values = zipf(len(X), n_keys), X[:, :3]
    commonest = KeyedForest(seed=0)
    with commonest, KeyedForest(tmp_path / "models", max_models=max_models, seed=0) as forest:
        found = np.concatenate([forest.score_learn_many(*chunk) for chunk in chunks(keys, values)])
        expected = commonest.score_learn_many([0] * int((keys == 0).sum()), values[keys == 0])
        np.testing.assert_array_equal(found[keys == 0], expected)

        def run() -> None:
            for chunk in chunks(keys, values):
                forest.score_learn_many(*chunk)

        benchmark.pedantic(run, rounds=1)
        about = forest.info()
        benchmark.extra_info.update({name: about[name] for name in ("keys", "bytes", "disk_bytes", "loads", "spills")})
