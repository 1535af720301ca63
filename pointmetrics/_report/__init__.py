"""The HTML report of a comparison: one file that needs no network.

``assemble`` puts it together from ``page.html``, ``style.css`` and ``viewer.js``; ``views`` takes from a pair of clouds
what is shown of it (a random subset of points with their errors, a histogram, an F-score curve), ``charts`` draws those
as SVG, ``colours`` has the colour scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .views import View

MAX_VIEWS = 50  # pairs that can be looked at; more would make the file too large to open


def page(document: dict[str, Any], views: list[View | None]) -> str:
    """Return the report of a comparison as HTML; ``views`` has one entry a pair of the document."""
    from .assemble import build

    return build(document, views)
