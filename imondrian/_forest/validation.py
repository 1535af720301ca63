"""What comes in at the public door: parameters, rows, weights, threads.

Messages name the argument, what was expected and what came. Data is checked by scikit-learn's own
validator, in its own words; plain arrays that already are what it would return skip it.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from imondrian import _core

from .footprint import Layout
from .schema import RESERVOIR, SLIDING, UNBOUNDED
from .times import age_seconds

WARM_UP = 32  # points from which a stream's scores mean something
MOST_CATEGORY_WEIGHT = 1e6  # sides that it multiplies stay far within the range of float32
MOST_WEIGHT = 1e300  # of all rows that a tree holds: its masses, and what they are multiplied by, stay finite
_MOST_THREADS = 1 << 16  # never more than trees or rows are started; the core counts them in 32 bits


def positive_int(name: str, value: Any) -> int:
    """Return ``value`` as an int >= 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def sample_size(value: Any, n: int) -> int:
    """Return how many of ``n`` rows ``max_samples`` asks for."""
    if isinstance(value, str):
        if value == "auto":
            return min(256, n)
        raise ValueError(f"max_samples must be 'auto', an int or a float in (0, 1], got {value!r}")
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        share = float(value)
        if not 0.0 < share <= 1.0:
            raise ValueError(f"max_samples must be in (0, 1] when it is a float, got {value}")
        return max(1, int(share * n))
    return min(positive_int("max_samples", value), n)


class Retention(NamedTuple):
    """What trees keep of a stream, in the core's terms."""

    memory: int
    points: int | None  # a tree, None: all
    decay: float
    age: float | None = None  # seconds, of a window by age


def retention(window: Any, horizon: Any, points: int = 256) -> Retention:
    """Return what ``window`` and ``horizon`` ask for; named windows keep ``points`` a tree."""
    if isinstance(horizon, str):
        return _by_age(window, horizon, points)
    if window is None:
        return Retention(UNBOUNDED, None, 0.0)
    if not isinstance(window, str):
        return Retention(SLIDING, positive_int("window", window), 0.0)
    horizon = positive_int("horizon", horizon)
    if window == "reservoir":
        return Retention(RESERVOIR, points, 0.0)
    if window == "decayed":
        return Retention(RESERVOIR, points, 1.0 / horizon)
    if window == "thinned":
        # 1 - exp(-decay) = points / horizon: a full tree takes in what it loses in one horizon.
        return Retention(SLIDING, points, -math.log1p(-points / horizon) if horizon > points else 0.0)
    raise ValueError(f"window must be None, an int, 'reservoir', 'decayed' or 'thinned', got {window!r}")


def _by_age(window: Any, horizon: str, points: int) -> Retention:
    try:
        age = age_seconds(horizon)
    except ValueError as error:
        raise ValueError(f"horizon must be a number of points, or an age: {error}") from None
    if window == "thinned":
        return Retention(SLIDING, points, 1.0, age)
    if window == "decayed":
        return Retention(RESERVOIR, points, 1.0, age)
    if window is None or isinstance(window, str):
        raise ValueError(
            f"window must be an int, 'thinned' or 'decayed' where horizon is an age ({horizon!r}), got {window!r}"
        )
    return Retention(SLIDING, positive_int("window", window), 0.0, age)


def byte_limit(value: Any) -> int | None:
    """Return ``max_bytes`` as an int >= 1, or None."""
    return None if value is None else positive_int("max_bytes", value)


def category_weight(value: Any) -> float:
    """Return ``categorical_weight`` as a float above 0."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"categorical_weight must be a float above 0, got {value!r}")
    if not 0.0 < float(value) <= MOST_CATEGORY_WEIGHT:
        raise ValueError(f"categorical_weight must be above 0 and at most {MOST_CATEGORY_WEIGHT:g}, got {value}")
    return float(value)


def check_window_fits(layout: Layout, points: int, max_bytes: int, reserved: int) -> None:
    """Raise ValueError unless windows of ``points`` fit in ``max_bytes``, ``reserved`` of which are taken."""
    needed = layout.window_size(points) + reserved
    if needed > max_bytes:
        fits = layout.window_that_fits(max_bytes - reserved)
        advice = f"{fits} points a tree would fit" if fits else "no window fits"
        raise ValueError(
            f"max_bytes must be at least {needed} for {layout.n_trees} trees of {points} points with "
            f"{layout.n_features} features, got {max_bytes}: {advice}"
        )


def is_scaled(scale: Any) -> bool:
    """Return whether ``scale`` asks for robust units; None is raw ones."""
    if scale is None or (isinstance(scale, str) and scale == "robust"):
        return scale is not None
    raise ValueError(f"scale must be 'robust' or None, got {scale!r}")


def contamination_share(value: Any) -> float | None:
    """Return the share of outliers asked for; None for "auto"."""
    if isinstance(value, str) and value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0.0 < float(value) <= 0.5:
        raise ValueError(f"contamination must be 'auto' or a float in (0, 0.5], got {value!r}")
    return float(value)


def padding_name(value: Any) -> str | None:
    """Return a shingle's ``padding`` if it is one."""
    if value not in (None, "missing"):
        raise ValueError(f"padding must be None or 'missing', got {value!r}")
    return value


def open_share(name: str, value: Any) -> float:
    """Return ``value`` as a float strictly between 0 and 1."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a float in (0, 1), got {value!r}")
    if not 0.0 < float(value) < 1.0:
        raise ValueError(f"{name} must be in (0, 1), got {value}")
    return float(value)


def thread_count(n_jobs: Any) -> int:
    """Return how many threads ``n_jobs`` stands for, in joblib's terms."""
    if n_jobs is None or (n_jobs == 1 and type(n_jobs) is int):
        return 1
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, numbers.Integral):
        raise TypeError(f"n_jobs must be None or an int, got {n_jobs!r}")
    if n_jobs == 0:
        raise ValueError("n_jobs must not be 0: use None or 1 for one thread, -1 for all cores")
    from joblib import effective_n_jobs

    return min(max(1, effective_n_jobs(int(n_jobs))), _MOST_THREADS)


def is_ready(X: Any, n_threads: int = 1) -> bool:
    """Whether X is a plain array without infinities that scikit-learn's validation would return as it is."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.size == 0 or not X.flags.c_contiguous:
        return False
    return X.dtype in (np.float32, np.float64) and X.flags.aligned and _core.no_infinity(X, n_threads)


def warn_of_little_mass(weight: np.ndarray | None) -> None:
    """Tell whoever normalised the weights that they are numbers of copies."""
    if weight is not None and len(weight) > 1 and (total := float(weight.sum())) <= 2.0:
        warnings.warn(
            f"sample_weight sums to {total:.6g}: weights are numbers of copies, and so few points are all alike; "
            "sample_weight * len(X) / sample_weight.sum() counts every row once on average",
            stacklevel=4,
        )


def read_weight(weight: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the weights above 0 and the rows that have them; None for weights that say nothing, and for all rows."""
    if not weight.any():
        raise ValueError("sample_weight must have at least one weight above 0, got only zeros")
    check_total_weight(weight)
    kept = None if weight.all() else np.flatnonzero(weight)
    weight = weight if kept is None else weight[kept]
    return (None if (weight == 1).all() else np.ascontiguousarray(weight)), kept


def check_total_weight(weight: np.ndarray, held: float = 0.0) -> None:
    """Raise ValueError unless the weights, and the mass that is held already, add up to at most MOST_WEIGHT."""
    with np.errstate(over="ignore"):
        total = float(weight.sum()) + held
    if not total <= MOST_WEIGHT:
        raise ValueError(
            f"sample_weight must add up to at most {MOST_WEIGHT}, all that was learnt included, got {total}"
        )


def overflows(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return which finite values are infinite in ``dtype``."""
    with np.errstate(over="ignore"):
        return np.isinf(values.astype(dtype))


def in_precision(values: np.ndarray, dtype: np.dtype, columns: Sequence[Any]) -> np.ndarray:
    """Return rows without infinities (n, d) as contiguous ones of ``dtype``; ValueError where they overflow it."""
    if values.dtype != dtype and (bad := overflows(values, dtype)).any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"X must be finite in {dtype}, the forest's precision, got {values[row, column]} "
            f"in row {row}, column {columns[column]!r}"
        )
    return np.ascontiguousarray(values, dtype=dtype)
