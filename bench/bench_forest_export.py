"""Time one fitted IsolationForest in every runtime it can be taken to: scikit-learn, imondrian, onnxruntime, treelite.

    pytest bench/bench_forest_export.py --benchmark-enable --benchmark-json export.json
    python bench/report.py export.json

scikit-learn's model of 100 trees of 256 points is taken over by imondrian, and exported from there. All score the same
100,000 x 10 float32 rows, and every score is compared with scikit-learn's before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from forest_data import planted
from forest_timing import label, measure, need
from sklearn.ensemble import IsolationForest

from imondrian import IsolationMondrianForest

Scorer = Callable[[np.ndarray], np.ndarray]


class Given(NamedTuple):
    """The model, the rows, and what it makes of them."""

    model: IsolationForest
    X: np.ndarray
    scores: np.ndarray


def _imondrian(model: IsolationForest, n_threads: int) -> Scorer:
    return IsolationMondrianForest.from_isolation_forest(model).set_params(n_jobs=n_threads).score_samples


def _sklearn(model: IsolationForest, n_threads: int) -> Scorer:
    import joblib

    def scores(X: np.ndarray) -> np.ndarray:
        with joblib.parallel_backend("threading", n_jobs=n_threads):
            return model.score_samples(X)

    return scores


def _onnxruntime(model: IsolationForest, n_threads: int) -> Scorer:
    import onnxruntime

    from imondrian.export import to_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    exported = to_onnx(IsolationMondrianForest.from_isolation_forest(model)).SerializeToString()
    session = onnxruntime.InferenceSession(exported, options)
    return lambda X: session.run(["score_samples"], {"X": X})[0]


def _treelite(model: IsolationForest, n_threads: int) -> Scorer:
    import treelite

    from imondrian.export import to_treelite

    exported = to_treelite(IsolationMondrianForest.from_isolation_forest(model))
    return lambda X: -treelite.gtil.predict(exported, X, nthread=n_threads).ravel()


RUNTIMES: dict[str, tuple[str, Callable[[IsolationForest, int], Scorer]]] = {
    "imondrian": ("imondrian", _imondrian),
    "scikit-learn": ("sklearn", _sklearn),
    "onnxruntime": ("onnxruntime", _onnxruntime),
    "treelite's reference": ("treelite", _treelite),
}


@pytest.fixture(scope="module")
def given(timed: bool) -> Given:
    X = planted(100_000 if timed else 500, 10).X.astype(np.float32)
    model = IsolationForest(n_estimators=100, max_samples=256, random_state=0).fit(X)
    return Given(model, X, model.score_samples(X))


@pytest.mark.parametrize("n_threads", [1, 2], ids="{}t".format)
@pytest.mark.parametrize("name", RUNTIMES)
def test_score(benchmark: Any, given: Given, name: str, n_threads: int) -> None:
    module, make = RUNTIMES[name]
    need(module)
    threads = "1 thread" if n_threads == 1 else f"{n_threads} threads"
    label(
        benchmark,
        f"an IsolationForest taken over: score {len(given.X):,} x 10, 100 trees x 256, {threads}",
        name,
        len(given.X),
    )
    scores = make(given.model, n_threads)
    np.testing.assert_allclose(scores(given.X), given.scores, rtol=1e-12)
    measure(benchmark, scores, given.X, rounds=5)
