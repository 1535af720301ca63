"""Write blocks of numbers as LaTeX, Markdown or text, the best of each column in bold."""

from __future__ import annotations

import csv as _csv
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from .grid import Column, Grid, scale

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
}  # fmt: skip
_SCALED = re.compile(r"(.+) x(1e-?\d+)")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#])")


def check_decimals(decimals: Any) -> int | None:
    """Return ``decimals`` where it is None or a count that a float has digits for."""
    if decimals is not None and (isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals < 18):
        raise ValueError(f"decimals must be an int from 0 to 17 or None, got {decimals!r}")
    return decimals


def latex(grids: Sequence[Grid], decimals: int | None) -> str:
    """Return one ``tabular`` a block."""

    def escape(text: str) -> str:
        return "".join(_LATEX.get(letter, letter) for letter in text)

    def head(column: Column | str) -> str:
        if isinstance(column, str):
            return escape(column)
        arrow = r"$\uparrow$" if column.high_is_good else r"$\downarrow$"
        return f"{_named(column, 'latex', escape)} {arrow}"

    blocks = []
    for grid in grids:
        n = len(grid.columns)
        lines = [rf"\begin{{tabular}}{{l{'r' * n}}}", r"\toprule"]
        if grid.title is not None:
            lines += [rf" & \multicolumn{{{n}}}{{c}}{{{head(grid.title)}}} \\", rf"\cmidrule(lr){{2-{n + 1}}}"]
        lines += [" & ".join([escape(grid.corner), *map(head, grid.columns)]) + r" \\", r"\midrule"]
        for label, cells in _cells(
            grid,
            decimals,
            lambda cell: rf"\textbf{{{cell}}}".replace("inf", r"$\infty$"),
            lambda c: c.replace("inf", r"$\infty$"),
        ):
            if label.startswith("mean over classes") and grid.corner == "class":
                lines.append(r"\midrule")
            lines.append(" & ".join([escape(label), *cells]) + r" \\")
        blocks.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n")
    return "% needs \\usepackage{booktabs}\n" + "\n".join(blocks)


def markdown(grids: Sequence[Grid], decimals: int | None) -> str:
    """Return one table a block, under the metric's name where a block has one."""

    def escape(text: str) -> str:
        return _MARKDOWN.sub(r"\\\1", text)

    blocks = []
    for grid in grids:
        heads = [escape(grid.corner), *(escape(c) if isinstance(c, str) else escape(_head(c)) for c in grid.columns)]
        rows = [
            [escape(label), *cells]
            for label, cells in _cells(grid, decimals, lambda cell: f"**{cell}**" if cell else "")
        ]
        lines = ["| " + " | ".join(row) + " |" for row in [heads, *rows]]
        lines.insert(1, "|---" + "|---:" * len(grid.columns) + "|")
        title = [] if grid.title is None else [f"**{escape(_head(grid.title))}**", ""]
        blocks.append("\n".join([*title, *lines]) + "\n")
    return "\n".join(blocks)


def text(grids: Sequence[Grid], decimals: int | None = None) -> str:
    """Return aligned columns; a star stands behind the best."""
    blocks = []
    for grid in grids:
        heads = [grid.corner, *(c if isinstance(c, str) else _head(c) for c in grid.columns)]
        body = [[label, *cells] for label, cells in _cells(grid, decimals, lambda cell: f"{cell}*", lambda c: f"{c} ")]
        if grid.compares:
            heads = [heads[0], *(f"{cell} " for cell in heads[1:])]
        else:
            body = [[cell.rstrip() if k else cell for k, cell in enumerate(row)] for row in body]
        widths = [max(len(row[k]) for row in [heads, *body]) for k in range(len(heads))]
        lines = [
            "  ".join(
                cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in [heads, *body]
        ]
        title = [] if grid.title is None else [_head(grid.title)]
        blocks.append("\n".join(line.rstrip() for line in [*title, *lines]) + "\n")
    return "\n".join(blocks)


def csv(lines: Sequence[Sequence[Any]]) -> str:
    """Return CSV with all digits."""
    out = io.StringIO()
    _csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def _head(column: Column) -> str:
    return f"{_named(column, 'unicode', str)} {'↑' if column.high_is_good else '↓'}"


def _named(column: Column, form: str, escape: Callable[[str], str]) -> str:
    """Return a metric's name with its scale, also where its name brings that, as presets' titles do."""
    brings = _SCALED.fullmatch(column.name)
    name, own = (column.name, 1.0) if brings is None else (brings[1], float(brings[2]))
    return escape(name) + scale(own, form) + scale(column.factor, form)


def _cells(
    grid: Grid, decimals: int | None, best: Callable[[str], str], other: Callable[[str], str] = lambda cell: cell
) -> list[tuple[str, list[str]]]:
    """Return the rows as text. The best are all that show the best number: nobody sees the digits beyond."""
    columns = [grid.title if isinstance(c, str) else c for c in grid.columns]
    spread = [[cells[k] for _, cells in grid.rows] for k in range(len(columns))]
    if grid.title is not None:  # one metric all over: as many decimals everywhere
        places = [_places([value for column in spread for value in column], decimals)] * len(columns)
    else:
        places = [_places(column, decimals) for column in spread]
    shown = [[f"{value:.{places[k]}f}" for value in column] for k, column in enumerate(spread)]
    marked = []
    for column, cells in zip(columns, shown, strict=True):
        pick = max if column is not None and column.high_is_good else min
        numbers = [float(cell) for cell in cells if not math.isnan(float(cell))]
        top = pick(numbers) if grid.compares and numbers else None
        marked.append([best(cell) if top is not None and float(cell) == top else other(cell) for cell in cells])
    return [(label, [column[i] for column in marked]) for i, (label, _) in enumerate(grid.rows)]


def _places(values: Sequence[float], decimals: int | None) -> int:
    """Return how many decimals leave the least value three digits."""
    if decimals is not None:
        return decimals
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    return min(max(2 - math.floor(math.log10(min(sizes))), 0), 6) if sizes else 3
