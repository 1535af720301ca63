"""The command line behind :func:`imondrian.cli.main`.

``app``, ``table_app`` and ``stream_app`` declare commands and options, ``option_values`` what these take (only they
import click); they hand them, checked, to one module a command. Those know nothing of click: they raise
:class:`Failure` for what a user can mend. ``terminal`` draws tables and progress (the only module that imports rich),
``output`` writes files whole or not at all.

Exit codes: 0 done; 1 not done (a file or the output is at fault); 2 the command line is at fault; 3 done in part, some
lines were bad; 70 a defect of this program; 130 interrupted; 141 the reader of a pipe went away.
"""

from __future__ import annotations

from imondrian._kit.exits import DEFECT, FAILED, INTERRUPTED, PARTLY, PIPE_CLOSED, USAGE, Failure

__all__ = ["DEFECT", "FAILED", "INTERRUPTED", "PARTLY", "PIPE_CLOSED", "USAGE", "Failure"]
