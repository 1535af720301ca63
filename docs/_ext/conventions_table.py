"""A directive that draws `pointmetrics.conventions()` as a table: what stands there is what the code computes."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import pointmetrics as pm

HEADER = ("names", "value", "unit", "reported by")


def rows() -> list[tuple[str, str, str, str]]:
    """Return a row of cells, in Markdown, for each definition: names that share one stand together."""
    def definition(convention: pm.Convention) -> tuple[Any, ...]:
        return convention.formula, convention.units, convention.used_by

    table = []
    for (formula, units, used_by), group in groupby(pm.conventions().values(), definition):
        names = ", ".join(f"`{convention.name}`" for convention in group)
        table.append((names, _powers(formula), _powers(units), used_by))
    return table


def _powers(text: str) -> str:
    return text.replace("^2", "²")


class ConventionsTable(SphinxDirective):
    """``{conventions-table}``: no arguments, no content."""

    def run(self) -> list[nodes.Node]:
        lines = [HEADER, ("---",) * len(HEADER), *rows()]
        markdown = StringList([f"| {' | '.join(cells)} |" for cells in lines], source=__file__)
        holder = nodes.container()
        self.state.nested_parse(markdown, self.content_offset, holder)
        return holder.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("conventions-table", ConventionsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
