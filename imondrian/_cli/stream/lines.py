"""Lines in, lines out: whatever bytes are there at once, never waiting for more, and told when to stop."""

from __future__ import annotations

import os
import stat

from .signals import StopSignals

CHUNK = 1 << 18
LONGEST = 1 << 24
_PATIENCE_S = 1.0  # how long a reader that takes nothing may hold up an end that was asked for
_PIPE_PIECE = 4096  # what a pipe that can be written at all takes without blocking (PIPE_BUF on Linux)


class LineReader:
    """The complete lines of a descriptor, as they come.

    Parameters
    ----------
    descriptor : int
    stop : StopSignals
    chunk : int
        Bytes read at a time, at most.
    longest : int
        Bytes of a line, at most: of a longer one nothing is kept, and None comes out in its place.

    Attributes
    ----------
    ended : bool
        Whether the input has come to its end; its last line need not end with a line feed.
    """

    def __init__(self, descriptor: int, stop: StopSignals, chunk: int = CHUNK, longest: int = LONGEST) -> None:
        self._descriptor, self._stop, self._chunk, self._longest = descriptor, stop, chunk, longest
        self._parts: list[bytes] = []  # of the line that is not complete yet
        self._length = 0
        self.ended = False

    def read(self) -> list[bytes | None]:
        """Wait for input; return the lines that are complete by now, none once asked to stop or at the end."""
        while not self.ended and self._stop.wait_readable(self._descriptor):
            data = os.read(self._descriptor, self._chunk)
            if not data:
                self.ended = True
                return [self._joined(b"")] if self._length else []
            head, feed, rest = data.partition(b"\n")
            if not feed:
                self._keep(data)
                continue
            lines: list[bytes | None] = [self._joined(head)]
            if rest:
                *complete, last = rest.split(b"\n")
                lines += complete
                self._keep(last)
            return lines
        return []

    @property
    def unread(self) -> int:
        """Bytes of a line whose end has not come."""
        return self._length

    def _keep(self, part: bytes) -> None:
        self._length += len(part)
        if self._length > self._longest:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _joined(self, end: bytes) -> bytes | None:
        self._keep(end)
        line = None if self._length > self._longest else b"".join(self._parts)
        self._parts, self._length = [], 0
        return line


class LineWriter:
    """Writes lines to a descriptor, and knows which did not get through.

    Attributes
    ----------
    pending : bytes
        Whole lines, of which not everything could be written: the reader has gone, or took nothing while an end was
        asked for.
    """

    def __init__(self, descriptor: int, stop: StopSignals) -> None:
        self._descriptor, self._stop = descriptor, stop
        self._piece = None if stat.S_ISREG(os.fstat(descriptor).st_mode) else _PIPE_PIECE
        self.pending = b""

    def write(self, data: bytes) -> bool:
        """Write all of ``data``; False if an end was asked for and the reader takes nothing.

        Raises
        ------
        BrokenPipeError
            The reader has gone.
        OSError
            The output cannot be written.
        """
        done = 0
        try:
            while done < len(data):
                if self._piece is None:
                    done += os.write(self._descriptor, data[done:])
                elif self._stop.wait_writable(self._descriptor, _PATIENCE_S):
                    done += os.write(self._descriptor, data[done : done + self._piece])
                else:
                    break
        finally:
            self.pending = data[data.rfind(b"\n", 0, done) + 1 :] if done < len(data) else b""
        return not self.pending

    def sync(self) -> None:
        """Put what was written on the disk, where it goes to a file."""
        if self._piece is None:
            os.fsync(self._descriptor)
