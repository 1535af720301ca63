"""Run keyed forests in a streaming query of a session of its own.

    python spark_stream_runner.py FOLDER [KILL_AT]

FOLDER/in holds files of JSON, one a micro-batch; FOLDER/out gets what comes out, FOLDER/checkpoint the query's state.
With KILL_AT, the process ends at once, as if killed, when that batch is to be written.
"""

import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from imondrian.spark import STATE_STORE, score_by_key


def main(folder, kill_at=None):
    folder = Path(folder)
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "512m")
        .config("spark.local.dir", str(folder / "local"))
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.python.authenticate.socketTimeout", "120s")  # a busy machine is slow to start workers
        .config("spark.sql.streaming.stateStore.providerClass", STATE_STORE)
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    rows = (
        spark.readStream.schema("sensor string, at long, a double, b double")
        .option("maxFilesPerTrigger", 1)
        .json(str(folder / "in"))
    )
    scored = score_by_key(rows, "sensor", ["a", "b"], order="at", seed=7, n_trees=8, window=40)

    def write(batch, number):
        if kill_at is not None and number == int(kill_at):
            os._exit(9)
        batch.toPandas().to_parquet(folder / "out" / f"{number}.parquet")

    query = (
        scored.writeStream.outputMode("append")
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(availableNow=True)
        .foreachBatch(write)
        .start()
    )
    query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
