"""Kernels on their way to a device: compiled once, kept whole, launched with the memory they need."""

import os
import types
import warnings

import numpy as np
import pytest

from imondrian._kit import compiler, device
from imondrian._kit.kernel_source import Instance, Kernel, kernel_files

FLOAT32 = np.dtype(np.float32)
INSTANCE = Instance("imondrian", "depth_score", FLOAT32)


class Nvrtc:
    """An NVRTC that writes down what it was asked for."""

    class NVRTCError(RuntimeError):
        pass

    def __init__(self, archs=(75, 90), fails=False):
        self.archs, self.fails, self.asked, self.destroyed = archs, fails, [], 0

    def getVersion(self):
        return 13, 0

    def getSupportedArchs(self):
        return self.archs

    def createProgram(self, source, name, headers, include_names):
        return source

    def compileProgram(self, program, options):
        self.asked.append(options)
        if self.fails:
            raise self.NVRTCError("NVRTC_ERROR_COMPILATION")

    def getCUBIN(self, program):
        return b"cubi"  # CuPy's leaves the last byte behind

    def getPTX(self, program):
        return b"ptx"

    def getProgramLog(self, program):
        return "line 3: error"

    def destroyProgram(self, program):
        self.destroyed += 1


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("IMONDRIAN_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setenv("POINTMETRICS_CACHE_DIR", str(tmp_path / "others"))
    return tmp_path / "kernels"


def test_what_was_compiled_is_kept(folder):
    nvrtc = Nvrtc()
    paths = [compiler.compiled(nvrtc, INSTANCE, capability) for capability in (90, 90, 75, 100)]
    assert [path.suffix for path in paths] == [".cubin", ".cubin", ".cubin", ".ptx"]
    assert paths[0] == paths[1] and paths[0].read_bytes() == b"cubi\0" and paths[3].read_bytes() == b"ptx"
    assert [options[-1] for options in nvrtc.asked] == ["-arch=sm_90", "-arch=sm_75", "-arch=compute_90"]
    assert all("-fmad=false" in options for options in nvrtc.asked) and nvrtc.destroyed == 3
    # Another dtype, another macro: another file. Nothing else is left behind.
    others = {
        compiler.compiled(nvrtc, Instance("imondrian", "depth_score", np.dtype(dtype), defines), 90)
        for dtype in "fd"
        for defines in ((), (("DIM", 3),))
    }
    assert len(others) == 4
    assert {path.name for path in folder.iterdir()} == {path.name for path in (*paths, *others)}


def test_packages_keep_theirs_apart(folder):
    path = compiler.compiled(Nvrtc(), Instance("pointmetrics", "segments", FLOAT32, (("DIM", 0),)), 90)
    assert path.parent == folder.parent / "others" and path.name.startswith("segments-float32-dim0-")


@pytest.mark.parametrize("obstacle", ["a file in the way", "no permission"])
def test_a_folder_that_cannot_be_written_is_gone_around(folder, monkeypatch, obstacle):
    if obstacle == "a file in the way":
        folder.write_text("not a folder")
    else:

        def refuse(*args, **options):
            raise PermissionError(13, "Permission denied")

        make = compiler.tempfile.mkstemp
        monkeypatch.setattr(
            compiler.tempfile, "mkstemp", lambda dir: refuse() if str(dir) == str(folder) else make(dir=dir)
        )
    nvrtc = Nvrtc()
    with pytest.warns(RuntimeWarning, match="compiled anew by every process: .*IMONDRIAN_CACHE_DIR names another"):
        path = compiler.compiled(nvrtc, INSTANCE, 90)
    assert path.read_bytes() == b"cubi\0" and folder not in path.parents


def test_a_user_without_a_home(folder, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("IMONDRIAN_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(compiler.Path, "home", homeless)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiler.compiled(Nvrtc(), INSTANCE, 90).exists()


def test_half_a_file_is_never_found(folder, monkeypatch):
    def full(part, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"), pytest.warns(RuntimeWarning):
        compiler.compiled(Nvrtc(), INSTANCE, 90)
    assert list(folder.iterdir()) == []


def test_kernels_cannot_be_compiled_without_nvrtc(folder):
    def fail():
        raise RuntimeError("libnvrtc.so.13: cannot open shared object file")

    nvrtc = Nvrtc()
    nvrtc.getVersion = fail
    with pytest.raises(RuntimeError, match=r"NVRTC, cannot be loaded \(libnvrtc.*install a CUDA toolkit, or pip"):
        compiler.compiled(nvrtc, INSTANCE, 90)


def test_compiler_messages_are_passed_on(folder):
    nvrtc = Nvrtc(fails=True)
    with pytest.raises(RuntimeError, match=r"could not compile depth_score-float32-.* for sm_90[\s\S]*line 3"):
        compiler.compiled(nvrtc, INSTANCE, 90)
    assert nvrtc.destroyed == 1 and not folder.exists()


@pytest.mark.parametrize("package", ["imondrian", "pointmetrics"])
def test_sources_hold_their_headers(package):
    for file in kernel_files(package):
        source = Instance(package, file, FLOAT32).source
        assert '#include "' not in source and "__global__" in source


class Function:
    """Stands for a kernel that CuPy loaded, and refuses what a device would."""

    def __init__(self, static):
        self.shared_size_bytes, self.calls = static, []
        self.max_dynamic_shared_size_bytes = 48 * 1024 - static

    def __call__(self, grid, block, args, shared_mem):
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise RuntimeError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        self.calls.append((grid, block, args, shared_mem))


@pytest.fixture
def launched(monkeypatch, folder):
    """A CuPy's device, and what its one kernel was launched with."""
    function = Function(20_672)
    attributes = {"MultiProcessorCount": 132, "MaxSharedMemoryPerBlockOptin": 232448}
    cupy = types.ModuleType("cupy")
    cupy.ndarray = np.ndarray
    cupy.cuda = types.SimpleNamespace(
        Device=lambda number: types.SimpleNamespace(attributes=attributes, compute_capability="90"),
        nvrtc=Nvrtc(),
        runtime=types.SimpleNamespace(getDevice=lambda: 0),
    )
    cupy.RawModule = lambda path: types.SimpleNamespace(get_function=lambda entry: function)
    return device.CupyDevice(cupy, 0), function


KERNEL = Kernel(INSTANCE, "scores_of_depths")
ARGS = (np.zeros(1), np.int64(1), np.float64(1), np.float64(1))


@pytest.mark.parametrize("shared", [0, 1000, 28_480, 28_481, 48 * 1024, 48 * 1024 + 1, 211_776])
def test_launches_get_the_shared_memory_that_they_ask_for(launched, shared):
    on_device, function = launched
    on_device.launch(KERNEL, (1,), (256,), ARGS, shared)
    assert function.calls == [((1,), (256,), ARGS, shared)]
    on_device.launch(KERNEL, (1,), (256,), ARGS, 16)  # less than before
    assert function.max_dynamic_shared_size_bytes == max(48 * 1024 - 20_672, shared)


def test_what_a_kernel_has_of_its_own_is_counted(launched):
    on_device, _ = launched
    assert (on_device.n_multiprocessors, on_device.shared_bytes) == (132, 232448)
    assert on_device.dynamic_shared_bytes(KERNEL) == 232448 - 20_672


def test_untyped_arguments_are_refused(launched):
    on_device, function = launched
    with pytest.raises(TypeError, match=r"argument 1 of scores_of_depths must be .* a numpy scalar, got int"):
        on_device.launch(KERNEL, (1,), (256,), (ARGS[0], 1))
    assert function.calls == []
