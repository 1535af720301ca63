"""What is installed, and what of it can be used."""

from __future__ import annotations

import platform

_PACKAGES = ("numpy", "scikit-learn", "river", "matplotlib", "rich", "torch")


class Info(dict[str, str]):
    """Name -> version or state, printed one a line."""

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
        A dict of name to version or state; printed, one a line. ``info()["CUDA"]`` starts with "usable" where
        rows on a CUDA device can be scored, else it says what is missing.

    Examples
    --------
    >>> import imondrian
    >>> imondrian.info()["imondrian"] == imondrian.__version__
    True
    """
    from imondrian._core import instruction_set
    from imondrian._version import __version__

    return Info(
        {
            "imondrian": __version__,
            "Python": f"{platform.python_version()} on {platform.platform()}",
            "instruction set": "{} ({})".format(*instruction_set()),
            **{package: _version(package) for package in _PACKAGES},
            "CUDA": _cuda(),
        }
    )


def _cuda() -> str:
    from .cuda_status import cuda_status  # only here, so that importing the package stays quick

    status = cuda_status()
    return f"usable: {status.device}, CuPy {status.cupy}" if status.usable else f"not usable: {status.reason}"


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
