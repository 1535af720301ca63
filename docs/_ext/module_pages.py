"""Reference pages of the public modules, written before the build from what each module exports.

The two packages' own pages are written by hand, in an order that explains; everything else that is public
(``imondrian.river``, ``pointmetrics.sets``, ...) gets a page here, so that none can be forgotten.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("imondrian", "pointmetrics")
NOT_API = {"cli", "__main__", "__init__"}  # command lines are documented by their own help


def public_modules() -> list[str]:
    """Return the names of the packages' public modules."""
    return [
        f"{package}.{path.stem}"
        for package in PACKAGES
        for path in sorted((ROOT / package).glob("*.py"))
        if path.stem not in NOT_API and not path.stem.startswith("_")
    ]


def directive(module: ModuleType, name: str) -> str:
    """Return the autodoc directive of one public name."""
    value = getattr(module, name)
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:\n   :inherited-members:\n"
    if not callable(value):
        return f".. autodata:: {name}\n"
    pictures = f"\n.. minigallery:: {module.__name__}.{name}\n" if module.__name__.endswith(".plot") else ""
    return f".. autofunction:: {name}\n{pictures}"


def page(name: str) -> str:
    """Return a module's page, as reStructuredText."""
    module = importlib.import_module(name)
    names = list(module.__all__)
    listed = "\n".join(f"   {entry}" for entry in names)
    entries = "\n".join(directive(module, entry) for entry in names)
    return (
        f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :no-members:\n\n.. currentmodule:: {name}\n\n"
        f".. autosummary::\n   :nosignatures:\n\n{listed}\n\n{entries}"
    )


def write_pages(app: Sphinx) -> None:
    """Write the pages, leaving those alone that would not change, so that Sphinx need not read them again."""
    from sphinx.ext.autodoc.mock import mock

    folder = Path(app.srcdir) / "reference" / "modules"
    folder.mkdir(exist_ok=True)
    with mock(app.config.autodoc_mock_imports):
        pages = {folder / f"{name}.rst": page(name) for name in public_modules()}
    for path in set(folder.glob("*.rst")) - pages.keys():
        path.unlink()
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def skip_foreign(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what classes inherit from other libraries, which document it."""
    del app, what, name, skip, options
    value = getattr(value, "fget", value)
    owner = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", None)
    return None if owner is None or owner.partition(".")[0] in PACKAGES else True


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages once the configuration is known, and keep to our own members on all of them."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-skip-member", skip_foreign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
