"""How a command ends: its exit codes, and what stops it. Commands raise these; ``command_line`` tells them."""

from __future__ import annotations

FAILED, USAGE, PARTLY, DEFECT, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 70, 130, 141


class Failure(Exception):
    """What stops a command, told in a way that a person can act on it."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


class PipeClosed(Exception):
    """The reader of standard output went away. No OSError: click would take that for success."""
