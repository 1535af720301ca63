"""Directives that draw `pointmetrics.conventions()` and `presets()`: what stands there is what the code computes."""

from __future__ import annotations

from collections.abc import Callable
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
    for (formula, units, used_by), group in groupby(pm.conventions("chamfer_distance").values(), definition):
        names = ", ".join(f"`{convention.name}`" for convention in group)
        table.append((names, _powers(formula), _powers(units), used_by))
    return table


def _powers(text: str) -> str:
    return text.replace("^2", "²")


DEFINITIONS_HEADER = ("name", "value", "unit", "call", "reported by")


def definition_rows() -> list[tuple[str, ...]]:
    """Return a row of cells, in Markdown, for each named number that is no Chamfer distance."""
    others = (found for found in pm.conventions().values() if isinstance(found, pm.Definition))
    return [
        (f"`{d.name}`", _powers(d.formula).replace("|", "\\|"), _powers(d.units), f"`{d.call}`", d.used_by)
        for d in others
    ]


PRESETS_HEADER = ("name", "paper", "columns", "calls")


def preset_rows() -> list[tuple[str, str, str, str]]:
    """Return a row of cells, in Markdown, for each table of a paper."""
    return [
        (
            f"`{preset.name}`",
            preset.paper,
            "<br>".join(column.title for column in preset.columns),
            "<br>".join(f"`{column.call}`" for column in preset.columns),
        )
        for preset in pm.presets().values()
    ]


class _Table(SphinxDirective):
    """No arguments, no content."""

    header: tuple[str, ...]
    cells: Callable[[], list[tuple[str, ...]]]

    def run(self) -> list[nodes.Node]:
        lines = [self.header, ("---",) * len(self.header), *type(self).cells()]
        markdown = StringList([f"| {' | '.join(cells)} |" for cells in lines], source=__file__)
        holder = nodes.container()
        self.state.nested_parse(markdown, self.content_offset, holder)
        return holder.children


class ConventionsTable(_Table):
    """``{conventions-table}``."""

    header, cells = HEADER, staticmethod(rows)


class DefinitionsTable(_Table):
    """``{definitions-table}``."""

    header, cells = DEFINITIONS_HEADER, staticmethod(definition_rows)


class PresetsTable(_Table):
    """``{presets-table}``."""

    header, cells = PRESETS_HEADER, staticmethod(preset_rows)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("conventions-table", ConventionsTable)
    app.add_directive("definitions-table", DefinitionsTable)
    app.add_directive("presets-table", PresetsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
