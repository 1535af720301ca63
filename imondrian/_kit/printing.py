"""Results as JSON and CSV, and all of them on standard output."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from .exits import Failure, PipeClosed


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


def print_text(text: str) -> None:
    """Write text to standard output; characters that its encoding lacks are escaped."""
    print_bytes(text.encode(sys.stdout.encoding or "utf-8", errors="backslashreplace"))


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
