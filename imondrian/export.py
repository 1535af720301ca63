"""Forests for other runtimes: ONNX and treelite.

Both take models of ``score="depth"``: there a row's score depends on the leaf that it falls into, and on nothing
else, so it is a sum over trees of constants in leaves, which is what tree ensembles of other libraries are. "spacing"
(the default) and "insertion" measure how far a row lies outside the boxes on its path: their value changes with every
coordinate inside a leaf, which no ensemble of constants can express.

onnx and treelite are imported here only, and only when asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ._export.exported_forest import ExportedForest
from ._forest.rwlock import gate_of
from ._forest.tree_tables import tree_tables

if TYPE_CHECKING:
    import onnx
    import treelite

    from ._sklearn.estimator import IsolationMondrianForest

__all__ = ["to_onnx", "to_treelite"]

_FLOATS = ("float32", "float64")


def to_onnx(
    forest: IsolationMondrianForest, *, dtype: Literal["float32", "float64"] | None = None, ml_opset: Literal[3, 5] = 5
) -> onnx.ModelProto:
    """Return a fitted forest of ``score="depth"`` as an ONNX model.

    Parameters
    ----------
    forest : IsolationMondrianForest
        Fitted in any way, ``partial_fit`` and windows included; the model is what it is now.
    dtype : {"float32", "float64"}, optional
        Type of the rows that the model takes; by default the precision that the forest was fitted with.
    ml_opset : {5, 3}, default=5
        Version of the operators ai.onnx.ml. 5 (onnxruntime >= 1.20) adds depths up in float64. 3 (from 2021, and
        widely implemented) gives their sum in float32.

    Returns
    -------
    onnx.ModelProto
        Input ``X`` (n, n_features) of ``dtype``. Outputs ``score_samples`` (n,), float64, and ``predict`` (n,),
        int64: 1 for inliers and -1 for outliers, by the forest's ``offset_``. ``metadata_props`` holds
        ``offset`` and, where the forest has them, ``feature_names`` (JSON).

    Raises
    ------
    ImportError
        onnx is not installed.
    NotFittedError
        Before ``fit`` or ``partial_fit``.
    TypeError
        ``forest`` is no IsolationMondrianForest.
    ValueError
        The forest's score is not "depth"; it has nominal columns; another ``dtype`` or ``ml_opset``.

    Notes
    -----
    Every row ends in the same leaves as in the forest. Rows are rounded to the forest's precision, as the forest rounds
    them, and compared in it; with float32 rows, float64 thresholds are replaced by the largest float32 up to them,
    which sends every float32 value the same way. With ``ml_opset=5`` scores are within a relative 1e-13 of
    ``score_samples`` (sums run in another order, and the runtime has its own power of 2); with 3 depths are within
    a relative 2 ** -24 (n_estimators + 1). ``predict`` can differ for scores as close as that to ``offset_``.

    A forest corrects the depth of a row with a missing value (NaN) by means that no ONNX tree has: such a row has the
    score NaN and the label 0. So has a row with an infinite value, which the forest refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from imondrian import IsolationMondrianForest
    >>> from imondrian.export import to_onnx
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> forest = IsolationMondrianForest(score="depth", random_state=0).fit(X)
    >>> [output.name for output in to_onnx(forest).graph.output]
    ['score_samples', 'predict']
    """
    if ml_opset not in (3, 5):
        raise ValueError(f"ml_opset must be 3 or 5, got {ml_opset!r}")
    trees = _exported(forest, dtype, "to_onnx")
    try:
        from ._export import onnx_graph as _onnx_graph
    except ImportError as error:
        raise ImportError(f"imondrian.export.to_onnx needs onnx ({error}): pip install 'imondrian[onnx]'") from error
    return _onnx_graph.model(trees, ml_opset)


def to_treelite(forest: IsolationMondrianForest, *, dtype: Literal["float32", "float64"] = "float64") -> treelite.Model:
    """Return a fitted forest of ``score="depth"`` as a treelite model.

    Parameters
    ----------
    forest : IsolationMondrianForest
        Fitted in any way, ``partial_fit`` and windows included; the model is what it is now.
    dtype : {"float64", "float32"}, default="float64"
        Precision of thresholds and leaves. "float64" is exact for rows of the forest's precision. "float32" is
        smaller and what some runtimes are fastest with; it is for float32 rows.

    Returns
    -------
    treelite.Model
        Predicts the anomaly score: ``-score_samples``, in (0, 1], **high** for anomalies (treelite has no
        transformation with a minus sign; its own import of an IsolationForest has the same sign). Compare it with
        ``-forest.offset_``: below it is an inlier.

    Raises
    ------
    ImportError
        treelite is not installed.
    NotFittedError
        Before ``fit`` or ``partial_fit``.
    TypeError
        ``forest`` is no IsolationMondrianForest.
    ValueError
        The forest's score is not "depth"; it has nominal columns; another ``dtype``.

    Notes
    -----
    A row of the forest's precision ends in the same leaves as in the forest (with ``dtype="float32"``: every float32
    row), and its score is within a relative 1e-13; in float32 the mean exponent is within a relative 2 ** -24
    (n_estimators + 1). A missing value (NaN) goes to the heavier child, ties to the left: the forest draws a
    side and corrects for it, so scores of such rows **differ**.

    Examples
    --------
    >>> import numpy as np
    >>> from imondrian import IsolationMondrianForest
    >>> from imondrian.export import to_treelite
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> forest = IsolationMondrianForest(score="depth", random_state=0).fit(X)
    >>> to_treelite(forest).num_tree
    100
    """
    if dtype is None:
        raise ValueError(f"dtype must be one of {_FLOATS}, got None")
    trees = _exported(forest, dtype, "to_treelite")
    try:
        from ._export import treelite_model as _treelite_model
    except ImportError as error:
        raise ImportError(
            f"imondrian.export.to_treelite needs treelite ({error}): pip install 'imondrian[treelite]'"
        ) from error
    return _treelite_model.model(trees)


def _exported(forest: Any, dtype: str | None, function: str) -> ExportedForest:
    from ._sklearn.estimator import IsolationMondrianForest  # here, since it imports scikit-learn
    from ._sklearn.fitted import model_of

    if not isinstance(forest, IsolationMondrianForest):
        hint = ": pass model.to_estimator()" if hasattr(forest, "to_estimator") else ""
        raise TypeError(f"forest must be a fitted IsolationMondrianForest, got {type(forest).__name__}{hint}")
    if dtype is not None and dtype not in _FLOATS:
        raise ValueError(f"dtype must be one of {_FLOATS}, got {dtype!r}")
    with gate_of(forest).reading:
        trees, verdicts = model_of(forest).forest, model_of(forest).verdicts
        if (score := forest.get_params()["score"]) != "depth":
            raise ValueError(
                f"{function} needs a forest of score='depth', got {score!r}: \"spacing\" (the default) and "
                '"insertion" measure distances from boxes, which leaves with constants cannot express. Fit with '
                "score='depth'; or export the depths of these trees after set_params(score='depth')"
            )
        if verdicts is not None:
            raise ValueError(
                f"{function} exports the forest's own score, without the {len(verdicts)} verdicts that were "
                "given: withdraw them before, in a copy if need be"
            )
        names = getattr(forest, "feature_names_in_", None)
        _refuse_nominal(np.flatnonzero(trees.nominal), names, function)
        norm = trees.depths(np.empty((0, trees.n_features), trees.dtype), "depth")[1]
        tables = tree_tables(trees)
        if not norm > 0:  # single points can tell nothing apart: every score is 0.5
            tables, norm = [replace(table, leaf_depth=np.ones_like(table.leaf_depth)) for table in tables], 1.0
        return ExportedForest(
            tables,
            trees.n_features,
            norm,
            forest.offset_,
            trees.dtype,
            trees.dtype if dtype is None else np.dtype(dtype),
            None if names is None else [str(name) for name in names],
        )


def _refuse_nominal(columns: np.ndarray, names: Any, function: str) -> None:
    if len(columns):
        told = columns.tolist() if names is None else [str(name) for name in np.asarray(names)[columns]]
        raise ValueError(
            f"{function} exports trees over numbers only, and the forest has nominal columns: {told[:10]}"
            f"{' ...' if len(told) > 10 else ''}; encode them as numbers before fitting to export the model"
        )


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
