"""Tables of numbers and categories with labelled anomalies: planted kinds, and nominal sets from a folder.

Every planted table has 5,000 rows, 40 of them anomalies, at random places. Where the anomalies are numeric, their first
number is moved by some standard deviations, and the other columns are nuisances, drawn without regard to them; where
they are categorical, the numbers are noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

N_ROWS, N_ANOMALIES = 5_000, 40
Column = np.ndarray


class MixedTable(NamedTuple):
    """Numbers (n, d), float64, levels (n, c) int64 without order, and y (n,) = 1 for anomalies.

    ``in_training`` holds the levels that rows have while they are learnt, where they differ.
    """

    name: str
    numbers: np.ndarray
    levels: np.ndarray
    y: np.ndarray
    in_training: np.ndarray | None = None

    def part(self, rows: np.ndarray, training: bool = False) -> MixedTable:
        """Return some of the rows."""
        levels = self.in_training if training and self.in_training is not None else self.levels
        return MixedTable(self.name, self.numbers[rows], levels[rows], self.y[rows])

    def with_flags_as_numbers(self) -> MixedTable:
        """Return the table whose columns of two levels, 0 and 1, are numbers."""
        flags = np.array([set(np.unique(column)) <= {0, 1} for column in self.levels.T], dtype=bool)
        numbers = np.column_stack((self.numbers, self.levels[:, flags].astype(np.float64)))
        kept = None if self.in_training is None else self.in_training[:, ~flags]
        return MixedTable(self.name, numbers, self.levels[:, ~flags], self.y, kept)


def split_70_30(table: MixedTable, seed: int) -> tuple[MixedTable, MixedTable]:
    """Return the training and the test part: stratified, 30 % for testing."""
    train, test = train_test_split(np.arange(len(table.y)), test_size=0.3, stratify=table.y, random_state=seed)
    return table.part(train, training=True), table.part(test)


# -- planted -------------------------------------------------------------------------------------------------


def _even(n_levels: int) -> Callable[[np.random.Generator], Column]:
    return lambda rng: rng.integers(n_levels, size=N_ROWS)


def _flag(share: float) -> Callable[[np.random.Generator], Column]:
    return lambda rng: (rng.random(N_ROWS) < share).astype(np.int64)


def _zipf(n_levels: int) -> Callable[[np.random.Generator], Column]:
    weight = np.arange(1, n_levels + 1) ** -1.2
    return lambda rng: rng.choice(n_levels, size=N_ROWS, p=weight / weight.sum())


def _labels(rng: np.random.Generator) -> np.ndarray:
    y = np.zeros(N_ROWS, dtype=np.int64)
    y[rng.choice(N_ROWS, N_ANOMALIES, replace=False)] = 1
    return y


def _moved(
    name: str, seed: int, deviations: float, columns: tuple[Callable[[np.random.Generator], Column], ...] = ()
) -> MixedTable:
    """Anomalies whose first of three numbers is moved."""
    rng = np.random.default_rng(seed)
    y = _labels(rng)
    numbers = rng.normal(size=(N_ROWS, 3))
    numbers[y == 1, 0] += deviations * rng.choice([-1.0, 1.0], size=N_ANOMALIES)
    levels = [column(rng) for column in columns]
    return MixedTable(name, numbers, np.column_stack(levels) if levels else np.empty((N_ROWS, 0), np.int64), y)


def _mixed_groups(name: str, seed: int) -> MixedTable:
    """Two columns of 24 levels in six groups of four that go together; anomalies mix groups."""
    rng = np.random.default_rng(seed)
    y = _labels(rng)
    group = rng.integers(6, size=N_ROWS)
    other = np.where(y == 1, (group + rng.integers(1, 6, size=N_ROWS)) % 6, group)
    first, second = 4 * group + rng.integers(4, size=N_ROWS), 4 * other + rng.integers(4, size=N_ROWS)
    return MixedTable(name, rng.normal(size=(N_ROWS, 2)), np.column_stack((first, second, _even(3)(rng))), y)


def _disagreeing(name: str, seed: int) -> MixedTable:
    """Two binary columns that always agree, but in anomalies."""
    rng = np.random.default_rng(seed)
    y = _labels(rng)
    first = rng.integers(2, size=N_ROWS)
    return MixedTable(name, rng.normal(size=(N_ROWS, 2)), np.column_stack((first, first ^ y, _even(4)(rng))), y)


def _told_apart(name: str, seed: int) -> MixedTable:
    """A category of four says where a number lies; anomalies tell another category."""
    rng = np.random.default_rng(seed)
    y = _labels(rng)
    category = rng.integers(4, size=N_ROWS)
    numbers = np.column_stack((6.0 * category + rng.normal(size=N_ROWS), rng.normal(size=(N_ROWS, 2))))
    told = np.where(y == 1, (category + rng.integers(1, 4, size=N_ROWS)) % 4, category)
    return MixedTable(name, numbers, told[:, None], y)


def _rare_levels(name: str, seed: int) -> MixedTable:
    """A column of five usual levels; anomalies share 14 others."""
    rng = np.random.default_rng(seed)
    y = _labels(rng)
    column = np.where(y == 1, 5 + rng.integers(14, size=N_ROWS), rng.integers(5, size=N_ROWS))
    levels = np.column_stack((column, _even(3)(rng), _even(3)(rng)))
    return MixedTable(name, rng.normal(size=(N_ROWS, 2)), levels, y)


def _unseen(name: str, seed: int) -> MixedTable:
    """Anomalies have a level that no row had that was learnt, in a column of five, beside a Zipf column of 30."""
    rng = np.random.default_rng(seed)
    y = _labels(rng)
    usual, zipf = rng.integers(5, size=N_ROWS), _zipf(30)(rng)
    levels = np.column_stack((np.where(y == 1, 5, usual), zipf))
    return MixedTable(name, rng.normal(size=(N_ROWS, 2)), levels, y, np.column_stack((usual, zipf)))


def _telling_flag(name: str, seed: int) -> MixedTable:
    """A flag that is 1 for the anomalies alone."""
    rng = np.random.default_rng(seed)
    y = _labels(rng)
    return MixedTable(name, rng.normal(size=(N_ROWS, 2)), y[:, None].copy(), y)


_TEN = tuple(_flag(share / 100) for share in (0.1, 0.2, 0.5, 1, 1, 2, 2, 3, 3, 5))
_EVERYTHING = (
    *(_flag(share) for share in (0.03, 0.005, 0.3)),
    *(_even(3), _even(3), _zipf(10), _zipf(50), _even(1000)),
)
NUISANCE: dict[str, Callable[[str, int], MixedTable]] = {
    "no nuisance, 8 sd": partial(_moved, deviations=8),
    "flag of .1 %, 8 sd": partial(_moved, deviations=8, columns=(_flag(0.001),)),
    "flag of .5 %, 8 sd": partial(_moved, deviations=8, columns=(_flag(0.005),)),
    "flag of 3 %, 8 sd": partial(_moved, deviations=8, columns=(_flag(0.03),)),
    "flag of 3 %, 5 sd": partial(_moved, deviations=5, columns=(_flag(0.03),)),
    "ten flags, 8 sd": partial(_moved, deviations=8, columns=_TEN),
    "two of 3 levels, 8 sd": partial(_moved, deviations=8, columns=(_even(3), _even(3))),
    "five Zipf, 8 sd": partial(_moved, deviations=8, columns=tuple(map(_zipf, (5, 10, 30, 100, 300)))),
    "1,000 even levels, 8 sd": partial(_moved, deviations=8, columns=(_even(1000),)),
    "everything, 8 sd": partial(_moved, deviations=8, columns=_EVERYTHING),
}
CATEGORICAL: dict[str, Callable[[str, int], MixedTable]] = {
    "groups mixed": _mixed_groups,
    "flags disagree": _disagreeing,
    "category of a number": _told_apart,
    "rare levels": _rare_levels,
    "unseen level": _unseen,
    "flag of anomalies": _telling_flag,
}
PLANTED = {**NUISANCE, **CATEGORICAL}


def planted(name: str, seed: int) -> MixedTable:
    """Return the planted table of that kind."""
    return PLANTED[name](name, seed)


# -- from a folder -------------------------------------------------------------------------------------------


def load_nominal(path: Path) -> MixedTable:
    """Read one file with levels ``C`` (n, d), whole numbers without order, and ``y`` (n,), 1 = anomaly."""
    with np.load(path, allow_pickle=False) as arrays:
        if missing := {"C", "y"} - set(arrays.files):
            raise ValueError(f"{path.name} must hold arrays C and y, lacks {', '.join(sorted(missing))}")
        levels, y = arrays["C"].astype(np.int64), arrays["y"].ravel().astype(np.int64)
    return MixedTable(path.stem, np.empty((len(y), 0)), levels, y)


def nominal_tables(folder: Path) -> Iterator[MixedTable]:
    """Yield the tables of a folder of ``.npz`` files, by name."""
    for path in sorted(folder.glob("*.npz")):
        yield load_nominal(path)
