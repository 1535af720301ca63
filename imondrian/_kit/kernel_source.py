"""Kernels are files: find their source, put their header into it, and name one instance of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

# No contraction: arithmetic rounds as it is written, as on the CPU.
OPTIONS = ("-std=c++17", "-fmad=false")

_INCLUDE = re.compile(r'^#include "([\w.]+)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Instance:
    """A kernel file with its macros: what is compiled, and cached, as one."""

    file: str
    dtype: np.dtype
    defines: tuple[tuple[str, int], ...] = ()

    @property
    def source(self) -> str:
        """The whole source, to be compiled without any include path."""
        bits = self.dtype.itemsize * 8
        macros = {"REAL": "float" if bits == 32 else "double", "REAL_BITS": bits, **dict(self.defines)}
        return "\n".join([*(f"#define {name} {value}" for name, value in macros.items()), _expanded(self.file)])

    @property
    def name(self) -> str:
        """A readable name that differs where the source does."""
        return f"{self.file}-{self.dtype.name}-{hashlib.sha256(self.source.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of an instance."""

    instance: Instance
    entry: str


@cache
def _expanded(file: str) -> str:
    """Return a kernel file with its headers in it; ``#line`` keeps messages pointing at the files."""
    def text(name: str) -> str:
        return f'#line 1 "{name}"\n' + files("imondrian").joinpath("kernels", name).read_text(encoding="utf-8")

    source = text(f"{file}.cu")

    def header(match: re.Match[str]) -> str:
        line = source[: match.start()].count("\n")
        return text(match[1]) + f'#line {line + 1} "{file}.cu"'

    return _INCLUDE.sub(header, source)
