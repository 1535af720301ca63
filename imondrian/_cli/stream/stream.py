"""``imondrian stream``: follow records on standard input, score each, then learn it.

A record counts as done when its line of output is written. A checkpoint covers done records only, plus lines that could
not be written since the reader has gone: those are in it, and come first in the run that resumes. So what a later run
passes over has had its output, or gets it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imondrian._cli import INTERRUPTED, PARTLY, PIPE_CLOSED, USAGE, Failure, output
from imondrian._conformal.incidents import GAP, Incidents
from imondrian._kit import terminal
from imondrian._persist.whole_file import FileLock, real_path, sweep

from . import format_sniffing as opening
from . import stream_models as follow
from .alarms import DEFAULT_RATE, Alarms
from .callouts import Callouts
from .csv_records import CsvRecords, Layout
from .kinds import Kinds
from .lines import CHUNK, LineReader, LineWriter
from .output_lines import Judge, Told
from .records import BadLine, BadLines, Numbering, Rows, Selection, without_too_large
from .signals import StopSignals
from .times import with_times
from .verdicts import VerdictFile

_PART = 1024  # records judged before their lines are written
_TRIED = 1000  # records of which one must be good


@dataclass(frozen=True)
class Settings:
    """What the command line asks for."""

    format: str = "auto"
    layout: Layout = field(default_factory=Layout)
    selection: Selection = field(default_factory=Selection)
    parameters: dict[str, Any] = field(default_factory=dict)
    model: Path | None = None
    feedback: Path | None = None
    every: int = 10_000
    replay: bool = False
    learn: bool = True
    rate: float | None = None
    threshold: float | None = None
    reasons: int = 0
    shown: str = "all"
    gap: float | None = None
    on_incident: tuple[str, ...] = ()
    webhook: str | None = None
    call_timeout_s: float = 10.0
    skip_alarms: bool = False
    strict: bool = False
    summary: Path | None = None
    max_models: int = 1000
    quiet: bool = False


def run(settings: Settings, source: int = 0, sink: int = 1, chunk: int = CHUNK) -> int:
    """Follow the stream to its end and return the exit code.

    ``source`` and ``sink`` are the descriptors of the input and the output; ``chunk`` bytes at most are read at a time.
    """
    if settings.learn and settings.selection.key is None:
        output.check_writable(settings.model, regular=True)
    output.check_writable(settings.summary)
    with _locked(settings), StopSignals() as stop:
        follower, state = _opened(settings)
        try:
            if follower.time() not in (None, settings.selection.time):
                raise Failure(
                    f"{settings.model} holds a window by age: name the records' --time {follower.time()}, as before",
                    USAGE,
                )
            stream = Stream(settings, follower, state, LineReader(source, stop, chunk), LineWriter(sink, stop), stop)
            if not settings.quiet and os.isatty(source):
                terminal.note("reading records from the terminal")
            return stream.run()
        finally:
            follower.close()


@contextlib.contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Keep other runs from learning into the same file; a folder of models has a lock of its own."""
    path = settings.model
    if path is None or not settings.learn or settings.selection.key is not None:
        yield
        return
    try:
        lock = FileLock(path)
    except BlockingIOError as error:
        raise Failure(
            f"{path}: another process is learning into this file, and each would undo what the other saves: "
            "give this run another --model, or end the other one"
        ) from error
    with lock:
        if not lock.certain:
            terminal.note(
                f"{path}: its file system has no locks: make sure that no other run has the same --model",
                settings.quiet,
            )
        sweep(real_path(path))
        yield


def _opened(settings: Settings) -> tuple[follow.Follower, dict[str, Any] | None]:
    path = settings.model
    if not settings.learn and (path is None or not path.exists()):
        raise Failure(f"--no-learn needs --model with a model that has learnt: there is no {path}", USAGE)
    if settings.selection.key is not None:
        return follow.open_models(path, settings.parameters, settings.max_models)
    return follow.open_model(path, settings.parameters)


class Stream:
    """One run of the command."""

    def __init__(
        self,
        settings: Settings,
        follower: follow.Follower,
        state: dict[str, Any] | None,
        reader: LineReader,
        writer: LineWriter,
        stop: StopSignals,
    ) -> None:
        self._settings, self._follower, self._stop = settings, follower, stop
        self._reader, self._writer = reader, writer
        self._bad = BadLines(settings.strict, settings.quiet)
        self._opening = opening.Opening(
            settings.format,
            settings.layout,
            settings.selection,
            self._bad.report,
            None if settings.selection.key is not None else follower.known,
            Kinds(
                settings.selection.nominal,
                settings.selection.numeric,
                follower.kinds(),
                settings.selection.columns is not None,
                settings.quiet,
            ),
        )
        self._decoder: opening.Decoder | None = None
        self._numbering = Numbering()
        self._first = self._done = self._saved = 0  # records before this run, done by now, in the last checkpoint
        self._checkpoints = 0
        self._unsaved = False  # verdicts were heard since the last checkpoint
        self._saves = settings.model is not None and settings.learn
        rate = DEFAULT_RATE if settings.rate is None and settings.threshold is None else settings.rate
        alarms = Alarms(rate, settings.threshold, fixed=not settings.learn, usual=follower.usual())
        incidents = Incidents(GAP if settings.gap is None else settings.gap, kept=0)
        self._undelivered = b""
        if state is not None:
            self._first = self._done = self._saved = self._numbering.records = state["records"]
            self._opening.header = None if state["header"] is None else tuple(state["header"])
            alarms = Alarms.resumed(
                state["alarms"], settings.rate, settings.threshold, not settings.learn, follower.usual()
            )
            incidents = Incidents.of_state(state["incidents"], settings.gap)
            self._undelivered = state["pending"].tobytes()
            if settings.replay:
                self._numbering.replay(state["records"])
        self._verdicts: VerdictFile | None = None
        self._heard_before = None if state is None else state.get("feedback")
        if settings.feedback is not None:
            assert isinstance(follower, follow.OneModel)
            self._verdicts = VerdictFile(settings.feedback, follower.model, settings.quiet, self._heard_before)
        self._alarms, self._alarms_before = alarms, alarms.count
        if incidents.by_time and settings.selection.time is None:
            raise Failure(
                f"incidents of {settings.model} end after {incidents.gap:g} seconds: name the records' "
                "--time, or give --incident-gap as a number of records",
                USAGE,
            )
        self._incidents, self._incidents_before = incidents, incidents.count
        self._callouts = Callouts(settings.on_incident, settings.webhook, settings.call_timeout_s)
        self._judge = Judge(
            follower,
            alarms,
            incidents,
            settings.selection,
            Told(settings.reasons, settings.shown),
            learn=settings.learn,
            skip_alarms=settings.skip_alarms,
            on_change=self._tell,
            on_judged=None if self._verdicts is None else self._verdicts.remember,
        )

    # -- the loop ----------------------------------------------------------------------------------

    def run(self) -> int:
        """Follow the stream to its end and return the exit code."""
        try:
            code = self._run()
        finally:
            self._callouts.close()
        return self._end(code)

    def _run(self) -> int:
        code = 0
        try:
            if self._write(self._undelivered):
                self._follow()
        except BrokenPipeError:
            code = PIPE_CLOSED
        except Exception:
            self._checkpoint()
            raise
        self._heard()
        self._checkpoint()
        if self._writer.pending and self._settings.model is None and code == 0:
            raise Failure(
                "the reader of the output took nothing when an end was asked for: lines are lost, for want "
                "of --model FILE to keep them"
            )
        return code

    def _follow(self) -> None:
        while lines := self._reader.read():
            lines = self._open(lines)
            for part in self._parts(self._numbering.take(lines)):
                self._heard()
                if not self._take(part):
                    return
        if self._bad.count and not self._bad.good:
            raise self._hopeless()

    def _heard(self) -> None:
        if self._verdicts is not None and self._verdicts.follow():
            self._unsaved = True

    def _open(self, lines: list[bytes | None]) -> list[bytes | None]:
        """Return the lines that follow the opening; none while it is not over."""
        while self._decoder is None and lines:
            self._decoder, passed = self._opening.read(lines, is_first=self._numbering.lines == 0)
            self._numbering.lines += passed
            lines = lines[passed:]
            if isinstance(self._decoder, CsvRecords):
                self._numbering.blanks = self._decoder.blanks
            if self._opening.note is not None:
                terminal.note(self._opening.note, self._settings.quiet)
        return lines

    def _parts(self, rows: Rows) -> Iterator[Rows]:
        """Cut rows where a checkpoint is due, and after the first ones; nothing else depends on the places."""
        begin, total = 0, len(rows.records)
        while begin < total:
            before = rows.records[begin] - 1
            end = min(begin + _PART, total)
            if self._saves:
                end = min(end, begin + self._settings.every - (before - self._saved))
            if before - self._first < _TRIED:
                end = min(end, begin + _TRIED - (before - self._first))
            yield rows.part(begin, end)
            begin = end

    def _take(self, rows: Rows) -> bool:
        """Take one stretch of records through to the output; False if that could not be written."""
        assert self._decoder is not None
        selection = self._settings.selection
        lines: list[bytes] = []
        bad: BadLine | None = None
        last = rows.records[-1]
        try:
            while len(rows.records):
                try:
                    for found in self._decoder.tables(rows):
                        table = without_too_large(found, self._follower.largest(), rows, self._bad.report)
                        if selection.time is not None:
                            place = selection.carried.index(selection.time)
                            table = with_times(table, place, selection.time, rows, self._bad.report)
                        if len(table.records) == 0:
                            continue
                        try:
                            lines.append(self._judge.lines(table))
                        except TypeError as error:  # models of keys, which have fields of other kinds from before
                            raise Failure(
                                f"records {table.records[0]:,} to {table.records[-1]:,}: {error}; --nominal and "
                                "--numeric say what fields hold"
                            ) from None
                        self._done = table.records[-1]
                        self._bad.good += len(table.records)
                    break
                except BadLine as error:  # only those before it count, whichever of several was found first
                    bad = error
                    before = [
                        i for i, line in enumerate(rows.lines) if line < error.line and rows.records[i] > self._done
                    ]
                    last = rows.records[rows.lines.index(error.line)] - 1
                    rows = rows.only(before)
        finally:
            written = self._write(b"".join(lines))
        self._done = last
        if bad is not None:
            raise bad
        if not self._bad.good and self._done - self._first >= _TRIED:
            raise self._hopeless()
        if written and self._done - self._saved >= self._settings.every:
            self._checkpoint()
        return written

    def _tell(self, record: int, incident: dict[str, Any]) -> None:
        self._callouts.tell({"record": record, "incident": incident})

    def _write(self, data: bytes) -> bool:
        try:
            return self._writer.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failure(f"cannot write standard output: {error.strerror or error}") from error

    def _hopeless(self) -> Failure:
        return Failure(
            f"none of the first {self._done - self._first:,} lines is a record{self._opening.advice}; the "
            f"last, line {self._bad.last[0]}: {self._bad.last[1]}"
        )

    # -- checkpoints and the end -------------------------------------------------------------------

    def _checkpoint(self) -> None:
        """Save the models and all that a later run needs, if there is anything new."""
        pending = self._writer.pending
        unchanged = self._done == self._saved and pending == self._undelivered and not self._unsaved
        if unchanged or not self._saves:
            return
        header = self._opening.header
        state = {
            "version": follow.STATE_VERSION,
            "records": self._done,
            "alarms": self._alarms.state(),
            "header": None if header is None else list(header),
            "pending": np.frombuffer(pending, np.uint8),
            "incidents": self._incidents.state(),
        }
        heard = self._heard_before if self._verdicts is None else self._verdicts.state()
        if heard is not None:
            state |= {"version": follow.VERDICTS_VERSION, "feedback": heard}
        try:
            self._writer.sync()
            self._follower.save(state)
        except (OSError, ValueError) as error:
            self._saves = False  # the way out leads by here again
            what = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise Failure(
                f"cannot save the model in {self._settings.model}: {what}; what is there "
                f"covers the records up to {self._saved:,}, later ones up to {self._done:,} are not in it, "
                "although their lines were written"
            ) from error
        self._saved, self._undelivered, self._unsaved = self._done, pending, False
        self._checkpoints += 1

    def _end(self, code: int) -> int:
        caught, settings = self._stop.caught, self._settings
        count = self._done - self._first
        if self._reader.unread and not self._reader.ended:
            terminal.note(
                f"stopped within a line: {self._reader.unread} bytes of it were read, and are not in the output",
                settings.quiet,
            )
        if self._numbering.skip:
            terminal.note(
                f"--replay: the input ended {self._numbering.skip:,} records before those that "
                f"{settings.model} covers were over",
                settings.quiet,
            )
        if count == 0 and caught is None and code == 0:
            terminal.note("there were no records", settings.quiet)
        calls = self._callouts
        if calls.failures:
            terminal.note(
                f"{calls.failures:,} of {calls.count:,} calls for incidents failed, the first: {calls.first_failure}",
                settings.quiet,
            )
        if self._bad.count:
            terminal.note(f"{self._bad.count:,} of {count:,} lines were bad", settings.quiet)
        if settings.summary is not None:
            reason = "broken pipe" if code == PIPE_CLOSED else "end of input" if caught is None else caught.name
            found = {
                "ended_by": reason,
                "first_record": self._first + 1,
                "records": count,
                "bad_lines": self._bad.count,
                "alarms": self._alarms.count - self._alarms_before,
                "checkpoints": self._checkpoints,
                "incidents": self._incidents.count - self._incidents_before,
                "calls": calls.count,
                "failed_calls": calls.failures,
            }
            if self._verdicts is not None:
                found |= {"verdicts": self._verdicts.count, "bad_verdicts": self._verdicts.bad}
            output.write(json.dumps(found) + "\n", settings.summary)
        if code or caught is not None:
            return code or (INTERRUPTED if caught == signal.SIGINT else 0)
        return PARTLY if self._bad.count or (self._verdicts is not None and self._verdicts.bad) else 0
