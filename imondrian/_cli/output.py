"""Write results: whole or not at all, to a file or to standard output, as JSON, CSV or text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imondrian._kit.printing import print_bytes, print_text, to_csv, to_json
from imondrian._persist.whole_file import check_regular, replacing

from . import Failure

__all__ = ["check_writable", "print_bytes", "to_csv", "to_json", "whole_file", "write"]


def check_writable(path: Path | None, inputs: Sequence[Path] = (), *, regular: bool = False) -> None:
    """Refuse a place that cannot be written, or that is one of the inputs, before any work is done.

    ``regular``: also a FIFO or a device.
    """
    if path is None:
        return
    if any(path.resolve() == other.resolve() for other in inputs):
        raise Failure(f"cannot write {path}: another option or argument names it, too")
    folder = path.parent
    if path.is_dir():
        raise Failure(f"cannot write {path}: it is a folder")
    if regular:
        try:
            check_regular(path)
        except OSError as error:
            raise Failure(f"cannot write {path}: it {error.strerror}") from error
    if not folder.is_dir():
        raise Failure(f"cannot write {path}: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise Failure(f"cannot write {path}: no permission")


def write(text: str, path: Path | None) -> None:
    """Write to a file, or to standard output where ``path`` is None."""
    if path is None:
        print_text(text)
    else:
        with whole_file(path) as file:
            file.write(text.encode("utf-8", errors="surrogateescape"))


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside ``path`` and move it there at the end: readers see the old content or all of the new.

    After an error in the block nothing is left of it; an OSError becomes a :class:`Failure` that names ``path``.
    """
    path = path.resolve()  # a link keeps pointing where it does
    try:
        if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
            with open(path, "wb") as device:
                yield device
            return
        with replacing(str(path)) as file:
            yield file
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror or error}") from error
