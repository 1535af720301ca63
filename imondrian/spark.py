"""A forest a key inside Spark Structured Streaming: the models are state of the query, in its state store.

Needs PySpark 4 with pandas, pyarrow and protobuf (``pip install 'imondrian[spark]'``), and Java 17 or later.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

try:
    import pandas as pd
    from pyspark.sql.streaming.stateful_processor import StatefulProcessor
    from pyspark.sql.types import (
        BinaryType,
        BooleanType,
        ByteType,
        DoubleType,
        FloatType,
        IntegerType,
        LongType,
        ShortType,
        StringType,
        StructType,
    )
except ImportError as error:
    raise ImportError(f"imondrian.spark needs PySpark 4 or later ({error}): pip install 'imondrian[spark]'") from error

from ._forest.times import timed_table
from ._keyed.keys import text_of
from ._keyed.learners import Learners
from ._keyed.pending_points import Young
from ._models.features import Fields
from ._models.settings import StreamSettings
from ._river.online_forest import OnlineForest, model_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.stateful_processor import StatefulProcessorHandle

__all__ = ["STATE_STORE", "ForestProcessor", "score_by_key"]

STATE_STORE = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
_STATE = "forest"
_KEYS = (StringType, ByteType, ShortType, IntegerType, LongType)
_FEATURES = (BooleanType, ByteType, ShortType, IntegerType, LongType, FloatType, DoubleType, StringType)
_TOLD = ("score", "p_value")


class Columns(NamedTuple):
    """Which columns of a stream are what."""

    keys: tuple[str, ...]
    features: tuple[str, ...]
    order: tuple[str, ...]
    all: tuple[str, ...]


class ForestProcessor(StatefulProcessor):
    """What Spark calls with the rows of a key: :func:`score_by_key` makes it, and is what to use.

    Parameters
    ----------
    columns : Columns
    settings : StreamSettings
        Of every model, but for the seed.
    seed : int
    """

    def __init__(self, columns: Columns, settings: StreamSettings, seed: int) -> None:
        self._columns, self._settings, self._seed = columns, settings, seed
        self._learners: Learners | None = None

    def init(self, handle: StatefulProcessorHandle) -> None:
        """Open the state: the bytes of a key's model."""
        self._learners = Learners(self._settings, self._seed)
        self._state = handle.getValueState(_STATE, StructType().add("model", BinaryType()))

    def handleInputRows(  # noqa: N802: Spark's name
        self, key: Any, rows: Iterator[pd.DataFrame], timerValues: Any
    ) -> Iterator[pd.DataFrame]:
        """Score the rows of a key, each before it is learnt, and keep the model."""
        assert self._learners is not None
        columns, learners = self._columns, self._learners
        frame = pd.concat(list(rows), ignore_index=True)
        if columns.order:
            frame = frame.sort_values(list(columns.order), kind="stable", ignore_index=True)
        text = _text_of(key)
        held = self._state.get() if self._state.exists() else None
        try:
            learner = Young() if held is None else learners.from_bytes(text, bytes(held[0]))
        except (ValueError, TypeError) as error:
            raise ValueError(f"the model of {text} in the state store is damaged: {error}") from None
        time = learners.template.settings.time
        wanted = [*columns.features] if time is None else [*columns.features, time]
        names, values, nominal, times = timed_table(frame[wanted], time)
        learner, judged = learners.learn(text, learner, Fields.of(names, values, nominal, times=times))
        self._state.update((learners.to_bytes(learner),))
        yield frame[list(columns.all)].assign(score=judged.scores, p_value=judged.p_values)

    def close(self) -> None:
        """Nothing is open."""


def score_by_key(
    frame: DataFrame,
    keys: str | Sequence[str],
    features: Sequence[str],
    *,
    order: str | Sequence[str] = (),
    seed: int = 0,
    n_trees: int = 24,
    window: Any = 64,
    **parameters: Any,
) -> DataFrame:
    """Return a stream with the score and p-value of each row under its key's forest, which then learns it.

    Parameters
    ----------
    frame : streaming Spark dataframe
        Of Kafka, files, a rate, or whatever else.
    keys : str or sequence of str
        The columns, of text or whole numbers, that say which model a row belongs to.
    features : sequence of str
        Columns of numbers, and of text and truth values, which are categories. Nulls are missing values.
    order : str or sequence of str, optional
        Columns that the rows of a key are sorted by within a micro-batch: Spark shuffles them, and models learn in
        order. Rows that come in a later batch are later.
    seed : int, default=0
        With the key it decides a model's random numbers: executors that start over must draw the same.
    n_trees, window, **parameters
        Of :class:`imondrian.river.OnlineIsolationMondrianForest`; the defaults are those of
        :class:`imondrian.keyed.KeyedForest`. ``time`` is a column of times or of seconds, and no feature.

    Returns
    -------
    streaming Spark dataframe
        All columns and ``score`` (in [0, 1], high is anomalous, 0 for a key's first 32 rows) and ``p_value``, both
        double. Write it in append mode, with a checkpoint.

    Raises
    ------
    TypeError, ValueError
        A column that is missing, has another type, or is called as the results are; bad parameters; ``frame`` is no
        stream.

    Notes
    -----
    Scores are those of ``KeyedForest`` with the same parameters, to the bit, if a key's rows come in the same order.
    Models live in the query's state store: a query that goes on from its checkpoint, after whatever killed it, goes on
    with the models as they were after the last batch that was committed, and Spark replays what came since.
    The session must have ``spark.sql.streaming.stateStore.providerClass`` set to ``imondrian.spark.STATE_STORE``
    (RocksDB), which this kind of state needs.

    A model is read and written once a key and micro-batch: the longer the trigger's interval, the more rows share that
    cost. It takes some 100 kB with the default 24 trees of 64 points and nine features.
    """
    columns = _columns(frame, _several(keys), _several(features), _several(order))
    if (time := parameters.get("time")) is not None and (time in columns.features or time not in columns.all):
        raise ValueError(f"time must be a column that is no feature, got {time!r}")
    parameters = {"calibration": 256, "max_features": 100, **parameters, "n_trees": n_trees, "window": window}
    if "seed" in parameters or isinstance(seed, bool):
        raise TypeError(f"seed must be an int, got {seed!r}")
    settings = model_of(OnlineForest(**parameters)).settings  # checked here, where it can be told
    processor = ForestProcessor(columns, settings, operator.index(seed))
    schema = StructType([*frame.schema.fields]).add("score", DoubleType()).add("p_value", DoubleType())
    return frame.groupBy(*columns.keys).transformWithStateInPandas(
        statefulProcessor=processor, outputStructType=schema, outputMode="Append", timeMode="None"
    )


def _several(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _columns(frame: DataFrame, keys: tuple[str, ...], features: tuple[str, ...], order: tuple[str, ...]) -> Columns:
    if not frame.isStreaming:
        raise ValueError("frame must be a stream: for a table, see KeyedForest and mapInPandas in the guide")
    types = {field.name: field.dataType for field in frame.schema.fields}
    for name, chosen, kinds, what in (
        ("keys", keys, _KEYS, "text or whole numbers"),
        ("features", features, _FEATURES, "numbers, truth values or text"),
    ):
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(f"{name} must be distinct columns, at least one, got {list(chosen)!r}")
        for column in chosen:
            if column not in types:
                raise ValueError(f"{name}: there is no column {column!r}; there are {', '.join(types)}")
            if name == "features" and column in keys and isinstance(types[column], StringType):
                raise TypeError(f"features: {column!r} must hold numbers, got string: a key is the same in all rows")
            if not isinstance(types[column], kinds):
                raise TypeError(f"{name}: {column!r} must hold {what}, got {types[column].simpleString()}")
    for column in order:
        if column not in types:
            raise ValueError(f"order: there is no column {column!r}; there are {', '.join(types)}")
    for column in _TOLD:
        if column in types:
            raise ValueError(f"frame must have no column {column!r}, which the result has: rename it")
    return Columns(keys, features, order, tuple(types))


def _text_of(key: Any) -> str:
    """Return Spark's key as ``KeyedForest`` writes it: one column is the key itself, several are a tuple."""
    parts = tuple(key) if isinstance(key, tuple) else (key,)
    parts = tuple(part.item() if isinstance(part, np.generic) else part for part in parts)
    if any(part is None for part in parts):
        raise ValueError("keys must not be null: filter such rows out, or give them a key")
    return text_of(parts[0] if len(parts) == 1 else parts)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
