"""Match the files of two folders by name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pointmetrics import io

_COMMON = (".ply", ".pcd", ".obj", ".off", ".xyz", ".txt", ".csv", ".npy", ".npz")


@dataclass(frozen=True, slots=True)
class Matched:
    """Pairs ``(name, a, b)`` in the order of their names, and the names that only one folder has."""

    pairs: list[tuple[str, Path, Path]]
    only_a: list[str]
    only_b: list[str]
    folders: bool


def match(a: Path, b: Path) -> Matched:
    """Pair two files, or the files of two folders (and their subfolders) by their path without its suffix."""
    for path in (a, b):
        if not path.exists():
            raise ValueError(f"there is no file or folder {path}")
    if a.is_dir() != b.is_dir():
        kinds = ["a folder" if path.is_dir() else "a file" for path in (a, b)]
        raise ValueError(f"A and B must be two files or two folders, but {a} is {kinds[0]} and {b} is {kinds[1]}")
    if not a.is_dir():
        return Matched([(a.name if a.name == b.name else f"{a.name} / {b.name}", a, b)], [], [], False)
    of_a, of_b = list_files(a), list_files(b)
    shared = sorted(of_a.keys() & of_b.keys())
    if not shared:
        raise ValueError(
            f"{a} and {b} have no file of one name in common: {a} has {_some(of_a)}, {b} has {_some(of_b)}"
        )
    return Matched(
        [(name, of_a[name], of_b[name]) for name in shared],
        sorted(of_a.keys() - of_b.keys()),
        sorted(of_b.keys() - of_a.keys()),
        True,
    )


def list_files(folder: Path) -> dict[str, Path]:
    """Return the files of known formats below a folder by their relative path without its suffix."""
    found: dict[str, Path] = {}
    try:
        for root, folders, names in os.walk(folder, onerror=_refuse):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(root, name)
                if name.startswith(".") or not io.is_known(path):
                    continue
                key = path.relative_to(folder).as_posix()[: -len(io.suffix_of(path))]
                if key in found and _is_common(found[key]) == _is_common(path):
                    raise ValueError(f"{found[key]} and {path} have one name: which of them is meant?")
                if key not in found or _is_common(path):
                    found[key] = path
    except OSError as error:
        raise ValueError(f"cannot read {error.filename}: {error.strerror}") from error
    if not found:
        raise ValueError(f"{folder} holds no file of a known format ({', '.join(io.SUFFIXES)})")
    return found


def _is_common(path: Path) -> bool:
    """Tell whether a format is one for points first of all; scene.bin may lie beside scene.ply and mean else."""
    return path.suffix.lower() in _COMMON


def _refuse(error: OSError) -> None:
    raise error


def _some(found: dict[str, Path]) -> str:
    names = [path.name for path in list(found.values())[:3]]
    return ", ".join(names) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
