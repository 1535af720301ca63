"""``pointmetrics audit``: which definition a published number is, and how far off approximations of EMD are."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from pointmetrics import __version__
from pointmetrics._backends.conventions import conventions
from pointmetrics._clouds.arrays import read_pair
from pointmetrics._metrics.compare import compare
from pointmetrics._metrics.emd_audit import EmdAudit, audit_emd

from . import USAGE, Failure, clouds, output, terminal

_SCALES = {1.0: "", 10.0: " x 10", 1e2: " x 100", 1e3: " x 1000", 1e4: " x 10000"}  # as captions of tables have them
_NEAREST = 3  # definitions listed where none fits


@dataclass(frozen=True, slots=True)
class Settings:
    """What was asked for on the command line."""

    a: Path
    b: Path
    values: tuple[str, ...]
    tolerance: float | None
    options: clouds.Options
    limit: int = 4096
    layout: str = "table"
    output: Path | None = None
    jobs: int = 1


def run(settings: Settings) -> int:
    """Audit, write, and return the exit code."""
    output.check_writable(settings.output, (settings.a, settings.b))
    for value in settings.values:
        read_claim(value, settings.tolerance)
    for path in (settings.a, settings.b):
        if not path.is_file():
            raise Failure(f"{path} is a folder: audit takes two files" if path.is_dir() else f"there is no file {path}")
    clouds.check_memory(settings.a, settings.b, settings.options)
    read = [
        clouds.read_cloud(path, settings.options, path.name, side) for side, path in enumerate((settings.a, settings.b))
    ]
    pair = read_pair(read[0].points, read[1].points, names=(str(settings.a), str(settings.b)))
    x, y = pair.x.points, pair.y.points
    if len(x) != len(y):
        raise Failure(
            f"{settings.a} has {len(x):,} points and {settings.b} {len(y):,}: the approximations need "
            "equally many; --max-points N takes N of each, or --sample-mesh N of surfaces"
        )
    if len(x) > settings.limit:
        raise Failure(
            f"the clouds have {len(x):,} points, and the approximations take quadratic time: take fewer "
            f"with --max-points, or raise --limit (now {settings.limit:,})"
        )
    audit = audit_emd(x, y, n_threads=settings.jobs)
    table = _definitions(compare(x, y, n_threads=settings.jobs), audit)
    content = {
        "program": f"pointmetrics {__version__}",
        "a": read[0].describe(),
        "b": read[1].describe(),
        "exact": {"emd": audit.euclidean, "emd-squared": audit.squared},
        "approximations": [_finite(asdict(a)) for a in audit.approximations],
        "claims": [_judge(*read_claim(value, settings.tolerance), table, audit) for value in settings.values],
    }
    rich = settings.output is None and terminal.shows_tables()
    output.write(_lay_out(content, settings.layout, rich), settings.output)
    return 0


def _definitions(found: Any, audit: EmdAudit) -> dict[str, float]:
    table = {f"{name} ({conventions()[name].used_by})": float(found[name]) for name in found if name in conventions()}
    table |= {name: float(found[name]) for name in ("dcd", "hausdorff")}
    table |= {"exact EMD": audit.euclidean, "exact EMD, squared cost": audit.squared}
    return table | {f"{a.name}, {a.settings} ({a.used_by})": a.value for a in audit.approximations}


def read_claim(text: str, tolerance: float | None) -> tuple[float, float]:
    """Read a published number and how far off it may be: half a unit of its last digit where nothing else is said."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise Failure(f"--value must be a number, got {text!r}", USAGE) from None
    if not (number.is_finite() and number > 0):
        raise Failure(f"--value must be finite and above 0, got {text}", USAGE)
    if tolerance is None:
        tolerance = float(Decimal(5).scaleb(int(number.as_tuple().exponent) - 1) / number)
    return float(number), tolerance


def _judge(value: float, tolerance: float, table: dict[str, float], audit: EmdAudit) -> dict[str, Any]:
    """Say what definitions, at what scale, give a value."""
    candidates: list[dict[str, Any]] = [
        {"definition": name + text, "value": own * scale, "ratio": value / (own * scale)}
        for name, own in table.items()
        if own > 0
        for scale, text in _SCALES.items()
    ]
    candidates.sort(key=lambda candidate: abs(math.log(candidate["ratio"])))
    fits = [candidate for candidate in candidates if abs(candidate["ratio"] - 1) <= tolerance]
    ratio = value / audit.euclidean if audit.euclidean > 0 else None
    return {
        "value": value,
        "tolerance": tolerance,
        "ratio_to_exact_emd": ratio,
        "matches": fits,
        "nearest": candidates[:_NEAREST],
    }


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def _lay_out(content: dict[str, Any], layout: str, rich: bool) -> str:
    if layout == "json":
        return output.to_json(content)
    header = ["method", "settings", "used by", "value", "exact", "ratio", "unmatched"]
    keys = ("name", "settings", "used_by", "value", "exact", "ratio", "unmatched")
    if layout == "csv":
        return output.to_csv(header, [[row[key] for key in keys] for row in content["approximations"]])
    rows = [
        [
            row["name"],
            row["settings"],
            row["used_by"],
            f"{row['value']:.6g}",
            f"{row['exact']:.6g}",
            "-" if row["ratio"] is None else f"{row['ratio']:.4f}",
            f"{row['unmatched']:.1%}",
        ]
        for row in content["approximations"]
    ]
    exact = content["exact"]
    text = (
        f"exact EMD {exact['emd']:.6g} (Euclidean cost), {exact['emd-squared']:.6g} (squared cost), "
        f"{content['a']['n_points']:,} points each, {content['a']['dimension']}-D\n"
    )
    text += terminal.table(header, rows, [3, 4, 5, 6], rich=rich)
    return text + "".join("\n" + _tell(claim, content, rich) for claim in content["claims"])


def _tell(claim: dict[str, Any], content: dict[str, Any], rich: bool) -> str:
    value = claim["value"]
    shown = claim["matches"] or claim["nearest"]
    what = "could be" if claim["matches"] else "is none of the definitions known; nearest are"
    text = terminal.table(
        ["definition", "its value", "given / its value"],
        [[c["definition"], f"{c['value']:.6g}", f"{c['ratio']:.4f}"] for c in shown],
        [1, 2],
        title=f"{value:g} {what}",
        rich=rich,
    )
    exact = content["exact"]["emd"]
    if value * (1 + claim["tolerance"]) < exact:
        text += (
            f"As it stands {value:g} is no earth mover's distance of these clouds: no plan costs less than "
            f"{exact:.6g}\n"
        )
    return text
