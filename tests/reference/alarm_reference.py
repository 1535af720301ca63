"""The rule of alarms, written down as slowly and plainly as it is meant."""

from __future__ import annotations

import math


def p_value(past, score, usual=None):
    """Return the p-value of a score after the scores ``past``; ``usual``: (start, scale, mass) of usual scores."""
    if len(past) < 32:
        return 1.0
    above = sum(other >= score for other in past)
    if usual is not None:
        start, scale, mass = usual
        share = min(1.0, 0.1 * math.exp(min((start - score) / scale, 5.0)))
        return (mass * share + above) / (mass + len(past))
    if above:
        return (above + 1) / (len(past) + 1)
    ordered = sorted(past)
    scale = (ordered[int(0.99 * len(past))] - ordered[int(0.9 * len(past))]) / math.log(10)
    return (math.exp(-(score - ordered[-1]) / scale) if scale > 0 else 1.0) / (len(past) + 1)


def level(debt, slack, drift, rate, mode, since, n):
    """Return the level after n scores and a debt of alarms, ``since`` rows after the last one (1: the row before)."""
    if debt > 0:
        slack = min(slack, 12 + 2 * rate * n)
    if debt >= slack:
        return 0.0
    raised = math.log(rate) + drift - 1.5 * debt / slack
    if mode == "p-value":
        found = math.exp(min(raised, math.log(3 * rate), 0.0))
    elif debt <= -slack:
        return 1.0
    else:
        found = math.exp(min(raised, 0.0))
        if debt < 0:
            found = max(found, rate ** (1 + debt / slack))
    return max(found, min(4 * found, 0.04)) if since <= 4 else found


class Alarms:
    """All of the past is ranked anew for each score; ``p_value`` is the last one's."""

    def __init__(self, rate, mode="p-value", history=8192, step=0.005, usual=None):
        self.rate, self.mode, self.history, self.usual = rate, mode, history, usual
        self.slack = min(5000 * rate + 3, 0.25 / step)
        self.debt, self.drift, self.count, self.last, self.run, self.past = 0.0, 0.0, 0, -99, 0, []
        self.p_value = 1.0

    def alarm(self, score):
        """Return whether a score is an alarm, and go on."""
        if math.isnan(score):
            return False
        limit = level(self.debt, self.slack, self.drift, self.rate, self.mode, self.count - self.last, self.count)
        self.p_value = p_value(self.past[-self.history :], score, self.usual)
        alarm = self.p_value <= limit
        self.debt += alarm - self.rate
        if self.mode == "p-value":
            self.debt = max(self.debt, -self.slack)
        most = math.log(3) if self.mode == "p-value" else 3.0
        self.drift = min(max(self.drift - 0.2 / 5000 * self.debt / self.slack, -3.0), most)
        self.run = self.run + 1 if alarm and self.rate < 0.04 and self.count - self.last <= 4 else 0
        if alarm:
            self.last = self.count
        self.count += 1
        if self.run % 4 == 0:
            self.past.append(score)
        return alarm
