"""Detectors the forest is compared with, behind small interfaces. High scores mean anomalous here.

Batch: ``fit(X)``, ``scores(X)``. Incremental: also ``learn(X)``, which adds rows to what was learnt. Streaming:
``stream(X)``, which starts anew, scores each row and then learns it. A peer that is not installed is left
out of the tables (:func:`available`), never an error.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from imondrian import IsolationMondrianForest

N_TREES = 100


class Detector:
    """A scikit-learn style outlier detector with the sign turned."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: np.ndarray) -> Detector:
        """Forget everything and learn X."""
        with warnings.catch_warnings():
            # EllipticEnvelope warns of singular covariances where features are constant: its result stands.
            warnings.simplefilter("ignore")
            self.model.fit(X)
        return self

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Return the score of each row, (n,)."""
        return -self.model.score_samples(X)

    def learn(self, X: np.ndarray) -> None:
        """Learn X in addition."""
        self.model.partial_fit(X)

    def stream(self, X: np.ndarray) -> np.ndarray:
        """Start anew; score each row, then learn it; return the scores, (n,)."""
        raise NotImplementedError(f"{type(self.model).__name__} is no streaming detector")


class Refitted(Detector):
    """A batch detector refitted on all rows so far whenever rows are added."""

    def fit(self, X: np.ndarray) -> Detector:
        self.seen = X
        return super().fit(X)

    def learn(self, X: np.ndarray) -> None:
        self.fit(np.concatenate([self.seen, X]))


class IncrementalLof(Refitted):
    """Incremental LOF by refitting: Pokrajac et al. (2007) prove that their updates give exactly this result.

    Rows it has learnt get their own factor (they are not their own neighbours), as the algorithm keeps it.
    """

    def __init__(self, n_neighbors: int = 10) -> None:
        from sklearn.neighbors import LocalOutlierFactor

        self.make = partial(LocalOutlierFactor, n_neighbors=n_neighbors)
        super().__init__(self.make())

    def scores(self, X: np.ndarray) -> np.ndarray:
        if len(X) == len(self.seen) and np.array_equal(X, self.seen):
            return -self.model.negative_outlier_factor_
        return -self.make(novelty=True).fit(self.seen).score_samples(X)


class NearestNeighbours(Detector):
    """Distance to the nearest training rows, by brute force on standardised features: their mean, or the farthest."""

    def __init__(self, n_neighbors: int = 5, mean: bool = True) -> None:
        from sklearn.neighbors import NearestNeighbors
        from sklearn.preprocessing import StandardScaler

        self.scaler, self.model = StandardScaler(), NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute")
        self.mean = mean

    def fit(self, X: np.ndarray) -> Detector:
        self.model.fit(self.scaler.fit_transform(X))
        return self

    def scores(self, X: np.ndarray) -> np.ndarray:
        distances = self.model.kneighbors(self.scaler.transform(X))[0]
        return distances.mean(axis=1) if self.mean else distances[:, -1]


class Pyod(Detector):
    """A detector of pyod, whose decision function is high for anomalies."""

    def scores(self, X: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.model.decision_function(X)


class Isotree(Detector):
    """isotree's forests: already high for anomalies."""

    def scores(self, X: np.ndarray) -> np.ndarray:
        return self.model.decision_function(X)


class River(Detector):
    """A river detector fed one dict at a time; ``make()`` returns a fresh pipeline."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def fit(self, X: np.ndarray) -> Detector:
        self.model = self.make()
        self.learn(X)
        return self

    def learn(self, X: np.ndarray) -> None:
        for row in X.tolist():
            self.model.learn_one(dict(enumerate(row)))

    def scores(self, X: np.ndarray) -> np.ndarray:
        return np.array([self.model.score_one(dict(enumerate(row))) for row in X.tolist()])

    def stream(self, X: np.ndarray) -> np.ndarray:
        model, scores = self.make(), []
        for row in X.tolist():
            x = dict(enumerate(row))
            scores.append(model.score_one(x))
            model.learn_one(x)
        return np.array(scores)


class Rcf3(Detector):
    """A streaming detector of rcf3, fed one list at a time."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def fit(self, X: np.ndarray) -> Detector:
        self.model = self.make(X.shape[1])
        self.learn(X)
        return self

    def learn(self, X: np.ndarray) -> None:
        for row in X.tolist():
            self.model.update(row)

    def scores(self, X: np.ndarray) -> np.ndarray:
        return np.array([self.model.score(row) for row in X.tolist()])

    def stream(self, X: np.ndarray) -> np.ndarray:
        model, scores = self.make(X.shape[1]), []
        for row in X.tolist():
            scores.append(model.score(row))
            model.update(row)
        return np.array(scores)


class Online(Detector):
    """Our streaming detector, by its one-pass call for arrays."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def stream(self, X: np.ndarray) -> np.ndarray:
        model = self.make()
        return np.concatenate([model.score_learn_many(X[begin : begin + 256]) for begin in range(0, len(X), 256)])


# -- makers: name -> (module it needs, maker taking a seed) ---------------------------------------------


class Entry(NamedTuple):
    """How to make a detector: the module it needs beside ours, and ``make(seed)``."""

    needs: str
    make: Callable[[int], Detector]


def _ours(seed: int, **params: Any) -> Detector:
    return Detector(IsolationMondrianForest(N_TREES, random_state=seed, **params))


def _online(seed: int, n_trees: int = N_TREES, **params: Any) -> Detector:
    from imondrian.river import OnlineIsolationMondrianForest

    return Online(lambda: OnlineIsolationMondrianForest(n_trees, seed=seed, **params))


def _isolation_forest(seed: int) -> Detector:
    from sklearn.ensemble import IsolationForest

    return Detector(IsolationForest(n_estimators=N_TREES, random_state=seed))


def _one_class_svm(seed: int) -> Detector:
    from sklearn.svm import OneClassSVM

    return Detector(OneClassSVM())


def _lof(seed: int) -> Detector:
    from sklearn.neighbors import LocalOutlierFactor

    return Detector(LocalOutlierFactor(n_neighbors=10, novelty=True))


def _elliptic_envelope(seed: int) -> Detector:
    from sklearn.covariance import EllipticEnvelope

    return Detector(EllipticEnvelope(random_state=seed))


def _fair_cut(seed: int) -> Detector:
    from isotree import IsolationForest

    # isotree's own settings for the fair-cut forest, from its documentation.
    return Isotree(
        IsolationForest(
            ndim=2,
            sample_size=256,
            max_depth=None,
            ntrees=200,
            ntry=1,
            missing_action="fail",
            coefs="normal",
            prob_pick_pooled_gain=1,
            random_seed=seed + 1,
            nthreads=1,
        )
    )


def _aderh(seed: int) -> Detector:
    from aderh import ADERH

    return Pyod(ADERH(random_state=seed))


def _pyod(seed: int, module: str, name: str, seeded: bool = False) -> Detector:
    model = getattr(importlib.import_module(f"pyod.models.{module}"), name)
    return Pyod(model(random_state=seed) if seeded else model())


def _half_space_trees(seed: int, n_trees: int = 25, height: int = 8) -> Detector:
    from river import anomaly, compose, preprocessing

    return River(
        lambda: compose.Pipeline(
            preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(n_trees=n_trees, height=height, seed=seed)
        )
    )


def _online_iforest(seed: int) -> Detector:
    import rcf3

    return Rcf3(lambda d: rcf3.OnlineIForest(d, num_trees=N_TREES, seed=seed))


def _random_cut_forest(seed: int) -> Detector:
    import rcf3

    return Rcf3(lambda d: rcf3.Forest(d, num_trees=N_TREES, capacity=256, seed=seed))


def _loda(seed: int) -> Detector:
    from river import anomaly

    return River(lambda: anomaly.LODA(seed=seed))


OURS: dict[str, Entry] = {
    "ours, default": Entry("imondrian", partial(_ours, score="default")),
    "ours, depth": Entry("imondrian", partial(_ours, score="depth")),
    "ours, insertion": Entry("imondrian", partial(_ours, score="insertion")),
}
PAPER_PEERS: dict[str, Entry] = {
    "IsolationForest": Entry("sklearn", _isolation_forest),
    "OneClassSVM": Entry("sklearn", _one_class_svm),
    "LOF(10)": Entry("sklearn", _lof),
    "EllipticEnvelope": Entry("sklearn", _elliptic_envelope),
}
BATCH: dict[str, Entry] = {**OURS, **PAPER_PEERS}
ADBENCH: dict[str, Entry] = {
    **OURS,
    "IsolationForest": PAPER_PEERS["IsolationForest"],
    "isotree FCF": Entry("isotree", _fair_cut),
    "ADERH": Entry("aderh", _aderh),
    "INNE": Entry("pyod", partial(_pyod, module="inne", name="INNE", seeded=True)),
    "ECOD": Entry("pyod", partial(_pyod, module="ecod", name="ECOD")),
    "COPOD": Entry("pyod", partial(_pyod, module="copod", name="COPOD")),
    "kNN": Entry("pyod", partial(_pyod, module="knn", name="KNN")),
    "LOF(10)": PAPER_PEERS["LOF(10)"],
}
EMBEDDINGS: dict[str, Entry] = {
    **OURS,
    "IsolationForest": PAPER_PEERS["IsolationForest"],
    "kNN(5), mean": Entry("sklearn", lambda seed: NearestNeighbours()),
    "kNN(5), farthest": Entry("sklearn", lambda seed: NearestNeighbours(mean=False)),
    "kNN(1)": Entry("sklearn", lambda seed: NearestNeighbours(1)),
}
ONLINE: dict[str, Entry] = {
    **OURS,
    "ours, insertion, reservoir": Entry("imondrian", partial(_ours, score="insertion", window="reservoir")),
    "HalfSpaceTrees(25, 8)": Entry("river", _half_space_trees),
    "OnlineIForest(100)": Entry("rcf3", _online_iforest),
    "incremental LOF(10)": Entry("sklearn", lambda seed: IncrementalLof()),
    "IsolationForest, refitted": Entry("sklearn", lambda seed: Refitted(_isolation_forest(seed).model)),
}
STREAM: dict[str, Entry] = {
    "ours": Entry("river", _online),
    "ours, spacing": Entry("river", partial(_online, score="spacing")),
    "ours, insertion": Entry("river", partial(_online, score="insertion")),
    "ours, horizon 1,024": Entry("river", partial(_online, horizon=1024)),
    "ours, reservoir": Entry("river", partial(_online, window="reservoir")),
    "ours, window 256": Entry("river", partial(_online, window=256)),
    "OnlineIForest(100)": ONLINE["OnlineIForest(100)"],
    "rcf3 Forest(100)": Entry("rcf3", _random_cut_forest),
    "HalfSpaceTrees(25, 8)": ONLINE["HalfSpaceTrees(25, 8)"],
    "LODA": Entry("river", _loda),
}


def available(entries: dict[str, Entry], names: Iterable[str] | None = None) -> tuple[dict[str, Entry], list[str]]:
    """Return the entries (of those named, if any) whose modules are installed, and what the others lack.

    Raises
    ------
    ValueError
        A name is not among the entries.
    """
    names = list(entries) if names is None else list(names)
    for name in names:
        if name not in entries:
            raise ValueError(f"no detector named {name!r}; there are {'; '.join(entries)}")
    found = {name: entries[name] for name in names if importlib.util.find_spec(entries[name].needs)}
    return found, [f"{name} (needs {entries[name].needs})" for name in names if name not in found]
