"""Forests and data on many machines, with Dask. The only module that imports it.

>>> import dask.array as da
>>> import imondrian.dask
>>> from imondrian import IsolationMondrianForest
>>> X = da.random.default_rng(0).normal(size=(100_000, 4), chunks=(10_000, 4))
>>> forest = imondrian.dask.fit(IsolationMondrianForest(random_state=0), X)
>>> scores = imondrian.dask.score_samples(forest, X)
>>> scores.chunks == X.chunks[:1]
True

What comes out is, to the last bit, what the forest's own methods make of ``X.compute()``, however X is cut into
partitions. :func:`fit` computes at once, as estimators do; everything else is lazy, as collections are.
"""

from __future__ import annotations

import pickle
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

try:
    import dask
    import dask.array as da
    from dask.delayed import Delayed
except ImportError as error:
    raise ImportError("imondrian.dask needs dask: pip install 'imondrian[dask]'") from error

from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from ._forest.rwlock import gate_of
from ._sklearn.estimator import IsolationMondrianForest
from ._sklearn.fitted import fit_remote

if TYPE_CHECKING:
    from ._forest.forest import Forest

__all__ = ["decision_function", "explain", "fit", "p_values", "predict", "score_samples"]

_FLOATS = [np.float64, np.float32]  # what a forest keeps; anything else becomes the first


def fit(forest: IsolationMondrianForest, X: Any, *, sample_weight: Any = None) -> IsolationMondrianForest:
    """Fit a forest to a Dask array or dataframe, where its partitions live: only the rows that trees draw travel.

    Parameters
    ----------
    forest : IsolationMondrianForest
        Fitted in place, as by its own ``fit``; what it learnt before is forgotten. It must have no ``window``.
    X : dask array (n_samples, n_features) or dask dataframe
        Arrays in chunks of whole rows. Chunks of unknown length are counted first.
    sample_weight : array-like or dask collection of shape (n_samples,), optional
        Non-negative; gathered, 8 bytes a row.

    Returns
    -------
    IsolationMondrianForest
        ``forest``: an ordinary one, which knows nothing of Dask.

    Raises
    ------
    TypeError
        ``forest`` or X is of another kind, or X holds what is no number.
    ValueError
        As for ``IsolationMondrianForest.fit``; a ``window``; chunks that cut rows; partitions of other dtypes or
        lengths than promised.
    ConnectionError
        The scheduler went away. Whatever the error, the forest stays as it was.

    Notes
    -----
    Equal to ``forest.fit(X.compute())`` for the same ``random_state``: each tree draws row numbers from its own
    generator, the partitions hand over those rows (at most ``n_estimators * max_samples``, and 1,024 for p-values),
    and the trees are grown here. Where the trees draw more rows than X has, X is gathered whole: the forest stores it
    all anyway. X is gone through once, and once before to count rows where lengths are unknown, and once after with
    ``contamination`` a share (the scores are gathered, 8 bytes a row); ``X.persist()`` first where it is dear to
    make. This machine needs n bytes beside that. n_samples may exceed 2**31.
    """
    if not isinstance(forest, IsolationMondrianForest):
        raise TypeError(f"forest must be an IsolationMondrianForest, got {type(forest).__name__}")
    asked = forest.categorical_features
    if asked is not None and not isinstance(asked, str) and np.size(asked):
        raise ValueError(
            f"categorical_features must be 'auto' or None to fit a collection, got {asked!r:.80}: categories are "
            "fitted in memory, as by forest.fit(X.sample(frac=0.1).compute())"
        )
    partitions = _Partitions(X)
    if dask.is_dask_collection(sample_weight):
        sample_weight = np.asarray(_compute([sample_weight])[0])
    fit_remote(forest, partitions, partitions.example, sample_weight)
    return forest


def score_samples(forest: IsolationMondrianForest, X: Any) -> Any:
    """Score rows lazily: in [-1, 0), low is abnormal.

    Parameters
    ----------
    forest : fitted IsolationMondrianForest
        As it is now: what it learns later does not reach the result. It is sent to each worker once.
    X : dask array (n_samples, n_features) or dask dataframe
        Of the features that the forest was fitted with; chunk lengths may be unknown.

    Returns
    -------
    dask array or dask series (n_samples,), float64
        In the chunks of X; for a dataframe with its index, named "score_samples".

    Raises
    ------
    NotFittedError, TypeError, ValueError
        At once for a bad forest or X; when computed for infinite values.

    Notes
    -----
    Equal to ``forest.score_samples(X.compute())``. Tasks use one thread each, whatever ``forest.n_jobs`` is: the
    workers' threads run them side by side.
    """
    return _each(forest, X, "score_samples")


def decision_function(forest: IsolationMondrianForest, X: Any) -> Any:
    """Return ``score_samples(forest, X) - forest.offset_``, lazily: negative for outliers."""
    return _each(forest, X, "decision_function")


def predict(forest: IsolationMondrianForest, X: Any) -> Any:
    """Return 1 for inliers and -1 for outliers, lazily, int64 (n_samples,)."""
    return _each(forest, X, "predict", np.int64)


def p_values(forest: IsolationMondrianForest, X: Any) -> Any:
    """Return the conformal p-value of each row, lazily, float64 (n_samples,): small is anomalous."""
    return _each(forest, X, "p_values")


def explain(forest: IsolationMondrianForest, X: Any, *, by_direction: bool = False) -> Any:
    """Return what each feature contributes to each row's score, lazily: **negative makes abnormal**.

    Parameters
    ----------
    forest, X
        As for :func:`score_samples`.
    by_direction : bool, default=False
        As for ``IsolationMondrianForest.explain``; for arrays only.

    Returns
    -------
    dask array (n_samples, n_features), float64, or (n_samples, n_features, 2); or a dask dataframe like X
    """
    snapshot = _snapshot(forest, X)
    if _is_array(X):
        rows, columns = X.chunks
        ends = {"new_axis": 2, "chunks": (rows, columns, (2,))} if by_direction else {"chunks": (rows, columns)}
        return X.map_blocks(
            _apply,
            snapshot,
            "explain",
            by_direction=by_direction,
            dtype=np.float64,
            meta=np.empty((0, 0, 0) if by_direction else (0, 0)),
            **ends,
        )
    if by_direction:
        raise ValueError(
            "by_direction must be False for a dataframe: a frame has no third axis; give X.to_dask_array()"
        )
    return X.map_partitions(_apply_frame, snapshot, "explain", meta=X._meta.astype(np.float64))


def _each(forest: IsolationMondrianForest, X: Any, method: str, dtype: Any = np.float64) -> Any:
    """Apply a method that gives one number a row to every partition."""
    snapshot = _snapshot(forest, X)
    if _is_array(X):
        return X.map_blocks(_apply, snapshot, method, drop_axis=1, dtype=dtype, meta=np.empty(0, dtype))
    meta = X._meta.iloc[:, 0].astype(dtype).rename(method)
    return X.map_partitions(_apply_frame, snapshot, method, meta=meta)


# -- on the workers ----------------------------------------------------------------------------------


def _apply(block: Any, forest: IsolationMondrianForest, method: str, **options: Any) -> np.ndarray:
    """Return what a method makes of one partition, which may be empty."""
    X = _rows(block, forest.forest_.dtype)
    if len(X):
        return getattr(forest, method)(X, **options)
    # One row tells shape and dtype.
    return getattr(forest, method)(np.zeros((1, forest.n_features_in_), X.dtype), **options)[:0]


def _apply_frame(part: Any, forest: IsolationMondrianForest, method: str) -> Any:
    """As ``_apply``, with the partition's index."""
    values = _apply(part, forest, method)
    if values.ndim == 1:
        return part.iloc[:, 0].__class__(values, index=part.index, name=method)
    return part.__class__(values, index=part.index, columns=part.columns)


def _rows(block: Any, dtype: Any) -> np.ndarray:
    """Return a partition as the estimator's own validation would."""
    with np.errstate(over="ignore", invalid="ignore"):
        return check_array(
            block, dtype=dtype, order="C", ensure_all_finite="allow-nan", ensure_min_samples=0, input_name="X"
        )


def _take(block: Any, rows: np.ndarray, n_rows: int, dtype: np.dtype, number: int) -> np.ndarray:
    """Return some rows of a partition, all of which are checked."""
    where = f"partition {number} of X"
    try:
        X = _rows(block, _FLOATS)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}: {error}") from None
    if len(X) != n_rows:
        raise ValueError(
            f"{where} must have {n_rows} rows, as when they were counted, got {len(X)}: "
            "persist X where it is not the same each time"
        )
    if len(X) and X.dtype != dtype:
        raise ValueError(f"{where} must hold {dtype}, as the collection promises, got {X.dtype}: give X.astype(...)")
    return X.take(rows, axis=0)


def _score(block: Any, forest: Forest, score: str) -> np.ndarray:
    X = _rows(block, forest.dtype)
    return forest.scores(X, score) if len(X) else np.empty(0)


# -- here --------------------------------------------------------------------------------------------


class _Partitions:
    """The partitions of a collection, as rows to fit."""

    def __init__(self, X: Any) -> None:
        self._X = X
        self.example = _example(X)
        self.dtype = _rows(self.example, _FLOATS).dtype
        self.n_features = self.example.shape[1]
        self._blocks: list[Delayed] = list(np.ravel(X.to_delayed()))

    @cached_property
    def _sizes(self) -> np.ndarray:
        return _lengths(self._X)  # perhaps at the price of computing X: not before the rest is found right

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        n = int(self._sizes.sum())
        if n == 0:
            raise ValueError("X must have at least one row, got none in all its partitions")
        return n

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by number, (m, d)."""
        ends = np.cumsum(self._sizes)
        cuts = np.searchsorted(rows, ends)
        begins = np.concatenate([[0], cuts[:-1]])
        take = dask.delayed(_take, pure=False)
        tasks = [
            take(block, rows[begin:cut] - (end - size), int(size), self.dtype, number)
            for number, (block, begin, cut, end, size) in enumerate(
                zip(self._blocks, begins, cuts, ends, self._sizes, strict=True)
            )
        ]
        return np.concatenate(_compute(tasks)).astype(self.dtype, copy=False)

    def scores(self, forest: Forest, score: str) -> np.ndarray:
        """Return the anomaly score of every row."""
        sent, task = _send(forest), dask.delayed(_score, pure=False)
        return np.concatenate(_compute([task(block, sent, score) for block in self._blocks]))


def _example(X: Any) -> Any:
    """Return two rows like those of X, checked: an array or a frame."""
    frames = sys.modules.get("dask.dataframe")
    if frames is not None and isinstance(X, frames.DataFrame):
        if X.shape[1] == 0:
            raise ValueError("X must have at least one feature, got a dataframe without columns")
        example = X._meta_nonempty
        strange = [f"{name!r} ({dtype})" for name, dtype in example.dtypes.items() if not _is_number(dtype)]
        if strange:
            raise TypeError(
                f"X must hold numbers, got {', '.join(strange[:5])}: leave such columns out, or convert them"
            )
        return example
    if not _is_array(X):
        advice = "the forest's own methods take what is in memory" if hasattr(X, "__array__") else "see dask.array"
        raise TypeError(f"X must be a dask array or dataframe, got {type(X).__name__}: {advice}")
    if X.ndim != 2:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.ndim} axes")
    if not isinstance(X._meta, np.ndarray):
        raise TypeError(f"X must be made of numpy arrays, got {type(X._meta).__name__}: convert it with map_blocks")
    if X.dtype.kind not in "biuf":
        raise TypeError(f"X must hold numbers, got dtype {X.dtype}: give X.astype(float)")
    if X.shape[1] == 0:
        raise ValueError(f"X must have at least one feature, got shape {X.shape}")
    if len(X.chunks[1]) != 1 or np.isnan(X.shape[1]):
        raise ValueError(
            f"X must be in chunks of whole rows, got its columns in chunks {X.chunks[1]}: give X.rechunk({{1: -1}})"
        )
    return np.ones((2, X.shape[1]), X.dtype)


def _is_array(X: Any) -> bool:
    return isinstance(X, da.Array)


def _is_number(dtype: Any) -> bool:
    from pandas.api.types import is_complex_dtype, is_numeric_dtype

    return bool(is_numeric_dtype(dtype)) and not is_complex_dtype(dtype)


def _lengths(X: Any) -> np.ndarray:
    """Return the length of each partition; counted where it is unknown."""
    if _is_array(X):
        if not any(np.isnan(size) for size in X.chunks[0]):
            return np.array(X.chunks[0], np.int64)
        blocks = np.ravel(X.to_delayed())
    else:
        blocks = X.iloc[:, :1].to_delayed()  # formats by column need not read the others
    return np.array(_compute([dask.delayed(len)(block) for block in blocks]), np.int64)


def _snapshot(forest: Any, X: Any) -> Delayed:
    """Return the forest as it is now, to be sent to workers, once X is found to fit it."""
    if not isinstance(forest, IsolationMondrianForest):
        raise TypeError(f"forest must be an IsolationMondrianForest, got {type(forest).__name__}")
    check_is_fitted(forest, "forest_")
    if forest.forest_.mixed:
        names = getattr(forest, "feature_names_in_", range(forest.n_features_in_))
        nominal = [names[j] for j in np.flatnonzero(forest.forest_.nominal)]
        raise TypeError(
            f"forest must be of numbers alone, {', '.join(map(repr, nominal[:8]))} are categories: "
            "X.map_partitions(lambda part: pandas.Series(forest.score_samples(part), part.index)) scores them"
        )
    validate_data(forest, _example(X), skip_check_array=True, reset=False)
    with gate_of(forest).reading:
        copy = pickle.loads(pickle.dumps(forest))
    copy.set_output(transform="default").n_jobs = None
    copy.__dict__.pop("feature_names_in_", None)  # partitions come as arrays, their names have been compared
    return _send(copy)


def _send(model: Any) -> Delayed:
    """Return a model as one task of the graph: every worker gets it once, and a lost one again."""
    return dask.delayed(model, name=f"forest-{dask.base.tokenize(pickle.dumps(model))}", traverse=False)


def _compute(tasks: list[Any]) -> list[Any]:
    try:
        return list(dask.compute(*tasks))
    except Exception as error:
        if _has_lost_cluster(error):
            raise ConnectionError(f"the Dask scheduler went away, nothing was fitted: {error}") from error
        raise


def _has_lost_cluster(error: Exception) -> bool:
    """Tell the end of a cluster from errors of tasks, which are the data's own."""
    # By name: it may be that only dask is installed, and releases of distributed differ in which of them there are.
    kind = type(error)
    return kind.__module__.partition(".")[0] == "distributed" and kind.__name__ in (
        "CommClosedError",
        "ClosedClientError",
        "FutureCancelledError",
    )


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
