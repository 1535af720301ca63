"""The core and the kernels include the same headers for what both compute, and these are installed."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from imondrian._kit.kernel_source import Instance, kernel_files

ROOT = Path(__file__).parents[1]
HEADERS = [
    path for package in ("imondrian", "pointmetrics") for path in (ROOT / package / "native/shared").glob("*.hpp")
]


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: f"{path.parts[-4]}-{path.stem}")
def test_both_include_a_header(header):
    package, name = header.parts[-4], f"shared/{header.name}"
    kernels = [Instance(package, file, np.dtype(np.float64)).source for file in kernel_files(package)]
    assert any(f'#line 1 "{name}"' in source for source in kernels)
    others = {path for path in (ROOT / package / "native").rglob("*.?pp") if path.parent != header.parent}
    indirect = {name} | {f"shared/{p.name}" for p in header.parent.glob("*.hpp") if f'"{name}"' in p.read_text()}
    assert any(f'#include "{each}"' in path.read_text() for path in others for each in indirect)


@pytest.mark.parametrize("package", ["imondrian", "pointmetrics"])
def test_they_are_installed(package):
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][package]
    installed = {path for pattern in patterns for path in (ROOT / package).glob(pattern)}
    assert installed >= {path for path in HEADERS if path.is_relative_to(ROOT / package)} > set()
