"""Verdicts that follow from a file: what people say of records, while the stream goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imondrian._cli import USAGE, Failure
from imondrian._kit import terminal
from imondrian._models.stream import StreamModel
from imondrian._persist.whole_file import check_regular

from .records import Table

_RECORDS, _ALARMS = 10_000, 1_000  # remembered, the last ones; alarms beyond a restart
_TOLD = 10  # bad lines that are told of one by one
_MOST_OFFSET = 1 << 61
_FORM = '{"record": number, "verdict": 1 (normal), -1 (anomaly) or null (withdrawn)}, or "x": {...} for "record"'


class VerdictFile:
    """Takes in the verdicts that are appended to a file.

    Parameters
    ----------
    path : Path
        Lines of JSON. It may come into being later; a last line without its end waits for it.
    model : StreamModel
    quiet : bool
    state : dict, optional
        Where another run was.

    Attributes
    ----------
    count, bad : int
        Verdicts taken in by this run, and lines that were none.
    """

    def __init__(self, path: Path, model: StreamModel, quiet: bool, state: Mapping[str, Any] | None = None) -> None:
        self._path, self._model, self._quiet = path, model, quiet
        self._offset: int = 0 if state is None else state["offset"]
        self._lines: int = 0 if state is None else state["lines"]
        self._alarms: dict[int, dict[str, Any]] = {} if state is None else dict(map(tuple, state["alarms"]))
        self._records: dict[int, tuple[Table, int]] = {}
        self.count = self.bad = 0
        try:
            if path.exists():
                check_regular(path)
        except OSError as error:
            raise Failure(f"--feedback {path}: {error.strerror or error}", USAGE) from error

    def remember(self, table: Table, alarms: list[float | None]) -> None:
        """Keep records, so that verdicts may name them by their numbers."""
        for i, (number, alarm) in enumerate(zip(table.records, alarms, strict=True)):
            self._records[number] = (table, i)
            if alarm is not None:
                self._alarms[number] = table.present(i)
        for kept, most in ((self._records, _RECORDS), (self._alarms, _ALARMS)):
            for number in list(kept)[: max(0, len(kept) - most)]:
                del kept[number]

    def follow(self) -> bool:
        """Take in what was appended since the last call; whether there was anything. Waits while scores do."""
        if not self._model.is_ready:
            return False
        data = self._appended()
        lines = data.split(b"\n")[:-1]
        if not lines:
            return False
        said: list[tuple[np.ndarray, int]] = []
        for number, line in enumerate(lines, self._lines + 1):
            if not line.strip():
                continue
            try:
                x, verdict = self._read(line)
                row = self._model.said_row(x)
                if np.isnan(row).all():
                    raise ValueError("a verdict must be on a point that has a value")
                if verdict is None and not self._holds(row, said):
                    raise ValueError("no verdict was given on this point")
            except (ValueError, TypeError) as error:
                self._refuse(number, error)
                continue
            said = [pair for pair in said if not np.array_equal(pair[0], row, equal_nan=True)]
            said.append((row, 0 if verdict is None else verdict))
            self.count += 1
        self._apply(said)
        self._offset += len(data) - len(data.rsplit(b"\n", 1)[1])
        self._lines += len(lines)
        return True

    def _appended(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    terminal.note(f"{self._path} is shorter than it was: read from its beginning", self._quiet)
                    self._offset = self._lines = 0
                file.seek(self._offset)
                return file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise Failure(f"cannot read the verdicts in {self._path}: {error.strerror or error}") from error

    def _read(self, line: bytes) -> tuple[dict[str, Any], int | None]:
        """Return the point and the verdict of a line."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.keys() not in ({"record", "verdict"}, {"x", "verdict"}):
            raise ValueError(f"must be {_FORM}, got {line.decode(errors='replace')!r:.80}")
        verdict = found["verdict"]
        if verdict is not None and (type(verdict) is not int or verdict not in (1, -1)):
            raise ValueError(f"the verdict must be 1 (normal), -1 (anomaly) or null (withdrawn), got {verdict!r:.80}")
        if "x" in found:
            if not isinstance(found["x"], dict):
                raise ValueError(f"x must be an object of features, got {found['x']!r:.80}")
            return found["x"], verdict
        number = found["record"]
        if type(number) is int and number in self._alarms:
            return self._alarms[number], verdict
        if type(number) is int and number in self._records:
            table, i = self._records[number]
            return table.present(i), verdict
        raise ValueError(
            f"record {number!r:.80} is not among the last {_RECORDS:,} of this run, nor the last {_ALARMS:,} alarms: "
            'give its features as "x": {...}'
        )

    def _holds(self, row: np.ndarray, said: list[tuple[np.ndarray, int]]) -> bool:
        for other, verdict in reversed(said):
            if np.array_equal(other, row, equal_nan=True):
                return verdict != 0
        verdicts = self._model.verdicts
        return verdicts is not None and verdicts.speaks_of(row)

    def _apply(self, said: list[tuple[np.ndarray, int]]) -> None:
        """Change the model once for all: what a verdict costs grows with their number."""
        given = [pair for pair in said if pair[1] != 0]
        withdrawn = [row for row, verdict in said if verdict == 0]
        with self._model.gate.updating:
            try:
                if withdrawn:
                    self._model.withdraw_rows(np.vstack(withdrawn), missing_ok=True)
                if given:
                    self._model.hear(np.vstack([row for row, _ in given]), [verdict for _, verdict in given])
            except ValueError as error:  # beyond max_bytes
                raise Failure(f"cannot take in the verdicts in {self._path}: {error}") from error

    def _refuse(self, number: int, error: Exception) -> None:
        self.bad += 1
        if self.bad <= _TOLD:
            terminal.note(f"{self._path}, line {number}: {error}", self._quiet)
        if self.bad == _TOLD:
            terminal.note(f"{self._path}: further bad lines are counted, and not told of", self._quiet)

    # -- state -------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what a later run needs to go on: plain values."""
        return {
            "offset": self._offset,
            "lines": self._lines,
            "alarms": [[number, x] for number, x in self._alarms.items()],
        }


def is_state(state: Any) -> bool:
    """Whether a value from a file is a state of verdicts."""
    return (
        isinstance(state, dict)
        and state.keys() == {"offset", "lines", "alarms"}
        and all(type(state[name]) is int and 0 <= state[name] <= _MOST_OFFSET for name in ("offset", "lines"))
        and isinstance(state["alarms"], list)
        and len(state["alarms"]) <= _ALARMS
        and all(map(_is_alarm, state["alarms"]))
    )


def _is_alarm(entry: Any) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and type(entry[0]) is int
        and isinstance(entry[1], dict)
        and all(type(name) is str and type(value) in (float, str, bool) for name, value in entry[1].items())
    )
