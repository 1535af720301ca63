"""Write results: whole or not at all, to a file or to standard output, as JSON, CSV or text."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from imondrian._kit.printing import print_text, to_csv, to_json

from . import Failure

__all__ = ["check_writable", "to_csv", "to_json", "write", "write_file"]


def check_writable(path: Path | None, inputs: Sequence[Path] = ()) -> None:
    """Refuse a place that cannot be written, or that is one of the inputs, before any work is done."""
    if path is None:
        return
    if any(path.resolve() == other.resolve() for other in inputs):
        raise Failure(f"cannot write {path}: another option or argument names it, too")
    folder = path.parent
    if path.is_dir():
        raise Failure(f"cannot write {path}: it is a folder")
    if not folder.is_dir():
        raise Failure(f"cannot write {path}: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise Failure(f"cannot write {path}: no permission")


def write(text: str, path: Path | None) -> None:
    """Write to a file, or to standard output where ``path`` is None."""
    if path is None:
        print_text(text)
    else:
        write_file(path, text.encode("utf-8", errors="surrogateescape"))


def write_file(path: Path, data: bytes) -> None:
    """Write a file beside its place and move it there: readers see the old content or all of the new."""
    path = path.resolve()  # a link keeps pointing where it does
    try:
        if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
            path.write_bytes(data)
            return
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
        handle, part = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            os.chmod(part, mode)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
