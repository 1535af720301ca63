"""``imondrian info``: versions, the machine, and what is installed."""

from __future__ import annotations

import imondrian
from imondrian._kit import terminal

from . import output

_OPTIONAL = {
    "river": "river",
    "matplotlib": "plot",
    "click": "cli",
    "rich": "cli",
    "pyarrow": "cli",
    "orjson": "cli",
    "dask": "dask",
    "onnx": "onnx",
    "treelite": "treelite",
}


def facts() -> dict[str, str]:
    """Return what there is to know, by name."""
    from importlib.metadata import PackageNotFoundError, version

    found = dict(imondrian.info())
    for package, extra in _OPTIONAL.items():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = f"not installed (pip install 'imondrian[{extra}]')"
    return found


def run(layout: str) -> int:
    """Print the facts and return the exit code."""
    found = facts()
    if layout == "json":
        output.write(output.to_json(found), None)
    elif terminal.shows_tables():
        output.write(terminal.table(["", ""], [list(row) for row in found.items()], [], rich=True), None)
    else:
        output.write("".join(f"{name}: {value}\n" for name, value in found.items()), None)
    return 0
