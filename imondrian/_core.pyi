from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

HEADER_SIZE: int
PACK_BYTES: int
EDITION: int
RECENT_SIZE: int
TREES_ABREAST: int
USELESS_BITS: int
ROOT: int
LEAVES: int
NODE_MARK: int
LEAF_MARK: int
HELD: int
BLANK: int
HORIZON: int

_Floats = npt.NDArray[np.float64]

class Column(NamedTuple):
    name: str
    type: str
    of: str
    each: int
    when: str
    kept: str
    holds: str
    empty: int
    where: str
    since: int
    @property
    def padded(self) -> bool: ...
    def dtype(self, real: np.dtype[Any]) -> np.dtype[Any]: ...
    def values(self, width: int, bag: int) -> int: ...
    def shape(self, trees: int, slots: int, width: int, rows: int, window: int, bag: int) -> tuple[int, ...]: ...

COLUMNS: tuple[Column, ...]

def columns_of(
    kinds: AbstractSet[str], real: np.dtype[Any], trees: int, slots: int, width: int, rows: int, window: int, bag: int
) -> tuple[tuple[int, str, np.dtype[Any], tuple[int, ...], int], ...]: ...
def kinds_of(columns: Collection[str]) -> frozenset[str]: ...

class ForestView:
    columns: dict[str, npt.NDArray[Any]]
    dtype: np.dtype[Any]
    keeps_means: bool
    @property
    def means_bytes(self) -> int: ...
    @property
    def means_held(self) -> int: ...
    @property
    def levels_held(self) -> int: ...
    def __init__(
        self,
        columns: dict[str, npt.NDArray[Any]],
        n_features: int,
        memory: int,
        decay: float,
        scaled: bool,
        edition: int = ...,
    ) -> None: ...

def is_wide(n_features: int, edition: int = ...) -> bool: ...
def level_words(capacity: int) -> int: ...
def bag_size(n_features: int, edition: int = ...) -> int: ...
def limit_instruction_set(most: int) -> int: ...
def instruction_set() -> tuple[str, str]: ...
def hears_signals() -> bool: ...
def hidden_depth(mass: float) -> float: ...
def no_infinity(X: npt.NDArray[Any], n_threads: int) -> bool: ...
def row_of(
    x: dict[Any, Any],
    places: dict[Any, int],
    nominal: npt.NDArray[np.uint8] | None = None,
    word: Callable[[Any], float] | None = None,
) -> npt.NDArray[np.float64] | None: ...
def fit(
    forest: ForestView,
    X: npt.NDArray[Any],
    weight: _Floats | None,
    n_sample: int,
    own_rows: bool,
    n_threads: int,
    drawn: npt.NDArray[np.int64] | None = None,
    already_drawn: bool = False,
) -> None: ...
def draw_rows(
    forest: ForestView, n: int, weight: _Floats | None, drawn: npt.NDArray[np.int64], n_threads: int
) -> None: ...
def draw_bags(forest: ForestView, known: int, order: npt.NDArray[np.int32] | None = None) -> None: ...
def fill_boxes(forest: ForestView, n_threads: int) -> None: ...
def learn(
    forest: ForestView,
    X: npt.NDArray[Any],
    weight: _Floats | None,
    score: int,
    depth: _Floats | None,
    norm: _Floats | None,
    n_threads: int,
    interruptible: bool = False,
    stamp: _Floats | None = None,
) -> int: ...
def forget(
    forest: ForestView, X: npt.NDArray[Any], remove: bool, n_threads: int, interruptible: bool = False
) -> npt.NDArray[np.int64]: ...
def score(forest: ForestView, X: npt.NDArray[Any], score: int, n_threads: int) -> tuple[_Floats, float]: ...
def find_cells(forest: ForestView, X: npt.NDArray[Any], most: float) -> npt.NDArray[np.int32]: ...
def row_masses(forest: ForestView) -> _Floats: ...
def compare(points: npt.NDArray[Any], mass: _Floats, row: _Floats) -> _Floats: ...
def usual_range(points: npt.NDArray[Any], mass: _Floats, feature: int, tail: float) -> tuple[float, float] | None: ...
def sum_values(cuts: dict[str, npt.NDArray[Any]], X: npt.NDArray[Any], n_threads: int) -> _Floats: ...
def drawn_ways(forest: ForestView, score: int) -> tuple[npt.NDArray[np.int32], _Floats]: ...
def explain(forest: ForestView, X: npt.NDArray[Any], score: int, n_threads: int) -> tuple[_Floats, _Floats, float]: ...
def spacing_excess(forest: ForestView, value: _Floats) -> _Floats: ...
def audit(forest: ForestView, n_threads: int) -> None: ...

class Reading:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

class Updating:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

class Gate:
    reading: Reading
    updating: Updating
