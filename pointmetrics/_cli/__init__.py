"""The command line behind :func:`pointmetrics.cli.main`.

``app`` declares commands and options (the only module that imports click) and hands them, checked, to one module a
command: ``compare``, ``set_metrics``, ``audit``, ``info``. Those know nothing of click: they raise :class:`Failure` for
what a user can mend. ``terminal`` draws tables and progress (the only module that imports rich), ``output`` writes
files whole or not at all, ``clouds`` reads the input.

Exit codes: 0 done; 1 not done (a file, a cloud or the output is at fault); 2 the command line is at fault;
3 done in part, some pairs failed; 70 a defect of this program; 130 interrupted; 141 the reader of a pipe went away.
"""

from __future__ import annotations

FAILED, USAGE, PARTLY, DEFECT, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 70, 130, 141


class Failure(Exception):
    """What stops a command, told in a way that a person can act on it."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
