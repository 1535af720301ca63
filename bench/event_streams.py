"""Streams with labelled events: real ones, and generated ones with bursts, outages, drift and daily seasons.

Rows are in the stream's order. A real series of one value becomes windows of eight (``Shingle(8)``), each row under the
label of its last observation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from forest_data import DataSet, load_npz

FALLBACK = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "streams"
NO_STREAMS = "no folder of labelled streams: name one with --data; only generated ones are used"
WIDTH = 8
N_GENERATED = 6_000


def folder_of_streams(data: str | None) -> Path | None:
    """Return the folder of ``.npz`` streams: ``data``, or what IMONDRIAN_DATA or the fallback hold."""
    if data is not None:
        if not Path(data).is_dir():
            raise FileNotFoundError(f"there is no folder {data!r}")
        return Path(data)
    named = os.environ.get("IMONDRIAN_DATA")
    for folder in ([Path(named), Path(named).parent / "streams"] if named else []) + [FALLBACK]:
        if folder.is_dir() and any(folder.glob("nab_*.npz")):
            return folder
    return None


def shingled(data: DataSet) -> DataSet:
    """Return windows of a series of one value; other streams as they are."""
    if data.X.shape[1] > 1 or len(data.X) < WIDTH:
        return data
    windows = np.lib.stride_tricks.sliding_window_view(data.X[:, 0], WIDTH)
    return data._replace(X=np.ascontiguousarray(windows), y=data.y[WIDTH - 1 :])


def _real(path: Path, n_rows: int | None) -> DataSet:
    data = load_npz(path)
    return shingled(DataSet(path.stem, data.X[:n_rows], data.y[:n_rows]))


# -- generated ------------------------------------------------------------------------------------


def _placed(rng: np.random.Generator, n: int, lengths: Iterable[int]) -> np.ndarray:
    """Return labels with a stretch of each length, at random places far apart and beyond the first fifth."""
    y, lengths = np.zeros(n, np.int64), list(lengths)
    room = (n - n // 5) // len(lengths)
    for i, length in enumerate(lengths):
        begin = n // 5 + i * room + int(rng.integers(100, room - length - 100))
        y[begin : begin + length] = 1
    return y


def bursts(n: int, seed: int = 0) -> DataSet:
    """Gaussian points in three dimensions with three bursts of 15 points, eight deviations away."""
    rng = np.random.default_rng([seed, 1])
    X, y = rng.normal(size=(n, 3)), _placed(rng, n, [15] * 3)
    _push(rng, X, y, 8.0)
    return DataSet("bursts", X, y)


def long_bursts(n: int, seed: int = 0) -> DataSet:
    """The same with bursts of 25 to 40 points, six to seven deviations away."""
    rng = np.random.default_rng([seed, 2])
    X, y = rng.normal(size=(n, 3)), _placed(rng, n, rng.integers(25, 41, size=3).tolist())
    _push(rng, X, y, 6.5)
    return DataSet("long bursts", X, y)


def _push(rng: np.random.Generator, X: np.ndarray, y: np.ndarray, far: float) -> None:
    """Move each stretch of ones a distance in one direction of its own."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], y, [0])))).reshape(-1, 2)
    for begin, end in edges:
        direction = rng.normal(size=X.shape[1])
        X[begin:end] += far * direction / np.linalg.norm(direction)


def outages(n: int, seed: int = 0) -> DataSet:
    """Five correlated sensors: in two stretches half of the values are missing, two bursts are the events."""
    rng = np.random.default_rng([seed, 3])
    X = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(n, 5))
    y = _placed(rng, n, [30, 30])
    _push(rng, X, y, 5.0)
    for begin in (n // 3, 3 * n // 4):
        silent = rng.random((150, 5)) < 0.5
        X[begin : begin + 150][silent] = np.nan
    return DataSet("outages", X, y)


def slow_drift(n: int, seed: int = 0) -> DataSet:
    """All of five values move by six deviations over the stream, evenly; three bursts are the events."""
    rng = np.random.default_rng([seed, 4])
    X = rng.normal(size=(n, 5)) + np.linspace(0.0, 6.0, n)[:, None] * rng.choice([-1.0, 1.0], 5)
    y = _placed(rng, n, [20] * 3)
    _push(rng, X, y, 7.0)
    return DataSet("slow drift", X, y)


def abrupt_drift(n: int, seed: int = 0) -> DataSet:
    """Everything moves at the middle, and stays: no event; three bursts are the events."""
    rng = np.random.default_rng([seed, 5])
    X = rng.normal(size=(n, 5))
    X[n // 2 :] += rng.normal(size=5) * 3.0
    y = _placed(rng, n, [20] * 3)
    y[n // 2 - 50 : n // 2 + 50] = 0
    _push(rng, X, y, 7.0)
    return DataSet("abrupt drift", X, y)


def seasons(n: int, seed: int = 0) -> DataSet:
    """A value with a day of 288 rows and a weekend, in windows of eight; in three half days the wave is missing."""
    rng = np.random.default_rng([seed, 6])
    t = np.arange(n)
    wave = np.sin(2 * np.pi * t / 288) + 0.4 * np.sin(4 * np.pi * t / 288)
    y = _placed(rng, n, [120] * 3)
    weekend = t // 288 % 7 >= 5
    x = np.where(y == 1, 0.0, wave * np.where(weekend, 0.6, 1.0)) + 0.1 * rng.normal(size=n)
    return shingled(DataSet("seasons", x[:, None], y))


GENERATED: dict[str, Callable[[int, int], DataSet]] = {
    "bursts": bursts,
    "long bursts": long_bursts,
    "outages": outages,
    "slow drift": slow_drift,
    "abrupt drift": abrupt_drift,
    "seasons": seasons,
}


def _generated(name: str, seed: int) -> DataSet:
    return GENERATED[name](N_GENERATED, seed)._replace(name=f"{name} {seed}")


def event_streams(
    folder: Path | None, names: Iterable[str] | None = None, n_rows: int | None = 4_000, n_seeds: int = 2
) -> Iterator[tuple[str, Callable[[], DataSet]]]:
    """Yield group and loader of every stream: the folder's in two halves, turn about, then generated ones.

    Raises
    ------
    ValueError
        One of ``names`` (default: all) is not known.
    """
    paths = sorted(folder.glob("*.npz")) if folder else []
    loaders: dict[str, tuple[str, Callable[[], DataSet]]] = {
        path.stem: (("first half", "second half")[i % 2], partial(_real, path, n_rows)) for i, path in enumerate(paths)
    }
    for name in GENERATED:
        for seed in range(n_seeds):
            loaders[f"{name} {seed}"] = ("generated", partial(_generated, name, seed))
    for name in loaders if names is None else names:
        if name not in loaders:
            raise ValueError(f"no stream named {name!r}; there are {', '.join(loaders)}")
        yield loaders[name]
