"""Kernels are files: find their source, put their headers into it, and name one instance of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

# No contraction: arithmetic rounds as it is written, as on the CPU (ties would differ otherwise).
OPTIONS = ("-std=c++17", "-fmad=false")

_FOLDERS = ("kernels", "native")  # where a package keeps what kernel files include: the latter also for the host
_INCLUDE = re.compile(r'^\s*#include "([\w./]+)"\s*$', re.MULTILINE)
_ENTRY = re.compile(r'extern "C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(')


@dataclass(frozen=True, slots=True)
class Instance:
    """A kernel file of a package with its macros: what is compiled, and cached, as one."""

    package: str
    file: str
    dtype: np.dtype
    defines: tuple[tuple[str, int], ...] = ()

    @property
    def source(self) -> str:
        """The whole source, to be compiled without any include path."""
        bits = self.dtype.itemsize * 8
        macros = {"REAL": "float" if bits == 32 else "double", "REAL_BITS": bits, **dict(self.defines)}
        lines = [f"#define {name} {value}" for name, value in macros.items()]
        return "\n".join([*lines, _expanded(self.package, f"{self.file}.cu")])

    @property
    def name(self) -> str:
        """A readable name that differs where the source or the options do."""
        digest = hashlib.sha256(repr((OPTIONS, self.source)).encode()).hexdigest()[:16]
        macros = (f"{name}{value}".lower() for name, value in self.defines)
        return "-".join([self.file, self.dtype.name, *macros, digest])


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of an instance."""

    instance: Instance
    entry: str


def entries(package: str, file: str) -> list[str]:
    """Return the names of the kernels in a file."""
    return _ENTRY.findall(_expanded(package, f"{file}.cu"))


def kernel_files(package: str) -> list[str]:
    """Return the names of all kernel files of a package, without their ending."""
    folder = files(package).joinpath("kernels")
    return sorted(path.name[:-3] for path in folder.iterdir() if path.name.endswith(".cu"))


@cache
def _expanded(package: str, name: str) -> str:
    """Return a file with its headers in it, each once; ``#line`` keeps messages pointing at the files."""
    seen: set[str] = set()

    def expand(file: str) -> str:
        seen.add(file)
        out, number = [f'#line 1 "{file}"'], 0
        paths = (files(package).joinpath(folder, *file.split("/")) for folder in _FOLDERS)
        text = next(path for path in paths if path.is_file()).read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            include = _INCLUDE.match(line)
            if include is None:
                out.append("" if line == "#pragma once" else line)
            elif include[1] not in seen:
                out += [expand(include[1]), f'#line {number + 1} "{file}"']
            else:
                out.append("")
        return "\n".join(out) + "\n"

    return expand(name)
