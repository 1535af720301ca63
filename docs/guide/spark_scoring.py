"""Score a Spark dataframe with a forest that was fitted anywhere: a saved file and ``mapInPandas``.

The file goes to every executor once; the Python workers of an executor map it, so they share its memory. Rows are
scored in the batches that Spark hands over through Arrow, and keep all their columns.

    pip install imondrian 'pyspark[sql]'    # and Java 17 or later
    python docs/guide/spark_scoring.py [rows]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DoubleType, IntegerType, StructType

from imondrian import IsolationMondrianForest


def add_scores(frame: DataFrame, model: str | Path, features: Sequence[str]) -> DataFrame:
    """Return the frame with columns ``score`` (low is abnormal), ``p_value`` and ``label`` (-1: outlier).

    Parameters
    ----------
    frame : Spark dataframe
    model : path
        What ``IsolationMondrianForest.save`` wrote.
    features : sequence of str
        Numeric columns, in the order the forest was fitted with; nulls are missing values.
    """
    frame.sparkSession.sparkContext.addFile(str(model))
    name = Path(model).name

    def score_batches(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        # Once a partition, on the executor: batches are what fits in memory, some 10,000 rows each.
        forest = IsolationMondrianForest.load(SparkFiles.get(name), mmap=True)
        names = list(features) if hasattr(forest, "feature_names_in_") else None
        for batch in batches:
            X = batch[list(features)].astype(np.float64)
            rows = X if names else X.to_numpy()
            if len(batch):
                batch = batch.assign(
                    score=forest.score_samples(rows),
                    p_value=forest.p_values(rows),
                    label=forest.predict(rows).astype(np.int32),
                )
                yield batch

    schema = StructType([*frame.schema.fields]).add("score", DoubleType()).add("p_value", DoubleType())
    return frame.mapInPandas(score_batches, schema=schema.add("label", IntegerType()))


def main(n_rows: int = 100_000) -> None:
    """Fit a forest to a sample of a Spark dataframe, save it, and score all rows."""
    spark = SparkSession.builder.getOrCreate()
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=["flow", "pressure", "heat"])
    rows.iloc[:20] += 6.0
    frame = spark.createDataFrame(rows.reset_index(names="id"))
    features = list(rows.columns)
    # A forest draws 256 rows a tree: some 50,000 are as good to it as a billion.
    sample = frame.select(features).sample(min(1.0, 50_000 / n_rows), seed=0).toPandas()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forest.imf"
        IsolationMondrianForest(random_state=0, contamination=0.001).fit(sample).save(path)
        scored = add_scores(frame, path, features)
        scored.orderBy("score").select("id", "score", "p_value", "label").show(10)
    spark.stop()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
