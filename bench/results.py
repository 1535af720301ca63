"""Write RESULTS.md: the prose of results/page.md, and tables made from the JSON files beside it.

    python bench/results.py [--check]

A line `{{compare emd: EMD (near|far), n = 2048}}` of the page becomes one table of the stored timings in
results/emd.json: a row for each workload whose name the expression matches, the time of the first of our own libraries,
and how much longer the others took. `{{list forest: score 100,000}}` tells all libraries of one workload, and
`{{table adbench}}` is a table as it was stored. Each table ends with when, where and by what it was measured.
`python bench/report.py run.json --store bench/results/emd.json` stores timings, `python bench/quality_forest.py ..
--store bench/results/adbench.json` stores quality.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_table import markdown
from report import OURS, duration

HERE = Path(__file__).parent
FOLDER, PAGE, RESULT = HERE / "results", HERE / "results" / "page.md", HERE / "RESULTS.md"
_PLACE = re.compile(r"^\{\{(compare|list|table) ([\w-]+)(?:: (.*))?\}\}$", re.MULTILINE)
_SHOWN = {"AUC": "{:.3f}", "AP": "{:.3f}", "peak MB": "{:,.0f}", "pickled kB": "{:,.0f}"}


def ours(libraries: Sequence[str]) -> str:
    """Return the first of our own libraries, or the first of all."""
    return next((name for name in libraries if name.startswith(OURS)), libraries[0])


def compare(stored: dict[str, Any], pattern: str) -> str:
    """Return a table with a row a workload: our time, and the others' as multiples of it."""
    workloads = _matching(stored, pattern)
    libraries = list(dict.fromkeys(name for rows in workloads.values() for name in rows))
    base = ours(libraries)
    lines = []
    for workload, rows in workloads.items():
        own = rows[base]["median"]
        others = [f"{rows[name]['median'] / own:.3g}x" if name in rows else "" for name in libraries if name != base]
        lines.append([workload, duration(own), *others])
    return markdown(["", base, *(name for name in libraries if name != base)], lines)


def listing(stored: dict[str, Any], pattern: str) -> str:
    """Return a table with a row a library for the workloads that match, the fastest first."""
    parts = []
    for workload, rows in _matching(stored, pattern).items():
        shown = [name for name in ("per item", *_SHOWN) if any(name in row for row in rows.values())]
        own = rows[ours(list(rows))]["median"]
        lines = [
            [name, duration(row["median"]), f"{row['median'] / own:.2f}x", *(_cell(row, what) for what in shown)]
            for name, row in sorted(rows.items(), key=lambda item: item[1]["median"])
        ]
        parts.append(markdown([workload, "median", "ratio", *shown], lines))
    return "\n\n".join(parts)


def _cell(row: dict[str, float], what: str) -> str:
    if what not in row:
        return ""
    return duration(row[what]) if what == "per item" else _SHOWN[what].format(row[what])


def _matching(stored: dict[str, Any], pattern: str) -> dict[str, dict[str, dict[str, float]]]:
    found = {name: rows for name, rows in stored["workloads"].items() if re.search(pattern, name)}
    if not found:
        raise ValueError(f"no stored workload matches {pattern!r}; there are {', '.join(stored['workloads'])}")
    return found


def source(stored: dict[str, Any], body: str) -> str:
    """Return a line that says when, where, with which versions of what the table names, and by which command."""
    versions = [part.strip() for part in stored.get("versions", "").split(",")]
    named = [part for part in versions if part.split(" ")[0].lower() in ("python", "numpy") or _names(body, part)]
    told = [stored["measured"], stored.get("machine", ""), ", ".join(named)]
    return f"*{'; '.join(part for part in told if part)}: `{stored['command']}`*"


def _names(body: str, version: str) -> bool:
    return bool(re.search(rf"\b{re.escape(version.split(' ')[0])}\b", body, re.IGNORECASE))


def fill(page: str, folder: Path) -> str:
    """Return the page with every place filled from the files in ``folder``."""

    def table(place: re.Match[str]) -> str:
        kind, name, pattern = place.groups()
        stored = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if kind == "table":
            body = markdown(stored["header"], stored["rows"])
        else:
            body = (compare if kind == "compare" else listing)(stored, pattern or "")
        return f"{body}\n\n{source(stored, body)}"

    return _PLACE.sub(table, page)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or tell whether it is as its sources have it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if RESULTS.md is another")
    options = parser.parse_args(arguments)
    text = fill(PAGE.read_text(encoding="utf-8"), FOLDER)
    if options.check:
        return int(not RESULT.exists() or RESULT.read_text(encoding="utf-8") != text)
    RESULT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
