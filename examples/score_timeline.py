"""
A stream's scores, and the alarms among them
============================================

The first 5,000 points of the Statlog Shuttle stream, which comes with river: each point is scored, then learnt. The
alarm filter keeps the rate that was asked for, whatever the scores look like; rings mark what it called.
"""

import matplotlib.pyplot as plt
import numpy as np
from river import datasets

from imondrian.plot import score_timeline
from imondrian.river import AlarmFilter, OnlineIsolationMondrianForest

RATE = 0.05

model = AlarmFilter(OnlineIsolationMondrianForest(seed=0), rate=RATE)
scores, alarms, truth = [], [], []
for x, anomalous in datasets.Shuttle().take(5_000):
    score = model.score_one(x)
    scores.append(score)
    alarms.append(model.classify(score))
    truth.append(bool(anomalous))
    model.learn_one(x)
alarms, truth = np.array(alarms), np.array(truth)

# %%
# About one point in twenty is an alarm, as asked for. The stream holds more anomalies than that, so some go without.

print(f"alarms: {alarms.mean():.1%} of the points, {truth[alarms].mean():.0%} of them true anomalies")
print(f"true anomalies: {truth.mean():.1%} of the points, {alarms[truth].mean():.0%} of them called")

ax = score_timeline(scores, truth, alarms=alarms)
ax.set_title(f"Statlog Shuttle, alarms at a rate of {RATE:.0%}", loc="left")
plt.show()
