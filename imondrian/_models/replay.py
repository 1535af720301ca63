"""Reasons of rows that were learnt together: each is explained by the model as it was just before it.

Explaining row by row would mean learning row by row, too, which costs several times as much. Instead what learning
writes to is copied before; rows are scored and learnt at once; and where some of them are to be explained, the copy
learns them again, without scores, up to each of these. It is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imondrian._forest.forest import Forest

from .features import Fields
from .reasons import Reasons, reasons_in

if TYPE_CHECKING:
    from .prequential import Judged
    from .stream import StreamModel

_BYTES_A_ROW = 100_000  # copied in less than what a row costs more on its own


class Replay:
    """A model as it was. Its columns are kept for the next time: new ones would cost more than copying does.

    Parameters
    ----------
    model : StreamModel
    """

    def __init__(self, model: StreamModel) -> None:
        self._model = model
        self._columns: dict[str, np.ndarray] = {}
        self._forest: Forest | None = None

    def keep(self, table: Fields) -> bool:
        """Copy what learning these rows changes; False: it is not worth it, or not allowed."""
        model, self._forest = self._model, None
        forest = model.forest
        if forest is None or not model.is_ready or model.brings_features(table):
            return False  # whatever comes before the first scores, and new features, are for one row at a time
        if model.settings.max_bytes is not None or forest.nbytes > _BYTES_A_ROW * len(table.values):
            return False
        for name, column in forest.columns.items():
            kept = self._columns.get(name)
            if kept is None or kept.shape != column.shape or kept.dtype != column.dtype:
                self._columns[name] = column.copy()
            else:
                np.copyto(kept, column)
        self._forest = forest.beside({name: self._columns[name] for name in forest.columns})
        return True

    def reasons(
        self,
        table: Fields,
        present: Callable[[int], dict[Any, Any]],
        judged: Judged,
        places: Sequence[int],
        most: int,
    ) -> dict[int, Reasons]:
        """Return why rows in some ``places``, in order, have their scores; all rows have been learnt since ``keep``.

        ``present`` returns what a row has, as it came.
        """
        model, forest = self._model, self._forest
        assert forest is not None
        rows = model.rows(table.names, table.values, table.nominal)
        assert rows is not None
        times = None if model.settings.time is None else table.times  # a record's may be of no use here
        found, done, n_threads = {}, 0, model.settings.n_threads
        for place in places:
            if place > done:
                part = slice(done, place)
                forest.learn(rows[part], n_threads=n_threads, times=None if times is None else times[part])
                done = place
            p_value = None if model.recent is None else float(judged.p_values[place])
            found[place] = reasons_in(model, forest, present(place), rows[place : place + 1], p_value, most)
        return found
