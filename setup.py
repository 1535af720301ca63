"""Build the two native cores; everything else is declared in pyproject.toml.

The wheel is portable: nothing is compiled for the building machine. Hot loops are compiled for several
instruction sets, of which one is picked when they run (see ``include/nativekit/isa.hpp``). Threads come from the C++
standard library, so no OpenMP runtime is needed or loaded. ``NATIVE_SANITIZE=address,undefined``
builds instrumented cores.
"""

import os
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

if sys.platform == "win32":
    compile_args = ["/std:c++17", "/O2", "/EHsc"]
    link_args: list[str] = []
else:
    # No fused multiply-add contraction: sums round alike on every instruction set. Never -ffast-math:
    # it would change the denormal mode of the whole process.
    compile_args = [
        "-std=c++17",
        "-O3",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=off",
        "-fvisibility=hidden",
        "-pthread",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-maybe-uninitialized",  # GCC 12 warns inside its own intrinsics headers
        "-g0",
    ]  # Python's own flags ask for debug information, most of a wheel's size
    link_args = ["-pthread"]
    if sanitize := os.environ.get("NATIVE_SANITIZE"):
        compile_args += [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g", "-O1"]
        link_args += [f"-fsanitize={sanitize}"]


def core(package: str) -> Extension:
    """Describe ``package._core``: one Cython file over the C++ sources of ``package/native``."""
    native = Path(package, "native")
    # What level.hpp includes is compiled there, once for every instruction set.
    level = (native / "isa" / "level.hpp").read_text(encoding="utf-8")
    files = sorted(native.rglob("*.?pp"))
    sources = [
        path for path in files if path.suffix == ".cpp" and f'"{path.relative_to(native).as_posix()}"' not in level
    ]
    depends = [*(path for path in files if path not in sources), *sorted(Path("include", "nativekit").iterdir())]
    return Extension(
        f"{package}._core",
        [f"{package}/_core.pyx", *(path.as_posix() for path in sources)],
        depends=[path.as_posix() for path in depends],
        include_dirs=[numpy.get_include(), "include", f"{package}/native"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        language="c++",
    )


directives = {"language_level": 3, "boundscheck": False, "wraparound": False}
setup(
    ext_modules=cythonize(
        [core("imondrian"), core("pointmetrics")], include_path=["include"], compiler_directives=directives
    ),
    options={"build_ext": {"parallel": os.cpu_count()}},
)
