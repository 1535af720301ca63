"""Make the drivers' builds and the emulated device importable; put it in the place of CuPy's where a test asks."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("emulation", "native")]


@pytest.fixture(scope="session")
def emulated():
    """A device that is emulated, and in ``.xp`` the module that stands for CuPy."""
    import host_build
    from device import EmulatedDevice

    if reason := host_build.missing():
        pytest.skip(reason)
    return EmulatedDevice()


@pytest.fixture
def cp(emulated, monkeypatch):
    """A stand-in for CuPy: its arrays are recognised, and scored on the emulated device."""
    monkeypatch.setitem(sys.modules, "cupy", emulated.xp)
    monkeypatch.setattr("imondrian._kit.device.open_device", lambda: emulated)
    return emulated.xp
