"""What is installed, what of it can be used, and why not."""

from __future__ import annotations

import platform
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from pointmetrics._core import instruction_set

from .numbers import thread_count

if TYPE_CHECKING:
    from imondrian._kit.cuda_status import CudaStatus

# Name -> the extra that brings it, "" where it comes along anyway. CuPy has another name for each CUDA version.
_PACKAGES = {
    "numpy": "",
    "scipy": "",
    "scikit-learn": "",
    "river": "river",
    "torch": "torch",
    "open3d": "open3d",
    "matplotlib": "plot",
    "click": "cli",
    "rich": "cli",
}


class Info(dict[str, str]):
    """Name -> version or state, printed one a line; ``cuda`` says whether CUDA can be used, and why not."""

    cuda: CudaStatus

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.items())


def info() -> Info:
    """Tell what is installed and usable.

    Imports CuPy where it is installed, and looks for a device; nothing is compiled. The instruction set is the
    level that hot loops run at (``baseline``, ``avx2`` or ``avx512``), and the vectors it has; the environment
    variable ``IMONDRIAN_ISA``, read at the import, names the highest level to use.

    Returns
    -------
    Info
        A dict of name to version or state; printed, one a line. ``info().cuda.usable`` is True where
        arrays of CuPy and tensors on CUDA devices can be computed on, else ``info().cuda.reason`` says
        what is missing.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> pm.info()["pointmetrics"] == pm.__version__
    True
    """
    from imondrian._kit.cuda_status import cuda_status  # only here, so that importing the package stays quick
    from pointmetrics._version import __version__

    status = cuda_status()
    found = Info(
        {
            "pointmetrics": __version__,
            "Python": f"{platform.python_version()} on {platform.platform()}",
            "instruction set": "{} ({})".format(*instruction_set()),
            "threads": str(thread_count(None)),
            **{package: _version(package, extra) for package, extra in _PACKAGES.items()},
            "CUDA": "usable" if status.usable else f"not usable: {status.reason}",
        }
    )
    for field in fields(status)[2:]:
        value: Any = getattr(status, field.name)
        if value is not None:
            is_size = field.name == "memory_bytes"
            found[field.name.removesuffix("_bytes")] = f"{value / 2**30:.1f} GiB" if is_size else value
    found.cuda = status
    return found


def _version(package: str, extra: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed" + (f" (pip install 'imondrian[{extra}]')" if extra else "")
