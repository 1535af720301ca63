"""Which columns of tables are features, and their rows as matrices."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imondrian._cli import USAGE, Failure
from imondrian._cli.dialect import is_category, is_date
from imondrian._forest.levels import narrowed, words_of_codes
from imondrian._kit import terminal

from .arrow_arrays import from_numpy, levels_of, to_floats
from .reading import DATE, NUMBER, NUMERIC, TEXT, Table

INFINITE = {
    "refuse": "an error that names the first",
    "missing": "take them for missing values",
    "drop": "leave their rows out",
}


_DATES, _IDS = "dates or times", "a text of its own in nearly every row"
_LOOKED_AT, _LEAST_LOOKED_AT = 1000, 50  # values of a column of text
_MOST = 0.95  # of which are dates, or distinct, in columns that are left out


@dataclass(frozen=True)
class Selection:
    """What is asked for, as it was written: lists with commas."""

    columns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    label: str | None = None
    keep: tuple[str, ...] = ()
    keep_all: bool = False
    numeric_only: bool = False
    nominal: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    infinite: str = "refuse"


@dataclass(frozen=True)
class Columns:
    """What is taken of every table."""

    features: list[str]
    label: str | None
    keep: list[str]
    dtype: Any
    infinite: str
    nominal: list[str] = field(default_factory=list)  # features that are categories
    left_out: dict[str, list[str]] = field(default_factory=dict)  # why -> columns

    @property
    def mask(self) -> np.ndarray:
        """Which features are categories, (n_features,)."""
        return np.array([name in self.nominal for name in self.features], bool)

    def tell(self, quiet: bool, fitted: bool = False) -> None:
        """Tell which columns are categories, and which are left out."""
        if self.nominal and not fitted:
            told = _listed(self.nominal)
            terminal.note(f"text is taken for categories: {told}; --exclude or --numeric-only leaves it out", quiet)
        for why, names in self.left_out.items():
            terminal.note(f"left out, for {why}: {_listed(names)}; --nominal takes them for categories", quiet)


@dataclass
class Rows:
    """Rows of a batch: ``index`` counts the rows of all files from 0, those left out, too."""

    X: np.ndarray
    index: np.ndarray
    label: Any


def choose(
    tables: Sequence[Table],
    selection: Selection,
    needed: Sequence[str] | None = None,
    known: np.ndarray | None = None,
) -> Columns:
    """Return the columns to take; ``needed`` are the features of a model, in its order, ``known`` which are categories.

    Raises
    ------
    Failure
        A column is missing, or holds neither numbers nor text; it names the file, the columns and what would help.
    """
    first = tables[0]
    kinds = first.kinds
    keep, label = list(kinds) if selection.keep_all else _named(selection.keep, first, "--keep"), selection.label
    if label is not None:
        _named((label,), first, "--label", whole=True)
    left_out = set(_named(selection.exclude, first, "--exclude"))
    asked, numeric = _named(selection.nominal, first, "--nominal"), set(_named(selection.numeric, first, "--numeric"))
    if both := sorted(numeric.intersection(asked)):
        raise Failure(f"--nominal: {both[0]!r} is also among --numeric", USAGE)
    odd: dict[str, list[str]] = {}
    if known is None:
        numeric |= _misread(first, [name for name in kinds if kinds[name] == TEXT and name not in asked])
    if needed is not None:
        if selection.columns:
            raise Failure("--columns is of no use with this --model, which names its columns itself", USAGE)
        features = _named(needed, first, "the model", whole=True, code=1)
    elif selection.columns:
        features = [name for name in _named(selection.columns, first, "--columns") if name not in left_out]
    else:
        features = [name for name in kinds if name != label and name not in left_out]
        if selection.numeric_only:
            features = [name for name in features if kinds[name] in NUMERIC]
        else:
            usual = (*NUMERIC, TEXT, DATE) if selection.keep_all else NUMERIC  # what is kept by name is for people
            kept = {name for name in keep if kinds[name] not in usual}
            features = [name for name in features if name not in kept or name in asked]
            odd = _left_out(first, [name for name in features if name not in asked and name not in numeric])
            features = [name for name in features if not any(name in names for names in odd.values())]
    if label in features:
        raise Failure(f"the column {label!r} is the label and cannot be a feature, too", USAGE)
    if not features:
        raise Failure(f"{first.path}: no column with numbers is left; its columns are {_listed(list(kinds))}")
    nominal = [name for name in features if name in asked or (kinds[name] == TEXT and name not in numeric)]
    if known is not None and len(known) == len(features):
        nominal = [name for name, is_nominal in zip(features, known, strict=True) if is_nominal]
    for table in tables:
        _check(table, features, [*keep, *([label] if label is not None else [])], needed is None, nominal, asked)
    numbers = [name for name in features if name not in nominal]
    single = bool(numbers) and all(table.single.issuperset(numbers) for table in tables)
    return Columns(features, label, keep, np.float32 if single else np.float64, selection.infinite, nominal, odd)


def _texts(table: Table, names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the first values of columns of text."""
    batch = next(iter(table.batches((), names)), None) if names else None
    if batch is not None:
        for j, name in enumerate(names):
            values = batch.column(j).slice(0, _LOOKED_AT).to_pylist()
            yield name, [value for value in values if isinstance(value, str) and table.level(value) is not None]


def _misread(table: Table, names: Sequence[str]) -> set[str]:
    """Return the columns of cells that look like numbers in another notation, or lines of no table."""
    if table.typed:
        return set()
    if len(table.kinds) == 1:
        return set(names)
    return {
        name
        for name, values in _texts(table, names)
        if sum(map(is_category, values)) * 2 <= len(values) or any("\n" in value for value in values)
    }


def _left_out(table: Table, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns that are no features unless they are asked for, by the reason."""
    found: dict[str, list[str]] = {}
    for name in names:
        if table.kinds[name] == DATE:
            found.setdefault(_DATES, []).append(name)
    texts = [name for name in names if table.kinds[name] == TEXT]
    for name, values in _texts(table, texts):
        if values and sum(map(is_date, values)) >= _MOST * len(values):
            found.setdefault(_DATES, []).append(name)
        elif len(values) >= _LEAST_LOOKED_AT and len(set(values)) >= _MOST * len(values):
            found.setdefault(_IDS, []).append(name)
    return found


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


def _check(
    table: Table,
    features: Sequence[str],
    others: Sequence[str],
    may_exclude: bool,
    nominal: Sequence[str],
    asked: Sequence[str],
) -> None:
    if missing := [name for name in (*features, *others) if name not in table.kinds]:
        raise Failure(f"{table.path}: has no column {_listed(missing)}, which the first file has")
    wrong: dict[str, list[str]] = {}
    for name in features:
        if name not in nominal and table.kinds[name] not in NUMERIC:
            wrong.setdefault(table.kinds[name], []).append(name)
    if wrong:
        found = "; ".join(
            f"{_listed(names)} {'holds' if len(names) == 1 else 'hold'} {kind}" for kind, names in wrong.items()
        )
        names = [name for group in wrong.values() for name in group]
        option = ",".join(f'"{name}"' if "," in name else name for name in names[:20])
        advice = f": --exclude '{option}' or --numeric-only leaves out what holds no numbers" if may_exclude else ""
        if may_exclude and wrong.keys() <= {TEXT, DATE}:
            advice += f", --nominal '{option}' takes it for categories"
        raise Failure(f"{table.path}: not all columns hold numbers: {found}{advice}")
    if table.typed and (
        numbers := [name for name in nominal if table.kinds[name] == NUMBER and name not in asked and not may_exclude]
    ):
        raise Failure(
            f"{table.path}: {_listed(numbers)} must hold categories, as the model's, got numbers; --nominal "
            f"'{','.join(numbers)}' takes these for categories"
        )


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
    numbers = [name for name in columns.features if name not in columns.nominal]
    for number, table in enumerate(tables):
        begin = start
        for batch in table.batches(numbers, [*columns.nominal, *verbatim]):
            X = _matrix(batch, columns, table)
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


def _matrix(batch: Any, columns: Columns, table: Table) -> np.ndarray:
    X = np.empty((len(batch), len(columns.features)), columns.dtype)
    for j, name in enumerate(columns.features):
        column = batch.column(name)
        if name in columns.nominal:
            X[:, j] = _words(column, name, table, columns.dtype)
        else:
            X[:, j] = to_floats(column, columns.dtype == np.float32)
    return X


def _words(column: Any, name: str, table: Table, dtype: Any) -> np.ndarray:
    codes, values = levels_of(column)
    try:
        return narrowed(words_of_codes(codes, [table.level(value) for value in values]), dtype)
    except (TypeError, ValueError):
        raise Failure(
            f"{table.path}: the column {name!r} holds {table.kinds[name]}, which can be no categories"
        ) from None


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
