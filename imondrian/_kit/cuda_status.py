"""How far CUDA gets here, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .compiler import nvrtc_version, target
from .device import import_cupy


@dataclass(frozen=True, slots=True)
class CudaStatus:
    """Whether CUDA can be used, ``reason`` why not, and what was found on the way (None where nothing was)."""

    usable: bool
    reason: str
    cupy: str | None = None
    driver: str | None = None
    runtime: str | None = None
    nvrtc: str | None = None
    device: str | None = None
    compute_capability: str | None = None
    memory_bytes: int | None = None


def cuda_status() -> CudaStatus:
    """Find out, step by step, how far CUDA gets here; no step raises."""
    found: dict[str, Any] = {}
    try:
        reason = _probe(found)
    except Exception as error:  # a broken installation fails in its own ways, which is what is to be told
        reason = f"{type(error).__name__}: {error}"
    return CudaStatus(not reason, reason, **found)


def _probe(found: dict[str, Any]) -> str:
    """Fill in what is found; return why CUDA cannot be used, or ""."""
    try:
        cupy = import_cupy()
    except ImportError as error:
        return str(error)
    runtime = cupy.cuda.runtime
    found |= {"cupy": cupy.__version__, "runtime": _version(runtime.runtimeGetVersion())}
    driver = runtime.driverGetVersion()
    if driver == 0:
        return "no CUDA driver is loaded: this machine has no NVIDIA device, or its driver is not installed"
    found["driver"] = _version(driver)
    try:
        if runtime.getDeviceCount() == 0:
            return "the CUDA driver finds no device"
    except runtime.CUDARuntimeError as error:
        if "InsufficientDriver" in str(error):
            return (
                f"the CUDA driver supports CUDA {found['driver']}, and CuPy was built for {found['runtime']}: "
                f"update the driver, or install the CuPy for that version"
            )
        return f"the CUDA driver finds no device: {error}"
    properties = runtime.getDeviceProperties(runtime.getDevice())
    capability = 10 * properties["major"] + properties["minor"]
    found |= {
        "device": properties["name"].decode(),
        "memory_bytes": int(properties["totalGlobalMem"]),
        "compute_capability": f"{capability / 10:.1f}",
    }
    try:
        found["nvrtc"] = ".".join(map(str, nvrtc_version(cupy.cuda.nvrtc)))
        target(cupy.cuda.nvrtc, capability)
    except RuntimeError as error:
        return str(error)
    return ""


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def check_driver(cupy: Any) -> None:
    """Say why CuPy cannot use the device that another library uses: a driver may be too old for one of them."""
    try:
        cupy.cuda.runtime.getDevice()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(
            f"tensors on a CUDA device are computed on through CuPy, which cannot use it: "
            f"{cuda_status().reason or error}"
        ) from error
