"""Helpers of the forest's timing benchmarks: one naming scheme, and no timing of a wrong answer."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score


def need(module: str) -> None:
    """Skip, saying what is missing, where a peer is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module} (pip install 'imondrian[peers]')")


def label(benchmark: Any, workload: str, library: str, n_items: int, **extra: Any) -> None:
    """Set the group (workload) and what the report reads: library, items a call, and other facts."""
    benchmark.group = workload
    benchmark.extra_info.update({"library": library, "items": n_items, **extra})


def check_scores(benchmark: Any, y: np.ndarray, scores: np.ndarray, least_auc: float) -> None:
    """Record ROC-AUC and average precision; fail where scores are not finite or below ``least_auc``."""
    scores = np.asarray(scores, dtype=np.float64)
    assert scores.shape == y.shape, f"{scores.shape} scores for {y.shape} labels"
    assert np.isfinite(scores).all()
    auc, ap = roc_auc_score(y, scores), average_precision_score(y, scores)
    benchmark.extra_info.update({"auc": round(float(auc), 4), "ap": round(float(ap), 4)})
    assert auc > least_auc, f"AUC {auc:.3f}: the answer is wrong, its time means nothing"


def pickled_bytes(model: Any) -> int | None:
    """Return the size of the pickled model; None where it cannot be pickled."""
    try:
        return len(pickle.dumps(model, protocol=5))
    except (TypeError, pickle.PicklingError):
        return None


def measure(benchmark: Any, call: Callable[..., Any], *arguments: Any, rounds: int | None = None) -> Any:
    """Time the call: by calibration if short, else a fixed number of rounds."""
    if rounds is None:
        return benchmark(call, *arguments)
    return benchmark.pedantic(call, args=arguments, rounds=rounds, iterations=1, warmup_rounds=0)
