"""The timing report, from a small file like pytest-benchmark's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import report


def _benchmark(group: str, library: str, median: float, **extra: object) -> dict:
    return {
        "group": group,
        "name": f"test[{library}]",
        "extra_info": {"library": library, **extra},
        "stats": {"median": median, "min": 0.8 * median, "iqr": 0.1 * median, "rounds": 5},
    }


@pytest.fixture
def measured() -> dict:
    return {
        "datetime": "2026-01-02T03:04:05",
        "machine_info": {
            "node": "secret-host",
            "cpu": {"brand_raw": "Fast CPU", "count": 2},
            "system": "Linux",
            "machine": "x86_64",
            "versions": {"numpy": "2.0"},
            "command": "pytest bench",
        },
        "benchmarks": [
            _benchmark("score, 1 thread", "peer", 0.5, items=1000, auc=0.9),
            _benchmark("score, 1 thread", "imondrian depth", 0.25, items=1000, auc=0.95, pickled_bytes=5000),
            _benchmark("score, 2 threads", "imondrian depth", 0.125, items=1000),
        ],
    }


def test_rows_are_sorted_with_ratios_to_ours(measured: dict) -> None:
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in report.group_table(report.groups([measured])["score, 1 thread"]).splitlines()
    ]
    assert lines[0] == ["library", "median", "per item", "ratio", "best", "IQR", "rounds", "AUC", "pickled kB"]
    assert lines[2] == ["imondrian depth", "250 ms", "250 us", "1.00x", "200 ms", "10%", "5", "0.950", "5"]
    assert lines[3] == ["peer", "500 ms", "500 us", "2.00x", "400 ms", "10%", "5", "0.900", "-"]


def test_report_has_machine_command_and_thread_speed_up_but_no_host(measured: dict) -> None:
    text = report.render([measured])
    assert "Fast CPU, 2 cores, Linux x86_64" in text
    assert "`pytest bench`" in text
    assert "secret-host" not in text
    assert "| score    | imondrian depth | 2       | 2.00x    |" in text


def test_command_reads_and_writes_files(measured: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.json", tmp_path / "out.md"
    source.write_text(json.dumps(measured), encoding="utf-8")
    assert report.main([str(source), "--markdown", str(target)]) == 0
    assert target.read_text(encoding="utf-8") == capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2.5, "2.5 s"),
        (0.0123, "12.3 ms"),
        (4.2e-6, "4.2 us"),
        (3e-8, "30 ns"),
        (1234.0, "1,234 s"),
        (0.9996, "1,000 ms"),
    ],
)
def test_durations_have_three_digits(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text
