"""``pointmetrics info``: versions, the machine, and what is installed."""

from __future__ import annotations

import platform

from pointmetrics import __version__
from pointmetrics._arrays import thread_count
from pointmetrics._core import limit_instruction_set

from . import output, terminal

_OPTIONAL = {"scipy": "", "scikit-learn": "", "river": "river", "torch": "torch", "cupy-cuda12x": "cuda",
             "open3d": "open3d", "matplotlib": "plot", "click": "cli", "rich": "cli"}


def facts() -> dict[str, str]:
    """Return what there is to know, by name."""
    from importlib.metadata import version  # slow to load, and needed here alone

    used = ("baseline", "AVX2", "AVX-512")[limit_instruction_set(2)]
    found = {"pointmetrics": __version__, "Python": f"{platform.python_version()} on {platform.platform()}",
             "instruction set": used, "threads": str(thread_count(None)), "numpy": version("numpy")}
    return found | {package: _version(package, extra) for package, extra in _OPTIONAL.items()}


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


def _version(package: str, extra: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed" + (f" (pip install 'imondrian[{extra}]')" if extra else "")
