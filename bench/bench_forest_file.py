"""Time saving and loading a fitted forest, beside pickles of the same forest and of scikit-learn's.

    pytest bench/bench_forest_file.py --benchmark-enable --benchmark-json file.json
    python bench/report.py file.json

Default forests of 100 trees of 256 points, fitted on 10,000 x 10 float64 rows; files lie in pytest's temporary
folder, and loads find them in the page cache. "first score" is a load and the scores of one row: what a mapped
file puts off is paid there. A loaded forest's scores are checked, to the bit, before anything is timed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pytest
from forest_data import planted
from forest_timing import label, measure
from sklearn.ensemble import IsolationForest

from imondrian import IsolationMondrianForest

N_TREES, N_SAMPLES, N_FEATURES = 100, 256, 10


class Format(NamedTuple):
    """A way to keep a model in a file."""

    make: Callable[[], Any]
    save: Callable[[Any, Path], Any]
    load: Callable[[Path], Any]


def _ours() -> Any:
    return IsolationMondrianForest(N_TREES, max_samples=N_SAMPLES, n_jobs=1, random_state=0)


def _sklearn() -> Any:
    return IsolationForest(n_estimators=N_TREES, max_samples=N_SAMPLES, n_jobs=1, random_state=0)


def _save_own(model: Any, path: Path) -> None:
    model.save(path)


def _load_own(path: Path, mmap: bool) -> Any:
    return IsolationMondrianForest.load(path, mmap=mmap)


def _save_pickle(model: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(model, protocol=5))


def _load_pickle(path: Path) -> Any:
    return pickle.loads(path.read_bytes())


FORMATS: dict[str, Format] = {
    "imondrian save / load": Format(_ours, _save_own, partial(_load_own, mmap=False)),
    "imondrian save / load, mmap": Format(_ours, _save_own, partial(_load_own, mmap=True)),
    "imondrian pickle": Format(_ours, _save_pickle, _load_pickle),
    "imondrian joblib": Format(_ours, joblib.dump, joblib.load),
    "scikit-learn pickle": Format(_sklearn, _save_pickle, _load_pickle),
    "scikit-learn joblib": Format(_sklearn, joblib.dump, joblib.load),
}
each_format = pytest.mark.parametrize("name", FORMATS)


class Saved(NamedTuple):
    """A fitted model in a file, which gives the same scores when it is loaded."""

    way: Format
    model: Any
    path: Path
    row: np.ndarray


@pytest.fixture
def saved(name: str, timed: bool, tmp_path: Path) -> Saved:
    X = planted(10_000 if timed else 500, N_FEATURES).X
    way, path = FORMATS[name], tmp_path / "model"
    model = way.make().fit(X)
    way.save(model, path)
    assert np.array_equal(way.load(path).score_samples(X), model.score_samples(X))
    return Saved(way, model, path, X[:1])


def _label(benchmark: Any, verb: str, name: str, path: Path) -> None:
    workload = f"{verb} a fitted forest, {N_TREES} trees x {N_SAMPLES}, d = {N_FEATURES}"
    label(benchmark, workload, name, 1, unit="ms", file_bytes=path.stat().st_size)


@pytest.mark.parametrize("name", [name for name in FORMATS if "mmap" not in name])
def test_save(benchmark: Any, saved: Saved, name: str) -> None:
    _label(benchmark, "save", name, saved.path)
    measure(benchmark, saved.way.save, saved.model, saved.path)


@each_format
def test_load(benchmark: Any, saved: Saved, name: str) -> None:
    _label(benchmark, "load", name, saved.path)
    measure(benchmark, saved.way.load, saved.path)


@each_format
def test_first_score(benchmark: Any, saved: Saved, name: str) -> None:
    _label(benchmark, "load and give the first score of", name, saved.path)
    measure(benchmark, lambda: saved.way.load(saved.path).score_samples(saved.row))
