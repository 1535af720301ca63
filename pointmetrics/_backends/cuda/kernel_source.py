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

_INCLUDE = re.compile(r'^\s*#include "([\w.]+)"\s*$', re.MULTILINE)
_ENTRY = re.compile(r'extern "C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(')


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of one instance of a kernel file.

    ``dim`` is what the instance is specialised for: 2, 3, or 0 for any dimension. ``defines`` are
    further macros with their values.
    """

    file: str
    entry: str
    dtype: np.dtype
    dim: int = 0
    defines: tuple[tuple[str, int], ...] = ()

    @property
    def instance(self) -> Instance:
        """The compiled unit that the kernel is in."""
        return Instance(self.file, np.dtype(self.dtype), self.dim, self.defines)


@dataclass(frozen=True, slots=True)
class Instance:
    """A kernel file with its macros: what is compiled, and cached, as one."""

    file: str
    dtype: np.dtype
    dim: int
    defines: tuple[tuple[str, int], ...] = ()

    @property
    def source(self) -> str:
        """The whole source, to be compiled without any include path."""
        bits = self.dtype.itemsize * 8
        macros = {"REAL": "float" if bits == 32 else "double", "REAL_BITS": bits, "DIM": self.dim, **dict(self.defines)}
        lines = [f"#define {name} {value}" for name, value in macros.items()]
        return "\n".join([*lines, _expanded(f"{self.file}.cu")])

    @property
    def name(self) -> str:
        """A readable name that differs where the source does."""
        digest = hashlib.sha256(self.source.encode()).hexdigest()[:16]
        return f"{self.file}-{self.dtype.name}-{self.dim or 'any'}d-{digest}"


def specialised(d: int) -> int:
    """Return the ``dim`` of the instance for clouds of ``d`` coordinates."""
    return d if d in (2, 3) else 0


def entries(file: str) -> list[str]:
    """Return the names of the kernels in a file."""
    return _ENTRY.findall(_expanded(f"{file}.cu"))


def kernel_files() -> list[str]:
    """Return the names of all kernel files, without their ending."""
    folder = files("pointmetrics").joinpath("kernels")
    return sorted(path.name[:-3] for path in folder.iterdir() if path.name.endswith(".cu"))


@cache
def _expanded(name: str) -> str:
    """Return a file with its headers in it, each once; ``#line`` keeps messages pointing at the files."""
    seen: set[str] = set()

    def expand(file: str) -> str:
        seen.add(file)
        out, number = [f'#line 1 "{file}"'], 0
        text = files("pointmetrics").joinpath("kernels", file).read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            include = _INCLUDE.match(line)
            if include is None:
                out.append(line)
            elif include[1] not in seen:
                out += [expand(include[1]), f'#line {number + 1} "{file}"']
            else:
                out.append("")
        return "\n".join(out) + "\n"

    return expand(name)
