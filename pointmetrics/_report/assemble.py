"""Put the report together: every text that came from outside is escaped here."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from . import charts, colours
from .views import Side, View, encode


def build(document: dict[str, Any], views: list[View | None]) -> str:
    """Return the page of a comparison; ``views`` has one entry a pair of the document."""
    by_name = document["sorted_by"]
    high = document["metrics"][by_name]["better"] == "higher"
    done = [k for k, pair in enumerate(document["pairs"]) if pair["error"] is None]
    worst_first = sorted(done, key=lambda k: document["pairs"][k]["metrics"][by_name], reverse=not high)
    shown = [(k, view) for k in worst_first if (view := views[k]) is not None]
    title = f"{document['a']} against {document['b']}"
    scale = ["".join(f"{channel:02x}" for channel in colour) for colour in colours.scale("dark")]
    gradient = ", ".join(f"#{colour}" for colour in scale[::15])
    return Template(_file("page.html")).substitute(
        title=escape(title),
        heading=escape(title),
        facts=_facts(document),
        summary=_summary(document, worst_first, {k for k, _ in shown}) if document["folders"] else "",
        pairs="\n".join(_pair(document, k, view) for k, view in shown),
        footer=f"Made by {escape(document['program'])}. Points shown are random subsets; numbers, histograms and "
        "curves are of all points.",
        style=_file("style.css") + f".bar {{ background: linear-gradient(90deg, {gradient}); }}\n",
        data=_in_script({"scale": scale, "views": {str(k): encode(view) for k, view in shown}}),
        script=_file("viewer.js"),
    )


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _in_script(data: dict[str, Any]) -> str:
    """Return JSON that no text within can end the script element with."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _facts(document: dict[str, Any]) -> str:
    options = document["options"]
    parts = [f"A is what is judged, B the reference. Normalisation: {options['normalise']}."]
    if options["sample_mesh"]:
        parts.append(f"Meshes: {options['sample_mesh']:,} points drawn from the surface.")
    if options["max_points"]:
        parts.append(f"At most {options['max_points']:,} points of each cloud, a random subset.")
    if options["drop_invalid"]:
        parts.append("Points with NaN or infinite coordinates were left out.")
    if options["sample_mesh"] or options["max_points"]:
        parts.append(f"Seed {options['seed']}.")
    return f'<p class="soft">{escape(" ".join(parts))}</p>'


def _power(text: str) -> str:
    return escape(text).replace("^2", "<sup>2</sup>")


def _number(value: float) -> str:
    return f'<td class="number" data-value="{value!r}">{value:.6g}</td>'


def _summary(document: dict[str, Any], worst_first: list[int], shown: set[int]) -> str:
    names = list(document["metrics"])
    heads = "".join(
        f'<th scope="col" class="number">{escape(name)}<br><span class="soft">'
        f"{_power(document['metrics'][name]['unit'])}</span></th>"
        for name in names
    )
    rows = [
        f'<tr class="total"><th scope="row">{label}</th><td></td><td></td>'
        + "".join(_number(document["summary"][name][key]) for name in names)
        + "</tr>"
        for key, label in (("mean", "mean"), ("median", "median"))
    ]
    rows += [_summary_row(k, document["pairs"][k], names, k in shown) for k in worst_first]
    rows += [
        f'<tr class="failed"><th scope="row">{escape(pair["name"])}</th><td colspan="{2 + len(names)}">'
        f"{escape(pair['error'])}</td></tr>"
        for pair in document["pairs"]
        if pair["error"] is not None
    ]
    notes = "".join(
        f"<p>Only in {escape(document[side])}: {escape(', '.join(only))}</p>"
        for side, only in document["unmatched"].items()
        if only
    )
    some = "" if len(shown) == len(worst_first) else f" The worst {len(shown)} can be looked at."
    return (
        f'<h2>{len(worst_first):,} pairs</h2><p class="soft">Worst by '
        f"{escape(document['sorted_by'])} first; choose a pair to look at it.{some}</p>"
        f'<div class="scroll" tabindex="0"><table id="summary"><thead><tr>'
        f'<th scope="col">pair</th><th scope="col" class="number">n A</th><th scope="col" class="number">n B</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def _summary_row(k: int, pair: dict[str, Any], names: list[str], has_view: bool) -> str:
    name = escape(pair["name"])
    label = f'<button type="button" data-pair="{k}">{name}</button>' if has_view else name
    sizes = "".join(f'<td class="number">{pair[side]["n_points"]:,}</td>' for side in "ab")
    return (
        f'<tr data-pair="{k}"><th scope="row">{label}</th>{sizes}'
        + "".join(_number(pair["metrics"][name]) for name in names)
        + "</tr>"
    )


def _pair(document: dict[str, Any], k: int, view: View) -> str:
    pair = document["pairs"][k]
    unit = "units of the files" if document["options"]["normalise"] == "none" else "normalised units"
    heading = f"<h2>{escape(pair['name'])}</h2>" if document["folders"] else ""
    flat = ' data-flat="1"' if view.dimension < 3 else ""
    return (
        f'<section class="pair" data-pair="{k}"{flat}>{heading}<div class="clouds">{_cloud(pair, view, 0)}'
        f"{_cloud(pair, view, 1)}</div>{_controls(unit, view)}{_charts(view, unit)}"
        f'<div class="numbers"><div>{_metrics(document, pair)}</div><div>{_distances(view)}</div></div></section>'
    )


def _cloud(pair: dict[str, Any], view: View, side: int) -> str:
    own, other = "AB"[side], "BA"[side]
    cloud, shown = pair[own.lower()], view.sides[side]
    some = "all shown" if len(shown.error) == shown.n else f"{len(shown.error):,} shown, at random"
    source = "" if cloud["source"] == "points" else f" ({escape(cloud['source'])})"
    axes = ", first three coordinates" if view.dimension > 3 else ""
    return (
        f'<figure><h3>{own}: {escape(cloud["path"])}</h3><div class="stage"><canvas tabindex="0" role="img" '
        f'aria-label="{own}, coloured by its distance to {other}. Drag or arrow keys turn it."></canvas>'
        f'</div><figcaption class="soft">Coloured by the distance to the nearest point of {other}. '
        f"{shown.n:,} points{source}, {some}{axes}.</figcaption></figure>"
    )


def _controls(unit: str, view: View) -> str:
    return (
        f'<div class="controls"><div class="legend"><span>0</span><div class="bar"></div><span class="top">'
        f'{view.usual:.3g}</span><span class="under"><span class="middle"></span> in the middle; distance in {unit}'
        f'</span></div><label>colour range <input type="range" min="0" max="1000" value="1000"></label>'
        f"<label>up <select><option>z</option><option>y</option></select></label>"
        f'<label><input type="checkbox" data-action="shade" checked> shading</label>'
        f'<button type="button" data-action="reset">reset view</button><span class="soft">Drag to turn, shift-drag '
        f"to move, wheel (after a click) or + and - to zoom. Both clouds move together.</span></div>"
    )


def _key(kind: str, label: str) -> str:
    return f'<span><svg aria-hidden="true"><line class="{kind}" x2="30" y1="5" y2="5"/></svg>{label}</span>'


def _charts(view: View, unit: str) -> str:
    beyond = [f"{share:.2%} of {own}" for share, own in zip(view.beyond, "AB", strict=True) if share > 0]
    tail = f'<p class="soft">Beyond the axis: {", ".join(beyond)}.</p>' if beyond else ""
    return (
        f'<div class="charts"><figure class="panel"><h3>How far points are from the other cloud</h3>'
        f'{charts.histogram(view, unit)}<div class="keys">{_key("from-a", "from A to B")}'
        f'{_key("from-b", "from B to A")}</div>{tail}</figure><figure class="panel"><h3>F-score by threshold</h3>'
        f'{charts.curve(view, unit)}<div class="keys">{_key("f-score", "F-score")}'
        f"{_key('precision', 'precision (A near B)')}{_key('recall', 'recall (B near A)')}</div>"
        f"<output></output></figure></div>"
    )


def _metrics(document: dict[str, Any], pair: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{_number(value)}<td>{_power(info["unit"])}</td><td>'
        f"{_power(info['definition'])}</td></tr>"
        for name, value in pair["metrics"].items()
        if (info := document["metrics"][name])
    )
    return (
        f'<table class="metrics"><caption>a and b are the distances from the points of A to B and of B to A.'
        f'</caption><thead><tr><th scope="col">metric</th><th scope="col" class="number">value</th>'
        f'<th scope="col">unit</th><th scope="col">definition</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _distances(view: View) -> str:
    def row(label: str, side: Side) -> str:
        values = "".join(_number(value) for value in (side.mean, side.median, side.q95, side.largest))
        return f'<tr><th scope="row">{label}</th>{values}</tr>'

    heads = "".join(f'<th scope="col" class="number">{name}</th>' for name in ("mean", "median", "95 %", "largest"))
    return (
        f'<table><caption>Distances to the other cloud</caption><thead><tr><th scope="col"></th>{heads}</tr>'
        f"</thead><tbody>{row('A to B', view.sides[0])}{row('B to A', view.sides[1])}</tbody></table>"
    )
