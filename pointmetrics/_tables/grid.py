"""What stands in a table before it is written: columns of metrics, and blocks of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_TIMES = "\N{MULTIPLICATION SIGN}"
_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def scale(factor: float, form: str) -> str:
    """Return how a heading says that its numbers were multiplied, nothing for 1: in "plain", "unicode" or "latex"."""
    if factor == 1:
        return ""
    power = round(math.log10(factor))
    if not math.isclose(factor, 10.0**power, rel_tol=1e-12):
        return {"plain": f" x{factor:g}", "unicode": f" {_TIMES} {factor:g}", "latex": rf" $\times {factor:g}$"}[form]
    return {
        "plain": f" x1e{power}",
        "unicode": f" {_TIMES} 10{str(power).translate(_POWERS)}",
        "latex": rf" $\times 10^{{{power}}}$",
    }[form]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric of a table: ``factor`` is what its values are multiplied by, where ``title`` does not name it yet."""

    name: str
    unit: str = "1"
    high_is_good: bool = False
    factor: float = 1.0

    @property
    def title(self) -> str:
        """Name and scale in plain letters, as ``cd-l1 x1e3``."""
        return self.name + scale(self.factor, "plain")


@dataclass(frozen=True, slots=True)
class Grid:
    """One block of a table: a label and numbers a row; ``columns`` says what they are."""

    title: Column | None
    corner: str
    columns: Sequence[Column | str]
    rows: Sequence[tuple[str, Sequence[float]]]
    compares: bool
