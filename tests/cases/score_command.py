"""``imondrian score``, run in the folder where a test is, and the estimator that it must agree with."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'imondrian[cli]'")

import pyarrow as pa
from pyarrow import csv, feather, parquet

from imondrian import IsolationMondrianForest, cli

NAMES = ["alpha", "beta", "gamma delta"]


def make(n, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, len(NAMES))) * [1, 10, 100]
    X[::50] *= 5
    X[rng.random(X.shape) < 0.02] = np.nan
    return X.astype(dtype)


def as_table(X, **others):
    columns = {name: pa.array(X[:, j], from_pandas=True) for j, name in enumerate(NAMES)}
    return pa.table(columns | {name: pa.array(values) for name, values in others.items()})


def run(*arguments):
    cli.main([str(argument) for argument in arguments])


def fitted(X, **parameters):
    """Return the oracle: the estimator, with the fewer trees that tests take."""
    return IsolationMondrianForest(**{"n_estimators": 20, "random_state": 0} | parameters).fit(X)


def score(path, *options, output="out.parquet"):
    few = () if {"--trees", "--model", "-m"} & set(options) else ("--trees", "20")
    run("score", path, "-q", "-o", output, *few, *options)
    read = {".parquet": parquet.read_table, ".csv": csv.read_csv}.get(Path(output).suffix, feather.read_table)
    return read(output)


def column(table, name):
    return table.column(name).to_numpy()


def write_parquet(table):
    parquet.write_table(table, "in.parquet", row_group_size=700)
    return "in.parquet"


def write_csv(table):
    csv.write_csv(table, "in.csv")
    return "in.csv"
