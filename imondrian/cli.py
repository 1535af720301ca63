"""The command line: ``imondrian score``, ``explain``, ``stream``, ``info`` and ``demo``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ._cli import USAGE


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command of the ``imondrian`` command line.

    Parameters
    ----------
    arguments : sequence of str, default=None
        What follows the program's name; ``None`` takes ``sys.argv``.

    Raises
    ------
    SystemExit
        Unless the command was carried out: its code says why not, as listed in :mod:`imondrian._cli`. The
        message is on standard error; a traceback only with ``--debug``.
    """
    missing = [package for package in ("click", "rich") if find_spec(package) is None]
    if missing:
        print(
            f"imondrian: the command line needs {' and '.join(missing)}: pip install 'imondrian[cli]'", file=sys.stderr
        )
        raise SystemExit(USAGE)
    from ._cli.app import run

    if code := run(sys.argv[1:] if arguments is None else list(arguments)):
        raise SystemExit(code)
