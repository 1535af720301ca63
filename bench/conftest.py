"""What all benchmarks share: versions in the report, and sizes that shrink where nothing is timed."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

import pytest

from imondrian._core import instruction_set

REPORTED = (
    "imondrian",
    "numpy",
    "scipy",
    "scikit-learn",
    "river",
    "coniferest",
    "isotree",
    "rcf3",
    "pyod",
    "pykdtree",
    "open3d",
    "point-cloud-utils",
    "POT",
    "lapx",
    "torch",
)


def versions() -> dict[str, str]:
    """Return the versions of the libraries compared, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in REPORTED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    """Record versions and the command, and leave out the machine's name: reports are published."""
    machine_info["versions"] = versions()
    machine_info["command"] = " ".join(["pytest", *config.invocation_params.args])
    machine_info["node"] = ""
    machine_info["instruction_set"] = "level {} of {}".format(*instruction_set())
    machine_info.setdefault("system", sys.platform)


@pytest.fixture(scope="session")
def timed(request: pytest.FixtureRequest) -> bool:
    """Tell whether benchmarks are timed; if not, every workload is tiny so that none rots unnoticed in CI."""
    option = request.config.option
    return bool(getattr(option, "benchmark_enable", False)) or not getattr(option, "benchmark_disable", False)
