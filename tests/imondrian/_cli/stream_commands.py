"""Runs of ``imondrian stream``, in this process and in one of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
FEATURES = ("a", "b", "c")


def values(n, seed=0):
    """Points (n, 3) with some far out, rounded so that text holds them exactly."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    X[rng.random(n) < 0.03] *= 6
    return np.round(X, 3)


def json_lines(X, **more):
    """One JSON object a row; ``more``: lists of further fields."""
    extra = [dict(zip(more, each, strict=True)) for each in zip(*more.values(), strict=True)] if more else [{}] * len(X)
    rows = [{**dict(zip(FEATURES, row, strict=True)), **also} for row, also in zip(X.tolist(), extra, strict=True)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def csv_lines(X, delimiter=","):
    """A header, and a line a row."""
    rows = [FEATURES, *([repr(value) for value in row] for row in X.tolist())]
    return "".join(delimiter.join(row) + "\n" for row in rows).encode()


def run(folder, data, chunk=None, **settings):
    """Run in this process: (exit code, output lines as dicts). ``data``: bytes, read ``chunk`` at a time."""
    from imondrian._cli.stream import stream

    (folder / "in").write_bytes(data)
    source, sink = os.open(folder / "in", os.O_RDONLY), os.open(folder / "out", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    settings = {"parameters": {"n_trees": 10, "seed": 1}, **settings}
    try:
        code = stream.run(stream.Settings(**settings), source, sink, **({} if chunk is None else {"chunk": chunk}))
    finally:
        os.close(source)
        os.close(sink)
        out = (folder / "out").read_bytes()
    return code, [json.loads(line) for line in out.splitlines()]


def start(*options, **popen):
    """Start the command as a process; its three streams are pipes unless ``popen`` says otherwise."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen}
    command = [sys.executable, "-m", "imondrian", "stream", "--trees", "10", "--seed", "1", *map(str, options)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, **streams)


def ended(process, data=None):
    """Give a process its input and wait for its end: (exit code, output as dicts, what it told)."""
    out, told = process.communicate(data, timeout=60)
    return process.returncode, [json.loads(line) for line in (out or b"").splitlines()], (told or b"").decode()
