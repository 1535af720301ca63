"""Measurements kept as JSON under results/, from which `make results` writes the page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# What report.py's extra_info calls it -> what a table calls it, and the unit in which it is stored
_EXTRA = {"auc": ("AUC", 1.0), "ap": ("AP", 1.0), "peak_MB": ("peak MB", 1.0), "pickled_bytes": ("pickled kB", 1e3)}


def store_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], **told: str) -> None:
    """Write one table, with when (``measured``), by what (``command``) and, where it matters, with which versions."""
    _write(path, {**told, "header": list(header), "rows": [list(row) for row in rows]})


def store_timings(path: Path, report: dict[str, Any]) -> None:
    """Write what pytest-benchmark measured: seconds, by workload and library. Other workloads in the file are kept only
    if machine and versions are the same, for ratios hold within one run."""
    workloads: dict[str, dict[str, dict[str, float]]] = {}
    for benchmark in report["benchmarks"]:
        extra = benchmark.get("extra_info", {})
        row = {"median": benchmark["stats"]["median"], "best": benchmark["stats"]["min"]}
        if extra.get("items", 1) > 1:
            row["per item"] = row["median"] / extra["items"]
        row |= {name: extra[key] / unit for key, (name, unit) in _EXTRA.items() if extra.get(key) is not None}
        rounded = {name: float(f"{value:.4g}") for name, value in row.items()}
        workloads.setdefault(benchmark["group"] or benchmark["name"], {})[extra.get("library", benchmark["name"])] = (
            rounded
        )
    head = head_of(report)
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if all(before.get(what) == head[what] for what in ("machine", "versions")):
            workloads = {**before["workloads"], **workloads}
    _write(path, {**head, "workloads": workloads})


def head_of(report: dict[str, Any]) -> dict[str, str]:
    """Return when, where and by what pytest-benchmark measured; nothing that names the host."""
    info = report["machine_info"]
    cpu = info.get("cpu", {})
    level = f", {info['instruction_set']}" if info.get("instruction_set") else ""
    command = re.sub(r" --benchmark-json[= ]\S+", "", info.get("command", "not recorded"))
    return {
        "measured": report.get("datetime", "")[:10],
        "machine": f"{cpu.get('brand_raw') or 'unknown processor'}, {cpu.get('count', '?')} cores{level}",
        "versions": ", ".join(f"{name} {version}" for name, version in info.get("versions", {}).items()),
        "command": command,
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
