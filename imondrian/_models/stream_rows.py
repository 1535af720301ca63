"""Points and tables of a stream in the order of the model's features: new keys, and what each of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imondrian._forest.forest import Forest
from imondrian._forest.levels import word
from imondrian._forest.numbers import record, row_of
from imondrian._forest.times import without_time

from .features import Fields, in_order, silent_keys
from .feedback import Verdicts
from .settings import StreamSettings, count_of


class StreamRows:
    """The part of :class:`imondrian._models.stream.StreamModel` that makes rows, and takes features in."""

    if TYPE_CHECKING:
        settings: StreamSettings
        keys: dict[Any, int]
        forest: Forest | None
        verdicts: Verdicts | None
        n_ignored: int
        n_dropped: int

        def _check_bytes(self, n_features: int, nominal_count: int | None = None) -> None: ...

        def _nominal_among(self, keys: Sequence[Any]) -> int: ...

    def __init__(self) -> None:
        self._mask: tuple[Forest, np.ndarray | None] | None = None  # what kinds its features are of
        self._truths: frozenset[Any] = frozenset()  # keys of numbers that truth values came for

    def point(self, x: Any) -> dict[Any, Any]:
        """Return a point as a dict of features."""
        return record(x) if self.settings.time is None else without_time(x, self.settings.time)

    def row(self, x: Any, grow: bool = False) -> np.ndarray | None:
        """Return a point as a row (1, d); None while there are no features. ``grow``: take in those that are new."""
        if type(x) is not dict or self.settings.time is not None:
            x = self.point(x)
        forest = self.forest
        if forest is not None and forest.dtype == np.float64:
            row = row_of(x, self.keys, self._kinds(forest), word)
            if row is not None:
                return row
        return self._placed(Fields.of_point(x), grow)

    def _kinds(self, forest: Forest) -> np.ndarray | None:
        """Return what ``row_of`` asks of the features; None where all are numbers."""
        if self._mask is None or self._mask[0] is not forest:
            kinds = forest.nominal.astype(np.uint8)
            kinds[[self.keys[key] for key in self._truths]] = 2
            self._mask = forest, kinds if kinds.any() else None
        return self._mask[1]

    def rows(
        self, fields: Sequence[Any], values: np.ndarray, nominal: np.ndarray | None = None, grow: bool = False
    ) -> np.ndarray | None:
        """Return a table as rows (n, d); None while there are no features."""
        return self._placed(Fields.of(fields, values, nominal), grow)

    def _placed(self, table: Fields, grow: bool = False) -> np.ndarray | None:
        """Return a table as rows; TypeError, naming the key, where values are of another kind than those before.

        A key of which no stored point has a value may change its kind: it is as good as new. Where there were numbers,
        truth values are 1 and 0.
        """
        forest, keys = self.forest, self.keys
        changed: set[Any] = set()
        if forest is not None:
            table, changed = self._settled(table, forest)
            if forest.dtype != np.float64:  # what its precision refuses changes nothing
                table.check_precision(forest.dtype)
        if grow and (changed or not keys.keys() >= set(table.names)):
            self._grow(table, changed)
            forest, keys = self.forest, self.keys
        elif changed:
            keys = {key: place for key, place in keys.items() if key not in changed}
        return None if forest is None else table.placed(keys, forest.n_features, forest.dtype)

    def _settled(self, table: Fields, forest: Forest) -> tuple[Fields, set[Any]]:
        """Return a table whose columns are of the forest's kinds, but for the keys that may change theirs: which."""
        others = table.of_other_kinds(self.keys, forest)
        unsure = [j for j in others if table.names[j] not in self._truths or not table.holds_truths(j)]
        silent = set(forest.silent_features(self.settings.n_threads)) if unsure else set()
        changed = {table.names[j] for j in unsure if self.keys[table.names[j]] in silent}
        for j in unsure:
            if table.names[j] not in changed and not (
                self._is_number(forest, table.names[j]) and table.holds_truths(j)
            ):
                raise table.kind_error(j)
        if len(unsure) > len(changed):
            self._truths = self._truths | {table.names[j] for j in unsure} - changed
            self._mask = None
        return table.with_numbers([j for j in others if table.names[j] not in changed]), changed

    def _is_number(self, forest: Forest, key: Any) -> bool:
        return not forest.nominal[self.keys[key]]

    def new_columns(self, table: Fields) -> list[int]:
        """Return the columns that are of no feature, or may become another."""
        changed = set() if self.forest is None else self._settled(table, self.forest)[1]
        return [j for j, name in enumerate(table.names) if name not in self.keys or name in changed]

    def brings_features(self, table: Fields) -> bool:
        """Return whether learning a table takes features in."""
        known = self.forest is not None and self.keys.keys() >= set(table.names)
        return not known or len(self.new_columns(table)) > 0

    def new_keys(self, x: dict[Any, Any]) -> list[Any]:
        """Return the keys of a point that have values, but no feature."""
        table = Fields.of_point(x)
        return [table.names[j] for j in self.new_columns(table) if table.values[0, j] == table.values[0, j]]

    def _grow(self, table: Fields, changed: set[Any]) -> None:
        """Add unseen keys, and those that have ``changed`` their kind."""
        kinds = dict(zip(table.names, table.nominal.tolist(), strict=True))
        new, settings = in_order([key for key in kinds if key not in self.keys or key in changed]), self.settings
        silent = silent_keys(self.keys, self.forest, len(new) - len(changed), settings) | changed
        known = [key for key in self.keys if key not in silent]
        room = max(settings.max_features - len(known), 0)
        n_ignored = len(table.values) * max(len(new) - room, 0)
        new = new[:room]
        if not new:
            self.n_ignored += n_ignored
            return
        nominal = np.array([kinds[key] for key in new], bool)
        self._check_bytes(len(known) + len(new), self._nominal_among(known) + count_of(nominal))
        if self.forest is None:
            forest, places = settings.empty_forest(len(new), nominal), np.zeros(0, np.int32)
        else:
            dropped = [self.keys[key] for key in silent]
            forest, places, added = self.forest.widened(
                len(new),
                dropped,
                len(table.values) > 1,
                nominal=nominal,
                nominal_weight=settings.nominal_weight,
            )
            moved = {int(places[self.keys[key]]): key for key in known} | dict(zip(added, new, strict=True))
            known, new = [moved[place] for place in range(len(moved))], []
        # Together: a signal that came in between would leave keys that do not go with the forest.
        self.forest, self.keys = forest, {key: place for place, key in enumerate([*known, *new])}
        self.n_ignored += n_ignored
        self.n_dropped += len(silent - changed)
        self._truths -= silent
        if self.verdicts is not None:
            self.verdicts = self.verdicts.moved(places, forest.n_features)
