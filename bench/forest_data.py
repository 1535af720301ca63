"""Labelled data sets for the forest's quality protocols and benchmarks: bundled, and folders of ``.npz``.

Nothing is downloaded. Every set is the same on every machine: what is sampled away is chosen by a fixed seed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

FALLBACK = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "adbench"
NO_FOLDER = (
    "no folder of .npz sets: name one with --data or IMONDRIAN_DATA; "
    "only the sets bundled with scikit-learn and river are used"
)


class TooFewAnomaliesError(ValueError):
    """What was sampled of a set holds too few anomalies to split; another seed may do."""


class DataSet(NamedTuple):
    """Rows X (n, d), float64, with y (n,) = 1 for anomalies."""

    name: str
    X: np.ndarray
    y: np.ndarray


def rare_class(name: str, X: np.ndarray, is_anomaly: np.ndarray, n_anomalies: int) -> DataSet:
    """Keep all inliers and ``n_anomalies`` of the anomalies, chosen by seed 0, in the original order."""
    chosen = np.random.default_rng(0).choice(np.flatnonzero(is_anomaly), n_anomalies, replace=False)
    kept = ~is_anomaly
    kept[chosen] = True
    return DataSet(name, np.ascontiguousarray(X[kept], dtype=np.float64), is_anomaly[kept].astype(np.int64))


def _breast_cancer() -> DataSet:
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return rare_class("breast_cancer", X, y == 0, 21)


def _wine() -> DataSet:
    from sklearn.datasets import load_wine

    X, y = load_wine(return_X_y=True)
    return rare_class("wine_class0", X, y == 0, 10)


def _digits(digit: int) -> DataSet:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return rare_class(f"digits_{digit}", X, y == digit, 50)


def shuttle(n: int | None = None) -> DataSet:
    """Return the first n points of river's Shuttle stream (49,097 x 9) in the stream's order."""
    from river.datasets import Shuttle

    pairs = list(Shuttle().take(n) if n else Shuttle())
    X = np.array([list(x.values()) for x, _ in pairs], dtype=np.float64)
    return DataSet("shuttle_stream", X, np.array([int(y) for _, y in pairs]))


BUNDLED: dict[str, Callable[[], DataSet]] = {
    "breast_cancer": _breast_cancer,
    "wine_class0": _wine,
    "digits_0": lambda: _digits(0),
    "digits_1": lambda: _digits(1),
    "digits_8": lambda: _digits(8),
    "shuttle_stream": shuttle,
}


def data_folder(named: str | os.PathLike[str] | None = None, kind: str = "adbench") -> Path | None:
    """Return the folder of ``.npz`` sets: the one named, ``IMONDRIAN_DATA``, the fallback, or None.

    Raises
    ------
    FileNotFoundError
        A folder was named, by argument or environment, and does not exist.
    """
    named = named or os.environ.get("IMONDRIAN_DATA")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            raise FileNotFoundError(f"the data folder {str(named)!r} does not exist")
        # The variable may name the data's root, whose sets lie in folders for each kind.
        nested = folder / kind
        return nested if nested.is_dir() and not any(folder.glob("*.npz")) else folder
    fallback = FALLBACK.with_name(kind) if FALLBACK.name == "adbench" else FALLBACK
    return fallback if fallback.is_dir() else None


def load_npz(path: Path) -> DataSet:
    """Read one file with ``X`` (n, d) and ``y`` (n,), 1 = anomaly; drop a leading number from its name."""
    with np.load(path, allow_pickle=False) as arrays:
        missing = {"X", "y"} - set(arrays.files)
        if missing:
            raise ValueError(f"{path.name} must hold arrays X and y, lacks {', '.join(sorted(missing))}")
        X, y = np.ascontiguousarray(arrays["X"], dtype=np.float64), arrays["y"].ravel().astype(np.int64)
    if X.ndim != 2 or len(X) != len(y):
        raise ValueError(f"{path.name} must hold X (n, d) and y (n,), got {X.shape} and {y.shape}")
    return DataSet(_set_name(path), X, y)


def _set_name(path: Path) -> str:
    return re.sub(r"^\d+_", "", path.stem)


def data_sets(
    folder: Path | None, names: Iterable[str] | None = None, bundled: bool = True
) -> Iterator[Callable[[], DataSet]]:
    """Yield a loader for every set asked for, so that only one is in memory at a time.

    Parameters
    ----------
    folder : Path or None
        Folder of ``.npz`` files; None for none.
    names : iterable of str, optional
        Only these, in this order. Default: all of the folder, after the bundled ones if ``bundled``.
    bundled : bool, default=True

    Raises
    ------
    ValueError
        A name is not known.
    """
    loaders: dict[str, Callable[[], DataSet]] = dict(BUNDLED) if bundled or names is not None else {}
    for path in sorted(folder.glob("*.npz"), key=lambda path: _set_name(path).lower()) if folder else []:
        loaders[_set_name(path)] = partial(load_npz, path)
    if names is None:
        yield from loaders.values()
        return
    for name in names:
        if name not in loaders:
            raise ValueError(f"no data set named {name!r}; there are {', '.join(loaders)}")
        yield loaders[name]


def at_most(data: DataSet, n_rows: int | None, seed: int) -> DataSet:
    """Sample ``n_rows`` rows without replacement with ``default_rng(seed)``, if there are more."""
    if n_rows is None or len(data.X) <= n_rows:
        return data
    rows = np.random.default_rng(seed).choice(len(data.X), n_rows, replace=False)
    return DataSet(data.name, data.X[rows], data.y[rows])


def split_70_30(data: DataSet, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return X_train, X_test, y_train, y_test: stratified, 30 % for testing."""
    if min(data.y.sum(), len(data.y) - data.y.sum()) < 2:
        raise TooFewAnomaliesError(
            f"{int(data.y.sum())} anomalies among {len(data.y)} rows (seed {seed}); "
            "a stratified split needs 2 of each kind"
        )
    return tuple(train_test_split(data.X, data.y, test_size=0.3, stratify=data.y, random_state=seed))


def planted(n: int, n_features: int = 10, share: float = 0.01, seed: int = 0) -> DataSet:
    """Return correlated Gaussian clusters with a share of uniform anomalies between them; for timing."""
    rng = np.random.default_rng(seed)
    n_anomalies = max(20, int(n * share))
    centres = rng.normal(scale=3.0, size=(4, n_features))
    mixing = rng.normal(size=(n_features, n_features)) / np.sqrt(n_features)
    X = centres[rng.integers(4, size=n)] + rng.normal(size=(n, n_features)) @ mixing
    y = np.zeros(n, dtype=np.int64)
    y[rng.choice(n, n_anomalies, replace=False)] = 1
    # Hardly farther out than the clusters: an average precision of 1 would hide a slightly wrong answer.
    X[y == 1] = rng.uniform(-5.0, 5.0, size=(n_anomalies, n_features))
    return DataSet(f"planted {n} x {n_features}", X, y)
