"""Modules as version 0.1.0 named them, for pickles of that time: what they hold is found where it is now.

A pickle names the module of every class in it. These names are looked up last, when nothing else has them, so that
nothing is paid for them otherwise. Only what pickles hold belongs here: the package itself never imports these.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "imondrian._alarm": "imondrian._river.alarm_filter",
    "imondrian._calibration": "imondrian._conformal.conformal",
    "imondrian._estimator": "imondrian._sklearn.estimator",
    "imondrian._held_out": "imondrian._conformal.calibration",
    "imondrian._imported_forest": "imondrian._forest.imported_forest",
    "imondrian._info": "imondrian._kit.info",
    "imondrian._river_shingle": "imondrian._river.shingle",
    "imondrian._models.online": "imondrian._river.online_forest",
    "imondrian._shingle": "imondrian._sklearn.shingle",
    "imondrian._validation": "imondrian._forest.validation",
    "pointmetrics._arrays": "pointmetrics._clouds.arrays",
    "pointmetrics._audit": "pointmetrics._metrics.emd_audit",
    "pointmetrics._chamfer": "pointmetrics._metrics.chamfer",
    "pointmetrics._compare": "pointmetrics._metrics.compare",
    "pointmetrics._conventions": "pointmetrics._backends.conventions",
    "pointmetrics._cpu": "pointmetrics._backends.cpu.backend",
    "pointmetrics._cuda": "pointmetrics._backends.cuda.backend",
    "pointmetrics._emd": "pointmetrics._metrics.emd",
    "pointmetrics._fscore": "pointmetrics._metrics.f_score",
    "pointmetrics._info": "pointmetrics._clouds.info",
    "pointmetrics._libraries": "pointmetrics._clouds.libraries",
    "pointmetrics._mesh": "pointmetrics._metrics.mesh",
    "pointmetrics._neighbors": "pointmetrics._metrics.neighbors",
}


class _OldNames(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = partial(getattr, import_module(MOVED[module.__name__]))


_FINDER = _OldNames()


def look_up() -> None:
    """Have old names looked up from now on."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
