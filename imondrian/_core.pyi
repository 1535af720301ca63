from typing import Any

import numpy as np
import numpy.typing as npt

HEADER_SIZE: int
PACK_BYTES: int
STREAM_SIZE: int
BAG_SIZE: int
EDITION: int
RECENT_SIZE: int
TREES_ABREAST: int

_Floats = npt.NDArray[np.float64]

class ForestView:
    columns: dict[str, npt.NDArray[Any]]
    dtype: np.dtype[Any]
    keeps_means: bool
    @property
    def means_bytes(self) -> int: ...
    @property
    def means_held(self) -> int: ...
    def __init__(
        self,
        columns: dict[str, npt.NDArray[Any]],
        n_features: int,
        memory: int,
        decay: float,
        scaled: bool,
        edition: int = ...,
    ) -> None: ...

def limit_instruction_set(most: int) -> int: ...
def instruction_set() -> tuple[str, str]: ...
def hears_signals() -> bool: ...
def hidden_depth(mass: float) -> float: ...
def no_infinity(X: npt.NDArray[Any], n_threads: int) -> bool: ...
def row_of(x: dict[Any, Any], places: dict[Any, int]) -> npt.NDArray[np.float64] | None: ...
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
) -> int: ...
def forget(
    forest: ForestView, X: npt.NDArray[Any], remove: bool, n_threads: int, interruptible: bool = False
) -> npt.NDArray[np.int64]: ...
def score(forest: ForestView, X: npt.NDArray[Any], score: int, n_threads: int) -> tuple[_Floats, float]: ...
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
