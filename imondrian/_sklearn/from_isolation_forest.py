"""scikit-learn's fitted IsolationForest as a fitted forest of ours. The only module that knows its insides."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from imondrian._forest.imported_forest import ImportedForest
from imondrian._forest.rounding import float32_at_most


def imported_forest(model: Any) -> ImportedForest:
    """Return the trees of a fitted ``sklearn.ensemble.IsolationForest``.

    scikit-learn compares float32 values with float64 thresholds: the largest float32 up to each threshold
    sends every float32 value the same way.
    """
    trees = [estimator.tree_ for estimator in model.estimators_]
    n_leaves = np.array([tree.n_leaves for tree in trees], np.int32)
    shape = (len(trees), int(n_leaves.max()))
    cuts: dict[str, np.ndarray] = {
        "feature": np.zeros(shape, np.int32),
        "threshold": np.zeros(shape, np.float32),
        "child": np.zeros((*shape, 2), np.int32),
        "mass": np.zeros(shape),
        "leaf_mass": np.zeros(shape),
    }
    for t, (tree, features) in enumerate(zip(trees, model.estimators_features_, strict=True)):
        inner = tree.children_left >= 0
        number = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(~inner) - 1))
        n_nodes, n = np.count_nonzero(inner), np.count_nonzero(~inner)
        cuts["feature"][t, :n_nodes] = np.asarray(features)[tree.feature[inner]]
        cuts["threshold"][t, :n_nodes] = float32_at_most(tree.threshold[inner])
        cuts["child"][t, :n_nodes, 0] = number[tree.children_left[inner]]
        cuts["child"][t, :n_nodes, 1] = number[tree.children_right[inner]]
        cuts["mass"][t, :n_nodes] = tree.n_node_samples[inner]
        cuts["leaf_mass"][t, :n] = tree.n_node_samples[~inner]
    # Scores are normalised by the size that was asked for, also where a bootstrap drew fewer distinct rows.
    return ImportedForest(int(model.n_features_in_), operator.index(model._max_samples), n_leaves, cuts)


def checked_isolation_forest(model: Any) -> Any:
    """Return ``model`` if it is a fitted IsolationForest: TypeError if it is none, NotFittedError if not fitted."""
    from sklearn.ensemble import IsolationForest  # takes a while, and only this needs it

    if not isinstance(model, IsolationForest):
        raise TypeError(f"model must be a fitted sklearn.ensemble.IsolationForest, got {type(model).__name__}")
    check_is_fitted(model, "estimators_")
    return model
