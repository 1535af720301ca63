"""Run the recipe for Spark in a session of its own, and write what comes out.

    python spark_runner.py RECIPE FOLDER

FOLDER holds ``rows.parquet`` and forests, fitted with names and without; the results are written beside them. A
process of its own, since Spark leaves pipes and a Java process behind that only its end clears away.
"""

import importlib.util
import sys
from pathlib import Path

from pyspark.sql import SparkSession

FEATURES = ["a", "b", "c"]


def load_recipe(path):
    spec = importlib.util.spec_from_file_location("spark_scoring", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def main(recipe_path, folder):
    recipe, folder = load_recipe(recipe_path), Path(folder)
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "512m")
        .config("spark.local.dir", str(folder))
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "500")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    frame = spark.read.parquet(str(folder / "rows.parquet"))
    named = recipe.add_scores(frame.repartition(2), folder / "named.imf", FEATURES).toPandas()
    plain = recipe.add_scores(frame.coalesce(1), folder / "plain.imf", FEATURES).toPandas()
    nothing = recipe.add_scores(frame.where("a > 100"), folder / "plain.imf", FEATURES).toPandas()
    for name, table in (("named", named), ("plain", plain), ("nothing", nothing)):
        table.to_parquet(folder / f"{name}.parquet")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
