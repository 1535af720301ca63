"""Lay a comparison out as a table, as JSON or as CSV."""

from __future__ import annotations

from typing import Any

from . import output, terminal

_WORST = 10  # pairs listed in a table of two folders


def lay_out(document: dict[str, Any], layout: str, rich: bool) -> str:
    """Return the text of a comparison in a layout: "table", "json" or "csv"."""
    if layout == "json":
        return output.to_json(document)
    if layout == "csv":
        return _csv(document)
    return _folders(document, rich) if document["folders"] else _pair(document, rich)


def _csv(document: dict[str, Any]) -> str:
    names = list(document["metrics"])
    rows = [
        [
            pair["name"],
            pair["a"]["path"],
            pair["b"]["path"],
            pair["a"].get("n_points"),
            pair["b"].get("n_points"),
            *((pair["metrics"] or {}).get(name) for name in names),
            pair["error"],
        ]
        for pair in document["pairs"]
    ]
    return output.to_csv(["pair", "a", "b", "n_a", "n_b", *names, "error"], rows)


def number(value: float) -> str:
    """Return a number as tables show it."""
    return f"{value:.6g}"


def _pair(document: dict[str, Any], rich: bool) -> str:
    pair = document["pairs"][0]
    lines = [
        f"{side.upper()}: {pair[side]['path']} ({pair[side]['n_points']:,} points, {pair[side]['dimension']}-D"
        f"{_source(pair[side]['source'])})"
        for side in "ab"
    ]
    rows = [
        [name, number(value), document["metrics"][name]["unit"], document["metrics"][name]["definition"]]
        for name, value in pair["metrics"].items()
    ]
    note = "a, b: distances from the points of A to B and of B to A\n"
    return (
        "\n".join(lines) + "\n" + terminal.table(["metric", "value", "unit", "definition"], rows, [1], rich=rich) + note
    )


def _source(source: str) -> str:
    return "" if source == "points" else f", {source}"


def _folders(document: dict[str, Any], rich: bool) -> str:
    done = [pair for pair in document["pairs"] if pair["error"] is None]
    rows = [
        [
            name,
            *(number(values[key]) for key in ("mean", "median", "min", "max")),
            values["worst"],
            document["metrics"][name]["unit"],
        ]
        for name, values in document["summary"].items()
    ]
    dimensions = " or ".join(f"{d}-D" for d in sorted({pair["a"]["dimension"] for pair in done}))
    text = terminal.table(
        ["metric", "mean", "median", "min", "max", "worst pair", "unit"],
        rows,
        [1, 2, 3, 4],
        title=f"{len(done):,} pairs of {document['a']} and {document['b']}, {dimensions}",
        rich=rich,
    )
    if document["classes"] is not None:
        text += "\n" + _classes(document, rich)
    by = document["sorted_by"]
    high = document["metrics"][by]["better"] == "higher"
    worst = sorted(done, key=lambda pair: pair["metrics"][by], reverse=not high)[:_WORST]
    names = [by, *(name for name in document["metrics"] if name != by)][:4]
    rows = [
        [
            pair["name"],
            f"{pair['a']['n_points']:,}",
            f"{pair['b']['n_points']:,}",
            *(number(pair["metrics"][name]) for name in names),
        ]
        for pair in worst
    ]
    title = f"Worst by {by}" if len(done) > len(worst) else f"Pairs, worst by {by} first"
    return (
        text
        + "\n"
        + terminal.table(["pair", "n A", "n B", *names], rows, range(1, 3 + len(names)), title=title, rich=rich)
    )


def _classes(document: dict[str, Any], rich: bool) -> str:
    names = list(document["metrics"])
    rows = [
        [over, f"{means['pairs']:,}", *(number(means[name]) for name in names)]
        for over, means in document["classes"].items()
    ]
    return terminal.table(
        ["class", "pairs", *names], rows, range(1, 2 + len(names)), title="Means by sub-folder", rich=rich
    )
