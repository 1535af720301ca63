"""Every kernel that a public call can need, as the real NVRTC compiles it for the devices of the day."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases.kernel_budgets import REGISTERS, SHARED, registers

from imondrian._kit.compiler import compile_instance, compile_with_log
from imondrian._kit.kernel_source import Instance, entries, kernel_files

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "emulation"), str(ROOT / "bench")]

import elf  # noqa: E402
import kernel_instances  # noqa: E402

ARCHS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100")
FILES = [(package, file) for package in ("imondrian", "pointmetrics") for file in kernel_files(package)]
_REPORT = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
    r"(\d+) bytes spill loads.*?Used (\d+) registers(?:, used \d+ barriers)?(?:, (\d+) bytes smem)?",
    re.DOTALL,
)


@pytest.fixture(scope="module")
def nvrtc():
    cupy = pytest.importorskip("cupy", reason="needs CuPy, not a device")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # whatever keeps the library from being loaded
        pytest.skip(f"needs NVRTC, which cannot be loaded: {' '.join(str(error).split())}")
    return cupy.cuda.nvrtc


def instances(package, file):
    return [i for i in kernel_instances.every() if (i.package, i.file) == (package, file)]


def test_every_kernel_has_a_budget():
    assert {entry for at in FILES for entry in entries(*at)} == set(REGISTERS) >= set(SHARED)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("at", FILES, ids=lambda at: at[1])
def test_every_instance_compiles_within_its_budget(nvrtc, at, arch):
    if int(arch[3:]) not in nvrtc.getSupportedArchs():
        pytest.skip(f"needs an NVRTC that compiles for {arch}")
    found = instances(*at)
    assert len(found) >= 2
    for instance in found:
        code, log = compile_with_log(nvrtc, instance, arch, ("--ptxas-options=-v",))
        assert elf.extent(code) <= len(code) <= elf.extent(code) + 1  # whole, for it is loaded from a file
        reports = _REPORT.findall(log)
        assert sorted(entry for entry, *_ in reports) == sorted(entries(*at))
        for entry, _, stores, loads, used, shared in reports:
            budget = registers(entry, instance.dtype.itemsize == 8, dict(instance.defines))
            assert (entry, stores, loads) == (entry, "0", "0")
            assert int(used) <= budget, (instance.name, entry)
            assert int(shared or 0) <= SHARED.get(entry, 0), (instance.name, entry)


@pytest.mark.parametrize("at", FILES, ids=lambda at: at[1])
def test_the_emulated_device_knows_how_much_shared_memory_is_a_kernels_own(nvrtc, at):
    """Never less than the cubin says, and no more than the other kernels of a file have of their own."""
    import host_build
    from device import static_shared

    from imondrian._kit.kernel_source import Kernel

    if reason := host_build.missing():
        pytest.skip(reason)
    instance = instances(*at)[0]
    _, log = compile_with_log(nvrtc, instance, "sm_80", ("--ptxas-options=-v",))
    for entry, *_, shared in _REPORT.findall(log):
        assert 0 <= static_shared(Kernel(instance, entry)) - int(shared or 0) <= 64


def test_a_cubin_of_cupy_lacks_its_last_byte(nvrtc):
    """What is appended can go when this fails."""
    instance = instances("pointmetrics", "segments")[0]
    program = nvrtc.createProgram(instance.source, "segments.cu", (), ())
    nvrtc.compileProgram(program, ("-std=c++17", "-arch=sm_80"))
    cubin = nvrtc.getCUBIN(program)
    nvrtc.destroyProgram(program)
    assert elf.extent(cubin) == len(cubin) + 1


def test_an_extent_is_that_of_the_last_part():
    program = Path(sys.executable).resolve().read_bytes()  # an ELF too, on the systems that kernels are built for
    if program[:4] == b"\x7fELF":
        assert elf.extent(program) <= len(program)
    with pytest.raises(ValueError, match="little-endian ELF"):
        elf.extent(b"\x7fELF\x01\x01" + bytes(64))


def test_newer_devices_get_code_that_their_driver_translates(nvrtc):
    instance = instances("pointmetrics", "segments")[0]
    newest = max(nvrtc.getSupportedArchs())
    assert b".target sm_" in compile_instance(nvrtc, instance, f"compute_{newest}")


def test_what_the_compiler_says_is_passed_on(nvrtc):
    broken = Instance(
        "pointmetrics", "segments", instances("pointmetrics", "segments")[0].dtype, (("DIM", 0), ("REAL", "nonsense"))
    )  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"NVRTC could not compile segments[\s\S]*nonsense"):
        compile_instance(nvrtc, broken, "sm_80")


def test_threads_may_compile_at_once(nvrtc):
    """NVRTC itself fails then, in a process that has not compiled before."""
    code = """
import threading
from cupy.cuda import nvrtc
from imondrian._kit.compiler import compile_instance
from pointmetrics._backends.cuda.kernel_source import instance_of
failed = []
def compile(dim):
    try:
        compile_instance(nvrtc, instance_of("segments", "f4", dim), "sm_80")
    except Exception as error:
        failed.append(error)
threads = [threading.Thread(target=compile, args=(k,)) for k in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert not failed, failed[0]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-1500:]
