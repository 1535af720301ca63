"""Clouds to feature vectors: several named distances to several clouds, one neighbour pass each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from pointmetrics._backends.conventions import conventions
from pointmetrics._clouds.arrays import Pair, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import check_number
from pointmetrics._clouds.objects import points_of

from . import chamfer as _chamfer
from . import dcd as _dcd
from . import f_score as _fscore
from . import hausdorff as _hausdorff
from .neighbors import Found, PreparedCloud, find

_Measure = Callable[[Pair, Found], float]


def parse_metric(name: str) -> _Measure:
    """Turn the name of a metric into a function of a pair and its neighbours.

    Names are the keys of ``conventions()``, "dcd" and "hausdorff"; these but "dcd" may be followed by
    ":x_to_y" or ":y_to_x". "hausdorff" may have a quantile, as in "hausdorff@0.95", and "f-score",
    "precision" and "recall" need a threshold, as in "recall@0.1".
    """
    if not isinstance(name, str):
        raise TypeError(f"a metric must be a name, got {type(name).__name__}")
    stem, _, direction = name.partition(":")
    direction = _chamfer.check_direction(direction or "both")
    stem, _, number = stem.partition("@")
    try:
        parameter = float(number) if number else None
    except ValueError as error:
        raise ValueError(f"the metric {name!r} has {number!r} where a number is expected") from error
    # Partial functions of this module, as lambdas could not be pickled.
    if stem in conventions() and parameter is None:
        return partial(_chamfer_value, name=stem, direction=direction)
    if stem == "dcd" and parameter is None and direction == "both":
        return _dcd_value
    if stem == "hausdorff":
        quantile = 1.0 if parameter is None else check_number(parameter, f"the quantile of {name!r}", 0, 1)
        return partial(_hausdorff_value, quantile=quantile, direction=direction)
    if stem in ("f-score", "precision", "recall") and parameter is not None and direction == "both":
        return partial(
            _rate, thresholds=_fscore.read_thresholds(parameter), at=("f-score", "precision", "recall").index(stem)
        )
    raise ValueError(
        f"metric must be dcd, hausdorff, f-score@t, precision@t, recall@t or one of {', '.join(conventions())}, "
        f"got {name!r}"
    )


def describe_metric(name: str) -> tuple[str, str, bool]:
    """Return a known metric's unit, its formula in a and b, and whether high is good."""
    stem, _, direction = name.partition(":")
    stem, _, number = stem.partition("@")
    letters = {"x_to_y": "a", "y_to_x": "b"}
    if stem in conventions():
        definition = conventions()[stem]
        power = "^2" if definition.power == 2 else ""
        one = f"{definition.reduction} {letters.get(direction, '')}{power}"
        return definition.units, one if direction in letters else definition.formula, False
    if stem == "hausdorff":
        what = "max" if number in ("", "1") else f"{float(number):g}-quantile"
        sides = [letters[direction]] if direction in letters else ["a", "b"]
        terms = [f"{what} {side}" if what == "max" else f"{what} of {side}" for side in sides]
        return "length", terms[0] if len(terms) == 1 else f"max({', '.join(terms)})", False
    rate = {
        "f-score": "2 P R / (P + R) of precision and recall at {}",
        "precision": "share of a below {}",
        "recall": "share of b below {}",
    }[stem]
    return "1", rate.format(number), True


def _chamfer_value(pair: Pair, found: Found, name: str, direction: str) -> float:
    options = _chamfer.read_options(pair, name, None, direction, None)
    return float(_chamfer.value_of(pair, found, options)[0])


def _dcd_value(pair: Pair, found: Found) -> float:
    return float(_dcd.value_and_grad(pair, found, alpha=1000.0, n_lambda=1.0, need_grad=False)[0][0])


def _hausdorff_value(pair: Pair, found: Found, quantile: float, direction: str) -> float:
    return float(_hausdorff.value_and_grad(pair, found, quantile=quantile, direction=direction, need_grad=False)[0][0])


def _rate(pair: Pair, found: Found, thresholds: Any, at: int) -> float:
    return float(_fscore.rates(pair, found, thresholds)[at][0, 0])


class Features:
    """Checked names of metrics, and the clouds to measure against."""

    def __init__(self, references: Any, metrics: Sequence[str], n_threads: int | None) -> None:
        if isinstance(metrics, str) or len(metrics) == 0:
            raise ValueError(f"metrics must be a sequence of at least one name, got {metrics!r}")
        self.measures = {name: parse_metric(name) for name in metrics}
        self.references = [r if isinstance(r, PreparedCloud) else PreparedCloud(r) for r in _as_list(references)]
        self.n_threads = n_threads

    def names(self, previous: bool) -> list[str]:
        """Return the names of the features in their order."""
        sources = [f"reference{i}" for i in range(len(self.references))] + (["previous"] if previous else [])
        return [f"{source} {metric}" for source in sources for metric in self.measures]

    @on_callers_device
    def values(self, cloud: Any, *others: Any) -> list[float]:
        """Measure a cloud against every reference and then against ``others``."""
        row: list[float] = []
        for other in (*self.references, *others):
            pair = read_pair(cloud, other, names=("cloud", "reference"))
            if pair.x.kind != "single":
                raise ValueError(f"a cloud must have shape (n, d), got a {pair.x.kind} of {len(pair.x)}")
            found = find(pair, self.n_threads)
            row += [measure(pair, found) for measure in self.measures.values()]
        return row


def _as_list(references: Any) -> list[Any]:
    if references is None:
        return []
    if isinstance(references, PreparedCloud):
        return [references]
    references = points_of(references, "reference")
    if isinstance(references, (list, tuple)) and all(
        np.ndim(r) == 2 or isinstance(r, PreparedCloud) for r in references
    ):
        return list(references)
    return list(references) if np.ndim(references) == 3 else [references]
