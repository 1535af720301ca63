"""Where the items of ``gpu_items`` run: a CUDA device, or its stand-in; and how long calls take there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(ROOT / "tests"),
    str(ROOT / "tests" / "emulation"),
    str(ROOT / "tests" / "reference"),
    str(ROOT / "tests" / "pointmetrics" / "_backends"),
    str(ROOT / "bench"),
]

import imondrian._kit.device as kit  # noqa: E402


class LeftOutError(Exception):
    """What an item needs is not here."""


@dataclass(frozen=True)
class Item:
    group: str
    name: str
    run: Callable[[], str | dict[str, Any]]  # returns a note, or a row of the table of timings


@dataclass
class Place:
    """Where items run: a device, or its stand-in, with ``xp`` as CuPy."""

    xp: Any
    device: Any
    emulated: bool

    def smaller(self, on_device: Any, emulated: Any) -> Any:
        """Return a size for where this is."""
        return emulated if self.emulated else on_device

    def synchronize(self) -> None:
        self.device.synchronize()


def on_device() -> Place:
    """Return CuPy's current device."""
    device = kit.open_device()
    return Place(device.xp, device, False)


def on_host() -> Place:
    """Return the emulated device, put in the place of CuPy's for good."""
    from device import EmulatedDevice

    from pointmetrics._backends.cuda import backend as _cuda

    device = EmulatedDevice()
    backend = _cuda.CudaBackend(device)
    sys.modules["cupy"] = device.xp
    kit.open_device = lambda: device
    _cuda.backend = lambda: backend
    return Place(device.xp, device, True)


def torch_of(place: Place) -> Any:
    if place.emulated:
        raise LeftOutError("needs torch with CUDA")
    try:
        import torch
    except ImportError as error:
        raise LeftOutError(f"needs torch: {error}") from error
    if not torch.cuda.is_available():
        raise LeftOutError("needs torch with CUDA")
    return torch


def timed(run: Callable[[], Any], synchronize: Callable[[], None], rounds: int) -> float:
    """Return the median seconds of a call, from an idle device to an idle device."""
    run()
    found = []
    for _ in range(rounds):
        synchronize()
        began = time.perf_counter()
        run()
        synchronize()
        found.append(time.perf_counter() - began)
    return median(found)
