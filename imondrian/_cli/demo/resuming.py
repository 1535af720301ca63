"""kill -9 a process that follows a stream, start it again, and compare with one that was never stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console


def _command(model: Path, every: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "imondrian",
        "stream",
        "--model",
        str(model),
        "--every",
        str(every),
        "--seed",
        "0",
        "--replay",
        "--quiet",
    ]


def _by_record(lines: bytes) -> dict[int, bytes]:
    """Return whole lines of output by their record; a kill may have cut the last one."""
    return {json.loads(line)["record"]: line for line in lines.splitlines(keepends=True) if line.endswith(b"\n")}


def resume(records: list[dict[str, float]], folder: Path) -> tuple[int, int, bool]:
    """Kill a run half-way, go on; return where it was killed, where it went on, and whether the bits are the same."""
    lines = [json.dumps(x).encode() + b"\n" for x in records]
    half, every = len(lines) // 2, max(len(lines) // 7, 1)
    whole = _by_record(
        subprocess.run(
            _command(folder / "whole.model", every), input=b"".join(lines), stdout=subprocess.PIPE, check=True
        ).stdout
    )
    with subprocess.Popen(
        _command(folder / "killed.model", every), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"".join(lines[:half]))
        process.stdin.flush()
        told = [process.stdout.readline() for _ in range(half - 1)]
        process.kill()  # SIGKILL: nothing can be saved any more
        told += process.stdout.readlines()
    rest = _by_record(
        subprocess.run(
            _command(folder / "killed.model", every), input=b"".join(lines), stdout=subprocess.PIPE, check=True
        ).stdout
    )
    before = _by_record(b"".join(told))
    return max(before), min(rest), whole == {**before, **rest} == {**rest, **before}


def show(console: Console, records: list[dict[str, float]]) -> None:
    """Kill, resume, and print whether anything came out otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        killed, resumed, same = resume(records, Path(folder))
    console.print(
        f"\n[bold]2. kill -9[/]: [cyan]imondrian stream --model m --replay[/] was killed after record "
        f"{killed:,} of {len(records):,}; started again,\nit went on with record {resumed:,}, behind its "
        f"last checkpoint. Scores, p-values and alarms have the same bits: "
        f"[bold]{'yes' if same else 'NO'}[/].\n",
        soft_wrap=True,
    )
