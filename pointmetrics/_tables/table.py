"""The means of a table and where they stand in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import markup
from .grid import Column, Grid

OVER_CLASSES, OVER_PAIRS = "mean over classes", "mean over pairs"
_TOP = "(none)"  # the class of files that lie in no sub-folder


@dataclass(frozen=True, slots=True)
class Row:
    """What one method has of one pair: metric -> value, not scaled."""

    method: str
    group: str
    pair: str
    values: Mapping[str, float]


class Table:
    """Means of metrics over pairs of clouds, for methods and classes. Printed, it is text.

    Attributes
    ----------
    methods, classes : list of str
        In the order of rows and columns; ``classes`` is empty where there are fewer than two.
    columns : list of Column
        ``name``, ``unit``, ``factor``, ``high_is_good`` and ``title`` of every metric.
    rows : list of Row
        ``method``, ``group`` (its class), ``pair`` and unscaled ``values`` of every pair.
    """

    def __init__(self, columns: Sequence[Column], rows: Sequence[Row], methods: Sequence[str]) -> None:
        if not rows:
            raise ValueError("a table needs at least one pair of clouds, got none")
        self.columns, self.rows, self.methods = list(columns), list(rows), list(methods)
        groups = list(dict.fromkeys(row.group for row in rows))
        self.classes = groups if len(groups) > 1 else []

    def mean(self, method: str, metric: str, over: str = OVER_PAIRS) -> float:
        """Return one scaled mean: of a class by its name, or over classes or pairs.

        Parameters
        ----------
        method, metric : str
            Of ``methods``, and the name of one of ``columns``.
        over : str, default="mean over pairs"
            A class, "mean over classes" (each counts as much as any other) or "mean over pairs".

        Returns
        -------
        float
            Times the column's factor.
        """
        means = self._means.get((method, metric))
        if means is None or over not in means:
            raise ValueError(
                f"there is no mean of method {method!r}, metric {metric!r} over {over!r}; methods are "
                f"{', '.join(self.methods)}, metrics {', '.join(c.name for c in self.columns)}, and means are over "
                f"{', '.join(self.places)}"
            )
        return means[over]

    @property
    def places(self) -> list[str]:
        """What means are over: every class, and all of them."""
        return [*self.classes, OVER_CLASSES, OVER_PAIRS] if self.classes else [OVER_PAIRS]

    @cached_property
    def _means(self) -> dict[tuple[str, str], dict[str, float]]:
        by_class: dict[str, dict[str, list[Row]]] = {}
        for row in self.rows:
            by_class.setdefault(row.method, {}).setdefault(row.group, []).append(row)
        found = {}
        for method in self.methods:
            for column in self.columns:
                values = {
                    group: [row.values[column.name] * column.factor for row in rows]
                    for group, rows in by_class[method].items()
                }
                every = [value for part in values.values() for value in part]
                means = {OVER_PAIRS: math.fsum(every) / len(every)}
                if self.classes:
                    means |= {group: math.fsum(part) / len(part) for group, part in values.items()}
                    means[OVER_CLASSES] = math.fsum(means[group] for group in self.classes) / len(self.classes)
                found[method, column.name] = means
        return found

    def count(self, over: str = OVER_PAIRS) -> int:
        """Return how many pairs a mean is over; every method has the same."""
        of_one = [row for row in self.rows if row.method == self.methods[0]]
        return len(of_one) if over in (OVER_CLASSES, OVER_PAIRS) else sum(row.group == over for row in of_one)

    def grids(self) -> list[Grid]:
        """Return the blocks that the table is printed as."""
        compares = len(self.methods) > 1
        if not self.classes or not compares:
            labels = [(m, m, OVER_PAIRS) for m in self.methods] if not self.classes else self._class_labels()
            rows = [(label, [self.mean(m, c.name, over) for c in self.columns]) for label, m, over in labels]
            return [Grid(None, "class" if self.classes else "method", self.columns, rows, compares)]
        return [
            Grid(
                column,
                "method",
                [over or _TOP for over in self.places],
                [(m, [self.mean(m, column.name, over) for over in self.places]) for m in self.methods],
                compares,
            )
            for column in self.columns
        ]

    def _class_labels(self) -> list[tuple[str, str, str]]:
        return [(over or _TOP, self.methods[0], over) for over in self.places]

    def to_latex(self, decimals: int | None = None) -> str:
        """Return ``tabular`` blocks of LaTeX with the rules of its package booktabs; the best are bold.

        Parameters
        ----------
        decimals : int, default=None
            Behind the point. ``None`` takes for each metric what leaves its least value three digits.

        Returns
        -------
        str
        """
        return markup.latex(self.grids(), markup.check_decimals(decimals))

    def to_markdown(self, decimals: int | None = None) -> str:
        """Return tables of Markdown; ``decimals`` as in :meth:`to_latex`."""
        return markup.markdown(self.grids(), markup.check_decimals(decimals))

    def to_csv(self) -> str:
        """Return CSV with all digits: a line for every method and mean."""
        head = ["method", "over", "pairs", *(column.title for column in self.columns)]
        lines = [
            [method, over or _TOP, self.count(over), *(self.mean(method, column.name, over) for column in self.columns)]
            for method in self.methods
            for over in self.places
        ]
        return markup.csv([head, *lines])

    def to_dict(self) -> dict[str, Any]:
        """Return everything in plain types, as for JSON: ``means`` by method, metric and what they are over."""
        return {
            "methods": self.methods,
            "classes": {group or _TOP: self.count(group) for group in self.classes},
            "pairs": self.count(),
            "columns": [
                {
                    "title": c.title,
                    "metric": c.name,
                    "unit": c.unit,
                    "scale": c.factor,
                    "better": "higher" if c.high_is_good else "lower",
                }
                for c in self.columns
            ],
            "means": {
                method: {
                    c.name: {over or _TOP: self.mean(method, c.name, over) for over in self.places}
                    for c in self.columns
                }
                for method in self.methods
            },
        }

    def __str__(self) -> str:
        return markup.text(self.grids()).rstrip("\n")

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def read_scale(scale: Any, columns: Sequence[Column]) -> list[Column]:
    """Return columns with the factors of ``scale``: one for all that have a unit, or a mapping by metric."""
    by_name = scale if isinstance(scale, Mapping) else {c.name: scale for c in columns if c.unit != "1"}
    unknown = [name for name in by_name if name not in {c.name for c in columns}]
    if unknown:
        raise ValueError(
            f"scale must name metrics of the table ({', '.join(c.name for c in columns)}), got {unknown[0]!r}"
        )
    for name, factor in by_name.items():
        if isinstance(factor, (bool, str)) or not math.isfinite(factor) or not factor > 0:
            raise ValueError(f"scale must be finite and above 0, got {factor!r} for {name}")
    return [Column(c.name, c.unit, c.high_is_good, float(by_name.get(c.name, 1.0))) for c in columns]
