"""From a kernel's source to a file that a device loads: NVRTC, and the folder of what it made."""

from __future__ import annotations

import os
import tempfile
import warnings
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from .kernel_source import OPTIONS, Instance

# NVRTC loads a library of its own when it first compiles, and two threads in there at once both fail.
_ONE_AT_A_TIME = Lock()


def compiled(nvrtc: Any, instance: Instance, capability: int) -> Path:
    """Compile an instance for a compute capability, or find it in the cache.

    NVRTC is called directly, because ``RawModule`` would add ``-ftz=true``: distances whose squares are subnormal
    would become 0, and ties where the CPU has none.
    """
    version = ".".join(map(str, nvrtc_version(nvrtc)))
    arch = target(nvrtc, capability)
    name = f"{instance.name}-{arch}-nvrtc{version}.{'cubin' if arch.startswith('sm') else 'ptx'}"
    path = cache_folder(instance.package) / name
    if path.exists():
        return path
    code = compile_instance(nvrtc, instance, arch)
    try:
        return _keep(path, code)
    except OSError as error:
        warnings.warn(
            f"kernels are compiled anew by every process: {path.parent} cannot be written ({error}); "
            f"{instance.package.upper()}_CACHE_DIR names another folder",
            RuntimeWarning,
            stacklevel=2,
        )
        return _keep(Path(_own_folder()) / instance.package / name, code)


def _keep(path: Path, code: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and moved into place: another process may do the same.
    handle, part = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(code)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    return path


@cache
def _own_folder() -> str:
    """Return a folder that goes with this process."""
    import atexit
    import shutil

    folder = tempfile.mkdtemp(prefix="imondrian-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def nvrtc_version(nvrtc: Any) -> tuple[int, int]:
    """Return NVRTC's version, or say how to get NVRTC."""
    try:
        return nvrtc.getVersion()
    except (RuntimeError, OSError, ImportError) as error:
        raise RuntimeError(
            f"kernels are compiled when first used, and the library for that, NVRTC, cannot be loaded "
            f"({error}): install a CUDA toolkit, or pip install 'cupy-cuda12x[ctk]' "
            f"(cupy-cuda13x for CUDA 13)"
        ) from error


def target(nvrtc: Any, capability: int) -> str:
    """Return what NVRTC is to compile for: the device's own code, or code its driver translates.

    A device newer than NVRTC runs what the newest known one would; an older one cannot be served.
    """
    known = sorted(nvrtc.getSupportedArchs())
    if capability in known:
        return f"sm_{capability}"
    below = [arch for arch in known if arch < capability]
    if not below:
        raise RuntimeError(
            f"the device's compute capability {capability / 10:.1f} is older than the least that this "
            f"CUDA version compiles for, {known[0] / 10:.1f}; use a CuPy for an older CUDA version"
        )
    return f"compute_{below[-1]}"


def compile_instance(nvrtc: Any, instance: Instance, arch: str, options: tuple[str, ...] = ()) -> bytes:
    """Compile an instance for ``sm_..`` or ``compute_..``; RuntimeError with the compiler's messages."""
    return compile_with_log(nvrtc, instance, arch, options)[0]


def compile_with_log(nvrtc: Any, instance: Instance, arch: str, options: tuple[str, ...] = ()) -> tuple[bytes, str]:
    """As :func:`compile_instance`; return the compiler's messages too."""
    with _ONE_AT_A_TIME:
        program = nvrtc.createProgram(instance.source, f"{instance.file}.cu", (), ())
        try:
            nvrtc.compileProgram(program, (*OPTIONS, *options, f"-arch={arch}"))
            # CuPy takes a cubin for text that ends in NUL, and leaves its last byte behind: a NUL too, of the last
            # program header. One byte more than the ELF holds would do no harm, were this mended in CuPy.
            code = nvrtc.getCUBIN(program) + b"\0" if arch.startswith("sm_") else nvrtc.getPTX(program)
            return code, nvrtc.getProgramLog(program)
        except nvrtc.NVRTCError as error:
            raise RuntimeError(
                f"NVRTC could not compile {instance.name} for {arch}: {error}\n{nvrtc.getProgramLog(program)}"
            ) from error
        finally:
            nvrtc.destroyProgram(program)


def cache_folder(package: str) -> Path:
    """Return the folder of a package's compiled kernels: as ``<PACKAGE>_CACHE_DIR`` says, or in the user's cache."""
    named = os.environ.get(f"{package.upper()}_CACHE_DIR")
    if named:
        return Path(named)
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        base = Path(_own_folder())
    return Path(base) / package / "kernels"
