"""The schema of a stream: which features a model knows, and the place of each in its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from imondrian._forest.forest import Forest
from imondrian._forest.levels import narrowed, numbers_of_truths
from imondrian._forest.numbers import shown, values_of
from imondrian._forest.validation import in_precision, overflows

from .settings import StreamSettings

_MANY_SILENT = 0.25  # of all keys


def in_order(new: list[Any]) -> list[Any]:
    """Return keys in an order that does not depend on the one they came in."""
    try:
        return sorted(new)
    except TypeError:  # keys of several types
        return sorted(new, key=lambda key: (type(key).__name__, str(key)))


class Fields(NamedTuple):
    """A table, or a point as one of one row, before its columns have the places that the model gives them."""

    names: Sequence[Any]
    values: np.ndarray  # (n, len(names)), float64: numbers, words of float64, NaN where missing
    nominal: np.ndarray  # (len(names),), bool: which are words
    point: dict[Any, Any] | None = None  # as it came, for messages
    times: np.ndarray | None = None  # (n,), in seconds: of windows by age

    @classmethod
    def of(
        cls,
        names: Sequence[Any],
        values: np.ndarray,
        nominal: np.ndarray | None = None,
        point: dict[Any, Any] | None = None,
        times: np.ndarray | None = None,
    ) -> Fields:
        """Return a table; where nothing is told of its kinds, all are numbers."""
        return cls(names, values, np.zeros(len(names), bool) if nominal is None else nominal, point, times)

    def part(self, rows: Any) -> Fields:
        """Return some of the rows."""
        return self._replace(values=self.values[rows], times=None if self.times is None else self.times[rows])

    @classmethod
    def of_point(cls, x: dict[Any, Any]) -> Fields:
        """Return a point as a table."""
        values, levels = values_of(x)
        nominal = np.array([key in levels for key in values], bool)
        return cls(list(values), np.array([[*values.values()]], np.float64).reshape(1, -1), nominal, x)

    def of_other_kinds(self, keys: dict[Any, int], forest: Forest) -> list[int]:
        """Return the columns with values of another kind than the model's feature of that name."""
        if not self.nominal.any() and not forest.mixed:
            return []
        places = [keys.get(name) for name in self.names]
        others = [j for j, place in enumerate(places) if place is not None and forest.nominal[place] != self.nominal[j]]
        return [j for j in others if not np.isnan(self.values[:, j]).all()]

    def holds_truths(self, column: int) -> bool:
        """Return whether a column is nominal, and of truth values: where there were numbers, they are 1 and 0."""
        return bool(self.nominal[column]) and numbers_of_truths(self.values[:, column]) is not None

    def with_numbers(self, columns: list[int]) -> Fields:
        """Return the table with the truth values of some columns as numbers."""
        if not columns:
            return self
        values, nominal = self.values.copy(), self.nominal.copy()
        for j in columns:
            values[:, j] = numbers_of_truths(values[:, j])
        nominal[columns] = False
        return self._replace(values=values, nominal=nominal)

    def kind_error(self, column: int) -> TypeError:
        """Return the error for a column of another kind than the model's feature."""
        kinds = ("a number", "numbers"), ("a category", "categories")
        name, is_nominal = self.names[column], bool(self.nominal[column])
        if self.point is None:
            where, got = f"X[{name!r}] must be {kinds[not is_nominal][1]}", kinds[is_nominal][1]
        else:
            where, got = f"x[{name!r}] must be {kinds[not is_nominal][0]}", shown(self.point[name])
        return TypeError(f"{where}, got {got}: its values so far are {kinds[not is_nominal][1]}")

    def check_precision(self, dtype: np.dtype) -> None:
        """Raise ValueError where ``dtype`` cannot hold a number."""
        if self.point is None:
            self.placed({}, 0, dtype)
        else:
            numbers = zip(self.names, self.values[0].tolist(), self.nominal.tolist(), strict=True)
            check_precision({name: value for name, value, is_nominal in numbers if not is_nominal}, dtype)

    def placed(self, keys: dict[Any, int], n_features: int, dtype: np.dtype) -> np.ndarray:
        """Return the columns in the places of ``keys``; ValueError where ``dtype`` cannot hold a number."""
        return placed(keys, self.names, self.values, n_features, dtype, self.nominal)


def check_precision(x: dict[Any, float], dtype: np.dtype) -> None:
    """Raise ValueError where ``dtype`` cannot hold a number of a point."""
    if dtype == np.float64:
        return
    for key in np.array(list(x), object)[overflows(np.array(list(x.values())), dtype)]:
        raise ValueError(f"x[{key!r}] must be finite in {dtype}, the forest's precision, got {x[key]}")


def placed(
    keys: dict[Any, int],
    fields: Sequence[Any],
    values: np.ndarray,
    n_features: int,
    dtype: np.dtype,
    nominal: np.ndarray | None = None,
) -> np.ndarray:
    """Return the columns named ``fields`` in the places of ``keys``; ValueError where ``dtype`` cannot hold a number.

    ``nominal`` says which of them are words.
    """
    if dtype == np.float64 or nominal is None or not nominal.any():
        values = in_precision(values, dtype, fields)
    else:
        words = narrowed(values[:, nominal], dtype)
        values = in_precision(np.where(nominal, 0.0, values), dtype, fields)
        values[:, nominal] = words
    places = [keys.get(key) for key in fields]
    if places == list(range(n_features)):
        return values
    rows = np.full((len(values), n_features), np.nan, dtype=dtype)
    for column, place in enumerate(places):
        if place is not None:
            rows[:, place] = values[:, column]
    return rows


def silent_keys(keys: dict[Any, int], forest: Forest | None, n_new: int, settings: StreamSettings) -> set[Any]:
    """Return the keys to drop for ``n_new`` others; none unless that saves room or width.

    Others take the places of as many as they are. More are dropped only where they are many: features move then,
    so that all boxes and points are copied.
    """
    if forest is None or settings.retention.points is None:
        return set()
    if len(keys) + n_new <= min(settings.max_features, forest.padded):
        return set()
    names, silent = list(keys), forest.silent_features(settings.n_threads)
    return {names[place] for place in (silent if len(silent) >= _MANY_SILENT * len(keys) else silent[:n_new])}
