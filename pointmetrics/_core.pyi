from typing import Any

import numpy as np

def stop_calls(stop: bool) -> None: ...
def max_magnitude(values: np.ndarray) -> float: ...
def nearest(
    x: np.ndarray,
    x_offsets: np.ndarray,
    y: np.ndarray,
    y_offsets: np.ndarray,
    both: bool,
    n_threads: int,
    index: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, Any, Any]: ...
def prepare(points: np.ndarray) -> np.ndarray: ...
def limit_instruction_set(most: int) -> int: ...
def instruction_set() -> tuple[str, str]: ...
def farthest(points: np.ndarray, offsets: np.ndarray, k: int, start: int, n_threads: int) -> np.ndarray: ...
def balls(
    points: np.ndarray, centres: np.ndarray, sq_radii: np.ndarray, n_threads: int, offsets: np.ndarray | None = None
) -> np.ndarray: ...
def disks(
    points: np.ndarray,
    near: np.ndarray,
    seeds: np.ndarray,
    radii: np.ndarray,
    ideal: float,
    n_threads: int,
    offsets: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]: ...
def ball_moments(
    points: np.ndarray, centres: np.ndarray, radius: float, n_threads: int
) -> tuple[np.ndarray, np.ndarray]: ...
def cylinders(
    points: np.ndarray, cores: np.ndarray, axes: np.ndarray, radius: float, half_length: float, n_threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
def distortion(
    x: np.ndarray,
    x_normals: np.ndarray | None,
    y: np.ndarray,
    y_normals: np.ndarray | None,
    drop: bool,
    n_threads: int,
) -> tuple[tuple[int, float, float, float, float], tuple[int, float, float, float, float]]: ...
def distinct(points: np.ndarray) -> np.ndarray: ...
def nearest_on_mesh(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, n_threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
def pairwise(
    x: np.ndarray,
    x_offsets: np.ndarray,
    y: np.ndarray,
    y_offsets: np.ndarray,
    pairs: np.ndarray,
    power: int,
    n_threads: int,
) -> tuple[np.ndarray, np.ndarray]: ...
def assign(
    x: np.ndarray, y: np.ndarray, offsets: np.ndarray, squared: bool, tol: float, n_threads: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]: ...
def transport(
    x: np.ndarray,
    x_offsets: np.ndarray,
    x_mass: np.ndarray,
    y: np.ndarray,
    y_offsets: np.ndarray,
    y_mass: np.ndarray,
    squared: bool,
    tol: float,
    n_threads: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]: ...
