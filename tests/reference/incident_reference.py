"""Incidents of a whole stream, found with all of it in view."""

from __future__ import annotations

from collections import defaultdict


def changes(alarms, gap, keys=None):
    """Return what each row changes: a list of incidents as (state, id, key, rows of its alarms so far).

    ``alarms``: whether each row is one; ``keys``: one a row. A row's own incident comes first.
    """
    keys = [None] * len(alarms) if keys is None else keys
    rows_of = defaultdict(list)
    for row, key in enumerate(keys):
        rows_of[key].append(row)
    groups = []  # (key, places of its alarms among the key's rows)
    for key, rows in rows_of.items():
        places = [place for place, row in enumerate(rows) if alarms[row]]
        for i, place in enumerate(places):
            if i == 0 or place - places[i - 1] >= gap:
                groups.append((key, []))
            groups[-1][1].append(place)
    groups.sort(key=lambda group: rows_of[group[0]][group[1][0]])
    found = [[] for _ in alarms]
    for number, (key, places) in enumerate(groups, 1):
        rows = rows_of[key]
        mine = [rows[place] for place in places]
        for i, row in enumerate(mine):
            found[row].insert(0, ("ongoing" if i else "open", number, key, mine[: i + 1]))
        end = max(places[-1] + gap - 1, places[-1] + 1)
        if end < len(rows):
            found[rows[end]].append(("closed", number, key, mine))
    return found


def told(lines, p_values, gap=50, keys=None, parts=None, n_reasons=0):
    """Add to lines of output (dicts) what is told of incidents.

    ``p_values``: those by which rows are alarms. ``parts``: of each alarm's row a dict of (below, above) by feature.
    """
    by_row = changes([line["alarm"] for line in lines], gap, keys)
    for line, changed in zip(lines, by_row, strict=True):
        objects = [_told(each, lines, p_values, parts, n_reasons) for each in changed]
        if objects:
            line["incident"] = objects[0]
        if objects[1:]:
            line["also_closed"] = objects[1:]
    return lines


def _told(incident, lines, p_values, parts, n_reasons):
    state, number, key, rows = incident
    peak = min(rows, key=lambda row: (p_values[row], -lines[row]["score"], row))
    found = {
        "id": number,
        "state": state,
        "start": lines[rows[0]]["record"],
        "peak": lines[peak]["record"],
        "end": lines[rows[-1]]["record"],
        "alarms": len(rows),
        "p_value": p_values[peak],
        "score": lines[peak]["score"],
    }
    if key is not None:
        found["key"] = key
    if n_reasons:
        names = list(dict.fromkeys(name for row in rows for name in parts[row]))
        sums = [
            (name, side, sum(parts[row].get(name, (0.0, 0.0))[i] for row in rows))
            for name in names
            for i, side in enumerate(("low", "high"))
        ]
        sums.sort(key=lambda each: -each[2])
        found["reasons"] = [
            {"feature": name, "side": side, "contribution": size} for name, side, size in sums if size > 0
        ][:n_reasons]
    return found
