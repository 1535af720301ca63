"""Make the oracles and the emulated device importable, and name the folder of optional real data."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "reference"), str(ROOT / "tests" / "emulation")]


@pytest.fixture(scope="session")
def data_folder():
    """The optional folder of real data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("IMONDRIAN_DATA", ROOT.parent / "shared" / "data")) / "clouds"
    if not folder.is_dir():
        pytest.skip("needs real clouds: set IMONDRIAN_DATA to a folder that holds clouds/")
    return folder
