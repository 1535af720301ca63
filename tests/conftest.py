"""Settings and fixtures that every test shares."""

import signal

import pytest

# What runs in the background is started with interrupts ignored, which children would inherit: tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # a machine with a device may have no more than its tests need
    pass
else:
    # Derandomised: a run on one machine is the run on every machine. No deadlines: nothing here may
    # depend on how busy the machine is.
    settings.register_profile(
        "repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def cupy_device():
    """CuPy with a usable device."""
    cupy = pytest.importorskip("cupy", reason="needs CuPy and a CUDA device")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"needs a CUDA device: {error}")
    if count == 0:
        pytest.skip("needs a CUDA device: none found")
    return cupy
