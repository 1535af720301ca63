"""The models of keys, whatever keeps their bytes: the folder of ``imondrian.keyed``, or Spark's state store."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from imondrian._models.features import Fields
from imondrian._models.prequential import Judged
from imondrian._models.settings import StreamSettings
from imondrian._models.stream import StreamModel
from imondrian._models.stream_state import from_bytes, to_bytes

from .pending_points import Young

Learner = Young | StreamModel


class Learners:
    """Makes, stores and teaches the models of keys, all with the same parameters.

    Parameters
    ----------
    settings : StreamSettings
        Of every model, but for the seed.
    seed : int
        With the key it decides a model's random numbers.
    """

    def __init__(self, settings: StreamSettings, seed: int) -> None:
        self.seed, self.template = seed, StreamModel(settings)

    def seed_of(self, key: str) -> int:
        """Return what decides the random numbers of a key's model."""
        digest = hashlib.blake2b(f"{self.seed}\0{key}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little")

    def new(self, key: str) -> StreamModel:
        """Return the model of a key before its first point."""
        return StreamModel(replace(self.template.settings, seed=self.seed_of(key)))

    def grown(self, key: str, learner: Learner) -> StreamModel:
        """Return the model of a key; of a young one, once it has learnt what waited for it."""
        if not isinstance(learner, Young):
            return learner
        model = self.new(key)
        for part in learner.tables():
            model.judge_and_learn(*self._apart(part))
        return model

    def _together(self, table: Fields) -> Fields:
        """Return points as they wait: their times, where windows go by age, are one more value."""
        if table.times is None or self.template.settings.time is None:
            return table._replace(times=None)
        return Fields(
            (*table.names, self.template.settings.time),
            np.column_stack((table.values, table.times)),
            np.append(table.nominal, False),
            table.point,
        )

    def _apart(self, table: Fields) -> Fields:
        if self.template.settings.time is None:
            return table
        names, values, nominal, point, _ = table
        times = np.ascontiguousarray(values[:, -1])
        return Fields(names[:-1], np.ascontiguousarray(values[:, :-1]), nominal[:-1], point, times)

    def learn(self, key: str, learner: Learner, table: Fields) -> tuple[Learner, Judged]:
        """Score rows and learn them; return what the learner has become, and what it said."""
        if isinstance(learner, Young) and learner.count + len(table.values) < self.template.settings.warm_up:
            # Nor would a model learn a point without features before it knows any.
            if learner.parts or len(table.names):
                names, values, nominal, point, _ = self._together(table)
                learner.learn(names, values, nominal, point)
            return learner, Judged.unready(len(table.values))
        model = self.grown(key, learner)
        with model.gate.updating:  # a signal's handler that asks the same model is refused
            return model, model.judge_and_learn(*table)

    def from_bytes(self, key: str, data: bytes) -> Learner:
        """Return what ``to_bytes`` made bytes of; TypeError or ValueError if they are damaged."""
        if Young.is_young(data):
            young, time = Young.from_bytes(data, self.template.settings.warm_up - 1), self.template.settings.time
            if time is not None and not all(
                fields[-1:] == (time,) and np.isfinite(values[:, -1]).all() for fields, values in young.parts
            ):
                raise ValueError("points do not say when they were")
            return young
        return from_bytes(data, lambda: self.new(key))

    @staticmethod
    def to_bytes(learner: Learner) -> bytes:
        """Return all that was learnt; ValueError if that is not sound: it must not replace a good state."""
        if isinstance(learner, Young):
            return learner.to_bytes()
        if learner.forest is not None:
            learner.forest.check()
        return to_bytes(learner)
