"""What the values of a label mean, and how well scores follow it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imondrian._cli import Failure

from .arrow_arrays import to_numpy
from .reading import as_text

_NORMAL = {"0", "false", "normal", "inlier", "benign", "ok", "good", "negative", "no", "n", "f", "nominal", "healthy"}
_ANOMALY = {
    "true",
    "anomaly",
    "anomalous",
    "outlier",
    "abnormal",
    "attack",
    "fraud",
    "malicious",
    "positive",
    "yes",
    "y",
    "t",
    "faulty",
    "failure",
}
_MOST = 254
_MISSING = 255


@dataclass
class Labels:
    """The labels of all rows, a byte each, and their distinct values as text."""

    column: str
    anomalies: tuple[str, ...]  # values that are said to mean anomalies
    values: dict[str, int] = field(default_factory=dict)
    codes: list[np.ndarray] = field(default_factory=list)

    def push(self, column: Any) -> None:
        """Add a batch of labels; Failure where there are too many values for a label."""
        # Of few values most often: each is turned into text once.
        coded = column.dictionary_encode() if not hasattr(column, "dictionary") else column
        numbers = []
        for value in as_text(coded.dictionary):
            text = "" if value is None else value.strip()
            if text and text not in self.values and len(self.values) == _MOST:
                raise Failure(f"the column {self.column!r} is no label: it has more than {_MOST} different values")
            numbers.append(self.values.setdefault(text, len(self.values)) if text else _MISSING)
        table = np.array([*numbers, _MISSING], np.uint8)
        places = to_numpy(coded.indices.fill_null(len(numbers)))
        self.codes.append(table[places])

    def meaning(self) -> tuple[str, str]:
        """Return the value that means an anomaly, or several, and in words how it is known."""
        values = sorted(self.values)
        if self.anomalies:
            if missing := [value for value in self.anomalies if value not in self.values]:
                raise Failure(f"the label {self.column!r} has no value {missing[0]!r}; it has {', '.join(values[:20])}")
            return ", ".join(self.anomalies), "as --anomaly says"
        if len(values) != 2:
            raise Failure(
                f"the label {self.column!r} must have two values, or --anomaly say which mean anomalies; it "
                f"has {len(values)}: {', '.join(values[:20])}"
            )
        if set(values) == {"-1", "1"}:
            return "-1", "as in scikit-learn"
        low = {value.lower(): value for value in values}
        for value in values:
            other = values[1] if value == values[0] else values[0]
            if value.lower() in _NORMAL and other.lower() not in _NORMAL:
                return other, f"{value} being normal"
        if len(named := [low[value] for value in low if value in _ANOMALY]) == 1:
            return named[0], "by its name"
        counts = np.bincount(np.concatenate(self.codes), minlength=_MISSING + 1)
        return min(values, key=lambda value: counts[self.values[value]]), "the rarer value"

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows are anomalies, and which have a label at all."""
        codes = np.concatenate(self.codes)
        named = self.anomalies or (self.meaning()[0],)
        return np.isin(codes, [self.values[value] for value in named]), codes != _MISSING

    def quality(self, scores: np.ndarray) -> dict[str, Any]:
        """Return ROC AUC and average precision of scores, high for anomalies, over the rows that have a label."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        anomalous, labelled = self.truth()
        anomalous, scores = anomalous[labelled], scores[labelled]
        if not 0 < anomalous.sum() < len(anomalous):
            raise Failure(f"the label {self.column!r} must have anomalies and others; all rows are of one kind")
        value, why = self.meaning()
        return {
            "label": self.column,
            "anomaly": value,
            "known": why,
            "labelled": len(anomalous),
            "anomalies": int(anomalous.sum()),
            "roc_auc": float(roc_auc_score(anomalous, scores)),
            "average_precision": float(average_precision_score(anomalous, scores)),
        }
