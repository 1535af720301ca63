"""Make the oracles, the emulated device and the drivers' builds importable; name the folder of optional real data."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("reference", "emulation", "native")]


@pytest.fixture(scope="session")
def data_folder():
    """The optional folder of real data; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("IMONDRIAN_DATA", ROOT.parent / "shared" / "data")) / "clouds"
    if not folder.is_dir():
        pytest.skip("needs real clouds: set IMONDRIAN_DATA to a folder that holds clouds/")
    return folder


@pytest.fixture(scope="session")
def emulated():
    """The backend of a device that is emulated, and in ``.xp`` the module that stands for CuPy."""
    import host_build
    from device import EmulatedDevice

    from pointmetrics._backends.cuda.backend import CudaBackend

    if reason := host_build.missing():
        pytest.skip(reason)
    return CudaBackend(EmulatedDevice())


@pytest.fixture
def cp(emulated, monkeypatch):
    """A stand-in for CuPy: its arrays are recognised, and computed on the emulated device."""
    monkeypatch.setitem(sys.modules, "cupy", emulated.xp)
    monkeypatch.setattr("pointmetrics._backends.cuda.backend.backend", lambda: emulated)
    return emulated.xp
