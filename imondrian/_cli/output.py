"""Write results: whole or not at all, to a file or to standard output, as JSON, CSV or text."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from imondrian._persist.whole_file import check_regular, replacing

from . import Failure


class PipeClosed(Exception):
    """The reader of standard output went away. No OSError: click would take that for success."""


def to_json(value: Any) -> str:
    """Return JSON; numbers that are not finite have no place in it."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV with all digits of the numbers; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


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
        # Characters that the encoding lacks are escaped.
        print_bytes(text.encode(sys.stdout.encoding or "utf-8", errors="backslashreplace"))
    else:
        with whole_file(path) as file:
            file.write(text.encode("utf-8", errors="surrogateescape"))


def print_bytes(data: bytes | memoryview) -> None:
    """Write all of ``data`` to standard output; PipeClosed where its reader went away."""
    try:
        # Under PYTHONUNBUFFERED the text layer drops what one system call leaves of a text, as when the reader goes
        # away or the disk fills up: so bytes are written here until none are left.
        left = memoryview(data)
        sys.stdout.flush()
        while left:
            left = left[sys.stdout.buffer.write(left) :]
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is still in its buffer cannot be written either: keep the interpreter from trying when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise PipeClosed from None
        raise Failure(f"cannot write standard output: {error.strerror or error}") from error


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
