"""The models of keys, whatever keeps their bytes: the folder of ``imondrian.keyed``, or Spark's state store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imondrian._models import prequential
from imondrian._models.online import OnlineForest
from imondrian._models.prequential import Judged
from imondrian._persist import codec

from .pending_points import Young

Learner = Young | OnlineForest


class Learners:
    """Makes, stores and teaches the models of keys, all with the same parameters.

    Parameters
    ----------
    parameters : mapping
        Of ``OnlineForest``, but for ``seed``.
    seed : int
        With the key it decides a model's random numbers.
    """

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters, self._seed = dict(parameters), seed
        self.template = OnlineForest(**self._parameters)  # also checks them

    def new(self, key: str) -> OnlineForest:
        """Return the model of a key before its first point."""
        digest = hashlib.blake2b(f"{self._seed}\0{key}".encode(), digest_size=4).digest()
        return OnlineForest(seed=int.from_bytes(digest, "little"), **self._parameters)

    def grown(self, key: str, learner: Learner) -> OnlineForest:
        """Return the model of a key; of a young one, once it has learnt what waited for it."""
        if not isinstance(learner, Young):
            return learner
        model = self.new(key)
        for fields, values in learner.parts:
            prequential.score_learn(model, fields, values)
        return model

    def learn(self, key: str, learner: Learner, fields: Sequence[Any], values: np.ndarray) -> tuple[Learner, Judged]:
        """Score rows and learn them; return what the learner has become, and what it said."""
        if isinstance(learner, Young) and learner.count + len(values) < self.template._warm_up:
            learner.learn(fields, values)
            return learner, Judged.unready(len(values))
        model = self.grown(key, learner)
        return model, prequential.score_learn(model, fields, values)

    def from_bytes(self, key: str, data: bytes) -> Learner:
        """Return what ``to_bytes`` made bytes of; TypeError or ValueError if they are damaged."""
        if Young.is_young(data):
            return Young.from_bytes(data, self.template._warm_up - 1)
        return codec.from_bytes(data, lambda: self.new(key))

    @staticmethod
    def to_bytes(learner: Learner) -> bytes:
        """Return all that was learnt; ValueError if that is not sound: it must not replace a good state."""
        if isinstance(learner, Young):
            return learner.to_bytes()
        if learner._forest is not None:
            learner._forest.check()
        return codec.to_bytes(learner)


def key_text(key: Any) -> str:
    """Return a key as text, different for different keys."""
    if type(key) is str or type(key) is int:
        return json.dumps(key)
    return json.dumps(_listed(key, key))


def _listed(part: Any, key: Any) -> Any:
    if isinstance(part, np.generic):
        part = part.item()
    if type(part) in (str, int):
        return part
    if type(part) is tuple:
        return [_listed(each, key) for each in part]
    raise TypeError(f"key must be a str, an int or a tuple of these, got {key!r:.80}")
