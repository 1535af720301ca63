"""Turn pytest-benchmark's JSON into markdown tables of medians and ratios, with the machine and the command.

    pytest bench/bench_forest_batch.py --benchmark-enable --benchmark-json batch.json
    python bench/report.py batch.json [more.json ...] [--markdown FILE]

One table a group (a workload), one row a library. "best" is the fastest round: far below the median, the
machine was not quiet. Ratios are of medians, to the first of our own rows: 2.0x means twice its time.
Where a workload was run with several thread counts, a last table has the speed-up.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_table import markdown, tell
from stored import store_timings

OURS = ("imondrian", "pointmetrics")
_THREADS = re.compile(r", (\d+) threads?$")


def groups(reports: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return every group's benchmarks, both in the order in which they were run."""
    found: dict[str, list[dict[str, Any]]] = {}
    for report in reports:
        for benchmark in report["benchmarks"]:
            found.setdefault(benchmark["group"] or benchmark["name"], []).append(benchmark)
    return found


def _median(benchmark: dict[str, Any]) -> float:
    return benchmark["stats"]["median"]


def library(benchmark: dict[str, Any]) -> str:
    """Return what the row is called: the library, or the benchmark's name where it gives none."""
    return benchmark.get("extra_info", {}).get("library", benchmark["name"])


def baseline(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the row that ratios are to: the first of ours, or the fastest."""
    ours = [row for row in rows if library(row).startswith(OURS)]
    return ours[0] if ours else min(rows, key=_median)


def duration(seconds: float) -> str:
    """Return seconds with three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            number = seconds / size
            return f"{number:.3g} {unit}" if number < 999.5 else f"{number:,.0f} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def group_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of one workload, the fastest first."""
    base = _median(baseline(rows))
    columns = [
        ("AUC", "auc", "{:.3f}"),
        ("AP", "ap", "{:.3f}"),
        ("pickled kB", "pickled_bytes", "{:,.0f}"),
        ("peak MB", "peak_MB", "{:,.0f}"),
    ]
    shown = [column for column in columns if any(row["extra_info"].get(column[1]) is not None for row in rows)]
    per_item = any(row["extra_info"].get("items", 1) > 1 for row in rows)
    header = [
        "library",
        "median",
        *(["per item"] if per_item else []),
        "ratio",
        "best",
        "IQR",
        "rounds",
        *(title for title, _, _ in shown),
    ]
    lines = []
    for row in sorted(rows, key=_median):
        stats, extra = row["stats"], row["extra_info"]
        line = [library(row), duration(stats["median"])]
        if per_item:
            line.append(duration(stats["median"] / extra.get("items", 1)))
        line += [
            f"{stats['median'] / base:.2f}x",
            duration(stats["min"]),
            f"{stats['iqr'] / stats['median']:.0%}",
            str(stats["rounds"]),
        ]
        for _, key, form in shown:
            value = extra.get(key)
            scale = 1e3 if key == "pickled_bytes" else 1.0
            line.append("-" if value is None else form.format(value / scale))
        lines.append(line)
    return markdown(header, lines)


def thread_table(found: dict[str, list[dict[str, Any]]]) -> str | None:
    """Return speed-ups over one thread, for workloads run with several thread counts; else None."""
    times: dict[tuple[str, str], dict[int, float]] = {}
    for group, rows in found.items():
        match = _THREADS.search(group)
        if not match:
            continue
        for row in rows:
            times.setdefault((_THREADS.sub("", group), library(row)), {})[int(match[1])] = _median(row)
    lines = [
        [workload, name, str(n), f"{measured[1] / seconds:.2f}x"]
        for (workload, name), measured in times.items()
        for n, seconds in sorted(measured.items())
        if n > 1 and 1 in measured
    ]
    return markdown(["workload", "library", "threads", "speed-up"], lines) if lines else None


def machine(report: dict[str, Any]) -> str:
    """Describe machine, versions and command in a few lines; nothing that names the host."""
    info = report["machine_info"]
    cpu = info.get("cpu", {})
    versions = ", ".join(f"{name} {version}" for name, version in info.get("versions", {}).items())
    return "\n".join(
        [
            f"- machine: {cpu.get('brand_raw') or 'unknown processor'}, {cpu.get('count', '?')} cores, "
            f"{info.get('system', '')} {info.get('machine', '')}".rstrip(),
            f"- versions: {versions or info.get('python_version', '')}",
            f"- measured: {report.get('datetime', '')[:10]}",
            f"- command: `{info.get('command', 'not recorded')}`",
        ]
    )


def render(reports: Sequence[dict[str, Any]]) -> str:
    """Return the whole report as markdown."""
    parts = list(dict.fromkeys(machine(report) for report in reports))
    found = groups(reports)
    for group, rows in found.items():
        parts.append(f"**{group}**\n\n{group_table(rows)}")
    threads = thread_table(found)
    if threads:
        parts.append(f"**threads**\n\n{threads}")
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", nargs="+", type=Path, help="what pytest wrote with --benchmark-json")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="also write the tables to FILE")
    parser.add_argument("--store", metavar="FILE", type=Path, help="also keep the medians in FILE, of bench/results/")
    options = parser.parse_args(arguments)
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in options.json]
    text = render(reports)
    tell(text, options.markdown)
    for report in reports if options.store else ():
        store_timings(options.store, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
