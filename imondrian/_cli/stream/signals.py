"""Ask a command to stop: SIGTERM, SIGINT and SIGHUP end it between two records, not in the middle of one."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from types import TracebackType
from typing import Any

_NAMES = ("SIGTERM", "SIGINT", "SIGHUP")
CAN_WAIT = os.name != "nt"  # Windows selects sockets only


class StopSignals:
    """While the block runs, the first signal is noted; a second one does what it does elsewhere.

    A signal that was ignored before (``nohup``, a job in the background) stays ignored.

    Attributes
    ----------
    caught : signal.Signals or None
        The signal that asked to stop.
    """

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        # The handler's byte in the pipe ends a wait, also where the signal comes just before it: no read is
        # interrupted that may have taken bytes already.
        self._told, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        self._wakeup = signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._told)
        os.close(self._tell)

    def _note(self, number: int, frame: Any) -> None:
        self.caught = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait_readable(self, descriptor: int) -> bool:
        """Wait until there is something to read, or the end of it; False once asked to stop."""
        if CAN_WAIT and self.caught is None:
            with contextlib.suppress(ValueError):  # what cannot be waited for never blocks
                select.select([descriptor, self._told], [], [])
        return self.caught is None

    def wait_writable(self, descriptor: int, patience_s: float) -> bool:
        """Wait until something can be written; False if nothing could for ``patience_s`` after being asked to stop."""
        if not CAN_WAIT:
            return True
        if self.caught is None and descriptor in select.select([self._told], [descriptor], [])[1]:
            return True
        return bool(select.select([], [descriptor], [], patience_s)[1])
