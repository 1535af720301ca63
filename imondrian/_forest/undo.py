"""Ctrl-C while a forest changes: a long change can be interrupted, and is undone then.

A native call that changes a forest in place may only be stopped half way if the columns can be put back. So a long
change, in the thread that hears of signals, first keeps the columns that it will write to: those that making room
has replaced stay as they are; the others are copied. A short change (a fraction of a second) is done before a signal
is answered, and so is one of a forest so large that copying would cost more than a quarter of the change.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from imondrian import _core

if TYPE_CHECKING:
    from .columns import ForestColumns

_LONG = 30_000_000  # units of work, 15 to 100 ms; a row costs a tree 256 units, and one for each feature
_BYTES_A_UNIT = 8  # copied in a quarter of its time


class Undo:
    """Context that undoes what is done to a forest in it, if an exception leaves it.

    Before :meth:`keep`, columns may be replaced, but not written to.
    """

    def __init__(self, forest: ForestColumns) -> None:
        self._forest = forest
        self._attributes = forest.__dict__.copy()
        self._columns = forest.columns.copy()
        self._kept = self._void = False

    def keep(self) -> bool:
        """Copy what is about to be written to: all arrays that are still the old ones. False: there is no room."""
        if not self._kept:
            now = self._forest.columns
            try:
                self._columns = {
                    name: column.copy() if now.get(name) is column else column for name, column in self._columns.items()
                }
            except MemoryError:  # the change itself may well be possible
                self._void = True
                return False
            self._kept = True
        return True

    def __enter__(self) -> Undo:
        self._forest._undo = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forest._undo = None
        if kind is not None and not self._void:
            self._forest.__dict__ = {**self._attributes, "columns": self._columns}
            self._forest._renew_view()


def undo_of(forest: ForestColumns, n_rows: int) -> Undo | None:
    """Return what can undo learning or forgetting so many rows; None where that is too short, or would be too dear."""
    work = n_rows * forest.n_trees * (256 + forest.n_features)
    if forest.disposable:
        return None
    if work < _LONG or not _core.hears_signals() or forest.nbytes > _BYTES_A_UNIT * work:
        return None
    return Undo(forest)
