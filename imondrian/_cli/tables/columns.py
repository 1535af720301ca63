"""Which columns of tables are features, and their rows as matrices."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imondrian._cli import USAGE, Failure

from .arrow_arrays import from_numpy, to_floats
from .reading import NUMERIC, Table

INFINITE = {
    "refuse": "an error that names the first",
    "missing": "take them for missing values",
    "drop": "leave their rows out",
}


@dataclass(frozen=True)
class Selection:
    """What is asked for, as it was written: lists with commas."""

    columns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    label: str | None = None
    keep: tuple[str, ...] = ()
    keep_all: bool = False
    numeric_only: bool = False
    infinite: str = "refuse"


@dataclass(frozen=True)
class Columns:
    """What is taken of every table."""

    features: list[str]
    label: str | None
    keep: list[str]
    dtype: Any
    infinite: str


@dataclass
class Rows:
    """Rows of a batch: ``index`` counts the rows of all files from 0, those left out, too."""

    X: np.ndarray
    index: np.ndarray
    label: Any


def choose(tables: Sequence[Table], selection: Selection, needed: Sequence[str] | None = None) -> Columns:
    """Return the columns to take; ``needed`` are the features of a model, in its order.

    Raises
    ------
    Failure
        A column is missing, or holds no numbers; it names the file, the columns and what would help.
    """
    first = tables[0]
    known = first.kinds
    keep, label = list(known) if selection.keep_all else _named(selection.keep, first, "--keep"), selection.label
    if label is not None:
        _named((label,), first, "--label", whole=True)
    left_out = set(_named(selection.exclude, first, "--exclude"))
    if needed is not None:
        if selection.columns:
            raise Failure("--columns is of no use with this --model, which names its columns itself", USAGE)
        features = _named(needed, first, "the model", whole=True, code=1)
    elif selection.columns:
        features = [name for name in _named(selection.columns, first, "--columns") if name not in left_out]
    else:
        features = [name for name in known if name != label and name not in left_out]
        if selection.numeric_only:
            features = [name for name in features if known[name] in NUMERIC]
        else:
            features = [name for name in features if name not in keep or known[name] in NUMERIC]
    if label in features:
        raise Failure(f"the column {label!r} is the label and cannot be a feature, too", USAGE)
    if not features:
        raise Failure(f"{first.path}: no column with numbers is left; its columns are {_listed(list(known))}")
    for table in tables:
        _check(table, features, [*keep, *([label] if label is not None else [])], needed is None)
    single = all(table.single.issuperset(features) for table in tables)
    return Columns(features, label, keep, np.float32 if single else np.float64, selection.infinite)


def _named(lists: Sequence[str], table: Table, option: str, *, whole: bool = False, code: int = USAGE) -> list[str]:
    """Return the names in lists with commas; a name that itself has commas may be quoted, or stand alone."""
    names = [
        name
        for entry in lists
        for name in (
            [entry] if whole or entry in table.kinds else next(csv.reader([entry], skipinitialspace=True), [""])
        )
    ]
    if missing := [name for name in names if name not in table.kinds]:
        verb = "needs" if option == "the model" else "names"
        raise Failure(
            f"{table.path}: has no column {_listed(missing)}, which {option} {verb}; its columns are "
            f"{_listed(list(table.kinds))}",
            code,
        )
    return list(dict.fromkeys(names))


def _check(table: Table, features: Sequence[str], others: Sequence[str], may_exclude: bool) -> None:
    if missing := [name for name in (*features, *others) if name not in table.kinds]:
        raise Failure(f"{table.path}: has no column {_listed(missing)}, which the first file has")
    wrong: dict[str, list[str]] = {}
    for name in features:
        if table.kinds[name] not in NUMERIC:
            wrong.setdefault(table.kinds[name], []).append(name)
    if wrong:
        found = "; ".join(
            f"{_listed(names)} {'holds' if len(names) == 1 else 'hold'} {kind}" for kind, names in wrong.items()
        )
        names = [name for group in wrong.values() for name in group]
        option = ",".join(f'"{name}"' if "," in name else name for name in names[:20])
        advice = f": --exclude '{option}' or --numeric-only leaves out what holds no numbers" if may_exclude else ""
        raise Failure(f"{table.path}: not all columns hold numbers: {found}{advice}")


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def read_rows(tables: Sequence[Table], columns: Columns, ends: list[int], *, label: bool = True) -> Iterator[Rows]:
    """Yield the rows of all tables, a batch at a time; raise Failure for infinite values if these are refused.

    ``ends`` must be empty, or from a pass before this one: it receives the index after each table's last row, or is
    compared with it.
    """
    start = 0
    verbatim = [columns.label] if label and columns.label is not None else []
    for number, table in enumerate(tables):
        begin = start
        for batch in table.batches(columns.features, verbatim):
            X = _matrix(batch, len(columns.features), columns.dtype)
            index = np.arange(start, start + len(batch))
            start += len(batch)
            marks = batch.column(len(columns.features)) if verbatim else None
            with np.errstate(over="ignore", invalid="ignore"):
                total = X.sum(dtype=np.float64)  # not finite where a value is not, or where finite ones add up to more
            if not np.isfinite(total) and (infinite := np.isinf(X)).any():
                if columns.infinite == "refuse":
                    row, column = np.argwhere(infinite)[0]
                    raise _infinite(table, int(index[row]) - begin + 1, columns.features[column], X[row, column])
                X, index, marks = _without(X, index, marks, infinite, columns.infinite == "drop")
            if len(X):
                yield Rows(X, index, marks)
        if number < len(ends) and ends[number] != start:
            raise Failure(f"{table.path}: has changed while it was read")
        ends[number : number + 1] = [start]


def _matrix(batch: Any, width: int, dtype: Any) -> np.ndarray:
    X = np.empty((len(batch), width), dtype)
    for j in range(width):
        X[:, j] = to_floats(batch.column(j), dtype == np.float32)
    return X


def _without(X: np.ndarray, index: np.ndarray, marks: Any, infinite: np.ndarray, drop: bool) -> Any:
    if not drop:
        return np.where(infinite, X.dtype.type(np.nan), X), index, marks
    kept = np.logical_not(infinite.any(axis=1))
    return np.ascontiguousarray(X[kept]), index[kept], None if marks is None else marks.filter(from_numpy(kept))


def _infinite(table: Table, row: int, name: str, value: float) -> Failure:
    return Failure(
        f"{table.path}: row {row}, column {name!r}: the value is infinite ({value}); --infinite missing "
        "takes such values for missing, --infinite drop leaves their rows out"
    )
