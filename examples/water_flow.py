"""
Odd stretches of a real series
==============================

The water flow through a pipe, hour by hour. The series comes with river (Tecnojest s.r.l., March to May 2022). Four
stretches of it are known to be anomalous: three times the flow is cut off and comes back, and once, for two hours, a
pump raises it by a tenth. Windows of four hours of two features, the flow and its change, go to a forest that scores
each before it learns it; an alarm filter calls some three hours in a hundred. The same forest also gets all windows at
once.

``python examples/water_flow.py [folder for the picture]``
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from river import datasets
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline

from imondrian import IsolationMondrianForest, Shingle
from imondrian.river import AlarmFilter, OnlineIsolationMondrianForest
from imondrian.river import Shingle as OnlineShingle

WIDTH = 4
RATE = 0.05
SCORE = "depth"  # odd stretches make runs of windows that resemble each other: depth sees such clusters best
WARM_UP = 60  # hours in which the stream's scores are not judged
# First and last hour of each stretch; the last hours are those of coming back to the usual flow.
KNOWN = {
    "cut off, 24 March": (93, 111),
    "cut off, 29 March": (211, 224),
    "pump, 3 April": (329, 330),
    "cut off, 27 April": (872, 888),
}


def features(flow: np.ndarray) -> np.ndarray:
    """Return the flow and its change since the hour before, (n, 2)."""
    return np.column_stack((flow, np.diff(flow, prepend=flow[0])))


def follow(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score every hour before learning it; return scores, p-values and alarms, (n,) each."""
    shingle, forest = OnlineShingle(WIDTH), OnlineIsolationMondrianForest(window="reservoir", score=SCORE, seed=0)
    # A short series: the level may adapt slowly. All is learnt: the flow must not stay odd for ever.
    alarm = AlarmFilter(forest, rate=RATE, step=0.001, protect_anomaly_detector=False)
    rows = []
    for value, change in features(flow).tolist():
        x = {"flow": value, "change": change}
        window = shingle.transform_one(x)
        score = alarm.score_one(window)
        rows.append((score, forest.p_value_one(window), alarm.classify(score)))
        shingle.learn_one(x)
        alarm.learn_one(window)
    scores, p_values, alarms = np.array(rows).T
    return scores, p_values, alarms.astype(bool)


def at_once(flow: np.ndarray) -> np.ndarray:
    """Score every hour's window in a forest fitted to all of them, (n - WIDTH + 1,); high is anomalous."""
    series = features(flow)
    pipeline = make_pipeline(Shingle(WIDTH), IsolationMondrianForest(score=SCORE, random_state=0))
    return -pipeline.fit(series).score_samples(series)


def draw(flow: np.ndarray, p_values: np.ndarray, alarms: np.ndarray, path: Path) -> None:
    """Draw the series with its known anomalies and alarms above the p-values."""
    hours = np.arange(len(flow))
    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 5), sharex=True, layout="constrained")
    above.plot(hours, flow, color="#33658a", linewidth=1)
    above.scatter(hours[alarms], flow[alarms], color="#d1495b", s=14, zorder=3, label="alarm")
    below.semilogy(hours, p_values, color="#33658a", linewidth=0.8)
    for axes in (above, below):
        for first, last in KNOWN.values():
            axes.axvspan(first - 0.5, last + 0.5, color="#edae49", alpha=0.35, linewidth=0)
    above.set(ylabel="flow, l/s", title="Water flow; known anomalies shaded")
    above.legend(loc="lower right", framealpha=0.9)
    below.set(xlabel="hour", ylabel="p-value before learning")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main(folder: Path) -> dict[str, float]:
    """Run the example; return its figures."""
    flow = np.array([value for _, value in datasets.WaterFlow()])
    truth = np.zeros(len(flow), bool)
    for first, last in KNOWN.values():
        truth[first : last + 1] = True

    scores, p_values, alarms = follow(flow)
    judged = slice(WARM_UP, None)
    figures = {
        "stream: ROC AUC": roc_auc_score(truth[judged], scores[judged]),
        "stream: average precision": average_precision_score(truth[judged], scores[judged]),
        "stream: share of alarms": alarms[WIDTH - 1 :].mean(),
        "at once: ROC AUC": roc_auc_score(truth[WIDTH - 1 :], at_once(flow)),
    }
    for name, (first, last) in KNOWN.items():
        # A window that reaches back into the stretch still tells of it.
        inside = np.flatnonzero(alarms[first : last + WIDTH])
        figures[f"{name}: hours until the alarm"] = inside[0] if len(inside) else np.nan
        rank = np.count_nonzero(scores[judged] > scores[first : last + WIDTH].max())
        figures[f"{name}: hours that score higher"] = rank
    draw(flow, p_values, alarms, folder / "water-flow.png")
    return {name: float(value) for name, value in figures.items()}


# %%
# The figures, and the picture
# ----------------------------
# "Hours that score higher" are those one would have to look at before the stretch: 0 is best.

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
    for name, value in main(folder).items():
        print(f"{name:42s} {value:.3f}")
    print(f"picture: {folder / 'water-flow.png'}")
