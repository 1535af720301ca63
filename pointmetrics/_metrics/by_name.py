"""Numbers of a pair of clouds that need more than their nearest neighbours, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmetrics._clouds.libraries import on_host
from pointmetrics._clouds.numbers import check_number

from .completion import fidelity
from .emd import earth_movers_distance
from .hyper_cd import hyperbolic_chamfer_distance
from .info_cd import info_chamfer_distance
from .psnr import psnr_d1, psnr_d2
from .reconstruction import accuracy_completeness, tanks_and_temples
from .sliced import sliced_wasserstein_distance
from .uniformity import uniformity

_Measure = Callable[[Any, Any, float, "int | None"], Any]


@dataclass(frozen=True, slots=True)
class Named:
    """A number by name: ``measure(x, y, n_threads)`` of single clouds, x judged and y the reference."""

    name: str
    unit: str
    formula: str
    high_is_good: bool
    measure: Callable[[Any, Any, int | None], float]


@dataclass(frozen=True, slots=True)
class _Form:
    """What a name means; ``{}`` in the formula stands for the number after "@", whose name is ``parameter``."""

    unit: str
    formula: str
    measure: _Measure
    parameter: str = ""
    high_is_good: bool = False


def _dtu(part: str) -> _Measure:
    return lambda x, y, _, n: getattr(accuracy_completeness(x, y, max_distance=20.0, spacing=0.2, n_threads=n), part)


def _scene(part: str) -> _Measure:
    return lambda x, y, t, n: getattr(tanks_and_temples(x, y, t, n_threads=n), part)


_FORMS = {
    "hyper-cd": _Form(
        "1",
        "mean arcosh(1 + a^2) + mean arcosh(1 + b^2)",
        lambda x, y, _, n: hyperbolic_chamfer_distance(x, y, n_threads=n),
    ),
    "info-cd": _Form(
        "1",
        "contrastive Chamfer distance, tau 2, power 1e-7, summed over points",
        lambda x, y, _, n: info_chamfer_distance(x, y, n_threads=n),
    ),
    "emd": _Form(
        "length",
        "least mean of |x - y| over all plans",
        lambda x, y, _, n: earth_movers_distance(x, y, return_details=True, n_threads=n).upper,
    ),
    "emd-squared": _Form(
        "length^2",
        "least mean of |x - y|^2 over all plans",
        lambda x, y, _, n: earth_movers_distance(x, y, cost="squared", return_details=True, n_threads=n).upper,
    ),
    "sliced-wasserstein": _Form(
        "length",
        "sliced 2-Wasserstein distance, 100 directions",
        lambda x, y, _, n: sliced_wasserstein_distance(x, y),
    ),
    "psnr-d1": _Form(
        "dB",
        "10 log10(3 peak^2 / max(mean a^2, mean b^2)), peak {}",
        lambda x, y, peak, n: psnr_d1(x, y, peak=peak, n_threads=n),
        "the peak",
        True,
    ),
    "psnr-d2": _Form(
        "dB",
        "10 log10(3 peak^2 / MSE) along normals of 16 neighbours of B, peak {}",
        lambda x, y, peak, n: psnr_d2(x, y, peak=peak, n_threads=n),
        "the peak",
        True,
    ),
    "uniformity": _Form(
        "length",
        "imbalance times clutter of A, disks of the share {} of an area of pi",
        lambda x, y, share, n: uniformity(x, percentages=[share], n_threads=n)[0],
        "the surface's share",
    ),
    "fidelity": _Form(
        "length^2", "mean b^2, from B, the input, to A, the output", lambda x, y, _, n: fidelity(y, x, n_threads=n)
    ),
    "dtu-accuracy": _Form("length", "mean of a below 20, A first thinned to 0.2", _dtu("accuracy")),
    "dtu-completeness": _Form("length", "mean of b below 20, A first thinned to 0.2", _dtu("completeness")),
    "dtu-overall": _Form("length", "(accuracy + completeness) / 2", _dtu("overall")),
    "tnt-f-score": _Form(
        "1", "f-score at {} after voxels of half of it", _scene("f_score"), "the scene's threshold", True
    ),
    "tnt-precision": _Form(
        "1", "share of a below {} after voxels of half of it", _scene("precision"), "the scene's threshold", True
    ),
    "tnt-recall": _Form(
        "1", "share of b below {} after voxels of half of it", _scene("recall"), "the scene's threshold", True
    ),
}


def names() -> list[str]:
    """Return what may be asked for, with "@" where a number must follow."""
    return [f"{name}@{form.parameter.split()[-1].upper()}" if form.parameter else name for name, form in _FORMS.items()]


def look_up(name: str) -> Named | None:
    """Return the number called ``name``, None where there is none; refuse a number that is missing or too many."""
    stem, at, number = name.partition("@")
    form = _FORMS.get(stem)
    if form is None:
        return None
    if not form.parameter:
        if at:
            raise ValueError(f"the metric {stem!r} takes no number, got {name!r}")
        return Named(name, form.unit, form.formula, form.high_is_good, lambda x, y, n: _float(form.measure(x, y, 0, n)))
    try:
        parameter = float(number)
    except ValueError as error:
        raise ValueError(f"the metric {stem!r} needs {form.parameter} as a number after '@'; got {name!r}") from error
    if check_number(parameter, f"the number of {name!r}", 0) == 0:
        raise ValueError(f"the number of {name!r} must be above 0, got 0")
    formula = form.formula.format(f"{parameter:g}")
    return Named(name, form.unit, formula, form.high_is_good, lambda x, y, n: _float(form.measure(x, y, parameter, n)))


def _float(value: Any) -> float:
    return float(np.asarray(on_host(value)))
