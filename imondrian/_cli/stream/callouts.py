"""Tell others of incidents: run a command or call a webhook, beside the stream, which never waits for them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

_MOST_WAITING = 1000


class Callouts:
    """Calls a command or a webhook for each event, one after another, in a thread of its own.

    Parameters
    ----------
    command : sequence of str
        A program and its arguments, run without a shell; the event comes on its standard input, as a line of JSON. What
        it writes to standard output is dropped. Empty: none.
    url : str, optional
        Where to POST the event, http or https.
    timeout_s : float
        How long each call may take; at the end, how long all that wait may take together.

    Attributes
    ----------
    count, failures : int
        Calls that were due, and those that failed: could not be made, took too long, had to be dropped, or gave an
        exit code other than 0 or a status other than 2xx.
    first_failure : str
        What was wrong with the first of them.
    """

    def __init__(self, command: Sequence[str] = (), url: str | None = None, timeout_s: float = 10.0) -> None:
        self._calls: list[Callable[[bytes], str]] = []
        if command:
            self._calls.append(lambda data: self._run(command, data))
        if url is not None:
            self._calls.append(lambda data: _post(url, data, timeout_s))
        self._timeout_s = timeout_s
        self.count = self.failures = 0
        self.first_failure = ""
        self._n_done = 0  # calls that were made, and those dropped
        self._lock = threading.Lock()
        self._queue: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        self._worker: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def tell(self, event: dict[str, Any]) -> None:
        """Make the calls for an event, soon; returns at once. Where too many wait, it is dropped, and has failed."""
        if not self._calls:
            return
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="imondrian-callouts", daemon=True)
            self._worker.start()
        self.count += len(self._calls)
        try:
            self._queue.put_nowait(json.dumps(event).encode() + b"\n")
        except queue.Full:
            for _ in self._calls:
                self._note(f"{_MOST_WAITING:,} events were waiting")

    def close(self) -> None:
        """Wait for calls that are due, for ``timeout_s`` at most; those not made by then have failed."""
        if self._worker is None:
            return
        until = time.monotonic() + self._timeout_s
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=self._timeout_s)
            self._worker.join(max(until - time.monotonic(), 0.0))
        with self._lock:
            self._is_over = True
            if self._n_done < self.count:
                self.failures += self.count - self._n_done
                self.first_failure = self.first_failure or "calls were still waiting at the end"
            if self._process is not None:
                _kill(self._process)
        self._worker = None

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            for call in self._calls:
                if self._is_over:
                    return
                self._note(call(data))

    def _note(self, failure: str) -> None:
        """Count a call, and what was wrong with it, unless it was given up already."""
        with self._lock:
            if not self._is_over:
                self._n_done += 1
                self.failures += bool(failure)
                self.first_failure = self.first_failure or failure

    def _run(self, command: Sequence[str], data: bytes) -> str:
        """Run a command; return what went wrong, "" for nothing."""
        nowhere = subprocess.DEVNULL
        with self._lock:
            if self._is_over:
                return ""
            try:
                # A session of its own: the terminal's interrupt is for the stream, and what it starts ends with it.
                self._process = process = subprocess.Popen(
                    list(command), stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True
                )
            except (OSError, ValueError) as error:
                return f"{command[0]}: {error}"
        try:
            process.communicate(data, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
            return f"{command[0]}: took longer than {self._timeout_s:g} s"
        finally:
            with self._lock:
                self._process = None
        return f"{command[0]}: exit code {process.returncode}" if process.returncode else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that has not been waited for, and all that it has started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _post(url: str, data: bytes, timeout_s: float) -> str:
    """POST to a webhook; return what went wrong, "" for nothing. Redirections are not followed."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    late = threading.Event()
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    except (ValueError, http.client.HTTPException) as error:
        return f"{url}: {error}"

    def give_up() -> None:  # a socket's own time limit begins anew with every byte
        late.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, give_up)
    timer.daemon = True
    timer.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        if late.is_set() or isinstance(error, TimeoutError):
            return f"{url}: took longer than {timeout_s:g} s"
        return f"{url}: {error or type(error).__name__}"
    finally:
        timer.cancel()
        connection.close()
    return "" if 200 <= status < 300 else f"{url}: status {status}"
