"""What a person said of points, and how it changes the scores of others.

A verdict says that a point is normal (1) or an anomaly (-1). With s the forest's score in [0, 1], the score becomes::

    logit s'(x) = logit s(x) + sum over verdicts v of b_v k(x, v)

k(x, v) is the share of trees in which x and v are in the same cell, a cell being the first node on the way down that
holds at most 8 points. The weights b solve (K + 0.1 I) b = r, with K the verdicts' own similarities, and r what each
verdict's point lacks: its logit is wanted at 3 for an anomaly, at -3 for a normal one. So this is kernel ridge
regression of the residuals, or the mean of a Gaussian process whose prior is the forest. It is a function of the forest
and of the *set* of verdicts: their order and history mean nothing, and withdrawing one is exact.

The cuts above the verdicts' cells are copied when verdicts change: a stream that goes on costs one walk down them a
point, and what was said of a place stays said of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from imondrian._conformal.conformal import stored
from imondrian._forest.forest import Forest, sum_values

NORMAL, ANOMALY = 1, -1
MOST_VERDICTS = 1024  # the oldest go: solving for the weights takes their cube
_CELL_MASS = 8.0
_WANTED = 3.0  # logit of a score
_RIDGE = 0.1
_LEAST = 2.0**-60  # a score nearer to 0 or 1 than this counts as if it were as near
_CUTS: dict[str, tuple[Any, int]] = {
    "root": (np.int32, 1),
    "feature": (np.int32, 1),
    "threshold": (np.float64, 1),
    "child": (np.int32, 2),
    "heavier": (np.uint8, 1),
    "value": (np.float64, 1),
}


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Verdicts on points, and what they add to scores. Nothing changes one: others are made.

    Attributes
    ----------
    rows : ndarray (m, d)
        Distinct, in the order of their verdicts; NaN where a value is missing.
    verdict : ndarray (m,), int32
    cuts : dict of ndarray
        The cuts above the rows' cells in all trees, and what each cell adds: see ``native/score/cells.hpp``.
    """

    rows: np.ndarray
    verdict: np.ndarray
    cuts: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.rows.nbytes + self.verdict.nbytes + sum(column.nbytes for column in self.cuts.values())

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {key: place for place, key in enumerate(_keys(self.rows))}

    def speaks_of(self, row: np.ndarray) -> bool:
        """Return whether there is a verdict on a row, (1, d)."""
        return _keys(row)[0] in self._places

    # -- others from this one ----------------------------------------------------------------------

    def moved(self, places: np.ndarray, n_features: int) -> Verdicts | None:
        """Return these for a forest whose features have gone to other places (-1: away), among ``n_features``.

        Of verdicts on points that differed in what is away alone the last is left, none where no value is; None if no
        verdict is left.
        """
        rows = np.full((len(self), n_features), np.nan, self.rows.dtype)
        kept = places >= 0
        rows[:, places[kept]] = self.rows[:, kept]
        last = {key: which for which, key in enumerate(_keys(rows))}
        left = [which for which in sorted(last.values()) if not np.isnan(rows[which]).all()]
        if not left:
            return None
        feature = self.cuts["feature"]
        cuts = {**self.cuts, "feature": np.where(feature < 0, np.int32(-1), places[feature])}
        return Verdicts(rows[left], self.verdict[left], cuts)

    # -- scores ------------------------------------------------------------------------------------

    def shifts(self, rows: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return what the verdicts add to the logit of each row's score, (n,)."""
        return sum_values(self.cuts, rows, n_threads)

    def adjust(self, rows: np.ndarray, scores: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return the scores of rows with the verdicts heard; rows that none is near keep theirs to the bit."""
        shift = self.shifts(rows, n_threads)
        return np.where(shift == 0.0, scores, scores / (scores + (1.0 - scores) * np.exp(-shift)))

    # -- state -------------------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the state as plain arrays, for storing."""
        return {"rows": self.rows, "verdict": self.verdict, **self.cuts}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], n_features: int, n_trees: int, dtype: Any) -> Self:
        """Rebuild from ``to_arrays()`` of such a forest; ValueError names what is damaged."""
        rows, verdict = stored(arrays, "rows", dtype, 2), stored(arrays, "verdict", np.int32, 1)
        cuts = {name: stored(arrays, name, kind, axes) for name, (kind, axes) in _CUTS.items()}
        found = cls(rows, verdict, cuts)
        if (
            arrays.keys() != {"rows", "verdict", *_CUTS}
            or rows.shape != (len(verdict), n_features)
            or not 0 < len(verdict) <= MOST_VERDICTS
            or np.isinf(rows).any()
            or not np.isin(verdict, (NORMAL, ANOMALY)).all()
            or len(found._places) < len(rows)
        ):
            raise ValueError("damaged verdicts: they do not fit the forest, or each other")
        _check_cuts(cuts, n_features, n_trees)
        return found


def nbytes_of(verdicts: Verdicts | None) -> int:
    """Return the bytes of verdicts, if there are any."""
    return 0 if verdicts is None else verdicts.nbytes


def require_cpu(verdicts: Verdicts | None) -> None:
    """Raise ValueError where rows on a device would be scored without the verdicts."""
    if verdicts is not None:
        raise ValueError(
            f"X is on a CUDA device, where scores know nothing of the {len(verdicts)} verdicts given: pass an "
            "array of NumPy, or withdraw them"
        )


def said_of(verdicts: Verdicts | None, rows: np.ndarray) -> list[str]:
    """Return for each row, as the end of a sentence, whether verdicts raise or lower its score; else nothing."""
    if verdicts is None:
        return [""] * len(rows)
    words = {1: "; verdicts near it raise its score", -1: "; verdicts near it lower its score", 0: ""}
    return [words[int(sign)] for sign in np.sign(verdicts.shifts(rows))]


def verdicts_given(
    forest: Forest, score: str, before: Verdicts | None, rows: np.ndarray, verdict: np.ndarray, n_threads: int = 1
) -> Verdicts:
    """Return the verdicts before and those on rows, (n,) of 1 and -1; the last one on a point counts."""
    if not _holds_points(forest):
        raise ValueError("X cannot be judged: the forest holds no points any more")
    if np.isnan(rows).all(axis=1).any():
        raise ValueError("a verdict must be on a point that has a value")
    known = _as_dict(before)
    for row, key, each in zip(rows, _keys(rows), verdict.tolist(), strict=True):
        known.pop(key, None)
        known[key] = (row, each)
    found = _of_dict(forest, score, known, n_threads)
    assert found is not None or not len(rows)
    return found  # type: ignore[return-value]


def verdicts_withdrawn(
    forest: Forest, score: str, before: Verdicts | None, rows: np.ndarray, missing_ok: bool, n_threads: int = 1
) -> Verdicts | None:
    """Return the verdicts without those on rows; None if no others are left, or the forest is empty by now.

    Unless ``missing_ok``, ValueError if there is none on some row.
    """
    known, keys = _as_dict(before), _keys(rows)
    absent = [place for place, key in enumerate(keys) if key not in known]
    if absent and not missing_ok:
        raise ValueError(
            f"X must hold points that a verdict was given on: {len(absent)} of {len(rows)} not found, the first of "
            f"them row {absent[0]}; no verdict was withdrawn"
        )
    if before is None or len(absent) == len(rows):
        return before
    for key in keys:
        known.pop(key, None)
    return _of_dict(forest, score, known, n_threads)


def verdicts_of(y: Any, n: int) -> np.ndarray:
    """Return y as (n,) of 1 and -1, int32; ValueError or TypeError for anything else."""
    found = np.asarray(y)
    if found.shape != (n,):
        raise ValueError(f"y must have shape ({n},), a verdict a row, got {found.shape}")
    if found.dtype == bool or any(isinstance(each, bool | np.bool_) for each in found.tolist()):
        raise TypeError("y must hold 1 (normal) and -1 (anomaly), got bool")
    strange = [each for each in found.tolist() if each not in (NORMAL, ANOMALY)]
    if strange:
        raise ValueError(f"y must hold 1 (normal) and -1 (anomaly), got {strange[0]!r:.80}")
    return found.astype(np.int32)


# -- how they are found ----------------------------------------------------------------------------


def _keys(rows: np.ndarray) -> list[bytes]:
    """Return for each row what equal rows have in common; missing values are equal, and so are 0 and -0."""
    same = np.where(np.isnan(rows), np.array(np.nan, rows.dtype), rows + rows.dtype.type(0))
    return [row.tobytes() for row in same]


def _as_dict(verdicts: Verdicts | None) -> dict[bytes, tuple[np.ndarray, int]]:
    if verdicts is None:
        return {}
    return dict(zip(verdicts._places, zip(verdicts.rows, verdicts.verdict.tolist(), strict=True), strict=True))


def _of_dict(forest: Forest, score: str, known: dict[bytes, tuple[np.ndarray, int]], n_threads: int) -> Verdicts | None:
    if not known or not _holds_points(forest):
        return None
    last = list(known.values())[-MOST_VERDICTS:]
    rows, verdict = np.array([row for row, _ in last]), np.array([each for _, each in last], np.int32)
    scores = np.clip(forest.scores(rows, score, n_threads), _LEAST, 1.0 - _LEAST)
    cells = forest.cells(rows, _CELL_MASS)
    similarity = np.zeros((len(rows), len(rows)))
    for column in cells.T:
        similarity += column[:, None] == column
    similarity /= cells.shape[1]
    lacking = -_WANTED * verdict - np.log(scores / (1.0 - scores))
    weight = np.linalg.solve(similarity + _RIDGE * np.eye(len(rows)), lacking)
    return Verdicts(rows, verdict, _cuts_above(forest, cells, weight / cells.shape[1]))


def _holds_points(forest: Forest) -> bool:
    """Return whether every tree does."""
    return bool((forest.columns["header"][:, 1] > 0).all())


def _cuts_above(forest: Forest, cells: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Return the cuts above cells (m, n_trees), and as leaves what the cells add, which weigh (m,) each."""
    columns, n_trees = forest.columns, cells.shape[1]
    tree = np.broadcast_to(np.arange(n_trees), cells.shape).ravel()
    pairs, which = np.unique(np.column_stack((tree, cells.ravel())), axis=0, return_inverse=True)
    value = np.append(0.0, np.bincount(which.ravel(), np.repeat(weight, n_trees), len(pairs)))
    # Slots of nodes, then those of leaves: the value's place, 0 for all that is no cell.
    capacity = columns["feature"].shape[1]
    place = np.zeros((n_trees, 2 * capacity), np.int32)
    place[pairs[:, 0], _slot(pairs[:, 1], capacity)] = np.arange(1, len(value))

    root, above = columns["header"][:, 0], _above(columns, *pairs.T)
    t, v = _level_by_level(columns, above)
    number = np.zeros((n_trees, capacity), np.int32)
    number[t, v] = np.arange(len(t))

    def named(of: np.ndarray, to: np.ndarray) -> np.ndarray:
        inner = (to >= 0) & above[of, np.maximum(to, 0)]
        return np.where(inner, number[of, np.maximum(to, 0)], ~place[of, _slot(to, capacity)]).astype(np.int32)

    child = columns["child"][t, v].reshape(-1, 2)
    mass = np.where(
        child < 0,
        columns["leaf_mass"][t[:, None], np.where(child < 0, ~child, 0)],
        columns["mass"][t[:, None], np.maximum(child, 0)],
    )
    return {
        "root": named(np.arange(n_trees), root),
        "feature": columns["feature"][t, v],
        "threshold": columns["threshold"][t, v].astype(np.float64),
        "child": np.column_stack([named(t, child[:, side]) for side in (0, 1)]),
        "heavier": (mass[:, 1] > mass[:, 0]).astype(np.uint8),
        "value": value,
    }


def _above(columns: dict[str, np.ndarray], t: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return whether nodes (n_trees, capacity) are above any of the cells v of the trees t."""
    above = np.zeros(columns["feature"].shape, bool)
    v = np.where(v < 0, columns["leaf_parent"][t, np.where(v < 0, ~v, 0)], columns["parent"][t, np.where(v < 0, 0, v)])
    while len(v := v[climbing := (v >= 0)]):
        t = t[climbing]
        fresh = ~above[t, v]
        t, v = t[fresh], v[fresh]
        above[t, v] = True
        v = columns["parent"][t, v]
    return above


def _level_by_level(columns: dict[str, np.ndarray], above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return trees and nodes of those that are ``above``, so that parents come first."""
    root = columns["header"][:, 0]
    t = np.flatnonzero((root >= 0) & above[np.arange(len(root)), np.maximum(root, 0)])
    levels = [(t, root[t])]
    while len(levels[-1][0]):
        t, v = levels[-1]
        below, of = columns["child"][t, v].ravel(), np.repeat(t, 2)
        inner = (below >= 0) & above[of, np.maximum(below, 0)]
        levels.append((of[inner], below[inner]))
    t, v = (np.concatenate(side) for side in zip(*levels, strict=True))
    return t, v


def _slot(v: np.ndarray, capacity: int) -> np.ndarray:
    return np.where(v < 0, capacity + ~v, v)


def _check_cuts(cuts: dict[str, np.ndarray], n_features: int, n_trees: int) -> None:
    """Raise ValueError unless walks down the cuts end: what comes from a file is trusted in nothing."""
    k, root, child, value = len(cuts["feature"]), cuts["root"], cuts["child"], cuts["value"]
    fits = (
        len(root) == n_trees
        and len(value) > 0
        and child.shape == (k, 2)
        and len(cuts["threshold"]) == len(cuts["heavier"]) == k
        and np.isfinite(value).all()
        and np.isfinite(cuts["threshold"]).all()
        and (cuts["heavier"] <= 1).all()
        and ((cuts["feature"] >= -1) & (cuts["feature"] < n_features)).all()
    )
    if fits:
        after = np.concatenate((np.full(n_trees, -1), np.repeat(np.arange(k), 2)))
        to = np.concatenate((root, child.ravel()))
        fits = (np.where(to < 0, ~to < len(value), (to > after) & (to < k))).all()
    if not fits:
        raise ValueError("damaged verdicts: their cuts do not form trees")
