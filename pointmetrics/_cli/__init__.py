"""The command line behind :func:`pointmetrics.cli.main`.

``app``, ``options`` and the modules ``*_app`` declare commands and options (only they import click) and hand them,
checked, to one module a command: ``compare``, ``set_metrics``, ``audit``, ``info``. Those know nothing of click: they
raise :class:`Failure` for what a user can mend. ``terminal`` draws tables and progress (the only module that imports
rich), ``output`` writes files whole or not at all, ``clouds`` reads the input.

Exit codes: 0 done; 1 not done (a file, a cloud or the output is at fault); 2 the command line is at fault;
3 done in part, some pairs failed; 70 a defect of this program; 130 interrupted; 141 the reader of a pipe went away.
"""

from __future__ import annotations

from imondrian._kit.exits import DEFECT, FAILED, INTERRUPTED, PARTLY, PIPE_CLOSED, USAGE, Failure

__all__ = ["DEFECT", "FAILED", "INTERRUPTED", "PARTLY", "PIPE_CLOSED", "USAGE", "Failure"]
