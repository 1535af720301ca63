"""Trees that were cut by another isolation forest: they give depths, and nothing else.

scikit-learn's isolation trees stop at a height, so a leaf may hold several distinct points; and they say where they
cut, but not when, nor around which boxes. Mondrian trees are extended and restricted by times and boxes, and
inventing these would give trees with the law of neither. So an imported forest keeps what it was given (cuts and
masses, with the sample size that scores are normalised by), scores and explains by depth, and refuses by name
whatever needs points.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from imondrian import _core

from .forest import Forest
from .schema import COLUMNS

STATE_VERSION = 1
SCORE_ONLY = (
    "the trees of an imported IsolationForest have neither split times nor boxes nor points: {what} is "
    "impossible. Fit an IsolationMondrianForest on the data instead"
)
_CUTS = ("feature", "threshold", "child", "mass", "leaf_mass")
_ROOT, _LEAVES, _NODE_MARK, _LEAF_MARK = _core.ROOT, _core.LEAVES, _core.NODE_MARK, _core.LEAF_MARK
_NOBODY, _FREE = -1, -2
_MOST_BYTES = 1 << 26  # of columns that no file has, beside a thousand times what it has: one number a tree and feature
_NO_POINT = 0  # what leaves point at: the one row of the store, which is never read


class ImportedForest(Forest):
    """Cuts and masses of isolation trees, in the columns of a forest that keeps no points.

    The nodes of a tree are numbered from its root, parents before children, and leaves from 0; the columns
    ``points``, ``rate``, ``leaf_point`` and ``rng`` mean nothing here, and ``time`` only numbers the cuts, so that
    rows with missing values take ways of their own through each tree.

    Parameters
    ----------
    n_features : int
    sample_size : int
        c(sample_size) normalises depths, however many points a tree holds.
    n_leaves : ndarray (n_trees,), int32
    cuts : dict of ndarray
        ``feature`` (n_trees, k) int32, ``threshold`` (n_trees, k) float32 or float64, ``child`` (n_trees, k, 2) int32
        (a node, or ~leaf), ``mass`` (n_trees, k) and ``leaf_mass`` (n_trees, k) float64. Copied, and trusted in
        nothing.

    Raises
    ------
    ValueError
        The columns do not describe trees.
    """

    learns = False

    def __init__(self, n_features: int, sample_size: int, n_leaves: np.ndarray, cuts: dict[str, np.ndarray]) -> None:
        _check_shapes(n_features, sample_size, n_leaves, cuts)
        n_trees, capacity = cuts["feature"].shape
        states = np.ones((n_trees, 4), np.uint64)
        super().__init__(n_features, cuts["threshold"].dtype, states, capacity, 1, boxes=False)
        self.sample_size = sample_size
        for name in _CUTS:
            self.columns[name][...] = cuts[name]
        # Spread over the leading bits, which the ways are drawn from.
        self.columns["time"][...] = np.random.RandomState(0).uniform(1.0, 2.0, (n_trees, capacity))
        header = self.columns["header"]
        header[:, _ROOT] = np.where(n_leaves > 1, 0, ~0)
        header[:, _LEAVES] = header[:, _LEAF_MARK] = n_leaves
        header[:, _NODE_MARK] = n_leaves - 1
        used = np.arange(capacity) < n_leaves[:, None]
        self.columns["leaf_point"][...] = np.where(used, _NO_POINT, _FREE)
        self.check()
        self._link_parents()

    def _link_parents(self) -> None:
        for parent in ("parent", "leaf_parent"):
            self.columns[parent][...] = _NOBODY
        tree, node, side = np.nonzero(np.broadcast_to(self._live_nodes()[:, :, None], self.columns["child"].shape))
        child = self.columns["child"][tree, node, side]
        inner = child >= 0
        self.columns["parent"][tree[inner], child[inner]] = node[inner]
        self.columns["leaf_parent"][tree[~inner], ~child[~inner]] = node[~inner]

    def _live_nodes(self) -> np.ndarray:
        return np.arange(self.columns["feature"].shape[1]) < self.columns["header"][:, _NODE_MARK, None]

    # -- what depths need --------------------------------------------------------------------------

    def depths(self, X: np.ndarray, score: str, n_threads: int = 1) -> tuple[np.ndarray, float]:
        """Return each row's mean depth over the trees, and c(sample_size)."""
        if score != "depth":
            self._refuse(f"score={score!r}")
        return super().depths(X, score, n_threads)[0], _core.hidden_depth(self.sample_size)

    def info(self) -> dict[str, Any]:
        """Return what the forest holds: no points."""
        return {**super().info(), "scale": None, "points_stored": 0}

    def check(self, n_threads: int = 1) -> None:
        """Raise ValueError if the columns do not describe trees; nothing else may be walked."""
        child, header = self.columns["child"], self.columns["header"]
        live, used = self._live_nodes(), self._live_leaves()
        tree, node = np.nonzero(live)
        for side in (0, 1):  # parents come before their children: there are no cycles
            to = child[tree, node, side]
            if not ((to > node) & (to < header[tree, _NODE_MARK]) | (to < 0) & (~to < header[tree, _LEAVES])).all():
                raise ValueError("damaged forest: a link leads out of its tree, or back")
        reached = np.zeros(child.shape[:2], np.int64), np.zeros(child.shape[:2], np.int64)
        for side in (0, 1):
            to = child[tree, node, side]
            np.add.at(reached[0], (tree[to >= 0], to[to >= 0]), 1)
            np.add.at(reached[1], (tree[to < 0], ~to[to < 0]), 1)
        reached[0][:, 0] += live[:, 0]
        reached[1][:, 0] += ~live[:, 0]
        if not (np.array_equal(reached[0], live) and np.array_equal(reached[1], used)):
            raise ValueError("damaged forest: nodes and leaves do not form one tree")
        feature, threshold = self.columns["feature"][live], self.columns["threshold"][live]
        if not ((feature >= 0) & (feature < self.n_features)).all() or np.isnan(threshold).any():
            raise ValueError("damaged forest: a cut has no feature, or no place")
        self._check_masses(tree, node, used)

    def _check_masses(self, tree: np.ndarray, node: np.ndarray, used: np.ndarray) -> None:
        leaf_mass, mass = self.columns["leaf_mass"], self.columns["mass"]
        if not ((leaf_mass[used] > 0) & np.isfinite(leaf_mass[used])).all():
            raise ValueError("damaged forest: a leaf weighs nothing")
        below = np.zeros(len(tree))
        for side in (0, 1):
            to = self.columns["child"][tree, node, side]
            below += np.where(to >= 0, mass[tree, np.maximum(to, 0)], leaf_mass[tree, np.maximum(~to, 0)])
        if not np.array_equal(below, mass[tree, node]):
            raise ValueError("damaged forest: masses do not add up")

    # -- what they do not --------------------------------------------------------------------------

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(SCORE_ONLY.format(what=what))

    def require_learning(self, what: str) -> None:
        """Raise ValueError: no point can be added or removed."""
        self._refuse(what)

    def ensure_boxes(self, n_threads: int) -> None:
        """Raise ValueError: nothing is known of boxes."""
        self._refuse("score='insertion'")

    def require_spaced(self) -> None:
        """Raise ValueError: no point is known to be usual."""
        self._refuse("score='spacing'")

    def learn(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ValueError: points cannot be added."""
        self._refuse("learning points")

    def holders(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ValueError: no point is held."""
        self._refuse("forgetting points")

    forget = forget_all = holders

    def stored_points(self) -> NoReturn:
        """Raise ValueError: no point is held."""
        self._refuse("listing points")

    # -- state -------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "n_features": self.n_features,
            "sample_size": self.sample_size,
            "n_leaves": self.n_leaves.copy(),
            "cuts": {name: self.columns[name] for name in _CUTS},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild from plain arrays, trusting none of them: ValueError names what is damaged."""
        try:
            if state["version"] != STATE_VERSION:
                raise ValueError(
                    f"this imported forest has state version {state['version']!r}; "
                    f"this imondrian reads version {STATE_VERSION}"
                )
            tables = (state[name] for name in ("n_features", "sample_size", "n_leaves", "cuts"))
            self.__init__(*tables)  # type: ignore[misc]
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"damaged forest: {type(error).__name__}: {error}") from None


def _check_shapes(n_features: int, sample_size: int, n_leaves: np.ndarray, cuts: dict[str, np.ndarray]) -> None:
    shape = cuts["feature"].shape
    if type(n_features) is not int or n_features < 1 or type(sample_size) is not int or sample_size < 1:
        raise ValueError(f"damaged forest: {n_features!r} features, samples of {sample_size!r} rows")
    if len(shape) and 8 * shape[0] * n_features > max(_MOST_BYTES, 1000 * sum(cut.nbytes for cut in cuts.values())):
        raise ValueError(f"damaged forest: {n_features} features for cuts of shape {shape}")
    if cuts.keys() != set(_CUTS) or len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"damaged forest: columns {sorted(cuts)} of {shape}")
    real = cuts["threshold"].dtype
    for name, cut in cuts.items():
        told = COLUMNS[name]
        if (
            cut.shape != told.shape(*shape, width=0, rows=0, window=0, bag=0)
            or cut.dtype != told.dtype(real)
            or real not in (np.float32, np.float64)
        ):
            raise ValueError(f"damaged forest: column {name!r} has {cut.dtype} {cut.shape}")
    if n_leaves.shape != shape[:1] or n_leaves.dtype != np.int32 or n_leaves.min() < 1 or n_leaves.max() > shape[1]:
        raise ValueError("damaged forest: a tree has no leaf, or more than there is room for")
