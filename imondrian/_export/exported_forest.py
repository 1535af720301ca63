"""What both formats are written from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from imondrian._forest.rounding import float32_at_most
from imondrian._forest.tree_tables import TreeTable
from imondrian._version import __version__


@dataclass(frozen=True, slots=True)
class ExportedForest:
    """What of a forest is exported."""

    trees: list[TreeTable]
    n_features: int
    norm: float  # c(n): a score is -(2 ** -(mean depth / norm))
    offset: float
    own_dtype: np.dtype[Any]  # rows are rounded to it before they are compared
    row_dtype: np.dtype[Any]
    feature_names: list[str] | None

    @property
    def compared_dtype(self) -> np.dtype[Any]:
        """Precision in which comparisons are exact."""
        return min(self.own_dtype, self.row_dtype, key=lambda kind: kind.itemsize)

    def thresholds(self, tree: TreeTable) -> np.ndarray:
        """Return a tree's thresholds in ``compared_dtype``."""
        return float32_at_most(tree.threshold) if self.compared_dtype == np.float32 else tree.threshold

    @property
    def metadata(self) -> dict[str, str]:
        """What a model should tell of where it is from."""
        names = {} if self.feature_names is None else {"feature_names": json.dumps(self.feature_names)}
        return {"offset": repr(self.offset), "imondrian": __version__, **names}
