"""Streams that drift: seeded generators, and real sets one after another. Rows are in the stream's order.

Every generated stream has ``n`` points of 8 features of which about 3 % are anomalies: inliers come from three
Gaussian clusters, anomalies from a box a little wider than all clusters. What changes, and when, is in the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from forest_data import DataSet, load_npz

N_FEATURES, N_CLUSTERS, SHARE = 8, 3, 0.03
N_SWITCHES = 4  # concepts in a stream that changes abruptly or comes back


def _concepts(rng: np.random.Generator, n_concepts: int) -> np.ndarray:
    """Centres of each concept's clusters, (concepts, clusters, features)."""
    return rng.uniform(-4.0, 4.0, size=(n_concepts, N_CLUSTERS, N_FEATURES))


def _drawn(rng: np.random.Generator, name: str, centres: np.ndarray) -> DataSet:
    """One point around a centre of each row of ``centres`` (n, clusters, features), some of them anomalies."""
    n = len(centres)
    X = centres[np.arange(n), rng.integers(N_CLUSTERS, size=n)] + 0.5 * rng.normal(size=(n, N_FEATURES))
    y = (rng.random(n) < SHARE).astype(np.int64)
    X[y == 1] = rng.uniform(-6.0, 6.0, size=(int(y.sum()), N_FEATURES))
    return DataSet(name, X, y)


def abrupt(n: int, seed: int = 0) -> DataSet:
    """Everything moves at once, three times."""
    rng = np.random.default_rng([seed, 1])
    which = np.arange(n) * N_SWITCHES // n
    return _drawn(rng, "abrupt", _concepts(rng, N_SWITCHES)[which])


def gradual(n: int, seed: int = 0) -> DataSet:
    """One concept gives way to another: through the middle half, each point is of the new one ever more often."""
    rng = np.random.default_rng([seed, 2])
    share = np.clip(2.0 * np.arange(n) / n - 0.5, 0.0, 1.0)
    return _drawn(rng, "gradual", _concepts(rng, 2)[(rng.random(n) < share).astype(np.int64)])


def incremental(n: int, seed: int = 0) -> DataSet:
    """Clusters wander in straight lines from one place to another."""
    rng = np.random.default_rng([seed, 3])
    start, end = _concepts(rng, 2)
    share = np.linspace(0.0, 1.0, n)[:, None, None]
    return _drawn(rng, "incremental", (1 - share) * start + share * end)


def recurring(n: int, seed: int = 0) -> DataSet:
    """Two concepts take turns, eight times."""
    rng = np.random.default_rng([seed, 4])
    return _drawn(rng, "recurring", _concepts(rng, 2)[np.arange(n) * 2 * N_SWITCHES // n % 2])


GENERATORS: dict[str, Callable[[int, int], DataSet]] = {
    "abrupt": abrupt,
    "gradual": gradual,
    "incremental": incremental,
    "recurring": recurring,
}
# Real sets of equal width, one after another; at most N_ROWS of each, drawn by seed 0 and in the set's order.
CONCATENATIONS = (
    ("annthyroid", "mammography", "thyroid"),
    ("cover", "magic.gamma"),
    ("http", "smtp"),
    ("letter", "Ionosphere"),
)
N_ROWS = 4_000
N_STREAMED = 50_000


def concatenated(folder: Path, names: tuple[str, ...]) -> DataSet:
    """Return real sets one after another: where one ends, everything changes, units included."""
    parts = []
    for name in names:
        (path,) = [path for path in folder.glob("*.npz") if path.stem.split("_", 1)[-1] == name]
        data = load_npz(path)
        kept = np.sort(np.random.default_rng(0).permutation(len(data.X))[:N_ROWS])
        parts.append(DataSet(name, data.X[kept], data.y[kept]))
    return DataSet(
        " + ".join(names), np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts])
    )


def drift_streams(
    folder: Path | None, names: Iterable[str] | None = None, n: int = 10_000, n_seeds: int = 3
) -> Iterator[Callable[[], DataSet]]:
    """Yield a loader of every stream: each generator with several seeds, then what the folder has of real sets.

    Raises
    ------
    ValueError
        One of ``names`` (default: all) is not known.
    """
    loaders: dict[str, Callable[[], DataSet]] = {
        f"{name} {seed}": partial(_generated, name, n, seed) for name in GENERATORS for seed in range(n_seeds)
    }
    found = {path.stem.split("_", 1)[-1] for path in folder.glob("*.npz")} if folder else set()
    for sets in CONCATENATIONS:
        if folder and found.issuperset(sets):
            loaders[" + ".join(sets)] = partial(concatenated, folder, sets)
    for name in loaders if names is None else names:
        if name not in loaders:
            raise ValueError(f"no data set named {name!r}; there are {', '.join(loaders)}")
        yield loaders[name]


def _shuttle() -> DataSet:
    from river import datasets

    rows = [(list(x.values()), y) for x, y in datasets.Shuttle()]
    X = np.array([x for x, _ in rows], dtype=np.float64)
    return DataSet("shuttle", X, np.array([y for _, y in rows], np.int64))


def _ordered(folder: Path, name: str, shuffled: bool) -> DataSet:
    (path,) = [path for path in folder.glob("*.npz") if path.stem.split("_", 1)[-1] == name]
    data = load_npz(path)
    if not shuffled:
        return thinned_to(data._replace(name=f"{name} natural"), N_STREAMED)
    order = np.random.default_rng(0).permutation(len(data.X))[:N_STREAMED]
    return DataSet(f"{name} shuffled", data.X[order], data.y[order])


def real_streams(folder: Path | None, names: Iterable[str] | None = None) -> Iterator[Callable[[], DataSet]]:
    """Yield a loader of every real stream: river's Shuttle, and the folder's in their own order and shuffled.

    Longer ones are thinned to N_STREAMED rows: every so many-th, or the first after shuffling.

    Raises
    ------
    ValueError
        One of ``names`` (default: all) is not known.
    """
    loaders: dict[str, Callable[[], DataSet]] = {"shuttle": _shuttle}
    found = {path.stem.split("_", 1)[-1] for path in folder.glob("*.npz")} if folder else set()
    for name in ("smtp", "http", "cover"):
        for shuffled in (False, True):
            if folder and name in found:
                loaders[f"{name} {'shuffled' if shuffled else 'natural'}"] = partial(_ordered, folder, name, shuffled)
    for name in loaders if names is None else names:
        if name not in loaders:
            raise ValueError(f"no data set named {name!r}; there are {', '.join(loaders)}")
        yield loaders[name]


def _generated(name: str, n: int, seed: int) -> DataSet:
    return GENERATORS[name](n, seed)._replace(name=f"{name} {seed}")


def thinned_to(data: DataSet, n_rows: int | None) -> DataSet:
    """Return every so many-th row, in order, so that a shorter stream still drifts as far."""
    if n_rows is None or len(data.X) <= n_rows:
        return data
    kept = np.linspace(0, len(data.X) - 1, n_rows).astype(np.int64)
    return DataSet(data.name, data.X[kept], data.y[kept])


def shuttle_like(n: int, seed: int = 0, block: int = 10_000) -> Iterator[DataSet]:
    """Yield an endless machine's log in blocks: like Shuttle, nine integer channels, 7 % anomalies, slow drift.

    Five operating modes with a spread of their own in every channel; the channels of all modes wander
    like a random walk, about one spread a million points. Block i depends on ``seed`` and i alone but for
    where the walk has come.
    """
    rng = np.random.default_rng(seed)
    centres, spread = rng.uniform(0.0, 100.0, size=(5, 9)), rng.uniform(0.5, 20.0, size=9)
    share = rng.dirichlet(np.ones(5) * 2.0)
    for begin in range(0, n, block):
        size = min(block, n - begin)
        centres = centres + rng.normal(size=centres.shape) * spread * np.sqrt(size / 1e6)
        X = centres[rng.choice(5, size, p=share)] + spread * rng.normal(size=(size, 9))
        y = (rng.random(size) < 0.07).astype(np.int64)
        X[y == 1] += rng.choice([-1.0, 1.0], size=(int(y.sum()), 9)) * spread * rng.gamma(2.0, 3.0, (int(y.sum()), 9))
        yield DataSet("shuttle-like", np.round(X), y)
