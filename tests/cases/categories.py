"""A table with a number, a text and a truth value, and what means the same in other libraries and types."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

N = 300
RNG = np.random.default_rng(0)
SITES = RNG.choice(["x", "y", "z"], N, p=[0.5, 0.3, 0.2]).astype(object)
OK = RNG.random(N) < 0.9
A = RNG.normal(size=N)


def frame(dtype=np.float64):
    return pd.DataFrame({"a": A.astype(dtype), "site": SITES, "ok": OK})


def records(X):
    return [
        {"a": float(a), "site": site, "ok": bool(ok)} for a, site, ok in zip(X["a"], X["site"], X["ok"], strict=True)
    ]


SAME = {
    "str": lambda X: X.astype({"site": "str"}),
    "string": lambda X: X.astype({"site": "string"}),
    "category": lambda X: X.astype({"site": "category"}),
    "other codes": lambda X: X.assign(site=pd.Categorical(X["site"], ["unused", "z", "y", "x"])),
    "truths as objects": lambda X: X.assign(ok=X["ok"].astype(object)),
    "nullable truths": lambda X: X.astype({"ok": "boolean"}),
    "truths as categories": lambda X: X.astype({"ok": "category"}),
    "arrow in pandas": lambda X: X.astype({"site": "string[pyarrow]", "ok": "bool[pyarrow]", "a": "double[pyarrow]"}),
    "arrow dictionary in pandas": lambda X: X.assign(
        site=pd.Series(pd.arrays.ArrowExtensionArray(pa.array(list(X["site"])).dictionary_encode()))
    ),
    "polars": pl.from_pandas,
    "polars category": lambda X: pl.from_pandas(X).with_columns(pl.col("site").cast(pl.Categorical)),
    "polars enum": lambda X: pl.from_pandas(X).with_columns(pl.col("site").cast(pl.Enum(["z", "unused", "x", "y"]))),
    "arrow": pa.Table.from_pandas,
    "arrow dictionary": lambda X: pa.Table.from_pandas(X.astype({"site": "category"})),
    "arrow chunks": lambda X: pa.concat_tables(
        [
            pa.Table.from_pandas(X.astype({"site": "category"})).slice(0, 7),
            pa.Table.from_pandas(X.astype({"site": "category"})).slice(7),
        ]
    ),
}
