"""Keyed forests in Spark's structured streaming: the scores of KeyedForest, also after the query was killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas", reason="needs pandas")
pytest.importorskip("pyspark", reason="needs pyspark: pip install 'imondrian[spark-test]'")

import pandas as pd
from test_spark_recipe import missing

from imondrian import spark
from imondrian._river.online_forest import OnlineForest, model_of
from imondrian.keyed import KeyedForest
from imondrian.spark import Columns, ForestProcessor

HERE = Path(__file__).resolve().parent
PARAMETERS = {"n_trees": 8, "window": 40}


def make_batches(n_batches=4, n=150):
    rng = np.random.default_rng(0)
    batches = []
    for number in range(n_batches):
        frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
        frame.insert(0, "sensor", rng.choice(["pump", "fan", "rare"], n, p=[0.6, 0.38, 0.02]))
        frame.insert(1, "at", np.arange(number * n, (number + 1) * n))
        frame.loc[::9, "b"] = np.nan
        batches.append(frame)
    return batches


def expected(batches, **parameters):
    """What KeyedForest says of the rows in their order."""
    whole = pd.concat(batches, ignore_index=True)
    keys, values = whole["sensor"].tolist(), whole[["a", "b"]].to_numpy()
    with KeyedForest(seed=7, **PARAMETERS, **parameters) as forest:
        judged = forest._models.judge_and_learn(keys, ["a", "b"], values, times=whole["at"].to_numpy(np.float64))
    return whole.assign(score=judged.scores, p_value=judged.p_values)


class Store:
    """A state store of one query: a value a key."""

    def __init__(self):
        self.values, self.key = {}, None

    def getValueState(self, name, schema):  # noqa: N802: Spark's name
        return self

    def exists(self):
        return self.key in self.values

    def get(self):
        return self.values[self.key]

    def update(self, value):
        self.values[self.key] = value


def processor(store, order=("at",), **parameters):
    made = ForestProcessor(
        Columns(("sensor",), ("a", "b"), order, ("sensor", "at", "a", "b")),
        model_of(OnlineForest(**{"calibration": 256, "max_features": 100, **PARAMETERS, **parameters})).settings,
        7,
    )
    made.init(store)
    return made


def follow(made, store, batches, shuffled=False):
    parts = []
    for batch in batches:
        for key, rows in batch.groupby("sensor"):
            store.key = (key,)
            rows = rows.sample(frac=1.0, random_state=0) if shuffled else rows
            parts += list(made.handleInputRows((key,), iter([rows[:5], rows[5:]]), None))
    return pd.concat(parts).sort_values("at", ignore_index=True)


@pytest.mark.parametrize("score", ["default", "insertion"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_processor_says_what_a_keyed_forest_does(score, shuffled):
    store, batches = Store(), make_batches()
    found = follow(processor(store, score=score), store, batches, shuffled)
    pd.testing.assert_frame_equal(found, expected(batches, score=score), check_exact=True)
    assert (found["score"] > 0).any()
    assert (found.loc[found["sensor"] == "rare", "score"] == 0).all()


@pytest.mark.parametrize("parameters", [{}, {"horizon": "40s", "time": "at"}], ids=str)
def test_another_processor_goes_on_from_the_state(parameters):
    store, batches = Store(), make_batches()
    first = follow(processor(store, **parameters), store, batches[:2])
    second = follow(processor(store, **parameters), store, batches[2:])
    found, whole = pd.concat((first, second), ignore_index=True), expected(batches, **parameters)
    pd.testing.assert_frame_equal(found, whole, check_exact=True)
    assert (found["score"].to_numpy() == expected(batches)["score"].to_numpy()).all() == (not parameters)


def test_damaged_state_is_told_of():
    store, batches = Store(), make_batches(1)
    follow(processor(store), store, batches)
    store.values[("pump",)] = (b"nothing",)
    with pytest.raises(ValueError, match='the model of "pump" in the state store is damaged'):
        follow(processor(store), store, batches)


def test_keys_are_those_of_keyed_forests():
    assert spark._text_of(("pump",)) == '"pump"'
    assert spark._text_of((np.int64(3),)) == "3"
    assert spark._text_of(("pump", 3)) == '["pump", 3]'
    with pytest.raises(ValueError, match="must not be null"):
        spark._text_of((None,))


class Stream:
    """What the checks look at of a dataframe of Spark."""

    isStreaming = True  # noqa: N815: Spark's name

    def __init__(self, schema):
        self.schema = _parsed(schema)


def _parsed(schema):
    from pyspark.sql.types import DoubleType, StringType, StructType

    kinds = {"string": StringType(), "double": DoubleType()}
    found = StructType()
    for field in schema.split(", "):
        name, kind = field.split()
        found = found.add(name, kinds[kind])
    return found


BAD = [
    ("k string, a double", "x", ["a"], {}, ValueError, "keys: there is no column 'x'; there are k, a"),
    ("k string, a double", "k", ["x"], {}, ValueError, "features: there is no column 'x'"),
    ("k string, a double", "k", ["k"], {}, TypeError, "features: 'k' must hold numbers, got string"),
    ("k double, a double", "k", ["a"], {}, TypeError, "keys: 'k' must hold text or whole numbers, got double"),
    ("k string, a double", "k", [], {}, ValueError, "features must be distinct columns, at least one"),
    ("k string, a double", ["k", "k"], ["a"], {}, ValueError, "keys must be distinct columns"),
    ("k string, a double", "k", ["a"], {"order": "t"}, ValueError, "order: there is no column 't'"),
    ("k string, a double, score double", "k", ["a"], {}, ValueError, "no column 'score', which the result has"),
    ("k string, a double", "k", ["a"], {"n_trees": 0}, ValueError, "n_trees must be"),
    ("k string, a double", "k", ["a"], {"seed": None}, TypeError, "int"),
    ("k string, a double", "k", ["a"], {"horizon": "2h", "time": "t"}, ValueError, "time must be a column.*got 't'"),
    ("k string, a double", "k", ["a"], {"horizon": "2h", "time": "a"}, ValueError, "time must be a column.*got 'a'"),
    ("k string, a double", "k", ["a"], {"horizon": "2h"}, ValueError, "time must be the key of a point"),
    ("k string, a double", "k", ["a"], {"seed": True}, TypeError, "seed must be an int"),
]


@pytest.mark.parametrize(("schema", "keys", "features", "options", "kind", "message"), BAD)
def test_bad_input_is_told_of_where_the_query_is_made(schema, keys, features, options, kind, message):
    with pytest.raises(kind, match=message):
        spark.score_by_key(Stream(schema), keys, features, **options)


def test_a_table_is_no_stream():
    frame = Stream("k string, a double")
    frame.isStreaming = False
    with pytest.raises(ValueError, match="frame must be a stream"):
        spark.score_by_key(frame, "k", ["a"])


def run_query(folder, *options):
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, HERE / "spark_stream_runner.py", folder, *options],
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # Spark gives workers ten seconds to start, whatever else the machine does. A checkpoint bears another try.
        if "Python worker failed to connect back" not in done.stdout:
            break
    return done


@pytest.mark.slow
def test_a_query_that_was_killed_goes_on_where_it_was(tmp_path):
    if reason := missing():
        pytest.skip(reason)
    pytest.importorskip("google.protobuf", reason="needs protobuf: pip install 'imondrian[spark-test]'")
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    batches = make_batches(3)
    for number, batch in enumerate(batches):
        path = tmp_path / "in" / f"{number}.json"
        batch.to_json(path, orient="records", lines=True, double_precision=15)
        os.utime(path, (1_000_000 + number, 1_000_000 + number))  # Spark takes files by age, in milliseconds
    killed = run_query(tmp_path, "1")
    assert killed.returncode == 9, killed.stdout[-4000:]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.parquet"]
    done = run_query(tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    found = pd.concat([pd.read_parquet(path) for path in sorted((tmp_path / "out").iterdir())])
    found = found.sort_values("at", ignore_index=True)
    given = [pd.read_json(tmp_path / "in" / f"{number}.json", lines=True, precise_float=True) for number in range(3)]
    pd.testing.assert_frame_equal(
        found[["sensor", "at", "score", "p_value"]],
        expected(given)[["sensor", "at", "score", "p_value"]],
        check_exact=True,
        check_dtype=False,
    )
